//! Reads a scenario file: the expectations, and the whole tree of each commit.

use super::fixtures::Fixtures;
use postlink::manifests::{Document, load_commits, parse};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

pub struct Scenario {
    pub name: String,
    pub rule: String,
    /// The namespace of the keys in `expect`.
    pub namespace: String,
    pub commits: Vec<Commit>,
}

/// One commit: the whole tree, and the assertions once it has settled.
pub struct Commit {
    pub name: String,
    pub documents: Vec<Document>,
    pub expect: Map<String, Value>,
}

/// The document that opens a commit and lists what changes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Marker {
    #[serde(rename = "kind")]
    _kind: IgnoredAny,
    name: String,
    /// Objects of the previous commit that leave the tree.
    #[serde(default)]
    remove: Vec<String>,
    /// Fixtures that join it.
    #[serde(default)]
    r#use: Vec<String>,
    /// JSON merge patches of objects that are then in it.
    #[serde(default)]
    patch: Map<String, Value>,
}

impl Scenario {
    /// Reads a file; an error is a sentence about the file itself.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let loaded = parse(path, &text);
        if let Some(error) = loaded.errors.first() {
            return Err(error.to_string());
        }
        let mut documents = loaded.documents.into_iter();
        let head = documents.next().ok_or("the file is empty")?;
        let text = |field: &str| head.value.get(field).and_then(Value::as_str).map(str::to_owned);
        if text("kind").as_deref() != Some("Scenario") {
            return Err("the first document is not a Scenario".to_owned());
        }
        let name = text("name").ok_or("the scenario has no name")?;
        if path.file_stem().and_then(|s| s.to_str()) != Some(&name) {
            return Err(format!("the scenario is called {name}, its file is not"));
        }
        let known = ["apiVersion", "kind", "name", "rule", "namespace", "tree", "expect"];
        if let Some(unknown) =
            head.value.as_object().into_iter().flat_map(Map::keys).find(|k| !known.contains(&k.as_str()))
        {
            return Err(format!("the Scenario has an unknown field {unknown}"));
        }
        let commits = match text("tree") {
            Some(tree) => of_folder(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(tree))?,
            None => of_stream(documents)?,
        };
        let expect = expectations(&head.value)?;
        let stated: Vec<&String> = commits.iter().map(|(name, _)| name).collect();
        let expected: Vec<&String> = expect.iter().map(|(name, _)| name).collect();
        if stated != expected {
            return Err(format!("the commits are {stated:?}, but expect has {expected:?}"));
        }
        Ok(Self {
            rule: text("rule").unwrap_or_default(),
            namespace: text("namespace").unwrap_or_else(|| "default".to_owned()),
            commits: commits
                .into_iter()
                .zip(expect)
                .map(|((name, documents), (_, expect))| Commit { name, documents, expect })
                .collect(),
            name,
        })
    }
}

/// The name of a commit, and its assertions.
type Expectation = (String, Map<String, Value>);

fn expectations(head: &Value) -> Result<Vec<Expectation>, String> {
    let entries = head.get("expect").and_then(Value::as_array).ok_or("the Scenario has no list expect")?;
    entries
        .iter()
        .map(|entry| {
            let mut entry = entry.as_object().ok_or("an entry of expect is no mapping")?.clone();
            let Some(Value::String(commit)) = entry.remove("commit") else {
                return Err("an entry of expect names no commit".to_owned());
            };
            Ok((commit, entry))
        })
        .collect()
}

fn of_folder(folder: &Path) -> Result<Vec<(String, Vec<Document>)>, String> {
    let commits = load_commits(folder).map_err(|e| e.to_string())?;
    commits
        .into_iter()
        .map(|commit| match commit.errors.first() {
            Some(error) => Err(error.to_string()),
            None => Ok((commit.name, commit.documents)),
        })
        .collect()
}

fn of_stream(documents: impl Iterator<Item = Document>) -> Result<Vec<(String, Vec<Document>)>, String> {
    let fixtures = Fixtures::read()?;
    let mut commits: Vec<(String, Vec<Document>)> = Vec::new();
    for document in documents {
        if document.value["kind"] == "Commit" {
            let marker: Marker = serde_json::from_value(document.value.clone())
                .map_err(|error| format!("{}: {error}", document.place("")))?;
            let previous = commits.last().map_or(&[][..], |(_, tree)| tree);
            let tree = start(&marker, previous, &fixtures).map_err(|e| format!("{}: {e}", marker.name))?;
            commits.push((marker.name, tree));
            continue;
        }
        let Some((_, tree)) = commits.last_mut() else {
            return Err(format!("{}: stands before the first Commit", document.place("")));
        };
        match position(tree, &key(&document)) {
            Some(at) => tree[at] = document,
            None => tree.push(document),
        }
    }
    Ok(commits)
}

/// The tree that a commit starts from: the previous one, with the changes that the marker lists.
fn start(marker: &Marker, previous: &[Document], fixtures: &Fixtures) -> Result<Vec<Document>, String> {
    let mut tree = previous.to_vec();
    tree.iter_mut().for_each(without_changes);
    for name in &marker.remove {
        let at = position(&tree, name).ok_or(format!("remove: the previous commit has no {name}"))?;
        tree.remove(at);
    }
    for name in &marker.r#use {
        for document in fixtures.named(name)? {
            if position(&tree, &key(document)).is_some() {
                return Err(format!("use: the previous commit has {} already", key(document)));
            }
            tree.push(document.clone());
        }
    }
    for (name, patch) in &marker.patch {
        let at = position(&tree, name).ok_or(format!("patch: there is no {name}"))?;
        json_patch::merge(&mut tree[at].value, patch);
    }
    Ok(tree)
}

/// Where the object of this key is, `KIND/name` or `KIND/namespace/name`.
fn position(tree: &[Document], name: &str) -> Option<usize> {
    tree.iter().position(|document| key(document) == name)
}

/// Removes the changes in the instance: they happen once.
pub fn without_changes(document: &mut Document) {
    if let Some(spec) = document.value.get_mut("spec").and_then(Value::as_object_mut) {
        spec.remove("changes");
    }
}

/// `KIND/name`, or `KIND/namespace/name` outside of `default`.
pub fn key(document: &Document) -> String {
    let text = |pointer: &str| document.value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (kind, name) = (text("/kind"), text("/metadata/name"));
    match text("/metadata/namespace") {
        "" | "default" => format!("{kind}/{name}"),
        namespace => format!("{kind}/{namespace}/{name}"),
    }
}
