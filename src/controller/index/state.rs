//! The state of the index, and the types it returns.

use super::{entry::Entry, interner::Interner, links::Links, lists::Lists, rules::Rules, share::Share};
use crate::{
    api::{DynamicsConnection, LinkState, Reason},
    controller::key::{Key, Kind},
    domain::{
        facts::{ConnectionFacts, RuleFacts},
        post_link::{PostClaim, PostLinkFacts, Tombstone},
    },
};
use kube::ResourceExt;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use uuid::Uuid;

/// Tombstones that are kept although no link may need them any more.
const TOMBSTONE_SLACK: usize = 1024;

/// Clones share the index.
#[derive(Clone, Default)]
pub struct Index(Arc<Mutex<IndexState>>);

impl Index {
    pub(super) fn state(&self) -> MutexGuard<'_, IndexState> {
        // Every change of the state is complete before anything can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
pub(super) struct IndexState {
    pub(super) interner: Interner,
    pub(super) lists: Lists,
    pub(super) namespaces: BTreeMap<Arc<str>, Namespace>,
    /// Deleted connections, by UID.
    pub(super) tombstones: HashMap<String, Tombstone>,
    /// With this many tombstones, those of connections without links are dropped.
    tombstones_full: usize,
    pub(super) links: Links,
}

#[derive(Default)]
pub(super) struct Namespace {
    pub(super) connections: BTreeMap<String, Arc<DynamicsConnection>>,
    /// Of the connections, by name.
    pub(super) connection_facts: Arc<Vec<Arc<ConnectionFacts>>>,
    pub(super) rules: Rules,
    /// For matching posts as they arrive.
    pub(super) share: Share,
}

/// A PostLink whose link goes through a connection.
#[derive(Clone, Debug)]
pub struct LinkThrough {
    pub key: Key,
    /// Its activity and record.
    pub link: LinkState,
    /// The reason of its `RecordAvailable` condition.
    pub available: Option<Reason>,
}

/// The input of the decision about a PostLink.
pub struct LinkSnapshot {
    pub facts: PostLinkFacts,
    pub uid: Uuid,
    /// The resourceVersion its status is written over.
    pub version: u64,
    /// Hash of the stored status.
    pub status_hash: u64,
    /// All connections of the namespace.
    pub connections: Arc<Vec<Arc<ConnectionFacts>>>,
    /// The rules whose filters match.
    pub matching: Vec<Arc<RuleFacts>>,
    /// Of the other PostLinks of the same post, the one that counts.
    pub same_post: Option<PostClaim>,
}

/// Where an object came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A watch or its list, which also delivers the deletion.
    Watch,
    /// The response to our own read or write. The watch may already have delivered the deletion, so it updates a stored
    /// object but never adds one.
    Response,
}

impl Source {
    /// Whether it may store the object with `uid` over the one with the UID `stored` under the same name.
    pub(super) fn may_store<U: PartialEq>(self, stored: Option<&U>, uid: Option<&U>) -> bool {
        // A different object of that name has to come from the watch, after the deletion of the stored one.
        self == Self::Watch || (stored.is_some() && stored == uid)
    }
}

/// What a change affects.
#[derive(Default)]
pub struct Affected {
    /// The objects to reconcile.
    pub keys: Vec<Key>,
    /// The namespace whose posts to match again, because a rule was activated or edited.
    pub rematch: Option<Arc<str>>,
}

impl Namespace {
    pub(super) fn facts(&self, connection: &str) -> Option<&Arc<ConnectionFacts>> {
        let at = self.connection_facts.binary_search_by(|facts| facts.name.as_str().cmp(connection)).ok()?;
        self.connection_facts.get(at)
    }

    pub(super) fn set_facts(&mut self, connection: &str, facts: Option<Arc<ConnectionFacts>>) {
        let all = Arc::make_mut(&mut self.connection_facts);
        match (all.binary_search_by(|facts| facts.name.as_str().cmp(connection)), facts) {
            (Ok(at), Some(facts)) => all[at] = facts,
            (Err(at), Some(facts)) => all.insert(at, facts),
            (Ok(at), None) => {
                all.remove(at);
            }
            (Err(_), None) => {}
        }
    }
}

impl IndexState {
    pub(super) fn key(&self, entry: &Entry) -> Key {
        Key::new(Kind::PostLink, self.interner.text(entry.namespace).clone(), &*entry.name)
    }

    /// Drops a namespace that has neither connections nor rules any more.
    pub(super) fn drop_empty(&mut self, namespace: &str) {
        let empty = |space: &Namespace| space.connections.is_empty() && space.rules.is_empty();
        if self.namespaces.get(namespace).is_some_and(empty) {
            self.namespaces.remove(namespace);
        }
    }

    /// Drops strings and tombstones that no PostLink refers to any more.
    pub(super) fn collect_garbage(&mut self) {
        let tombstones_full = self.tombstones_full.max(TOMBSTONE_SLACK);
        if !self.interner.is_full() && self.tombstones.len() < tombstones_full {
            return;
        }
        self.lists.drop_unused();
        let used = self.links.all().flat_map(Entry::symbols).chain(self.lists.symbols()).collect();
        self.interner.keep(&used);
        // Without its tombstone, a deleted connection is confirmed by a live read.
        self.tombstones.retain(|uid, _| self.interner.find(uid).is_some());
        self.tombstones_full = 2 * self.tombstones.len() + TOMBSTONE_SLACK;
    }

    pub(super) fn mark_deleted(&mut self, connection: &DynamicsConnection) {
        self.collect_garbage();
        let deleted_at = connection.metadata.deletion_timestamp.as_ref().map(|t| t.0);
        self.tombstones.insert(connection.uid().unwrap_or_default(), Tombstone { deleted_at });
    }
}
