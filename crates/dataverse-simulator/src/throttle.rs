//! Service protection limits: a sliding window of requests, and how many run at once.

use std::collections::VecDeque;

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};

use super::answer::Refusal;
use super::document::Throttle;

const WINDOW: SignedDuration = SignedDuration::from_mins(5);
/// What `Retry-After` says when too many requests run at once.
const CONCURRENCY_PAUSE_SECONDS: i64 = 5;

/// The requests of the last five minutes. Refused ones count as well: pushing on makes the wait longer.
#[derive(Debug, Default)]
pub(super) struct Window {
    requests: VecDeque<Timestamp>,
}

impl Window {
    /// Counts a request; `running` includes it.
    pub fn admit(&mut self, limits: Throttle, running: u32, now: Timestamp) -> Result<u32, Refusal> {
        while self.requests.front().is_some_and(|first| now.duration_since(*first) >= WINDOW) {
            self.requests.pop_front();
        }
        self.requests.push_back(now);
        if running > limits.concurrent {
            return Err(refusal(
                "0x80072326",
                format!("Number of concurrent requests exceeded the limit of {}.", limits.concurrent),
                CONCURRENCY_PAUSE_SECONDS,
            ));
        }
        let limit = usize::try_from(limits.requests_per_five_minutes).unwrap_or(usize::MAX);
        let count = self.requests.len();
        if count <= limit {
            return Ok(u32::try_from(limit - count).unwrap_or(u32::MAX));
        }
        // Room for one more is there when all but limit - 1 of these have left the window.
        let leaving = self.requests[count - limit];
        let left = WINDOW - now.duration_since(leaving);
        let seconds = left.as_secs() + i64::from(left.subsec_nanos() > 0);
        Err(refusal(
            "0x80072322",
            format!("Number of requests exceeded the limit of {limit} over time window of 300 seconds."),
            seconds.max(1),
        ))
    }
}

fn refusal(code: &'static str, message: String, seconds: i64) -> Refusal {
    Refusal::new(StatusCode::TOO_MANY_REQUESTS, code, message).with_header("retry-after", seconds.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_767_225_600 + second).unwrap()
    }

    const LIMITS: Throttle = Throttle { requests_per_five_minutes: 2, concurrent: 2 };

    #[test]
    fn waiting_as_long_as_told_is_enough() {
        let mut window = Window::default();
        assert_eq!(window.admit(LIMITS, 1, at(0)).unwrap(), 1);
        assert_eq!(window.admit(LIMITS, 1, at(100)).unwrap(), 0);
        let refusal = window.admit(LIMITS, 1, at(150)).unwrap_err();
        assert_eq!(refusal.code, "0x80072322");
        // The refused request counts, so the one at 0 and the one at 100 must both be gone.
        assert_eq!(refusal.headers, [("retry-after", "250".to_owned())]);
        assert!(window.admit(LIMITS, 1, at(400)).is_ok());
    }

    #[test]
    fn too_many_at_once_are_refused_with_their_own_code() {
        let mut window = Window::default();
        assert_eq!(window.admit(LIMITS, 3, at(0)).unwrap_err().code, "0x80072326");
    }
}
