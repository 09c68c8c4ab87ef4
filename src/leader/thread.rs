//! The thread that acquires, renews and releases the lease. It has its own runtime and its own connections: no load of
//! the controller, and no task of it that blocks, delays a renewal.

use super::{
    election::{Acquired, Election, Leadership},
    loss::Loss,
};
use std::{io, thread};
use tokio::sync::{oneshot, watch};

/// The lease, in the hands of its thread. Dropped without [`Self::release`], the lease is renewed no more and expires.
#[derive(Debug)]
pub struct LeaseThread {
    phase: watch::Receiver<Phase>,
    release: oneshot::Sender<()>,
    leadership: Leadership,
}

#[derive(Clone, Debug)]
enum Phase {
    Waiting,
    Leading(Acquired),
    Lost(Loss),
    Released,
}

/// Why the thread could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot start the thread of the leader election: {0}")]
    Thread(#[from] io::Error),
    #[error(transparent)]
    Client(#[from] kube::Error),
}

impl LeaseThread {
    /// Starts the thread, which begins to acquire the lease. `election` is called in it, since the connections of a client
    /// belong to the runtime that made it.
    ///
    /// # Errors
    /// When there is no thread, no runtime or no client.
    pub async fn start(
        election: impl FnOnce() -> Result<Election, kube::Error> + Send + 'static,
    ) -> Result<Self, StartError> {
        let (started, leadership) = oneshot::channel();
        let (phase, phases) = watch::channel(Phase::Waiting);
        let (release, released) = oneshot::channel();
        let body = move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(started.send(Err(StartError::Thread(error)))),
            };
            runtime.block_on(async move {
                match election() {
                    Ok(election) => {
                        let leadership = election.leadership();
                        let _closed = Closed(leadership.clone());
                        // Nobody waits for it any more: `phase` and `released` are closed as well.
                        let _ = started.send(Ok(leadership));
                        elect(election, &phase, released).await;
                    }
                    Err(error) => drop(started.send(Err(StartError::Client(error)))),
                }
            });
        };
        thread::Builder::new().name("lease".to_owned()).spawn(body)?;
        let ended = |_| StartError::Thread(io::Error::other("it ended"));
        let leadership = leadership.await.map_err(ended)??;
        Ok(Self { phase: phases, release, leadership })
    }

    /// Until when this process certainly holds the lease.
    pub fn leadership(&self) -> Leadership {
        self.leadership.clone()
    }

    /// Waits until this process is the leader.
    ///
    /// # Errors
    /// When the lease is lost already.
    pub async fn acquire(&mut self) -> Result<Acquired, Loss> {
        match self.phase.wait_for(|phase| !matches!(phase, Phase::Waiting)).await.as_deref() {
            Ok(Phase::Leading(how)) => Ok(*how),
            Ok(Phase::Lost(loss)) => Err(loss.clone()),
            Ok(Phase::Waiting | Phase::Released) | Err(_) => Err(Loss::ThreadEnded),
        }
    }

    /// Waits until the lease is lost. Then this process is no longer the leader and must exit.
    pub async fn lost(&mut self) -> Loss {
        match self.phase.wait_for(|phase| matches!(phase, Phase::Lost(_))).await.as_deref() {
            Ok(Phase::Lost(loss)) => loss.clone(),
            Ok(_) | Err(_) => Loss::ThreadEnded,
        }
    }

    /// Stops acquiring or renewing the lease and releases it, so that the next leader does not have to wait for it to
    /// expire. Nothing of this process may be in flight any more.
    pub async fn release(mut self) {
        let _ = self.release.send(());
        // An error: the thread ended without the lease.
        let _ = self.phase.wait_for(|phase| matches!(phase, Phase::Released | Phase::Lost(_))).await;
    }
}

/// Acquires and renews the lease until that fails or `release`.
async fn elect(mut election: Election, phase: &watch::Sender<Phase>, release: oneshot::Receiver<()>) {
    let leading = async {
        let how = election.acquire().await;
        phase.send_replace(Phase::Leading(how));
        election.keep().await
    };
    let asked = tokio::select! {
        loss = leading => {
            phase.send_replace(Phase::Lost(loss));
            return;
        }
        asked = release => asked,
    };
    // An error: it was dropped, and requests may be in flight.
    if asked.is_ok() {
        // The request that was just canceled may have acquired the lease.
        election.release().await;
        phase.send_replace(Phase::Released);
    }
}

/// However the thread ends, this process no longer leads.
struct Closed(Leadership);

impl Drop for Closed {
    fn drop(&mut self) {
        self.0.lost();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::Instant;

    #[tokio::test]
    async fn a_panic_in_the_thread_is_a_lost_lease() {
        let leadership = Leadership::default();
        let (phase, phases) = watch::channel(Phase::Leading(Acquired::Taken));
        let (release, _released) = oneshot::channel();
        let mut lease = LeaseThread { phase: phases, release, leadership: leadership.clone() };
        assert_eq!(lease.acquire().await, Ok(Acquired::Taken));
        leadership.until(Instant::now() + Duration::from_secs(60));
        let _ = thread::spawn(move || {
            let (_phase, _closed) = (phase, Closed(leadership));
            // Not `panic!`, which would call the hook.
            std::panic::resume_unwind(Box::new(()));
        })
        .join();
        assert_eq!(lease.lost().await, Loss::ThreadEnded);
        assert!(lease.leadership().remaining().is_zero(), "it may write no more");
    }
}
