//! Leader election as client-go does it: another's lease is judged by when *we* saw it change, never by its clock, and
//! every write carries the resourceVersion it was decided on. Losing the lease ends the process.

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

/// How long a lease is worth, and what follows from it, in the proportions client-go has by default.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// A holder that was not seen to renew for this long has lost it.
    duration: Duration,
    /// A holder that could not renew for this long gives up: a third of the duration before anybody else may take over.
    renew_deadline: Duration,
    /// Between two tries.
    retry: Duration,
}

impl Timing {
    /// The timing of a lease that is worth `duration`, fifteen seconds by default.
    pub fn of(duration: Duration) -> Self {
        Self { duration, renew_deadline: duration * 2 / 3, retry: duration * 2 / 15 }
    }

    /// With less than this left nothing is begun whose end we cannot be sure to see. A holder that renews in time has
    /// twice as much left.
    pub fn margin(&self) -> Duration {
        self.renew_deadline * 2 / 5
    }
}

/// The duration a holder leaves behind that gave the lease up in order; nobody's duration is ever so short. A lease
/// without a holder alone proves nothing: a person may have emptied it while its holder works on.
const HANDED_OVER: i32 = 1;
/// Who wants to lead.
pub struct Election {
    api: Api<Lease>,
    name: String,
    identity: String,
    timing: Timing,
    observed: Option<(String, Instant)>,
    leadership: Leadership,
}

/// How somebody came to lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acquired {
    /// The one before gave the lease up in order: nothing of it is under way.
    HandedOver,
    /// Nobody knows what the one before did last, or whether there was one.
    Taken,
}

/// Until when we lead for certain; clones share it.
#[derive(Clone, Default)]
pub struct Leadership(Arc<Mutex<View>>);

#[derive(Default)]
struct View {
    until: Option<Instant>,
    /// When the lease was last read while another held it.
    answered: Option<Instant>,
}

impl Leadership {
    /// How long we lead for certain from now on.
    pub fn remaining(&self) -> Duration {
        let until = self.view().until;
        until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()))
    }

    /// How long ago the lease was last read, as long as another holds it.
    pub fn answered_before(&self) -> Option<Duration> {
        self.view().answered.map(|at| at.elapsed())
    }

    fn view(&self) -> MutexGuard<'_, View> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answered(&self) {
        self.view().answered = Some(Instant::now());
    }

    pub(super) fn until(&self, end: Instant) {
        self.view().until = Some(end);
    }

    pub(super) fn lost(&self) {
        self.view().until = None;
    }
}

impl Election {
    /// A candidate. The client should not retry by itself: a renewal that hangs in retries is a lease that is lost
    /// without anybody noticing.
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

    /// Until when we lead.
    pub fn leadership(&self) -> Leadership {
        self.leadership.clone()
    }

    /// Waits until we lead, and says how we came to it.
    pub async fn acquire(&mut self) -> Acquired {
        info!(identity = %self.identity, "waiting for the lease");
        let mut told = String::new();
        loop {
            let before = Instant::now();
            match self.try_once().await {
                Ok(Some(how)) => {
                    // Counted from before the request: it may have been stored long before the answer came.
                    self.leadership.until(before + self.timing.renew_deadline);
                    info!(identity = %self.identity, "leading");
                    return how;
                }
                // Another candidate was faster, or it is somebody else's.
                Ok(None) | Err(ApiError::Conflict) => {
                    self.leadership.answered();
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
            tokio::time::sleep(self.timing.retry).await;
        }
    }

    /// Renews until that fails for too long; then we no longer lead, and must not go on.
    pub async fn keep(&mut self) {
        loop {
            tokio::time::sleep(self.timing.retry).await;
            let left = self.leadership.remaining();
            // A process that was paused finds its time run out here, before it asks: a renewal that came too late and
            // succeeded would hide that others may have led meanwhile.
            if left.is_zero() {
                warn!("this process stood still for longer than the lease allows");
                break;
            }
            let before = Instant::now();
            match tokio::time::timeout(left, self.try_once()).await {
                Ok(Ok(Some(_))) => self.leadership.until(before + self.timing.renew_deadline),
                Ok(Ok(None)) => {
                    warn!(identity = %self.identity, "somebody else holds the lease");
                    break;
                }
                Ok(Err(error)) => warn!(%error, "the lease could not be renewed"),
                Err(_) => {
                    warn!("the lease could not be renewed in time; the API server did not answer");
                    break;
                }
            }
        }
        self.leadership.lost();
    }

    /// Gives the lease up, so that the next one need not wait.
    pub async fn release(&mut self) {
        // A renewal that was under way when we stopped may be stored between the reading and the writing; once more.
        for _ in 0..2 {
            match self.try_release().await {
                Ok(()) => return,
                Err(ApiError::Conflict) => {}
                Err(error) => {
                    warn!(%error, lease = %self.name, "the lease could not be handed over; it expires by itself");
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
            spec.lease_duration_seconds = Some(HANDED_OVER);
        }
        within(self.api.replace(&self.name, &PostParams::default(), &lease)).await.map(drop)
    }

    /// One try. `None`: somebody else leads.
    async fn try_once(&mut self) -> Result<Option<Acquired>, ApiError> {
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
        // The holder's own duration counts: it may have been started with another one than ours.
        let worth = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds);
        let worth = worth.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
        let worth = worth.unwrap_or(self.timing.duration);
        let expired = self.observed.as_ref().is_some_and(|(_, at)| at.elapsed() >= worth);
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
        let in_order = free && old.lease_duration_seconds == Some(HANDED_OVER);
        Ok(Some(if in_order { Acquired::HandedOver } else { Acquired::Taken }))
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
