//! Checks an object's metadata before it is applied. YAML reads `2026` as a number and `no` as a boolean; the API server
//! decodes texts only, and its error does not name the field.

use crate::manifests::is_unrendered;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube_memory::validate_name;
use serde_json::Value;

const MUST_BE_TEXT: &str = "must be a string; put it in quotes";
const UNRENDERED: &str = "seems to be an unrendered template or variable: render it first";
/// Fields that hold one text.
const TEXTS: [&str; 4] = ["name", "namespace", "generateName", "resourceVersion"];
/// Fields that hold texts by key.
const MAPS: [&str; 2] = ["labels", "annotations"];

/// Reads null labels and annotations as client-go does: as empty texts.
pub fn fill(object: &mut Value) {
    for field in MAPS {
        let values =
            object.get_mut("metadata").and_then(|it| it.get_mut(field)).and_then(Value::as_object_mut);
        for value in values.into_iter().flat_map(serde_json::Map::values_mut).filter(|it| it.is_null()) {
            *value = Value::String(String::new());
        }
    }
}

/// What is wrong, each with its field. `kind` is that of the object.
pub fn faults(kind: &str, metadata: &Value) -> Vec<(String, String)> {
    let none = serde_json::Map::new();
    let fields = match metadata {
        Value::Null => &none,
        Value::Object(fields) => fields,
        _ => return vec![("metadata".to_owned(), "must be a mapping with a name".to_owned())],
    };
    let mut found = Vec::new();
    for field in TEXTS {
        match fields.get(field) {
            None | Some(Value::Null | Value::String(_)) => {}
            Some(_) => found.push((format!("metadata.{field}"), MUST_BE_TEXT.to_owned())),
        }
    }
    for field in MAPS {
        match fields.get(field) {
            None | Some(Value::Null) => {}
            Some(Value::Object(values)) => {
                let wrong = values.iter().filter(|(_, value)| !value.is_string());
                found.extend(
                    wrong.map(|(key, _)| (format!("metadata.{field}[{key}]"), MUST_BE_TEXT.to_owned())),
                );
            }
            Some(_) => found.push((format!("metadata.{field}"), "must be a mapping of strings".to_owned())),
        }
    }
    if found.is_empty() && !fields.is_empty() {
        found.extend(undecodable(metadata));
    }
    let text = |field: &str| fields.get(field).and_then(Value::as_str).unwrap_or_default();
    let mut invalid = |field: &str, kind: &str| {
        if is_unrendered(text(field)) {
            found.push((format!("metadata.{field}"), UNRENDERED.to_owned()));
            return;
        }
        let faults = validate_name(kind, text(field)).into_iter();
        found.extend(faults.map(|fault| (format!("metadata.{field}"), fault)));
    };
    if !text("name").is_empty() {
        invalid("name", kind);
    }
    if !text("namespace").is_empty() {
        invalid("namespace", "Namespace");
    }
    if fields.get("name").is_none_or(|name| name.is_null() || name == "") {
        found.push(("metadata.name".to_owned(), "must be set".to_owned()));
    }
    found
}

/// Any other field. The decoder's message holds the value, so only what it expects is shown.
fn undecodable(metadata: &Value) -> Option<(String, String)> {
    let error = serde_path_to_error::deserialize::<_, ObjectMeta>(metadata).err()?;
    let message = error.inner().to_string();
    let expected = message.rsplit_once(", expected ").map_or("another value", |(_, expected)| expected);
    Some((format!("metadata.{}", error.path()), format!("is not valid; expected {expected}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(metadata: &Value) -> Vec<String> {
        faults("PostLink", metadata).into_iter().map(|(field, why)| format!("{field}: {why}")).collect()
    }

    #[test]
    fn metadata_holds_texts() {
        assert_eq!(shown(&json!({"name": "a", "namespace": "social", "labels": {"a": "1"}})), [""; 0]);
        assert_eq!(shown(&json!({"name": "a", "namespace": null, "labels": null})), [""; 0]);
        let text = MUST_BE_TEXT;
        for (metadata, expected) in [
            (json!({"name": 7}), format!("metadata.name: {text}")),
            (json!({"name": "a", "namespace": 2026}), format!("metadata.namespace: {text}")),
            (json!({"name": "a", "namespace": false}), format!("metadata.namespace: {text}")),
            (
                json!({"name": "a", "labels": {"app.kubernetes.io/version": 1.2}}),
                format!("metadata.labels[app.kubernetes.io/version]: {text}"),
            ),
            (json!({"name": "a", "annotations": {"b": true}}), format!("metadata.annotations[b]: {text}")),
            (json!({"name": "a", "labels": ["b"]}), "metadata.labels: must be a mapping of strings".into()),
            (
                json!({"name": "a", "finalizers": "b"}),
                "metadata.finalizers: is not valid; expected a sequence".into(),
            ),
            (json!("a"), "metadata: must be a mapping with a name".into()),
        ] {
            assert_eq!(shown(&metadata), [expected]);
        }
        assert!(
            shown(&json!({"name": "a", "namespace": "Social Media"}))[0].starts_with("metadata.namespace: ")
        );
    }
}
