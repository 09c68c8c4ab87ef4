//! The controller where timing decides: caches that are behind, creations under way, leases.
#![allow(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

mod election;
mod far_times;
mod in_flight;
mod live_list;
mod outage;
mod second_thoughts;
mod watch_ends;

use crate::{
    contoso::{HOST, INSTANCE},
    history::Replay,
    scenario_runner::described,
};
use jiff::SignedDuration;
use kube::{
    Api,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
};
use kube_memory::{FaultInjector, UserInfo};
use postlink::{
    api::names::RECONCILE_REQUESTED,
    controller::{Controller, MayCreate, Settings},
    local::{
        apply::Applier,
        session::{Applicant, Session, Wiring},
        settle::settle,
        tree::{Id, Tree},
    },
    manifests::parse,
    telemetry::Metrics,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

/// The connection to the instance.
const CONNECTION: &str = r"---
apiVersion: postlink.dev/v1alpha1
kind: DynamicsConnection
metadata: {name: contoso}
spec: {instanceUrl: 'https://contoso.crm.dynamics.com', credentials: {secretRef: {name: contoso}}}
";

/// A session whose connection is Enabled, driven step by step.
struct Scene {
    session: Session,
    /// Faults between the session's controller and the API.
    line: FaultInjector,
    replay: Mutex<Replay>,
}

impl Scene {
    /// Applies the connection and `more` as one commit, and settles it.
    async fn start(more: &str) -> Self {
        let line = FaultInjector::new();
        let wiring = Wiring { in_memory: true, line: Some(line.clone()) };
        let session =
            Session::wired(Applicant::Tool, &BTreeSet::from([HOST.to_owned()]), &wiring).await.unwrap();
        let loaded = parse(Path::new("scene.yaml"), &format!("{INSTANCE}{CONNECTION}{more}"));
        assert!(loaded.errors.is_empty(), "{:?}", loaded.errors);
        let tree = Tree::of(loaded.documents, &loaded.errors);
        let report = Applier::default().commit(&session, &tree).await.unwrap();
        assert_eq!(report.problems, [""; 0]);
        let scene = Self { session, line, replay: Mutex::default() };
        assert_eq!(scene.connection()["status"]["state"], "Enabled");
        scene
    }

    /// A second controller on the same API, with its own caches: another one that takes itself for the leader, or the
    /// successor if the first one has lost its connection to the API.
    fn another_controller(
        &self,
        line: &FaultInjector,
        may_create: MayCreate,
        predecessor: Option<Duration>,
    ) -> Controller {
        let Session { api, world, clock, .. } = &self.session;
        let (now, connect) = (clock.clone(), world.connector());
        let dial: dataverse_client::InMemoryDial = Arc::new(move |host| Ok(connect(host)));
        let config = dataverse_client::Config {
            transport: dataverse_client::Transport::InMemory(dial),
            clock: Arc::new(move || now.now()),
            ..dataverse_client::Config::default()
        };
        Controller::start(Settings {
            client: api
                .client_with_faults(UserInfo::new("system:serviceaccount:postlink-system:postlink"), line),
            dataverse: dataverse_client::Client::new(&config).unwrap(),
            clock: clock.clone(),
            namespaces: Vec::new(),
            concurrency: 4,
            may_create,
            predecessor,
            metrics: Metrics::new(),
        })
    }

    fn stored(&self, kind: &str, name: &str) -> Option<Arc<Value>> {
        self.session.api.get(kind, "default", name)
    }

    /// The number of creation requests that the instance has received.
    fn creations(&self) -> usize {
        self.session.world.requests().iter().filter(|request| request.method == "PATCH").count()
    }

    /// The `Linked` condition of a link.
    fn linked(&self, link: &str) -> String {
        self.stored("PostLink", link).map_or_else(String::new, |link| condition(&link, "Linked"))
    }

    fn connection(&self) -> Arc<Value> {
        self.stored("DynamicsConnection", "contoso").expect("the connection is there")
    }

    /// Whether the controller has reconciled the connection since its spec or its deletion was last written.
    fn has_looked(&self) -> bool {
        let Some(connection) = self.stored("DynamicsConnection", "contoso") else { return true };
        connection["status"]["observedGeneration"] == connection["metadata"]["generation"]
    }

    fn api(&self, kind: &str) -> Api<DynamicObject> {
        let id = Id {
            api_version: "postlink.dev/v1alpha1".to_owned(),
            kind: kind.to_owned(),
            namespace: "default".to_owned(),
            name: String::new(),
        };
        Api::default_namespaced_with(self.session.applicant.clone(), &id.resource())
    }

    async fn create(&self, kind: &str, name: &str, spec: Value) {
        let object = json!({"apiVersion": "postlink.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec});
        let object = serde_json::from_value(object).unwrap();
        self.api(kind).create(&PostParams::default(), &object).await.unwrap();
    }

    /// A post with a link by hand through the connection.
    async fn create_link(&self, name: &str) {
        let post = json!({"url": format!("https://social.example/{name}"), "id": name});
        let spec = json!({"post": post, "link": {"connectionRef": {"name": "contoso"}}});
        self.create("PostLink", name, spec).await;
    }

    async fn edit(&self, kind: &str, name: &str, patch: Value) {
        self.api(kind).patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// Requests a reconcile; of a connection, a probe.
    async fn request(&self, kind: &str, name: &str, value: &str) {
        self.edit(kind, name, json!({"metadata": {"annotations": {RECONCILE_REQUESTED: value}}})).await;
    }

    async fn delete(&self, kind: &str, name: &str) {
        self.api(kind).delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// Waits for a condition. Meanwhile the clocks advance by less than any interval between periodic reconciles.
    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        const STEP: Duration = Duration::from_millis(20);
        for _ in 0..600 {
            if holds(self) {
                return;
            }
            tokio::time::sleep(STEP).await;
            let clock = &self.session.clock;
            clock.move_to(clock.now() + SignedDuration::try_from(STEP).unwrap());
        }
        let all =
            ["DynamicsConnection", "AutomationRule", "PostLink"].map(|kind| self.session.api.objects(kind));
        let all: Vec<String> = all.iter().flatten().take(10).map(|object| described(object)).collect();
        panic!("it did not come to this: {what}\n{}", all.join("\n"));
    }

    async fn settle(&self) {
        settle(&self.session).await.unwrap();
    }

    /// Checks that no revision since the last call breaks §4.
    fn assert_unbroken(&self) {
        assert_eq!(self.replay.lock().unwrap().broken(&self.session.api), [""; 0]);
    }
}

/// Status and reason of a condition, as `True/Reserved`; nothing when it is not there.
fn condition(object: &Value, type_: &str) -> String {
    let Some(found) = crate::scenario_runner::condition(object, type_) else { return String::new() };
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    format!("{}/{}", text("status"), text("reason"))
}
