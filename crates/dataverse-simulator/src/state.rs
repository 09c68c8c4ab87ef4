//! What all connections share: the instances, the data of their organizations, tokens, faults and the request log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use crate::access_tokens::AccessTokens;
use crate::clouds::{service_at, services_of};
use crate::data::OrganizationData;
use crate::faults::ArmedFault;
use crate::instance::Instance;
use crate::request_log::RequestLog;
use crate::throttle::RequestWindow;

/// The clock of a simulator. Nothing in this crate reads the system clock by any other way.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Everything behind the lock.
#[derive(Default)]
pub(crate) struct SimulatorState {
    /// The instances, by host.
    pub instances: BTreeMap<String, Arc<Instance>>,
    organizations: BTreeMap<Uuid, OrganizationData>,
    /// Hosts that have ever been applied: the token endpoint still knows an instance that was removed.
    pub known_hosts: BTreeSet<String>,
    /// When a host was first applied as `Expired`.
    pub expired_since: BTreeMap<String, Timestamp>,
    pub access_tokens: AccessTokens,
    pub request_windows: BTreeMap<String, RequestWindow>,
    pub in_flight: BTreeMap<String, u32>,
    pub faults: Vec<ArmedFault>,
    pub request_log: RequestLog,
}

impl SimulatorState {
    /// The data of an organization; empty the first time.
    pub fn organization(&mut self, id: Uuid) -> &mut OrganizationData {
        self.organizations.entry(id).or_insert_with(|| OrganizationData::new(id))
    }
}

/// The state and what surrounds its lock.
pub(crate) struct Shared {
    state: Mutex<SimulatorState>,
    clock: Clock,
    /// A change releases the requests that hang.
    pub released: watch::Sender<u64>,
    /// Notified whenever a request starts or ends.
    pub traffic: Notify,
}

impl Shared {
    pub fn new(clock: Clock) -> Self {
        Self {
            state: Mutex::new(SimulatorState::default()),
            clock,
            released: watch::Sender::new(0),
            traffic: Notify::new(),
        }
    }

    /// The lock is never held across an await. A test that panicked while it held the lock must not fail the others.
    pub fn state(&self) -> MutexGuard<'_, SimulatorState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// The hosts of the instances and of the services they need.
    pub fn hosts(&self) -> BTreeSet<String> {
        let mut hosts: BTreeSet<String> = self.state().instances.keys().cloned().collect();
        let services: Vec<String> =
            services_of(hosts.iter().map(String::as_str)).map(str::to_owned).collect();
        hosts.extend(services);
        hosts
    }

    /// Whether a connection to `host` is accepted.
    pub fn is_reachable(&self, host: &str) -> bool {
        service_at(host).is_some()
            || self.state().instances.get(host).is_some_and(|instance| instance.is_reachable())
    }
}
