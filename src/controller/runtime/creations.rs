//! The creations of activities in flight, and the links that wait for a slot.
//!
//! A link that waits for a slot is reconciled again when it gets one, so the creation is decided at that time: a rule that
//! was deactivated meanwhile creates nothing.

use super::{
    post_link::LinkBackoff,
    state::{Runtime, RuntimeState},
};
use crate::{
    api::Reason,
    controller::key::Key,
    domain::{backoff::Backoff, post_link::CreationResult, requeue::saturating_add},
};
use jiff::{SignedDuration, Timestamp};
use std::collections::{HashMap, HashSet, VecDeque};
use uuid::Uuid;

/// Concurrent creations per connection. The client has its own limit; with this one, waiting does not count against the
/// client's timeouts.
const SLOTS: usize = 8;

/// Backoff of one link whose creation fails.
const RETRY: Backoff = Backoff { first: SignedDuration::from_secs(5), max: SignedDuration::from_secs(640) };

/// The creations of one connection.
#[derive(Default)]
pub struct Creations {
    in_flight: HashSet<Key>,
    /// Links that have a slot and are about to be reconciled.
    granted: HashSet<Key>,
    waiting: VecDeque<Key>,
    /// The keys of `waiting`.
    queued: HashSet<Key>,
    /// `spec.linksPerSecond`, the next free time slot, and the reserved ones.
    rate: Option<i32>,
    next_rate_slot: Timestamp,
    rate_slots: HashMap<Key, Timestamp>,
}

/// Whether a creation may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It has a slot; [`Runtime::finish_creation`] returns it.
    Begin,
    /// It waits; its key is enqueued when it can begin.
    Wait,
    /// `spec.linksPerSecond` defers it: reconcile it now to report that in its status.
    Deferred,
}

impl Creations {
    pub(super) fn into_waiting(self) -> impl IntoIterator<Item = Key> {
        self.waiting
    }

    /// Whether the link gets a slot; if not, it is added to `waiting`.
    fn take_slot(&mut self, key: &Key) -> bool {
        let free = self.waiting.is_empty() && self.in_flight.len() + self.granted.len() < SLOTS;
        if self.granted.remove(key) || free {
            self.in_flight.insert(key.clone());
            return true;
        }
        if self.queued.insert(key.clone()) {
            self.waiting.push_back(key.clone());
        }
        false
    }

    /// Grants a free slot to the next waiting link.
    fn grant_next(&mut self) -> Option<Key> {
        if self.in_flight.len() + self.granted.len() >= SLOTS {
            return None;
        }
        let key = self.waiting.pop_front()?;
        self.queued.remove(&key);
        self.granted.insert(key.clone());
        Some(key)
    }

    /// How long a link has to wait because of `spec.linksPerSecond`. A waiting link keeps its time slot: if it had to
    /// reserve a new one each time, two links could delay each other forever.
    fn rate_delay(&mut self, key: &Key, rate: i32, now: Timestamp) -> Option<SignedDuration> {
        let period = SignedDuration::from_millis(1000 / i64::from(rate.max(1)));
        let at = self.rate_slots.remove(key).unwrap_or_else(|| {
            // Slots reserved by links that were deleted or need no creation any more are free again.
            let latest =
                if self.rate_slots.is_empty() { saturating_add(now, period) } else { self.next_rate_slot };
            let at = self.next_rate_slot.min(latest).max(now);
            self.next_rate_slot = saturating_add(at, period);
            at
        });
        if at <= now {
            return None;
        }
        self.rate_slots.insert(key.clone(), at);
        Some(at.duration_since(now))
    }
}

impl Runtime {
    /// Whether the link's activity may be created now.
    pub fn admit_creation(&self, key: &Key, link: Uuid, connection: &str, now: Timestamp) -> Admission {
        let mut state = self.state();
        if state.stopping || state.is_held(connection, key) {
            return Admission::Wait;
        }
        let runtime = state.connection(connection);
        if runtime.closed {
            runtime.blocked.insert(key.clone());
            return Admission::Wait;
        }
        if !runtime.creations.take_slot(key) {
            return Admission::Wait;
        }
        let rate = runtime.creations.rate;
        let Some(wait) = rate.and_then(|rate| runtime.creations.rate_delay(key, rate, now)) else {
            state.link(key, |entry| {
                entry.granted = None;
                entry.creating = true;
            });
            return Admission::Begin;
        };
        // The slot becomes a granted one, which the next reconcile declines.
        runtime.creations.in_flight.remove(key);
        runtime.creations.granted.insert(key.clone());
        state.link(key, |entry| {
            entry.granted = Some(connection.to_owned());
            entry.rate_slot = Some(connection.to_owned());
        });
        state.fail(key, link, Reason::Throttled, now, Some(wait));
        Admission::Deferred
    }

    /// Returns the slot of a link whose reconcile did not use it, and the link that is granted it instead.
    pub fn decline_slot(&self, key: &Key) -> Option<Key> {
        let mut state = self.state();
        let connection = state.links.get(key)?.granted.clone()?;
        state.link(key, |entry| entry.granted = None);
        let creations = &mut state.connections.get_mut(&connection)?.creations;
        creations.granted.remove(key);
        state.grant_next(&connection)
    }

    /// Ends a creation; with `result: None`, nothing was sent. Returns the link that is granted the slot, and whether the
    /// connection is closed and has no creation in flight.
    pub fn finish_creation(
        &self,
        key: &Key,
        link: Uuid,
        connection: &str,
        result: Option<(CreationResult, Option<SignedDuration>)>,
        now: Timestamp,
    ) -> (Option<Key>, bool) {
        let mut state = self.state();
        state.link(key, |entry| entry.creating = false);
        match result {
            Some((CreationResult::Failed(reason), wait)) => state.fail(key, link, reason, now, wait),
            Some((created, _)) => state.link(key, |entry| entry.created = Some((link, created))),
            None => state.link(key, |entry| entry.created = None),
        }
        let Some(runtime) = state.connections.get_mut(connection) else { return (None, false) };
        runtime.creations.in_flight.remove(key);
        let drained = runtime.closed && runtime.creations.in_flight.is_empty();
        (state.grant_next(connection), drained)
    }

    /// Opens or closes a connection for creations (§4.4). Returns whether none is in flight, and the blocked links to
    /// enqueue: no other event does so when a disable is withdrawn before it took effect.
    pub fn set_closed(&self, connection: &str, closed: bool) -> (bool, Vec<Key>) {
        let mut state = self.state();
        let runtime = state.connection(connection);
        runtime.closed = closed;
        let blocked = if closed { Vec::new() } else { runtime.blocked.drain().collect() };
        (runtime.creations.in_flight.is_empty(), blocked)
    }

    /// Applies a changed `spec.linksPerSecond`: discards the reserved time slots and returns their links to requeue.
    pub fn set_rate(&self, connection: &str, rate: Option<i32>) -> Vec<Key> {
        let mut state = self.state();
        let creations = &mut state.connection(connection).creations;
        if creations.rate == rate {
            return Vec::new();
        }
        creations.rate = rate;
        creations.next_rate_slot = Timestamp::UNIX_EPOCH;
        let waiting: Vec<Key> = creations.rate_slots.drain().map(|(key, _)| key).collect();
        for key in &waiting {
            state.forget_attempts(key);
        }
        waiting
    }

    pub fn is_creating(&self, key: &Key) -> bool {
        self.state().links.get(key).is_some_and(|entry| entry.creating)
    }

    pub fn is_creating_any(&self) -> bool {
        self.state().connections.values().any(|connection| !connection.creations.in_flight.is_empty())
    }

    /// The number of creations in flight or waiting.
    pub fn creations(&self) -> usize {
        let count = |c: &Creations| c.in_flight.len() + c.granted.len() + c.waiting.len();
        self.state().connections.values().map(|connection| count(&connection.creations)).sum()
    }
}

impl RuntimeState {
    fn grant_next(&mut self, connection: &str) -> Option<Key> {
        let next = self.connections.get_mut(connection)?.creations.grant_next()?;
        self.link(&next, |entry| entry.granted = Some(connection.to_owned()));
        Some(next)
    }

    /// Records a failed creation, with backoff or the instance's `Retry-After`.
    fn fail(
        &mut self,
        key: &Key,
        link: Uuid,
        reason: Reason,
        now: Timestamp,
        retry_after: Option<SignedDuration>,
    ) {
        self.link(key, |entry| {
            let failures = entry.backoff.filter(|b| b.link == link).map_or(1, |b| b.failures + 1);
            let wait =
                retry_after.map_or(RETRY.delay(failures), |wait| wait.max(SignedDuration::from_secs(1)));
            let not_before = saturating_add(now, wait);
            entry.backoff = Some(LinkBackoff { link, failures, not_before });
            entry.created = Some((link, CreationResult::Failed(reason)));
        });
    }

    /// Drops the creation result, backoff and time slot of a link.
    pub(super) fn forget_attempts(&mut self, key: &Key) {
        let rate_slot = self.link(key, |entry| {
            entry.created = None;
            entry.backoff = None;
            entry.rate_slot.take()
        });
        if let Some(connection) = rate_slot.and_then(|uid| self.connections.get_mut(&uid)) {
            connection.creations.rate_slots.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::key::Kind;

    fn key(name: usize) -> Key {
        Key::new(Kind::PostLink, "n", name.to_string())
    }

    fn admit(runtime: &Runtime, name: usize) -> Admission {
        runtime.admit_creation(&key(name), Uuid::nil(), "c", Timestamp::UNIX_EPOCH)
    }

    fn finish(runtime: &Runtime, name: usize) -> Option<Key> {
        runtime.finish_creation(&key(name), Uuid::nil(), "c", None, Timestamp::UNIX_EPOCH).0
    }

    #[test]
    fn slots_are_granted_in_order() {
        let runtime = Runtime::default();
        for name in 0..SLOTS {
            assert_eq!(admit(&runtime, name), Admission::Begin);
        }
        for name in [8, 9, 8, 10] {
            assert_eq!(admit(&runtime, name), Admission::Wait);
        }
        assert_eq!(runtime.creations(), SLOTS + 3);
        assert_eq!(finish(&runtime, 0), Some(key(8)));
        assert_eq!(admit(&runtime, 11), Admission::Wait, "the slot is granted already");
        assert_eq!(runtime.decline_slot(&key(8)), Some(key(9)), "8 needs no creation any more");
        assert_eq!(admit(&runtime, 9), Admission::Begin);
        assert_eq!(runtime.decline_slot(&key(9)), None, "a slot in use is not declined");
        assert_eq!(finish(&runtime, 9), Some(key(10)));
        assert_eq!(admit(&runtime, 10), Admission::Begin);
        assert_eq!(finish(&runtime, 10), Some(key(11)));
    }

    #[test]
    fn closing_waits_for_creations_in_flight() {
        let runtime = Runtime::default();
        assert_eq!(admit(&runtime, 0), Admission::Begin);
        assert_eq!(runtime.set_closed("c", true), (false, Vec::new()));
        assert_eq!(admit(&runtime, 1), Admission::Wait);
        let (next, drained) = runtime.finish_creation(&key(0), Uuid::nil(), "c", None, Timestamp::UNIX_EPOCH);
        assert_eq!((next, drained), (None, true));
        assert_eq!(runtime.set_closed("c", false), (true, vec![key(1)]));
    }
}
