//! The simulated world: a set of instances that documents may replace, and data that outlives them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use super::clouds::{service_at, services_of};
use super::data::{OrganisationData, Row, RowReference};
use super::document::{Change, InstanceState, SimulatedInstanceDocument, SimulatedInstanceSpec};
use super::faults::{ArmedFault, Fault};
use super::journal::{Journal, RequestRecord};
use super::sign_in::Tokens;
use super::tables::{ACTIVITY, Catalogue};
use super::throttle::Window;
use super::validation::DocumentError;
use super::{conversion, people, tls};

/// Tells the time to the simulated world; nothing in it reads the wall clock.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Why a set of documents was not applied. Nothing of it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// One document is wrong by itself.
    #[error("SimulatedInstance {name}: {}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Invalid {
        /// `metadata.name`.
        name: String,
        /// All that is wrong with it.
        faults: Vec<DocumentError>,
    },
    /// Two documents describe the same host.
    #[error(
        "SimulatedInstances {first} and {second} both have spec.host {host}; a host is served by one instance"
    )]
    SameHost {
        /// The host.
        host: String,
        /// `metadata.name` of the earlier one.
        first: String,
        /// `metadata.name` of the later one.
        second: String,
    },
}

/// A change that did nothing, for instance because its post was never linked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// `metadata.name` of the document.
    pub instance: String,
    /// The change.
    pub change: Change,
    /// A sentence on why it did nothing.
    pub message: String,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SimulatedInstance {}: {:?} did nothing: {}", self.instance, self.change.act, self.message)
    }
}

/// A social activity, as tests look at it.
#[derive(Clone, Debug, PartialEq)]
pub struct ActivityView {
    /// Primary key.
    pub id: Uuid,
    /// The post's own id.
    pub post_id: Option<String>,
    /// The record it regards, which may be deleted.
    pub regarding: Option<RowReference>,
    /// All its columns that are not null.
    pub values: serde_json::Map<String, serde_json::Value>,
}

/// An instance as a document describes it.
#[derive(Debug)]
pub(super) struct Instance {
    pub name: String,
    pub spec: SimulatedInstanceSpec,
    pub catalogue: Catalogue,
}

impl Instance {
    pub fn is_reachable(&self) -> bool {
        self.spec.state != InstanceState::Unreachable
    }
}

/// Everything behind the lock.
#[derive(Default)]
pub(super) struct State {
    pub instances: BTreeMap<String, Arc<Instance>>,
    organisations: BTreeMap<Uuid, OrganisationData>,
    /// Hosts that are or were described: sign-in goes on knowing an instance that cannot be reached.
    pub known_hosts: BTreeSet<String>,
    pub expired_since: BTreeMap<String, Timestamp>,
    pub tokens: Tokens,
    pub windows: BTreeMap<String, Window>,
    pub in_flight: BTreeMap<String, u32>,
    pub faults: Vec<ArmedFault>,
    pub journal: Journal,
}

impl State {
    /// An organisation's data; empty the first time.
    pub fn organisation(&mut self, id: Uuid) -> &mut OrganisationData {
        self.organisations.entry(id).or_insert_with(|| OrganisationData::new(id))
    }
}

pub(super) struct Inner {
    state: Mutex<State>,
    pub clock: Clock,
    /// Rises when hanging requests are let go.
    pub released: watch::Sender<u64>,
    /// Told whenever a request comes or goes.
    pub traffic: Notify,
    pub authority: tls::Authority,
}

/// The simulated world. Clones share it.
#[derive(Clone)]
pub struct World {
    pub(super) inner: Arc<Inner>,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// A world without instances, on the wall clock.
    pub fn new() -> Self {
        Self::with_clock(Arc::new(Timestamp::now))
    }

    /// A world without instances, on a given clock.
    pub fn with_clock(clock: Clock) -> Self {
        Self {
            inner: Arc::new(Inner {
                state: Mutex::new(State::default()),
                clock,
                released: watch::Sender::new(0),
                traffic: Notify::new(),
                authority: tls::Authority::default(),
            }),
        }
    }

    /// The lock is never held across an await; a test that panicked while holding it harms nobody else.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Timestamp {
        (self.inner.clock)()
    }

    /// Makes the world what these documents say (one commit) and carries out all their `changes` once.
    ///
    /// An organisation whose document is gone is unreachable and keeps its data.
    ///
    /// # Errors
    /// When a document is invalid or two have one host; then nothing is changed.
    pub fn apply(&self, documents: &[SimulatedInstanceDocument]) -> Result<Vec<Warning>, ApplyError> {
        self.replace(documents, false)
    }

    /// As [`World::apply`], for reading the same files again: a change that was already in the
    /// document of that host is not carried out a second time.
    ///
    /// # Errors
    /// As [`World::apply`].
    pub fn reload(&self, documents: &[SimulatedInstanceDocument]) -> Result<Vec<Warning>, ApplyError> {
        self.replace(documents, true)
    }

    fn replace(
        &self,
        documents: &[SimulatedInstanceDocument],
        only_new: bool,
    ) -> Result<Vec<Warning>, ApplyError> {
        let mut instances: BTreeMap<String, Arc<Instance>> = BTreeMap::new();
        for document in documents {
            let name = document.metadata.name.clone();
            document.validate().map_err(|faults| ApplyError::Invalid { name: name.clone(), faults })?;
            let spec = document.spec.clone();
            let host = spec.host.clone();
            let catalogue = Catalogue::of(&spec);
            let instance = Arc::new(Instance { name: name.clone(), spec, catalogue });
            if let Some(other) = instances.insert(host.clone(), instance) {
                return Err(ApplyError::SameHost { host, first: other.name.clone(), second: name });
            }
        }
        let now = self.now();
        let mut state = self.state();
        let before = std::mem::replace(&mut state.instances, instances.clone());
        state.known_hosts.extend(instances.keys().cloned());
        let mut warnings = Vec::new();
        // In the order of the documents, not of the hosts: one person's acts may build on another's.
        for document in documents {
            let spec = &document.spec;
            if spec.state == InstanceState::Expired {
                state.expired_since.entry(spec.host.clone()).or_insert(now);
            } else {
                state.expired_since.remove(&spec.host);
            }
            let data = state.organisation(spec.organization.id);
            conversion::settle(data, now);
            add_records(data, spec, instances.get(&spec.host), now);
            let mut known = match before.get(&spec.host) {
                Some(instance) if only_new => instance.spec.changes.clone(),
                _ => Vec::new(),
            };
            for change in &spec.changes {
                if let Some(index) = known.iter().position(|old| old == change) {
                    known.remove(index);
                } else if let Err(message) = people::carry_out(data, change, now) {
                    let instance = document.metadata.name.clone();
                    warnings.push(Warning { instance, change: change.clone(), message });
                }
            }
        }
        Ok(warnings)
    }

    /// Carries out one act of a person in an organisation.
    ///
    /// # Errors
    /// A sentence on why it did nothing.
    pub fn act(&self, organization: Uuid, change: &Change) -> Result<(), String> {
        let now = self.now();
        people::carry_out(self.state().organisation(organization), change, now)
    }

    /// Hosts that are served, with sign-in and discovery of their clouds and of the commercial one.
    pub fn hosts(&self) -> BTreeSet<String> {
        let mut hosts: BTreeSet<String> = self.state().instances.keys().cloned().collect();
        let services: Vec<String> =
            services_of(hosts.iter().map(String::as_str)).map(str::to_owned).collect();
        hosts.extend(services);
        hosts
    }

    /// Whether a connection to `host` gets anywhere.
    pub(super) fn is_reachable(&self, host: &str) -> bool {
        service_at(host).is_some()
            || self.state().instances.get(host).is_some_and(|instance| instance.is_reachable())
    }

    /// Every request so far, oldest first (the newest 100,000).
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.state().journal.records()
    }

    /// How many requests a host has had.
    pub fn request_count(&self, host: &str) -> u64 {
        self.state().journal.count(host)
    }

    /// Forgets the requests so far and starts counting anew.
    pub fn clear_requests(&self) {
        self.state().journal.clear();
    }

    /// The social activities of an organisation, ordered by id.
    pub fn activities(&self, organization: Uuid) -> Vec<ActivityView> {
        let now = self.now();
        let mut state = self.state();
        let data = state.organisation(organization);
        conversion::settle(data, now);
        let view = |(id, row): (Uuid, &Row)| ActivityView {
            id,
            post_id: row.text("postid").map(str::to_owned),
            regarding: row.regarding().cloned(),
            values: row.values.clone(),
        };
        data.rows(ACTIVITY).map(view).collect()
    }

    /// Ids of the rows of a table in an organisation.
    pub fn records(&self, organization: Uuid, table: &str) -> Vec<Uuid> {
        let now = self.now();
        let mut state = self.state();
        let data = state.organisation(organization);
        conversion::settle(data, now);
        data.rows(table).map(|(id, _)| id).collect()
    }

    /// Lets the next `times` requests to `host` fail.
    pub fn inject(&self, host: &str, fault: Fault, times: u32) {
        self.arm(host, fault, times, None);
    }

    /// As [`World::inject`], for requests whose `METHOD path?query` contains `only`.
    pub fn inject_for(&self, host: &str, only: &str, fault: Fault, times: u32) {
        self.arm(host, fault, times, Some(only.to_owned()));
    }

    fn arm(&self, host: &str, fault: Fault, times: u32, only: Option<String>) {
        if times > 0 {
            self.state().faults.push(ArmedFault { host: host.to_owned(), fault, times, only });
        }
    }

    /// Disarms every fault that has not struck yet.
    pub fn clear_faults(&self) {
        self.state().faults.clear();
    }

    /// Lets all requests go on that [`Fault::Hang`] holds.
    pub fn release_hanging(&self) {
        self.inner.released.send_modify(|generation| *generation += 1);
    }

    /// Makes every token invalid.
    pub fn revoke_tokens(&self) {
        self.state().tokens.revoke_all();
    }

    /// Requests to `host` that are not answered yet.
    pub fn in_flight(&self, host: &str) -> u32 {
        self.state().in_flight.get(host).copied().unwrap_or(0)
    }

    /// Waits until exactly `count` requests to `host` are unanswered.
    pub async fn until_in_flight(&self, host: &str, count: u32) {
        loop {
            let mut told = std::pin::pin!(self.inner.traffic.notified());
            told.as_mut().enable();
            if self.in_flight(host) == count {
                return;
            }
            told.await;
        }
    }
}

fn add_records(
    data: &mut OrganisationData,
    spec: &SimulatedInstanceSpec,
    instance: Option<&Arc<Instance>>,
    now: Timestamp,
) {
    for record in &spec.records {
        // A row somebody deleted stays deleted, although the document still lists it.
        let gone = data.was_deleted(&record.table, record.id);
        if gone || data.get(&record.table, record.id).is_some() {
            continue;
        }
        let mut row = Row::default();
        let table = instance.and_then(|instance| instance.catalogue.table(&record.table));
        if let Some((column, name)) = table.and_then(|t| t.primary_name.clone()).zip(record.name.clone()) {
            row.values.insert(column, name.into());
        }
        row.values.insert("statecode".to_owned(), 0.into());
        data.put(&record.table, record.id, row, now);
    }
}
