//! The due queue: which keys are to be looked at now, which later, and never the same one twice at once.
//!
//! Connections and rules go before links, but not all of them before the first link. Namespaces take turns, so that one
//! with a hundred thousand links, or twenty thousand rules, does not starve the others. Timers are entries here, not
//! sleeping tasks, so a clock can be moved.

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

/// After so many connections and rules in a row a link has its turn.
const FIRST_IN_A_ROW: usize = 3;

/// The queue; clones share it.
#[derive(Clone)]
pub struct WorkQueue {
    clock: Clock,
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

/// Milliseconds of the machine's own time since the queue was made: waiting is measured in real time, whatever the
/// clock of the decisions says.
type Since = u64;

struct State {
    begin: Instant,
    /// Connections and rules.
    first: FairQueue,
    links: FairQueue,
    /// How many of the first were handed out since the last link was.
    in_a_row: usize,
    waiting: HashSet<Key>,
    running: HashMap<Key, Since>,
    /// When a look last began or ended.
    moved: Since,
    again: HashSet<Key>,
    timers: BTreeMap<(Timestamp, Key), bool>,
    timer_of: HashMap<Key, Timestamp>,
    draining: bool,
    closed: bool,
}

impl State {
    fn new() -> Self {
        Self {
            begin: Instant::now(),
            first: FairQueue::default(),
            links: FairQueue::default(),
            in_a_row: 0,
            waiting: HashSet::new(),
            running: HashMap::new(),
            moved: 0,
            again: HashSet::new(),
            timers: BTreeMap::new(),
            timer_of: HashMap::new(),
            draining: false,
            closed: false,
        }
    }

    fn now(&self) -> Since {
        u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(Since::MAX)
    }

    fn push(&mut self, key: Key, now: Since) {
        if !self.draining {
            self.put(key, now);
        }
    }

    fn put(&mut self, key: Key, now: Since) {
        if self.running.contains_key(&key) {
            self.again.insert(key);
            return;
        }
        if !self.waiting.insert(key.clone()) {
            return;
        }
        match key.kind {
            Kind::PostLink => self.links.push(key, now),
            Kind::DynamicsConnection | Kind::AutomationRule => self.first.push(key, now),
        }
    }

    fn pop(&mut self) -> Option<(Key, Duration)> {
        let (first, then) = match self.in_a_row {
            ..FIRST_IN_A_ROW => (&mut self.first, &mut self.links),
            _ => (&mut self.links, &mut self.first),
        };
        let (key, since) = first.pop().or_else(|| then.pop())?;
        self.in_a_row = if key.kind == Kind::PostLink { 0 } else { self.in_a_row + 1 };
        let now = self.now();
        self.waiting.remove(&key);
        self.running.insert(key.clone(), now);
        self.moved = now;
        Some((key, Duration::from_millis(now.saturating_sub(since))))
    }

    fn drop_timer(&mut self, key: &Key) {
        if let Some(at) = self.timer_of.remove(key) {
            self.timers.remove(&(at, key.clone()));
        }
    }

    fn ring(&mut self, now: Timestamp) {
        let since = self.now();
        while let Some(((at, _), _)) = self.timers.first_key_value()
            && *at <= now
            && let Some(((_, key), _)) = self.timers.pop_first()
        {
            self.timer_of.remove(&key);
            self.push(key, since);
        }
    }
}

impl WorkQueue {
    /// An empty queue.
    pub fn new(clock: Clock) -> Self {
        Self { clock, state: Arc::new(Mutex::new(State::new())), changed: Arc::new(Notify::new()) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere ends the process anyway; the queue itself is never left half-changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key is to be looked at now.
    pub fn add(&self, key: Key) {
        self.enter(key, State::push);
    }

    fn enter(&self, key: Key, how: fn(&mut State, Key, Since)) {
        let mut state = self.state();
        let now = state.now();
        how(&mut state, key, now);
        drop(state);
        self.changed.notify_one();
    }

    /// All of them.
    pub fn extend(&self, keys: impl IntoIterator<Item = Key>) {
        let mut state = self.state();
        let now = state.now();
        for key in keys {
            state.push(key, now);
        }
        drop(state);
        self.changed.notify_waiters();
        self.changed.notify_one();
    }

    /// The next key, once there is one, and how long it was due; `None` after [`WorkQueue::close`].
    pub async fn next(&self) -> Option<(Key, Duration)> {
        loop {
            let changed = self.changed.notified();
            let due = {
                let mut state = self.state();
                if state.closed {
                    return None;
                }
                state.ring(self.clock.now());
                if let Some(next) = state.pop() {
                    if !state.waiting.is_empty() {
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

    /// The key has been looked at; look again as `requeue` says, or at once if it became due meanwhile.
    pub fn done(&self, key: &Key, requeue: Option<Requeue>) {
        let mut state = self.state();
        let now = state.now();
        state.running.remove(key);
        state.moved = now;
        state.drop_timer(key);
        if let Some(requeue) = requeue.filter(|_| !state.draining) {
            state.timers.insert((requeue.at, key.clone()), requeue.periodic);
            state.timer_of.insert(key.clone(), requeue.at);
        }
        if state.again.remove(key) {
            state.put(key.clone(), now);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// The object is gone: no timer, no second look.
    pub fn forget(&self, key: &Key) {
        let mut state = self.state();
        state.drop_timer(key);
    }

    /// From now on nothing becomes due but what [`WorkQueue::add_last`] adds, and what was due is forgotten: whoever comes
    /// after this process looks at everything anyway.
    pub fn drain(&self) {
        let mut state = self.state();
        state.draining = true;
        state.first.clear();
        state.links.clear();
        state.waiting.clear();
        state.again.clear();
        state.timers.clear();
        state.timer_of.clear();
    }

    /// The key is to be looked at, also by a process that ends: something was begun for it and has ended.
    pub fn add_last(&self, key: Key) {
        self.enter(key, State::put);
    }

    /// No further key is handed out.
    pub fn close(&self) {
        self.state().closed = true;
        self.changed.notify_waiters();
        self.changed.notify_one();
    }

    /// Whether nothing is due and nothing is being looked at.
    pub fn is_idle(&self) -> bool {
        let mut state = self.state();
        state.ring(self.clock.now());
        state.waiting.is_empty() && state.running.is_empty()
    }

    /// How many keys are due or being looked at.
    pub fn depth(&self) -> usize {
        let state = self.state();
        state.waiting.len() + state.running.len()
    }

    /// How it stands.
    pub fn now(&self) -> QueueSnapshot {
        let clock = self.clock.now();
        let state = self.state();
        let now = state.now();
        let ago = |since: Since| Duration::from_millis(now.saturating_sub(since));
        let due = Kind::ALL.map(|kind| (kind.as_str(), state.first.due(kind) + state.links.due(kind)));
        let oldest = state.first.oldest().into_iter().chain(state.links.oldest()).min().map(ago);
        let longest = state.running.values().min().map(|since| ago(*since));
        // A timer that should have rung is due as well, although nobody has noticed.
        let overdue = state.timers.first_key_value().and_then(|((at, _), _)| {
            Duration::try_from(clock.duration_since(*at)).ok().filter(|overdue| !overdue.is_zero())
        });
        let waits = [oldest, longest, overdue].into_iter().flatten().max();
        QueueSnapshot {
            due: due.to_vec(),
            oldest,
            in_progress: state.running.iter().map(|(key, since)| (key.kind.as_str(), ago(*since))).collect(),
            timers: state.timers.len(),
            stuck: waits.map(|waits| waits.min(ago(state.moved))),
        }
    }

    /// The timers something waits for (confirmations, retries, settling), soonest first.
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
    async fn links_take_turns_by_namespace_and_rules_go_first() {
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
    async fn a_namespace_with_many_rules_keeps_no_other_waiting_and_no_link() {
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
        // FairQueue by namespace, its connections before its rules, and after three of these a link.
        assert_eq!(order, ["c", "d", "r0", "a", "s", "r1", "r2", "b", "r3"]);
        assert_eq!(queue.now().due, [("DynamicsConnection", 0), ("AutomationRule", 96), ("PostLink", 0)]);
    }

    #[tokio::test]
    async fn a_queue_that_drains_hands_out_only_what_has_ended() {
        let queue = WorkQueue::new(Clock::standing_at(Timestamp::UNIX_EPOCH));
        queue.extend([link("n", "running"), link("n", "waiting")]);
        let (running, _) = queue.next().await.unwrap();
        queue.drain();
        queue.add(link("n", "news"));
        assert!(!queue.is_idle(), "one is still looked at");
        queue.done(&running, Some(Requeue::awaited(Timestamp::UNIX_EPOCH)));
        assert!(queue.is_idle());
        queue.add_last(link("n", "created"));
        assert!(!queue.is_idle());
        assert_eq!(&*queue.next().await.unwrap().0.name, "created");
    }

    #[tokio::test]
    async fn a_key_that_becomes_due_while_it_runs_runs_once_more() {
        let queue = WorkQueue::new(Clock::standing_at(Timestamp::UNIX_EPOCH));
        let key = link("n", "a");
        queue.add(key.clone());
        assert_eq!(queue.next().await.unwrap().0, key);
        queue.add(key.clone());
        queue.add(key.clone());
        assert_eq!(queue.depth(), 1, "not handed out while it runs");
        queue.done(&key, None);
        assert_eq!(queue.next().await.unwrap().0, key);
        queue.done(&key, None);
        assert!(queue.is_idle());
    }

    #[tokio::test]
    async fn timers_ring_when_the_clock_is_moved() {
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

    #[tokio::test(start_paused = true)]
    async fn waiting_and_standing_still_are_measured_from_when_something_was_due() {
        let clock = Clock::standing_at(Timestamp::UNIX_EPOCH);
        let queue = WorkQueue::new(clock.clone());
        let (minute, seconds) = (Duration::from_secs(60), Duration::from_secs);
        tokio::time::advance(minute * 60).await;
        assert_eq!((queue.now().oldest, queue.now().stuck), (None, None), "an idle hour is no standstill");

        queue.extend([link("n", "a"), link("n", "b")]);
        queue.add(Key::new(Kind::AutomationRule, "n", "r"));
        tokio::time::advance(minute).await;
        let now = queue.now();
        assert_eq!(now.due, [("DynamicsConnection", 0), ("AutomationRule", 1), ("PostLink", 2)]);
        assert_eq!((now.oldest, now.stuck, now.longest_running()), (Some(minute), Some(minute), None));

        let (rule, waited) = queue.next().await.unwrap();
        assert_eq!(waited, minute);
        tokio::time::advance(seconds(5)).await;
        let now = queue.now();
        assert_eq!(now.stuck, Some(seconds(5)), "a look began meanwhile");
        assert_eq!((now.oldest, now.longest_running()), (Some(seconds(65)), Some(seconds(5))));
        queue.done(&rule, Some(Requeue::awaited(Timestamp::from_second(60).unwrap())));
        for name in ["a", "b"] {
            queue.next().await.unwrap();
            queue.done(&link("n", name), None);
        }
        tokio::time::advance(minute).await;
        assert_eq!((queue.now().timers, queue.now().stuck), (1, None), "a timer that is not due yet");
        clock.move_to(Timestamp::from_second(90).unwrap());
        assert_eq!(queue.now().stuck, Some(seconds(30)), "one that nobody rings");
    }
}
