//! What stops `postlink run`: a signal, or a change of the certificates that it trusts the API server by.

use super::{cluster::Stop, outcome::Outcome};
use std::{io, path::PathBuf, time::Duration};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How often the file of certificates is read. The kubelet updates it about once a minute.
const INTERVAL: Duration = Duration::from_secs(10);

pub struct StopRequests {
    terminate: Signal,
    /// Sent when the terminal the process was started from is closed.
    hang_up: Signal,
    ca: Option<CaFile>,
    /// The file that changed.
    changed: Option<PathBuf>,
}

/// The certificates of the API server's CA. kube reads them once.
pub struct CaFile {
    path: PathBuf,
    at_start: Vec<u8>,
}

impl CaFile {
    /// `None` if it cannot be read.
    pub fn read(path: PathBuf) -> Option<Self> {
        std::fs::read(&path).ok().map(|at_start| Self { path, at_start })
    }

    /// Waits until it has other certificates.
    async fn changed(&self) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            let now = tokio::fs::read(&self.path).await;
            // While it is being replaced, it may be absent or empty.
            if now.is_ok_and(|now| !now.is_empty() && now != self.at_start) {
                return;
            }
        }
    }
}

impl StopRequests {
    pub fn listen(ca: Option<CaFile>) -> io::Result<Self> {
        let (terminate, hang_up) = (signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
        Ok(Self { terminate, hang_up, ca, changed: None })
    }

    /// Waits for SIGTERM, SIGHUP, SIGINT (Ctrl-C), or other certificates.
    pub async fn received(&mut self) {
        let changed = async {
            match &self.ca {
                Some(file) => file.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
            () = changed => self.changed = self.ca.as_ref().map(|file| file.path.clone()),
        }
    }

    /// How the process ends once it has stopped.
    ///
    /// # Errors
    /// When it must be restarted.
    pub fn outcome(&self) -> Result<(), Stop> {
        let Some(path) = &self.changed else { return Ok(()) };
        let message = format!(
            "the CA certificates of the API server in {} have changed; exiting to read them again",
            path.display()
        );
        Err(Stop { outcome: Outcome::No, message })
    }
}
