//! Manners towards one instance: a gate that a 429 closes, and a cap on requests under way.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A 429 without a readable `Retry-After`.
pub(super) const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(30);

/// The gate and the slots that one instance and one identity share. Dataverse counts per user, so two identities at
/// one instance do not hold each other up, and nobody without a token can take a slot.
pub(super) struct Lane {
    slots: Arc<Semaphore>,
    closed: Mutex<Option<Closed>>,
}

#[derive(Clone, Copy)]
struct Closed {
    from: Timestamp,
    wait: Duration,
}

impl Lane {
    pub(super) fn new(slots: usize) -> Self {
        Self { slots: Arc::new(Semaphore::new(slots.max(1))), closed: Mutex::new(None) }
    }

    /// Waits for a slot; the permit is the slot.
    pub(super) async fn slot(&self) -> OwnedSemaphorePermit {
        self.slots.clone().acquire_owned().await.expect("the semaphore of a lane is never closed")
    }

    /// How much longer nothing may be sent.
    pub(super) fn closed_for(&self, now: Timestamp) -> Option<Duration> {
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        let Closed { from, wait } = (*closed)?;
        // A clock that was set back must not keep the gate closed for longer than was asked.
        let passed = Duration::try_from(now.duration_since(from)).unwrap_or(wait);
        let left = wait.checked_sub(passed).filter(|left| !left.is_zero());
        if left.is_none() {
            *closed = None;
        }
        left
    }

    /// Closes the gate; a shorter wait never replaces a longer one that is still in force.
    pub(super) fn close(&self, now: Timestamp, wait: Duration) {
        if self.closed_for(now).is_some_and(|left| left >= wait) {
            return;
        }
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Closed { from: now, wait });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_gate_opens_when_the_time_has_passed_and_not_before() {
        let lane = Lane::new(1);
        assert_eq!(lane.closed_for(at(0)), None);
        lane.close(at(0), Duration::from_secs(60));
        assert_eq!(lane.closed_for(at(10)), Some(Duration::from_secs(50)));
        lane.close(at(20), Duration::from_secs(5));
        assert_eq!(lane.closed_for(at(26)), Some(Duration::from_secs(34)));
        assert_eq!(lane.closed_for(at(60)), None);
    }

    #[test]
    fn a_clock_set_back_opens_the_gate_instead_of_closing_it_for_ever() {
        let lane = Lane::new(1);
        lane.close(at(100_000), Duration::from_secs(60));
        assert_eq!(lane.closed_for(at(0)), None);
    }
}
