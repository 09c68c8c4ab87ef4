//! The creation slots of one connection: creations in flight, links that wait for a slot, and `spec.linksPerSecond`.

use crate::{controller::key::Key, domain::requeue::saturating_add};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Concurrent creations per connection. The client has its own limit; with this one, waiting does not count against the
/// client's timeouts.
pub(super) const SLOTS: usize = 8;

const SECOND: i64 = 1_000_000_000;

/// The creations of one connection.
#[derive(Default)]
pub(super) struct Creations {
    pub(super) in_flight: HashSet<Key>,
    /// Links that have a slot and are about to be reconciled.
    pub(super) granted: HashSet<Key>,
    /// By ticket, the lowest first.
    waiting: BTreeMap<u64, Key>,
    /// The tickets of `waiting`.
    tickets: HashMap<Key, u64>,
    next_ticket: u64,
    /// `spec.linksPerSecond`, the next free time slot, and the reserved ones.
    pub(super) rate: Option<i32>,
    pub(super) next_rate_slot: Timestamp,
    pub(super) rate_slots: HashMap<Key, Timestamp>,
}

impl Creations {
    /// In flight or waiting.
    pub(super) fn len(&self) -> usize {
        self.in_flight.len() + self.granted.len() + self.waiting.len()
    }

    pub(super) fn into_waiting(self) -> impl IntoIterator<Item = Key> {
        self.granted.into_iter().chain(self.waiting.into_values())
    }

    /// Whether the link gets a slot; if not, it waits for one.
    pub(super) fn take_slot(&mut self, key: &Key) -> bool {
        let free = self.waiting.is_empty() && self.in_flight.len() + self.granted.len() < SLOTS;
        if self.granted.remove(key) || free {
            self.in_flight.insert(key.clone());
            return true;
        }
        if !self.tickets.contains_key(key) {
            self.tickets.insert(key.clone(), self.next_ticket);
            self.waiting.insert(self.next_ticket, key.clone());
            self.next_ticket += 1;
        }
        false
    }

    /// Grants a free slot to the next waiting link.
    pub(super) fn grant_next(&mut self) -> Option<Key> {
        if self.in_flight.len() + self.granted.len() >= SLOTS {
            return None;
        }
        let (_, key) = self.waiting.pop_first()?;
        self.tickets.remove(&key);
        self.granted.insert(key.clone());
        Some(key)
    }

    /// The link needs no slot here any more. Does not end a creation in flight.
    pub(super) fn leave(&mut self, key: &Key) {
        self.granted.remove(key);
        if let Some(ticket) = self.tickets.remove(key) {
            self.waiting.remove(&ticket);
        }
    }

    /// How long a link has to wait because of `spec.linksPerSecond`. A waiting link keeps its time slot: if it had to
    /// reserve a new one each time, two links could delay each other forever.
    pub(super) fn rate_delay(&mut self, key: &Key, rate: i32, now: Timestamp) -> Option<SignedDuration> {
        // Rounded up: the rate is a limit.
        let period = SignedDuration::from_nanos((SECOND - 1) / i64::from(rate.max(1)) + 1);
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
