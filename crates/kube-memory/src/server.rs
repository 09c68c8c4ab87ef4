//! The state that all requests share: the store behind its one lock, the clock, and the channels watches wait on.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::sync::watch;
use uuid::Uuid;

use crate::activity::{Activity, ActivityTracker};
use crate::admission::Admission;
use crate::resource::Registry;
use crate::store::Store;

/// The source of time. Metadata shows whole seconds of it.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The part behind the lock.
pub(crate) struct ServerState {
    pub store: Store,
    pub random: StdRng,
    uids: u64,
    /// Namespaces that are being deleted.
    pub terminating: BTreeSet<String>,
}

impl ServerState {
    /// The next uid. A dry run does not use it up.
    pub fn next_uid(&mut self, seed: u64, dry_run: bool) -> Uuid {
        let number = self.uids + 1;
        if !dry_run {
            self.uids = number;
        }
        // Reproducible: the seed names the run, the number the object.
        Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("kube-memory/{seed}/{number}").as_bytes())
    }

    /// How many uids were given out.
    pub fn uids(&self) -> u64 {
        self.uids
    }

    /// Continues counting uids after `number`.
    pub fn resume_uids(&mut self, number: u64) {
        self.uids = self.uids.max(number);
    }
}

/// One API server.
pub(crate) struct Server {
    pub registry: Registry,
    pub admission: Arc<dyn Admission>,
    clock: Clock,
    pub seed: u64,
    pub managed_fields: bool,
    state: Mutex<ServerState>,
    /// The latest revision. Watches wait on it.
    revision: watch::Sender<u64>,
    pub activity: Arc<ActivityTracker>,
}

impl Server {
    pub fn new(
        registry: Registry,
        admission: Arc<dyn Admission>,
        clock: Clock,
        seed: u64,
        managed_fields: bool,
        keep: Option<usize>,
    ) -> Self {
        let state = ServerState {
            store: Store::new(registry.stores, keep),
            random: StdRng::seed_from_u64(seed),
            uids: 0,
            terminating: BTreeSet::new(),
        };
        Self {
            registry,
            admission,
            clock,
            seed,
            managed_fields,
            state: Mutex::new(state),
            revision: watch::Sender::new(0),
            activity: Arc::new(ActivityTracker::new()),
        }
    }

    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Locks the state. A panic under the lock (in a policy, say) leaves the store consistent: every write is one
    /// step at the end.
    pub fn state(&self) -> MutexGuard<'_, ServerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Unlocks the state and wakes the watches if something was written.
    pub fn release(&self, state: MutexGuard<'_, ServerState>) {
        let revision = state.store.revision();
        drop(state);
        self.revision.send_if_modified(|known| {
            let newer = *known < revision;
            *known = (*known).max(revision);
            newer
        });
    }

    /// Wakes every watch although nothing was written, after a compaction.
    pub fn wake_watches(&self) {
        self.revision.send_modify(|_| {});
    }

    pub fn revisions(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    pub fn snapshot(&self) -> Activity {
        self.activity.snapshot(|| self.state().store.revision())
    }
}
