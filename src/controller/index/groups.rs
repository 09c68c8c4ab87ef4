//! What metrics tell of the index: how many links and rules have what in common, and the connections.

use super::{Index, Namespace};
use crate::{
    api::{ConditionType, DynamicsConnection, Reason, conditions::find, conditions::reason},
    controller::readings::status_word,
    telemetry::snapshot::{LinkGroup, RuleGroup},
};
use std::{collections::BTreeMap, sync::Arc};

impl Index {
    /// The post links by what they have in common.
    pub fn link_groups(&self) -> Vec<(LinkGroup, usize)> {
        let state = self.state();
        let mut groups: BTreeMap<LinkGroup, usize> = BTreeMap::new();
        for (group, count) in state.links.groups() {
            let namespace = state.symbols.text(group.namespace);
            let space = state.namespaces.get(namespace);
            let connection = group.connection.map(|name| existing(space, state.symbols.text(name)));
            let told = LinkGroup {
                namespace: namespace.to_string(),
                connection: connection.unwrap_or_default(),
                linked: group.linked.map(|(status, _)| status_word(status)).unwrap_or_default(),
                reason: group.linked.map(|(_, reason)| reason.as_str()).unwrap_or_default(),
                record: group.record.map(Reason::as_str).unwrap_or_default(),
            };
            *groups.entry(told).or_default() += count;
        }
        groups.into_iter().collect()
    }

    /// The rules by what they have in common.
    pub fn rule_groups(&self) -> Vec<(RuleGroup, usize)> {
        let state = self.state();
        let mut groups: BTreeMap<RuleGroup, usize> = BTreeMap::new();
        for (namespace, space) in &state.namespaces {
            for rule in space.rules.values() {
                let conditions =
                    rule.object.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
                let active = find(conditions, ConditionType::Active);
                let told = RuleGroup {
                    namespace: namespace.to_string(),
                    connection: existing(Some(space), &rule.facts.connection),
                    active: active.map(|c| status_word(c.status)).unwrap_or_default(),
                    reason: reason(conditions, ConditionType::Active).map(Reason::as_str).unwrap_or_default(),
                };
                *groups.entry(told).or_default() += 1;
            }
        }
        groups.into_iter().collect()
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
