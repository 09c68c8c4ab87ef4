//! What all parts of the API share: the store behind its one lock, the clock, and who waits for what.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::sync::watch;
use uuid::Uuid;

use super::Clock;
use super::admission::Admission;
use super::quiet::WatchProgress;
use super::resource::Catalogue;
use super::store::Store;
use super::{namespaces, write};

/// The part behind the lock.
pub(crate) struct State {
    pub store: Store,
    pub random: StdRng,
    uids: u64,
    /// Namespaces on their way out.
    pub terminating: BTreeSet<String>,
}

impl State {
    /// The next uid; a dry run looks at it without using it up.
    pub fn next_uid(&mut self, seed: u64, dry_run: bool) -> Uuid {
        let number = self.uids + 1;
        if !dry_run {
            self.uids = number;
        }
        write::uid(seed, number)
    }

    /// How many uids were given out.
    pub fn uids(&self) -> u64 {
        self.uids
    }

    /// Goes on counting uids from `number`.
    pub fn resume_uids(&mut self, number: u64) {
        self.uids = self.uids.max(number);
    }
}

/// One API server.
pub(crate) struct Core {
    pub catalogue: Catalogue,
    pub admission: Arc<dyn Admission>,
    clock: Clock,
    pub seed: u64,
    pub managed_fields: bool,
    state: Mutex<State>,
    /// The latest revision; watches wait on it.
    revision: watch::Sender<u64>,
    /// Bumped when a request ends or a watch has caught up; `wait_quiet` waits on it.
    activity: watch::Sender<u64>,
    in_flight: AtomicUsize,
    watches: Mutex<BTreeMap<u64, Arc<WatchProgress>>>,
    next_watch: AtomicU64,
}

impl Core {
    pub fn new(
        catalogue: Catalogue,
        admission: Arc<dyn Admission>,
        clock: Clock,
        seed: u64,
        managed_fields: bool,
        keep: Option<usize>,
    ) -> Self {
        let state = State {
            store: Store::new(catalogue.stores, keep),
            random: StdRng::seed_from_u64(seed),
            uids: 0,
            terminating: BTreeSet::new(),
        };
        Self {
            catalogue,
            admission,
            clock,
            seed,
            managed_fields,
            state: Mutex::new(state),
            revision: watch::Sender::new(0),
            activity: watch::Sender::new(0),
            in_flight: AtomicUsize::new(0),
            watches: Mutex::default(),
            next_watch: AtomicU64::new(0),
        }
    }

    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// The store. A panic while it was held (in a policy, say) leaves it whole: writes happen in one step at the end.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends a write: the namespace controller has its turn, then the watches hear of it.
    pub fn publish(&self, mut state: MutexGuard<'_, State>) {
        namespaces::settle(self, &mut state);
        let revision = state.store.revision();
        drop(state);
        self.revision.send_if_modified(|known| {
            let newer = *known < revision;
            *known = (*known).max(revision);
            newer
        });
    }

    /// Wakes every watch though nothing was written, after a compaction.
    pub fn wake_watches(&self) {
        self.revision.send_modify(|_| {});
    }

    pub fn revisions(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    pub fn activity(&self) -> watch::Receiver<u64> {
        self.activity.subscribe()
    }

    pub fn something_ended(&self) {
        self.activity.send_modify(|count| *count = count.wrapping_add(1));
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    pub fn begin_request(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        InFlight { core: self.clone() }
    }

    pub fn open_watch(&self, progress: &Arc<WatchProgress>) -> u64 {
        let id = self.next_watch.fetch_add(1, Ordering::SeqCst);
        self.lock_watches().insert(id, progress.clone());
        id
    }

    pub fn close_watch(&self, id: u64) {
        self.lock_watches().remove(&id);
        self.something_ended();
    }

    pub fn watches(&self) -> Vec<Arc<WatchProgress>> {
        self.lock_watches().values().cloned().collect()
    }

    fn lock_watches(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<WatchProgress>>> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a request for as long as it lives, also when its client gives up on it.
pub(crate) struct InFlight {
    core: Arc<Core>,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.core.in_flight.fetch_sub(1, Ordering::SeqCst);
        self.core.something_ended();
    }
}
