//! The state of the index, and the types it returns.

use super::{entry::Entry, interner::Interner, links::Links};
use crate::{
    api::{AutomationRule, DynamicsConnection, LinkState, Post, Reason, names},
    controller::key::{Key, Kind},
    domain::{
        facts::{ConnectionFacts, RuleFacts},
        matching::{Matcher, Text},
        post_link::{PostClaim, PostLinkFacts, Tombstone},
    },
};
use kube::{ResourceExt, core::ObjectMeta};
use std::{
    collections::{BTreeMap, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use uuid::Uuid;

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
    pub(super) namespaces: BTreeMap<Arc<str>, Namespace>,
    /// Deleted connections, by UID.
    pub(super) tombstones: HashMap<String, Tombstone>,
    pub(super) links: Links,
}

#[derive(Default)]
pub(super) struct Namespace {
    pub(super) connections: BTreeMap<String, Arc<DynamicsConnection>>,
    pub(super) connection_facts: Arc<Vec<ConnectionFacts>>,
    pub(super) rules: BTreeMap<String, RuleEntry>,
    /// Filters of the rules with `wants_active`; rebuilt on first use after a change.
    pub(super) filters: Option<Arc<Filters>>,
}

/// A rule without its filters: their text would be kept twice, and most of what a tenant can store is in them.
pub(super) struct RuleEntry {
    /// Without `spec.match`, and without what Postlink does not read of the metadata.
    pub(super) object: Arc<AutomationRule>,
    pub(super) facts: RuleFacts,
    /// Hash of `spec.match`.
    pub(super) match_hash: u64,
    /// Only of a rule with `wants_active`.
    pub(super) filter: Option<Arc<Filter>>,
}

impl RuleEntry {
    /// `before` is the entry that it replaces.
    pub(super) fn of(mut rule: AutomationRule, before: Option<&Self>) -> Self {
        let filters = rule.spec.match_.take();
        rule.metadata = ObjectMeta {
            annotations: request_annotations(&rule.metadata),
            name: rule.metadata.name.take(),
            namespace: rule.metadata.namespace.take(),
            uid: rule.metadata.uid.take(),
            resource_version: rule.metadata.resource_version.take(),
            generation: rule.metadata.generation,
            creation_timestamp: rule.metadata.creation_timestamp.take(),
            deletion_timestamp: rule.metadata.deletion_timestamp.take(),
            ..ObjectMeta::default()
        };
        let facts = RuleFacts::of(&rule);
        let mut hasher = DefaultHasher::new();
        filters.hash(&mut hasher);
        let match_hash = hasher.finish();
        let same = before.filter(|old| old.match_hash == match_hash && old.facts.uid == facts.uid);
        let filter = facts.wants_active.then(|| {
            let compiled =
                || Arc::new(Filter { rule: facts.uid.clone(), matcher: Matcher::new(filters.as_ref()) });
            same.and_then(|old| old.filter.clone()).unwrap_or_else(compiled)
        });
        Self { object: Arc::new(rule), facts, match_hash, filter }
    }
}

/// The annotations that request a reconcile, as far as they are read.
fn request_annotations(metadata: &ObjectMeta) -> Option<BTreeMap<String, String>> {
    let annotations = metadata.annotations.as_ref();
    let requests = [names::RECONCILE_REQUESTED, names::FLUX_RECONCILE_REQUESTED];
    let requests: BTreeMap<_, _> = requests
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), names::requested(annotations, name)?.to_owned())))
        .collect();
    (!requests.is_empty()).then_some(requests)
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
    pub connections: Arc<Vec<ConnectionFacts>>,
    /// The rules whose filters match.
    pub matching: Vec<RuleFacts>,
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

pub(super) struct Filter {
    /// The rule's UID.
    pub(super) rule: String,
    pub(super) matcher: Matcher,
}

/// The filters of all rules of a namespace with `wants_active`. Rebuilt when one changes, so the same pointer means that
/// nothing has changed.
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

impl IndexState {
    pub(super) fn key(&self, entry: &Entry) -> Key {
        Key::new(Kind::PostLink, self.interner.text(entry.namespace).clone(), &*entry.name)
    }

    pub(super) fn mark_deleted(&mut self, connection: &DynamicsConnection) {
        let deleted_at = connection.metadata.deletion_timestamp.as_ref().map(|t| t.0);
        self.tombstones.insert(connection.uid().unwrap_or_default(), Tombstone { deleted_at });
    }
}
