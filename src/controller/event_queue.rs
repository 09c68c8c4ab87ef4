//! Events that wait to be written, served round-robin by namespace: one with a burst of events neither delays those of the
//! others nor displaces them.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// Events that wait for one namespace at most; the rest of a larger burst is dropped.
const NAMESPACE_LENGTH: usize = 256;
/// Events that wait in all. Beyond that, one for each namespace that has none.
const LENGTH: usize = 4096;

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

    /// Waits for the next event.
    pub(super) async fn next(&self) -> T {
        loop {
            if let Some(event) = self.pop() {
                return event;
            }
            self.0.added.notified().await;
        }
    }

    fn pop(&self) -> Option<T> {
        let mut waiting = self.waiting();
        let namespace = waiting.order.pop_front()?;
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
            order.push(queue.next().await);
        }
        assert_eq!(order, [0, 7_000, 1, 7_001, 2]);
        assert!(!queue.is_empty());
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
        assert!(queue.pop().is_some() && queue.pop().is_some());
        assert!(queue.push("quiet", 2));
    }
}
