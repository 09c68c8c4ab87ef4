//! The one clock decisions and timers go by. `local` and the tests can move it; deadlines on I/O are real time.

use jiff::Timestamp;
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};
use tokio::sync::watch;

/// Where the time comes from.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's.
    System,
    /// One that stands until it is moved.
    Moved(Arc<Hand>),
}

/// The hand of a clock that is moved.
#[derive(Debug)]
pub struct Hand {
    milliseconds: AtomicI64,
    moved: watch::Sender<()>,
}

impl Clock {
    /// A clock that stands at `start`.
    pub fn standing_at(start: Timestamp) -> Self {
        let milliseconds = AtomicI64::new(start.as_millisecond());
        Self::Moved(Arc::new(Hand { milliseconds, moved: watch::Sender::new(()) }))
    }

    /// What time it is.
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => Timestamp::now(),
            Self::Moved(hand) => Timestamp::from_millisecond(hand.milliseconds.load(Ordering::SeqCst))
                .unwrap_or(Timestamp::MAX),
        }
    }

    /// Moves a standing clock forward to `to`; it never goes back. The machine's clock does not listen.
    pub fn move_to(&self, to: Timestamp) {
        if let Self::Moved(hand) = self {
            hand.milliseconds.fetch_max(to.as_millisecond(), Ordering::SeqCst);
            hand.moved.send_replace(());
        }
    }

    /// Waits until it may be `due` (or for ever, when nothing is due).
    pub async fn wait_until(&self, due: Option<Timestamp>) {
        match (self, due) {
            (Self::System, Some(due)) => {
                let wait = due.duration_since(Timestamp::now());
                tokio::time::sleep(Duration::try_from(wait).unwrap_or_default()).await;
            }
            (Self::System, None) => std::future::pending().await,
            (Self::Moved(hand), _) => {
                let mut moved = hand.moved.subscribe();
                if due.is_some_and(|due| self.now() >= due) {
                    return;
                }
                // The sender lives in the clock itself, so it cannot be gone.
                let _ = moved.changed().await;
            }
        }
    }
}
