//! Applies a commit as a GitOps tool does: server-side apply of every object, then prune.

use super::{
    api_errors,
    session::Session,
    settle::{Unsettled, settle},
    simulated_defaults::allowed_host_of,
    spec,
    tree::{Id, Item, Tree, connections},
};
use dataverse_simulator::SimulatedInstance;
use k8s_openapi::{
    api::core::v1::{Namespace, ServiceAccount},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams, ValidationDirective},
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What happened to one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Did {
    Created,
    Configured,
    Deleted,
    /// It is still there, because something keeps it.
    DeletionRequested,
}

/// What applying a commit did.
#[derive(Default)]
pub struct Report {
    /// The changes, in order.
    pub done: Vec<(Did, Id)>,
    /// The number of objects that did not change.
    pub unchanged: usize,
    /// Errors, each beginning with its place in the files.
    pub problems: Vec<String>,
    /// Warnings of the API server, and of what it accepts.
    pub warnings: Vec<String>,
    /// Objects or kinds, and their fields, that `problems` and `warnings` name beyond the API server's own.
    found: BTreeSet<(String, String)>,
}

impl Report {
    /// What else is wrong with an object. `faults` are the API server's, which may be about the same fields.
    fn add_findings(&mut self, item: &Item, faults: &[(String, String)]) {
        let said = |field: &str| {
            faults
                .iter()
                .any(|(of, _)| !["", "spec"].contains(&of.as_str()) && field.starts_with(of.as_str()))
        };
        for finding in spec::findings(item).into_iter().filter(|finding| !said(&finding.field)) {
            // An object can be applied twice; and what is harmless is said once for all objects of a kind.
            let of = if finding.harmless { item.id.kind.clone() } else { item.id.to_string() };
            if !self.found.insert((of, finding.field.clone())) {
                continue;
            }
            let lines = if finding.harmless { &mut self.warnings } else { &mut self.problems };
            lines.push(item.says(&finding.field, &finding.message));
        }
    }
}

/// Applies commits, and remembers what to prune.
#[derive(Default)]
pub struct Applier {
    applied: BTreeSet<Id>,
    instances: Vec<SimulatedInstance>,
    /// Hosts without a simulated instance that a warning has named.
    named_hosts: BTreeSet<String>,
    /// Prune before applying, as Argo CD does within a wave.
    pub prune_first: bool,
}

impl Applier {
    /// Applies a commit's tree, prunes what is no longer in it, and waits until everything has settled.
    pub async fn commit(&mut self, session: &Session, tree: &Tree) -> Result<Report, Unsettled> {
        // Every probe may be due. Their results must depend on the whole commit, not on the order of its objects.
        session.controller.quiescence().hold_instances();
        let mut report = Report::default();
        report.problems.extend(tree.problems.iter().cloned());
        self.simulate(tree);
        match session.world.apply(&self.instances) {
            Ok(warnings) => report.warnings.extend(warnings.iter().map(ToString::to_string)),
            Err(error) => report.problems.push(error.to_string()),
        }
        let declared = |name: &str| tree.items.iter().any(|i| i.id.kind == "Namespace" && i.id.name == name);
        for namespace in tree.namespaces().iter().filter(|name| !declared(name)) {
            ensure_namespace(session, namespace).await;
        }
        let wanted: BTreeSet<Id> = tree.items.iter().map(|i| i.id.clone()).collect();
        let mut unwanted: Vec<Id> =
            self.applied.iter().rev().filter(|id| !wanted.contains(id)).cloned().collect();
        // Last what the others need: with its namespace, a connection would go although rules use it.
        unwanted.sort_by_key(|id| id.api_version == "v1");
        keep_namespaces_in_use(&mut unwanted, tree, &mut report);
        if !tree.problems.is_empty() {
            keep(&mut unwanted, "cannot be read", &mut report);
        }
        if self.prune_first {
            self.prune(session, &std::mem::take(&mut unwanted), &mut report).await;
        }
        let (mut unapplied, mut refused) = (Vec::new(), None);
        for item in &tree.items {
            let why = match self.apply(session, item, &mut report).await {
                Applied::Stored => continue,
                Applied::Denied => "is denied",
                Applied::Invalid => "is not valid",
            };
            unapplied.push(item);
            refused = Some(why);
        }
        if let Some(why) = refused {
            keep(&mut unwanted, why, &mut report);
        }
        self.warn_of_missing_instances(tree, &unapplied, &mut report);
        self.prune(session, &unwanted, &mut report).await;
        session.controller.quiescence().release_instances();
        settle(session).await?;

        // A blocked deletion of an object of this commit completed in the meantime: a tool would apply the object again.
        let lost: Vec<&Item> = tree
            .items
            .iter()
            .filter(|i| !unapplied.iter().any(|u| u.id == i.id))
            .filter(|i| session.api.get(&i.id.kind, &i.id.namespace, &i.id.name).is_none())
            .collect();
        if !lost.is_empty() {
            for item in lost {
                if !item.id.namespace.is_empty() {
                    ensure_namespace(session, &item.id.namespace).await;
                }
                self.apply(session, item, &mut report).await;
            }
            settle(session).await?;
        }
        for (did, id) in report.done.iter_mut().filter(|(did, _)| *did == Did::Deleted) {
            if session.api.get(&id.kind, &id.namespace, &id.name).is_some() {
                *did = Did::DeletionRequested;
            }
        }
        Ok(report)
    }

    /// Warns once of each host that no simulated instance has: its connection looks as if the instance were down.
    fn warn_of_missing_instances(&mut self, tree: &Tree, unapplied: &[&Item], report: &mut Report) {
        let applied = |item: &&Item| !unapplied.iter().any(|other| other.id == item.id);
        for item in connections(&tree.items).filter(applied) {
            let url = item.document.value.pointer("/spec/instanceUrl").and_then(Value::as_str);
            let Some(host) = url.and_then(allowed_host_of) else { continue };
            if self.instances.iter().any(|instance| instance.spec.host.eq_ignore_ascii_case(&host)) {
                continue;
            }
            if self.named_hosts.insert(host.clone()) {
                report.warnings.push(format!(
                    "{}: {}: no SimulatedInstance has the host {host}, so it cannot be reached; correct spec.instanceUrl, or add an instance as in examples/quickstart/simulated/instance.yaml",
                    item.document.place("spec.instanceUrl"),
                    item.id
                ));
            }
        }
    }

    /// Takes over the simulated instances of a commit. If a part of it cannot be read, the instances missing from it stay as
    /// they were, and their `changes` are not applied again.
    fn simulate(&mut self, tree: &Tree) {
        let mut kept = std::mem::take(&mut self.instances);
        let again = |kept: &SimulatedInstance| {
            tree.instances.iter().any(|new| new.name == kept.name || new.spec.host == kept.spec.host)
        };
        kept.retain(|instance| !tree.problems.is_empty() && !again(instance));
        for instance in &mut kept {
            instance.spec.changes.clear();
        }
        kept.extend(tree.instances.iter().cloned());
        self.instances = kept;
    }

    async fn apply(&mut self, session: &Session, item: &Item, report: &mut Report) -> Applied {
        let id = &item.id;
        let before = session.api.get(&id.kind, &id.namespace, &id.name);
        let mut object = item.document.value.clone();
        if !id.namespace.is_empty() {
            object["metadata"]["namespace"] = json!(id.namespace);
        }
        // An exported object. Its status, applied, would be taken for the controller's; its other fields are those of a
        // server on which the object was another one, and kubectl's create leaves them to the server, too.
        if let Some(fields) = object.as_object_mut() {
            fields.remove("status");
        }
        if let Some(fields) = object["metadata"].as_object_mut() {
            fields.retain(|name, _| !SET_BY_THE_SERVER.contains(&name.as_str()));
        }
        let params = PatchParams::apply("postlink-local").force().validation(ValidationDirective::Strict);
        let answer = api(session, id).patch(&id.name, &params, &Patch::Apply(&object)).await;
        let place = item.document.place("");
        let warnings = session.warnings.take().into_iter();
        report.warnings.extend(warnings.map(|warning| format!("{place}: {id}: {warning}")));
        match answer {
            Ok(after) => {
                if id.kind == "Namespace" {
                    ensure_service_account(session, &id.name).await;
                }
                report.add_findings(item, &[]);
                self.applied.insert(id.clone());
                match before {
                    None => report.done.push((Did::Created, id.clone())),
                    Some(before) if is_unchanged(&before, after) => report.unchanged += 1,
                    Some(_) => report.done.push((Did::Configured, id.clone())),
                }
                Applied::Stored
            }
            Err(error) => {
                // It is still wanted, so it is not pruned when it was there before.
                if before.is_some() {
                    self.applied.insert(id.clone());
                }
                let faults = api_errors::faults(&item.document, id, &error);
                report.problems.extend(faults.iter().map(|(field, why)| item.says(field, why)));
                report.add_findings(item, &faults);
                match &error {
                    kube::Error::Api(status) if status.code == 403 => Applied::Denied,
                    _ => Applied::Invalid,
                }
            }
        }
    }

    async fn prune(&mut self, session: &Session, unwanted: &[Id], report: &mut Report) {
        for id in unwanted {
            let answer = api(session, id).delete(&id.name, &DeleteParams::default()).await;
            let warnings = session.warnings.take().into_iter();
            report.warnings.extend(warnings.map(|warning| format!("{id}: {warning}")));
            match answer {
                Ok(_) => {
                    report.done.push((Did::Deleted, id.clone()));
                    self.applied.remove(id);
                }
                Err(kube::Error::Api(status)) if status.code == 404 => {
                    self.applied.remove(id);
                }
                Err(error) => report.problems.push(format!("{id}: {}", message_of(&error))),
            }
        }
    }
}

/// Fields of `metadata` in what `kubectl get -o yaml` prints.
const SET_BY_THE_SERVER: [&str; 8] = [
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// How the apply of one object ended.
enum Applied {
    Stored,
    /// By an admission policy.
    Denied,
    /// Flux would have noticed it in a dry run of the whole commit.
    Invalid,
}

/// No tool prunes when a part of the commit is missing: a typo must not delete a connection and its links.
fn keep(unwanted: &mut Vec<Id>, why: &str, report: &mut Report) {
    if unwanted.is_empty() {
        return;
    }
    let names: Vec<String> = unwanted.drain(..).map(|id| id.to_string()).collect();
    let names = names.join(", ");
    report.warnings.push(format!(
        "nothing is deleted, because part of this commit {why}; missing in the rest, and kept: {names}"
    ));
}

/// A Namespace that a commit no longer has, although it has objects in it. A tool deletes the Namespace with all of them.
fn keep_namespaces_in_use(unwanted: &mut Vec<Id>, tree: &Tree, report: &mut Report) {
    let in_use = tree.namespaces();
    unwanted.retain(|id| {
        let used = id.kind == "Namespace" && in_use.contains(&id.name);
        if used {
            report.problems.push(format!(
                "{id} is no longer in the files, but objects in it are: a tool would delete the Namespace with all of them. Add it again, or remove the objects, too."
            ));
        }
        !used
    });
}

/// Whether an apply changed nothing that a user would see. The first apply of an unchanged Namespace, for one, changes its
/// managed fields.
fn is_unchanged(before: &Value, mut after: DynamicObject) -> bool {
    let Ok(mut before) = serde_json::from_value::<DynamicObject>(before.clone()) else { return false };
    for object in [&mut before, &mut after] {
        (object.metadata.managed_fields, object.metadata.resource_version) = (None, None);
        if let Some(data) = object.data.as_object_mut() {
            data.remove("status");
        }
    }
    before == after
}

fn api(session: &Session, id: &Id) -> Api<DynamicObject> {
    let resource = id.resource();
    if id.namespace.is_empty() {
        Api::all_with(session.applicant.clone(), &resource)
    } else {
        Api::namespaced_with(session.applicant.clone(), &id.namespace, &resource)
    }
}

/// Creates a namespace that the commit uses without declaring it.
async fn ensure_namespace(session: &Session, name: &str) {
    if session.api.get("Namespace", "", name).is_none() {
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let api: Api<Namespace> = Api::all(session.administrator.clone());
        // An error needs no report: the name is invalid, and applying the objects of the namespace fails.
        let _ = api.create(&PostParams::default(), &Namespace { metadata, ..Namespace::default() }).await;
    }
    ensure_service_account(session, name).await;
}

/// Creates the ServiceAccount that every namespace of a cluster has.
async fn ensure_service_account(session: &Session, namespace: &str) {
    if session.api.get("ServiceAccount", namespace, "default").is_none() {
        let metadata = ObjectMeta { name: Some("default".to_owned()), ..ObjectMeta::default() };
        let api: Api<ServiceAccount> = Api::namespaced(session.administrator.clone(), namespace);
        // An error needs no report, as above.
        let account = ServiceAccount { metadata, ..ServiceAccount::default() };
        let _ = api.create(&PostParams::default(), &account).await;
    }
}

/// The API server's message, without the client's wrapping.
fn message_of(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}
