//! [`MemoryApi`]: one API server in memory, and its options.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

use crate::activity::Activity;
use crate::admission::{Admission, Permissive};
use crate::error::SetupError;
use crate::faults::FaultInjector;
use crate::history::HistoryEntry;
use crate::metadata;
use crate::namespace_controller::{bootstrap, publish};
use crate::resource::{Registry, Resource};
use crate::server::{Clock, Server};
use crate::service::ApiService;
use crate::user_info::UserInfo;

/// Options of a [`MemoryApi`].
#[derive(Clone)]
pub struct Options {
    /// Seed of uids, generated names and the order in which namespaces are emptied. The same seed and the same requests
    /// give the same objects.
    pub seed: u64,
    /// The source of time, for instance a clock that a test moves.
    pub clock: Clock,
    /// Schemas and policies. [`SchemaAdmission`](crate::SchemaAdmission) does what an API server does.
    pub admission: Arc<dyn Admission>,
    /// How many writes the history keeps. Watches and list pages that need older ones get 410. `None` keeps all.
    pub keep_revisions: Option<usize>,
    /// Whether `managedFields` are kept. Without them objects take about half the memory, but server-side apply never
    /// removes a field.
    pub managed_fields: bool,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("seed", &self.seed)
            .field("keep_revisions", &self.keep_revisions)
            .field("managed_fields", &self.managed_fields)
            .finish_non_exhaustive()
    }
}

impl Default for Options {
    /// The system clock, seed 0, [`Permissive`] admission, the whole history, managed fields kept.
    fn default() -> Self {
        Self {
            seed: 0,
            clock: Arc::new(Timestamp::now),
            admission: Arc::new(Permissive),
            keep_revisions: None,
            managed_fields: true,
        }
    }
}

/// A Kubernetes API server in memory. Clones share the server.
#[derive(Clone)]
pub struct MemoryApi {
    server: Arc<Server>,
}

impl std::fmt::Debug for MemoryApi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryApi").field("revision", &self.revision()).finish_non_exhaustive()
    }
}

impl MemoryApi {
    /// A server for the built-in kinds and those of `crds`, with the four namespaces every cluster has.
    ///
    /// # Errors
    /// When a CRD does not serve exactly one version.
    pub fn new(crds: &[CustomResourceDefinition], options: Options) -> Result<Self, SetupError> {
        let api = Self::empty(crds, options)?;
        bootstrap(&api.server);
        Ok(api)
    }

    fn empty(crds: &[CustomResourceDefinition], options: Options) -> Result<Self, SetupError> {
        let registry = Registry::new(crds)?;
        let Options { seed, clock, admission, keep_revisions, managed_fields } = options;
        let server = Server::new(registry, admission, clock, seed, managed_fields, keep_revisions);
        Ok(Self { server: Arc::new(server) })
    }

    /// A server with the objects of an earlier one, from [`MemoryApi::save`]. Its history is empty.
    ///
    /// # Errors
    /// When a CRD does not serve exactly one version, or when an object is of a kind that is not served.
    pub fn restore(
        crds: &[CustomResourceDefinition],
        options: Options,
        saved: &Saved,
    ) -> Result<Self, SetupError> {
        let api = Self::empty(crds, options)?;
        let mut state = api.server.state();
        for object in &saved.objects {
            let api_version = object["apiVersion"].as_str().unwrap_or_default();
            let kind = object["kind"].as_str().unwrap_or_default();
            let resource = api
                .server
                .registry
                .all()
                .iter()
                .find(|r| r.kind == kind && r.api_version() == api_version && !r.core_event)
                .ok_or_else(|| SetupError::UnknownKind {
                    kind: format!("{api_version}/{kind}"),
                    name: metadata::text(object, "name").to_owned(),
                })?;
            let name = metadata::text(object, "name");
            let key = resource.key(metadata::text(object, "namespace"), name);
            let terminating = !metadata::text(object, "deletionTimestamp").is_empty();
            if terminating && kind == "Namespace" && !resource.custom {
                state.terminating.insert(name.to_owned());
            }
            state.store.restore(resource, &key, object);
        }
        state.store.advance(saved.revision);
        state.resume_uids(saved.uids);
        publish(&api.server, state);
        Ok(api)
    }

    /// The state for [`MemoryApi::restore`]: objects, revision and uid counter, without the history.
    pub fn save(&self) -> Saved {
        let state = self.server.state();
        let objects = (0..self.server.registry.stores)
            .flat_map(|store| state.store.range(store, "", "").map(|(_, stored)| stored.value()))
            .collect();
        Saved { objects, revision: state.store.revision(), uids: state.uids() }
    }

    /// A client that acts as `user`, with the default namespace `default`. Call it inside a Tokio runtime.
    pub fn client(&self, user: UserInfo) -> kube::Client {
        kube::Client::new(self.service(user), "default")
    }

    /// As [`MemoryApi::client`], with faults injected into its requests and watches.
    pub fn client_with_faults(&self, user: UserInfo, faults: &FaultInjector) -> kube::Client {
        kube::Client::new(self.service_with_faults(user, faults), "default")
    }

    /// The tower service behind [`MemoryApi::client`], to add layers or for [`serve`](crate::serve).
    pub fn service(&self, user: UserInfo) -> ApiService {
        ApiService::new(self.server.clone(), user, None)
    }

    /// The tower service behind [`MemoryApi::client_with_faults`].
    pub fn service_with_faults(&self, user: UserInfo, faults: &FaultInjector) -> ApiService {
        ApiService::new(self.server.clone(), user, Some(faults.clone()))
    }

    /// The revision of the latest write: the `resourceVersion` of a list.
    pub fn revision(&self) -> u64 {
        self.server.state().store.revision()
    }

    /// The revision of the latest write to objects of a kind, such as `Secret`. 0 when there was none.
    pub fn latest_revision(&self, kind: &str) -> u64 {
        self.server.registry.by_kind(kind).map_or(0, |r| self.server.state().store.latest(r.store))
    }

    /// The current state of an object. The namespace is ignored for cluster-scoped kinds.
    pub fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let resource = self.server.registry.by_kind(kind)?;
        let state = self.server.state();
        let stored = state.store.get(resource.store, &resource.key(namespace, name))?;
        Some(Arc::new(stored.value()))
    }

    /// All objects of a kind, ordered by namespace and name. Events have the shape of `events.k8s.io`.
    pub fn objects(&self, kind: &str) -> Vec<Arc<Value>> {
        let Some(resource) = self.server.registry.by_kind(kind) else { return Vec::new() };
        let stored: Vec<_> = {
            let state = self.server.state();
            state.store.range(resource.store, "", "").map(|(_, stored)| stored.clone()).collect()
        };
        stored.iter().map(|stored| Arc::new(stored.value())).collect()
    }

    /// The number of objects of a kind.
    pub fn count(&self, kind: &str) -> usize {
        self.server.registry.by_kind(kind).map_or(0, |r| self.server.state().store.len(r.store))
    }

    /// The writes in the history, oldest first.
    pub fn history(&self) -> impl Iterator<Item = HistoryEntry> + use<> {
        let entries: Vec<_> = self.server.state().store.log().cloned().collect();
        let server = self.server.clone();
        entries.into_iter().map(move |entry| HistoryEntry::new(&server.registry, &entry))
    }

    /// The writes after `revision`, oldest first. Empty when some of them are compacted.
    pub fn history_since(&self, revision: u64) -> impl Iterator<Item = HistoryEntry> + use<> {
        let entries: Vec<_> =
            self.server.state().store.since(revision).map(|r| r.cloned().collect()).unwrap_or_default();
        let server = self.server.clone();
        entries.into_iter().map(move |entry| HistoryEntry::new(&server.registry, &entry))
    }

    /// Compacts the history up to and including `revision`. Watches and list pages that need it get 410.
    pub fn compact(&self, revision: u64) {
        self.server.state().store.compact(revision);
        self.server.wake_watches();
    }

    /// The kinds this API serves.
    pub fn resources(&self) -> &[Resource] {
        self.server.registry.all()
    }

    /// A snapshot of the requests in flight and the open watches.
    pub fn activity(&self) -> Activity {
        self.server.snapshot()
    }

    /// Waits until the API is idle: no request in flight, and every open watch read up to the latest revision.
    ///
    /// It never returns while a watch is not read, or withheld by a [`FaultInjector`]: put a timeout around it.
    pub async fn wait_idle(&self) {
        let mut changes = self.server.activity.changes();
        loop {
            changes.mark_unchanged();
            if self.activity().is_idle() {
                return;
            }
            if changes.changed().await.is_err() {
                return;
            }
        }
    }
}

/// The state of a [`MemoryApi`], to be stored between two runs.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Saved {
    /// All objects, with their metadata.
    pub objects: Vec<Value>,
    /// The latest resourceVersion, as a number.
    pub revision: u64,
    /// How many uids were given out, so that none is given out twice.
    pub uids: u64,
}
