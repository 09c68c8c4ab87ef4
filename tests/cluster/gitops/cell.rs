//! One cell of the matrix: a namespace, and the objects observed in it.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::tree::{Connection, Desired, RULES, Rules, USED_BY};
use crate::cluster::{Cluster, SOON, condition};
use crate::harness::users::User;

/// The name of the connection and of its Secret in every cell.
pub const CONNECTION: &str = "northwind";

/// Poll interval.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// A namespace, and a client for it.
pub struct Cell<'a> {
    pub cluster: &'a Cluster,
    pub namespace: String,
    runtime: RefCell<Runtime>,
    client: Client,
}

/// The objects of the cell at one moment.
#[derive(Debug)]
pub struct Observed {
    pub namespace: Option<Value>,
    pub connection: Option<Value>,
    pub rules: Vec<Value>,
    pub posts: Vec<Value>,
}

impl<'a> Cell<'a> {
    pub fn new(cluster: &'a Cluster, namespace: String) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime can be built");
        let client = runtime.block_on(cluster.plane.client(User::Admin));
        Self { cluster, namespace, runtime: RefCell::new(runtime), client }
    }

    fn api(&self, kind: &str, namespace: &str) -> Api<DynamicObject> {
        let (group, version) = match kind {
            "Namespace" | "ConfigMap" | "Secret" => ("", "v1"),
            "Kustomization" => ("kustomize.toolkit.fluxcd.io", "v1"),
            "GitRepository" => ("source.toolkit.fluxcd.io", "v1"),
            _ => ("postlink.dev", "v1alpha1"),
        };
        let resource = match kind {
            "GitRepository" => ApiResource::from_gvk_with_plural(
                &GroupVersionKind::gvk(group, version, kind),
                "gitrepositories",
            ),
            _ => ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind)),
        };
        match kind {
            "Namespace" => Api::all_with(self.client.clone(), &resource),
            _ => Api::namespaced_with(self.client.clone(), namespace, &resource),
        }
    }

    pub fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        let found = self.runtime.borrow_mut().block_on(self.api(kind, namespace).get_opt(name));
        let found = found.unwrap_or_else(|error| panic!("{kind} {namespace}/{name}: {error}"));
        found.map(|object| serde_json::to_value(object).expect("what came as JSON goes as JSON"))
    }

    /// Writes a status in place of its controller.
    pub fn write_status(&self, kind: &str, namespace: &str, name: &str, status: &Value) {
        let patch = Patch::Merge(json!({"status": status}));
        let api = self.api(kind, namespace);
        let written =
            self.runtime.borrow_mut().block_on(api.patch_status(name, &PatchParams::default(), &patch));
        written.unwrap_or_else(|error| panic!("status of {kind} {namespace}/{name}: {error}"));
    }

    fn list(&self, kind: &str) -> Vec<Value> {
        let list = self.api(kind, &self.namespace);
        let found = self.runtime.borrow_mut().block_on(list.list(&kube::api::ListParams::default()));
        let found = found.unwrap_or_else(|error| panic!("{kind} of {}: {error}", self.namespace));
        let value = |object| serde_json::to_value(object).expect("what came as JSON goes as JSON");
        found.items.into_iter().map(value).collect()
    }

    pub fn observe(&self) -> Observed {
        Observed {
            namespace: self.get("Namespace", "", &self.namespace),
            connection: self.get("DynamicsConnection", &self.namespace, CONNECTION),
            rules: self.list("AutomationRule"),
            posts: self.list("PostLink"),
        }
    }

    /// Polls until `wanted` returns a value.
    pub fn wait<T>(&self, what: &str, mut wanted: impl FnMut(&Observed) -> Option<T>) -> T {
        let begin = Instant::now();
        loop {
            let seen = self.observe();
            if let Some(found) = wanted(&seen) {
                return found;
            }
            assert!(
                begin.elapsed() < SOON,
                "{}: waited {SOON:?} in vain for {what}; it is so:\n{}",
                self.namespace,
                seen.summary()
            );
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// As [`Cell::wait`], for a condition outside of the cell.
    pub fn wait_until(&self, what: &str, mut there: impl FnMut() -> bool) {
        self.wait(what, |_| there().then_some(()));
    }
}

impl Observed {
    /// Whether the effective state is `desired` and reported as such; when `gone`, whether the namespace is deleted.
    pub fn is_converged(&self, desired: Desired, gone: bool) -> bool {
        if gone {
            return self.namespace.is_none();
        }
        let connection = match (desired.connection, &self.connection) {
            (Connection::Absent, None) => true,
            (Connection::Enabled, Some(connection)) => {
                connection["status"]["state"] == "Enabled"
                    && connection["status"]["activeRuleCount"] == RULES.len()
                    && is(connection, "Ready", ("True", "Connected"))
            }
            (Connection::Disabled, Some(connection)) => {
                connection["status"]["state"] == "Disabled"
                    && connection["status"]["activeRuleCount"] == 0
                    && is(connection, "Ready", ("True", "Disabled"))
            }
            _ => false,
        };
        let rules = match desired.rules {
            Rules::Absent => self.rules.is_empty(),
            Rules::Active => self.all_rules("Active", ("True", "Reserved")),
            Rules::Inactive => self.all_rules("Active", ("False", "Inactive")),
        };
        let linked = |name: &str, reason: &str| {
            self.post(name).is_some_and(|post| match desired.connection {
                Connection::Enabled => {
                    is(post, "Linked", ("True", reason))
                        && is(post, "RecordAvailable", ("True", "RecordAvailable"))
                }
                Connection::Disabled => is(post, "RecordAvailable", ("False", "ConnectionDisabled")),
                Connection::Absent => is(post, "Linked", ("False", "ConnectionDeleted")),
            })
        };
        let ready = self.connection.iter().chain(&self.rules).chain(&self.posts);
        let posts = linked("by-rule", "LinkedByRule") && linked("by-hand", "LinkedByHand");
        connection && rules && posts && ready.into_iter().all(is_ready)
    }

    /// Whether the change is held by rules that are declared active; the connection works as before, and all conditions
    /// say so.
    pub fn is_held(&self) -> bool {
        let Some(connection) = &self.connection else { return false };
        // A namespace in deletion deletes its rules too, one kind after the other.
        let stays = self.namespace.as_ref().is_some_and(|it| it["metadata"]["deletionTimestamp"].is_null());
        let deleted = !connection["metadata"]["deletionTimestamp"].is_null();
        let refused = if deleted { "DeletionRefused" } else { "DisableRefused" };
        stays
            && (deleted || connection["spec"]["enabled"] == false)
            && connection["status"]["state"] == "Enabled"
            && is(connection, refused, ("True", "UsedByActiveRules"))
            && message(connection, refused).contains(USED_BY)
            && is_ready(connection)
            && self.rules.iter().all(|rule| rule["spec"]["active"] == true)
            && self.all_rules("Active", ("True", "Reserved"))
            && self.all_rules("HoldsConnection", ("True", "HoldsConnection"))
            && self.all_rules("Ready", ("False", "HoldsConnection"))
    }

    /// Whether the connection has no reservation any more, so that nothing is denied.
    pub fn is_released(&self) -> bool {
        self.connection.as_ref().is_none_or(|connection| connection["status"]["activeRuleCount"] == 0)
    }

    /// Whether both rules exist and have this condition for their current generation.
    fn all_rules(&self, type_: &str, said: (&str, &str)) -> bool {
        self.rules.len() == RULES.len() && self.rules.iter().all(|rule| is(rule, type_, said))
    }

    pub fn post(&self, name: &str) -> Option<&Value> {
        self.posts.iter().find(|post| post["metadata"]["name"] == name)
    }

    /// One line per object, for failure messages.
    pub fn summary(&self) -> String {
        let mut text = String::new();
        for object in self.namespace.iter().chain(&self.connection).chain(&self.rules).chain(&self.posts) {
            let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let conditions =
                conditions.iter().map(|c| format!(" {}={}/{}", c["type"], c["status"], c["reason"]));
            // Writing into a String cannot fail.
            let _ = writeln!(
                text,
                "{} {} generation {} seen {} deleted {} spec {} state {}:{}",
                object["kind"],
                object["metadata"]["name"],
                object["metadata"]["generation"],
                object["status"]["observedGeneration"],
                object["metadata"]["deletionTimestamp"],
                object["spec"],
                object["status"]["state"],
                conditions.collect::<String>(),
            );
        }
        text
    }
}

/// Whether the object has this condition for its current generation.
pub fn is(object: &Value, type_: &str, said: (&str, &str)) -> bool {
    object["status"]["observedGeneration"] == object["metadata"]["generation"]
        && condition(object, type_) == Some(said)
}

fn is_ready(object: &Value) -> bool {
    object["status"]["observedGeneration"] == object["metadata"]["generation"]
        && condition(object, "Ready").is_some_and(|(status, _)| status == "True")
}

/// The message of a condition.
pub fn message(object: &Value, type_: &str) -> String {
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let found = conditions.iter().find(|condition| condition["type"] == type_);
    found.and_then(|condition| condition["message"].as_str()).unwrap_or_default().to_owned()
}
