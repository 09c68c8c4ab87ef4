//! Which creations of activities are in flight, and which links wait for their turn.
//!
//! A link that has to wait for a slot is reconciled again when it gets one, so whether it is created still is decided
//! at that moment: a rule that was deactivated meanwhile creates nothing more.

use super::{Runtime, State, post_link::LinkBackoff};
use crate::{
    api::Reason,
    controller::key::Key,
    domain::{backoff::Backoff, post_link::CreationResult, requeue::saturating_add},
};
use jiff::{SignedDuration, Timestamp};
use std::collections::{HashMap, HashSet, VecDeque};
use uuid::Uuid;

/// Creations in flight at one time through one connection. The client has a limit of its own; this one keeps waiting
/// out of its deadlines.
const SLOTS: usize = 8;

/// Between attempts to create one link's activity.
const RETRY: Backoff = Backoff { first: SignedDuration::from_secs(5), max: SignedDuration::from_secs(640) };

/// The creations through one connection.
#[derive(Default)]
pub struct Creations {
    in_flight: HashSet<Key>,
    /// Slots that were given to a link which is about to be reconciled.
    granted: HashSet<Key>,
    waiting: VecDeque<Key>,
    /// The same keys, to find one.
    queued: HashSet<Key>,
    /// `spec.linksPerSecond`, when the next turn is free, and the turns given out.
    rate: Option<i32>,
    next_turn: Timestamp,
    turns: HashMap<Key, Timestamp>,
}

/// Whether a creation may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It has a slot; [`Runtime::finish_creation`] gives it back.
    Begin,
    /// It waits, and its key is reconciled again in time.
    Wait,
    /// `spec.linksPerSecond` defers it: reconcile it now, its status has changed.
    Deferred,
}

impl Creations {
    pub(super) fn into_waiting(self) -> impl IntoIterator<Item = Key> {
        self.waiting
    }

    /// Whether the link gets a slot; if not, it waits in line.
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

    /// Gives a free slot to the next link in line.
    fn grant_next(&mut self) -> Option<Key> {
        if self.in_flight.len() + self.granted.len() >= SLOTS {
            return None;
        }
        let key = self.waiting.pop_front()?;
        self.queued.remove(&key);
        self.granted.insert(key.clone());
        Some(key)
    }

    /// How long a link has to wait for `spec.linksPerSecond`. A link that waits keeps its turn: if it had to ask for a
    /// new one each time, two links could keep each other waiting for ever.
    fn wait_for_turn(&mut self, key: &Key, rate: i32, now: Timestamp) -> Option<SignedDuration> {
        let apart = SignedDuration::from_millis(1000 / i64::from(rate.max(1)));
        let at = self.turns.remove(key).unwrap_or_else(|| {
            // Turns of links that are gone or no longer asked for are free.
            let latest = if self.turns.is_empty() { saturating_add(now, apart) } else { self.next_turn };
            let at = self.next_turn.min(latest).max(now);
            self.next_turn = saturating_add(at, apart);
            at
        });
        if at <= now {
            return None;
        }
        self.turns.insert(key.clone(), at);
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
            runtime.kept_out.insert(key.clone());
            return Admission::Wait;
        }
        if !runtime.creations.take_slot(key) {
            return Admission::Wait;
        }
        let rate = runtime.creations.rate;
        let Some(wait) = rate.and_then(|rate| runtime.creations.wait_for_turn(key, rate, now)) else {
            state.link(key, |known| {
                known.granted = None;
                known.creating = true;
            });
            return Admission::Begin;
        };
        // The slot goes back as a granted one, which the reconcile that follows declines.
        runtime.creations.in_flight.remove(key);
        runtime.creations.granted.insert(key.clone());
        state.link(key, |known| {
            known.granted = Some(connection.to_owned());
            known.turn = Some(connection.to_owned());
        });
        state.fail(key, link, Reason::Throttled, now, Some(wait));
        Admission::Deferred
    }

    /// A reconcile of the link has ended without using a slot it was given. The link that gets it instead.
    pub fn decline_slot(&self, key: &Key) -> Option<Key> {
        let mut state = self.state();
        let connection = state.links.get(key)?.granted.clone()?;
        state.link(key, |known| known.granted = None);
        let creations = &mut state.connections.get_mut(&connection)?.creations;
        creations.granted.remove(key);
        state.grant_next(&connection)
    }

    /// A creation has ended; `result` = `None`: nothing was sent. The link that gets the slot, and whether the
    /// connection is closed and no creation through it is in flight any more.
    pub fn finish_creation(
        &self,
        key: &Key,
        link: Uuid,
        connection: &str,
        result: Option<(CreationResult, Option<SignedDuration>)>,
        now: Timestamp,
    ) -> (Option<Key>, bool) {
        let mut state = self.state();
        state.link(key, |known| known.creating = false);
        match result {
            Some((CreationResult::Failed(reason), wait)) => state.fail(key, link, reason, now, wait),
            Some((created, _)) => state.link(key, |known| known.created = Some((link, created))),
            None => state.link(key, |known| known.created = None),
        }
        let Some(runtime) = state.connections.get_mut(connection) else { return (None, false) };
        runtime.creations.in_flight.remove(key);
        let drained = runtime.closed && runtime.creations.in_flight.is_empty();
        (state.grant_next(connection), drained)
    }

    /// Lets creations through a connection begin, or not (§4.4). Whether none is in flight, and the links that were
    /// kept out until now: no other event tells them when a disable is withdrawn before it came into force.
    pub fn set_closed(&self, connection: &str, closed: bool) -> (bool, Vec<Key>) {
        let mut state = self.state();
        let runtime = state.connection(connection);
        runtime.closed = closed;
        let kept_out = if closed { Vec::new() } else { runtime.kept_out.drain().collect() };
        (runtime.creations.in_flight.is_empty(), kept_out)
    }

    /// Applies a changed `spec.linksPerSecond`: discards the turns given out. The links to reconcile for it.
    pub fn set_rate(&self, connection: &str, rate: Option<i32>) -> Vec<Key> {
        let mut state = self.state();
        let creations = &mut state.connection(connection).creations;
        if creations.rate == rate {
            return Vec::new();
        }
        creations.rate = rate;
        creations.next_turn = Timestamp::UNIX_EPOCH;
        let waiting: Vec<Key> = creations.turns.drain().map(|(key, _)| key).collect();
        for key in &waiting {
            state.forget_attempts(key);
        }
        waiting
    }

    /// Whether the link's activity is being created.
    pub fn is_creating(&self, key: &Key) -> bool {
        self.state().links.get(key).is_some_and(|known| known.creating)
    }

    /// Whether any activity is being created.
    pub fn is_creating_any(&self) -> bool {
        self.state().connections.values().any(|connection| !connection.creations.in_flight.is_empty())
    }

    /// How many activities are being created or wait for their turn.
    pub fn creations(&self) -> usize {
        let count = |c: &Creations| c.in_flight.len() + c.granted.len() + c.waiting.len();
        self.state().connections.values().map(|connection| count(&connection.creations)).sum()
    }
}

impl State {
    fn grant_next(&mut self, connection: &str) -> Option<Key> {
        let next = self.connections.get_mut(connection)?.creations.grant_next()?;
        self.link(&next, |known| known.granted = Some(connection.to_owned()));
        Some(next)
    }

    /// One more failed attempt: wait twice as long as before, or as long as the instance asked.
    fn fail(&mut self, key: &Key, link: Uuid, reason: Reason, now: Timestamp, asked: Option<SignedDuration>) {
        self.link(key, |known| {
            let failures = known.backoff.filter(|b| b.link == link).map_or(1, |b| b.failures + 1);
            let wait = asked.map_or(RETRY.delay(failures), |asked| asked.max(SignedDuration::from_secs(1)));
            let not_before = saturating_add(now, wait);
            known.backoff = Some(LinkBackoff { link, failures, not_before });
            known.created = Some((link, CreationResult::Failed(reason)));
        });
    }

    /// Drops what was attempted for a link.
    pub(super) fn forget_attempts(&mut self, key: &Key) {
        let turn = self.link(key, |known| {
            known.created = None;
            known.backoff = None;
            known.turn.take()
        });
        if let Some(connection) = turn.and_then(|uid| self.connections.get_mut(&uid)) {
            connection.creations.turns.remove(key);
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
        assert_eq!(runtime.decline_slot(&key(8)), Some(key(9)), "8 is no longer asked for");
        assert_eq!(admit(&runtime, 9), Admission::Begin);
        assert_eq!(runtime.decline_slot(&key(9)), None, "a slot in use is not declined");
        assert_eq!(finish(&runtime, 9), Some(key(10)));
        assert_eq!(admit(&runtime, 10), Admission::Begin);
        assert_eq!(finish(&runtime, 10), Some(key(11)));
    }

    #[test]
    fn closing_waits_for_what_is_in_flight() {
        let runtime = Runtime::default();
        assert_eq!(admit(&runtime, 0), Admission::Begin);
        assert_eq!(runtime.set_closed("c", true), (false, Vec::new()));
        assert_eq!(admit(&runtime, 1), Admission::Wait);
        let (next, drained) = runtime.finish_creation(&key(0), Uuid::nil(), "c", None, Timestamp::UNIX_EPOCH);
        assert_eq!((next, drained), (None, true));
        assert_eq!(runtime.set_closed("c", false), (true, vec![key(1)]));
    }
}
