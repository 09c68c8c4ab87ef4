//! When to reconcile an object again, and how long its neighbors get to settle.

use jiff::{SignedDuration, Timestamp};

/// Objects of one commit arrive in any order, and a decision made before all of them have arrived would depend on it (§5).
/// So nothing irreversible happens sooner than this after the last change.
pub const SETTLE: SignedDuration = SignedDuration::from_secs(5);

/// Adds a duration, clamped to the representable range. A forged status may hold any time, and an overflow would panic and
/// end the controller.
pub fn saturating_add(time: Timestamp, by: SignedDuration) -> Timestamp {
    let end = if by.is_negative() { Timestamp::MIN } else { Timestamp::MAX };
    time.checked_add(by).unwrap_or(end)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Requeue {
    /// Not before this time.
    pub at: Timestamp,
    /// True for a recurring reconcile (probe, refresh), false for an awaited one.
    pub periodic: bool,
}

impl Requeue {
    /// For a confirmation, a retry or settling.
    pub fn awaited(at: Timestamp) -> Self {
        Self { at, periodic: false }
    }

    /// For a recurring probe or refresh.
    pub fn periodic(at: Timestamp) -> Self {
        Self { at, periodic: true }
    }

    /// The earlier of two; at the same time, the awaited one.
    pub fn sooner(a: Option<Self>, b: Option<Self>) -> Option<Self> {
        match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
}
