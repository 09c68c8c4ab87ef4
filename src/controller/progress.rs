//! How far the watches have come, for readiness and for knowing when everything is settled.

use super::{index::entry::version, queue::Kind};
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

/// Per kind: whether it has been listed, and the newest resourceVersion told.
#[derive(Clone, Default)]
pub struct Progress(Arc<[Line; 3]>);

#[derive(Default)]
struct Line {
    listed: AtomicBool,
    told: AtomicU64,
}

impl Progress {
    fn line(&self, kind: Kind) -> &Line {
        &self.0[kind as usize]
    }

    /// A list is complete.
    pub fn listed(&self, kind: Kind) {
        self.line(kind).listed.store(true, Ordering::SeqCst);
    }

    /// Whether a kind has been listed.
    pub fn is_listed(&self, kind: Kind) -> bool {
        self.line(kind).listed.load(Ordering::SeqCst)
    }

    /// An event was told and followed.
    pub fn told(&self, kind: Kind, resource_version: Option<&str>) {
        self.line(kind).told.fetch_max(version(resource_version), Ordering::SeqCst);
    }

    /// Whether all kinds have been listed: the index is complete.
    pub fn is_complete(&self) -> bool {
        self.0.iter().all(|line| line.listed.load(Ordering::SeqCst))
    }

    /// The newest resourceVersion told of a kind.
    pub fn newest(&self, kind: Kind) -> u64 {
        self.line(kind).told.load(Ordering::SeqCst)
    }
}
