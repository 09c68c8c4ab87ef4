//! Runs the controller as the leader: acquire the lease, keep it while the controller runs, and hand it over only when
//! nothing is in flight any more.

use super::{
    election::{Acquired, Election, Leadership, Timing},
    write_guard::WriteGuard,
};
use crate::{
    controller::{Controller, MayCreate, Stopped},
    telemetry::api_requests::ApiMetricsLayer,
};
use kube::client::{ClientBuilder, retry::RetryPolicy};
use std::{sync::Arc, time::Duration};
use tower::{buffer::BufferLayer, retry::RetryLayer};
use tracing::{info, warn};

/// How long requests and reconciles in flight may take after a stop request. The kubelet kills a pod after thirty seconds
/// by default.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);

/// Why a run ended other than on request.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("lost the leader lease; exiting")]
    LeaseLost,
    #[error(transparent)]
    Controller(Stopped),
}

/// Waits for the lease. `None` if `stop` came first.
pub async fn acquire(election: &mut Election, stop: impl Future<Output = ()>) -> Option<Acquired> {
    tokio::select! {
        acquired = election.acquire() => return Some(acquired),
        () = stop => {}
    }
    // The request that was just canceled may have acquired the lease.
    election.release().await;
    None
}

/// A client for the controller. It retries as kube's own client does, and its [`WriteGuard`] is below the retries: a
/// write is not retried after the lease was lost.
pub fn guarded_client(
    without_retries: kube::Config,
    leadership: Leadership,
    counted: &ApiMetricsLayer,
) -> Result<kube::Client, kube::Error> {
    let builder = ClientBuilder::try_from(without_retries)?;
    let builder = builder.with_layer(counted).with_layer(&WriteGuard(leadership));
    let retries = RetryLayer::new(RetryPolicy::server_retry());
    Ok(builder.with_layer(&BufferLayer::new(1024)).with_layer(&retries).build())
}

/// Allows creations in an instance only while the lease does not expire soon (§4.7); always without leader election.
pub fn may_create(leadership: Option<Leadership>, timing: Timing) -> MayCreate {
    Arc::new(move || leadership.as_ref().is_none_or(|held| held.remaining() > timing.margin()))
}

/// Runs the controller until `stop`, drains it, and hands the lease over.
///
/// # Errors
/// At once when the lease is lost or a task of the controller ends.
pub async fn run(
    mut controller: Controller,
    election: Option<Election>,
    stop: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let observer = controller.observer();
    let announce = tokio::spawn(async move {
        while !observer.not_listed().is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        info!("ready: everything has been listed");
    });
    let (hand_over, handing_over) = tokio::sync::oneshot::channel::<()>();
    // Ends when the lease is lost, or after `hand_over`.
    let leading = async {
        match election {
            Some(mut election) => {
                let stopped = tokio::select! {
                    () = election.keep() => false,
                    _ = handing_over => true,
                };
                if stopped {
                    election.release().await;
                }
            }
            None => {
                let _ = handing_over.await;
            }
        }
    };
    tokio::pin!(leading);
    tokio::select! {
        stopped = controller.run() => return Err(RunError::Controller(stopped)),
        () = &mut leading => return Err(RunError::LeaseLost),
        () = stop => {}
    }
    info!("stopping: waiting for requests and reconciles in flight");
    announce.abort();
    let drained = tokio::time::timeout(DRAIN_TIMEOUT, controller.stop());
    tokio::select! {
        drained = drained => if drained.is_err() {
            // The lease expires, and the next leader waits for what may still be in flight.
            warn!("requests are still in flight after {} s; the lease is not released", DRAIN_TIMEOUT.as_secs());
            return Ok(());
        },
        () = &mut leading => return Err(RunError::LeaseLost),
    }
    let _ = hand_over.send(());
    leading.await;
    info!("stopped");
    Ok(())
}
