//! The state that all tasks of the controller share.

use super::{
    background::{Background, BackgroundTask},
    clock::Clock,
    events::Events,
    index::{Affected, Index},
    instance_slots::InstanceSlots,
    key::Key,
    list::ListSlots,
    observe::sync::WatchSync,
    runtime::Runtime,
    undecodable::Undecodable,
    workqueue::WorkQueue,
};
use crate::{
    domain::{backoff::Backoff, requeue::Requeue},
    telemetry::Metrics,
};
use jiff::SignedDuration;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::mpsc, time::Instant};

/// Until a watch that is behind a live read has caught up.
pub const WATCH_BEHIND: SignedDuration = SignedDuration::from_secs(1);

/// Backoff of one object whose reconcile fails.
const RETRY: Backoff =
    Backoff { first: SignedDuration::from_millis(100), max: SignedDuration::from_millis(204_800) };

/// Whether this process may still begin a creation in an instance: it holds the lease for long enough (§4.7).
pub type MayCreate = Arc<dyn Fn() -> bool + Send + Sync>;

/// A namespace whose posts are to be matched again.
pub type RematchRequest = (Arc<str>, BackgroundTask);

#[derive(Clone)]
pub struct Context {
    pub client: kube::Client,
    pub dataverse: dataverse_client::Client,
    pub clock: Clock,
    /// The watched namespaces; `None` means all.
    pub namespaces: Arc<[Option<String>]>,
    pub index: Index,
    pub queue: WorkQueue,
    pub runtime: Runtime,
    pub instance_slots: InstanceSlots,
    pub lists: ListSlots,
    pub events: Events,
    pub sync: WatchSync,
    pub undecodable: Undecodable,
    pub metrics: Metrics,
    pub may_create: MayCreate,
    pub background: Background,
    pub rematch: mpsc::UnboundedSender<RematchRequest>,
    /// When creations of the previous leader have ended. Monotonic, because a jump of the system clock must not end the
    /// wait (§4.4).
    pub predecessor_done: Option<Instant>,
    pub failures: Failures,
}

impl Context {
    pub fn enqueue(&self, affected: Affected) {
        self.queue.extend(affected.keys);
        if let Some(namespace) = affected.rematch
            && self.sync.are_posts_watched(&namespace)
        {
            // The receiver lives as long as the controller.
            let _ = self.rematch.send((namespace, self.background.begin()));
        }
    }

    /// While link creations of the previous leader may still be in flight: requeues for when they have ended.
    pub fn after_predecessor(&self) -> Option<Requeue> {
        let left = self.predecessor_done?.checked_duration_since(Instant::now())?;
        // A moment later: the two clocks need not agree to the millisecond.
        let left = SignedDuration::try_from(left + Duration::from_millis(10)).ok()?;
        Some(Requeue::awaited(self.clock.now() + left))
    }

    /// Counts a failed reconcile and requeues its key with backoff.
    pub fn retry(&self, key: &Key) -> Requeue {
        Requeue::awaited(self.clock.now() + RETRY.delay(self.failures.add(key)))
    }
}

/// Consecutive failed reconciles per object; clones share them.
#[derive(Clone, Default)]
pub struct Failures(Arc<Mutex<HashMap<Key, u32>>>);

impl Failures {
    fn add(&self, key: &Key) -> u32 {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *failures.entry(key.clone()).and_modify(|n| *n += 1).or_insert(1)
    }

    /// Resets the count of an object that was reconciled or deleted.
    pub fn forget(&self, key: &Key) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// Objects that are being retried.
    pub fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}
