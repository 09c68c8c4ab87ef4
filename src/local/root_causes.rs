//! Why objects are not Ready, each cause once: a link waits for its connection, and the connection for its Secret or its
//! instance.

use super::{
    secrets,
    session::Session,
    simulated_defaults::host_of,
    tree::{Item, KINDS, Tree, connections},
};
use crate::api::{Condition, ConditionStatus, ConditionType, Reason, conditions::find};
use serde_json::Value;
use std::{collections::BTreeSet, fmt::Write};

/// At most this many waiting objects are named; more are counted.
const NAMED: usize = 3;

/// Reasons of a link or a rule that have nothing to do with the state of its connection.
const OWN: [Reason; 5] = [
    Reason::RecordTypeNotOffered,
    Reason::RecordNotFound,
    Reason::PostRefused,
    Reason::RecordPending,
    Reason::SocialDataRefused,
];

/// An object that is not Ready.
struct Waiting {
    kind: &'static str,
    namespace: String,
    name: String,
    reason: Option<Reason>,
    message: String,
    /// Its `spec`.
    spec: Value,
    terminating: bool,
}

/// The objects with one cause; the first one shows it.
struct Group {
    cause: Cause,
    objects: Vec<Waiting>,
}

/// Why an object is not Ready.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Cause {
    /// Of a connection: its Secret, its instance, or itself.
    Connection { namespace: Option<String>, message: String },
    /// There is no connection of this name, which may be in the files all the same.
    NoConnection { namespace: String, name: String },
    /// None that other kinds share.
    Own { kind: &'static str, namespace: String, message: String },
}

/// One line for each cause, with the place and the message of the first object that shows it.
pub fn not_ready(session: &Session, tree: &Tree) -> Vec<String> {
    let mut groups: Vec<Group> = Vec::new();
    let objects = waiting(session);
    let is_refused =
        |item: &&Item| session.api.get(&item.id.kind, &item.id.namespace, &item.id.name).is_none();
    let refused: Vec<&Item> =
        connections(&tree.items).filter(is_refused).chain(connections(&tree.refused)).collect();
    let causes: Vec<Cause> = objects.iter().map(|object| cause(object, &objects, &refused)).collect();
    for (object, cause) in objects.into_iter().zip(causes) {
        match groups.iter_mut().find(|group| group.cause == cause) {
            Some(group) => group.objects.push(object),
            None => groups.push(Group { cause, objects: vec![object] }),
        }
    }
    groups.iter().map(|group| line(group, tree)).collect()
}

/// The record types that instances of the input lack, each with the place of its name. The connection is Ready without
/// them. `made_up` are the hosts of the other instances, whose tables have been checked before.
pub fn not_offered(session: &Session, tree: &Tree, made_up: &BTreeSet<String>) -> Vec<String> {
    let line = |item: &Item| {
        let spec = &item.document.value["spec"];
        if host_of(spec["instanceUrl"].as_str()?).is_none_or(|host| made_up.contains(&host)) {
            return None;
        }
        let object = session.api.get(&item.id.kind, &item.id.namespace, &item.id.name)?;
        let conditions =
            serde_json::from_value::<Vec<Condition>>(object.pointer("/status/conditions")?.clone());
        let conditions = conditions.ok()?;
        let is_true =
            |of| find(&conditions, of).filter(|condition| condition.status == ConditionStatus::True);
        // One that is not Ready is reported with the cause of that.
        is_true(ConditionType::Ready)?;
        let message = &is_true(ConditionType::RecordTypeNotOffered)?.message;
        let lacking = |list: &str, name: &Value| {
            let names = object.pointer(&format!("/status/metadata/{list}")).and_then(Value::as_array);
            names.is_some_and(|names| names.contains(name))
        };
        let names =
            |name: &Value| lacking("missingRecordTypes", name) || lacking("unsupportedRecordTypes", name);
        let index = spec["recordTypes"].as_array().and_then(|types| types.iter().position(names));
        let field = index.map_or("spec.recordTypes".to_owned(), |index| format!("spec.recordTypes[{index}]"));
        Some(format!("{}: {}: {message}", item.document.place(&field), item.id))
    };
    connections(&tree.items).filter_map(line).collect()
}

/// Connections first, because the others wait for them.
fn waiting(session: &Session) -> Vec<Waiting> {
    let mut found = Vec::new();
    for (kind, _) in KINDS {
        for object in session.api.objects(kind) {
            let conditions = object.pointer("/status/conditions").cloned().unwrap_or_default();
            let conditions: Vec<Condition> = serde_json::from_value(conditions).unwrap_or_default();
            let ready = find(&conditions, ConditionType::Ready);
            let terminating = object.pointer("/metadata/deletionTimestamp").is_some();
            if !terminating && ready.is_some_and(|r| r.status == ConditionStatus::True) {
                continue;
            }
            let message = match ready {
                _ if terminating => find(&conditions, ConditionType::DeletionRefused)
                    .map_or("it is being deleted", |c| c.message.as_str()),
                Some(ready) => ready.message.as_str(),
                None => "it has not been reconciled yet",
            };
            let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            found.push(Waiting {
                kind,
                namespace: text("/metadata/namespace").to_owned(),
                name: text("/metadata/name").to_owned(),
                reason: ready.and_then(|ready| Reason::parse(&ready.reason)),
                message: message.to_owned(),
                spec: object["spec"].clone(),
                terminating,
            });
        }
    }
    found
}

/// `refused` are the connections in the files that the API server has rejected.
fn cause(object: &Waiting, all: &[Waiting], refused: &[&Item]) -> Cause {
    if object.is_connection() {
        return cause_of_connection(object);
    }
    let of_connection = object.reason.is_some_and(|reason| !OWN.contains(&reason));
    let mut connections = all.iter().filter(|it| it.is_connection() && it.namespace == object.namespace);
    if let Some(connection) = connections.find(|it| object.names(&it.name)).filter(|_| of_connection) {
        return cause_of_connection(connection);
    }
    let default = || {
        let is_default = |item: &&&Item| {
            let default = &item.document.value["spec"]["default"];
            item.may_be_in(&object.namespace) && !default.is_null() && *default != false
        };
        refused.iter().find(is_default).map(|item| item.id.name.as_str())
    };
    let missing = match object.reason {
        Some(Reason::ConnectionNotFound) => object.connection(),
        Some(Reason::NoDefaultConnection) => default(),
        _ => None,
    };
    match missing {
        Some(name) => Cause::NoConnection { namespace: object.namespace.clone(), name: name.to_owned() },
        None => Cause::Own {
            kind: object.kind,
            namespace: object.namespace.clone(),
            message: object.message.clone(),
        },
    }
}

fn cause_of_connection(connection: &Waiting) -> Cause {
    // A Secret is of one namespace; an instance can have connections in several.
    let shared = !connection.terminating && !connection.waits_for_secret();
    Cause::Connection {
        namespace: (!shared).then(|| connection.namespace.clone()),
        message: connection.message.clone(),
    }
}

impl Waiting {
    fn is_connection(&self) -> bool {
        self.kind == KINDS[0].0
    }

    fn waits_for_secret(&self) -> bool {
        !self.terminating && matches!(self.reason, Some(Reason::SecretNotFound | Reason::SecretInvalid))
    }

    /// The connection that its spec names.
    fn connection(&self) -> Option<&str> {
        ["/connectionRef/name", "/link/connectionRef/name"]
            .iter()
            .find_map(|pointer| self.spec.pointer(pointer).and_then(Value::as_str))
    }

    /// Whether it uses this connection. That of a rule or of the default is only in the message.
    fn names(&self, connection: &str) -> bool {
        match self.connection() {
            Some(name) => name == connection,
            None => {
                let mut words = self.message.split([' ', ',', ';', '.', ':']);
                words.any(|word| word == connection)
            }
        }
    }

    /// The field to look at.
    fn field(&self) -> &'static str {
        match (self.reason, self.kind) {
            (_, "DynamicsConnection") if self.terminating => "",
            (Some(Reason::SecretNotFound | Reason::SecretInvalid | Reason::CredentialsRejected), _) => {
                "spec.credentials.secretRef.name"
            }
            (_, "DynamicsConnection") => "spec.instanceUrl",
            (Some(Reason::RecordTypeNotOffered), _) => "spec.link.recordType",
            (Some(Reason::RecordNotFound), _) => "spec.link.recordId",
            (Some(Reason::HoldsConnection), _) => "",
            (_, "AutomationRule") => "spec.connectionRef.name",
            _ => "spec.link.connectionRef.name",
        }
    }
}

fn line(group: &Group, tree: &Tree) -> String {
    let first = &group.objects[0];
    let item = tree.items.iter().find(|item| {
        (item.id.kind.as_str(), &item.id.namespace, &item.id.name)
            == (first.kind, &first.namespace, &first.name)
    });
    let mut line = item.map(|item| format!("{}: ", item.document.place(first.field()))).unwrap_or_default();
    let _ = write!(
        line,
        "{}/{} in {}: {}",
        first.kind.to_lowercase(),
        first.name,
        first.namespace,
        first.message
    );
    let mut sentence = |text: &str| {
        let _ = write!(line, "{} {text}", if line.ends_with('.') { "" } else { "." });
    };
    if first.waits_for_secret() {
        let name =
            first.spec.pointer("/credentials/secretRef/name").and_then(Value::as_str).unwrap_or_default();
        let missing = first.reason == Some(Reason::SecretNotFound);
        if let Some(advice) = secrets::advice(tree, &first.namespace, name, missing) {
            sentence(&advice);
        }
    }
    if let Cause::NoConnection { namespace, name } = &group.cause {
        let connections = connections(&tree.items).chain(connections(&tree.refused));
        let named: Vec<&Item> = connections.filter(|item| item.id.name == *name).collect();
        if let Some(refused) = named.iter().find(|item| item.may_be_in(namespace)) {
            sentence(&format!("It is in {}, but has been refused.", refused.document.place("")));
        } else if let Some(other) = named.first() {
            sentence(&format!(
                "A connection of this name is in namespace {} ({}); use it there, or move it.",
                other.id.namespace,
                other.document.place("metadata.namespace")
            ));
        }
    }
    let others = &group.objects[1..];
    if !others.is_empty() {
        let (one, many) = match group.cause {
            Cause::Own { .. } => ("has the same problem", "have the same problem"),
            _ => ("waits for it", "wait for it"),
        };
        sentence(&format!("{} {}.", listed(others), if others.len() == 1 { one } else { many }));
    }
    line
}

/// `automationrule/a and postlink/b`, or how many there are of each kind.
fn listed(objects: &[Waiting]) -> String {
    let parts: Vec<String> = if objects.len() <= NAMED {
        objects.iter().map(|it| format!("{}/{}", it.kind.to_lowercase(), it.name)).collect()
    } else {
        let count = |(index, (kind, _)): (usize, &(&str, &str))| {
            let count = objects.iter().filter(|it| it.kind == *kind).count();
            let noun = ["connection", "rule", "link"][index];
            (count > 0).then(|| format!("{count} {noun}{}", if count == 1 { "" } else { "s" }))
        };
        KINDS.iter().enumerate().filter_map(count).collect()
    };
    match parts.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => parts.concat(),
    }
}
