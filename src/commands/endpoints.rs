//! What a running process tells about itself: `/livez`, `/readyz` and `/metrics`, from the parts that know.

use crate::{
    controller::{Controller, leader::election::Leadership},
    telemetry::{Health, Metrics, server, snapshot::QueueNow},
};
use std::{
    io,
    net::SocketAddr,
    sync::Mutex,
    time::{Duration, Instant},
};
use tracing::info;

/// A standby that has not read the lease for longer than this does not know what it waits for.
const STANDBY: Duration = Duration::from_secs(60);
/// Something is due and no look has begun or ended for so long: nothing will by itself. Every call to the API server
/// ends after half a minute and a look makes a few, so an API server that is away does not come near it.
const STUCK: Duration = Duration::from_secs(300);
/// One look has gone on for so long.
const ENDLESS: Duration = Duration::from_secs(900);
/// A process that works on although its lease ran out so long ago has not noticed.
const OVERDUE: Duration = Duration::from_secs(60);

/// The endpoints of a process.
#[derive(Clone)]
pub struct Endpoints {
    /// What is counted.
    pub metrics: Metrics,
    health: Health,
}

impl Endpoints {
    /// Of a process that has just begun: alive, and not ready.
    pub fn new() -> Self {
        let endpoints = Self { metrics: Metrics::new(), health: Health::default() };
        endpoints.health.ready("started", || Err("the process has only begun".to_owned()));
        let health = endpoints.health.clone();
        endpoints.metrics.refresh("ready", move |metrics| metrics.is_ready(health.readyz().fine));
        endpoints
    }

    /// Serves them, each at its own address or both at one.
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

    /// The process waits for the lease. Ready as long as it can read it: else a second replica would never be.
    pub fn stands_by(&self, leadership: &Leadership) {
        let leadership = leadership.clone();
        self.health.ready("started", move || match leadership.answered_before() {
            Some(ago) if ago < STANDBY => Ok("this process stands by: it waits for the lease".to_owned()),
            Some(ago) => Err(format!("the lease could not be read for {} s", ago.as_secs())),
            None => Err("the lease has not been read yet".to_owned()),
        });
    }

    /// The process works.
    pub fn works(&self, controller: &Controller, leadership: Option<Leadership>) {
        self.health.ready("started", || Ok("this process does the work".to_owned()));
        let observer = controller.observer();
        self.health.ready("listed", {
            let observer = observer.clone();
            move || match observer.not_listed().as_slice() {
                [] => Ok("everything has been listed".to_owned()),
                kinds => Err(format!("not listed yet: {}", kinds.join(", "))),
            }
        });
        self.health.live("progress", {
            let observer = observer.clone();
            move || progress(&observer.queue())
        });
        let lease = leadership.clone();
        self.metrics.refresh("lease", move |metrics| {
            let remaining = lease.as_ref().map(Leadership::remaining);
            metrics.leads(remaining.is_none_or(|left| !left.is_zero()), remaining.unwrap_or_default());
        });
        if let Some(leadership) = leadership {
            let out_since = Mutex::new(None);
            self.health.live("lease", move || lease_is_heeded(&leadership, &out_since));
        }
        self.metrics.refresh("controller", move |metrics| metrics.show(&observer.snapshot()));
    }

    /// A part of the process ended that should not.
    pub fn failed(&self, why: &str) {
        let why = why.to_owned();
        self.health.live("loop", move || Err(why.clone()));
    }

    /// The process was told to stop.
    pub fn stops(&self) {
        self.health.ready("started", || Err("the process was told to stop".to_owned()));
    }
}

/// Whether the loop does what is due.
fn progress(queue: &QueueNow) -> Result<String, String> {
    if let Some(stuck) = queue.stuck.filter(|stuck| *stuck >= STUCK) {
        return Err(format!("something is due and nothing has been looked at for {} s", stuck.as_secs()));
    }
    if let Some(longest) = queue.longest.filter(|longest| *longest >= ENDLESS) {
        return Err(format!("a look at an object has gone on for {} s", longest.as_secs()));
    }
    Ok("what is due is looked at".to_owned())
}

/// Whether a process whose lease has run out has ended, as it should.
fn lease_is_heeded(leadership: &Leadership, out_since: &Mutex<Option<Instant>>) -> Result<String, String> {
    let mut since = out_since.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if !leadership.remaining().is_zero() {
        *since = None;
        return Ok("it is leadership".to_owned());
    }
    let out = since.get_or_insert_with(Instant::now).elapsed();
    if out < OVERDUE {
        return Ok("it has just run out; the process ends".to_owned());
    }
    Err(format!("it ran out {} s ago and the process works on", out.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn livez_fails_when_the_loop_stands_still_and_not_when_it_is_slow() {
        let fine = |queue: &QueueNow| progress(queue).is_ok();
        let seconds = |n| Some(Duration::from_secs(n));
        let full = QueueNow { oldest: seconds(7200), running: 32, ..QueueNow::default() };
        assert!(fine(&QueueNow::default()));
        assert!(
            fine(&QueueNow { stuck: seconds(120), longest: seconds(120), ..full.clone() }),
            "two hours of waiting"
        );
        assert!(!fine(&QueueNow { stuck: STUCK.into(), ..full.clone() }));
        assert!(!fine(&QueueNow { longest: ENDLESS.into(), stuck: seconds(1), ..full }));
    }

    #[test]
    fn livez_fails_when_a_process_outlives_its_lease() {
        let (leadership, since) = (Leadership::default(), Mutex::new(None));
        assert!(lease_is_heeded(&leadership, &since).is_ok(), "it has a minute to end");
        let long_ago = Instant::now().checked_sub(OVERDUE).unwrap();
        *since.lock().unwrap() = Some(long_ago);
        assert!(lease_is_heeded(&leadership, &since).is_err());
    }
}
