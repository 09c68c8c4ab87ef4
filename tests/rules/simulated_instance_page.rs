//! `docs/simulated-instance.md` is generated from the types of the simulator; `POSTLINK_WRITE_DOCS=1` rewrites it.
#![allow(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

use crate::generated_page::expect_current;
use postlink::local::{editor_schemas, simulated_instance};
use postlink::manifests;
use serde_json::Value;
use std::{fmt::Write, fs, path::Path};

const EXAMPLE: &str = "\
# yaml-language-server: $schema=../schemas/local.postlink.dev/simulatedinstance_v1alpha1.json
apiVersion: local.postlink.dev/v1alpha1
kind: SimulatedInstance
metadata: {name: contoso}
spec:
  host: contoso.crm.dynamics.com
  organization: {id: 5f0c9a3e-6d2b-4c57-9f0e-0d9d5a1b7c11, name: Contoso Ltd, uniqueName: contoso}
  state: Enabled
  tables: [{logicalName: new_complaint, entitySetName: new_complaints, primaryIdAttribute: new_complaintid}]
  convertsTo: new_complaint
";

/// The rows of the fields of an object, nested ones below it.
fn rows(text: &mut String, schema: &Value, prefix: &str) {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let is_required = |name: &str| required.contains(&name.into());
    let mut fields: Vec<(&String, &Value)> = schema["properties"].as_object().unwrap().iter().collect();
    fields.sort_by_key(|(name, _)| !is_required(name));
    for (name, field) in fields {
        let field = without_null(field);
        let path = format!("{prefix}{name}");
        let shown = match &field["default"] {
            _ if is_required(name) => "required".to_owned(),
            Value::Null => String::new(),
            Value::String(text) => format!("`{text}`"),
            other => format!("`{other}`"),
        };
        let mut meaning = described(&field);
        let values = field["oneOf"].as_array().into_iter().flatten();
        let values: Vec<String> =
            values.map(|it| format!("`{}`: {}", it["const"].as_str().unwrap(), described(it))).collect();
        if !values.is_empty() {
            let _ = write!(meaning, "<br>{}", values.join("<br>"));
        }
        let _ = writeln!(text, "| `{path}` | {} | {shown} | {} |", kind(&field), meaning.replace('|', "\\|"));
        if field["properties"].is_object() {
            rows(text, &field, &format!("{path}."));
        } else if field["items"]["properties"].is_object() {
            rows(text, &field["items"], &format!("{path}[]."));
        }
    }
}

fn described(schema: &Value) -> String {
    schema["description"].as_str().unwrap_or_default().to_owned()
}

/// An optional field may be null, which says no more than leaving it out.
fn without_null(field: &Value) -> Value {
    let null = |schema: &Value| schema["type"] == "null";
    let Some(inner) = field["anyOf"].as_array().and_then(|any| any.iter().find(|one| !null(one))) else {
        return field.clone();
    };
    let mut inner = inner.clone();
    inner["description"] = field["description"].clone();
    inner
}

fn kind(field: &Value) -> String {
    let name = match &field["type"] {
        Value::Array(names) => names[0].as_str().unwrap(),
        Value::String(name) => name,
        _ => "string",
    };
    match (name, field["format"].as_str()) {
        ("array", _) => format!("list of {}s", kind(&field["items"])),
        ("string", Some(format)) => format.to_owned(),
        (name, _) => name.to_owned(),
    }
}

fn page() -> String {
    let mut text = format!(
        "# SimulatedInstance\n\n\
         A simulated Dynamics 365 instance. Only `postlink local` and `postlink simulate` read this kind; no cluster knows it. An unknown\n\
         field is an error. For a `DynamicsConnection` whose host has none, `postlink local` makes up a healthy one. With `--no-simulated-defaults`, and\n\
         for `postlink simulate`, each connection needs one with the host of its `instanceUrl`.\n\n\
         This page is generated: `POSTLINK_WRITE_DOCS=1 cargo test --test rules simulated_instance_page`.\n\n\
         ```yaml\n{EXAMPLE}```\n\n\
         ## Fields of `spec`\n\n\
         | field | type | default | meaning |\n|---|---|---|---|\n",
    );
    rows(&mut text, &editor_schemas::instance_spec(), "");
    text
}

#[test]
fn simulated_instance_page_is_current() {
    expect_current("simulated-instance.md", &page(), "simulated_instance_page");
}

#[test]
fn the_example_of_the_simulated_instance_page_is_read() {
    let committed =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/simulated-instance.md")).unwrap();
    let example = committed.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let loaded = manifests::parse(Path::new("simulated-instance.md"), example);
    let instance = simulated_instance::read(&loaded.documents[0]).unwrap();
    assert_eq!(instance.spec.tables.len(), 1);
}
