//! The objects that the watches delivered, as pure state without I/O, clock or waiting: apply and delete, dependents,
//! views.
//!
//! Connections and rules are few and stored whole. A PostLink is stored as an [`entry::Entry`].

mod compact;
mod compact_link;
mod compact_request;
mod counts;
mod dependents;
pub mod entry;
mod interner;
mod links;
mod lists;
mod matching;
mod rules;
mod same_post;
mod share;
mod state;
#[cfg(test)]
mod tests;
mod trim;

pub use rules::Evaluation;
pub use state::{Affected, Index, LinkSnapshot, LinkThrough, Source};

use crate::{
    api::{AutomationRule, ConditionType, DynamicsConnection},
    controller::key::{Key, Kind},
    domain::{
        connection::DefaultClaim,
        facts::{ConnectionFacts, RuleFacts, created},
        post_link::Tombstone,
    },
};
use entry::Entry;
use kube::ResourceExt;
use rules::RulesChange;
use std::{collections::HashSet, sync::Arc};
use trim::trimmed_with_manager;
use uuid::Uuid;

impl Index {
    /// Stores a connection. A version that is not newer is ignored and affects nothing.
    pub fn apply_connection(&self, connection: DynamicsConnection, source: Source) -> Affected {
        let mut state = self.state();
        let namespace: Arc<str> = connection.namespace().unwrap_or_default().into();
        let name = connection.name_any();
        let space = state.namespaces.entry(namespace.clone()).or_default();
        let old = space.connections.get(&name);
        if old.is_some_and(|o| !newer(o.metadata.resource_version.as_deref(), &connection.metadata))
            || !source.may_store(old.and_then(|o| o.metadata.uid.as_ref()), connection.metadata.uid.as_ref())
        {
            return Affected::default();
        }
        let before = space.facts(&name).cloned();
        let replaced = old.filter(|o| o.uid() != connection.uid()).cloned();
        let mut connection = connection;
        connection.metadata = trimmed_with_manager(connection.metadata);
        let after = Arc::new(ConnectionFacts::of(&connection));
        space.connections.insert(name.clone(), Arc::new(connection));
        space.set_facts(&name, Some(after.clone()));
        if let Some(replaced) = replaced {
            state.mark_deleted(&replaced);
        }
        let mut affected = state.affected_by_connection(&namespace, &name, before.as_deref(), Some(&after));
        affected.keys.push(Key::new(Kind::DynamicsConnection, namespace, name));
        affected
    }

    /// Removes a connection. With `uid`, only that object: after our own write, another connection of the same name may be
    /// stored already.
    pub fn delete_connection(&self, namespace: &str, name: &str, uid: Option<&str>) -> Affected {
        let mut state = self.state();
        let Some(space) = state.namespaces.get_mut(namespace) else { return Affected::default() };
        if uid.is_some() && space.connections.get(name).and_then(|c| c.uid()).as_deref() != uid {
            return Affected::default();
        }
        let Some(old) = space.connections.remove(name) else { return Affected::default() };
        let before = space.facts(name).cloned();
        space.set_facts(name, None);
        state.mark_deleted(&old);
        let affected = state.affected_by_connection(namespace, name, before.as_deref(), None);
        state.drop_empty(namespace);
        affected
    }

    /// Adds a tombstone after a live read found that no connection has this UID.
    pub fn mark_deleted(&self, uid: &str) {
        let mut state = self.state();
        state.collect_garbage();
        state.tombstones.entry(uid.to_owned()).or_insert(Tombstone { deleted_at: None });
    }

    /// Stores a rule. A version that is not newer is ignored and affects nothing.
    pub fn apply_rule(&self, rule: AutomationRule, source: Source) -> Affected {
        let mut state = self.state();
        let namespace: Arc<str> = rule.namespace().unwrap_or_default().into();
        let name = rule.name_any();
        let space = state.namespaces.entry(namespace.clone()).or_default();
        let old = space.rules.get(&name);
        // A rule that is to be read again arrives in the version that is known.
        let known = |o: &rules::RuleEntry| {
            let stored = o.object.metadata.resource_version.as_deref();
            let same = stored == rule.metadata.resource_version.as_deref();
            !(newer(stored, &rule.metadata) || same && o.evaluation() == Evaluation::ToRead)
        };
        if old.is_some_and(known)
            || !source.may_store(old.and_then(|o| o.object.metadata.uid.as_ref()), rule.metadata.uid.as_ref())
        {
            return Affected::default();
        }
        let change = space.rules.insert(name.clone(), rule);
        let mut affected = state.affected_by_rules(&namespace, change);
        affected.keys.push(Key::new(Kind::AutomationRule, namespace, name));
        affected
    }

    pub fn delete_rule(&self, namespace: &str, name: &str) -> Affected {
        let mut state = self.state();
        let Some((namespace, _)) = state.namespaces.get_key_value(namespace) else {
            return Affected::default();
        };
        let namespace = namespace.clone();
        let change = state.namespaces.get_mut(&namespace).and_then(|space| space.rules.remove(name));
        let affected = change.map(|change| state.affected_by_rules(&namespace, change));
        state.drop_empty(&namespace);
        affected.unwrap_or_default()
    }

    pub fn connection(&self, namespace: &str, name: &str) -> Option<Arc<DynamicsConnection>> {
        self.state().namespaces.get(namespace)?.connections.get(name).cloned()
    }

    pub fn connection_by_uid(&self, namespace: &str, uid: &str) -> Option<Arc<ConnectionFacts>> {
        self.state().namespaces.get(namespace)?.connection_facts.iter().find(|c| c.uid == uid).cloned()
    }

    pub fn connection_facts(&self, namespace: &str, name: &str) -> Option<Arc<ConnectionFacts>> {
        self.state().namespaces.get(namespace)?.facts(name).cloned()
    }

    /// The connections of a namespace with `spec.default`, except one (R3).
    pub fn claims(&self, namespace: &str, except: &str) -> Vec<DefaultClaim> {
        let state = self.state();
        let Some(space) = state.namespaces.get(namespace) else { return Vec::new() };
        space
            .connections
            .values()
            .filter(|c| c.spec.default && c.name_any() != except)
            .map(|c| DefaultClaim { created: created(&c.metadata), name: c.name_any() })
            .collect()
    }

    /// A rule without its filters, and whether they are evaluated.
    pub fn rule(&self, namespace: &str, name: &str) -> Option<(Arc<AutomationRule>, Evaluation)> {
        let state = self.state();
        let rule = state.namespaces.get(namespace)?.rules.get(name)?;
        Some((rule.object.clone(), rule.evaluation()))
    }

    /// The rules that name a connection, are active on it or are reserved in it.
    pub fn rules_of_connection(&self, connection: &DynamicsConnection) -> Vec<RuleFacts> {
        let state = self.state();
        let (name, uid) = (connection.name_any(), connection.uid().unwrap_or_default());
        let reserved: HashSet<&str> =
            connection.status.iter().flat_map(|s| s.active_rules.iter().map(|e| e.uid.as_str())).collect();
        let Some(space) = state.namespaces.get(connection.namespace().unwrap_or_default().as_str()) else {
            return Vec::new();
        };
        space
            .rules
            .all()
            .map(|r| &*r.facts)
            .filter(|r| {
                r.connection == name
                    || r.active_on.as_deref() == Some(uid.as_str())
                    || reserved.contains(r.uid.as_str())
            })
            .cloned()
            .collect()
    }

    pub fn snapshot(&self, key: &Key) -> Option<LinkSnapshot> {
        let state = self.state();
        let entry = state.links.get(state.interner.find(&key.namespace)?, &key.name)?;
        let space = state.namespaces.get(&key.namespace);
        let matching = entry.matching();
        let matching: HashSet<&str> = matching.iter().map(|uid| &**state.interner.text(*uid)).collect();
        let rules = space.into_iter().flat_map(|s| s.rules.all());
        // Until the posts are matched again, a rule that does not fit any more may be among them.
        let matching = rules
            .filter(|r| r.evaluation() == Evaluation::Evaluated && matching.contains(r.facts.uid.as_str()))
            .map(|r| r.facts.clone());
        Some(LinkSnapshot {
            facts: entry.facts(&state.interner),
            uid: entry.uid,
            version: entry.version,
            status_hash: entry.status_hash,
            connections: space.map(|s| s.connection_facts.clone()).unwrap_or_default(),
            matching: matching.collect(),
            same_post: state.links.first_other(entry),
        })
    }

    /// Whether a PostLink has a link that is about another post than its own.
    pub fn post_changed(&self, key: &Key) -> bool {
        let state = self.state();
        state.link(&key.namespace, &key.name).is_some_and(Entry::post_changed)
    }

    pub fn tombstone(&self, uid: &str) -> Option<Tombstone> {
        self.state().tombstones.get(uid).copied()
    }

    /// The PostLinks that are linked through a connection.
    pub fn keys_through(&self, uid: &str) -> Vec<Key> {
        let state = self.state();
        let Some(symbol) = state.interner.find(uid) else { return Vec::new() };
        state.links.of_connection(symbol).map(|entry| state.key(entry)).collect()
    }

    /// Those of `keys` that are still linked through the connection, with their activities. One has some hundred bytes, so
    /// not all of a connection are taken at once.
    pub fn links_through(&self, uid: &str, keys: &[Key]) -> Vec<LinkThrough> {
        let state = self.state();
        let Some(symbol) = state.interner.find(uid) else { return Vec::new() };
        keys.iter()
            .filter_map(|key| {
                let entry = state.link(&key.namespace, &key.name)?;
                (entry.connection() == Some(symbol)).then_some(LinkThrough {
                    key: key.clone(),
                    link: entry.link(&state.interner)?,
                    available: entry.condition(ConditionType::RecordAvailable).map(|(_, reason)| reason),
                })
            })
            .collect()
    }

    /// The number of PostLinks.
    pub fn links(&self) -> usize {
        self.state().links.len()
    }

    /// The keys of one kind in one namespace, or in all, whose UIDs are not among `found`: after a complete list, the objects
    /// that were deleted while a watch was interrupted.
    pub fn missing(&self, kind: Kind, namespace: Option<&str>, found: &HashSet<Uuid>) -> Vec<Key> {
        let state = self.state();
        let in_scope = |name: &str| namespace.is_none_or(|wanted| wanted == name);
        if kind == Kind::PostLink {
            let entries = state.links.all().filter(|entry| in_scope(state.interner.text(entry.namespace)));
            return entries
                .filter(|entry| !found.contains(&entry.uid))
                .map(|entry| state.key(entry))
                .collect();
        }
        let spaces = state.namespaces.iter().filter(|(name, _)| in_scope(name));
        let missing = spaces.flat_map(|(namespace, space)| {
            let uids: Vec<(&String, String)> = match kind {
                Kind::DynamicsConnection => {
                    space.connections.iter().map(|(name, c)| (name, c.uid().unwrap_or_default())).collect()
                }
                _ => space.rules.named().map(|(name, rule)| (name, rule.facts.uid.clone())).collect(),
            };
            let missing = uids.into_iter().filter(|(_, uid)| !found.contains(&entry::uid(uid)));
            missing.map(|(name, _)| Key::new(kind, namespace.clone(), name.as_str())).collect::<Vec<_>>()
        });
        missing.collect()
    }
}

impl state::IndexState {
    fn affected_by_rules(&self, namespace: &Arc<str>, change: RulesChange) -> Affected {
        let RulesChange { before, after, refitted, rematch } = change;
        let mut affected = self.affected_by_rule(namespace, before.as_deref(), after.as_deref());
        let refitted =
            refitted.into_iter().map(|name| Key::new(Kind::AutomationRule, namespace.clone(), name));
        affected.keys.extend(refitted);
        affected.rematch = rematch.then(|| namespace.clone());
        affected
    }
}

/// Whether an object is newer than the stored resourceVersion.
fn newer(stored: Option<&str>, metadata: &kube::core::ObjectMeta) -> bool {
    entry::version(metadata.resource_version.as_deref()) > entry::version(stored)
}
