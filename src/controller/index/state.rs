//! The state of the index, and what it answers with.

use super::{entry::Entry, interner::Interner, links::Links};
use crate::{
    api::{AutomationRule, DynamicsConnection, LinkState, Post, Reason},
    controller::key::{Key, Kind},
    domain::{
        facts::{ConnectionFacts, RuleFacts},
        matching::{Matcher, Text},
        post_link::{PostLinkFacts, Tombstone},
    },
};
use kube::ResourceExt;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use uuid::Uuid;

/// The index; clones share it.
#[derive(Clone, Default)]
pub struct Index(Arc<Mutex<State>>);

impl Index {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // Every change of the state is complete before anything can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
pub(super) struct State {
    pub(super) interner: Interner,
    pub(super) namespaces: BTreeMap<Arc<str>, Namespace>,
    /// Connections that are gone, by UID.
    pub(super) tombstones: HashMap<String, Tombstone>,
    pub(super) links: Links,
}

#[derive(Default)]
pub(super) struct Namespace {
    pub(super) connections: BTreeMap<String, Arc<DynamicsConnection>>,
    pub(super) connection_facts: Arc<Vec<ConnectionFacts>>,
    pub(super) rules: BTreeMap<String, RuleEntry>,
    /// Of the rules that want to be active; rebuilt when a post needs them after a change.
    pub(super) filters: Option<Arc<Filters>>,
}

pub(super) struct RuleEntry {
    pub(super) object: Arc<AutomationRule>,
    pub(super) facts: RuleFacts,
    pub(super) filter: Arc<Filter>,
}

/// A PostLink whose link goes through a connection.
#[derive(Clone, Debug)]
pub struct LinkThrough {
    /// The link.
    pub key: Key,
    /// Its activity and record.
    pub link: LinkState,
    /// What its status says of the record now.
    pub available: Option<Reason>,
}

/// What the decision about a PostLink needs.
pub struct LinkSnapshot {
    /// The link.
    pub facts: PostLinkFacts,
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
    pub(super) fn may_tell<U: PartialEq>(self, known: Option<&U>, uid: Option<&U>) -> bool {
        // Of another object of that name the watch has to tell: it comes after the deletion of the known one.
        self == Self::Watch || (known.is_some() && known == uid)
    }
}

/// What a change affects.
#[derive(Default)]
pub struct Affected {
    /// To reconcile.
    pub keys: Vec<Key>,
    /// A rule was activated or edited: the posts of this namespace are to be matched again.
    pub rematch: Option<Arc<str>>,
}

/// What a rule asks of a post.
pub(super) struct Filter {
    /// The rule's UID.
    pub(super) rule: String,
    pub(super) matcher: Matcher,
}

/// The filters of all rules of a namespace that want to be at work. They are made anew when one changes, so as long as
/// they are the same ones nothing has changed.
pub(super) struct Filters(pub(super) Vec<Arc<Filter>>);

impl Filters {
    /// The UIDs of the rules that match a post.
    pub(super) fn matching(&self, post: &Post) -> Vec<String> {
        let text = Text::of(post);
        self.0.iter().filter(|f| f.matcher.matches(&text)).map(|f| f.rule.clone()).collect()
    }
}

impl Namespace {
    pub(super) fn refresh(&mut self) {
        self.connection_facts = Arc::new(self.connections.values().map(|c| ConnectionFacts::of(c)).collect());
    }
}

impl State {
    pub(super) fn key(&self, entry: &Entry) -> Key {
        Key::new(Kind::PostLink, self.interner.text(entry.namespace).clone(), &*entry.name)
    }

    pub(super) fn mark_deleted(&mut self, connection: &DynamicsConnection) {
        let deleted_at = connection.metadata.deletion_timestamp.as_ref().map(|t| t.0);
        self.tombstones.insert(connection.uid().unwrap_or_default(), Tombstone { deleted_at });
    }
}
