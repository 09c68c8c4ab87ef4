//! What the watches delivered, as pure state: apply and delete, dependents and views. No I/O, no clock, no waiting.
//!
//! Connections and rules are kept whole: there are few. A PostLink is an [`entry::Entry`].

mod compact;
mod counts;
mod dependents;
pub mod entry;
mod interner;
mod links;
mod matching;
mod state;
#[cfg(test)]
mod tests;

pub use state::{Affected, Index, LinkSnapshot, LinkThrough, Source};

use crate::{
    api::{AutomationRule, ConditionType, DynamicsConnection},
    controller::key::{Key, Kind},
    domain::{
        connection::DefaultClaim,
        facts::{ConnectionFacts, RuleFacts, created},
        matching::Matcher,
        post_link::Tombstone,
    },
};
use kube::ResourceExt;
use state::{Filter, RuleEntry};
use std::{collections::HashSet, sync::Arc};

impl Index {
    /// A connection as it is now. Nothing is affected when this is not news.
    pub fn apply_connection(&self, connection: DynamicsConnection, source: Source) -> Affected {
        let mut state = self.state();
        let namespace: Arc<str> = connection.namespace().unwrap_or_default().into();
        let name = connection.name_any();
        let space = state.namespaces.entry(namespace.clone()).or_default();
        let old = space.connections.get(&name);
        if old.is_some_and(|o| !newer(o.metadata.resource_version.as_deref(), &connection.metadata))
            || !source.may_tell(old.and_then(|o| o.metadata.uid.as_ref()), connection.metadata.uid.as_ref())
        {
            return Affected::default();
        }
        let before = old.map(|o| ConnectionFacts::of(o));
        let replaced = old.filter(|o| o.uid() != connection.uid()).cloned();
        let after = ConnectionFacts::of(&connection);
        space.connections.insert(name.clone(), Arc::new(connection));
        space.refresh();
        if let Some(replaced) = replaced {
            state.mark_deleted(&replaced);
        }
        let mut affected = state.around_connection(&namespace, &name, before.as_ref(), Some(&after));
        affected.keys.push(Key::new(Kind::DynamicsConnection, namespace, name));
        affected
    }

    /// A connection is gone: its deletion was seen, or a write of ours proved the one with this UID gone. Then another
    /// one of that name may be known by now.
    pub fn delete_connection(&self, namespace: &str, name: &str, only: Option<&str>) -> Affected {
        let mut state = self.state();
        let Some(space) = state.namespaces.get_mut(namespace) else { return Affected::default() };
        if only.is_some() && space.connections.get(name).and_then(|c| c.uid()).as_deref() != only {
            return Affected::default();
        }
        let Some(old) = space.connections.remove(name) else { return Affected::default() };
        space.refresh();
        state.mark_deleted(&old);
        let before = ConnectionFacts::of(&old);
        state.around_connection(namespace, name, Some(&before), None)
    }

    /// A live read found that no connection has that UID any more.
    pub fn mark_deleted(&self, uid: &str) {
        self.state().tombstones.entry(uid.to_owned()).or_insert(Tombstone { deleted_at: None });
    }

    /// A rule as it is now.
    pub fn apply_rule(&self, rule: AutomationRule, source: Source) -> Affected {
        let mut state = self.state();
        let namespace: Arc<str> = rule.namespace().unwrap_or_default().into();
        let name = rule.name_any();
        let space = state.namespaces.entry(namespace.clone()).or_default();
        let old = space.rules.get(&name);
        if old.is_some_and(|o| !newer(o.object.metadata.resource_version.as_deref(), &rule.metadata))
            || !source.may_tell(old.and_then(|o| o.object.metadata.uid.as_ref()), rule.metadata.uid.as_ref())
        {
            return Affected::default();
        }
        let facts = RuleFacts::of(&rule);
        let before = old.map(|o| o.facts.clone());
        let kept = old.filter(|o| o.object.spec.match_ == rule.spec.match_ && o.facts.uid == facts.uid);
        let filter = match kept {
            Some(old) => old.filter.clone(),
            None => {
                Arc::new(Filter { rule: facts.uid.clone(), matcher: Matcher::new(rule.spec.match_.as_ref()) })
            }
        };
        let switched = facts.wants_active != before.as_ref().is_some_and(|b| b.wants_active);
        let other = switched || kept.is_none();
        let rematch = facts.wants_active && other;
        space.rules.insert(name.clone(), RuleEntry { object: Arc::new(rule), facts: facts.clone(), filter });
        if other {
            space.filters = None;
        }
        let mut affected = state.around_rule(&namespace, before.as_ref(), Some(&facts));
        affected.rematch = rematch.then(|| namespace.clone());
        affected.keys.push(Key::new(Kind::AutomationRule, namespace, name));
        affected
    }

    /// A rule is gone.
    pub fn delete_rule(&self, namespace: &str, name: &str) -> Affected {
        let mut state = self.state();
        let Some(space) = state.namespaces.get_mut(namespace) else { return Affected::default() };
        let Some(old) = space.rules.remove(name) else { return Affected::default() };
        space.filters = None;
        state.around_rule(namespace, Some(&old.facts), None)
    }

    /// A connection, whole.
    pub fn connection(&self, namespace: &str, name: &str) -> Option<Arc<DynamicsConnection>> {
        self.state().namespaces.get(namespace)?.connections.get(name).cloned()
    }

    /// A connection's facts, by UID.
    pub fn connection_by_uid(&self, namespace: &str, uid: &str) -> Option<ConnectionFacts> {
        self.state().namespaces.get(namespace)?.connection_facts.iter().find(|c| c.uid == uid).cloned()
    }

    /// A connection's facts, by name.
    pub fn connection_facts(&self, namespace: &str, name: &str) -> Option<ConnectionFacts> {
        self.state().namespaces.get(namespace)?.connection_facts.iter().find(|c| c.name == name).cloned()
    }

    /// The connections of a namespace that ask to be its default, but for one (R3).
    pub fn claims(&self, namespace: &str, but: &str) -> Vec<DefaultClaim> {
        let state = self.state();
        let Some(space) = state.namespaces.get(namespace) else { return Vec::new() };
        space
            .connections
            .values()
            .filter(|c| c.spec.default && c.name_any() != but)
            .map(|c| DefaultClaim { created: created(&c.metadata), name: c.name_any() })
            .collect()
    }

    /// A rule, whole.
    pub fn rule(&self, namespace: &str, name: &str) -> Option<Arc<AutomationRule>> {
        self.state().namespaces.get(namespace)?.rules.get(name).map(|r| r.object.clone())
    }

    /// The rules of a namespace that one connection has to do with.
    pub fn rules_around(&self, connection: &DynamicsConnection) -> Vec<RuleFacts> {
        let state = self.state();
        let (name, uid) = (connection.name_any(), connection.uid().unwrap_or_default());
        let reserved: Vec<&str> =
            connection.status.iter().flat_map(|s| s.active_rules.iter().map(|e| e.uid.as_str())).collect();
        let Some(space) = state.namespaces.get(connection.namespace().unwrap_or_default().as_str()) else {
            return Vec::new();
        };
        space
            .rules
            .values()
            .map(|r| &r.facts)
            .filter(|r| {
                r.connection == name
                    || r.active_on.as_deref() == Some(uid.as_str())
                    || reserved.contains(&r.uid.as_str())
            })
            .cloned()
            .collect()
    }

    /// What a link's decision needs.
    pub fn snapshot(&self, key: &Key) -> Option<LinkSnapshot> {
        let state = self.state();
        let entry = state.links.get(state.interner.find(&key.namespace)?, &key.name)?;
        let space = state.namespaces.get(&key.namespace);
        let wanted: HashSet<&str> = entry.matching().iter().map(|uid| &**state.interner.text(*uid)).collect();
        let rules = space.into_iter().flat_map(|s| s.rules.values());
        let matching = rules.filter(|r| wanted.contains(r.facts.uid.as_str())).map(|r| r.facts.clone());
        Some(LinkSnapshot {
            facts: entry.facts(&state.interner),
            uid: entry.uid,
            version: entry.version,
            status_hash: entry.status_hash,
            connections: space.map(|s| s.connection_facts.clone()).unwrap_or_default(),
            matching: matching.collect(),
        })
    }

    /// The tombstone of a connection, if it is gone.
    pub fn tombstone(&self, uid: &str) -> Option<Tombstone> {
        self.state().tombstones.get(uid).copied()
    }

    /// The links that go through a connection, with their activities.
    pub fn links_through(&self, uid: &str) -> Vec<LinkThrough> {
        let state = self.state();
        let Some(symbol) = state.interner.find(uid) else { return Vec::new() };
        state
            .links
            .of_connection(symbol)
            .filter_map(|entry| {
                Some(LinkThrough {
                    key: state.key(entry),
                    link: entry.link(&state.interner)?,
                    available: entry.condition(ConditionType::RecordAvailable).map(|(_, reason)| reason),
                })
            })
            .collect()
    }

    /// How many post links there are.
    pub fn links(&self) -> usize {
        self.state().links.len()
    }

    /// The keys of one kind in one namespace (or in all), to find what vanished while a watch was away.
    pub fn keys(&self, kind: Kind, namespace: Option<&str>) -> Vec<Key> {
        let state = self.state();
        let wanted = |n: &str| namespace.is_none_or(|w| w == n);
        match kind {
            Kind::PostLink => {
                let entries = state.links.all();
                entries.map(|e| state.key(e)).filter(|k| wanted(&k.namespace)).collect()
            }
            _ => state
                .namespaces
                .iter()
                .filter(|(n, _)| wanted(n))
                .flat_map(|(n, space)| {
                    let names: Vec<&String> = match kind {
                        Kind::DynamicsConnection => space.connections.keys().collect(),
                        _ => space.rules.keys().collect(),
                    };
                    names.into_iter().map(|name| Key::new(kind, n.clone(), name.as_str())).collect::<Vec<_>>()
                })
                .collect(),
        }
    }
}

/// Whether an object is newer than a version already known.
fn newer(known: Option<&str>, metadata: &kube::core::ObjectMeta) -> bool {
    entry::version(metadata.resource_version.as_deref()) > entry::version(known)
}
