//! JSON schemas for editors and validators: of the three kinds from their CRDs, of `SimulatedInstance` from its types. Any
//! unknown field is an error in them.

use super::{cel, simulated_instance};
use crate::api::crds;
use dataverse_simulator::InstanceSpec;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// The schema of one kind.
pub struct EditorSchema {
    /// Path below the folder of the schemas, as kubeconform and the CRDs-catalog name it:
    /// `postlink.dev/postlink_v1alpha1.json`.
    pub path: String,
    pub schema: Value,
}

impl EditorSchema {
    /// The text of its file.
    ///
    /// # Errors
    /// None that is expected: the schema is a JSON value.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(&self.schema).map(|text| text + "\n")
    }
}

/// The schemas of all kinds that `postlink local` reads and no other tool has a schema of.
///
/// # Errors
/// None that is expected: our own CRDs are JSON.
pub fn all() -> serde_json::Result<Vec<EditorSchema>> {
    let mut schemas = Vec::new();
    for crd in crds::all() {
        for version in &crd.spec.versions {
            let root = version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref());
            let mut root = serde_json::to_value(root)?;
            strict(&mut root);
            let api_version = format!("{}/{}", crd.spec.group, version.name);
            schemas.push(object(&api_version, &crd.spec.names.kind, root));
        }
    }
    let root = json!({
        "description": "A simulated Dynamics 365 instance. Only `postlink local` and `postlink simulate` read it.",
        "properties": {"spec": instance_spec()},
        "required": ["spec"],
        "type": "object",
        "additionalProperties": false,
    });
    schemas.push(object(simulated_instance::API_VERSION, simulated_instance::KIND, root));
    Ok(schemas)
}

/// The schema of the `spec` of a `SimulatedInstance`.
pub fn instance_spec() -> Value {
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<InstanceSpec>().to_value();
    if let Some(fields) = schema.as_object_mut() {
        fields.remove("$schema");
        fields.remove("title");
    }
    one_line(&mut schema);
    schema
}

fn object(api_version: &str, kind: &str, mut root: Value) -> EditorSchema {
    root["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    root["properties"]["apiVersion"] = json!({"type": "string", "const": api_version});
    root["properties"]["kind"] = json!({"type": "string", "const": kind});
    root["properties"]["metadata"] = metadata();
    if let Some(required) = root["required"].as_array_mut() {
        required.splice(0..0, ["apiVersion", "kind", "metadata"].map(Value::from));
    }
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    EditorSchema { path: format!("{group}/{}_{version}.json", kind.to_lowercase()), schema: root }
}

/// What people write, and what an exported object has.
fn metadata() -> Value {
    let texts = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let with = |mut schema: Value, description: &str| {
        schema["description"] = json!(description);
        schema
    };
    let mut properties = Map::new();
    let described = [
        ("name", json!({"type": "string", "minLength": 1}), "Name, unique in the namespace for the kind."),
        ("namespace", json!({"type": "string"}), "Namespace; if absent, that of the request."),
        ("labels", texts.clone(), "Labels. Values are strings: quote numbers and words such as yes."),
        ("annotations", texts, "Annotations. Values are strings: quote numbers and words such as yes."),
        ("finalizers", json!({"type": "array", "items": {"type": "string"}}), "Finalizers."),
        ("ownerReferences", json!({"type": "array", "items": {"type": "object"}}), "Owners."),
    ];
    for (name, schema, description) in described {
        properties.insert(name.to_owned(), with(schema, description));
    }
    for (name, kind) in [
        ("uid", "string"),
        ("resourceVersion", "string"),
        ("generation", "integer"),
        ("creationTimestamp", "string"),
        ("deletionTimestamp", "string"),
        ("deletionGracePeriodSeconds", "integer"),
        ("managedFields", "array"),
        ("selfLink", "string"),
    ] {
        properties.insert(
            name.to_owned(),
            json!({"type": [kind, "null"], "description": "Set by the API server."}),
        );
    }
    json!({
        "description": "Standard metadata of an object.",
        "type": "object",
        "properties": properties,
        "required": ["name"],
        "additionalProperties": false,
    })
}

/// Rejects unknown fields, and replaces what only the API server knows.
fn strict(schema: &mut Value) {
    let Some(fields) = schema.as_object_mut() else { return };
    let rules = fields.remove("x-kubernetes-validations");
    let rules = rules.iter().flat_map(|rules| rules.as_array().into_iter().flatten());
    for expression in rules.filter_map(|rule| rule["rule"].as_str()) {
        fields.extend(cel::keywords(expression));
    }
    fields.retain(|name, _| !name.starts_with("x-kubernetes-"));
    if fields.contains_key("properties") && !fields.contains_key("additionalProperties") {
        fields.insert("additionalProperties".to_owned(), json!(false));
    }
    let required = fields.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    for (name, inner) in fields {
        match (name.as_str(), inner) {
            ("properties", Value::Object(properties)) => {
                for (name, inner) in properties {
                    strict(inner);
                    if !required.iter().any(|it| it == name) {
                        or_null(inner);
                    }
                }
            }
            ("items" | "additionalProperties", inner) => strict(inner),
            ("minimum" | "maximum", Value::Number(number)) => whole(number),
            _ => {}
        }
    }
}

/// For the API server, null in an optional field is as if absent, and templates write it where a value is missing.
fn or_null(schema: &mut Value) {
    if let Some(name) = schema["type"].as_str() {
        schema["type"] = json!([name, "null"]);
    }
    if let Some(values) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        values.push(Value::Null);
    }
}

/// `100` for `100.0`.
fn whole(number: &mut serde_json::Number) {
    let text = number.to_string();
    if let Some(Ok(whole)) = text.strip_suffix(".0").map(str::parse::<i64>) {
        *number = whole.into();
    }
}

/// Descriptions without the line breaks of the source.
fn one_line(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::String(text)) = fields.get_mut("description") {
                *text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            }
            fields.values_mut().for_each(one_line);
        }
        Value::Array(items) => items.iter_mut().for_each(one_line),
        _ => {}
    }
}
