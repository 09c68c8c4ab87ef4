//! The work queue: which keys to reconcile now, which later, and never one key twice at the same time.
//!
//! Connections and rules go before links, but every few of them a link is handed out. Namespaces are served round-robin,
//! so that one with a hundred thousand links, or twenty thousand rules, does not starve the others. Timers are entries
//! here, not sleeping tasks, so a test can move the clock.

mod fair;

use crate::{
    controller::{
        clock::Clock,
        key::{Key, Kind},
    },
    domain::requeue::Requeue,
    telemetry::snapshot::QueueSnapshot,
};
use fair::FairQueue;
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

/// After this many connections and rules in a row, a link is handed out.
const MAX_PRIORITY_IN_A_ROW: usize = 3;

/// Keys for which an empty queue keeps memory.
const KEYS_KEPT: usize = 1024;

/// The queue; clones share it.
#[derive(Clone)]
pub struct WorkQueue {
    clock: Clock,
    state: Arc<Mutex<QueueState>>,
    changed: Arc<Notify>,
}

/// Milliseconds since the queue was created. Waiting is measured in real time, whatever the clock of the decisions says.
type Millis = u64;

struct QueueState {
    begin: Instant,
    /// Connections and rules.
    priority: FairQueue,
    links: FairQueue,
    /// Connections and rules handed out since the last link.
    priority_in_a_row: usize,
    queued: HashSet<Key>,
    processing: HashMap<Key, Millis>,
    /// When a reconcile last began or ended.
    last_progress: Millis,
    /// Keys that became due while they were being reconciled.
    dirty: HashSet<Key>,
    /// Due keys with the result of a creation, which is written even while the queue drains.
    last: HashSet<Key>,
    timers: BTreeMap<(Timestamp, Key), bool>,
    timer_of: HashMap<Key, Timestamp>,
    draining: bool,
    closed: bool,
}

impl QueueState {
    fn new() -> Self {
        Self {
            begin: Instant::now(),
            priority: FairQueue::default(),
            links: FairQueue::default(),
            priority_in_a_row: 0,
            queued: HashSet::new(),
            processing: HashMap::new(),
            last_progress: 0,
            dirty: HashSet::new(),
            last: HashSet::new(),
            timers: BTreeMap::new(),
            timer_of: HashMap::new(),
            draining: false,
            closed: false,
        }
    }

    fn now(&self) -> Millis {
        u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(Millis::MAX)
    }

    fn enqueue(&mut self, key: Key, now: Millis) {
        if !self.draining {
            self.enqueue_always(key, now);
        }
    }

    fn enqueue_always(&mut self, key: Key, now: Millis) {
        if self.processing.contains_key(&key) {
            self.dirty.insert(key);
            return;
        }
        if !self.queued.insert(key.clone()) {
            return;
        }
        match key.kind {
            Kind::PostLink => self.links.push(key, now),
            Kind::DynamicsConnection | Kind::AutomationRule => self.priority.push(key, now),
        }
    }

    fn enqueue_last(&mut self, key: Key, now: Millis) {
        self.last.insert(key.clone());
        self.enqueue_always(key, now);
    }

    fn pop(&mut self) -> Option<(Key, Duration)> {
        let (first, then) = match self.priority_in_a_row {
            ..MAX_PRIORITY_IN_A_ROW => (&mut self.priority, &mut self.links),
            _ => (&mut self.links, &mut self.priority),
        };
        let (key, since) = first.pop().or_else(|| then.pop())?;
        self.priority_in_a_row = if key.kind == Kind::PostLink { 0 } else { self.priority_in_a_row + 1 };
        let now = self.now();
        self.queued.remove(&key);
        if self.queued.is_empty() {
            // After a hundred thousand keys, an empty set would keep megabytes.
            self.queued.shrink_to(KEYS_KEPT);
        }
        self.last.remove(&key);
        self.processing.insert(key.clone(), now);
        self.last_progress = now;
        Some((key, Duration::from_millis(now.saturating_sub(since))))
    }

    fn drop_timer(&mut self, key: &Key) {
        if let Some(at) = self.timer_of.remove(key) {
            self.timers.remove(&(at, key.clone()));
        }
    }

    fn enqueue_due_timers(&mut self, now: Timestamp) {
        let since = self.now();
        while let Some(((at, _), _)) = self.timers.first_key_value()
            && *at <= now
            && let Some(((_, key), _)) = self.timers.pop_first()
        {
            self.timer_of.remove(&key);
            self.enqueue(key, since);
        }
    }
}

impl WorkQueue {
    pub fn new(clock: Clock) -> Self {
        Self { clock, state: Arc::new(Mutex::new(QueueState::new())), changed: Arc::new(Notify::new()) }
    }

    fn state(&self) -> MutexGuard<'_, QueueState> {
        // The queue is never left half-changed, and `run` ends on a panic anyway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a key due now.
    pub fn add(&self, key: Key) {
        self.enqueue_with(key, QueueState::enqueue);
    }

    fn enqueue_with(&self, key: Key, how: fn(&mut QueueState, Key, Millis)) {
        let mut state = self.state();
        let now = state.now();
        how(&mut state, key, now);
        drop(state);
        self.changed.notify_one();
    }

    pub fn extend(&self, keys: impl IntoIterator<Item = Key>) {
        // Every reconcile of a link ends here, mostly without a key: do not wake the workers for nothing.
        let mut keys = keys.into_iter().peekable();
        if keys.peek().is_none() {
            return;
        }
        let mut state = self.state();
        let now = state.now();
        for key in keys {
            state.enqueue(key, now);
        }
        drop(state);
        self.changed.notify_waiters();
        self.changed.notify_one();
    }

    /// Waits for the next key; returns it with the time it was due. `None` after [`WorkQueue::close`].
    pub async fn next(&self) -> Option<(Key, Duration)> {
        loop {
            let changed = self.changed.notified();
            let due = {
                let mut state = self.state();
                if state.closed {
                    return None;
                }
                state.enqueue_due_timers(self.clock.now());
                if let Some(next) = state.pop() {
                    if !state.queued.is_empty() {
                        self.changed.notify_one();
                    }
                    return Some(next);
                }
                state.timers.first_key_value().map(|((at, _), _)| *at)
            };
            tokio::select! {
                () = changed => {}
                () = self.clock.wait_until(due) => {}
            }
        }
    }

    /// Marks a key as reconciled and requeues it as `requeue` says, or at once if it became due meanwhile.
    pub fn done(&self, key: &Key, requeue: Option<Requeue>) {
        let mut state = self.state();
        let now = state.now();
        state.processing.remove(key);
        state.last_progress = now;
        state.drop_timer(key);
        if let Some(requeue) = requeue.filter(|_| !state.draining) {
            state.timers.insert((requeue.at, key.clone()), requeue.periodic);
            state.timer_of.insert(key.clone(), requeue.at);
        }
        if state.dirty.remove(key) {
            state.enqueue_always(key.clone(), now);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Drops the timer of a deleted object.
    pub fn forget(&self, key: &Key) {
        let mut state = self.state();
        state.drop_timer(key);
    }

    /// Drops everything that is due, except what [`WorkQueue::add_last`] added; from now on only that adds keys. The next
    /// leader reconciles every object anyway.
    pub fn drain(&self) {
        let mut state = self.state();
        state.draining = true;
        state.priority.clear();
        state.links.clear();
        state.queued.clear();
        state.timers.clear();
        state.timer_of.clear();
        let last = std::mem::take(&mut state.last);
        state.dirty.retain(|key| last.contains(key));
        let now = state.now();
        for key in last {
            state.enqueue_last(key, now);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Makes a key due even while the queue drains, so that the result of a creation is still written.
    pub fn add_last(&self, key: Key) {
        self.enqueue_with(key, QueueState::enqueue_last);
    }

    /// Hands out no further key.
    pub fn close(&self) {
        self.state().closed = true;
        self.changed.notify_waiters();
        self.changed.notify_one();
    }

    /// Whether no key is due or being reconciled.
    pub fn is_idle(&self) -> bool {
        let mut state = self.state();
        state.enqueue_due_timers(self.clock.now());
        state.queued.is_empty() && state.processing.is_empty()
    }

    /// How many keys of a namespace are due.
    pub fn due_in(&self, namespace: &str) -> usize {
        let state = self.state();
        state.priority.due_in(namespace) + state.links.due_in(namespace)
    }

    pub fn snapshot(&self) -> QueueSnapshot {
        let clock = self.clock.now();
        let state = self.state();
        let now = state.now();
        let ago = |since: Millis| Duration::from_millis(now.saturating_sub(since));
        let due = Kind::ALL.map(|kind| (kind.as_str(), state.priority.due(kind) + state.links.due(kind)));
        let oldest = state.priority.oldest().into_iter().chain(state.links.oldest()).min().map(ago);
        let longest = state.processing.values().min().map(|since| ago(*since));
        // A timer that has expired counts as due, even if no worker has picked it up yet.
        let overdue = state.timers.first_key_value().and_then(|((at, _), _)| {
            Duration::try_from(clock.duration_since(*at)).ok().filter(|overdue| !overdue.is_zero())
        });
        let waits = [oldest, longest, overdue].into_iter().flatten().max();
        QueueSnapshot {
            due: due.to_vec(),
            oldest,
            in_progress: state
                .processing
                .iter()
                .map(|(key, since)| (key.kind.as_str(), ago(*since)))
                .collect(),
            timers: state.timers.len(),
            stuck: waits.map(|waits| waits.min(ago(state.last_progress))),
        }
    }

    /// The non-periodic timers (confirmations, retries, settling), soonest first.
    pub fn awaited(&self) -> Vec<(Timestamp, Key)> {
        let state = self.state();
        state.timers.iter().filter(|(_, periodic)| !**periodic).map(|(at, _)| at.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(namespace: &str, name: &str) -> Key {
        Key::new(Kind::PostLink, namespace, name)
    }

    #[tokio::test]
    async fn namespaces_are_served_round_robin_after_rules() {
        let queue = WorkQueue::new(Clock::standing_at(Timestamp::UNIX_EPOCH));
        queue.extend([link("big", "a"), link("big", "b"), link("big", "c"), link("small", "x")]);
        queue.add(Key::new(Kind::AutomationRule, "big", "r"));
        let mut order = Vec::new();
        for _ in 0..5 {
            order.push(queue.next().await.unwrap().0.name.to_string());
        }
        assert_eq!(order, ["r", "a", "x", "b", "c"]);
    }

    #[tokio::test]
    async fn many_rules_starve_no_namespace_or_link() {
        let queue = WorkQueue::new(Clock::standing_at(Timestamp::UNIX_EPOCH));
        let first = |kind, namespace: &str, name: &str| Key::new(kind, namespace, name);
        queue.extend((0..100).map(|n| first(Kind::AutomationRule, "big", &format!("r{n}"))));
        queue.add(first(Kind::DynamicsConnection, "big", "c"));
        queue.extend([
            first(Kind::AutomationRule, "small", "s"),
            first(Kind::DynamicsConnection, "small", "d"),
        ]);
        queue.extend([link("big", "a"), link("other", "b")]);
        let mut order = Vec::new();
        for _ in 0..9 {
            order.push(queue.next().await.unwrap().0.name.to_string());
        }
        // Round-robin by namespace, connections before rules, and a link after every three of these.
        assert_eq!(order, ["c", "d", "r0", "a", "s", "r1", "r2", "b", "r3"]);
        assert_eq!(
            queue.snapshot().due,
            [("DynamicsConnection", 0), ("AutomationRule", 96), ("PostLink", 0)]
        );
    }

    #[tokio::test]
    async fn draining_queue_hands_out_only_finished_creations() {
        let queue = WorkQueue::new(Clock::standing_at(Timestamp::UNIX_EPOCH));
        queue.extend([link("n", "running"), link("n", "waiting")]);
        let (running, _) = queue.next().await.unwrap();
        queue.add_last(link("n", "made"));
        queue.drain();
        queue.add(link("n", "late"));
        assert_eq!(&*queue.next().await.unwrap().0.name, "made", "before the drain");
        queue.done(&link("n", "made"), None);
        assert!(!queue.is_idle(), "one is still running");
        queue.done(&running, Some(Requeue::awaited(Timestamp::UNIX_EPOCH)));
        assert!(queue.is_idle());
        queue.add_last(link("n", "created"));
        assert!(!queue.is_idle());
        assert_eq!(&*queue.next().await.unwrap().0.name, "created");
    }

    #[tokio::test]
    async fn key_added_while_running_runs_again() {
        let queue = WorkQueue::new(Clock::standing_at(Timestamp::UNIX_EPOCH));
        let key = link("n", "a");
        queue.add(key.clone());
        assert_eq!(queue.next().await.unwrap().0, key);
        queue.add(key.clone());
        queue.add(key.clone());
        assert_eq!(queue.due_in("n"), 0, "not handed out while it runs");
        queue.done(&key, None);
        assert_eq!([queue.due_in("n"), queue.due_in("other")], [1, 0]);
        assert_eq!(queue.next().await.unwrap().0, key);
        queue.done(&key, None);
        assert!(queue.is_idle());
    }

    #[tokio::test]
    async fn timers_expire_when_the_clock_moves() {
        let clock = Clock::standing_at(Timestamp::UNIX_EPOCH);
        let queue = WorkQueue::new(clock.clone());
        let key = link("n", "a");
        queue.add(key.clone());
        queue.next().await.unwrap();
        let due = Timestamp::from_second(60).unwrap();
        queue.done(&key, Some(Requeue::awaited(due)));
        assert!(queue.is_idle());
        assert_eq!(queue.awaited(), [(due, key.clone())]);
        let waiting = tokio::spawn({
            let queue = queue.clone();
            async move { queue.next().await }
        });
        clock.move_to(due);
        assert_eq!(waiting.await.unwrap().unwrap().0, key);
    }

    #[cfg(feature = "local")]
    #[tokio::test(start_paused = true)]
    async fn waiting_time_is_measured_from_when_due() {
        let clock = Clock::standing_at(Timestamp::UNIX_EPOCH);
        let queue = WorkQueue::new(clock.clone());
        let (minute, seconds) = (Duration::from_secs(60), Duration::from_secs);
        tokio::time::advance(minute * 60).await;
        assert_eq!(
            (queue.snapshot().oldest, queue.snapshot().stuck),
            (None, None),
            "an idle queue is not stuck"
        );

        queue.extend([link("n", "a"), link("n", "b")]);
        queue.add(Key::new(Kind::AutomationRule, "n", "r"));
        tokio::time::advance(minute).await;
        let now = queue.snapshot();
        assert_eq!(now.due, [("DynamicsConnection", 0), ("AutomationRule", 1), ("PostLink", 2)]);
        assert_eq!((now.oldest, now.stuck, now.longest_running()), (Some(minute), Some(minute), None));

        let (rule, waited) = queue.next().await.unwrap();
        assert_eq!(waited, minute);
        tokio::time::advance(seconds(5)).await;
        let now = queue.snapshot();
        assert_eq!(now.stuck, Some(seconds(5)), "a reconcile began meanwhile");
        assert_eq!((now.oldest, now.longest_running()), (Some(seconds(65)), Some(seconds(5))));
        queue.done(&rule, Some(Requeue::awaited(Timestamp::from_second(60).unwrap())));
        for name in ["a", "b"] {
            queue.next().await.unwrap();
            queue.done(&link("n", name), None);
        }
        tokio::time::advance(minute).await;
        assert_eq!((queue.snapshot().timers, queue.snapshot().stuck), (1, None), "the timer is not due yet");
        clock.move_to(Timestamp::from_second(90).unwrap());
        assert_eq!(queue.snapshot().stuck, Some(seconds(30)), "the timer is overdue");
    }
}
