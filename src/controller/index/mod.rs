//! What the watches told, as pure state: apply and delete, neighbours and views. No I/O, no clock, no waiting.
//!
//! Connections and rules are kept whole: there are few. A PostLink is an [`entry::Entry`].

pub mod entry;
mod groups;
mod links;
mod neighbours;
mod numbers;
mod posts;
pub mod symbols;
#[cfg(test)]
mod tests;

use super::queue::{Key, Kind};
use crate::api::{AutomationRule, ConditionType, DynamicsConnection};
use crate::rules::{
    connection::Claim,
    facts::{ConnectionFacts, RuleFacts, created},
    link::{Gone, LinkFacts},
    matching::Matcher,
};
use entry::Entry;
use kube::ResourceExt;
use links::Links;
use posts::{Filter, Filters};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use symbols::Symbols;
use uuid::Uuid;

/// The index; clones share it.
#[derive(Clone, Default)]
pub struct Index(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    symbols: Symbols,
    namespaces: BTreeMap<Arc<str>, Namespace>,
    gone: HashMap<String, Gone>,
    links: Links,
}

#[derive(Default)]
struct Namespace {
    connections: BTreeMap<String, Arc<DynamicsConnection>>,
    connection_facts: Arc<Vec<ConnectionFacts>>,
    rules: BTreeMap<String, Rule>,
    /// Of the rules that want to be at work; made when a post asks for them after a change.
    filters: Option<Arc<Filters>>,
}

struct Rule {
    object: Arc<AutomationRule>,
    facts: RuleFacts,
    filter: Arc<Filter>,
}

/// A link that hangs on an activity of an instance, for the instance's watcher.
#[derive(Clone, Debug)]
pub struct Hanging {
    /// The link.
    pub key: Key,
    /// Its activity and record.
    pub link: crate::api::LinkState,
    /// What its status says of the record now.
    pub available: Option<crate::api::Reason>,
}

/// What a key needs to be decided.
pub struct LinkLook {
    /// The link.
    pub facts: LinkFacts,
    /// Its UID.
    pub uid: Uuid,
    /// The resourceVersion its status is written over.
    pub version: u64,
    /// What its stored status says, as one number.
    pub status_hash: u64,
    /// All connections of the namespace.
    pub connections: Arc<Vec<ConnectionFacts>>,
    /// The rules whose filters match.
    pub matching: Vec<RuleFacts>,
}

/// Where an object was learned from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// From a watch or its list, which will tell of the deletion as well.
    Watch,
    /// From the answer to a read or a write of our own. The deletion may have overtaken it and is not told twice, so it
    /// brings what is known up to date, and nothing back that is gone.
    Answer,
}

impl Source {
    /// Whether it may tell of the object with this UID, when that one is known by its name.
    fn may_tell<U: PartialEq>(self, known: Option<&U>, uid: Option<&U>) -> bool {
        // Of another object of that name the watch has to tell: it comes after the deletion of the known one.
        self == Self::Watch || (known.is_some() && known == uid)
    }
}

/// What has to be looked at after something was applied.
#[derive(Default)]
pub struct Touched {
    /// The keys.
    pub keys: Vec<Key>,
    /// A rule was switched on or edited: the posts of this namespace are to be matched again.
    pub rematch: Option<Arc<str>>,
}

impl Index {
    fn state(&self) -> MutexGuard<'_, State> {
        // Every change below is complete before anything can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection as it is now. Nothing is touched when this is not news.
    pub fn apply_connection(&self, connection: DynamicsConnection, source: Source) -> Touched {
        let mut state = self.state();
        let namespace: Arc<str> = connection.namespace().unwrap_or_default().into();
        let name = connection.name_any();
        let space = state.namespaces.entry(namespace.clone()).or_default();
        let old = space.connections.get(&name);
        if old.is_some_and(|o| !newer(o.metadata.resource_version.as_deref(), &connection.metadata))
            || !source.may_tell(old.and_then(|o| o.metadata.uid.as_ref()), connection.metadata.uid.as_ref())
        {
            return Touched::default();
        }
        let before = old.map(|o| ConnectionFacts::of(o));
        let replaced = old.filter(|o| o.uid() != connection.uid()).cloned();
        let after = ConnectionFacts::of(&connection);
        space.connections.insert(name.clone(), Arc::new(connection));
        space.refresh();
        if let Some(replaced) = replaced {
            state.bury(&replaced);
        }
        let mut touched = state.around_connection(&namespace, &name, before.as_ref(), Some(&after));
        touched.keys.push(Key::new(Kind::Connection, namespace, name));
        touched
    }

    /// A connection is gone: its deletion was seen, or a write of ours proved the one with this UID gone. Then another
    /// one of that name may be known by now.
    pub fn delete_connection(&self, namespace: &str, name: &str, only: Option<&str>) -> Touched {
        let mut state = self.state();
        let Some(space) = state.namespaces.get_mut(namespace) else { return Touched::default() };
        if only.is_some() && space.connections.get(name).and_then(|c| c.uid()).as_deref() != only {
            return Touched::default();
        }
        let Some(old) = space.connections.remove(name) else { return Touched::default() };
        space.refresh();
        state.bury(&old);
        let before = ConnectionFacts::of(&old);
        state.around_connection(namespace, name, Some(&before), None)
    }

    /// A live read proved that no connection has that UID any more.
    pub fn bury(&self, uid: &str) {
        self.state().gone.entry(uid.to_owned()).or_insert(Gone { deleted_at: None });
    }

    /// A rule as it is now.
    pub fn apply_rule(&self, rule: AutomationRule, source: Source) -> Touched {
        let mut state = self.state();
        let namespace: Arc<str> = rule.namespace().unwrap_or_default().into();
        let name = rule.name_any();
        let space = state.namespaces.entry(namespace.clone()).or_default();
        let old = space.rules.get(&name);
        if old.is_some_and(|o| !newer(o.object.metadata.resource_version.as_deref(), &rule.metadata))
            || !source.may_tell(old.and_then(|o| o.object.metadata.uid.as_ref()), rule.metadata.uid.as_ref())
        {
            return Touched::default();
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
        space.rules.insert(name.clone(), Rule { object: Arc::new(rule), facts: facts.clone(), filter });
        if other {
            space.filters = None;
        }
        let mut touched = state.around_rule(&namespace, before.as_ref(), Some(&facts));
        touched.rematch = rematch.then(|| namespace.clone());
        touched.keys.push(Key::new(Kind::Rule, namespace, name));
        touched
    }

    /// A rule is gone.
    pub fn delete_rule(&self, namespace: &str, name: &str) -> Touched {
        let mut state = self.state();
        let Some(space) = state.namespaces.get_mut(namespace) else { return Touched::default() };
        let Some(old) = space.rules.remove(name) else { return Touched::default() };
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
    pub fn claims(&self, namespace: &str, but: &str) -> Vec<Claim> {
        let state = self.state();
        let Some(space) = state.namespaces.get(namespace) else { return Vec::new() };
        space
            .connections
            .values()
            .filter(|c| c.spec.default && c.name_any() != but)
            .map(|c| Claim { created: created(&c.metadata), name: c.name_any() })
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
    pub fn look(&self, key: &Key) -> Option<LinkLook> {
        let state = self.state();
        let entry = state.links.get(state.symbols.find(&key.namespace)?, &key.name)?;
        let space = state.namespaces.get(&key.namespace);
        let wanted: HashSet<&str> = entry.matching().iter().map(|uid| &**state.symbols.text(*uid)).collect();
        let rules = space.into_iter().flat_map(|s| s.rules.values());
        let matching = rules.filter(|r| wanted.contains(r.facts.uid.as_str())).map(|r| r.facts.clone());
        Some(LinkLook {
            facts: entry.facts(&state.symbols),
            uid: entry.uid,
            version: entry.version,
            status_hash: entry.status_hash,
            connections: space.map(|s| s.connection_facts.clone()).unwrap_or_default(),
            matching: matching.collect(),
        })
    }

    /// Whether a connection UID is proven gone.
    pub fn gone(&self, uid: &str) -> Option<Gone> {
        self.state().gone.get(uid).copied()
    }

    /// The links that go through a connection, with their activities.
    pub fn hanging_on(&self, uid: &str) -> Vec<Hanging> {
        let state = self.state();
        let Some(symbol) = state.symbols.find(uid) else { return Vec::new() };
        state
            .links
            .of_connection(symbol)
            .filter_map(|entry| {
                Some(Hanging {
                    key: state.key(entry),
                    link: entry.link(&state.symbols)?,
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
            Kind::Link => {
                let entries = state.links.all();
                entries.map(|e| state.key(e)).filter(|k| wanted(&k.namespace)).collect()
            }
            _ => state
                .namespaces
                .iter()
                .filter(|(n, _)| wanted(n))
                .flat_map(|(n, space)| {
                    let names: Vec<&String> = match kind {
                        Kind::Connection => space.connections.keys().collect(),
                        _ => space.rules.keys().collect(),
                    };
                    names.into_iter().map(|name| Key::new(kind, n.clone(), name.as_str())).collect::<Vec<_>>()
                })
                .collect(),
        }
    }
}

impl Namespace {
    fn refresh(&mut self) {
        self.connection_facts = Arc::new(self.connections.values().map(|c| ConnectionFacts::of(c)).collect());
    }
}

impl State {
    fn key(&self, entry: &Entry) -> Key {
        Key::new(Kind::Link, self.symbols.text(entry.namespace).clone(), &*entry.name)
    }

    fn bury(&mut self, connection: &DynamicsConnection) {
        let deleted_at = connection.metadata.deletion_timestamp.as_ref().map(|t| t.0);
        self.gone.insert(connection.uid().unwrap_or_default(), Gone { deleted_at });
    }
}

/// Whether an object is newer than a version already known.
fn newer(known: Option<&str>, metadata: &kube::core::ObjectMeta) -> bool {
    entry::version(metadata.resource_version.as_deref()) > entry::version(known)
}
