//! The PostLinks of the index, each found by its name, and by the neighbours it depends on.

use super::{
    entry::{Entry, Group},
    interner::Symbol,
};
use hashbrown::HashTable;
use std::{
    collections::{BTreeSet, HashMap},
    hash::BuildHasher,
};

/// The PostLinks: a slab, found by namespace and name; those with a link also by connection, those that something may
/// become of by namespace.
#[derive(Default)]
pub(super) struct Links {
    slab: Vec<Option<Box<Entry>>>,
    free: Vec<u32>,
    by_name: HashTable<u32>,
    hasher: std::hash::RandomState,
    by_connection: HashMap<Symbol, BTreeSet<u32>>,
    listening: HashMap<Symbol, BTreeSet<u32>>,
    /// How many links have what in common, kept up as they change: a scrape must not walk a million of them.
    groups: HashMap<Group, usize>,
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

    pub(super) fn get(&self, namespace: Symbol, name: &str) -> Option<&Entry> {
        self.slab[self.find(namespace, name)? as usize].as_deref()
    }

    /// Other rules match the post now.
    pub(super) fn set_matching(&mut self, namespace: Symbol, name: &str, rules: Box<[Symbol]>) {
        let Some(slot) = self.find(namespace, name) else { return };
        self.strike(slot);
        if let Some(entry) = &mut self.slab[slot as usize] {
            entry.set_matching(rules);
        }
        self.note(slot);
    }

    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Entry> {
        self.slab.iter().filter_map(Option::as_deref)
    }

    pub(super) fn insert(&mut self, entry: Entry) {
        let slot = if let Some(slot) = self.find(entry.namespace, &entry.name) {
            self.strike(slot);
            slot
        } else {
            let hash = self.hash(entry.namespace, &entry.name);
            let slot = self.free.pop().unwrap_or_else(|| {
                self.slab.push(None);
                u32::try_from(self.slab.len() - 1).unwrap_or(u32::MAX)
            });
            let (slab, hasher) = (&self.slab, &self.hasher);
            let rehash = |slot: &u32| {
                slab[*slot as usize].as_ref().map_or(0, |e| hasher.hash_one((e.namespace, &*e.name)))
            };
            self.by_name.insert_unique(hash, slot, rehash);
            slot
        };
        self.slab[slot as usize] = Some(Box::new(entry));
        self.note(slot);
    }

    pub(super) fn remove(&mut self, namespace: Symbol, name: &str) {
        let Some(slot) = self.find(namespace, name) else { return };
        let hash = self.hash(namespace, name);
        if let Ok(found) = self.by_name.find_entry(hash, |s| *s == slot) {
            found.remove();
        }
        self.strike(slot);
        self.slab[slot as usize] = None;
        self.free.push(slot);
    }

    /// Notes under which neighbours the entry in a slot is found.
    fn note(&mut self, slot: u32) {
        let Some(entry) = &self.slab[slot as usize] else { return };
        *self.groups.entry(entry.group()).or_default() += 1;
        if let Some(uid) = entry.connection() {
            self.by_connection.entry(uid).or_default().insert(slot);
        }
        if entry.listens() {
            self.listening.entry(entry.namespace).or_default().insert(slot);
        }
    }

    /// Takes those notes back.
    fn strike(&mut self, slot: u32) {
        let Some(entry) = &self.slab[slot as usize] else { return };
        let group = entry.group();
        if let Some(count) = self.groups.get_mut(&group) {
            *count -= 1;
            if *count == 0 {
                self.groups.remove(&group);
            }
        }
        let (listening, by_connection) = (&mut self.listening, &mut self.by_connection);
        let places = [(Some(entry.namespace), listening), (entry.connection(), by_connection)];
        for (symbol, slots) in places {
            let Some(symbol) = symbol else { continue };
            if let Some(of_symbol) = slots.get_mut(&symbol) {
                of_symbol.remove(&slot);
                if of_symbol.is_empty() {
                    slots.remove(&symbol);
                }
            }
        }
    }

    /// Those of a namespace that something may become of without their own doing.
    pub(super) fn listening(&self, namespace: Symbol) -> impl Iterator<Item = &Entry> {
        self.entries(self.listening.get(&namespace))
    }

    /// Those that go through a connection, by its UID.
    pub(super) fn of_connection(&self, uid: Symbol) -> impl Iterator<Item = &Entry> {
        self.entries(self.by_connection.get(&uid))
    }

    /// How many have what in common.
    pub(super) fn groups(&self) -> impl Iterator<Item = (&Group, usize)> {
        self.groups.iter().map(|(group, count)| (group, *count))
    }

    fn entries(&self, slots: Option<&BTreeSet<u32>>) -> impl Iterator<Item = &Entry> {
        slots.into_iter().flatten().filter_map(|slot| self.slab[*slot as usize].as_deref())
    }
}
