//! The documented rules as pure functions: view in, decision out.
//!
//! Nothing here reads a clock, talks to a server, locks or logs: what time it is, what others look like and what
//! the instance said stand in the view. So the model checker, the tests and the controller all run these same
//! functions.
//!
//! A § here and elsewhere in the code is a section of `docs/semantics.md`.

pub mod conditions;
pub mod connection;
pub mod facts;
pub mod instance_state;
pub mod link;
pub mod matching;
pub mod messages;
pub mod ready;
pub mod record;
pub mod refusal;
pub mod restore;
pub mod rule;

use jiff::{SignedDuration, Timestamp};

/// Objects of one commit arrive in any order; what was decided before all of them were there would depend on it
/// (§5). So nothing that cannot be taken back happens sooner than this after the last of them changed.
pub const SETTLE: SignedDuration = SignedDuration::from_secs(5);

/// A time moved by a duration; beyond the ends of time, the end. A status may hold any time somebody forged, and an
/// overflow is a panic, which ends the whole controller.
pub(crate) fn moved(time: Timestamp, by: SignedDuration) -> Timestamp {
    let end = if by.is_negative() { Timestamp::MIN } else { Timestamp::MAX };
    time.checked_add(by).unwrap_or(end)
}

/// When a key wants to be looked at again, and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Requeue {
    /// Not before this time.
    pub at: Timestamp,
    /// Whether the look is one of an endless series (probe, refresh) rather than one that is waited for.
    pub periodic: bool,
}

impl Requeue {
    /// A look that something waits for: a confirmation, a retry, a settling.
    pub fn awaited(at: Timestamp) -> Self {
        Self { at, periodic: false }
    }

    /// A look that comes again and again.
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
