//! Events that wait to be written, served round-robin by namespace: one with a burst of events, or with events that have to
//! wait, neither delays those of the others nor displaces them.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::Notify;

/// Events that wait for one namespace at most; the rest of a larger burst is dropped.
const NAMESPACE_LENGTH: usize = 256;
/// Events that wait in all. Beyond that, one for each namespace that has none.
const LENGTH: usize = 4096;

/// How often it is asked again whether the events of a namespace have to wait.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Clones share the queue.
pub(super) struct EventQueue<T>(Arc<Shared<T>>);

struct Shared<T> {
    waiting: Mutex<Waiting<T>>,
    added: Notify,
}

struct Waiting<T> {
    namespaces: HashMap<String, VecDeque<T>>,
    /// The order in which the namespaces are served.
    order: VecDeque<String>,
    length: usize,
}

impl<T> Clone for EventQueue<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Default for EventQueue<T> {
    fn default() -> Self {
        let waiting = Waiting { namespaces: HashMap::new(), order: VecDeque::new(), length: 0 };
        Self(Arc::new(Shared { waiting: Mutex::new(waiting), added: Notify::new() }))
    }
}

impl<T> EventQueue<T> {
    fn waiting(&self) -> MutexGuard<'_, Waiting<T>> {
        // Every change is complete before anything can panic.
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an event, unless too many wait. Returns whether it was added.
    pub(super) fn push(&self, namespace: &str, event: T) -> bool {
        let mut waiting = self.waiting();
        let own = waiting.namespaces.get(namespace).map_or(0, VecDeque::len);
        if own >= NAMESPACE_LENGTH || (own > 0 && waiting.length >= LENGTH) {
            return false;
        }
        if own == 0 {
            waiting.order.push_back(namespace.to_owned());
        }
        waiting.namespaces.entry(namespace.to_owned()).or_default().push_back(event);
        waiting.length += 1;
        drop(waiting);
        self.0.added.notify_one();
        true
    }

    /// Waits for the next event of a namespace whose turn it is. One that says no keeps its place.
    pub(super) async fn next(&self, mut has_turn: impl FnMut(&str) -> bool) -> T {
        loop {
            if let Some(event) = self.pop(&mut has_turn) {
                return event;
            }
            let added = self.0.added.notified();
            if self.is_empty() {
                added.await;
            } else {
                let _ = tokio::time::timeout(POLL_INTERVAL, added).await;
            }
        }
    }

    fn pop(&self, has_turn: impl FnMut(&str) -> bool) -> Option<T> {
        let mut waiting = self.waiting();
        let next = waiting.order.iter().map(String::as_str).position(has_turn)?;
        let namespace = waiting.order.remove(next)?;
        let events = waiting.namespaces.get_mut(&namespace)?;
        let event = events.pop_front()?;
        if events.is_empty() {
            waiting.namespaces.remove(&namespace);
        } else {
            waiting.order.push_back(namespace);
        }
        waiting.length -= 1;
        Some(event)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting().length == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn namespaces_take_turns_and_drop_only_their_own_events() {
        let queue = EventQueue::default();
        let accepted = (0..1_000).filter(|event| queue.push("loud", *event)).count();
        assert_eq!(accepted, NAMESPACE_LENGTH);
        assert!(queue.push("quiet", 7_000) && queue.push("quiet", 7_001));
        let mut order = Vec::new();
        for _ in 0..5 {
            order.push(queue.next(|_| true).await);
        }
        assert_eq!(order, [0, 7_000, 1, 7_001, 2]);
        assert!(!queue.is_empty());
    }

    #[cfg(feature = "local")]
    #[tokio::test(start_paused = true)]
    async fn namespace_without_its_turn_delays_no_other() {
        let queue = EventQueue::default();
        for event in 0..2 {
            assert!(queue.push("loud", event) && queue.push("quiet", 7_000 + event));
        }
        let begin = tokio::time::Instant::now();
        let quiet = |namespace: &str| namespace == "quiet";
        assert_eq!([queue.next(quiet).await, queue.next(quiet).await], [7_000, 7_001]);
        assert_eq!(begin.elapsed(), Duration::ZERO);
        // Its turn comes while nothing else happens.
        let turn = begin + Duration::from_secs(1);
        assert_eq!(queue.next(|_| tokio::time::Instant::now() >= turn).await, 0);
        assert_eq!(begin.elapsed().as_secs(), 1);
    }

    #[test]
    fn each_namespace_has_room_for_one_event() {
        let queue = EventQueue::default();
        let full = (0..LENGTH / NAMESPACE_LENGTH).map(|n| format!("loud-{n}"));
        for namespace in full {
            while queue.push(&namespace, 0) {}
        }
        assert!(queue.push("quiet", 1));
        assert!(!queue.push("quiet", 2), "until there is room again");
        assert!(queue.pop(|_| true).is_some() && queue.pop(|_| true).is_some());
        assert!(queue.push("quiet", 2));
    }
}
