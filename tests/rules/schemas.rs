//! `schemas/` is what the code says, and the examples follow it: each of their documents names its schema for editors.
#![allow(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

use crate::mistakes;
use postlink::local::editor_schemas;
use postlink::manifests::{Document, documents};
use regex::Regex;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// By apiVersion and kind: the path below `schemas`, and the schema.
fn schemas() -> BTreeMap<(String, String), (String, Value)> {
    let text =
        |schema: &Value, field: &str| schema["properties"][field]["const"].as_str().unwrap().to_owned();
    let all = editor_schemas::all().unwrap().into_iter();
    all.map(|it| ((text(&it.schema, "apiVersion"), text(&it.schema, "kind")), (it.path, it.schema))).collect()
}

/// What is wrong with a value, with its field. Fails on a keyword it does not know, so that none goes unchecked.
fn errors(schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let wrong = |what: &str| vec![format!("{at}: {what}")];
    let mut found = Vec::new();
    for (keyword, wanted) in schema.as_object().unwrap() {
        match (keyword.as_str(), value) {
            ("$schema" | "description" | "default" | "format" | "title", _) => {}
            ("type", _) => {
                let names = wanted.as_array().cloned().unwrap_or_else(|| vec![wanted.clone()]);
                if !names.iter().any(|name| is_of_type(value, name.as_str().unwrap())) {
                    found.extend(wrong(&format!("is not of type {wanted}")));
                }
            }
            ("const", _) => found.extend((wanted != value).then(|| format!("{at}: is not {wanted}"))),
            ("enum", _) if !wanted.as_array().unwrap().contains(value) => {
                found.extend(wrong("is not allowed"));
            }
            ("oneOf" | "anyOf", _) => {
                let fits =
                    wanted.as_array().unwrap().iter().filter(|one| errors(one, value, at).is_empty()).count();
                found.extend((fits == 0).then(|| format!("{at}: fits none of {keyword}")));
            }
            ("required", Value::Object(fields)) => {
                let missing = wanted
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter(|name| !fields.contains_key(name.as_str().unwrap()));
                found.extend(missing.map(|name| format!("{at}: has no {name}")));
            }
            ("properties", Value::Object(fields)) => {
                for (name, inner) in wanted.as_object().unwrap() {
                    let value = fields.get(name);
                    found.extend(
                        value.into_iter().flat_map(|value| errors(inner, value, &format!("{at}.{name}"))),
                    );
                }
            }
            ("additionalProperties", Value::Object(fields)) => {
                let others = fields.iter().filter(|(name, _)| schema["properties"].get(name).is_none());
                for (name, value) in others {
                    match wanted {
                        Value::Bool(true) => {}
                        Value::Bool(false) => found.push(format!("{at}.{name}: unknown field")),
                        inner => found.extend(errors(inner, value, &format!("{at}.{name}"))),
                    }
                }
            }
            ("items", Value::Array(items)) => {
                let inner = |(n, item): (usize, &Value)| errors(wanted, item, &format!("{at}[{n}]"));
                found.extend(items.iter().enumerate().flat_map(inner));
            }
            ("pattern", Value::String(text))
                if !Regex::new(wanted.as_str().unwrap()).unwrap().is_match(text) =>
            {
                found.extend(wrong("does not match the pattern"));
            }
            ("minLength", Value::String(text)) if text.chars().count() < size(wanted) => {
                found.extend(wrong("is too short"));
            }
            ("maxLength", Value::String(text)) if text.chars().count() > size(wanted) => {
                found.extend(wrong("is too long"));
            }
            ("minItems", Value::Array(items)) if items.len() < size(wanted) => {
                found.extend(wrong("has too few items"));
            }
            ("maxItems", Value::Array(items)) if items.len() > size(wanted) => {
                found.extend(wrong("has too many items"));
            }
            ("maxProperties", Value::Object(fields)) if fields.len() > size(wanted) => {
                found.extend(wrong("has too many fields"));
            }
            ("minimum", Value::Number(number)) if number.as_f64() < wanted.as_f64() => {
                found.extend(wrong("is too small"));
            }
            ("maximum", Value::Number(number)) if number.as_f64() > wanted.as_f64() => {
                found.extend(wrong("is too large"));
            }
            (
                "enum"
                | "required"
                | "properties"
                | "additionalProperties"
                | "items"
                | "pattern"
                | "minLength"
                | "maxLength"
                | "minItems"
                | "maxItems"
                | "maxProperties"
                | "minimum"
                | "maximum",
                _,
            ) => {}
            (unknown, _) => panic!("{at}: the test does not know the keyword {unknown}"),
        }
    }
    found
}

fn size(wanted: &Value) -> usize {
    usize::try_from(wanted.as_u64().unwrap()).unwrap()
}

fn is_of_type(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "number" => value.is_number(),
        other => panic!("{other} is not a type of JSON schema"),
    }
}

#[test]
fn committed_schemas_are_current() {
    let generated = editor_schemas::all().unwrap();
    for schema in &generated {
        let path = root().join("schemas").join(&schema.path);
        let committed = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == schema.to_json().unwrap(),
            "{} is out of date; run `make schemas`",
            path.display()
        );
    }
    let folders = ["postlink.dev", "local.postlink.dev"].map(|group| root().join("schemas").join(group));
    let files: usize = folders.iter().map(|folder| fs::read_dir(folder).unwrap().count()).sum();
    assert_eq!(files, generated.len(), "schemas/ has a file that is not generated");
}

#[test]
fn editor_schemas_have_descriptions_and_nothing_of_the_api_server() {
    for (path, schema) in schemas().into_values() {
        let text = schema.to_string();
        assert!(!text.contains("x-kubernetes-"), "{path}");
        for (name, field) in schema["properties"]["spec"]["properties"].as_object().unwrap() {
            assert!(field["description"].is_string(), "{path}: spec.{name} is not described");
        }
    }
}

/// The line above the document's first field, or the first of the comment there.
fn modeline(document: &Document) -> Option<String> {
    let text = fs::read_to_string(&document.file).unwrap();
    let above = text.lines().take(document.line - 1).collect::<Vec<_>>();
    let comment = above.iter().rev().take_while(|line| line.starts_with('#'));
    let prefix = "# yaml-language-server: $schema=";
    comment.filter_map(|line| line.strip_prefix(prefix)).last().map(str::to_owned)
}

#[test]
fn examples_follow_their_schemas() {
    let schemas = schemas();
    let mut kinds = BTreeMap::new();
    for document in documents(&root().join("examples")).unwrap() {
        let document = document.unwrap();
        let text = |field: &str| document.value[field].as_str().unwrap().to_owned();
        let place = document.place("");
        let Some((path, schema)) = schemas.get(&(text("apiVersion"), text("kind"))) else {
            assert_eq!((text("apiVersion").as_str(), modeline(&document)), ("v1", None), "{place}");
            continue;
        };
        assert_eq!(errors(schema, &document.value, ""), Vec::<String>::new(), "{place}");
        let line = modeline(&document)
            .unwrap_or_else(|| panic!("{place} names no schema: # yaml-language-server: …"));
        let named: PathBuf = document.file.parent().unwrap().join(line);
        assert_eq!(
            named.canonicalize().ok(),
            root().join("schemas").join(path).canonicalize().ok(),
            "{place}"
        );
        *kinds.entry(text("kind")).or_insert(0) += 1;
    }
    assert_eq!(kinds.len(), schemas.len(), "an example of each kind: {kinds:?}");
}

#[test]
fn typos_are_found() {
    let schemas = schemas();
    let of = |kind: &str| &schemas.iter().find(|((_, it), _)| it == kind).unwrap().1.1;
    let post = json!({
        "apiVersion": "postlink.dev/v1alpha1", "kind": "PostLink", "metadata": {"name": "a", "label": {}},
        "spec": {"post": {"url": "https://a.example/b", "id": 7, "sentiment": "Sad"}, "lnik": {}},
    });
    let found = errors(of("PostLink"), &post, "");
    for expected in [
        ".metadata.label: unknown",
        ".spec.lnik: unknown",
        ".spec.post.id: is not of type",
        ".spec.post.sentiment: ",
    ] {
        assert!(found.iter().any(|error| error.starts_with(expected)), "{expected} in {found:?}");
    }
    let instance = json!({
        "apiVersion": "local.postlink.dev/v1", "kind": "SimulatedInstance", "metadata": {},
        "spec": {"hots": "a", "state": "Off", "organization": {"id": "x", "name": "y", "uniqueName": "z"}},
    });
    let found = errors(of("SimulatedInstance"), &instance, "");
    for expected in [
        ".apiVersion: is not",
        ".metadata: has no",
        ".spec: has no \"host\"",
        ".spec.hots: unknown",
        ".spec.state: fits none",
    ] {
        assert!(found.iter().any(|error| error.starts_with(expected)), "{expected} in {found:?}");
    }
}

/// A field of the smallest object of a kind, with a value that an editor marks, or does not.
fn marks(kind: &str, field: &str, value: &Value) -> Vec<String> {
    let mut object = mistakes::smallest(kind);
    mistakes::set(&mut object, field, value.clone());
    let schemas = schemas();
    let (_, schema) = &schemas[&("postlink.dev/v1alpha1".to_owned(), kind.to_owned())];
    errors(schema, &object, "")
}

#[test]
fn editors_mark_what_the_api_server_refuses() {
    for (kind, field, value) in [
        ("DynamicsConnection", "spec.probe.interval", json!("1d")),
        ("DynamicsConnection", "spec.instanceUrl", json!("http://x/y")),
        ("DynamicsConnection", "spec.recordTypes[0]", json!("Case")),
        ("DynamicsConnection", "spec.recordTypes", json!([])),
        ("AutomationRule", "spec.since", json!("2025-12-01")),
        ("AutomationRule", "spec.match.keywords[0]", json!("-x")),
        ("AutomationRule", "spec.match.languages[0]", json!("English")),
        ("AutomationRule", "spec.match.sources", json!([])),
        ("AutomationRule", "spec.match.reach.min", json!(12500)),
        ("PostLink", "spec.link.recordId", json!("CAS-1")),
        ("PostLink", "spec.post.reach", json!(-1)),
        ("PostLink", "spec.post.url", json!("https://social.example/a b")),
        ("PostLink", "spec.post.url", json!(null)),
        ("PostLink", "spec.post.id", json!(" ")),
    ] {
        let found = marks(kind, field, &value);
        assert_eq!(found.len(), 1, "{kind} {field}: {value}: {found:?}");
    }
}

/// The whole table of right values, and null in optional fields.
#[test]
fn editors_mark_nothing_that_the_api_server_admits() {
    let rights = [
        ("DynamicsConnection", mistakes::CONNECTION_RIGHT),
        ("AutomationRule", mistakes::RULE_RIGHT),
        ("PostLink", mistakes::LINK_RIGHT),
    ];
    for (kind, table) in rights {
        for (field, value) in table {
            let value: Value = serde_yaml::from_str(value).unwrap();
            assert_eq!(marks(kind, field, &value), Vec::<String>::new(), "{kind} {field}: {value}");
        }
    }
    let null = json!(null);
    for field in
        ["spec.post.sentiment", "spec.post.author", "spec.post.reach", "spec.unlink", "spec.post.language"]
    {
        assert_eq!(marks("PostLink", field, &null), Vec::<String>::new(), "{field}");
    }
}

/// Editors and validators have the regular expressions of JavaScript, Go and Python; these are common to all.
#[test]
fn patterns_are_portable() {
    fn visit(schema: &Value, found: &mut Vec<String>) {
        match schema {
            Value::Object(fields) => {
                found.extend(fields.get("pattern").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|inner| visit(inner, found));
            }
            Value::Array(items) => items.iter().for_each(|inner| visit(inner, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    for (_, schema) in schemas().values() {
        visit(schema, &mut found);
    }
    assert!(found.len() > 10, "{found:?}");
    for pattern in found {
        let own = ["[:", "\\x", "\\u", "\\p", "(?"].iter().find(|it| pattern.contains(**it));
        assert_eq!(own, None, "{pattern}");
    }
}
