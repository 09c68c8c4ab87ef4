//! Service protection limits: requests in a sliding window, and concurrent requests.

use std::collections::VecDeque;

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};

use crate::response::ODataError;
use crate::spec::Throttle;

const WINDOW: SignedDuration = SignedDuration::from_mins(5);
/// `Retry-After` when too many requests are concurrent.
const CONCURRENCY_PAUSE_SECONDS: i64 = 5;

/// The requests of the last five minutes. Refused requests count too: a client that does not wait prolongs the wait.
#[derive(Debug, Default)]
pub(crate) struct RequestWindow {
    requests: VecDeque<Timestamp>,
}

impl RequestWindow {
    /// Counts a request and returns how many more the window admits. `in_flight` includes this request.
    pub fn admit(&mut self, limits: Throttle, in_flight: u32, now: Timestamp) -> Result<u32, ODataError> {
        while self.requests.front().is_some_and(|first| now.duration_since(*first) >= WINDOW) {
            self.requests.pop_front();
        }
        self.requests.push_back(now);
        if in_flight > limits.concurrent {
            return Err(too_many(
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
        // The next request is admitted once all but limit - 1 of these have left the window.
        let leaving = self.requests[count - limit];
        let left = WINDOW - now.duration_since(leaving);
        let seconds = left.as_secs() + i64::from(left.subsec_nanos() > 0);
        Err(too_many(
            "0x80072322",
            format!("Number of requests exceeded the limit of {limit} over time window of 300 seconds."),
            seconds.max(1),
        ))
    }
}

fn too_many(code: &'static str, message: String, seconds: i64) -> ODataError {
    ODataError::new(StatusCode::TOO_MANY_REQUESTS, code, message)
        .with_header("retry-after", seconds.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_767_225_600 + second).unwrap()
    }

    const LIMITS: Throttle = Throttle { requests_per_five_minutes: 2, concurrent: 2 };

    #[test]
    fn waiting_for_retry_after_is_enough() {
        let mut window = RequestWindow::default();
        assert_eq!(window.admit(LIMITS, 1, at(0)).unwrap(), 1);
        assert_eq!(window.admit(LIMITS, 1, at(100)).unwrap(), 0);
        let error = window.admit(LIMITS, 1, at(150)).unwrap_err();
        assert_eq!(error.code, "0x80072322");
        // The refused request counts too, so those at 0 and at 100 must both have left the window.
        assert_eq!(error.headers, [("retry-after", "250".to_owned())]);
        assert!(window.admit(LIMITS, 1, at(400)).is_ok());
    }

    #[test]
    fn concurrency_limit_has_its_own_code() {
        let mut window = RequestWindow::default();
        assert_eq!(window.admit(LIMITS, 3, at(0)).unwrap_err().code, "0x80072326");
    }
}
