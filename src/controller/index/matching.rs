//! Stores PostLinks as they arrive and matches their texts, which are not stored, against the rules. Matching runs outside
//! the lock, because its duration depends on the length of posts and rules: `matched` takes the filters, matches, and
//! `store_link` stores the result. If the filters have changed meanwhile, the namespace is matched again (`rematch`). So is a
//! namespace whose rules and posts take too long for the watch.

use super::{
    entry::{self, Entry},
    rules::Filters,
    state::{Affected, Index, IndexState, LinkSnapshot, Source},
};
use crate::{
    api::{PostLink, PostLinkStatus},
    controller::key::{Key, Kind},
    domain::post_link::{PostIdentity, open_to_rules},
};
use jiff::Timestamp;
use kube::ResourceExt;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;
use uuid::Uuid;

/// The rules that match a post.
pub(super) enum Matched {
    /// None: the post has a link, or rules may not link it.
    None,
    /// The stored entry is still right.
    Unchanged,
    /// The rules that match, the filters they were matched with, and how long that took.
    Evaluated(Vec<String>, Option<Arc<Filters>>, Duration),
    /// The namespace has taken its share of the time: the post is matched with all others of it, in a rematch.
    Later,
}

impl Index {
    /// Stores a PostLink. A version that is not newer is ignored and affects nothing.
    pub fn apply_link(&self, link: &PostLink, source: Source, now: Timestamp) -> Affected {
        let matched = self.matched(link);
        self.store_link(link, source, now, matched)
    }

    /// Stores the status that was written over the version of the snapshot as the version `written`; it has the same link.
    /// If another version has arrived meanwhile, nothing is stored: the watch delivers the written one as well.
    pub fn apply_status(&self, key: &Key, over: &LinkSnapshot, written: u64, status: &PostLinkStatus) {
        let mut state = self.state();
        let IndexState { interner, links, .. } = &mut *state;
        let Some(namespace) = interner.find(&key.namespace) else { return };
        links.change(namespace, &key.name, |entry| {
            if entry.uid == over.uid && entry.version == over.version {
                entry.set_status(written, status, interner);
            }
        });
    }

    pub(super) fn matched(&self, link: &PostLink) -> Matched {
        if !is_open_to_rules(link) {
            return Matched::None;
        }
        let (namespace, begin) = (link.namespace().unwrap_or_default(), Instant::now());
        let filters = {
            let mut state = self.state();
            let stored = state.link(&namespace, &link.name_any());
            if stored.is_some_and(|e| e.version >= version(link) || is_matched(e, link)) {
                return Matched::Unchanged;
            }
            if state.namespaces.get(&*namespace).is_some_and(|space| space.share.is_taken(begin)) {
                return Matched::Later;
            }
            state.filters(&namespace)
        };
        let rules = filters.as_ref().map(|f| f.matching(&link.spec.post));
        Matched::Evaluated(rules.unwrap_or_default(), filters, begin.elapsed())
    }

    pub(super) fn store_link(
        &self,
        link: &PostLink,
        source: Source,
        now: Timestamp,
        matched: Matched,
    ) -> Affected {
        let mut state = self.state();
        let namespace: Arc<str> = link.namespace().unwrap_or_default().into();
        let name = link.name_any();
        state.collect_garbage();
        if let (Matched::Evaluated(.., took), Some(space)) = (&matched, state.namespaces.get_mut(&namespace))
        {
            space.share.take(*took, Instant::now());
        }
        let filters = state.filters(&namespace);
        let IndexState { interner, lists, links, .. } = &mut *state;
        let old = interner.find(&namespace).and_then(|namespace| links.get(namespace, &name));
        if old.is_some_and(|o| o.version >= version(link))
            || !source.may_store(old.map(|o| &o.uid), Some(&uid(link)))
        {
            return Affected::default();
        }
        let first_seen = match old {
            Some(old) if is_same(old, link) => old.first_seen().1,
            // The decision is already stored, so it does not have to settle after a restart.
            _ if link.status.as_ref().is_some_and(|s| s.observed_generation == generation(link)) => {
                Timestamp::UNIX_EPOCH
            }
            _ => now,
        };
        let before = old.filter(|o| is_matched(o, link));
        // Whether the rules or the stored entry changed while the lock was released.
        let outdated = match &matched {
            Matched::None => false,
            Matched::Unchanged => before.is_none(),
            Matched::Evaluated(_, against, _) => !same_filters(against.as_ref(), filters.as_ref()),
            Matched::Later => true,
        };
        if outdated && source == Source::Response {
            // The watch delivers it as well.
            return Affected::default();
        }
        let matching = match matched {
            Matched::None | Matched::Later => Arc::default(),
            Matched::Unchanged => before.map(Entry::matching).unwrap_or_default(),
            Matched::Evaluated(rules, ..) => lists.share(rules.iter().map(|rule| interner.intern(rule))),
        };
        let identity = PostIdentity::of(&link.spec.post);
        let post = links.post_hash(&namespace, &identity);
        let entry = Entry::of(link, &identity, post, interner, first_seen, matching);
        // Another PostLink of a post is concerned if this one begins or ceases to count.
        let left = old.map(|old| old.post).filter(|left| *left != post);
        let counted: Vec<_> =
            left.into_iter().chain([post]).map(|post| (post, links.first_of_post(post))).collect();
        links.insert(entry);
        let changed = counted.into_iter().filter(|(post, first)| links.first_of_post(*post) != *first);
        let concerned =
            changed.flat_map(|(post, _)| links.of_post(post)).filter(|entry| *entry.name != *name);
        let mut keys: Vec<Key> =
            concerned.map(|entry| Key::new(Kind::PostLink, namespace.clone(), &*entry.name)).collect();
        let rematch = outdated.then(|| namespace.clone());
        keys.push(Key::new(Kind::PostLink, namespace, name));
        Affected { keys, rematch }
    }

    /// Removes a PostLink. It affects the others of its post.
    pub fn delete_link(&self, namespace: &str, name: &str) -> Affected {
        let mut state = self.state();
        let Some(symbol) = state.interner.find(namespace) else { return Affected::default() };
        let Some(post) = state.links.get(symbol, name).map(|entry| entry.post) else {
            return Affected::default();
        };
        let counted = state.links.first_of_post(post);
        state.links.remove(symbol, name);
        if state.links.first_of_post(post) == counted {
            return Affected::default();
        }
        let keys = state.links.of_post(post).map(|other| state.key(other)).collect();
        Affected { keys, rematch: None }
    }

    /// Matches a listed post against the rules of its namespace; its key if the matching rules changed.
    pub fn rematch(&self, namespace: &Arc<str>, link: &PostLink) -> Option<Key> {
        let name = link.name_any();
        let filters = {
            let mut state = self.state();
            // An edited post is matched when the watch delivers it.
            state.link(namespace, &name).filter(|e| is_matched(e, link))?;
            state.filters(namespace)
        };
        let rules = filters.as_ref().map(|f| f.matching(&link.spec.post)).unwrap_or_default();
        let mut state = self.state();
        // If a rule has changed meanwhile, another rematch follows.
        let unchanged = same_filters(filters.as_ref(), state.filters(namespace).as_ref());
        let IndexState { interner, lists, links, .. } = &mut *state;
        let symbol = interner.find(namespace)?;
        let entry = links.get(symbol, &name).filter(|e| unchanged && is_matched(e, link))?;
        let matching = lists.share(rules.iter().map(|rule| interner.intern(rule)));
        if entry.matching() == matching {
            return None;
        }
        links.set_matching(symbol, &name, matching);
        Some(Key::new(Kind::PostLink, namespace.clone(), name))
    }
}

impl IndexState {
    pub(super) fn link(&self, namespace: &str, name: &str) -> Option<&Entry> {
        self.links.get(self.interner.find(namespace)?, name)
    }

    fn filters(&mut self, namespace: &str) -> Option<Arc<Filters>> {
        Some(self.namespaces.get_mut(namespace)?.rules.filters())
    }
}

fn same_filters(before: Option<&Arc<Filters>>, now: Option<&Arc<Filters>>) -> bool {
    match (before, now) {
        (Some(before), Some(now)) => Arc::ptr_eq(before, now),
        (before, now) => before.is_none() && now.is_none(),
    }
}

/// Whether rules may link a post.
fn is_open_to_rules(link: &PostLink) -> bool {
    let closed = link.status.as_ref().is_some_and(|status| {
        let of_this_post = || !entry::post_changed(link, &PostIdentity::of(&link.spec.post));
        status.link.is_some() || !open_to_rules(status.removed_link.as_ref()) && of_this_post()
    });
    !closed && link.spec.link.is_none() && !link.spec.unlink
}

/// Whether an entry has the UID and generation of this post.
fn is_same(entry: &Entry, link: &PostLink) -> bool {
    entry.uid == uid(link) && i64::from(entry.first_seen().0) == generation(link)
}

/// Whether an entry holds the rules that match this post. [`Index::rematch`] updates it when rules change.
fn is_matched(entry: &Entry, link: &PostLink) -> bool {
    is_same(entry, link) && entry.open_to_rules()
}

fn uid(link: &PostLink) -> Uuid {
    entry::uid(link.metadata.uid.as_deref().unwrap_or_default())
}

fn version(link: &PostLink) -> u64 {
    entry::version(link.metadata.resource_version.as_deref())
}

fn generation(link: &PostLink) -> i64 {
    link.metadata.generation.unwrap_or(0)
}
