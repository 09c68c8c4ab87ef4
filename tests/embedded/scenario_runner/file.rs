//! Reading a scenario file: its expectations, and each commit's whole tree with `Same` expanded.

use postlink::manifests::{Document, load_commits, parse};
use serde_json::{Map, Value};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// One scenario.
pub struct Scenario {
    pub name: String,
    pub rule: String,
    /// The namespace of the keys in `expect`.
    pub namespace: String,
    pub commits: Vec<Commit>,
}

/// One commit: its tree, and what is expected once it has settled.
pub struct Commit {
    pub name: String,
    pub documents: Vec<Document>,
    pub expect: Map<String, Value>,
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
        let names = |list: &[(String, _)]| list.iter().map(|(n, ())| n.clone()).collect::<Vec<_>>();
        let (stated, expected) = (
            names(&commits.iter().map(|(n, _)| (n.clone(), ())).collect::<Vec<_>>()),
            expect.iter().map(|(n, _)| n.clone()).collect::<Vec<_>>(),
        );
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

/// What one commit is to end in: its name, and the assertions.
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
    let mut commits: Vec<(String, Vec<Document>)> = Vec::new();
    let mut same: Option<BTreeSet<String>> = None;
    let mut open: Option<(String, Vec<Document>)> = None;
    let close = |open: Option<(String, Vec<Document>)>,
                 same: Option<BTreeSet<String>>,
                 commits: &mut Vec<(String, Vec<Document>)>| {
        let Some((name, mut stated)) = open else { return Ok(()) };
        if let Some(except) = same {
            let previous =
                commits.last().map(|(_, d)| d.as_slice()).ok_or(format!("{name} is Same as nothing"))?;
            stated.extend(repeated(&name, previous, &stated, &except)?);
        }
        commits.push((name, stated));
        Ok::<(), String>(())
    };
    for document in documents {
        match document.value.get("kind").and_then(Value::as_str) {
            Some("Commit") => {
                close(open.take(), same.take(), &mut commits)?;
                let name =
                    document.value.get("name").and_then(Value::as_str).ok_or("a Commit has no name")?;
                open = Some((name.to_owned(), Vec::new()));
            }
            Some("Same") => {
                let except = document.value.get("except").and_then(Value::as_array).into_iter().flatten();
                same = Some(except.filter_map(Value::as_str).map(str::to_owned).collect());
            }
            _ => match &mut open {
                Some((_, stated)) => stated.push(document),
                None => return Err(format!("{}: stands before the first Commit", document.place(""))),
            },
        }
    }
    close(open, same, &mut commits)?;
    Ok(commits)
}

/// What `Same` stands for.
fn repeated(
    commit: &str,
    previous: &[Document],
    stated: &[Document],
    except: &BTreeSet<String>,
) -> Result<Vec<Document>, String> {
    let restated: BTreeSet<(String, String, String)> = stated.iter().map(identity).collect();
    let mut missing = except.clone();
    let mut kept = Vec::new();
    for document in previous {
        let (kind, namespace, name) = identity(document);
        let names = [format!("{kind}/{name}"), format!("{kind}/{namespace}/{name}")];
        for name in &names {
            missing.remove(name);
        }
        if names.iter().any(|n| except.contains(n)) || restated.contains(&(kind.clone(), namespace, name)) {
            continue;
        }
        let mut document = document.clone();
        if kind == "SimulatedInstance" {
            without_changes(&mut document);
        }
        kept.push(document);
    }
    match missing.first() {
        Some(name) => Err(format!("{commit}: except names {name}, which the previous commit lacks")),
        None => Ok(kept),
    }
}

/// Takes out what people did once.
pub fn without_changes(document: &mut Document) {
    if let Some(spec) = document.value.get_mut("spec").and_then(Value::as_object_mut) {
        spec.remove("changes");
    }
}

/// Kind, namespace, name.
fn identity(document: &Document) -> (String, String, String) {
    let text = |pointer: &str| {
        document.value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let namespace = match text("/metadata/namespace") {
        given if given.is_empty() => "default".to_owned(),
        given => given,
    };
    (text("/kind"), namespace, text("/metadata/name"))
}
