//! §4 at every revision of the in-memory API, including states that were stored only briefly.

use crate::scenario_runner::{condition, text};
use kube_memory::{HistoryEntry, MemoryApi};
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc};

/// The state at the last revision checked. Objects are named `namespace/name`.
#[derive(Default)]
pub struct Replay {
    revision: u64,
    connections: BTreeMap<String, Arc<Value>>,
    /// Active rules, with the UID of their connection.
    active: BTreeMap<String, String>,
}

impl Replay {
    /// Checks all revisions up to the newest. I1: no connection is Disabled or gone while a rule is Active with its UID
    /// in `status.connectionUID`; no rule becomes Active without an entry of its generation (§4.1).
    pub fn broken(&mut self, api: &MemoryApi) -> Vec<String> {
        let mut violations = Vec::new();
        for revision in api.history_since(self.revision) {
            self.revision = revision.revision;
            let name = format!("{}/{}", revision.key.namespace, revision.key.name);
            match revision.key.resource.as_str() {
                "dynamicsconnections.postlink.dev" => {
                    match revision.after() {
                        Some(connection) => self.connections.insert(name, connection),
                        None => self.connections.remove(&name),
                    };
                }
                "automationrules.postlink.dev" => violations.extend(self.rule(&name, &revision)),
                _ => continue,
            }
            let at = revision.revision;
            violations.extend(self.under_an_active_rule().map(|what| format!("revision {at}: {what}")));
        }
        violations
    }

    fn rule(&mut self, name: &str, revision: &HistoryEntry) -> Option<String> {
        let rule = revision.after();
        let on = rule.as_deref().and_then(active_on).map(str::to_owned);
        let before = match &on {
            Some(uid) => self.active.insert(name.to_owned(), uid.clone()),
            None => self.active.remove(name),
        };
        if before == on {
            return None;
        }
        let (rule, uid) = (rule?, on?);
        let (rule_uid, generation) = (&rule["metadata"]["uid"], &rule["metadata"]["generation"]);
        let entries = self.connection(&uid).map(|c| &c["status"]["activeRules"]).and_then(Value::as_array);
        let has =
            entries.into_iter().flatten().any(|e| e["uid"] == *rule_uid && e["generation"] == *generation);
        (!has).then(|| {
            format!(
                "revision {}: {name} became Active without an entry of generation {generation}",
                revision.revision
            )
        })
    }

    fn connection(&self, uid: &str) -> Option<&Value> {
        self.connections.values().find(|c| text(&c["metadata"], "uid") == uid).map(Arc::as_ref)
    }

    fn under_an_active_rule(&self) -> impl Iterator<Item = String> {
        self.active.iter().filter_map(|(rule, uid)| match self.connection(uid) {
            None => Some(format!("the connection of the active rule {rule} is gone")),
            Some(connection) if connection["status"]["state"] == "Disabled" => {
                Some(format!("the connection of the active rule {rule} is Disabled"))
            }
            Some(_) => None,
        })
    }
}

/// The connection a rule is Active on.
fn active_on(rule: &Value) -> Option<&str> {
    condition(rule, "Active").filter(|active| text(active, "status") == "True")?;
    rule["status"]["connectionUID"].as_str()
}
