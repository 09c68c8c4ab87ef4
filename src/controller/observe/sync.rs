//! How far the watches are: for readiness, and for what has to wait for a list.

use crate::controller::{index::entry::version, key::Kind};
use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

/// Clones share it.
#[derive(Clone)]
pub struct WatchSync(Arc<State>);

struct State {
    kinds: [KindSync; 3],
    /// The watches of posts that have begun; `None` is the one of all namespaces.
    posts: Mutex<HashSet<Option<String>>>,
}

#[derive(Default)]
struct KindSync {
    /// Watches whose first list is not complete: one per namespace.
    unlisted: AtomicUsize,
    newest: AtomicU64,
}

impl WatchSync {
    /// Of that many watches per kind.
    pub fn of(watches: usize) -> Self {
        let kind = || KindSync { unlisted: AtomicUsize::new(watches), ..KindSync::default() };
        Self(Arc::new(State { kinds: [kind(), kind(), kind()], posts: Mutex::default() }))
    }

    fn kind(&self, kind: Kind) -> &KindSync {
        &self.0.kinds[kind as usize]
    }

    /// The first list of one watch is complete.
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

    /// An event was delivered and what it affects is enqueued.
    pub fn delivered(&self, kind: Kind, resource_version: Option<&str>) {
        self.kind(kind).newest.fetch_max(version(resource_version), Ordering::SeqCst);
    }

    /// The newest resourceVersion delivered of a kind.
    pub fn newest(&self, kind: Kind) -> u64 {
        self.kind(kind).newest.load(Ordering::SeqCst)
    }

    /// From now on the posts of a namespace (or of all) are watched.
    pub fn posts_begin(&self, namespace: Option<&str>) {
        self.0.posts.lock().unwrap_or_else(PoisonError::into_inner).insert(namespace.map(str::to_owned));
    }

    /// Whether posts have passed already that a changed rule was not matched against. A rule that comes before them
    /// needs no list of its own: at a start, each of a thousand rules would read all posts.
    pub fn posts_pass(&self, namespace: &str) -> bool {
        let posts = self.0.posts.lock().unwrap_or_else(PoisonError::into_inner);
        posts.contains(&None) || posts.contains(&Some(namespace.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn posts_pass_once_their_watch_has_begun() {
        let sync = WatchSync::of(2);
        assert!(!sync.posts_pass("here"));
        sync.posts_begin(Some("elsewhere"));
        assert!(!sync.posts_pass("here"));
        sync.posts_begin(None);
        assert!(sync.posts_pass("here"));
    }
}
