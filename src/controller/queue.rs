//! The due queue: which keys are to be looked at now, which later, and never the same one twice at once.
//!
//! Connections and rules go before links; links take turns by namespace, so that one namespace with a hundred
//! thousand links does not starve the others. Timers are entries here, not sleeping tasks, so a clock can be moved.

use super::clock::Clock;
use crate::rules::Requeue;
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// Which of the three kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `DynamicsConnection`.
    Connection,
    /// `AutomationRule`.
    Rule,
    /// `PostLink`.
    Link,
}

impl Kind {
    /// The kind's name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connection => "DynamicsConnection",
            Self::Rule => "AutomationRule",
            Self::Link => "PostLink",
        }
    }
}

/// One object to look at.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

impl Key {
    /// A key.
    pub fn new(kind: Kind, namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into() }
    }
}

/// The queue; clones share it.
#[derive(Clone)]
pub struct Queue {
    clock: Clock,
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

#[derive(Default)]
struct State {
    first: VecDeque<Key>,
    links: HashMap<Arc<str>, VecDeque<Key>>,
    turns: VecDeque<Arc<str>>,
    waiting: HashSet<Key>,
    running: HashSet<Key>,
    again: HashSet<Key>,
    timers: BTreeMap<(Timestamp, Key), bool>,
    timer_of: HashMap<Key, Timestamp>,
    closed: bool,
}

impl State {
    fn push(&mut self, key: Key) {
        if self.running.contains(&key) {
            self.again.insert(key);
            return;
        }
        if !self.waiting.insert(key.clone()) {
            return;
        }
        if key.kind == Kind::Link {
            let namespace = key.namespace.clone();
            let line = self.links.entry(namespace.clone()).or_default();
            if line.is_empty() {
                self.turns.push_back(namespace);
            }
            line.push_back(key);
        } else {
            self.first.push_back(key);
        }
    }

    fn pop(&mut self) -> Option<Key> {
        let key = if let Some(key) = self.first.pop_front() {
            key
        } else {
            let namespace = self.turns.pop_front()?;
            let line = self.links.get_mut(&namespace)?;
            let key = line.pop_front()?;
            if line.is_empty() {
                self.links.remove(&namespace);
            } else {
                self.turns.push_back(namespace);
            }
            key
        };
        self.waiting.remove(&key);
        self.running.insert(key.clone());
        Some(key)
    }

    fn drop_timer(&mut self, key: &Key) {
        if let Some(at) = self.timer_of.remove(key) {
            self.timers.remove(&(at, key.clone()));
        }
    }

    fn ring(&mut self, now: Timestamp) {
        while let Some(((at, _), _)) = self.timers.first_key_value()
            && *at <= now
            && let Some(((_, key), _)) = self.timers.pop_first()
        {
            self.timer_of.remove(&key);
            self.push(key);
        }
    }
}

impl Queue {
    /// An empty queue.
    pub fn new(clock: Clock) -> Self {
        Self { clock, state: Arc::default(), changed: Arc::new(Notify::new()) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere ends the process anyway; the queue itself is never left half-changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key is to be looked at now.
    pub fn add(&self, key: Key) {
        self.state().push(key);
        self.changed.notify_one();
    }

    /// All of them.
    pub fn extend(&self, keys: impl IntoIterator<Item = Key>) {
        let mut state = self.state();
        for key in keys {
            state.push(key);
        }
        drop(state);
        self.changed.notify_waiters();
        self.changed.notify_one();
    }

    /// The next key, once there is one; `None` after [`Queue::close`].
    pub async fn next(&self) -> Option<Key> {
        loop {
            let changed = self.changed.notified();
            let due = {
                let mut state = self.state();
                if state.closed {
                    return None;
                }
                state.ring(self.clock.now());
                if let Some(key) = state.pop() {
                    if !state.waiting.is_empty() {
                        self.changed.notify_one();
                    }
                    return Some(key);
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
        state.running.remove(key);
        state.drop_timer(key);
        if let Some(requeue) = requeue {
            state.timers.insert((requeue.at, key.clone()), requeue.periodic);
            state.timer_of.insert(key.clone(), requeue.at);
        }
        if state.again.remove(key) {
            state.push(key.clone());
        }
        drop(state);
        self.changed.notify_one();
    }

    /// The object is gone: no timer, no second look.
    pub fn forget(&self, key: &Key) {
        let mut state = self.state();
        state.drop_timer(key);
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
        Key::new(Kind::Link, namespace, name)
    }

    #[tokio::test]
    async fn links_take_turns_by_namespace_and_rules_go_first() {
        let queue = Queue::new(Clock::standing_at(Timestamp::UNIX_EPOCH));
        queue.extend([link("big", "a"), link("big", "b"), link("big", "c"), link("small", "x")]);
        queue.add(Key::new(Kind::Rule, "big", "r"));
        let mut order = Vec::new();
        for _ in 0..5 {
            order.push(queue.next().await.unwrap().name.to_string());
        }
        assert_eq!(order, ["r", "a", "x", "b", "c"]);
    }

    #[tokio::test]
    async fn a_key_that_becomes_due_while_it_runs_runs_once_more() {
        let queue = Queue::new(Clock::standing_at(Timestamp::UNIX_EPOCH));
        let key = link("n", "a");
        queue.add(key.clone());
        assert_eq!(queue.next().await.unwrap(), key);
        queue.add(key.clone());
        queue.add(key.clone());
        assert_eq!(queue.depth(), 1, "not handed out while it runs");
        queue.done(&key, None);
        assert_eq!(queue.next().await.unwrap(), key);
        queue.done(&key, None);
        assert!(queue.is_idle());
    }

    #[tokio::test]
    async fn timers_ring_when_the_clock_is_moved() {
        let clock = Clock::standing_at(Timestamp::UNIX_EPOCH);
        let queue = Queue::new(clock.clone());
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
        assert_eq!(waiting.await.unwrap(), Some(key));
    }
}
