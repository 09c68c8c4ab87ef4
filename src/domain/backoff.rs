//! Exponential backoff for all retries.

use jiff::SignedDuration;

/// Delays that double with each consecutive failure.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// After the first failure.
    pub first: SignedDuration,
    pub max: SignedDuration,
}

impl Backoff {
    /// The delay after this many consecutive failures.
    pub fn delay(self, failures: u32) -> SignedDuration {
        let factor = 1_i32 << failures.saturating_sub(1).min(20);
        self.first.checked_mul(factor).map_or(self.max, |delay| delay.min(self.max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_maximum() {
        let backoff = Backoff { first: SignedDuration::from_secs(5), max: SignedDuration::from_secs(30) };
        let seconds = |failures| backoff.delay(failures).as_secs();
        assert_eq!([0, 1, 2, 3, 4, 5, u32::MAX].map(seconds), [5, 5, 10, 20, 30, 30, 30]);
        let longest = Backoff { first: SignedDuration::MAX, max: SignedDuration::MAX };
        assert_eq!(longest.delay(9), SignedDuration::MAX);
    }
}
