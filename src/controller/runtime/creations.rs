//! When the creation of an activity may begin, and what becomes of its result.
//!
//! A link that waits for a slot is reconciled again when it gets one, so the creation is decided at that time: a rule that
//! was deactivated meanwhile creates nothing.

use super::state::{LinkBackoff, LinkGeneration, Runtime, RuntimeState};
use crate::{
    api::Reason,
    controller::key::Key,
    domain::{
        backoff::Backoff,
        post_link::{CreationResult, NotBefore},
        requeue::saturating_add,
    },
};
use jiff::{SignedDuration, Timestamp};

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

/// Why nothing was created.
#[derive(Clone, Copy, Debug)]
pub struct CreationFailure {
    pub reason: Reason,
    /// The instance's `Retry-After`.
    pub retry_after: Option<SignedDuration>,
}

impl Runtime {
    /// Whether the link's activity may be created now. Also returns the link that is granted the slot for which this one
    /// waited at another connection.
    pub fn admit_creation(
        &self,
        key: &Key,
        link: LinkGeneration,
        connection: &str,
        now: Timestamp,
    ) -> (Admission, Option<Key>) {
        let mut state = self.state();
        let next = state.leave_other(key, connection);
        (state.admit(key, link, connection, now), next)
    }

    /// Returns the slot of a link whose reconcile did not use it, and the link that is granted it instead.
    pub fn decline_slot(&self, key: &Key) -> Option<Key> {
        let mut state = self.state();
        let connection = state.links.get(key)?.slot.clone()?;
        if state.connections.get(&connection).is_some_and(|at| !at.creations.granted.contains(key)) {
            return None;
        }
        state.leave(key)
    }

    /// Ends a creation; with `result: None`, nothing was sent. Returns the link that is granted the slot, and whether the
    /// connection is closed and has no creation in flight.
    pub fn finish_creation(
        &self,
        key: &Key,
        link: LinkGeneration,
        connection: &str,
        result: Option<Result<CreationResult, CreationFailure>>,
        now: Timestamp,
    ) -> (Option<Key>, bool) {
        let mut state = self.state();
        state.link(key, |entry| entry.creating = false);
        match result {
            Some(Err(failure)) => state.fail(key, link, connection, failure, now),
            Some(Ok(created)) => state.link(key, |entry| entry.created = Some((link, created))),
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

    /// Whether creations may begin at a connection.
    pub fn is_open(&self, connection: &str) -> bool {
        let state = self.state();
        !state.stopping && state.connections.get(connection).is_none_or(|runtime| !runtime.closed)
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
    fn admit(&mut self, key: &Key, link: LinkGeneration, connection: &str, now: Timestamp) -> Admission {
        if self.stopping || self.is_held(connection, key) {
            return Admission::Wait;
        }
        let runtime = self.connection(connection);
        if runtime.closed {
            runtime.blocked.insert(key.clone());
            return Admission::Wait;
        }
        if !runtime.creations.take_slot(key) {
            self.link(key, |entry| entry.slot = Some(connection.to_owned()));
            return Admission::Wait;
        }
        let rate = runtime.creations.rate;
        let Some(wait) = rate.and_then(|rate| runtime.creations.rate_delay(key, rate, now)) else {
            self.link(key, |entry| {
                entry.slot = None;
                entry.creating = true;
            });
            return Admission::Begin;
        };
        // The slot becomes a granted one, which the next reconcile declines.
        runtime.creations.in_flight.remove(key);
        runtime.creations.granted.insert(key.clone());
        self.link(key, |entry| {
            entry.slot = Some(connection.to_owned());
            entry.rate_slot = Some(connection.to_owned());
        });
        let failure = CreationFailure { reason: Reason::Throttled, retry_after: Some(wait) };
        self.fail(key, link, connection, failure, now);
        Admission::Deferred
    }

    /// Leaves the slot and the time slot at a connection that is not this one.
    fn leave_other(&mut self, key: &Key, connection: &str) -> Option<Key> {
        let other = |at: &mut String| at != connection;
        let entry = self.links.get_mut(key)?;
        if let Some(at) = entry.rate_slot.take_if(other)
            && let Some(left) = self.connections.get_mut(&at)
        {
            left.creations.rate_slots.remove(key);
        }
        if self.links.get(key)?.slot.as_deref().is_none_or(|at| at == connection) {
            return None;
        }
        self.leave(key)
    }

    /// Leaves the slot, and returns the link that is granted it instead.
    pub(super) fn leave(&mut self, key: &Key) -> Option<Key> {
        let connection = self.link(key, |entry| entry.slot.take())?;
        self.connections.get_mut(&connection)?.creations.leave(key);
        self.grant_next(&connection)
    }

    /// A waiting link keeps its entry, so that the next reconcile finds the slot it was granted.
    fn grant_next(&mut self, connection: &str) -> Option<Key> {
        self.connections.get_mut(connection)?.creations.grant_next()
    }

    /// Records a failed creation, with backoff or the instance's `Retry-After`.
    fn fail(
        &mut self,
        key: &Key,
        link: LinkGeneration,
        connection: &str,
        failure: CreationFailure,
        now: Timestamp,
    ) {
        let CreationFailure { reason, retry_after } = failure;
        self.link(key, |entry| {
            let same =
                entry.backoff.as_ref().filter(|b| b.link == link && b.not_before.connection == connection);
            let failures = same.map_or(1, |b| b.failures + 1);
            let wait =
                retry_after.map_or(RETRY.delay(failures), |wait| wait.max(SignedDuration::from_secs(1)));
            let connection = connection.to_owned();
            let not_before = NotBefore { connection: connection.clone(), at: saturating_add(now, wait) };
            entry.backoff = Some(LinkBackoff { link, failures, not_before });
            entry.created = Some((link, CreationResult::Failed { connection, reason }));
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

    const LINK: LinkGeneration = LinkGeneration { uid: uuid::Uuid::nil(), generation: 1 };

    fn admit_at(runtime: &Runtime, name: usize, connection: &str) -> (Admission, Option<Key>) {
        runtime.admit_creation(&key(name), LINK, connection, Timestamp::UNIX_EPOCH)
    }

    fn admit(runtime: &Runtime, name: usize) -> Admission {
        admit_at(runtime, name, "c").0
    }

    fn finish_at(runtime: &Runtime, name: usize, connection: &str) -> Option<Key> {
        runtime.finish_creation(&key(name), LINK, connection, None, Timestamp::UNIX_EPOCH).0
    }

    fn finish(runtime: &Runtime, name: usize) -> Option<Key> {
        finish_at(runtime, name, "c")
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
        let (next, drained) = runtime.finish_creation(&key(0), LINK, "c", None, Timestamp::UNIX_EPOCH);
        assert_eq!((next, drained), (None, true));
        assert_eq!(runtime.set_closed("c", false), (true, vec![key(1)]));
    }
    /// Each slot lost at a connection is one creation fewer at a time, until nothing is created any more.
    #[test]
    fn link_that_moves_leaves_its_slot() {
        let runtime = Runtime::default();
        let others = 100..100 + SLOTS;
        for (name, other) in (0..SLOTS).zip(others.clone()) {
            assert_eq!(admit(&runtime, name), Admission::Begin);
            assert_eq!(admit_at(&runtime, other, "d").0, Admission::Begin);
        }
        assert_eq!([8, 9, 10].map(|name| admit(&runtime, name)), [Admission::Wait; 3]);
        assert_eq!(finish(&runtime, 0), Some(key(8)));
        // 8 was granted a slot, and 9 waits for one; both move.
        assert_eq!(admit_at(&runtime, 9, "d"), (Admission::Wait, None));
        assert_eq!(admit_at(&runtime, 8, "d"), (Admission::Wait, Some(key(10))));
        assert_eq!(finish_at(&runtime, 100, "d"), Some(key(9)));
        assert_eq!(admit_at(&runtime, 9, "d"), (Admission::Begin, None));
        assert_eq!(finish_at(&runtime, 101, "d"), Some(key(8)));
        // 8 moves back, and is deleted while it waits.
        assert_eq!(admit(&runtime, 8), Admission::Wait);
        assert_eq!(runtime.remove_link(&key(8)), None);
        assert_eq!(admit(&runtime, 10), Admission::Begin);
        for name in (1..SLOTS).chain([10]) {
            assert_eq!(finish(&runtime, name), None);
        }
        for name in others.skip(2).chain([9]) {
            assert_eq!(finish_at(&runtime, name, "d"), None);
        }
        assert_eq!(runtime.creations(), 0);
    }

    #[test]
    fn rate_is_a_limit_also_above_a_thousandth_of_a_second() {
        for (rate, nanos) in [(1, 1_000_000_000), (3, 333_333_334), (334, 2_994_012), (1000, 1_000_000)] {
            let runtime = Runtime::default();
            runtime.set_rate("c", Some(rate));
            assert_eq!(admit(&runtime, 0), Admission::Begin);
            assert_eq!(admit(&runtime, 1), Admission::Deferred);
            let slots = runtime.state().connections["c"].creations.rate_slots.clone();
            assert_eq!(slots[&key(1)].as_nanosecond(), nanos, "{rate} a second");
        }
    }
}
