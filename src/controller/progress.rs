//! How far the watches have come, for readiness and for knowing when everything is settled.

use super::{index::entry::version, queue::Kind};
use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

/// Per kind: whether it has been listed, and the newest resourceVersion told.
#[derive(Clone)]
pub struct Progress(Arc<[Line; 3]>);

struct Line {
    /// Watches of this kind whose first list is not complete: one per namespace looked after.
    unlisted: AtomicUsize,
    told: AtomicU64,
}

impl Progress {
    /// Of as many watches per kind.
    pub fn of(watches: usize) -> Self {
        let line = || Line { unlisted: AtomicUsize::new(watches), told: AtomicU64::new(0) };
        Self(Arc::new([line(), line(), line()]))
    }

    fn line(&self, kind: Kind) -> &Line {
        &self.0[kind as usize]
    }

    /// The first list of one watch is complete.
    pub fn listed(&self, kind: Kind) {
        self.line(kind).unlisted.fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether a kind has been listed.
    pub fn is_listed(&self, kind: Kind) -> bool {
        self.line(kind).unlisted.load(Ordering::SeqCst) == 0
    }

    /// An event was told and followed.
    pub fn told(&self, kind: Kind, resource_version: Option<&str>) {
        self.line(kind).told.fetch_max(version(resource_version), Ordering::SeqCst);
    }

    /// Whether all kinds have been listed: the index is complete.
    pub fn is_complete(&self) -> bool {
        self.0.iter().all(|line| line.unlisted.load(Ordering::SeqCst) == 0)
    }

    /// The newest resourceVersion told of a kind.
    pub fn newest(&self, kind: Kind) -> u64 {
        self.line(kind).told.load(Ordering::SeqCst)
    }
}
