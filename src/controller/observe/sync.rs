//! The progress of the watches, for readiness and for tasks that wait for a list.

use crate::controller::{index::entry::version, key::Kind};
use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

/// Clones share the state.
#[derive(Clone)]
pub struct WatchSync(Arc<SyncState>);

struct SyncState {
    kinds: [KindSync; 3],
    /// The namespaces whose posts are watched; `None` means all.
    posts: Mutex<HashSet<Option<String>>>,
}

#[derive(Default)]
struct KindSync {
    /// Watches whose first list is not complete, one per namespace.
    unlisted: AtomicUsize,
    newest: AtomicU64,
}

impl WatchSync {
    /// For this many watches per kind.
    pub fn of(watches: usize) -> Self {
        let kind = || KindSync { unlisted: AtomicUsize::new(watches), ..KindSync::default() };
        Self(Arc::new(SyncState { kinds: [kind(), kind(), kind()], posts: Mutex::default() }))
    }

    fn kind(&self, kind: Kind) -> &KindSync {
        &self.0.kinds[kind as usize]
    }

    /// Marks the first list of one watch as complete.
    pub fn set_listed(&self, kind: Kind) {
        self.kind(kind).unlisted.fetch_sub(1, Ordering::SeqCst);
    }

    pub fn is_listed(&self, kind: Kind) -> bool {
        self.kind(kind).unlisted.load(Ordering::SeqCst) == 0
    }

    /// Whether all kinds have been listed: the index is complete.
    pub fn is_complete(&self) -> bool {
        Kind::ALL.into_iter().all(|kind| self.is_listed(kind))
    }

    /// Records that the keys an event affects are enqueued.
    pub fn delivered(&self, kind: Kind, resource_version: Option<&str>) {
        self.kind(kind).newest.fetch_max(version(resource_version), Ordering::SeqCst);
    }

    /// The newest resourceVersion delivered of a kind.
    pub fn newest(&self, kind: Kind) -> u64 {
        self.kind(kind).newest.load(Ordering::SeqCst)
    }

    /// Marks the posts of a namespace, or of all, as watched.
    pub fn set_posts_watched(&self, namespace: Option<&str>) {
        self.0.posts.lock().unwrap_or_else(PoisonError::into_inner).insert(namespace.map(str::to_owned));
    }

    /// Whether posts may already have been matched without a changed rule. Before that, a rule needs no rematch:
    /// otherwise each of a thousand rules would list all posts at startup.
    pub fn are_posts_watched(&self, namespace: &str) -> bool {
        let posts = self.0.posts.lock().unwrap_or_else(PoisonError::into_inner);
        posts.contains(&None) || posts.contains(&Some(namespace.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn posts_are_watched_once_their_watch_begins() {
        let sync = WatchSync::of(2);
        assert!(!sync.are_posts_watched("here"));
        sync.set_posts_watched(Some("elsewhere"));
        assert!(!sync.are_posts_watched("here"));
        sync.set_posts_watched(None);
        assert!(sync.are_posts_watched("here"));
    }
}
