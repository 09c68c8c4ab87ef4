//! Leader election as in client-go: another holder's lease expires by the time since *we* saw it change, never by its
//! clock, and every write carries the resourceVersion it was decided on. Losing the lease ends the process.

use super::{
    holder::{News, Observed},
    loss::{Failures, Loss, watched},
};
use crate::{
    api::names::{CONTROLLER, WATCHED_NAMESPACES},
    controller::{
        lease::{Leases, MAX_LEASE_SECONDS, StoredLease, shown},
        patch::ApiError,
    },
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::PostParams;
use serde_json::{Value, json};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;
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
const RELEASED_DURATION: i64 = 1;

/// A candidate for the leader lease.
pub struct Election {
    leases: Leases,
    namespace: String,
    identity: String,
    timing: Timing,
    /// The value of [`WATCHED_NAMESPACES`].
    watched: String,
    observed: Observed,
    /// The resourceVersion of the Lease that this process stored last.
    stored: u64,
    /// That Lease, until a request to replace it fails: then what is stored must be read.
    last: Option<StoredLease>,
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

/// What an attempt to acquire or renew the lease came to.
enum Attempt {
    /// The lease lasts from when the request to store it was sent: it may have been stored long before the response arrived.
    Leading(Acquired, Instant),
    HeldBy(String),
    /// The Lease is older than the one that this process stored.
    Restored,
}

/// Until when this process certainly holds the lease; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Leadership(Arc<Mutex<LeadershipState>>);

#[derive(Debug, Default)]
struct LeadershipState {
    until: Option<Instant>,
    /// When the lease was last read while another process held it.
    last_read: Option<Instant>,
    stalled: Duration,
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

    /// For how long this process stood still so far: it was paused or starved of CPU.
    pub fn stalled(&self) -> Duration {
        self.state().stalled
    }

    fn state(&self) -> MutexGuard<'_, LeadershipState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_read(&self) {
        self.state().last_read = Some(Instant::now());
    }

    pub(super) fn add_stalled(&self, stalled: Duration) {
        self.state().stalled += stalled;
    }

    pub(super) fn until(&self, end: Instant) {
        self.state().until = Some(end);
    }

    pub(super) fn lost(&self) {
        self.state().until = None;
    }
}

impl Election {
    /// A candidate for an installation that watches `watched`; all namespaces if empty. The client must not retry: while a
    /// renewal is being retried, the lease could expire unnoticed.
    pub fn new(
        client: kube::Client,
        namespace: &str,
        identity: String,
        timing: Timing,
        watched: &[String],
    ) -> Self {
        let mut watched = watched.to_vec();
        watched.sort_unstable();
        watched.dedup();
        Self {
            leases: Leases::new(client, namespace, CONTROLLER),
            namespace: namespace.to_owned(),
            identity,
            timing,
            watched: watched.join(","),
            observed: Observed::default(),
            stored: 0,
            last: None,
            leadership: Leadership::default(),
        }
    }

    pub fn leadership(&self) -> Leadership {
        self.leadership.clone()
    }

    /// Waits until this process is the leader.
    pub async fn acquire(&mut self) -> Acquired {
        info!(identity = %self.identity, "waiting for the lease");
        let leadership = self.leadership();
        let (mut last_error, mut conflicted) = (String::new(), false);
        loop {
            match watched(&leadership, self.try_acquire_or_renew()).await {
                Ok(Attempt::Leading(how, sent)) => {
                    leadership.until(sent + self.timing.renew_deadline);
                    info!(identity = %self.identity, "became the leader");
                    return how;
                }
                // A candidate has no index that could be newer than the store.
                Ok(Attempt::HeldBy(_) | Attempt::Restored) => {
                    leadership.set_read();
                    last_error.clear();
                    conflicted = false;
                    self.tell_of_the_holder();
                }
                Err(error) => {
                    let conflict = matches!(error, ApiError::Conflict);
                    if conflict {
                        leadership.set_read();
                    }
                    // Another candidate was faster, unless it happens again.
                    let raced = conflict && !conflicted;
                    conflicted = conflict;
                    // This runs every two seconds: log an error only when it changes.
                    let error = error.to_string();
                    if !raced && error != last_error {
                        warn!(%error, lease = CONTROLLER, "failed to acquire the lease; retrying");
                        last_error = error;
                    }
                }
            }
            watched(&leadership, tokio::time::sleep(self.timing.retry)).await;
        }
    }

    fn tell_of_the_holder(&mut self) {
        let Some(News { holder, is_new, foreign }) = self.observed.news() else { return };
        if is_new {
            info!(lease = CONTROLLER, "waiting: {holder} holds the lease");
        }
        if let Some(foreign) = foreign {
            let namespace = &self.namespace;
            warn!(
                lease = CONTROLLER,
                "the Lease of {holder} has {foreign}, which Postlink does not write; it expires after \
                 {MAX_LEASE_SECONDS} s at the latest. If no process with that identity runs, delete it: \
                 kubectl -n {namespace} delete lease {CONTROLLER}"
            );
        }
    }

    /// Renews the lease until that fails for too long; then this process is no longer the leader and must exit.
    pub async fn keep(&mut self) -> Loss {
        let loss = self.renew().await;
        self.leadership.lost();
        loss
    }

    async fn renew(&mut self) -> Loss {
        let leadership = self.leadership();
        let deadline = self.timing.renew_deadline;
        let (mut failures, mut stalled_before) = (Failures::default(), leadership.stalled());
        loop {
            // The period begins when the last renewal was sent: with a slow API server, no more of the lease may pass, or
            // too little is left for creations. After a failure, less than a period may be left.
            let (retry, left) = (self.timing.retry, leadership.remaining());
            let pause = if failures.is_empty() {
                retry.saturating_sub(deadline.saturating_sub(left))
            } else {
                retry.min(left / 2)
            };
            watched(&leadership, tokio::time::sleep(pause)).await;
            let left = leadership.remaining();
            // Check before the request: a process that was paused must not renew too late, because another leader may have
            // acquired and released the lease meanwhile.
            if left.is_zero() {
                break;
            }
            let stalled = leadership.stalled();
            // As client-go does: one connection that is dead must not cost the lease.
            let limit = left.min(deadline / 2);
            let attempt = tokio::time::timeout(limit, self.try_renew());
            match watched(&leadership, attempt).await {
                Ok(Ok(Attempt::Leading(_, sent))) => {
                    leadership.until(sent + deadline);
                    (failures, stalled_before) = (Failures::default(), stalled);
                }
                Ok(Ok(Attempt::Restored)) => return Loss::Restored,
                Ok(Ok(Attempt::HeldBy(holder))) => return Loss::Taken { holder: shown(&holder) },
                Ok(Err(error)) => {
                    let error = error.to_string();
                    warn!(error, "failed to renew the lease; retrying");
                    failures.add(error);
                }
                Err(_) => {
                    let error = format!("no answer for {} s", limit.as_secs());
                    warn!(error, "failed to renew the lease; retrying");
                    failures.add(error);
                }
            }
        }
        failures.loss(deadline, leadership.stalled().saturating_sub(stalled_before))
    }

    /// Releases the lease, so that the next leader does not have to wait for it to expire.
    pub async fn release(&mut self) {
        // A renewal in flight when this process stopped may be stored between the read and the write: try once more.
        for _ in 0..2 {
            match self.try_release().await {
                Ok(()) => return,
                Err(ApiError::Conflict) => {}
                Err(error) => {
                    warn!(%error, lease = CONTROLLER, "failed to release the lease; the next leader waits until it expires");
                    return;
                }
            }
        }
    }

    async fn try_release(&self) -> Result<(), ApiError> {
        let Some(mut lease) = self.leases.get().await? else { return Ok(()) };
        if lease.holder() != Some(self.identity.as_str()) {
            return Ok(());
        }
        lease.spec["holderIdentity"] = Value::Null;
        lease.spec["leaseDurationSeconds"] = json!(RELEASED_DURATION);
        self.leases.replace(&PostParams::default(), &lease).await.map(drop)
    }

    /// One request, as long as nobody else changes the Lease: a slow API server has the whole time of an attempt for it.
    async fn try_renew(&mut self) -> Result<Attempt, ApiError> {
        // If this is canceled, it is unknown what is stored.
        if let Some(last) = self.last.take() {
            let (acquired, transitions) = (last.acquired(), last.transitions());
            match self.replace(last, acquired, transitions, Acquired::Taken).await {
                Err(ApiError::Conflict | ApiError::Gone) => {}
                outcome => return outcome,
            }
        }
        self.try_acquire_or_renew().await
    }

    async fn try_acquire_or_renew(&mut self) -> Result<Attempt, ApiError> {
        let Some(lease) = self.leases.get().await? else {
            let sent = Instant::now();
            let lease = self.next(StoredLease::default(), None, 0);
            let created = self.leases.create(&params(), &lease).await?;
            return Ok(self.leading(created, Acquired::Taken, sent));
        };
        if lease.version() < self.stored {
            return Ok(Attempt::Restored);
        }
        let holder = lease.holder();
        if let Some(other) = holder.filter(|holder| *holder != self.identity) {
            let seen = Instant::now();
            self.observed.see(&lease.spec, seen);
            if !self.observed.has_expired(self.timing.duration, seen) {
                return Ok(Attempt::HeldBy(other.to_owned()));
            }
        }
        let ours = holder == Some(self.identity.as_str());
        let released = holder.is_none() && lease.seconds() == Some(RELEASED_DURATION);
        let acquired = lease.acquired().filter(|_| ours);
        let transitions = lease.transitions().saturating_add(i32::from(!ours));
        let how = if released { Acquired::HandedOver } else { Acquired::Taken };
        self.replace(lease, acquired, transitions, how).await
    }

    async fn replace(
        &mut self,
        lease: StoredLease,
        acquired: Option<Timestamp>,
        transitions: i32,
        how: Acquired,
    ) -> Result<Attempt, ApiError> {
        let sent = Instant::now();
        let next = self.next(lease, acquired, transitions);
        let replaced = self.leases.replace(&params(), &next).await?;
        Ok(self.leading(replaced, how, sent))
    }

    fn leading(&mut self, stored: StoredLease, how: Acquired, sent: Instant) -> Attempt {
        let version = stored.version();
        let before = std::mem::replace(&mut self.stored, version);
        if version < before {
            return Attempt::Restored;
        }
        self.last = Some(stored);
        Attempt::Leading(how, sent)
    }

    /// The Lease as this process stores it. `acquired`: now if it has just acquired it.
    fn next(&self, mut lease: StoredLease, acquired: Option<Timestamp>, transitions: i32) -> StoredLease {
        let now = Timestamp::now();
        lease.annotate(WATCHED_NAMESPACES, &self.watched);
        lease.spec = json!({
            "holderIdentity": self.identity,
            "leaseDurationSeconds": self.timing.duration.as_secs(),
            "acquireTime": MicroTime(acquired.unwrap_or(now)),
            "renewTime": MicroTime(now),
            "leaseTransitions": transitions,
        });
        lease
    }
}

fn params() -> PostParams {
    PostParams { field_manager: Some(CONTROLLER.to_owned()), ..PostParams::default() }
}
