//! `/livez`, `/readyz` and `/metrics` of `postlink run`: their checks of the leader election and the controller.

use crate::{
    controller::Controller,
    leader::election::Leadership,
    telemetry::{HealthChecks, Metrics, server, snapshot::QueueSnapshot},
};
use std::{
    io,
    net::SocketAddr,
    sync::Mutex,
    time::{Duration, Instant},
};
use tracing::info;

/// A standby that has not read the lease for this long is not ready.
const STANDBY: Duration = Duration::from_secs(60);
/// With work due, the controller is stuck when no reconcile starts or finishes for this long. A reconcile makes a few
/// calls to the API server, each with a timeout of 30 s, so an API server outage stays well below it.
const STUCK: Duration = Duration::from_secs(300);
/// A reconcile that runs for this long is stuck.
const RECONCILE_STUCK: Duration = Duration::from_secs(900);
/// A process that still runs this long after its lease expired did not notice it.
const OVERDUE: Duration = Duration::from_secs(60);

#[derive(Clone)]
pub struct Endpoints {
    pub metrics: Metrics,
    health: HealthChecks,
}

impl Endpoints {
    /// The endpoints of a process that is starting: alive, and not ready.
    pub fn new() -> Self {
        let endpoints = Self { metrics: Metrics::new(), health: HealthChecks::default() };
        endpoints.health.add_readyz_check("process", || Err("starting".to_owned()));
        let health = endpoints.health.clone();
        endpoints.metrics.on_scrape("ready", move |metrics| metrics.set_ready(health.readyz().passed));
        endpoints
    }

    /// Serves health and metrics, on two addresses or on one.
    pub async fn serve(
        &self,
        health: Option<SocketAddr>,
        metrics: Option<SocketAddr>,
    ) -> Result<(), (SocketAddr, io::Error)> {
        let pages = |health: bool, metrics: bool| server::Pages {
            health: health.then(|| self.health.clone()),
            metrics: metrics.then(|| self.metrics.clone()),
        };
        if let Some(address) = health {
            let both = metrics == health;
            let bound = server::serve(address, pages(true, both)).await.map_err(|e| (address, e))?;
            info!("serving /livez and /readyz{} on {bound}", if both { " and /metrics" } else { "" });
        }
        if let Some(address) = metrics.filter(|address| Some(*address) != health) {
            let bound = server::serve(address, pages(false, true)).await.map_err(|e| (address, e))?;
            info!("serving /metrics on {bound}");
        }
        Ok(())
    }

    /// The process waits for the lease. A standby that can read the lease is ready; otherwise a Deployment with two replicas
    /// would never be available.
    pub fn stands_by(&self, leadership: &Leadership) {
        let leadership = leadership.clone();
        let stalled = leadership.clone();
        self.metrics.on_scrape("stalled", move |metrics| metrics.set_stalled(stalled.stalled()));
        self.health.add_readyz_check("process", move || match leadership.since_last_read() {
            Some(ago) if ago < STANDBY => Ok("standby: waiting for the lease".to_owned()),
            Some(ago) => Err(format!("standby: the lease was last read {} s ago", ago.as_secs())),
            None => Err("standby: the lease has not been read yet".to_owned()),
        });
    }

    /// The process is the leader, or runs without leader election.
    pub fn works(&self, controller: &Controller, leadership: Option<Leadership>) {
        self.health.add_readyz_check("process", || Ok("active".to_owned()));
        let observer = controller.observer();
        self.health.add_readyz_check("informer-sync", {
            let observer = observer.clone();
            move || match observer.not_listed().as_slice() {
                [] => Ok("all kinds are listed".to_owned()),
                kinds => Err(format!("not listed yet: {}", kinds.join(", "))),
            }
        });
        self.health.add_livez_check("workqueue", {
            let observer = observer.clone();
            move || check_workqueue(&observer.queue())
        });
        let lease = leadership.clone();
        self.metrics.on_scrape("lease", move |metrics| {
            let remaining = lease.as_ref().map(Leadership::remaining);
            metrics.set_leader(remaining.is_none_or(|left| !left.is_zero()), remaining.unwrap_or_default());
        });
        if let Some(leadership) = leadership {
            let expired_since = Mutex::new(None);
            self.health.add_livez_check("leader-election", move || check_lease(&leadership, &expired_since));
        }
        self.metrics.on_scrape("controller", move |metrics| metrics.set_gauges(&observer.snapshot()));
    }

    /// A task of the controller ended unexpectedly.
    pub fn failed(&self, why: &str) {
        let why = why.to_owned();
        self.health.add_livez_check("controller", move || Err(why.clone()));
    }

    /// The process is shutting down.
    pub fn stops(&self) {
        self.health.add_readyz_check("process", || Err("shutting down".to_owned()));
    }
}

/// Fails when the workers make no progress.
fn check_workqueue(queue: &QueueSnapshot) -> Result<String, String> {
    if let Some(stuck) = queue.stuck.filter(|stuck| *stuck >= STUCK) {
        return Err(format!(
            "work is due, and no reconcile has started or finished for {} s",
            stuck.as_secs()
        ));
    }
    if let Some(longest) = queue.longest_running().filter(|longest| *longest >= RECONCILE_STUCK) {
        return Err(format!("a reconcile has been running for {} s", longest.as_secs()));
    }
    Ok("progressing".to_owned())
}

/// Fails when the process still runs although its lease expired.
fn check_lease(leadership: &Leadership, expired_since: &Mutex<Option<Instant>>) -> Result<String, String> {
    let mut since = expired_since.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if !leadership.remaining().is_zero() {
        *since = None;
        return Ok("the lease is held".to_owned());
    }
    let expired = since.get_or_insert_with(Instant::now).elapsed();
    if expired < OVERDUE {
        return Ok("the lease has just expired; the process is exiting".to_owned());
    }
    Err(format!("the lease expired {} s ago and the process still runs", expired.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn livez_fails_for_stuck_not_for_slow_reconciles() {
        let fine = |queue: &QueueSnapshot| check_workqueue(queue).is_ok();
        let seconds = |n| Some(Duration::from_secs(n));
        let running = |age| vec![("PostLink", Duration::from_secs(age)); 32];
        let full =
            QueueSnapshot { oldest: seconds(7200), in_progress: running(1), ..QueueSnapshot::default() };
        assert!(fine(&QueueSnapshot::default()));
        assert!(
            fine(&QueueSnapshot { stuck: seconds(120), in_progress: running(120), ..full.clone() }),
            "objects have waited for two hours"
        );
        assert!(!fine(&QueueSnapshot { stuck: STUCK.into(), ..full.clone() }));
        assert!(!fine(&QueueSnapshot {
            in_progress: running(RECONCILE_STUCK.as_secs()),
            stuck: seconds(1),
            ..full
        }));
    }

    #[test]
    fn livez_fails_when_the_process_outlives_its_lease() {
        let (leadership, expired_since) = (Leadership::default(), Mutex::new(None));
        assert!(check_lease(&leadership, &expired_since).is_ok(), "it has a minute to exit");
        let long_ago = Instant::now().checked_sub(OVERDUE).unwrap();
        *expired_since.lock().unwrap() = Some(long_ago);
        assert!(check_lease(&leadership, &expired_since).is_err());
    }
}
