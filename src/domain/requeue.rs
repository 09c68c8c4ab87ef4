//! When an object is reconciled again, and how long its neighbors get to settle.

use jiff::{SignedDuration, Timestamp};

/// Objects of one commit arrive in any order, and a decision made before all of them are there would depend on it
/// (§5). So nothing irreversible happens sooner than this after the last of them changed.
pub const SETTLE: SignedDuration = SignedDuration::from_secs(5);

/// A time moved by a duration, clamped to the representable range. A status may hold any time somebody forged, and an
/// overflow would panic and end the controller.
pub fn saturating_add(time: Timestamp, by: SignedDuration) -> Timestamp {
    let end = if by.is_negative() { Timestamp::MIN } else { Timestamp::MAX };
    time.checked_add(by).unwrap_or(end)
}

/// When to reconcile an object again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Requeue {
    /// Not before this time.
    pub at: Timestamp,
    /// True for an endless series (probe, refresh), false for a reconcile that something waits for.
    pub periodic: bool,
}

impl Requeue {
    /// A reconcile that something waits for: a confirmation, a retry, a settling.
    pub fn awaited(at: Timestamp) -> Self {
        Self { at, periodic: false }
    }

    /// The next of an endless series.
    pub fn periodic(at: Timestamp) -> Self {
        Self { at, periodic: true }
    }

    /// The earlier of two; of two at the same time, the awaited one.
    pub fn sooner(a: Option<Self>, b: Option<Self>) -> Option<Self> {
        match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
}
