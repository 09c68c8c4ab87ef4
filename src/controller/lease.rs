//! Leader election as client-go does it: another's lease is judged by when *we* saw it change, never by its clock, and
//! every write carries the resourceVersion it was decided on. Losing the lease ends the process.

use super::writer::{WriteError, within};
use crate::api::names::CONTROLLER;
use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{Api, ResourceExt, api::PostParams, core::ObjectMeta};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tracing::{info, warn};

/// A holder that was not seen to renew for this long has lost it.
pub const DURATION: Duration = Duration::from_secs(15);
/// A holder that could not renew for this long gives up: five seconds before anybody else may take over.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// Between two tries.
const RETRY: Duration = Duration::from_secs(2);

/// Who wants to lead.
pub struct Election {
    api: Api<Lease>,
    name: String,
    identity: String,
    observed: Option<(String, Instant)>,
    held: Held,
}

/// Until when we lead for certain; clones share it.
#[derive(Clone, Default)]
pub struct Held(Arc<Mutex<Option<Instant>>>, Arc<Mutex<Option<Instant>>>);

impl Held {
    /// How long we lead for certain from now on.
    pub fn remaining(&self) -> Duration {
        let until = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()))
    }

    /// How long ago the lease was last read, as long as another holds it.
    pub fn answered_before(&self) -> Option<Duration> {
        self.1.lock().unwrap_or_else(PoisonError::into_inner).map(|at| at.elapsed())
    }

    fn answered(&self) {
        *self.1.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn renewed(&self, at: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(at + RENEW_DEADLINE);
    }
}

impl Election {
    /// A candidate. The client should not retry by itself: a renewal that hangs in retries is a lease that is lost
    /// without anybody noticing.
    pub fn new(client: kube::Client, namespace: &str, identity: String) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: CONTROLLER.to_owned(),
            identity,
            observed: None,
            held: Held::default(),
        }
    }

    /// Until when we lead.
    pub fn held(&self) -> Held {
        self.held.clone()
    }

    /// Waits until we lead. `true`: somebody else led before.
    pub async fn acquire(&mut self) -> bool {
        info!(identity = %self.identity, "waiting for the lease");
        let mut told = String::new();
        loop {
            let before = Instant::now();
            match self.try_once().await {
                Ok(Some(took_over)) => {
                    // Counted from before the request: it may have been stored long before the answer came.
                    self.held.renewed(before);
                    info!(identity = %self.identity, "leading");
                    return took_over;
                }
                Ok(None) => {
                    self.held.answered();
                    told.clear();
                }
                Err(error) => {
                    // Once for as long as it is the same: this is tried every two seconds.
                    let error = error.to_string();
                    if error != told {
                        warn!(%error, lease = %self.name, "the lease could not be taken; trying again");
                        told = error;
                    }
                }
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Renews until that fails for too long; then we no longer lead, and must not go on.
    pub async fn keep(&mut self) {
        loop {
            tokio::time::sleep(RETRY).await;
            let left = self.held.remaining();
            if left.is_zero() {
                return;
            }
            let before = Instant::now();
            match tokio::time::timeout(left, self.try_once()).await {
                Ok(Ok(Some(_))) => self.held.renewed(before),
                Ok(Ok(None)) => {
                    warn!(identity = %self.identity, "somebody else holds the lease");
                    return;
                }
                Ok(Err(error)) => warn!(%error, "the lease could not be renewed"),
                Err(_) => return,
            }
        }
    }

    /// Gives the lease up, so that the next one need not wait.
    pub async fn release(&mut self) {
        let Ok(Some(lease)) = within(self.api.get_opt(&self.name)).await else { return };
        if holder(&lease) != Some(self.identity.as_str()) {
            return;
        }
        let mut released = lease.clone();
        if let Some(spec) = &mut released.spec {
            spec.holder_identity = None;
            spec.lease_duration_seconds = Some(1);
        }
        // Whoever was faster holds it now; then there is nothing to give up.
        let _ = within(self.api.replace(&self.name, &PostParams::default(), &released)).await;
    }

    /// One try. `None`: somebody else leads. `Some(true)`: taken over from somebody.
    async fn try_once(&mut self) -> Result<Option<bool>, WriteError> {
        let now = MicroTime(Timestamp::now());
        let params = PostParams { field_manager: Some(CONTROLLER.to_owned()), ..PostParams::default() };
        let Some(lease) = within(self.api.get_opt(&self.name)).await? else {
            let lease = Lease {
                metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
                spec: Some(self.spec(&now, now.clone(), 0)),
            };
            within(self.api.create(&params, &lease)).await?;
            return Ok(Some(false));
        };
        let version = lease.resource_version().unwrap_or_default();
        let ours = holder(&lease) == Some(self.identity.as_str());
        if self.observed.as_ref().is_none_or(|(known, _)| *known != version) {
            self.observed = Some((version, Instant::now()));
        }
        let free = holder(&lease).is_none_or(str::is_empty);
        let expired = self.observed.as_ref().is_some_and(|(_, at)| at.elapsed() >= DURATION);
        if !ours && !free && !expired {
            return Ok(None);
        }
        let old = lease.spec.clone().unwrap_or_default();
        let acquired =
            if ours { old.acquire_time.clone().unwrap_or_else(|| now.clone()) } else { now.clone() };
        let transitions = old.lease_transitions.unwrap_or(0) + i32::from(!ours);
        let next = Lease { metadata: lease.metadata, spec: Some(self.spec(&now, acquired, transitions)) };
        match within(self.api.replace(&self.name, &params, &next)).await {
            Ok(stored) => {
                self.observed = stored.resource_version().map(|v| (v, Instant::now()));
                Ok(Some(!ours))
            }
            Err(WriteError::Stale) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn spec(&self, now: &MicroTime, acquired: MicroTime, transitions: i32) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
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
