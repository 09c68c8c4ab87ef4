//! A Kubernetes-shaped API in memory, handed to `kube::Client` as a tower service.
//!
//! The controller that runs against a cluster runs against this, unchanged. It
//! answers as a kube-apiserver 1.36 does: status codes, `Status` objects word for word, resource versions,
//! generations, finalizers, managed fields. It is a development tool: nothing is authenticated, authorised or kept.
//!
//! What it leaves out: authorisation, garbage collection by owner (`propagationPolicy` is accepted), the hour after
//! which events expire, Tables, protobuf, aggregated discovery, `/scale`, strategic merge patches (read as merge
//! patches, built-in kinds only), the full validation of built-in kinds.

mod admission;
mod answer;
mod built_in;
mod built_in_schemas;
mod core;
mod delete;
mod discovery;
mod faults;
mod field_set;
mod field_types;
mod history;
mod http_layer;
mod label_selector;
mod list;
mod managed_fields;
mod metadata;
mod names;
mod namespaces;
mod patch;
mod quiet;
mod request_options;
mod resource;
mod route;
pub mod schema;
mod schema_admission;
mod selector;
mod serve;
mod store;
mod token;
mod update;
mod watching;
mod write;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

pub use admission::{Admission, AdmissionRequest, Denial, Operation, Permissive, Verdict};
pub use answer::{Cause, FieldError, Refusal};
pub use faults::{CrashPoint, Cut, Fault, Line, RequestInfo};
pub use history::{ObjectKey, Revision};
pub use http_layer::{ApiBody, ApiService};
pub use names::name_faults_of;
pub use quiet::{Quiet, WatchState};
pub use resource::{Resource, SelectableField};
pub use schema_admission::SchemaAdmission;
pub use serve::serve;
pub use store::{Actor, Verb};

use self::core::Core;
use resource::Catalogue;

/// Where the API gets the time from. Metadata shows whole seconds of it.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Why an API could not be made or restored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no conversion between versions here.
    #[error("the definition of {plural} serves more or fewer than one version; serve exactly one")]
    Versions {
        /// The definition.
        plural: String,
    },
    /// A schema that is no JSON.
    #[error("the schema of {plural} cannot be read: {source}")]
    Definition {
        /// The definition.
        plural: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A saved object of a kind that is not served.
    #[error(
        "the saved object {kind} {name:?} is of a kind this API does not serve; remove it or add its definition"
    )]
    UnknownKind {
        /// `apiVersion/kind` as saved.
        kind: String,
        /// Its name.
        name: String,
    },
}

/// How an API is made.
#[derive(Clone)]
pub struct Options {
    /// Names the run: uids, generated names and the order in which namespaces are emptied follow from it.
    pub seed: u64,
    /// The clock.
    pub clock: Clock,
    /// The schema work and the policies.
    pub admission: Arc<dyn Admission>,
    /// How many writes the log keeps; older watches and list pages get 410. `None` keeps every revision.
    pub keep_revisions: Option<usize>,
    /// Whether `managedFields` are kept. Without them objects are half the size, and server-side apply merges but
    /// never removes a field.
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
    /// The system's clock, seed 0, a permissive admission, the complete history, managed fields kept.
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

/// One API server in memory. Clones are the same server.
#[derive(Clone)]
pub struct MemoryApi {
    core: Arc<Core>,
}

impl std::fmt::Debug for MemoryApi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryApi").field("revision", &self.revision()).finish_non_exhaustive()
    }
}

impl MemoryApi {
    /// A server with the built-in kinds, the kinds of `crds`, and the four namespaces every cluster has.
    ///
    /// # Errors
    /// A definition that cannot be served.
    pub fn new(crds: &[CustomResourceDefinition], options: Options) -> Result<Self, Error> {
        let api = Self::empty(crds, options)?;
        namespaces::bootstrap(&api.core);
        Ok(api)
    }

    fn empty(crds: &[CustomResourceDefinition], options: Options) -> Result<Self, Error> {
        let catalogue = Catalogue::new(crds)?;
        let Options { seed, clock, admission, keep_revisions, managed_fields } = options;
        let core = Core::new(catalogue, admission, clock, seed, managed_fields, keep_revisions);
        Ok(Self { core: Arc::new(core) })
    }

    /// A server with the objects of an earlier one, as [`MemoryApi::save`] gave them. The history starts anew.
    ///
    /// # Errors
    /// A definition that cannot be served, or an object of a kind that is not.
    pub fn restore(
        crds: &[CustomResourceDefinition],
        options: Options,
        saved: &Saved,
    ) -> Result<Self, Error> {
        let api = Self::empty(crds, options)?;
        let mut state = api.core.state();
        for object in &saved.objects {
            let api_version = object["apiVersion"].as_str().unwrap_or_default();
            let kind = object["kind"].as_str().unwrap_or_default();
            let resource = api
                .core
                .catalogue
                .all()
                .iter()
                .find(|r| r.kind == kind && r.api_version() == api_version && !r.core_event)
                .ok_or_else(|| Error::UnknownKind {
                    kind: format!("{api_version}/{kind}"),
                    name: metadata::text(object, "name").to_owned(),
                })?;
            let name = metadata::text(object, "name");
            let key = write::key(resource, metadata::text(object, "namespace"), name);
            let terminating = !metadata::text(object, "deletionTimestamp").is_empty();
            if terminating && kind == "Namespace" && !resource.custom {
                state.terminating.insert(name.to_owned());
            }
            state.store.restore(resource, &key, object);
        }
        state.store.advance(saved.revision);
        state.resume_uids(saved.uids);
        api.core.publish(state);
        Ok(api)
    }

    /// Everything needed to go on later: the objects, the revision, the uid counter. Not the history.
    pub fn save(&self) -> Saved {
        let state = self.core.state();
        let objects = (0..self.core.catalogue.stores)
            .flat_map(|store| state.store.range(store, "", "").map(|(_, stored)| stored.value()))
            .collect();
        Saved { objects, revision: state.store.revision(), uids: state.uids() }
    }

    /// A client that acts as `actor`. Must be called inside a tokio runtime.
    pub fn client(&self, actor: Actor) -> kube::Client {
        kube::Client::new(self.service(actor), "default")
    }

    /// A client whose requests go over `line`, which can break them. Must be called inside a tokio runtime.
    pub fn client_over(&self, actor: Actor, line: &Line) -> kube::Client {
        kube::Client::new(self.service_over(actor, line), "default")
    }

    /// The tower service behind [`MemoryApi::client`], for layers of one's own or for [`serve`].
    pub fn service(&self, actor: Actor) -> ApiService {
        ApiService::new(self.core.clone(), actor, None)
    }

    /// The tower service behind [`MemoryApi::client_over`].
    pub fn service_over(&self, actor: Actor, line: &Line) -> ApiService {
        ApiService::new(self.core.clone(), actor, Some(line.clone()))
    }

    /// The latest revision.
    pub fn revision(&self) -> u64 {
        self.core.state().store.revision()
    }

    /// The revision of the latest write to a kind (`Widget`), 0 when there was none or the kind is not served.
    pub fn latest(&self, kind: &str) -> u64 {
        self.core.catalogue.by_kind(kind).map_or(0, |r| self.core.state().store.latest(r.store))
    }

    /// The object of a kind, as it is now. The namespace is ignored for cluster-wide kinds.
    pub fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let resource = self.core.catalogue.by_kind(kind)?;
        let state = self.core.state();
        let stored = state.store.get(resource.store, &write::key(resource, namespace, name))?;
        Some(Arc::new(stored.value()))
    }

    /// All objects of a kind, by namespace and name. Events are given in the shape of `events.k8s.io`.
    pub fn objects(&self, kind: &str) -> Vec<Arc<Value>> {
        let Some(resource) = self.core.catalogue.by_kind(kind) else { return Vec::new() };
        let stored: Vec<_> = {
            let state = self.core.state();
            state.store.range(resource.store, "", "").map(|(_, stored)| stored.clone()).collect()
        };
        stored.iter().map(|stored| Arc::new(stored.value())).collect()
    }

    /// How many objects of a kind there are.
    pub fn count(&self, kind: &str) -> usize {
        self.core.catalogue.by_kind(kind).map_or(0, |r| self.core.state().store.len(r.store))
    }

    /// Every write that is still in the log, oldest first: a snapshot, taken now.
    pub fn history(&self) -> impl Iterator<Item = Revision> + use<> {
        let records: Vec<_> = self.core.state().store.log().cloned().collect();
        let core = self.core.clone();
        records.into_iter().map(move |record| Revision::new(&core, &record))
    }

    /// The writes after `revision`, oldest first; empty when some of them are compacted away.
    pub fn history_since(&self, revision: u64) -> impl Iterator<Item = Revision> + use<> {
        let records: Vec<_> =
            self.core.state().store.since(revision).map(|r| r.cloned().collect()).unwrap_or_default();
        let core = self.core.clone();
        records.into_iter().map(move |record| Revision::new(&core, &record))
    }

    /// Forgets the writes at or below `revision`: watches and list pages that need them get 410.
    pub fn compact(&self, revision: u64) {
        self.core.state().store.compact(revision);
        self.core.wake_watches();
    }

    /// The kinds served.
    pub fn resources(&self) -> &[Resource] {
        self.core.catalogue.all()
    }

    /// What is under way now.
    pub fn quiet(&self) -> Quiet {
        Quiet::of(&self.core)
    }

    /// Waits until nothing is under way: no request unanswered, every open watch read to the end. A watch held by
    /// its [`Line`], or one nobody reads, keeps it waiting for ever: put a limit around it.
    pub async fn wait_quiet(&self) {
        let mut activity = self.core.activity();
        loop {
            activity.mark_unchanged();
            if self.quiet().is_quiet() {
                return;
            }
            if activity.changed().await.is_err() {
                return;
            }
        }
    }

    /// Waits until the store has reached `revision`.
    pub async fn wait_revision(&self, revision: u64) {
        let mut revisions = self.core.revisions();
        // The sender lives in `self.core`, so the wait cannot fail.
        let _ = revisions.wait_for(|known| *known >= revision).await;
    }
}

/// The content of a server between two runs.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Saved {
    /// Every object, metadata and all.
    pub objects: Vec<Value>,
    /// The latest revision.
    pub revision: u64,
    /// How many uids were given out, so that no uid comes twice.
    pub uids: u64,
}
