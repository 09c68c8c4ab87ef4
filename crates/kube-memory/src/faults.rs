//! Fault injection between one client and the API, per request or by hand.
//!
//! Only clients made with a [`FaultInjector`] are affected.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::sync::watch;

/// A request as a fault hook sees it. Watches are requests too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestInfo {
    /// Counts this client's requests from 0.
    pub number: u64,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: &'static str,
    /// Plural with group, `widgets.example.com`; empty for discovery.
    pub resource: String,
    /// Namespace. Empty for cluster-scoped kinds and across namespaces.
    pub namespace: String,
    /// Name. Empty for collections.
    pub name: String,
    /// `status`, `token`, or empty.
    pub subresource: String,
    /// Whether it changes the store: neither a read nor a dry run.
    pub is_write: bool,
}

/// What goes wrong with a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// The request is carried out and answered.
    #[default]
    None,
    /// The request is not carried out. The answer is an error.
    Answer {
        /// HTTP status: 403, 409, 410, 429, 500, 503 or 504.
        code: u16,
        /// Seconds of the `Retry-After` header, if any.
        retry_after: Option<u32>,
    },
    /// The request is carried out, but the answer is an error, such as 504 after the commit.
    AnswerAfter {
        /// HTTP status; the same as for [`Fault::Answer`].
        code: u16,
    },
    /// The request is not carried out and never answered.
    Hang,
    /// The connection breaks before the request is carried out.
    DropBefore,
    /// The connection breaks after the request is carried out and before the answer arrives.
    DropAfter,
}

/// The point of a write at which the client crashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashPoint {
    /// Before the write reaches the API.
    BeforeSend,
    /// After the write is carried out and before its answer arrives.
    AfterCommit,
    /// After the answer arrives.
    AfterReply,
}

/// How a watch fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchFault {
    /// The server closes the watch, as after its timeout.
    Clean,
    /// The connection breaks in the middle of an event.
    MidEvent,
    /// An ERROR event with 410 `Expired`, as after a compaction.
    Expired,
}

type Hook = Arc<dyn Fn(&RequestInfo) -> Fault + Send + Sync>;

/// Injects faults into the requests and watches of one client. Clones share their state.
#[derive(Clone)]
pub struct FaultInjector {
    shared: Arc<Shared>,
}

struct Shared {
    hook: Option<Hook>,
    plan: Mutex<Plan>,
    requests: AtomicU64,
    /// Bumped on each change of the plan. Watches wait on it.
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct Plan {
    dead: bool,
    writes: u64,
    crash: Option<(u64, CrashPoint)>,
    watches: BTreeMap<String, WatchPlan>,
}

#[derive(Clone, Copy, Debug, Default)]
struct WatchPlan {
    held: bool,
    /// How many events may still pass while it is held.
    allowance: u64,
    /// Events of the latest revisions, this many, are withheld.
    lag: u64,
    /// The watch that delivers this many more events fails.
    fail_after: Option<(u64, WatchFault)>,
}

/// The next step of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WatchDecision {
    Deliver,
    Wait,
    Fail(WatchFault),
    /// The client is dead.
    Broken,
}

/// The decision about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestDecision {
    Proceed,
    /// Carry it out and answer it; then the client is dead.
    ProceedAndDie,
    /// Do not carry it out.
    Before(Fault),
    /// Carry it out first.
    After(Fault),
}

impl Default for FaultInjector {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for FaultInjector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let plan = self.plan();
        f.debug_struct("FaultInjector")
            .field("dead", &plan.dead)
            .field("writes", &plan.writes)
            .finish_non_exhaustive()
    }
}

impl FaultInjector {
    /// No faults, until one of the methods below asks for them.
    pub fn new() -> Self {
        Self::make(None)
    }

    /// Calls `hook` for every request, watches included.
    pub fn with_hook(hook: impl Fn(&RequestInfo) -> Fault + Send + Sync + 'static) -> Self {
        Self::make(Some(Arc::new(hook)))
    }

    /// Random faults, reproducible from `seed` given the same order of requests: each request fails with probability
    /// `per_mille`/1000, at most `in_a_row` times in a row. Never [`Fault::Hang`]: it needs a client with timeouts.
    pub fn random(seed: u64, per_mille: u32, in_a_row: u32) -> Self {
        let state = Mutex::new((StdRng::seed_from_u64(seed), 0_u32));
        Self::with_hook(move |request| {
            let mut guard = state.lock().unwrap_or_else(PoisonError::into_inner);
            let (random, row) = &mut *guard;
            if *row >= in_a_row || random.random_range(0..1000) >= per_mille {
                *row = 0;
                return Fault::None;
            }
            *row += 1;
            let answer = |code, retry_after| Fault::Answer { code, retry_after };
            match (random.random_range(0..8), request.is_write) {
                (0, true) => answer(409, None),
                (1, true) => Fault::DropAfter,
                (2, true) => Fault::AnswerAfter { code: 504 },
                (0..=3, _) => answer(500, None),
                (4, _) => answer(429, Some(0)),
                (5, _) => answer(503, None),
                _ => Fault::DropBefore,
            }
        })
    }

    fn make(hook: Option<Hook>) -> Self {
        let shared = Shared {
            hook,
            plan: Mutex::default(),
            requests: AtomicU64::new(0),
            changed: watch::Sender::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// How many writes of this client the API has carried out or started.
    pub fn writes(&self) -> u64 {
        self.plan().writes
    }

    /// Kills the client: from now on its requests fail and its watches break.
    pub fn kill(&self) {
        self.change(|plan| plan.dead = true);
    }

    /// Whether the client was killed or has crashed.
    pub fn is_dead(&self) -> bool {
        self.plan().dead
    }

    /// Kills the client at its `k`-th write, counted from 1.
    pub fn crash_at_write(&self, k: u64, point: CrashPoint) {
        self.change(|plan| plan.crash = Some((k, point)));
    }

    /// Withholds the watch events of a resource (plural with group) until they are released.
    pub fn hold(&self, resource: &str) {
        self.change_watch(resource, |watch| watch.held = true);
    }

    /// Delivers `events` more events of a held resource.
    pub fn release(&self, resource: &str, events: u64) {
        self.change_watch(resource, |watch| watch.allowance += events);
    }

    /// Ends [`hold`](Self::hold): delivers all withheld events.
    pub fn release_all(&self, resource: &str) {
        self.change_watch(resource, |watch| {
            watch.held = false;
            watch.allowance = 0;
        });
    }

    /// Delivers each event of a resource only after `revisions` further writes. 0 ends the delay.
    pub fn delay(&self, resource: &str, revisions: u64) {
        self.change_watch(resource, |watch| watch.lag = revisions);
    }

    /// Fails the watch of a resource that is about to deliver the `events`-th event from now.
    pub fn fail_watch_after(&self, resource: &str, events: u64, fault: WatchFault) {
        self.change_watch(resource, |watch| watch.fail_after = Some((events, fault)));
    }

    /// Whether the failure of [`FaultInjector::fail_watch_after`] is still to come.
    pub fn watch_will_fail(&self, resource: &str) -> bool {
        self.plan().watches.get(resource).is_some_and(|watch| watch.fail_after.is_some())
    }

    fn change_watch(&self, resource: &str, change: impl FnOnce(&mut WatchPlan)) {
        self.change(|plan| change(plan.watches.entry(resource.to_owned()).or_default()));
    }

    fn change(&self, change: impl FnOnce(&mut Plan)) {
        change(&mut self.plan());
        self.shared.changed.send_modify(|n| *n = n.wrapping_add(1));
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.shared.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }

    pub(crate) fn next_number(&self) -> u64 {
        self.shared.requests.fetch_add(1, Ordering::SeqCst)
    }

    /// Decides about a request and counts writes.
    pub(crate) fn decide_request(&self, request: &RequestInfo) -> RequestDecision {
        if self.plan().dead {
            return RequestDecision::Before(Fault::DropBefore);
        }
        // Called without the lock: the hook may be slow, or call this injector.
        let fault = self.shared.hook.as_ref().map_or(Fault::None, |hook| hook(request));
        match fault {
            Fault::None => {}
            Fault::AnswerAfter { .. } | Fault::DropAfter => {
                if request.is_write {
                    self.plan().writes += 1;
                }
                return RequestDecision::After(fault);
            }
            other => return RequestDecision::Before(other),
        }
        if !request.is_write {
            return RequestDecision::Proceed;
        }
        let crash = {
            let mut plan = self.plan();
            let due = plan.crash.filter(|(k, _)| *k == plan.writes + 1).map(|(_, point)| point);
            if due != Some(CrashPoint::BeforeSend) {
                plan.writes += 1;
            }
            due
        };
        match crash {
            None => RequestDecision::Proceed,
            Some(CrashPoint::BeforeSend) => {
                self.kill();
                RequestDecision::Before(Fault::DropBefore)
            }
            Some(CrashPoint::AfterCommit) => {
                self.kill();
                RequestDecision::After(Fault::DropAfter)
            }
            Some(CrashPoint::AfterReply) => RequestDecision::ProceedAndDie,
        }
    }

    /// Decides what a watch does with an event of revision `event`, while the store is at `current`. `event` is `None`
    /// while there is none.
    pub(crate) fn decide_watch(&self, resource: &str, event: Option<u64>, current: u64) -> WatchDecision {
        let mut plan = self.plan();
        if plan.dead {
            return WatchDecision::Broken;
        }
        let Some(watch) = plan.watches.get_mut(resource) else { return WatchDecision::Deliver };
        let Some(revision) = event else { return WatchDecision::Deliver };
        if revision + watch.lag > current {
            return WatchDecision::Wait;
        }
        if watch.held {
            if watch.allowance == 0 {
                return WatchDecision::Wait;
            }
            watch.allowance -= 1;
        }
        if let Some((left, fault)) = watch.fail_after {
            if left <= 1 {
                watch.fail_after = None;
                return WatchDecision::Fail(fault);
            }
            watch.fail_after = Some((left - 1, fault));
        }
        WatchDecision::Deliver
    }
}
