//! Secrets that are not in the files as such: other controllers make them, or SOPS has encrypted them. And service accounts of
//! workload identities, which often come with something else.

use super::{
    advice::UNRENDERED,
    simulated_defaults::host_of,
    tree::{Id, Item, Tree, connections},
};
use crate::manifests::{self, Document};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use kube_memory::validate_name;
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// What makes a Secret on a cluster.
pub struct Origin {
    pub document: Document,
    kind: Kind,
}

/// By namespace and name of the Secret.
pub type Origins = BTreeMap<(String, String), Origin>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A Secret whose values SOPS has encrypted.
    Sops,
    SealedSecret,
    ExternalSecret,
}

/// The keys of a Secret for a connection, with values for an instance that accepts all of them.
const STUB: [(&str, &str); 3] = [
    ("tenantId", "00000000-0000-4000-8000-000000000001"),
    ("clientId", "00000000-0000-4000-8000-000000000002"),
    ("clientSecret", "stub"),
];
/// The letters of a hash of kustomize.
const HASH: &str = "2456789bcdfghkmt";
const ACCOUNT: &str = "ServiceAccount";
/// The keys of a certificate, which a stub has no use for.
const CERTIFICATE: [&str; 2] = ["tls.crt", "tls.key"];

impl Origin {
    pub fn of(document: &Document) -> Option<Self> {
        let text = |field: &str| document.value[field].as_str().unwrap_or_default();
        let kind = match (text("apiVersion").split('/').next().unwrap_or_default(), text("kind")) {
            ("v1", "Secret") if document.value["sops"].is_object() => Kind::Sops,
            ("bitnami.com", "SealedSecret") => Kind::SealedSecret,
            ("external-secrets.io", "ExternalSecret") => Kind::ExternalSecret,
            _ => return None,
        };
        Some(Self { document: document.clone(), kind })
    }

    /// Namespace and name of the Secret that it makes.
    pub fn secret(&self) -> (String, String) {
        let text = |pointer: &str| self.document.value.pointer(pointer).and_then(Value::as_str);
        let target = match self.kind {
            Kind::Sops => None,
            Kind::SealedSecret => text("/spec/template/metadata/name"),
            Kind::ExternalSecret => text("/spec/target/name"),
        };
        let name = target.or(text("/metadata/name")).unwrap_or_default();
        let namespace = text("/metadata/namespace").filter(|it| !it.is_empty()).unwrap_or("default");
        (namespace.to_owned(), name.to_owned())
    }

    /// The keys of the Secret; `None` if they are not in the document.
    fn keys(&self) -> Option<BTreeSet<String>> {
        let value = &self.document.value;
        let keys =
            |pointer: &str| value.pointer(pointer).and_then(Value::as_object).into_iter().flat_map(Map::keys);
        let keys: BTreeSet<String> = match self.kind {
            Kind::Sops => keys("/data").chain(keys("/stringData")).cloned().collect(),
            Kind::SealedSecret => {
                keys("/spec/encryptedData").chain(keys("/spec/template/data")).cloned().collect()
            }
            Kind::ExternalSecret => {
                if !value["spec"]["dataFrom"].is_null() || !value["spec"]["target"]["template"].is_null() {
                    return None;
                }
                let entries = value["spec"]["data"].as_array().into_iter().flatten();
                entries.filter_map(|entry| entry["secretKey"].as_str()).map(str::to_owned).collect()
            }
        };
        Some(keys)
    }

    fn describe(&self) -> String {
        let place = self.document.place("");
        match self.kind {
            Kind::Sops => format!("It is in {place}, encrypted with SOPS"),
            Kind::SealedSecret => format!("On a cluster, it comes from the SealedSecret in {place}"),
            Kind::ExternalSecret => format!("On a cluster, it comes from the ExternalSecret in {place}"),
        }
    }
}

/// Makes up the Secrets that connections refer to and that are not in the files. Returns a note for each. One that seems to
/// be in the wrong namespace, or to have a hash in its name, is not made up: the stub would hide it.
pub fn stub(tree: &mut Tree) -> Vec<String> {
    let mut notes = Vec::new();
    for ((namespace, name), url) in missing(tree) {
        if elsewhere(tree, &namespace, &name).is_some()
            || hashed(tree, &namespace, &name).is_some()
            || !validate_name("Secret", &name).is_empty()
        {
            continue;
        }
        let origin = tree.origins.get(&(namespace.clone(), name.clone()));
        let why = origin.map_or_else(|| "It is not in the input".to_owned(), Origin::describe);
        let keys =
            origin.and_then(Origin::keys).unwrap_or_else(|| STUB.map(|(key, _)| key.to_owned()).into());
        let mut values = stub_values(keys.iter().map(String::as_str), &url);
        // The one instance in the files that does not accept any secret.
        let host = host_of(&url);
        let instance = tree.instances.iter().find(|it| Some(&it.spec.host) == host.as_ref());
        if let (Some(secret), Some(value)) =
            (instance.and_then(|it| it.spec.client_secret.clone()), values.get_mut("clientSecret"))
        {
            *value = json!(secret);
        }
        let secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": namespace},
            "stringData": values,
        });
        notes.push(format!("Secret {name} in {namespace} is a stub with invented values. {why}."));
        add(tree, &secret);
    }
    for (namespace, name) in missing_accounts(tree) {
        notes.push(format!("ServiceAccount {name} in {namespace} is a stub. It is not in the input."));
        let metadata = json!({"name": name, "namespace": namespace});
        add(tree, &json!({"apiVersion": "v1", "kind": ACCOUNT, "metadata": metadata}));
    }
    notes
}

fn add(tree: &mut Tree, object: &Value) {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let id = Id {
        api_version: text("/apiVersion"),
        kind: text("/kind"),
        namespace: text("/metadata/namespace"),
        name: text("/metadata/name"),
    };
    for document in manifests::parse(Path::new("--stub-secrets"), &object.to_string()).documents {
        tree.add(Item { id: id.clone(), document });
    }
}

/// The service accounts that connections refer to and that are in no namespace of the files: one in another namespace is most
/// likely the one that is meant.
fn missing_accounts(tree: &Tree) -> BTreeSet<(String, String)> {
    let account = |item: &Item| {
        let name = item.document.value.pointer("/spec/credentials/workloadIdentity/serviceAccountName")?;
        let valid = |name: &&str| validate_name(ACCOUNT, name).is_empty() && *name != "default";
        Some((item.id.namespace.clone(), name.as_str().filter(valid)?.to_owned()))
    };
    let given = |name: &str| tree.items.iter().any(|item| item.id.kind == ACCOUNT && item.id.name == name);
    connections(&tree.items).filter_map(account).filter(|(_, name)| !given(name)).collect()
}

/// Replaces the values of Secrets that only connections to these hosts use: their instances accept whatever a Secret holds.
/// The keys stay, and so does an address, because the controller checks them before it signs in.
pub fn accept_any(tree: &mut Tree, hosts: &BTreeSet<String>) {
    let mut users: BTreeMap<(String, String), bool> = BTreeMap::new();
    for (secret, url) in uses(tree) {
        let simulated = host_of(&url).is_some_and(|host| hosts.contains(&host));
        *users.entry(secret).or_insert(true) &= simulated;
    }
    for item in tree.items.iter_mut().filter(|item| item.id.kind == "Secret") {
        let secret = (item.id.namespace.clone(), item.id.name.clone());
        if users.get(&secret) != Some(&true) {
            continue;
        }
        for (field, encode) in [("stringData", false), ("data", true)] {
            let Some(values) = item.document.value.get_mut(field).and_then(Value::as_object_mut) else {
                continue;
            };
            let both = CERTIFICATE.iter().all(|key| values.get(*key).is_some_and(is_filled));
            if both && !values.contains_key("clientSecret") {
                values.insert(
                    "clientSecret".to_owned(),
                    json!(if encode { BASE64.encode("stub") } else { "stub".to_owned() }),
                );
            }
            for (key, stub) in STUB {
                let valid = |value: &&mut Value| is_filled(value) && (!encode || is_base64(value));
                if let Some(value) = values.get_mut(key).filter(valid) {
                    *value = json!(if encode { BASE64.encode(stub) } else { stub.to_owned() });
                }
            }
        }
    }
}

/// Where the Secret of a connection should come from: follows a message that it is missing, or that it lacks something.
pub fn advice(tree: &Tree, namespace: &str, name: &str, missing: bool) -> Option<String> {
    if let Some(origin) = tree.origins.get(&(namespace.to_owned(), name.to_owned())) {
        let flag = if missing { "; to check without it, use --stub-secrets" } else { "" };
        return Some(format!("{}{flag}.", origin.describe()));
    }
    if !missing {
        return None;
    }
    let same = |item: &&Item| {
        item.id.kind == "Secret" && (item.id.namespace.as_str(), item.id.name.as_str()) == (namespace, name)
    };
    if let Some(refused) = tree.items.iter().find(same).or_else(|| refused(tree, namespace, name)) {
        return Some(format!("It is in {}, but has been refused.", refused.document.place("")));
    }
    if let Some(hashed) = hashed(tree, namespace, name) {
        return Some(format!(
            "Secret {} has a hash in its name, and kustomize does not change the reference; set generatorOptions.disableNameSuffixHash.",
            hashed.id.name
        ));
    }
    Some(match elsewhere(tree, namespace, name) {
        Some((other, document)) => format!(
            "A Secret of this name is in namespace {other} ({}); correct the namespace of one of them.",
            document.place("metadata.namespace")
        ),
        None => "If something else makes it, use --stub-secrets.".to_owned(),
    })
}

/// A Secret with a hash in its name, and with the prefix and the suffix that kustomize has also added to the name of a
/// connection that uses it. Nothing of the sort if there is an origin for the name.
fn hashed<'a>(tree: &'a Tree, namespace: &str, name: &str) -> Option<&'a Item> {
    if tree.origins.contains_key(&(namespace.to_owned(), name.to_owned())) {
        return None;
    }
    let users: Vec<&str> = connections(&tree.items)
        .filter(|it| it.id.namespace == namespace && secret_of(it) == Some(name))
        .map(|it| it.id.name.as_str())
        .collect();
    let is_generated = |full: &str| {
        let Some((base, hash)) = full.rsplit_once('-') else { return false };
        let Some((before, after)) = base.split_once(name) else { return false };
        hash.len() == 10
            && hash.chars().all(|c| HASH.contains(c))
            && (base == name || users.iter().any(|it| it.starts_with(before) && it.ends_with(after)))
    };
    let secrets = tree.items.iter().filter(|it| it.id.kind == "Secret" && it.id.namespace == namespace);
    secrets.into_iter().find(|it| is_generated(&it.id.name))
}

/// A Secret, or what makes it, whose metadata is wrong.
fn refused<'a>(tree: &'a Tree, namespace: &str, name: &str) -> Option<&'a Item> {
    let makes = |item: &&Item| match Origin::of(&item.document) {
        Some(origin) => origin.secret().1 == name,
        None => item.id.kind == "Secret" && item.id.name == name,
    };
    tree.refused.iter().filter(makes).find(|item| item.may_be_in(namespace))
}

/// Texts of Secrets that connections use, and that are templates. The values are secrets, so they are not shown.
pub fn unrendered(tree: &Tree) -> Vec<String> {
    let used: BTreeSet<(String, String)> = uses(tree).into_iter().map(|(secret, _)| secret).collect();
    let is_used = |item: &&Item| {
        item.id.kind == "Secret" && used.contains(&(item.id.namespace.clone(), item.id.name.clone()))
    };
    let mut found = Vec::new();
    for item in tree.items.iter().filter(is_used) {
        let values = item.document.value["stringData"].as_object().into_iter().flatten();
        let templates = values.filter(|(_, value)| value.as_str().is_some_and(manifests::is_unrendered));
        found.extend(templates.map(|(key, _)| item.says(&format!("stringData.{key}"), UNRENDERED)));
    }
    found
}

/// A Secret of this name in another namespace, or what makes it, if no connection there uses it. Nothing of the sort if this
/// namespace has an origin for it.
fn elsewhere<'a>(tree: &'a Tree, namespace: &str, name: &str) -> Option<(&'a str, &'a Document)> {
    if tree.origins.contains_key(&(namespace.to_owned(), name.to_owned())) {
        return None;
    }
    let used: BTreeSet<(String, String)> = uses(tree).into_iter().map(|(secret, _)| secret).collect();
    let secrets = tree.items.iter().filter(|item| item.id.kind == "Secret" && item.id.name == name);
    let secrets = secrets.map(|item| (item.id.namespace.as_str(), &item.document));
    let origins = tree.origins.iter().filter(|((_, of), _)| of == name);
    let origins = origins.map(|((namespace, _), origin)| (namespace.as_str(), &origin.document));
    secrets.chain(origins).find(|(other, _)| !used.contains(&((*other).to_owned(), name.to_owned())))
}

/// The origins of Secrets that no connection uses are documents like any other. Those of a used name are kept all the same:
/// they may be in the wrong namespace.
pub fn ignore_unused(tree: &mut Tree) {
    let used: BTreeSet<(String, String)> = uses(tree).into_iter().map(|(secret, _)| secret).collect();
    for (secret, origin) in std::mem::take(&mut tree.origins) {
        if !used.contains(&secret) {
            tree.ignore(&origin.document);
        }
        if used.iter().any(|(_, name)| *name == secret.1) {
            tree.origins.insert(secret, origin);
        }
    }
}

/// The Secrets that connections refer to, each with the address of the connection.
fn uses(tree: &Tree) -> Vec<((String, String), String)> {
    let secret = |item: &Item| {
        let url = item.document.value.pointer("/spec/instanceUrl").and_then(Value::as_str);
        let secret = (item.id.namespace.clone(), secret_of(item)?.to_owned());
        Some((secret, url.unwrap_or_default().to_owned()))
    };
    connections(&tree.items).filter_map(secret).collect()
}

/// The name of the Secret that a connection refers to.
fn secret_of(connection: &Item) -> Option<&str> {
    connection.document.value.pointer("/spec/credentials/secretRef/name")?.as_str()
}

fn missing(tree: &Tree) -> BTreeMap<(String, String), String> {
    let stored = |secret: &(String, String)| {
        let is = |item: &Item| {
            item.id.kind == "Secret" && (&item.id.namespace, &item.id.name) == (&secret.0, &secret.1)
        };
        tree.items.iter().any(is) || refused(tree, &secret.0, &secret.1).is_some()
    };
    uses(tree).into_iter().filter(|(secret, _)| !stored(secret)).collect()
}

/// Values for the keys of a Secret. Instead of a certificate, a stub has a client secret.
fn stub_values<'a>(keys: impl Iterator<Item = &'a str> + Clone, url: &str) -> Map<String, Value> {
    let certificate = CERTIFICATE.iter().all(|wanted| keys.clone().any(|key| key == *wanted));
    let keys = keys.chain(certificate.then_some("clientSecret"));
    let value = |key: &str| match STUB.iter().find(|(stub, _)| *stub == key) {
        Some((_, value)) => json!(value),
        None if key == "instanceUrl" => json!(url),
        None => json!("stub"),
    };
    keys.map(|key| (key.to_owned(), value(key)))
        .filter(|(key, _)| !CERTIFICATE.contains(&key.as_str()))
        .collect()
}

fn is_filled(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.trim().is_empty())
}

fn is_base64(value: &Value) -> bool {
    value.as_str().is_some_and(|text| BASE64.decode(text).is_ok())
}
