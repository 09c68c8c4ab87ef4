//! The simulator: applies specifications, injects faults, and shows tests what happened.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value};
use tokio::io::DuplexStream;
use uuid::Uuid;

use crate::data::{OrganizationData, Row, RowReference};
use crate::faults::{ArmedFault, Fault};
use crate::instance::Instance;
use crate::request_log::RequestRecord;
use crate::server::certificates::CertificateAuthority;
use crate::server::{connection, tls};
use crate::spec::{InstanceSpec, InstanceState, SimulatedInstance, UserAction};
use crate::spec_validation::SpecError;
use crate::state::{Clock, Shared};
use crate::tables::ACTIVITY;
use crate::{record_creation_rules, user_actions};

/// Why instances were not applied. The simulator is unchanged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// A specification is invalid.
    #[error("SimulatedInstance {name}: {}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Invalid {
        /// Name of the instance.
        name: String,
        /// Everything that is wrong with its specification.
        errors: Vec<SpecError>,
    },
    /// Two specifications have the same host.
    #[error(
        "SimulatedInstances {first} and {second} both have the host {host}; a host is served by one instance"
    )]
    SameHost {
        /// The host that both specifications have.
        host: String,
        /// Name of the first instance with this host.
        first: String,
        /// Name of the second instance with this host.
        second: String,
    },
}

/// A user action that had no effect, for instance because no activity has its `postid`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Name of the instance.
    pub instance: String,
    /// The action as specified.
    pub action: UserAction,
    /// Why it had no effect.
    pub message: String,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SimulatedInstance {}: {:?} did nothing: {}", self.instance, self.action.kind, self.message)
    }
}

/// A row of the table `socialactivity`, for assertions in tests.
#[derive(Clone, Debug, PartialEq)]
pub struct ActivityView {
    /// Primary key, `activityid`.
    pub id: Uuid,
    /// The column `postid`.
    pub post_id: Option<String>,
    /// The record the activity regards. It may have been deleted.
    pub regarding: Option<RowReference>,
    /// All columns that are not null, lookups excepted.
    pub values: Map<String, Value>,
}

/// Simulates Dataverse instances with the token endpoint and the discovery service of their clouds.
///
/// The instances can be replaced at any time ([`Simulator::apply`]). The data of an organization is kept for the
/// life of the simulator, whatever becomes of the instance. Clones share one simulator.
#[derive(Clone)]
pub struct Simulator {
    shared: Arc<Shared>,
    authority: Arc<CertificateAuthority>,
}

impl Default for Simulator {
    fn default() -> Self {
        Self::new()
    }
}

impl Simulator {
    /// A simulator without instances that uses the system clock.
    pub fn new() -> Self {
        Self::with_clock(Arc::new(Timestamp::now))
    }

    /// A simulator without instances that uses `clock`: for tokens, throttling, delays and timestamps.
    pub fn with_clock(clock: Clock) -> Self {
        Self { shared: Arc::new(Shared::new(clock)), authority: Arc::default() }
    }

    /// Replaces all instances, and performs all their `changes`.
    ///
    /// An instance that is no longer in the list cannot be reached. Its organization keeps its data.
    ///
    /// # Errors
    /// If a specification is invalid or two have the same host. The simulator is then unchanged.
    pub fn apply(&self, instances: &[SimulatedInstance]) -> Result<Vec<Warning>, ApplyError> {
        self.replace(instances, false)
    }

    /// Like [`Simulator::apply`], for reading the same files again: an entry of `changes` that the instance
    /// with this host already had is not performed a second time.
    ///
    /// # Errors
    /// Like [`Simulator::apply`].
    pub fn reload(&self, instances: &[SimulatedInstance]) -> Result<Vec<Warning>, ApplyError> {
        self.replace(instances, true)
    }

    fn replace(&self, wanted: &[SimulatedInstance], only_new: bool) -> Result<Vec<Warning>, ApplyError> {
        let mut instances: BTreeMap<String, Arc<Instance>> = BTreeMap::new();
        for SimulatedInstance { name, spec } in wanted {
            spec.validate().map_err(|errors| ApplyError::Invalid { name: name.clone(), errors })?;
            let host = spec.host.clone();
            let instance = Arc::new(Instance::new(name.clone(), spec.clone()));
            if let Some(other) = instances.insert(host.clone(), instance) {
                return Err(ApplyError::SameHost { host, first: other.name.clone(), second: name.clone() });
            }
        }
        let now = self.shared.now();
        let mut state = self.shared.state();
        let before = std::mem::replace(&mut state.instances, instances.clone());
        state.known_hosts.extend(instances.keys().cloned());
        let mut warnings = Vec::new();
        // In the order of the list, not of the hosts: actions in one organization may build on each other.
        for SimulatedInstance { name, spec } in wanted {
            if spec.state == InstanceState::Expired {
                state.expired_since.entry(spec.host.clone()).or_insert(now);
            } else {
                state.expired_since.remove(&spec.host);
            }
            let data = state.organization(spec.organization.id);
            record_creation_rules::run_due(data, now);
            add_records(data, spec, instances.get(&spec.host), now);
            let mut performed = match before.get(&spec.host) {
                Some(instance) if only_new => instance.spec.changes.clone(),
                _ => Vec::new(),
            };
            for action in &spec.changes {
                if let Some(index) = performed.iter().position(|old| old == action) {
                    performed.remove(index);
                } else if let Err(message) = user_actions::perform(data, action, now) {
                    warnings.push(Warning { instance: name.clone(), action: action.clone(), message });
                }
            }
        }
        Ok(warnings)
    }

    /// Performs one user action in an organization.
    ///
    /// # Errors
    /// Why the action had no effect.
    pub fn perform(&self, organization: Uuid, action: &UserAction) -> Result<(), String> {
        let now = self.shared.now();
        user_actions::perform(self.shared.state().organization(organization), action, now)
    }

    /// Connects to a host in memory: plain HTTP/1.1 without TLS. For a host that is unknown or unreachable, the
    /// stream is already closed.
    ///
    /// # Panics
    /// Connecting panics outside a Tokio runtime.
    pub fn connector(&self) -> impl Fn(&str) -> DuplexStream + Clone + Send + Sync + 'static + use<> {
        let shared = self.shared.clone();
        move |host: &str| connection::connect_in_memory(&shared, host)
    }

    /// Serves all hosts over HTTPS on one loopback address; port 0 selects a free port. A client selects the host
    /// by SNI, and must trust [`Server::ca_pem`](crate::Server::ca_pem).
    ///
    /// # Errors
    /// If the address is not a loopback address or cannot be listened on.
    pub async fn serve_tls(&self, listen: SocketAddr) -> Result<tls::Server, tls::ServeError> {
        tls::serve(self.shared.clone(), self.authority.clone(), listen).await
    }

    /// The hosts that are served: those of the instances, and the token endpoint and discovery service of their
    /// clouds and of the commercial cloud.
    pub fn hosts(&self) -> BTreeSet<String> {
        self.shared.hosts()
    }

    /// The recorded requests, oldest first. At most the latest 100,000 are kept.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.shared.state().request_log.records()
    }

    /// How many requests a host has received.
    pub fn request_count(&self, host: &str) -> u64 {
        self.shared.state().request_log.count(host)
    }

    /// Clears the recorded requests and resets the counts.
    pub fn clear_requests(&self) {
        self.shared.state().request_log.clear();
    }

    /// The social activities of an organization, ordered by id.
    pub fn activities(&self, organization: Uuid) -> Vec<ActivityView> {
        let view = |(id, row): (Uuid, &Row)| ActivityView {
            id,
            post_id: row.text("postid").map(str::to_owned),
            regarding: row.regarding().cloned(),
            values: row.values.clone(),
        };
        self.read(organization, |data| data.rows(ACTIVITY).map(view).collect())
    }

    /// The primary keys of a table's rows in an organization, in order. `table` is the logical name.
    pub fn records(&self, organization: Uuid, table: &str) -> Vec<Uuid> {
        self.read(organization, |data| data.rows(table).map(|(id, _)| id).collect())
    }

    fn read<T>(&self, organization: Uuid, read: impl FnOnce(&OrganizationData) -> T) -> T {
        let now = self.shared.now();
        let mut state = self.shared.state();
        let data = state.organization(organization);
        record_creation_rules::run_due(data, now);
        read(data)
    }

    /// Makes the next `times` requests to `host` fail.
    pub fn inject(&self, host: &str, fault: Fault, times: u32) {
        self.arm(host, fault, times, None);
    }

    /// Like [`Simulator::inject`], for the requests whose `METHOD path?query` contains `only`.
    pub fn inject_for(&self, host: &str, only: &str, fault: Fault, times: u32) {
        self.arm(host, fault, times, Some(only.to_owned()));
    }

    fn arm(&self, host: &str, fault: Fault, times: u32, only: Option<String>) {
        if times > 0 {
            self.shared.state().faults.push(ArmedFault { host: host.to_owned(), fault, times, only });
        }
    }

    /// Discards the injected faults that no request has met yet.
    pub fn clear_faults(&self) {
        self.shared.state().faults.clear();
    }

    /// Continues all requests that [`Fault::Hang`] holds.
    pub fn release_hanging(&self) {
        self.shared.released.send_modify(|generation| *generation += 1);
    }

    /// Invalidates all access tokens.
    pub fn revoke_tokens(&self) {
        self.shared.state().access_tokens.revoke_all();
    }

    /// How many requests to `host` are unanswered.
    pub fn in_flight(&self, host: &str) -> u32 {
        self.shared.state().in_flight.get(host).copied().unwrap_or(0)
    }

    /// Waits until exactly `count` requests to `host` are unanswered.
    pub async fn until_in_flight(&self, host: &str, count: u32) {
        loop {
            // Enabled before the count is read, so that no change is missed in between.
            let mut changed = std::pin::pin!(self.shared.traffic.notified());
            changed.as_mut().enable();
            if self.in_flight(host) == count {
                return;
            }
            changed.await;
        }
    }
}

fn add_records(
    data: &mut OrganizationData,
    spec: &InstanceSpec,
    instance: Option<&Arc<Instance>>,
    now: Timestamp,
) {
    for record in &spec.records {
        // A row that was deleted stays deleted, although the specification still lists it.
        let deleted = data.was_deleted(&record.table, record.id);
        if deleted || data.get(&record.table, record.id).is_some() {
            continue;
        }
        let mut row = Row::default();
        let table = instance.and_then(|instance| instance.catalog.table(&record.table));
        if let Some((column, name)) = table.and_then(|t| t.primary_name.clone()).zip(record.name.clone()) {
            row.values.insert(column, name.into());
        }
        row.values.insert("statecode".to_owned(), 0.into());
        data.put(&record.table, record.id, row, now);
    }
}
