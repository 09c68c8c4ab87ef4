//! Leader election as in client-go: another holder's lease expires by the time since *we* saw it change, never by its
//! clock, and every write carries the resourceVersion it was decided on. Losing the lease ends the process.

use crate::{
    api::names::CONTROLLER,
    controller::patch::{ApiError, within},
};
use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{Api, ResourceExt, api::PostParams, core::ObjectMeta};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tracing::{info, warn};

/// Lease duration, renew deadline and retry period, in client-go's default proportions.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// A lease that was not renewed for this long has expired.
    duration: Duration,
    /// A leader that could not renew for this long stops, a third of the duration before another candidate may take over.
    renew_deadline: Duration,
    retry: Duration,
}

impl Timing {
    pub fn of(duration: Duration) -> Self {
        Self { duration, renew_deadline: duration * 2 / 3, retry: duration * 2 / 15 }
    }

    /// With less than this left, no creation in an instance is begun: it might outlast the lease. A leader that renews in
    /// time has twice as much left.
    pub fn margin(&self) -> Duration {
        self.renew_deadline * 2 / 5
    }
}

/// Lease duration in seconds written on release; no live holder uses 1 s. An empty holder alone does not prove a release:
/// a user may have cleared it while the holder is still running.
const RELEASED_DURATION: i32 = 1;

/// A candidate for the leader lease.
pub struct Election {
    api: Api<Lease>,
    name: String,
    identity: String,
    timing: Timing,
    observed: Option<(String, Instant)>,
    leadership: Leadership,
}

/// How the lease was acquired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acquired {
    /// The previous leader released it: none of its requests is in flight.
    HandedOver,
    /// It expired, or is new: requests of a previous leader may be in flight.
    Taken,
}

/// Until when this process certainly holds the lease; clones share it.
#[derive(Clone, Default)]
pub struct Leadership(Arc<Mutex<LeadershipState>>);

#[derive(Default)]
struct LeadershipState {
    until: Option<Instant>,
    /// When the lease was last read while another process held it.
    last_read: Option<Instant>,
}

impl Leadership {
    /// How long this process certainly still holds the lease.
    pub fn remaining(&self) -> Duration {
        let until = self.state().until;
        until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()))
    }

    /// How long ago the lease was last read while another process holds it.
    pub fn since_last_read(&self) -> Option<Duration> {
        self.state().last_read.map(|at| at.elapsed())
    }

    fn state(&self) -> MutexGuard<'_, LeadershipState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_read(&self) {
        self.state().last_read = Some(Instant::now());
    }

    pub(super) fn until(&self, end: Instant) {
        self.state().until = Some(end);
    }

    pub(super) fn lost(&self) {
        self.state().until = None;
    }
}

impl Election {
    /// The client must not retry: while a renewal is being retried, the lease could expire unnoticed.
    pub fn new(client: kube::Client, namespace: &str, identity: String, timing: Timing) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: CONTROLLER.to_owned(),
            identity,
            timing,
            observed: None,
            leadership: Leadership::default(),
        }
    }

    pub fn leadership(&self) -> Leadership {
        self.leadership.clone()
    }

    /// Waits until this process is the leader.
    pub async fn acquire(&mut self) -> Acquired {
        info!(identity = %self.identity, "waiting for the lease");
        let mut last_error = String::new();
        loop {
            let before = Instant::now();
            match self.try_acquire_or_renew().await {
                Ok(Some(how)) => {
                    // Counted from before the request: the lease may have been stored long before the response arrived.
                    self.leadership.until(before + self.timing.renew_deadline);
                    info!(identity = %self.identity, "became the leader");
                    return how;
                }
                // Another candidate was faster, or holds the lease.
                Ok(None) | Err(ApiError::Conflict) => {
                    self.leadership.set_read();
                    last_error.clear();
                }
                Err(error) => {
                    // This runs every two seconds: log an error only when it changes.
                    let error = error.to_string();
                    if error != last_error {
                        warn!(%error, lease = %self.name, "failed to acquire the lease; retrying");
                        last_error = error;
                    }
                }
            }
            tokio::time::sleep(self.timing.retry).await;
        }
    }

    /// Renews the lease until that fails for too long; then this process is no longer the leader and must exit.
    pub async fn keep(&mut self) {
        loop {
            tokio::time::sleep(self.timing.retry).await;
            let left = self.leadership.remaining();
            // Check before the request: a process that was paused must not renew too late, because another leader may have
            // acquired and released the lease meanwhile.
            if left.is_zero() {
                warn!("this process was paused past the renew deadline; the lease may have expired");
                break;
            }
            let before = Instant::now();
            match tokio::time::timeout(left, self.try_acquire_or_renew()).await {
                Ok(Ok(Some(_))) => self.leadership.until(before + self.timing.renew_deadline),
                Ok(Ok(None)) => {
                    warn!(identity = %self.identity, "another process holds the lease");
                    break;
                }
                Ok(Err(error)) => warn!(%error, "failed to renew the lease; retrying"),
                Err(_) => {
                    warn!("failed to renew the lease before the deadline: the API server did not respond");
                    break;
                }
            }
        }
        self.leadership.lost();
    }

    /// Releases the lease, so that the next leader does not have to wait for it to expire.
    pub async fn release(&mut self) {
        // A renewal in flight when this process stopped may be stored between the read and the write: try once more.
        for _ in 0..2 {
            match self.try_release().await {
                Ok(()) => return,
                Err(ApiError::Conflict) => {}
                Err(error) => {
                    warn!(%error, lease = %self.name, "failed to release the lease; the next leader waits until it expires");
                    return;
                }
            }
        }
    }

    async fn try_release(&self) -> Result<(), ApiError> {
        let Some(mut lease) = within(self.api.get_opt(&self.name)).await? else { return Ok(()) };
        if holder(&lease) != Some(self.identity.as_str()) {
            return Ok(());
        }
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = None;
            spec.lease_duration_seconds = Some(RELEASED_DURATION);
        }
        within(self.api.replace(&self.name, &PostParams::default(), &lease)).await.map(drop)
    }

    /// `None`: another process is the leader.
    async fn try_acquire_or_renew(&mut self) -> Result<Option<Acquired>, ApiError> {
        let now = MicroTime(Timestamp::now());
        let params = PostParams { field_manager: Some(CONTROLLER.to_owned()), ..PostParams::default() };
        let Some(lease) = within(self.api.get_opt(&self.name)).await? else {
            let lease = Lease {
                metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
                spec: Some(self.spec(&now, now.clone(), 0)),
            };
            within(self.api.create(&params, &lease)).await?;
            return Ok(Some(Acquired::Taken));
        };
        let version = lease.resource_version().unwrap_or_default();
        let ours = holder(&lease) == Some(self.identity.as_str());
        if self.observed.as_ref().is_none_or(|(known, _)| *known != version) {
            self.observed = Some((version, Instant::now()));
        }
        let free = holder(&lease).is_none_or(str::is_empty);
        // The holder's own duration counts: it may have been started with a different one.
        let duration = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds);
        let duration = duration.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
        let duration = duration.unwrap_or(self.timing.duration);
        let expired = self.observed.as_ref().is_some_and(|(_, at)| at.elapsed() >= duration);
        if !ours && !free && !expired {
            return Ok(None);
        }
        let old = lease.spec.clone().unwrap_or_default();
        let acquired =
            if ours { old.acquire_time.clone().unwrap_or_else(|| now.clone()) } else { now.clone() };
        let transitions = old.lease_transitions.unwrap_or(0).saturating_add(i32::from(!ours));
        let next = Lease { metadata: lease.metadata, spec: Some(self.spec(&now, acquired, transitions)) };
        let stored = within(self.api.replace(&self.name, &params, &next)).await?;
        self.observed = stored.resource_version().map(|v| (v, Instant::now()));
        let released = free && old.lease_duration_seconds == Some(RELEASED_DURATION);
        Ok(Some(if released { Acquired::HandedOver } else { Acquired::Taken }))
    }

    fn spec(&self, now: &MicroTime, acquired: MicroTime, transitions: i32) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(self.timing.duration.as_secs()).ok(),
            acquire_time: Some(acquired),
            renew_time: Some(now.clone()),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }
    }
}

fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref()
}
