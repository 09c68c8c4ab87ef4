//! When the creation of an activity may begin, and what becomes of its result.
//!
//! A link that waits for a slot is reconciled again when it gets one, so the creation is decided at that time: a rule that
//! was deactivated meanwhile creates nothing.

use super::state::{LinkBackoff, Runtime, RuntimeState};
use crate::{
    api::Reason,
    controller::key::Key,
    domain::{backoff::Backoff, post_link::CreationResult, requeue::saturating_add},
};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

/// Backoff of one link whose creation fails.
const RETRY: Backoff = Backoff { first: SignedDuration::from_secs(5), max: SignedDuration::from_secs(640) };

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
        self.state().connections.values().map(|connection| connection.creations.len()).sum()
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
    use super::{super::slots::SLOTS, *};
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
