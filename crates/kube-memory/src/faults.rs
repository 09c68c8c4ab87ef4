//! Faults for tests: what can go wrong between one client and the API, decided per request or held by hand.
//!
//! Off unless a client is made with a [`Line`]; a client without one pays nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::sync::watch;

/// What a fault hook is told about a request. Watches are requests too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestInfo {
    /// Counts this client's requests from 0.
    pub number: u64,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: &'static str,
    /// Plural with group, `widgets.example.com`; empty for discovery.
    pub resource: String,
    /// Namespace, may be empty.
    pub namespace: String,
    /// Name, may be empty.
    pub name: String,
    /// `status`, `token`, or empty.
    pub subresource: String,
    /// Whether it would change the store: not a read and not a dry run.
    pub is_write: bool,
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// It is answered with this status and not carried out. `retry_after` in seconds becomes a header.
    Answer {
        /// 403, 409, 410, 429, 500, 503, 504.
        code: u16,
        /// Seconds for `Retry-After`.
        retry_after: Option<u32>,
    },
    /// It is carried out, and answered with this status all the same (504 after a commit).
    AnswerAfter {
        /// The status.
        code: u16,
    },
    /// It is never answered and not carried out.
    Hang,
    /// The connection breaks before it is carried out.
    DropBefore,
    /// It is carried out; the connection breaks before the answer arrives.
    DropAfter,
}

/// A point relative to a write at which the client dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashPoint {
    /// The write does not reach the API.
    BeforeSend,
    /// The write is carried out, its answer does not arrive.
    AfterCommit,
    /// The answer arrives; it is the client's last.
    AfterReply,
}

/// How a watch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The server closes it, as on a timeout.
    Clean,
    /// The connection breaks in the middle of an event.
    MidEvent,
    /// An ERROR event says 410 Expired.
    Expired,
}

type Hook = Arc<dyn Fn(&RequestInfo) -> Fault + Send + Sync>;

/// Everything that can go wrong for one client. Clones are the same line.
#[derive(Clone)]
pub struct Line {
    shared: Arc<Shared>,
}

struct Shared {
    hook: Option<Hook>,
    plan: Mutex<Plan>,
    requests: AtomicU64,
    /// Bumped on each change of the plan; watches wait on it.
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct Plan {
    dead: bool,
    writes: u64,
    crash: Option<(u64, CrashPoint)>,
    gates: BTreeMap<String, Gate>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Gate {
    held: bool,
    /// How many events may still pass while it is held.
    allowance: u64,
    /// Events younger than this many revisions are withheld.
    lag: u64,
    /// Cut the next watch that has delivered this many more events.
    cut_after: Option<(u64, Cut)>,
    /// Watches opened before this many cuts are cut.
    cuts: u64,
    cut: Option<Cut>,
}

/// What a watch does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Deliver,
    Wait,
    Cut(Cut),
    /// The client is dead.
    Broken,
}

/// What becomes of a request, once the plan and the hook have been asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Proceed,
    /// Carried out and answered, and then the client is dead.
    ProceedAndDie,
    Refuse(Fault),
    /// Carried out; then this.
    After(Fault),
}

impl Default for Line {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let plan = self.plan();
        f.debug_struct("Line").field("dead", &plan.dead).field("writes", &plan.writes).finish_non_exhaustive()
    }
}

impl Line {
    /// A sound line that can be tampered with by hand.
    pub fn new() -> Self {
        Self::make(None)
    }

    /// Asks `hook` about every request, watches included.
    pub fn with_hook(hook: impl Fn(&RequestInfo) -> Fault + Send + Sync + 'static) -> Self {
        Self::make(Some(Arc::new(hook)))
    }

    /// Random faults, reproducible from `seed` given the same order of requests: each request fails with probability
    /// `per_mille`/1000, at most `in_a_row` times in a row. Hangs are left out: they need a client with deadlines.
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

    /// How many writes of this client the API has carried out or begun to.
    pub fn writes(&self) -> u64 {
        self.plan().writes
    }

    /// Kills the client: its requests fail and its watches break, from now on.
    pub fn kill(&self) {
        self.change(|plan| plan.dead = true);
    }

    /// Whether the client is dead.
    pub fn is_dead(&self) -> bool {
        self.plan().dead
    }

    /// Kills the client at its `k`-th write (from 1).
    pub fn crash_at_write(&self, k: u64, point: CrashPoint) {
        self.change(|plan| plan.crash = Some((k, point)));
    }

    /// Withholds watch events of a resource (plural with group) until they are released.
    pub fn hold(&self, resource: &str) {
        self.gate(resource, |gate| gate.held = true);
    }

    /// Lets `events` more events of a held resource pass.
    pub fn release(&self, resource: &str, events: u64) {
        self.gate(resource, |gate| gate.allowance += events);
    }

    /// Ends a hold.
    pub fn release_all(&self, resource: &str) {
        self.gate(resource, |gate| {
            gate.held = false;
            gate.allowance = 0;
        });
    }

    /// Withholds events of a resource until `revisions` further writes have happened; 0 ends it.
    pub fn delay(&self, resource: &str, revisions: u64) {
        self.gate(resource, |gate| gate.lag = revisions);
    }

    /// Cuts every open watch of a resource now.
    pub fn cut(&self, resource: &str, how: Cut) {
        self.gate(resource, |gate| {
            gate.cuts += 1;
            gate.cut = Some(how);
        });
    }

    /// Cuts the watch of a resource that delivers the `events`-th event from now, before it delivers that one.
    pub fn cut_after(&self, resource: &str, events: u64, how: Cut) {
        self.gate(resource, |gate| gate.cut_after = Some((events, how)));
    }

    fn gate(&self, resource: &str, change: impl FnOnce(&mut Gate)) {
        self.change(|plan| change(plan.gates.entry(resource.to_owned()).or_default()));
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

    /// Decides about a request; counts writes.
    pub(crate) fn fate(&self, request: &RequestInfo) -> Fate {
        if self.plan().dead {
            return Fate::Refuse(Fault::DropBefore);
        }
        // The hook may take its time or look at the line itself, so it is asked without the lock.
        let fault = self.shared.hook.as_ref().map_or(Fault::None, |hook| hook(request));
        match fault {
            Fault::None => {}
            Fault::AnswerAfter { .. } | Fault::DropAfter => {
                if request.is_write {
                    self.plan().writes += 1;
                }
                return Fate::After(fault);
            }
            other => return Fate::Refuse(other),
        }
        if !request.is_write {
            return Fate::Proceed;
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
            None => Fate::Proceed,
            Some(CrashPoint::BeforeSend) => {
                self.kill();
                Fate::Refuse(Fault::DropBefore)
            }
            Some(CrashPoint::AfterCommit) => {
                self.kill();
                Fate::After(Fault::DropAfter)
            }
            Some(CrashPoint::AfterReply) => Fate::ProceedAndDie,
        }
    }

    /// How many times watches of the resource were cut; a new watch starts from here.
    pub(crate) fn cuts(&self, resource: &str) -> u64 {
        self.plan().gates.get(resource).map_or(0, |gate| gate.cuts)
    }

    /// What a watch opened after `seen` cuts does with an event of `revision`, the store being at `current`.
    /// `None` asks while there is no event.
    pub(crate) fn turn(&self, resource: &str, seen: u64, event: Option<u64>, current: u64) -> Turn {
        let mut plan = self.plan();
        if plan.dead {
            return Turn::Broken;
        }
        let Some(gate) = plan.gates.get_mut(resource) else { return Turn::Deliver };
        if gate.cuts > seen
            && let Some(how) = gate.cut
        {
            return Turn::Cut(how);
        }
        let Some(revision) = event else { return Turn::Deliver };
        if revision + gate.lag > current {
            return Turn::Wait;
        }
        if gate.held {
            if gate.allowance == 0 {
                return Turn::Wait;
            }
            gate.allowance -= 1;
        }
        if let Some((left, how)) = gate.cut_after {
            if left <= 1 {
                gate.cut_after = None;
                return Turn::Cut(how);
            }
            gate.cut_after = Some((left - 1, how));
        }
        Turn::Deliver
    }
}
