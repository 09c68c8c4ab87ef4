//! The CRDs and examples are as an API server accepts them: structural, with bounds everywhere, and nothing is pruned.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube_memory::schema::{Schema, lint};
use postlink::{
    api::{NOT_OBSERVED, crds, names::VERSION},
    manifests::{Document, documents},
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, path::Path};

/// Built-in kinds in the examples; their contents are not checked.
const BUILT_IN: [&str; 2] = ["Namespace", "Secret"];

fn schemas() -> Vec<Schema> {
    let compiled = |crd: &CustomResourceDefinition| Schema::from_crd(crd, VERSION).unwrap();
    crds::all().iter().map(compiled).collect()
}

fn definition(crd: &CustomResourceDefinition) -> Value {
    let json = serde_json::to_value(crd).unwrap();
    json.pointer("/spec/versions/0/schema/openAPIV3Schema").cloned().unwrap()
}

#[test]
fn api_server_accepts_the_definitions() {
    let all = crds::all();
    assert_eq!(all.len(), 3);
    for crd in all {
        assert_eq!(lint(&crd), Vec::<String>::new(), "{}", crd.spec.names.plural);
    }
}

#[test]
fn default_status_has_observed_generation_minus_one() {
    for schema in schemas() {
        let mut object = json!({
            "apiVersion": schema.api_version(), "kind": schema.kind(), "metadata": {"name": "x"}, "spec": {},
        });
        schema.default(&mut object);
        assert_eq!(object["status"]["observedGeneration"], json!(NOT_OBSERVED), "{}", schema.kind());
        assert_eq!(object["status"]["observedGeneration"], json!(-1), "{}", schema.kind());
    }
}

/// Every path in a schema without a bound.
fn unbounded(schema: &Value, path: &str, found: &mut Vec<String>) {
    let has = |keyword: &str| schema.get(keyword).is_some();
    let says = |keyword: &str| has(keyword).then(|| schema[keyword].clone());
    match schema["type"].as_str() {
        // The API server bounds dates; any other format limits no length.
        Some("string") if !has("maxLength") && !has("enum") && says("format") != Some(json!("date-time")) => {
            found.push(format!("{path}: a string without maxLength"));
        }
        Some("array") if !has("maxItems") => found.push(format!("{path}: an array without maxItems")),
        Some("object") if has("additionalProperties") && !has("maxProperties") => {
            found.push(format!("{path}: a map without maxProperties"));
        }
        Some("object") if !has("properties") && !has("additionalProperties") => {
            found.push(format!("{path}: an object without named fields"));
        }
        None => found.push(format!("{path}: no type")),
        _ => {}
    }
    if has("x-kubernetes-preserve-unknown-fields") {
        found.push(format!("{path}: unknown fields are kept, whatever their size"));
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        unbounded(property, &format!("{path}.{name}"), found);
    }
    for (below, sign) in [("items", "[]"), ("additionalProperties", "{}")] {
        if has(below) {
            unbounded(&schema[below], &format!("{path}{sign}"), found);
        }
    }
}

#[test]
fn every_field_is_bounded() {
    for crd in crds::all() {
        let definition = definition(&crd);
        for part in ["spec", "status"] {
            let mut found = Vec::new();
            let schema = &definition["properties"][part];
            assert!(schema.is_object(), "{} has a {part}", crd.spec.names.kind);
            unbounded(schema, part, &mut found);
            assert!(found.is_empty(), "{}:\n{}", crd.spec.names.kind, found.join("\n"));
        }
    }
}

#[test]
fn unbounded_fields_are_found() {
    let schema = json!({"type": "object", "properties": {
        "text": {"type": "string"},
        "address": {"type": "string", "format": "uri"},
        "list": {"type": "array", "items": {"type": "string", "maxLength": 3}},
        "map": {"type": "object", "additionalProperties": {"type": "string"}},
        "deep": {"type": "array", "maxItems": 2, "items": {"type": "object", "properties": {"x": {"type": "string"}}}},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        "when": {"type": "string", "format": "date-time"},
        "one": {"type": "string", "enum": ["a"]},
    }});
    let mut found = Vec::new();
    unbounded(&schema, "spec", &mut found);
    let places: BTreeSet<&str> = found.iter().filter_map(|f| f.split(':').next()).collect();
    let expected =
        ["spec.address", "spec.deep[].x", "spec.free", "spec.list", "spec.map", "spec.map{}", "spec.text"];
    assert_eq!(places, BTreeSet::from(expected));
}

/// The errors of one document under `fieldValidation=Strict`; `None` if it is not one of our kinds.
fn refused(schemas: &[Schema], document: &Document) -> Option<Vec<String>> {
    let text = |field: &str| document.value[field].as_str().unwrap_or_default();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let Some(schema) = schemas.iter().find(|s| s.kind() == kind && s.api_version() == api_version) else {
        let ours = api_version.starts_with("postlink.dev/");
        return ours.then(|| vec![format!("{}: there is no {api_version} {kind}", document.place("kind"))]);
    };
    let mut object = document.value.clone();
    let mut problems: Vec<String> = schema
        .prune(&mut object)
        .into_iter()
        .map(|path| format!("{}: unknown field {path}", document.place(&path)))
        .collect();
    schema.default(&mut object);
    problems.extend(schema.validate(&object, None).iter().map(|e| format!("{}: {e}", document.place(""))));
    Some(problems)
}

#[test]
fn examples_are_valid() {
    let schemas = schemas();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let (mut checked, mut problems) = (BTreeSet::new(), Vec::new());
    for document in documents(&examples).unwrap() {
        let document = document.unwrap();
        let kind = document.value["kind"].as_str().unwrap_or_default().to_owned();
        match refused(&schemas, &document) {
            Some(found) => problems.extend(found),
            None if kind == postlink::local::simulated_instance::KIND => {}
            None => assert!(BUILT_IN.contains(&kind.as_str()), "{}: {kind}?", document.place("kind")),
        }
        checked.insert(kind);
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    for kind in ["DynamicsConnection", "AutomationRule", "PostLink"] {
        assert!(checked.contains(kind), "no example shows a {kind}");
    }
}

#[test]
fn invalid_documents_are_found() {
    let schemas = schemas();
    let refused = |spec: &str| {
        let text = format!(
            "apiVersion: postlink.dev/v1alpha1\nkind: AutomationRule\nmetadata: {{name: r}}\nspec:\n{spec}"
        );
        let loaded = postlink::manifests::parse(Path::new("rule.yaml"), &text);
        assert!(loaded.errors.is_empty(), "{:?}", loaded.errors);
        refused(&schemas, &loaded.documents[0]).unwrap().join("\n")
    };
    assert_eq!(refused("  connectionRef: {name: contoso}\n"), "");
    assert!(
        refused("  connectionRef: {name: contoso}\n  actve: true\n").contains("rule.yaml:6:3: unknown field")
    );
    assert!(refused("  active: true\n").contains("connectionRef"), "a missing field");
    assert!(refused("  connectionRef: {name: contoso}\n  match: {sentiments: [Angry]}\n").contains("Angry"));
}
