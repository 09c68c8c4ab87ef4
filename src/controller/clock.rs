//! The clock of decisions and timers. `local` and the tests can move it; deadlines on I/O use real time.

use jiff::Timestamp;
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};
use tokio::sync::watch;

#[derive(Clone, Debug)]
pub enum Clock {
    /// The system clock.
    System,
    /// Stands still until it is moved.
    Manual(Arc<ManualClock>),
}

#[derive(Debug)]
pub struct ManualClock {
    milliseconds: AtomicI64,
    moved: watch::Sender<()>,
}

impl Clock {
    /// A manual clock at `start`.
    pub fn standing_at(start: Timestamp) -> Self {
        let milliseconds = AtomicI64::new(start.as_millisecond());
        Self::Manual(Arc::new(ManualClock { milliseconds, moved: watch::Sender::new(()) }))
    }

    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => Timestamp::now(),
            Self::Manual(clock) => Timestamp::from_millisecond(clock.milliseconds.load(Ordering::SeqCst))
                .unwrap_or(Timestamp::MAX),
        }
    }

    /// Moves a manual clock forward to `to`, never backward. Does nothing to the system clock.
    pub fn move_to(&self, to: Timestamp) {
        if let Self::Manual(clock) = self {
            clock.milliseconds.fetch_max(to.as_millisecond(), Ordering::SeqCst);
            clock.moved.send_replace(());
        }
    }

    /// Waits until `due`, or forever if it is `None`. May return early on a manual clock.
    pub async fn wait_until(&self, due: Option<Timestamp>) {
        match (self, due) {
            (Self::System, Some(due)) => {
                let wait = due.duration_since(Timestamp::now());
                tokio::time::sleep(Duration::try_from(wait).unwrap_or_default()).await;
            }
            (Self::System, None) => std::future::pending().await,
            (Self::Manual(clock), _) => {
                let mut moved = clock.moved.subscribe();
                if due.is_some_and(|due| self.now() >= due) {
                    return;
                }
                // The sender lives in the clock itself, so it cannot be gone.
                let _ = moved.changed().await;
            }
        }
    }
}
