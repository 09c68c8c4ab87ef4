//! Runs the controller as the leader: acquire the lease, keep it while the controller runs, and hand it over only when
//! nothing is in flight any more.

use super::{
    election::{Acquired, Leadership, Timing},
    loss::Loss,
    thread::LeaseThread,
    write_guard::WriteGuard,
};
use crate::{
    controller::{Controller, MayCreate, Stopped, page_size::PageSize},
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
    #[error("lost the leader lease; exiting: {0}")]
    LeaseLost(Loss),
    #[error(transparent)]
    Controller(Stopped),
}

/// Waits for the lease. `None` if `stop` came first: then what may have been acquired is released.
///
/// # Errors
/// When the lease is lost at once.
pub async fn acquire(
    mut lease: LeaseThread,
    stop: impl Future<Output = ()>,
) -> Result<Option<(LeaseThread, Acquired)>, RunError> {
    tokio::select! {
        acquired = lease.acquire() => {
            let how = acquired.map_err(RunError::LeaseLost)?;
            return Ok(Some((lease, how)));
        }
        () = stop => {}
    }
    lease.release().await;
    Ok(None)
}

/// Waits until the lease is lost; for ever without leader election.
async fn lost(lease: &mut Option<LeaseThread>) -> RunError {
    match lease {
        Some(lease) => RunError::LeaseLost(lease.lost().await),
        None => std::future::pending().await,
    }
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
    let builder = builder.with_layer(&BufferLayer::new(1024)).with_layer(&retries);
    Ok(builder.with_layer(&PageSize::default()).build())
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
    mut lease: Option<LeaseThread>,
    stop: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let observer = controller.observer();
    let announce = tokio::spawn(async move {
        while !observer.not_listed().is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        info!("ready: everything has been listed");
    });
    tokio::select! {
        stopped = controller.run() => return Err(RunError::Controller(stopped)),
        lost = lost(&mut lease) => return Err(lost),
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
        lost = lost(&mut lease) => return Err(lost),
    }
    if let Some(lease) = lease {
        lease.release().await;
    }
    info!("stopped");
    Ok(())
}
