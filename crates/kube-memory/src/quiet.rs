//! Whether anything is still under way: requests being answered, watches that have not caught up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::core::Core;
use super::store::Actor;

/// Where one open watch stands.
#[derive(Debug)]
pub(crate) struct WatchProgress {
    pub resource: String,
    pub actor: Arc<Actor>,
    /// Everything up to here has been read by the client, or did not concern it.
    pub consumed: AtomicU64,
}

/// One open watch, as seen from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchState {
    /// The plural with its group, `widgets.example.com`.
    pub resource: String,
    /// Whose watch it is.
    pub user: String,
    /// Every write up to this revision has been read by the client, or did not concern it.
    pub consumed: u64,
}

/// A snapshot of what is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quiet {
    /// Requests that have reached the API and are not answered yet, watches excluded. A request still waiting in a
    /// client's own queue is not seen: ask the client's side as well.
    pub requests_in_flight: usize,
    /// The latest revision.
    pub revision: u64,
    /// Every open watch.
    pub watches: Vec<WatchState>,
}

impl Quiet {
    /// Nothing is under way: no request, and every watch has been read to the end.
    pub fn is_quiet(&self) -> bool {
        self.requests_in_flight == 0 && self.watches.iter().all(|w| w.consumed >= self.revision)
    }

    pub(crate) fn of(core: &Core) -> Self {
        // The revision is read last: a write in between makes the answer "not quiet", never a wrong "quiet".
        let requests_in_flight = core.in_flight();
        let watches = core
            .watches()
            .iter()
            .map(|w| WatchState {
                resource: w.resource.clone(),
                user: w.actor.user.clone(),
                consumed: w.consumed.load(Ordering::SeqCst),
            })
            .collect();
        Self { requests_in_flight, watches, revision: core.state().store.revision() }
    }
}
