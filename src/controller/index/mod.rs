//! What the watches told, as pure state: apply and delete, neighbours and views. No I/O, no clock, no waiting.
//!
//! Connections and rules are kept whole: there are few. A PostLink is an [`entry::Entry`].

pub mod entry;
pub mod symbols;

use super::queue::{Key, Kind};
use crate::api::{AutomationRule, ConditionType, DynamicsConnection, PostLink, RemovalCause};
use crate::rules::{
    connection::Claim,
    facts::{ConnectionFacts, RuleFacts, created},
    link::{Gone, LinkFacts},
    matching::Matcher,
};
use entry::Entry;
use hashbrown::HashTable;
use jiff::Timestamp;
use kube::ResourceExt;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::BuildHasher,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use symbols::{Symbol, Symbols};
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
}

struct Rule {
    object: Arc<AutomationRule>,
    facts: RuleFacts,
    matcher: Arc<Matcher>,
}

/// The PostLinks: a slab, found by namespace and name, by connection and by organisation.
#[derive(Default)]
struct Links {
    slab: Vec<Option<Box<Entry>>>,
    free: Vec<u32>,
    by_name: HashTable<u32>,
    hasher: std::hash::RandomState,
    by_connection: HashMap<Symbol, BTreeSet<u32>>,
    by_namespace: HashMap<Symbol, BTreeSet<u32>>,
}

impl Links {
    fn hash(&self, namespace: Symbol, name: &str) -> u64 {
        self.hasher.hash_one((namespace, name))
    }

    fn find(&self, namespace: Symbol, name: &str) -> Option<u32> {
        let hash = self.hash(namespace, name);
        let same = |slot: &u32| {
            self.slab[*slot as usize].as_ref().is_some_and(|e| e.namespace == namespace && *e.name == *name)
        };
        self.by_name.find(hash, same).copied()
    }

    fn get(&self, namespace: Symbol, name: &str) -> Option<&Entry> {
        self.slab[self.find(namespace, name)? as usize].as_deref()
    }

    fn insert(&mut self, entry: Entry) {
        let (namespace, connection) = (entry.namespace, entry.link.as_ref().map(|l| l.connection_uid));
        let slot = if let Some(slot) = self.find(namespace, &entry.name) {
            let old = self.slab[slot as usize].replace(Box::new(entry));
            if let Some(uid) = old.and_then(|o| o.link.as_ref().map(|l| l.connection_uid)) {
                self.drop_from_connection(uid, slot);
            }
            slot
        } else {
            let hash = self.hash(namespace, &entry.name);
            let slot = if let Some(slot) = self.free.pop() {
                self.slab[slot as usize] = Some(Box::new(entry));
                slot
            } else {
                self.slab.push(Some(Box::new(entry)));
                u32::try_from(self.slab.len() - 1).unwrap_or(u32::MAX)
            };
            let (slab, hasher) = (&self.slab, &self.hasher);
            let rehash = |slot: &u32| {
                slab[*slot as usize].as_ref().map_or(0, |e| hasher.hash_one((e.namespace, &*e.name)))
            };
            self.by_name.insert_unique(hash, slot, rehash);
            self.by_namespace.entry(namespace).or_default().insert(slot);
            slot
        };
        if let Some(uid) = connection {
            self.by_connection.entry(uid).or_default().insert(slot);
        }
    }

    fn drop_from_connection(&mut self, uid: Symbol, slot: u32) {
        if let Some(slots) = self.by_connection.get_mut(&uid) {
            slots.remove(&slot);
            if slots.is_empty() {
                self.by_connection.remove(&uid);
            }
        }
    }

    fn remove(&mut self, namespace: Symbol, name: &str) -> Option<Box<Entry>> {
        let slot = self.find(namespace, name)?;
        let hash = self.hash(namespace, name);
        if let Ok(found) = self.by_name.find_entry(hash, |s| *s == slot) {
            found.remove();
        }
        if let Some(slots) = self.by_namespace.get_mut(&namespace) {
            slots.remove(&slot);
        }
        let entry = self.slab[slot as usize].take();
        if let Some(uid) = entry.as_ref().and_then(|e| e.link.as_ref().map(|l| l.connection_uid)) {
            self.drop_from_connection(uid, slot);
        }
        self.free.push(slot);
        entry
    }

    fn of_namespace(&self, namespace: Symbol) -> impl Iterator<Item = &Entry> {
        self.by_namespace
            .get(&namespace)
            .into_iter()
            .flatten()
            .filter_map(|s| self.slab[*s as usize].as_deref())
    }

    fn of_connection(&self, uid: Symbol) -> impl Iterator<Item = &Entry> {
        self.by_connection.get(&uid).into_iter().flatten().filter_map(|s| self.slab[*s as usize].as_deref())
    }
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

/// What has to be looked at after something was applied.
#[derive(Default)]
pub struct Touched {
    /// The keys.
    pub keys: Vec<Key>,
    /// A rule was switched on or edited: its namespace's posts are to be matched again.
    pub rematch: Option<Key>,
}

impl Index {
    fn state(&self) -> MutexGuard<'_, State> {
        // Every change below is complete before anything can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection as it is now. `None` when this is not news.
    pub fn apply_connection(&self, connection: DynamicsConnection) -> Touched {
        let mut state = self.state();
        let namespace: Arc<str> = connection.namespace().unwrap_or_default().into();
        let name = connection.name_any();
        let space = state.namespaces.entry(namespace.clone()).or_default();
        let old = space.connections.get(&name);
        if old.is_some_and(|o| !newer(o.metadata.resource_version.as_deref(), &connection.metadata)) {
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

    /// A connection is gone: its deletion was seen.
    pub fn delete_connection(&self, namespace: &str, name: &str) -> Touched {
        let mut state = self.state();
        let Some(space) = state.namespaces.get_mut(namespace) else { return Touched::default() };
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
    pub fn apply_rule(&self, rule: AutomationRule) -> Touched {
        let mut state = self.state();
        let namespace: Arc<str> = rule.namespace().unwrap_or_default().into();
        let name = rule.name_any();
        let space = state.namespaces.entry(namespace.clone()).or_default();
        let old = space.rules.get(&name);
        if old.is_some_and(|o| !newer(o.object.metadata.resource_version.as_deref(), &rule.metadata)) {
            return Touched::default();
        }
        let facts = RuleFacts::of(&rule);
        let before = old.map(|o| o.facts.clone());
        let same_filters =
            old.is_some_and(|o| o.object.spec.match_ == rule.spec.match_ && o.facts.uid == facts.uid);
        let matcher = match old {
            Some(old) if same_filters => old.matcher.clone(),
            _ => Arc::new(Matcher::new(rule.spec.match_.as_ref())),
        };
        let switched_on = facts.wants_active && before.as_ref().is_none_or(|b| !b.wants_active);
        let rematch = facts.wants_active && (switched_on || !same_filters);
        let kept = Rule { object: Arc::new(rule), facts: facts.clone(), matcher };
        space.rules.insert(name.clone(), kept);
        let mut touched = state.around_rule(&namespace, before.as_ref(), Some(&facts));
        let key = Key::new(Kind::Rule, namespace, name);
        touched.rematch = rematch.then(|| key.clone());
        touched.keys.push(key);
        touched
    }

    /// A rule is gone.
    pub fn delete_rule(&self, namespace: &str, name: &str) -> Touched {
        let mut state = self.state();
        let Some(space) = state.namespaces.get_mut(namespace) else { return Touched::default() };
        let Some(old) = space.rules.remove(name) else { return Touched::default() };
        state.around_rule(namespace, Some(&old.facts), None)
    }

    /// A post link as it is now. Its text is read here, while it passes, and not kept.
    pub fn apply_link(&self, link: &PostLink, now: Timestamp) -> Touched {
        let mut state = self.state();
        let State { symbols, namespaces, links, .. } = &mut *state;
        let namespace: Arc<str> = link.namespace().unwrap_or_default().into();
        let name = link.name_any();
        let symbol = symbols.number(&namespace);
        let old = links.get(symbol, &name);
        let version = entry::version(link.metadata.resource_version.as_deref());
        if old.is_some_and(|o| o.version >= version) {
            return Touched::default();
        }
        let same = old.is_some_and(|o| o.uid == entry::uid(link.metadata.uid.as_deref().unwrap_or_default()));
        let generation = link.metadata.generation.unwrap_or(0);
        let seen = match old.map(Entry::seen) {
            Some((known, seen)) if same && i64::from(known) == generation => seen,
            // Its decision is stored already: nothing has to settle after a restart.
            _ if link.status.as_ref().is_some_and(|s| s.observed_generation == generation) => {
                Timestamp::UNIX_EPOCH
            }
            _ => now,
        };
        let matching = matching(symbols, namespaces.get(&namespace), link);
        links.insert(Entry::of(link, symbols, seen, matching));
        Touched { keys: vec![Key::new(Kind::Link, namespace, name)], rematch: None }
    }

    /// A post link is gone.
    pub fn delete_link(&self, namespace: &str, name: &str) {
        let mut state = self.state();
        if let Some(symbol) = state.symbols.find(namespace) {
            state.links.remove(symbol, name);
        }
    }

    /// Matches one post against one rule that was switched on or edited; the post's key if it may be the rule's.
    pub fn rematch(&self, rule: &Key, link: &PostLink) -> Option<Key> {
        let mut state = self.state();
        let State { symbols, namespaces, links, .. } = &mut *state;
        let space = namespaces.get(&rule.namespace)?;
        let matching = matching(symbols, Some(space), link);
        let symbol = symbols.find(&rule.namespace)?;
        let name = link.name_any();
        let slot = links.find(symbol, &name)?;
        let entry = links.slab[slot as usize].as_mut()?;
        let version = entry::version(link.metadata.resource_version.as_deref());
        // A newer one passed by the watch already, and was matched then.
        if entry.version > version || !entry.open_to_rules() || entry.matching == matching {
            return None;
        }
        entry.matching = matching;
        Some(Key::new(Kind::Link, rule.namespace.clone(), name))
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
        let matching = entry
            .matching
            .iter()
            .filter_map(|uid| {
                let uid = state.symbols.text(*uid);
                space?.rules.values().find(|r| *r.facts.uid == **uid).map(|r| r.facts.clone())
            })
            .collect();
        Some(LinkLook {
            facts: entry.facts(&state.symbols),
            uid: entry.uid,
            version: entry.version,
            status_hash: entry.status_hash,
            connections: space.map(|s| s.connection_facts.clone()).unwrap_or_default(),
            matching,
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
                    link: entry.link.as_ref()?.state(&state.symbols),
                    available: entry.condition(ConditionType::RecordAvailable).map(|(_, reason)| reason),
                })
            })
            .collect()
    }

    /// How many post links there are.
    pub fn links(&self) -> usize {
        self.state().links.by_name.len()
    }

    /// The keys of one kind in one namespace (or in all), to find what vanished while a watch was away.
    pub fn keys(&self, kind: Kind, namespace: Option<&str>) -> Vec<Key> {
        let state = self.state();
        let wanted = |n: &str| namespace.is_none_or(|w| w == n);
        match kind {
            Kind::Link => {
                let entries = state.links.slab.iter().filter_map(|e| e.as_deref());
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

    /// Who has to look again when a connection changed.
    fn around_connection(
        &self,
        namespace: &str,
        name: &str,
        before: Option<&ConnectionFacts>,
        after: Option<&ConnectionFacts>,
    ) -> Touched {
        let mut touched = Touched::default();
        if before == after {
            return touched;
        }
        let Some(space) = self.namespaces.get(namespace) else { return touched };
        let uids: Vec<&str> = [before, after].into_iter().flatten().map(|c| c.uid.as_str()).collect();
        let rule_concerned = |r: &RuleFacts| {
            r.connection == name || r.active_on.as_deref().is_some_and(|uid| uids.contains(&uid))
        };
        let rules = space.rules.values().filter(|r| rule_concerned(&r.facts));
        touched.keys.extend(rules.map(|r| Key::new(Kind::Rule, namespace, r.facts.name.as_str())));
        // A claim to be the default concerns all who make one.
        let claims = space.connections.values().filter(|c| c.spec.default && c.name_any() != name);
        touched.keys.extend(claims.map(|c| Key::new(Kind::Connection, namespace, c.name_any())));
        let seen_by_links =
            |c: &ConnectionFacts| (c.uid.clone(), c.state, c.unusable, c.organization, c.name.clone());
        let linked_concerned = before.map(seen_by_links) != after.map(seen_by_links);
        if linked_concerned {
            for uid in uids {
                if let Some(symbol) = self.symbols.find(uid) {
                    touched.keys.extend(self.links.of_connection(symbol).map(|e| self.key(e)));
                }
            }
        }
        if let Some(symbol) = self.symbols.find(namespace) {
            let listening = self.links.of_namespace(symbol).filter(|e| e.listens());
            touched.keys.extend(listening.map(|e| self.key(e)));
        }
        touched
    }

    /// Who has to look again when a rule changed.
    fn around_rule(&self, namespace: &str, before: Option<&RuleFacts>, after: Option<&RuleFacts>) -> Touched {
        let mut touched = Touched::default();
        if before == after {
            return touched;
        }
        let Some(space) = self.namespaces.get(namespace) else { return touched };
        for facts in [before, after].into_iter().flatten() {
            let concerned = space.connections.values().filter(|c| {
                c.name_any() == facts.connection
                    || facts.active_on.is_some() && facts.active_on == c.uid()
                    || c.status.iter().any(|s| s.active_rules.iter().any(|e| e.uid == facts.uid))
            });
            touched.keys.extend(concerned.map(|c| Key::new(Kind::Connection, namespace, c.name_any())));
        }
        let uid = before.or(after).map(|f| f.uid.as_str()).unwrap_or_default();
        if let (Some(namespace), Some(rule)) = (self.symbols.find(namespace), self.symbols.find(uid)) {
            let matched = self.links.of_namespace(namespace).filter(|e| e.matching.contains(&rule));
            touched.keys.extend(matched.map(|e| self.key(e)));
        }
        touched
    }
}

/// The rules whose filters match a post, for one that could become theirs.
fn matching(symbols: &mut Symbols, space: Option<&Namespace>, link: &PostLink) -> Box<[Symbol]> {
    let status = link.status.as_ref();
    let held = status.is_some_and(|s| s.link.is_some() || s.removed_link.is_some());
    if held || link.spec.link.is_some() || link.spec.unlink {
        return Box::default();
    }
    let post = crate::rules::matching::Text::of(&link.spec.post);
    space
        .into_iter()
        .flat_map(|s| s.rules.values())
        .filter(|r| r.facts.wants_active && r.matcher.matches(&post))
        .map(|r| symbols.number(&r.facts.uid))
        .collect()
}

/// Whether an object is newer than a version already known.
fn newer(known: Option<&str>, metadata: &kube::core::ObjectMeta) -> bool {
    entry::version(metadata.resource_version.as_deref()) > entry::version(known)
}

/// Whether a removed link of that cause may come back.
pub fn restorable(cause: RemovalCause) -> bool {
    cause == RemovalCause::ConnectionDeleted
}
