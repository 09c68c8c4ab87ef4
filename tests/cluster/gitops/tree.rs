//! The contents of git at each commit of a scenario: the whole desired tree.

use serde_json::{Value, json};

use super::cell::CONNECTION;

/// The rules of every tree; both start active.
pub const RULES: [&str; 2] = ["complaints", "lost-luggage"];

/// The part that the messages of all denied requests have in common.
pub const USED_BY: &str = "is used by 2 active rules: complaints, lost-luggage";

/// §5 of the semantics: what the second commit does to a tree with a connection, active rules and links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scenario {
    S1,
    S2,
    S3,
    S4,
    S5,
    S6,
}

impl Scenario {
    pub const ALL: [Self; 6] = [Self::S1, Self::S2, Self::S3, Self::S4, Self::S5, Self::S6];

    pub fn title(self) -> &'static str {
        match self {
            Self::S1 => "S1: connection removed, rules still active",
            Self::S2 => "S2: connection removed, rules set inactive",
            Self::S3 => "S3: connection and rules removed",
            Self::S4 => "S4: `enabled: false`, rules set inactive",
            Self::S5 => "S5: `enabled: false`, rules still active",
            Self::S6 => "S6: namespace removed with everything in it",
        }
    }

    /// The desired state of the second commit.
    pub fn second(self) -> Desired {
        match self {
            Self::S1 => Desired { connection: Connection::Absent, rules: Rules::Active },
            Self::S2 => Desired { connection: Connection::Absent, rules: Rules::Inactive },
            Self::S3 | Self::S6 => Desired { connection: Connection::Absent, rules: Rules::Absent },
            Self::S4 => Desired { connection: Connection::Disabled, rules: Rules::Inactive },
            Self::S5 => Desired { connection: Connection::Disabled, rules: Rules::Active },
        }
    }

    /// The desired state of the later commit, which deactivates the rules.
    pub fn third(self) -> Desired {
        Desired { rules: Rules::Inactive, ..self.second() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    Enabled,
    Disabled,
    Absent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rules {
    Active,
    Inactive,
    Absent,
}

/// The connection and rules that a commit declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Desired {
    pub connection: Connection,
    pub rules: Rules,
}

impl Desired {
    /// The first commit of every scenario.
    pub const FIRST: Self = Self { connection: Connection::Enabled, rules: Rules::Active };
}

/// How a tree is laid out for a tool; the desired state is the same for all.
#[derive(Debug, Clone, Copy, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is an independent habit of a tool")]
pub struct Layout {
    /// Put namespace, Secret and connection into an earlier wave than rules and posts.
    pub waves: bool,
    /// Annotate the connection with `PruneLast=true`.
    pub prune_last: bool,
    /// The connection is applied after the rules.
    pub connection_last: bool,
    /// The namespace is managed elsewhere and not in the tree.
    pub without_namespace: bool,
}

/// The whole desired state at one commit, in the order of the files.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    pub objects: Vec<Value>,
}

impl Tree {
    /// The tree of a cell at a commit. `gone`: the commit removed the namespace with everything in it; what remains
    /// is a `ConfigMap` elsewhere, because tools refuse to empty a tree.
    pub fn new(namespace: &str, desired: Desired, gone: bool, layout: Layout) -> Self {
        let mut objects = Vec::new();
        if !layout.without_namespace {
            objects.push(json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": format!("{namespace}-owner"), "namespace": PLATFORM},
                "data": {"team": "customer-care"},
            }));
        }
        if gone {
            return Self { objects };
        }
        if !layout.without_namespace {
            objects.push(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}));
        }
        objects.push(json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": CONNECTION, "namespace": namespace},
            "stringData": {
                "tenantId": "e60f3b97-28d4-4c1a-95b7-1d8c4e7a2f03",
                "clientId": "7d2c9f54-b6a1-4e80-8c3d-f5a017e6b928",
                "clientSecret": "paper-clip",
            },
        }));
        let mut connection = connection(namespace, desired.connection);
        if layout.prune_last
            && let Some(connection) = &mut connection
        {
            connection["metadata"]["annotations"]["argocd.argoproj.io/sync-options"] =
                json!("PruneLast=true");
        }
        if !layout.connection_last {
            objects.extend(connection.take());
        }
        if desired.rules != Rules::Absent {
            let active = desired.rules == Rules::Active;
            objects.extend(RULES.map(|name| rule(namespace, name, active)));
        }
        objects.extend(connection);
        objects.push(post(namespace, "by-rule", false));
        // A commit that removes the connection also removes the requests for links through it.
        objects.push(post(namespace, "by-hand", desired.connection != Connection::Absent));
        if layout.waves {
            for object in &mut objects {
                let later = ["AutomationRule", "PostLink"].iter().any(|kind| object["kind"] == *kind);
                let wave = if later { "1" } else { "0" };
                object["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"] = json!(wave);
            }
        }
        Self { objects }
    }

    /// The objects of `self` that are not in `later`.
    pub fn without(&self, later: &Self) -> Self {
        let objects = self.objects.iter().filter(|object| !later.has(object)).cloned().collect();
        Self { objects }
    }

    pub fn has(&self, object: &Value) -> bool {
        self.objects.iter().any(|own| identity(own) == identity(object))
    }

    pub fn has_namespace(&self) -> bool {
        self.objects.iter().any(|object| object["kind"] == "Namespace")
    }

    /// As YAML documents. JSON is YAML, and needs no quoting rules.
    pub fn text(&self) -> String {
        documents(&self.objects)
    }
}

pub fn documents(objects: &[Value]) -> String {
    let texts: Vec<_> = objects.iter().map(|object| format!("---\n{object:#}\n")).collect();
    texts.concat()
}

/// The namespace of objects that outlive a cell.
pub const PLATFORM: &str = "platform";

/// apiVersion, kind, namespace and name.
pub fn identity(object: &Value) -> [&Value; 4] {
    let metadata = &object["metadata"];
    [&object["apiVersion"], &object["kind"], &metadata["namespace"], &metadata["name"]]
}

fn connection(namespace: &str, desired: Connection) -> Option<Value> {
    let enabled = match desired {
        Connection::Absent => return None,
        Connection::Enabled => true,
        Connection::Disabled => false,
    };
    Some(json!({
        "apiVersion": "postlink.dev/v1alpha1", "kind": "DynamicsConnection",
        "metadata": {"name": CONNECTION, "namespace": namespace},
        "spec": {
            "instanceUrl": "https://northwind.crm.dynamics.com",
            "default": true,
            "enabled": enabled,
            "credentials": {"secretRef": {"name": CONNECTION}},
        },
    }))
}

fn rule(namespace: &str, name: &str, active: bool) -> Value {
    json!({
        "apiVersion": "postlink.dev/v1alpha1", "kind": "AutomationRule",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "connectionRef": {"name": CONNECTION},
            "active": active,
            "match": {"keywords": ["suitcase"]},
            "since": "2025-12-01T00:00:00Z",
        },
    })
}

/// A post that the rules match; with a link by hand if `by_hand`.
pub fn post(namespace: &str, name: &str, by_hand: bool) -> Value {
    let mut post = json!({
        "apiVersion": "postlink.dev/v1alpha1", "kind": "PostLink",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"post": {
            "url": format!("https://social.example/microblog/{name}"),
            "id": format!("{namespace}/{name}"),
            "publishedAt": "2025-12-18T07:41:00Z",
            "content": if name == "by-hand" { "A choir of forty flies in May." } else { "Day four without my suitcase." },
        }},
    });
    if by_hand {
        post["spec"]["link"] = json!({"recordType": "lead"});
    }
    post
}
