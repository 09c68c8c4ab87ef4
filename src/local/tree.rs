//! Sorts the documents of a commit: objects to apply, simulated instances, errors, and kinds to ignore.

use super::{
    heads, metadata,
    secrets::{Origin, Origins},
    simulated_instance::{self, API_VERSION, KIND},
};
use crate::{
    api::names::GROUP,
    manifests::{Document, ManifestError},
};
use dataverse_simulator::SimulatedInstance;
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
};

/// Identifies an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    pub api_version: String,
    pub kind: String,
    /// Empty for a Namespace.
    pub namespace: String,
    pub name: String,
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.to_lowercase();
        match self.namespace.as_str() {
            "" | "default" => write!(f, "{kind}/{}", self.name),
            namespace => write!(f, "{kind}/{} in {namespace}", self.name),
        }
    }
}

/// The other kinds that are applied, in the order in which they are applied.
const BUILT_IN: [&str; 3] = ["Namespace", "Secret", "ServiceAccount"];
/// Postlink's kinds and their plurals.
pub const KINDS: [(&str, &str); 3] = [
    ("DynamicsConnection", "dynamicsconnections"),
    ("AutomationRule", "automationrules"),
    ("PostLink", "postlinks"),
];

impl Id {
    pub fn resource(&self) -> ApiResource {
        let (group, version) = self.api_version.split_once('/').unwrap_or(("", &self.api_version));
        let gvk = GroupVersionKind::gvk(group, version, &self.kind);
        match KINDS.iter().find(|(kind, _)| *kind == self.kind) {
            Some((_, plural)) => ApiResource::from_gvk_with_plural(&gvk, plural),
            None => ApiResource::from_gvk(&gvk),
        }
    }
}

/// An object to apply.
pub struct Item {
    pub id: Id,
    pub document: Document,
}

impl Item {
    /// Whether it is of a kind of Postlink.
    pub fn is_ours(&self) -> bool {
        KINDS.iter().any(|(kind, _)| *kind == self.id.kind)
    }

    /// Also true of one whose namespace cannot be read.
    pub fn may_be_in(&self, namespace: &str) -> bool {
        self.id.namespace.is_empty() || self.id.namespace == namespace
    }

    /// A message about a field, or about the object if `field` is empty, with its place.
    pub fn says(&self, field: &str, message: &str) -> String {
        let shown = if field.is_empty() { String::new() } else { format!("{field}: ") };
        format!("{}: {}: {shown}{message}", self.document.place(field), self.id)
    }
}

/// The sorted documents of a commit.
#[derive(Default)]
pub struct Tree {
    /// Namespaces, Secrets and service accounts first, the rest in the order of the files.
    pub items: Vec<Item>,
    pub instances: Vec<SimulatedInstance>,
    /// The place, the name and the host of each instance in the files.
    pub given: Vec<(String, String, String)>,
    /// Objects whose metadata is wrong. A namespace that is no text is empty.
    pub refused: Vec<Item>,
    /// Errors, each beginning with its place in the files.
    pub problems: Vec<String>,
    /// How many documents there are of each kind that is not applied, such as `Deployment (apps/v1)`.
    pub ignored: BTreeMap<String, usize>,
    /// Files whose documents have neither `apiVersion` nor `kind`.
    pub others: BTreeSet<PathBuf>,
    /// What makes Secrets on a cluster, by namespace and name.
    pub origins: Origins,
}

impl Tree {
    /// `errors` are those of the documents that cannot be read.
    pub fn of(documents: Vec<Document>, errors: &[ManifestError]) -> Self {
        let problems = errors.iter().map(ToString::to_string).collect();
        let mut tree = Self { problems, ..Self::default() };
        let mut seen: BTreeMap<Id, String> = BTreeMap::new();
        let with_manifests: BTreeSet<PathBuf> =
            documents.iter().filter(|it| is_manifest(it)).map(|it| it.file.clone()).collect();
        for mut document in documents {
            metadata::fill(&mut document.value);
            let heads = heads::faults(&document);
            if !heads.is_empty() {
                tree.problems.extend(heads);
                continue;
            }
            if !is_manifest(&document) && !with_manifests.contains(&document.file) {
                tree.others.insert(document.file.clone());
                continue;
            }
            let text = |pointer: &str| {
                document.value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
            };
            let (api_version, kind) = (text("/apiVersion"), text("/kind"));
            if is_simulated(&document) {
                tree.instance(&document, &api_version, &kind);
                continue;
            }
            let ours = api_version.split('/').next() == Some(GROUP);
            let ours_known = ours && KINDS.iter().any(|(k, _)| *k == kind);
            if kind.is_empty() || api_version.is_empty() {
                let missing = if kind.is_empty() { "kind" } else { "apiVersion" };
                tree.problems.push(format!("{}: the object has no {missing}", document.place("")));
                continue;
            }
            let named_like_ours = !ours && KINDS.iter().any(|(k, _)| *k == kind);
            if named_like_ours
                || ours && (!ours_known || api_version != format!("{GROUP}/{}", crate::api::names::VERSION))
            {
                let kinds = KINDS.map(|(kind, _)| kind).join(", ");
                tree.problems.push(format!(
                    "{}: {api_version} {kind} is not a kind of Postlink; use one of {kinds} in {GROUP}/{}",
                    document.place(if named_like_ours { "apiVersion" } else { "kind" }),
                    crate::api::names::VERSION,
                ));
                continue;
            }
            if let Some(meant) = misspelled(&api_version, &kind) {
                let place = document.place(if kind == meant { "apiVersion" } else { "kind" });
                tree.problems.push(format!("{place}: {api_version} {kind} is not known; use {meant} in v1"));
                continue;
            }
            let built_in = api_version == "v1" && BUILT_IN.contains(&kind.as_str());
            let origin = Origin::of(&document);
            if !ours_known && !built_in && origin.is_none() {
                tree.ignore(&document);
                continue;
            }
            let namespace = match (kind.as_str(), &document.value["metadata"]["namespace"]) {
                ("Namespace", _) => String::new(),
                (_, Value::Null) => "default".to_owned(),
                (_, Value::String(given)) if given.is_empty() => "default".to_owned(),
                (_, given) => given.as_str().unwrap_or_default().to_owned(),
            };
            let name = text("/metadata/name");
            let faults = metadata::faults(&kind, &document.value["metadata"]);
            if !faults.is_empty() {
                let message =
                    |(field, why): (String, String)| format!("{}: {field}: {why}", document.place(&field));
                tree.problems.extend(faults.into_iter().map(message));
                let id = Id { api_version, kind, namespace, name };
                tree.refused.push(Item { id, document });
                continue;
            }
            let id = Id { api_version, kind, namespace, name };
            if let Some(first) = seen.get(&id) {
                tree.problems.push(format!(
                    "{}: {id} is defined twice, first at {first}; keep one of them",
                    document.place("")
                ));
                continue;
            }
            seen.insert(id.clone(), document.place(""));
            match origin {
                Some(origin) => {
                    tree.origins.insert(origin.secret(), origin);
                }
                None => tree.items.push(Item { id, document }),
            }
        }
        tree.sort();
        tree
    }

    /// As Flux and Helm do: other objects depend on these.
    fn sort(&mut self) {
        self.items.sort_by_key(|item| {
            BUILT_IN.iter().position(|kind| *kind == item.id.kind).unwrap_or(BUILT_IN.len())
        });
    }

    /// Adds an object that is not in the files.
    pub fn add(&mut self, item: Item) {
        self.items.push(item);
        self.sort();
    }

    /// Counts a document of a kind that is not applied.
    pub fn ignore(&mut self, document: &Document) {
        let text = |field: &str| document.value[field].as_str().unwrap_or_default();
        let kind = if document.value["sops"].is_object() && text("kind").starts_with("ENC[") {
            "encrypted with SOPS, unknown kind".to_owned()
        } else {
            format!("{} ({})", text("kind"), text("apiVersion"))
        };
        *self.ignored.entry(kind).or_default() += 1;
    }

    fn instance(&mut self, document: &Document, api_version: &str, kind: &str) {
        if kind != KIND || api_version != API_VERSION {
            let place = document.place(if kind == KIND { "apiVersion" } else { "kind" });
            self.problems
                .push(format!("{place}: {api_version} {kind} is not known; use {KIND} in {API_VERSION}"));
            return;
        }
        match simulated_instance::read(document) {
            Ok(instance) => self.serve(document, instance),
            Err(errors) => self.problems.extend(
                errors.iter().map(|(field, why)| format!("{}: {field}: {why}", document.place(field))),
            ),
        }
    }

    fn serve(&mut self, document: &Document, instance: SimulatedInstance) {
        let host = &instance.spec.host;
        if let Some(other) = self.instances.iter().find(|other| other.spec.host == *host) {
            let (place, first) = (document.place("spec.host"), &other.name);
            self.problems.push(format!("{place}: spec.host: {KIND} {first} already has the host {host}"));
            return;
        }
        self.given.push((document.place("spec.host"), instance.name.clone(), host.clone()));
        self.instances.push(instance);
    }

    /// Whether it holds nothing to check.
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty() && !self.items.iter().any(Item::is_ours)
    }

    /// If none of the objects of the commit before are in this one: the objects of the kinds that vanish, such as
    /// `all 3 DynamicsConnections`. The two are hardly commits of one repository.
    pub fn replaces(&self, before: &Self) -> Option<String> {
        let ours = |tree: &'_ Self| -> BTreeSet<Id> {
            tree.items.iter().filter(|item| item.is_ours()).map(|item| item.id.clone()).collect()
        };
        let (old, new) = (ours(before), ours(self));
        if !self.problems.is_empty() || new.is_empty() || !old.is_disjoint(&new) {
            return None;
        }
        let vanished = |(kind, _): &(&str, &str)| {
            let of_kind = |ids: &BTreeSet<Id>| ids.iter().filter(|id| id.kind == *kind).count();
            let count = of_kind(&old);
            let shown = if count == 1 { format!("the {kind}") } else { format!("all {count} {kind}s") };
            (count > 0 && of_kind(&new) == 0).then_some(shown)
        };
        let vanished: Vec<String> = KINDS.iter().filter_map(vanished).collect();
        (!vanished.is_empty()).then(|| vanished.join(", "))
    }

    /// How many objects of Postlink are in `default` because no namespace is given, if others have one; and the first.
    pub fn without_namespace(&self) -> Option<(usize, String)> {
        let given = |item: &&Item| {
            item.document.value["metadata"]["namespace"].as_str().is_some_and(|given| !given.is_empty())
        };
        let without: Vec<&Item> = self.items.iter().filter(|item| item.is_ours() && !given(item)).collect();
        let first = without.first().filter(|_| self.items.iter().any(|item| given(&item)))?;
        Some((without.len(), first.document.place("metadata.namespace")))
    }

    pub fn namespaces(&self) -> BTreeSet<String> {
        self.items.iter().map(|i| i.id.namespace.clone()).filter(|n| !n.is_empty()).collect()
    }
}

/// The connections among some objects.
pub fn connections(items: &[Item]) -> impl Iterator<Item = &Item> {
    items.iter().filter(|item| item.id.kind == KINDS[0].0)
}

/// The kind that is meant, if no API server has this one: no group without a dot has another kind of such a name.
fn misspelled(api_version: &str, kind: &str) -> Option<&'static str> {
    let lower = kind.to_lowercase();
    let singular = lower.strip_suffix('s').unwrap_or(&lower);
    let meant = BUILT_IN.into_iter().find(|known| known.to_lowercase() == singular)?;
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    (!group.contains('.') && (api_version, kind) != ("v1", meant)).then_some(meant)
}

/// Whether a document has at least one of the fields that every object has.
fn is_manifest(document: &Document) -> bool {
    ["apiVersion", "kind"].iter().any(|field| !document.value[field].is_null())
}

/// Whether a document is for `local` and `simulate` only, or is meant to be: with a mistyped apiVersion, it would be ignored,
/// and the instance that it describes made up.
pub fn is_simulated(document: &Document) -> bool {
    let api_version = document.value["apiVersion"].as_str().unwrap_or_default();
    document.value["kind"] == KIND || api_version.split('/').next() == API_VERSION.split('/').next()
}
