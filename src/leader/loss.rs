//! Why a leader lost its lease: another process took it, the API server did not store a renewal or was restored from a
//! backup, or this process did not run.

use super::election::Leadership;
use std::{fmt, time::Duration};
use tokio::time::Instant;
use tracing::warn;

/// How often a wait is compared with the clock.
const TICK: Duration = Duration::from_secs(1);
/// By how much a wait may be longer than asked for on a busy machine.
const TOLERANCE: Duration = Duration::from_secs(1);

/// Why the lease was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loss {
    /// This process holds the lease.
    Taken { holder: String },
    /// The stored Lease is older than the one this process wrote, so the index of this process is newer than the store.
    Restored,
    /// No renewal was stored for as long as `deadline`. `stalled`: how much of that time this process did not run.
    NotRenewed { deadline: Duration, attempts: u32, last_error: String, stalled: Duration },
    /// This process did not run for this long.
    Stalled(Duration),
    /// The thread of the lease ended, which is a bug.
    ThreadEnded,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken { holder } => write!(f, "another process holds the lease: {holder}"),
            Self::Restored => f.write_str(
                "the Lease is older than the one that this process stored; was the cluster restored from a backup?",
            ),
            Self::NotRenewed { deadline, attempts, last_error, stalled } => {
                let (deadline, s) = (deadline.as_secs(), if *attempts == 1 { "" } else { "s" });
                write!(f, "the API server stored no renewal within {deadline} s ({attempts} attempt{s}, ")?;
                write!(f, "the last error: {last_error})")?;
                if stalled.is_zero() {
                    return Ok(());
                }
                write!(f, "; this process was not running for {} s of them", stalled.as_secs())
            }
            Self::Stalled(stalled) => f.write_str(&not_running(*stalled)),
            Self::ThreadEnded => f.write_str("the thread that renews it ended. This is a bug in Postlink"),
        }
    }
}

fn not_running(stalled: Duration) -> String {
    format!("this process was not running for {} s (paused or starved of CPU)", stalled.as_secs())
}

/// The attempts to renew the lease that failed since the last one that succeeded.
#[derive(Default)]
pub(super) struct Failures {
    attempts: u32,
    last_error: String,
}

impl Failures {
    pub fn is_empty(&self) -> bool {
        self.attempts == 0
    }

    pub fn add(&mut self, error: String) {
        self.attempts += 1;
        self.last_error = error;
    }

    /// Why there was no renewal within `deadline`, `stalled` of which this process did not run.
    pub fn loss(self, deadline: Duration, stalled: Duration) -> Loss {
        // Attempts in the few moments in which the process ran say nothing about the API server.
        if !stalled.is_zero() && (self.attempts == 0 || stalled >= deadline / 2) {
            return Loss::Stalled(stalled);
        }
        Loss::NotRenewed { deadline, attempts: self.attempts, last_error: self.last_error, stalled }
    }
}

/// How much longer a wait took than it should have, if that means that the process did not run.
fn overslept(expected: Duration, took: Duration) -> Option<Duration> {
    Some(took.saturating_sub(expected)).filter(|over| *over > TOLERANCE)
}

/// Awaits `future`. If this process does not run meanwhile, that is logged and added to the time that it stood still.
pub(super) async fn watched<T>(leadership: &Leadership, future: impl Future<Output = T>) -> T {
    tokio::pin!(future);
    loop {
        let begin = Instant::now();
        let output = tokio::time::timeout(TICK, &mut future).await;
        if let Some(stalled) = overslept(TICK, begin.elapsed()) {
            leadership.add_stalled(stalled);
            warn!("{}", not_running(stalled));
        }
        if let Ok(output) = output {
            return output;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn loss(errors: &[&str], stalled: u64) -> String {
        let mut failures = Failures::default();
        for error in errors {
            failures.add((*error).to_owned());
        }
        failures.loss(seconds(10), seconds(stalled)).to_string()
    }

    #[test]
    fn loss_names_the_api_server_or_the_pause() {
        let server = "the API server stored no renewal within 10 s";
        assert_eq!(loss(&["a", "b"], 0), format!("{server} (2 attempts, the last error: b)"));
        let mixed =
            format!("{server} (1 attempt, the last error: a); this process was not running for 4 s of them");
        assert_eq!(loss(&["a"], 4), mixed);
        let paused = "this process was not running for 12 s (paused or starved of CPU)";
        assert_eq!(loss(&[], 12), paused);
        assert_eq!(loss(&["a"], 12), paused, "it was paused during an attempt");
    }

    #[test]
    fn a_busy_machine_is_no_pause() {
        assert_eq!(overslept(seconds(2), seconds(3)), None);
        assert_eq!(overslept(seconds(2), seconds(1)), None);
        assert_eq!(overslept(seconds(2), seconds(14)), Some(seconds(12)));
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_during_any_wait_are_noticed() {
        let leadership = Leadership::default();
        watched(&leadership, tokio::time::sleep(seconds(300))).await;
        assert_eq!(leadership.stalled(), Duration::ZERO, "it slept for as long as it should");
        // The clock goes on while nothing of this process runs.
        watched(&leadership, tokio::time::advance(seconds(12))).await;
        assert_eq!(leadership.stalled().as_secs(), 11);
    }
}
