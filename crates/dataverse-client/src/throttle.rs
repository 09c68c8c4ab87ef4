//! Per-instance throttling: honors `Retry-After` and caps the requests in flight.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Used for a 429 without a readable `Retry-After`.
pub(crate) const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(30);

/// The throttle of one instance and one identity. Dataverse counts per user, so two identities at one instance do not
/// slow each other down, and a caller with a wrong secret cannot take the slots of another.
pub(crate) struct Throttle {
    slots: Arc<Semaphore>,
    pause: Mutex<Option<Pause>>,
}

#[derive(Clone, Copy)]
struct Pause {
    from: Timestamp,
    wait: Duration,
}

impl Throttle {
    pub(crate) fn new(slots: usize) -> Self {
        Self { slots: Arc::new(Semaphore::new(slots.max(1))), pause: Mutex::new(None) }
    }

    /// Waits for a slot, which is free again when the permit is dropped.
    pub(crate) async fn acquire(&self) -> OwnedSemaphorePermit {
        self.slots.clone().acquire_owned().await.expect("the semaphore of a throttle is never closed")
    }

    /// How much longer nothing may be sent; `None` if requests are allowed.
    pub(crate) fn paused_for(&self, now: Timestamp) -> Option<Duration> {
        let mut pause = self.pause.lock().unwrap_or_else(PoisonError::into_inner);
        let Pause { from, wait } = (*pause)?;
        // A clock that was set back must not extend the pause.
        let passed = Duration::try_from(now.duration_since(from)).unwrap_or(wait);
        let left = wait.checked_sub(passed).filter(|left| !left.is_zero());
        if left.is_none() {
            *pause = None;
        }
        left
    }

    /// Stops requests for this long; never shortens a pause in force.
    pub(crate) fn pause(&self, now: Timestamp, wait: Duration) {
        if self.paused_for(now).is_some_and(|left| left >= wait) {
            return;
        }
        *self.pause.lock().unwrap_or_else(PoisonError::into_inner) = Some(Pause { from: now, wait });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn pause_lasts_as_long_as_asked() {
        let throttle = Throttle::new(1);
        assert_eq!(throttle.paused_for(at(0)), None);
        throttle.pause(at(0), Duration::from_secs(60));
        assert_eq!(throttle.paused_for(at(10)), Some(Duration::from_secs(50)));
        throttle.pause(at(20), Duration::from_secs(5));
        assert_eq!(throttle.paused_for(at(26)), Some(Duration::from_secs(34)));
        assert_eq!(throttle.paused_for(at(60)), None);
    }

    #[test]
    fn clock_set_back_ends_the_pause() {
        let throttle = Throttle::new(1);
        throttle.pause(at(100_000), Duration::from_secs(60));
        assert_eq!(throttle.paused_for(at(0)), None);
    }
}
