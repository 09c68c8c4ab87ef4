//! What metrics tell of the index: how many links and rules have what in common, and the connections.

use super::state::{Index, Namespace};
use crate::{
    api::{ConditionType, DynamicsConnection, Reason, conditions::find, conditions::reason},
    controller::key::{Key, Kind},
    telemetry::snapshot::{LinkLabels, RuleLabels},
};
use kube::ResourceExt;
use std::{collections::BTreeMap, sync::Arc};

impl Index {
    /// The post links by what they have in common.
    pub fn link_groups(&self) -> Vec<(LinkLabels, usize)> {
        let state = self.state();
        let mut groups: BTreeMap<LinkLabels, usize> = BTreeMap::new();
        for (group, count) in state.links.groups() {
            let namespace = state.interner.text(group.namespace);
            let space = state.namespaces.get(namespace);
            let connection = group.connection.map(|name| existing(space, state.interner.text(name)));
            let told = LinkLabels {
                namespace: namespace.to_string(),
                connection: connection.unwrap_or_default(),
                linked: group.linked.map(|(status, _)| status.as_str()).unwrap_or_default(),
                reason: group.linked.map(|(_, reason)| reason.as_str()).unwrap_or_default(),
                record: group.record.map(Reason::as_str).unwrap_or_default(),
            };
            *groups.entry(told).or_default() += count;
        }
        groups.into_iter().collect()
    }

    /// The rules by what they have in common.
    pub fn rule_groups(&self) -> Vec<(RuleLabels, usize)> {
        let state = self.state();
        let mut groups: BTreeMap<RuleLabels, usize> = BTreeMap::new();
        for (namespace, space) in &state.namespaces {
            for rule in space.rules.values() {
                let conditions =
                    rule.object.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
                let active = find(conditions, ConditionType::Active);
                let told = RuleLabels {
                    namespace: namespace.to_string(),
                    connection: existing(Some(space), &rule.facts.connection),
                    active: active.map(|c| c.status.as_str()).unwrap_or_default(),
                    reason: reason(conditions, ConditionType::Active).map(Reason::as_str).unwrap_or_default(),
                };
                *groups.entry(told).or_default() += 1;
            }
        }
        groups.into_iter().collect()
    }

    /// The UID of an object, for a line of the log about it.
    pub fn uid(&self, key: &Key) -> Option<String> {
        let state = self.state();
        let space = state.namespaces.get(&key.namespace);
        match key.kind {
            Kind::DynamicsConnection => space?.connections.get(&*key.name)?.uid(),
            Kind::AutomationRule => space?.rules.get(&*key.name).map(|rule| rule.facts.uid.clone()),
            Kind::PostLink => {
                let namespace = state.interner.find(&key.namespace)?;
                state.links.get(namespace, &key.name).map(|entry| entry.uid.to_string())
            }
        }
    }

    /// The connections.
    pub fn connections(&self) -> Vec<Arc<DynamicsConnection>> {
        self.state().namespaces.values().flat_map(|space| space.connections.values().cloned()).collect()
    }
}

/// A name somebody wrote becomes a label only if such a connection exists: else the number of series would have no
/// bound.
fn existing(space: Option<&Namespace>, name: &str) -> String {
    if space.is_some_and(|space| space.connections.contains_key(name)) {
        name.to_owned()
    } else {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Source, *};
    use crate::api::PostLink;
    use jiff::Timestamp;
    use serde_json::{Value, json};

    fn link(version: u32, name: &str, connection: Option<&str>, status: &Value) -> PostLink {
        let wish = connection.map(|name| json!({"connectionRef": {"name": name}}));
        serde_json::from_value(json!({
            "apiVersion": "postlink.dev/v1alpha1", "kind": "PostLink",
            "metadata": {"name": name, "namespace": "n", "uid": name, "resourceVersion": version.to_string()},
            "spec": {"post": {"url": "https://x.example", "id": name}, "link": wish},
            "status": status,
        }))
        .unwrap()
    }

    fn waiting() -> Value {
        json!({"conditions": [{"type": "Linked", "status": "False", "reason": "ConnectionNotFound", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z"}]})
    }

    fn groups(index: &Index) -> Vec<(String, &'static str, usize)> {
        index
            .link_groups()
            .into_iter()
            .map(|(group, count)| (group.connection, group.reason, count))
            .collect()
    }

    #[test]
    fn links_are_counted_as_they_change_and_names_nobody_has_are_no_label() {
        let index = Index::default();
        let now = Timestamp::UNIX_EPOCH;
        for (version, name, connection) in [(1, "a", Some("x")), (2, "b", Some("y")), (3, "c", None)] {
            index.apply_link(&link(version, name, connection, &json!({})), Source::Watch, now);
        }
        assert_eq!(groups(&index), [(String::new(), "", 3)]);
        index.apply_link(&link(4, "a", Some("x"), &waiting()), Source::Watch, now);
        index.apply_link(&link(4, "a", Some("x"), &waiting()), Source::Watch, now);
        assert_eq!(groups(&index), [(String::new(), "", 2), (String::new(), "ConnectionNotFound", 1)]);

        let connection = serde_json::from_value(json!({
            "apiVersion": "postlink.dev/v1alpha1", "kind": "DynamicsConnection",
            "metadata": {"name": "x", "namespace": "n", "uid": "x", "resourceVersion": "5"},
            "spec": {"instanceUrl": "https://x.crm.dynamics.com", "credentials": {"secretRef": {"name": "s"}}},
        }));
        index.apply_connection(connection.unwrap(), Source::Watch);
        assert_eq!(groups(&index), [(String::new(), "", 2), ("x".to_owned(), "ConnectionNotFound", 1)]);
        index.delete_link("n", "a");
        index.delete_link("n", "b");
        assert_eq!(groups(&index), [(String::new(), "", 1)]);
        index.delete_link("n", "c");
        assert_eq!(groups(&index), []);
    }
}
