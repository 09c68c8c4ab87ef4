//! The signals that stop `postlink run`.

use tokio::signal::unix::{Signal, SignalKind, signal};

pub struct StopSignals {
    terminate: Signal,
    /// Sent when the terminal the process was started from is closed.
    hang_up: Signal,
}

impl StopSignals {
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, hang_up: signal(SignalKind::hangup())? })
    }

    /// Waits for SIGTERM, SIGHUP or SIGINT (Ctrl-C).
    pub async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    }
}
