//! Activity: requests in flight and open watches, to tell whether the API is idle.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::user_info::UserInfo;

/// How far the client of one open watch has read.
#[derive(Debug)]
pub(crate) struct WatchProgress {
    pub resource: String,
    pub user: Arc<UserInfo>,
    /// Every write up to this revision has been read by the client or did not concern it.
    pub consumed: AtomicU64,
}

/// One open watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenWatch {
    /// Plural with group, such as `widgets.example.com`.
    pub resource: String,
    /// Name of the user who opened it.
    pub user: String,
    /// Every write up to this revision has been read by the client or did not concern it.
    pub consumed: u64,
}

/// A snapshot of what the API is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activity {
    /// Requests that have reached the API and are not answered yet, watches excluded. Requests that still wait in a
    /// client's own queue are not counted.
    pub requests_in_flight: usize,
    /// The latest resourceVersion, as a number.
    pub revision: u64,
    /// Every open watch.
    pub watches: Vec<OpenWatch>,
}

impl Activity {
    /// Whether no request is in flight and every open watch has been read up to the latest revision.
    pub fn is_idle(&self) -> bool {
        self.requests_in_flight == 0 && self.watches.iter().all(|w| w.consumed >= self.revision)
    }
}

/// Counts requests and knows the open watches.
#[derive(Debug)]
pub(crate) struct ActivityTracker {
    /// Bumped when a request ends or a watch has caught up.
    changes: watch::Sender<u64>,
    in_flight: AtomicUsize,
    watches: Mutex<BTreeMap<u64, Arc<WatchProgress>>>,
    next_watch: AtomicU64,
}

impl ActivityTracker {
    pub fn new() -> Self {
        Self {
            changes: watch::Sender::new(0),
            in_flight: AtomicUsize::new(0),
            watches: Mutex::default(),
            next_watch: AtomicU64::new(0),
        }
    }

    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub fn notify(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// The snapshot. `revision` is called last: a write in between makes a busy snapshot, never a wrong idle one.
    pub fn snapshot(&self, revision: impl FnOnce() -> u64) -> Activity {
        let requests_in_flight = self.in_flight.load(Ordering::SeqCst);
        let open: Vec<_> = self.lock_watches().values().cloned().collect();
        let watches = open
            .iter()
            .map(|w| OpenWatch {
                resource: w.resource.clone(),
                user: w.user.username.clone(),
                consumed: w.consumed.load(Ordering::SeqCst),
            })
            .collect();
        Activity { requests_in_flight, watches, revision: revision() }
    }

    pub fn begin_request(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        InFlight { tracker: self.clone() }
    }

    pub fn open_watch(&self, progress: &Arc<WatchProgress>) -> u64 {
        let id = self.next_watch.fetch_add(1, Ordering::SeqCst);
        self.lock_watches().insert(id, progress.clone());
        id
    }

    pub fn close_watch(&self, id: u64) {
        self.lock_watches().remove(&id);
        self.notify();
    }

    fn lock_watches(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<WatchProgress>>> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a request until it is dropped, also when its client gives up on it.
pub(crate) struct InFlight {
    tracker: Arc<ActivityTracker>,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.tracker.in_flight.fetch_sub(1, Ordering::SeqCst);
        self.tracker.notify();
    }
}
