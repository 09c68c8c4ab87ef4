//! The PostLinks of the index, by name and by the neighbors they depend on.

use super::same_post::SamePost;
use super::{
    entry::{CountKey, Entry},
    interner::Symbol,
};
use crate::domain::post_link::{PostClaim, PostIdentity};
use hashbrown::HashTable;
use std::{
    collections::{BTreeSet, HashMap},
    hash::BuildHasher,
    sync::Arc,
};

/// A slab of PostLinks, indexed by namespace and name. Linked posts are also indexed by connection, and unlinked posts that
/// depend on neighbors by namespace.
#[derive(Default)]
pub(super) struct Links {
    slab: Vec<Option<Box<Entry>>>,
    free: Vec<u32>,
    by_name: HashTable<u32>,
    same_post: SamePost,
    hasher: std::hash::RandomState,
    by_connection: HashMap<Symbol, BTreeSet<u32>>,
    dependents: HashMap<Symbol, BTreeSet<u32>>,
    /// Maintained on every change, so that a scrape does not iterate over a million links.
    counts: HashMap<CountKey, usize>,
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

    /// The hash by which PostLinks of the same post find one another. Its keys are random, so that nobody can write posts that
    /// collide.
    pub(super) fn post_hash(&self, namespace: &str, post: &PostIdentity) -> u64 {
        self.hasher.hash_one((namespace, post))
    }

    /// Of the other PostLinks of the post, the one that counts.
    pub(super) fn first_other(&self, entry: &Entry) -> Option<PostClaim> {
        self.same_post.first_other(entry.post, self.find(entry.namespace, &entry.name)?)
    }

    /// Which PostLink of a post counts, if there are several.
    pub(super) fn first_of_post(&self, post: u64) -> Option<u32> {
        self.same_post.first(post)
    }

    /// All PostLinks of a post that has several.
    pub(super) fn of_post(&self, post: u64) -> impl Iterator<Item = &Entry> {
        self.same_post.all(post).filter_map(|slot| self.slab[slot as usize].as_deref())
    }

    pub(super) fn set_matching(&mut self, namespace: Symbol, name: &str, rules: Arc<[Symbol]>) {
        self.change(namespace, name, |entry| entry.set_matching(rules));
    }

    pub(super) fn change(&mut self, namespace: Symbol, name: &str, change: impl FnOnce(&mut Entry)) {
        let Some(slot) = self.find(namespace, name) else { return };
        self.remove_from_indexes(slot);
        if let Some(entry) = &mut self.slab[slot as usize] {
            change(entry);
        }
        self.add_to_indexes(slot);
    }

    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Entry> {
        self.slab.iter().filter_map(Option::as_deref)
    }

    pub(super) fn insert(&mut self, entry: Entry) {
        let slot = if let Some(slot) = self.find(entry.namespace, &entry.name) {
            self.remove_from_indexes(slot);
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
        self.add_to_indexes(slot);
    }

    pub(super) fn remove(&mut self, namespace: Symbol, name: &str) {
        let Some(slot) = self.find(namespace, name) else { return };
        let hash = self.hash(namespace, name);
        if let Ok(found) = self.by_name.find_entry(hash, |s| *s == slot) {
            found.remove();
        }
        self.remove_from_indexes(slot);
        self.slab[slot as usize] = None;
        self.free.push(slot);
    }

    fn add_to_indexes(&mut self, slot: u32) {
        let Some(entry) = &self.slab[slot as usize] else { return };
        *self.counts.entry(entry.count_key()).or_default() += 1;
        let claim_of = |slot: u32| self.slab[slot as usize].as_ref().and_then(|entry| entry.claim());
        self.same_post.insert(entry.post, slot, entry.claim(), claim_of);
        if let Some(uid) = entry.connection() {
            self.by_connection.entry(uid).or_default().insert(slot);
        }
        if entry.depends_on_neighbors() {
            self.dependents.entry(entry.namespace).or_default().insert(slot);
        }
    }

    fn remove_from_indexes(&mut self, slot: u32) {
        let Some(entry) = &self.slab[slot as usize] else { return };
        self.same_post.remove(entry.post, slot, entry.claim());
        let key = entry.count_key();
        if let Some(count) = self.counts.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&key);
            }
        }
        let (dependents, by_connection) = (&mut self.dependents, &mut self.by_connection);
        let indexes = [(Some(entry.namespace), dependents), (entry.connection(), by_connection)];
        for (symbol, slots) in indexes {
            let Some(symbol) = symbol else { continue };
            if let Some(of_symbol) = slots.get_mut(&symbol) {
                of_symbol.remove(&slot);
                if of_symbol.is_empty() {
                    slots.remove(&symbol);
                }
            }
        }
    }

    /// PostLinks of a namespace that a neighbor's change can affect.
    pub(super) fn dependents(&self, namespace: Symbol) -> impl Iterator<Item = &Entry> {
        self.entries(self.dependents.get(&namespace))
    }

    /// PostLinks linked through a connection, by its UID.
    pub(super) fn of_connection(&self, uid: Symbol) -> impl Iterator<Item = &Entry> {
        self.entries(self.by_connection.get(&uid))
    }

    pub(super) fn counts(&self) -> impl Iterator<Item = (&CountKey, usize)> {
        self.counts.iter().map(|(key, count)| (key, *count))
    }

    fn entries(&self, slots: Option<&BTreeSet<u32>>) -> impl Iterator<Item = &Entry> {
        slots.into_iter().flatten().filter_map(|slot| self.slab[*slot as usize].as_deref())
    }
}
