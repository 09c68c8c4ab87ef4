//! The numbers of links and rules by metric labels, and the connections.

use super::{
    entry::version,
    state::{Index, Namespace},
};
use crate::{
    api::{ConditionType, DynamicsConnection, Reason, conditions::find, conditions::reason},
    controller::key::{Key, Kind},
    telemetry::snapshot::{LinkLabels, RuleLabels},
};
use kube::ResourceExt;
use std::{collections::BTreeMap, sync::Arc};

impl Index {
    pub fn link_counts(&self) -> Vec<(LinkLabels, usize)> {
        let state = self.state();
        let mut counts: BTreeMap<LinkLabels, usize> = BTreeMap::new();
        for (key, count) in state.links.counts() {
            let namespace = state.interner.text(key.namespace);
            let space = state.namespaces.get(namespace);
            let connection = key.connection.map(|name| existing(space, state.interner.text(name)));
            let labels = LinkLabels {
                namespace: namespace.to_string(),
                connection: connection.unwrap_or_default(),
                linked: key.linked.map(|(status, _)| status.as_str()).unwrap_or_default(),
                reason: key.linked.map(|(_, reason)| reason.as_str()).unwrap_or_default(),
                record: key.record.map(Reason::as_str).unwrap_or_default(),
            };
            *counts.entry(labels).or_default() += count;
        }
        counts.into_iter().collect()
    }

    pub fn rule_counts(&self) -> Vec<(RuleLabels, usize)> {
        let state = self.state();
        let mut counts: BTreeMap<RuleLabels, usize> = BTreeMap::new();
        for (namespace, space) in &state.namespaces {
            for rule in space.rules.all() {
                let conditions =
                    rule.object.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
                let active = find(conditions, ConditionType::Active);
                let labels = RuleLabels {
                    namespace: namespace.to_string(),
                    connection: existing(Some(space), &rule.facts.connection),
                    active: active.map(|c| c.status.as_str()).unwrap_or_default(),
                    reason: reason(conditions, ConditionType::Active).map(Reason::as_str).unwrap_or_default(),
                };
                *counts.entry(labels).or_default() += 1;
            }
        }
        counts.into_iter().collect()
    }

    /// Bytes of memory that the filters of each namespace's rules take.
    pub fn rule_memory(&self) -> Vec<(String, usize)> {
        let state = self.state();
        let sizes = state.namespaces.iter().map(|(name, space)| (name.to_string(), space.rules.size()));
        sizes.filter(|(_, size)| *size > 0).collect()
    }

    pub fn uid(&self, key: &Key) -> Option<String> {
        let state = self.state();
        let space = state.namespaces.get(&key.namespace);
        match key.kind {
            Kind::DynamicsConnection => space?.connections.get(&*key.name)?.uid(),
            Kind::AutomationRule => space?.rules.get(&key.name).map(|rule| rule.facts.uid.clone()),
            Kind::PostLink => {
                let namespace = state.interner.find(&key.namespace)?;
                state.links.get(namespace, &key.name).map(|entry| entry.uid.to_string())
            }
        }
    }

    /// Whether this version of a PostLink is stored.
    pub fn has_link(&self, key: &Key, resource_version: Option<&str>) -> bool {
        let stored = || self.state().link(&key.namespace, &key.name).map(|entry| entry.version);
        key.kind == Kind::PostLink && stored() == Some(version(resource_version))
    }

    pub fn connections(&self) -> Vec<Arc<DynamicsConnection>> {
        self.state().namespaces.values().flat_map(|space| space.connections.values().cloned()).collect()
    }
}

/// A connection name becomes a label only if the connection exists; otherwise the number of series would be unbounded.
fn existing(space: Option<&Namespace>, name: &str) -> String {
    if space.is_some_and(|space| space.connections.contains_key(name)) {
        name.to_owned()
    } else {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::PostLink, controller::index::Source};
    use jiff::Timestamp;
    use serde_json::{Value, json};

    fn link(version: u32, name: &str, connection: Option<&str>, status: &Value) -> PostLink {
        let request = connection.map(|name| json!({"connectionRef": {"name": name}}));
        serde_json::from_value(json!({
            "apiVersion": "postlink.dev/v1alpha1", "kind": "PostLink",
            "metadata": {"name": name, "namespace": "n", "uid": name, "resourceVersion": version.to_string()},
            "spec": {"post": {"url": "https://x.example", "id": name}, "link": request},
            "status": status,
        }))
        .unwrap()
    }

    fn waiting() -> Value {
        json!({"conditions": [{"type": "Linked", "status": "False", "reason": "ConnectionNotFound", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z"}]})
    }

    fn counts(index: &Index) -> Vec<(String, &'static str, usize)> {
        index
            .link_counts()
            .into_iter()
            .map(|(labels, count)| (labels.connection, labels.reason, count))
            .collect()
    }

    #[test]
    fn link_counts_label_only_existing_connections() {
        let index = Index::default();
        let now = Timestamp::UNIX_EPOCH;
        for (version, name, connection) in [(1, "a", Some("x")), (2, "b", Some("y")), (3, "c", None)] {
            index.apply_link(&link(version, name, connection, &json!({})), Source::Watch, now);
        }
        assert_eq!(counts(&index), [(String::new(), "", 3)]);
        index.apply_link(&link(4, "a", Some("x"), &waiting()), Source::Watch, now);
        index.apply_link(&link(4, "a", Some("x"), &waiting()), Source::Watch, now);
        assert_eq!(counts(&index), [(String::new(), "", 2), (String::new(), "ConnectionNotFound", 1)]);

        let connection = serde_json::from_value(json!({
            "apiVersion": "postlink.dev/v1alpha1", "kind": "DynamicsConnection",
            "metadata": {"name": "x", "namespace": "n", "uid": "x", "resourceVersion": "5"},
            "spec": {"instanceUrl": "https://x.crm.dynamics.com", "credentials": {"secretRef": {"name": "s"}}},
        }));
        index.apply_connection(connection.unwrap(), Source::Watch);
        assert_eq!(counts(&index), [(String::new(), "", 2), ("x".to_owned(), "ConnectionNotFound", 1)]);
        index.delete_link("n", "a");
        index.delete_link("n", "b");
        assert_eq!(counts(&index), [(String::new(), "", 1)]);
        index.delete_link("n", "c");
        assert_eq!(counts(&index), []);
    }
}
