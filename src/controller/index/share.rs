//! How much time a namespace may take for matching its posts while the watch waits: all namespaces share the watch.

use std::time::Duration;
use tokio::time::Instant;

/// One part in so many of the time.
const PARTS: u32 = 10;
/// What it may take at once.
const BURST: Duration = Duration::from_millis(500);

/// The share of one namespace.
#[derive(Default)]
pub(super) struct Share {
    /// Until then, everything it may take is taken.
    taken_until: Option<Instant>,
}

impl Share {
    pub(super) fn is_taken(&self, now: Instant) -> bool {
        self.taken_until.is_some_and(|until| until > now)
    }

    pub(super) fn take(&mut self, time: Duration, now: Instant) {
        let unused = now.checked_sub(BURST * PARTS).unwrap_or(now);
        let from = self.taken_until.map_or(unused, |until| until.max(unused));
        self.taken_until = Some(from + time * PARTS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenth_of_the_time_and_half_a_second_at_once() {
        let (mut share, begin) = (Share::default(), Instant::now() + Duration::from_secs(60));
        let at = |milliseconds| begin + Duration::from_millis(milliseconds);
        for _ in 0..10 {
            assert!(!share.is_taken(at(0)));
            share.take(Duration::from_millis(50), at(0));
        }
        assert!(!share.is_taken(at(0)), "half a second");
        share.take(Duration::from_millis(50), at(0));
        assert!(share.is_taken(at(0)) && share.is_taken(at(499)) && !share.is_taken(at(500)));
        // A rest is not saved up for more than half a second.
        share.take(Duration::from_millis(550), at(60_000));
        assert!(share.is_taken(at(60_499)) && !share.is_taken(at(60_500)));
    }
}
