//! `metadata`: reading, normalizing and validating it.
//!
//! Rules and wording: `k8s.io/apimachinery/pkg/api/validation/objectmeta.go` and `…/api/validate/content`.

use jiff::{Timestamp, fmt::temporal::Pieces};
use serde_json::{Map, Value, json};

use crate::field_error::{FieldError, FieldErrorKind};
use crate::names::{NameRule, label_name, label_value, name_errors, qualified_name};
use crate::resource::Resource;
use crate::status::{ApiResult, StatusError};

/// The fields of `ObjectMeta`. A server drops all others.
pub(crate) const FIELDS: [&str; 15] = [
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// A time in the format of metadata: RFC 3339, whole seconds.
pub(crate) fn rfc3339_seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A string field of `metadata`, empty when absent.
pub(crate) fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or_default()
}

/// The `metadata` object, created if absent.
pub(crate) fn of_mut(object: &mut Value) -> &mut Map<String, Value> {
    if !object.is_object() {
        *object = json!({});
    }
    let slot =
        object.as_object_mut().expect("made an object above").entry("metadata").or_insert_with(|| json!({}));
    if !slot.is_object() {
        *slot = json!({});
    }
    slot.as_object_mut().expect("made an object above")
}

/// Sets or, with `None`, removes a field of `metadata`.
pub(crate) fn set(object: &mut Value, field: &str, value: Option<Value>) {
    let metadata = of_mut(object);
    match value {
        Some(value) => metadata.insert(field.to_owned(), value),
        None => metadata.remove(field),
    };
}

/// The finalizers.
pub(crate) fn finalizers(object: &Value) -> Vec<&str> {
    object["metadata"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The type of a JSON value in the words of Go's decoder.
pub(crate) fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The error of Go's decoder for a value that does not fit a type.
pub(crate) fn cannot_unmarshal(value: &Value, go_type: &str) -> String {
    format!("json: cannot unmarshal {} into Go value of type {go_type}", json_type(value))
}

/// Drops unknown and empty fields of `metadata` as decoding into `ObjectMeta` does. Returns the unknown paths.
///
/// # Errors
/// A field of the wrong type. Go names a field by its path, which starts at the object for built-in kinds.
pub(crate) fn normalize(object: &mut Value, resource: &Resource) -> Result<Vec<String>, String> {
    let sent = &object["metadata"];
    if !sent.is_null() && !sent.is_object() {
        return Err(if resource.custom {
            cannot_unmarshal(sent, "v1.ObjectMeta")
        } else {
            format!(
                "json: cannot unmarshal {} into Go struct field {}.metadata of type v1.ObjectMeta",
                json_type(sent),
                resource.kind
            )
        });
    }
    let path = if resource.custom { "ObjectMeta" } else { "ObjectMeta.metadata" };
    let metadata = of_mut(object);
    let unknown: Vec<String> = metadata.keys().filter(|k| !FIELDS.contains(&k.as_str())).cloned().collect();
    for field in &unknown {
        metadata.remove(field);
    }
    metadata.retain(|field, value| match value {
        Value::Null => false,
        Value::String(s) => !s.is_empty(),
        // An empty `managedFields` list resets them.
        Value::Array(a) => !a.is_empty() || field == "managedFields",
        Value::Object(o) => !o.is_empty(),
        Value::Number(n) => n.as_i64() != Some(0) || field != "generation",
        Value::Bool(_) => true,
    });
    for map in ["labels", "annotations"] {
        if let Some(Value::Object(entries)) = metadata.get_mut(map) {
            // A null in a map of strings decodes as the empty string.
            for value in entries.values_mut().filter(|v| v.is_null()) {
                *value = json!("");
            }
        }
    }
    for field in FIELDS {
        if let Some(value) = metadata.get(field) {
            check_type(path, field, value)?;
        }
    }
    Ok(unknown.into_iter().map(|f| format!("metadata.{f}")).collect())
}

fn check_type(path: &str, field: &str, value: &Value) -> Result<(), String> {
    if ["creationTimestamp", "deletionTimestamp"].contains(&field)
        && let Some(time) = value.as_str()
    {
        return check_time(time);
    }
    let (container, inner): (&str, &str) = match field {
        "labels" | "annotations" => ("map[string]string", "string"),
        "finalizers" => ("[]string", "string"),
        "ownerReferences" => ("[]v1.OwnerReference", "v1.OwnerReference"),
        "managedFields" => ("[]v1.ManagedFieldsEntry", "v1.ManagedFieldsEntry"),
        "generation" | "deletionGracePeriodSeconds" => ("int64", ""),
        _ => ("string", ""),
    };
    let mismatch = |is: &Value, go_type: &str| {
        let is = json_type(is);
        Err(format!("json: cannot unmarshal {is} into Go struct field {path}.{field} of type {go_type}"))
    };
    let inner_ok = |v: &Value| if inner == "string" { v.is_string() } else { v.is_object() };
    match value {
        Value::Object(map) if container.starts_with("map") => {
            map.values().find(|v| !inner_ok(v)).map_or(Ok(()), |v| mismatch(v, inner))
        }
        Value::Array(list) if container.starts_with("[]") => {
            list.iter().find(|v| !inner_ok(v)).map_or(Ok(()), |v| mismatch(v, inner))
        }
        Value::Number(n) if container == "int64" && n.is_i64() => Ok(()),
        Value::String(_) if container == "string" => Ok(()),
        other => mismatch(other, container),
    }
}

/// Whether this is a time for Go, which knows those that are too late for a [`Timestamp`] as well.
pub(crate) fn is_time(text: &str) -> bool {
    Pieces::parse(text).is_ok_and(|pieces| pieces.time().is_some() && pieces.offset().is_some())
}

fn check_time(time: &str) -> Result<(), String> {
    if is_time(time) {
        return Ok(());
    }
    Err(format!(
        "parsing time \"{time}\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"{time}\" as \"2006\""
    ))
}

/// Sets the namespace of the request, or rejects an object with another one.
pub(crate) fn ensure_namespace(resource: &Resource, namespace: &str, object: &mut Value) -> ApiResult<()> {
    let stated = text(object, "namespace");
    let expected = if resource.namespaced { namespace } else { "" };
    if stated == expected {
        return Ok(());
    }
    if expected.is_empty() {
        set(object, "namespace", None);
        return Ok(());
    }
    if stated.is_empty() {
        set(object, "namespace", Some(json!(expected)));
        return Ok(());
    }
    Err(StatusError::bad_request(
        "the namespace of the provided object does not match the namespace sent on the request",
    ))
}

fn entries<'a>(object: &'a Value, field: &str) -> impl Iterator<Item = (&'a String, &'a str)> {
    object["metadata"][field].as_object().into_iter().flatten().filter_map(|(k, v)| Some((k, v.as_str()?)))
}

/// Validates labels, annotations and owner references.
pub(crate) fn keys_and_owners(object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (key, value) in entries(object, "labels") {
        errors.extend(
            qualified_name(key).iter().map(|p| FieldError::invalid("metadata.labels", key.as_str(), p)),
        );
        errors.extend(label_value(value).iter().map(|p| FieldError::invalid("metadata.labels", value, p)));
    }
    let mut size = 0;
    for (key, value) in entries(object, "annotations") {
        size += key.len() + value.len();
        errors.extend(
            qualified_name(&key.to_lowercase())
                .iter()
                .map(|p| FieldError::invalid("metadata.annotations", key.as_str(), p)),
        );
    }
    if size > 256 * 1024 {
        let detail = format!("may not be more than {} bytes", 256 * 1024);
        errors.push(FieldError::new("metadata.annotations", FieldErrorKind::TooLong, None, detail));
    }
    for owner in object["metadata"]["ownerReferences"].as_array().into_iter().flatten() {
        for (field, detail) in [
            ("apiVersion", "version must not be empty"),
            ("kind", "must not be empty"),
            ("name", "must not be empty"),
            ("uid", "must not be empty"),
        ] {
            if owner[field].as_str().unwrap_or_default().is_empty() {
                errors.push(FieldError::invalid(format!("metadata.ownerReferences.{field}"), "", detail));
            }
        }
    }
    errors
}

/// `ValidateObjectMetaAccessor`: validates the whole `metadata`.
pub(crate) fn validate(resource: &Resource, rule: NameRule, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let prefix = text(object, "generateName");
    if !prefix.is_empty() {
        let problems = name_errors(rule, prefix, true);
        errors.extend(problems.iter().map(|p| FieldError::invalid("metadata.generateName", prefix, p)));
    }
    let name = text(object, "name");
    if name.is_empty() {
        errors.push(FieldError::required("metadata.name", "name or generateName is required"));
    } else {
        let problems = name_errors(rule, name, false);
        errors.extend(problems.iter().map(|p| FieldError::invalid("metadata.name", name, p)));
    }
    let namespace = text(object, "namespace");
    if resource.namespaced {
        let problems = label_name(namespace);
        errors.extend(problems.iter().map(|p| FieldError::invalid("metadata.namespace", namespace, p)));
    }
    errors.extend(keys_and_owners(object));
    for finalizer in finalizers(object) {
        let problems = qualified_name(finalizer);
        errors.extend(problems.iter().map(|p| FieldError::invalid("metadata.finalizers", finalizer, p)));
    }
    if ["orphan", "foregroundDeletion"].iter().all(|f| finalizers(object).contains(f)) {
        errors.push(FieldError::invalid(
            "metadata.finalizers",
            object["metadata"]["finalizers"].clone(),
            "finalizer orphan and foregroundDeletion cannot be both set",
        ));
    }
    errors
}

/// The violation of adding finalizers to an object that is being deleted.
pub(crate) fn added_finalizers(object: &Value, old: &Value) -> Option<FieldError> {
    if text(old, "deletionTimestamp").is_empty() {
        return None;
    }
    let before = finalizers(old);
    let mut added: Vec<&str> = finalizers(object).into_iter().filter(|f| !before.contains(f)).collect();
    if added.is_empty() {
        return None;
    }
    added.sort_unstable();
    added.dedup();
    let list = added.iter().map(|f| format!("\"{f}\"")).collect::<Vec<_>>().join(", ");
    let detail = format!(
        "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{list}}}"
    );
    Some(FieldError::forbidden("metadata.finalizers", detail))
}

/// `ValidateObjectMetaAccessorUpdate`: validates what an update may not change.
pub(crate) fn validate_update(object: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    errors.extend(added_finalizers(object, old));
    for field in
        ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"]
    {
        let (new, was) = (&object["metadata"][field], &old["metadata"][field]);
        if new != was {
            let shown = if new.is_null() && field == "uid" { json!("") } else { new.clone() };
            errors.push(FieldError::invalid(format!("metadata.{field}"), shown, "field is immutable"));
        }
    }
    errors.extend(keys_and_owners(object));
    errors
}

/// The warnings about new finalizers without a domain.
pub(crate) fn finalizer_warnings(object: &Value, old: Option<&Value>) -> Vec<String> {
    let before = old.map(finalizers).unwrap_or_default();
    let mut added: Vec<&str> = finalizers(object).into_iter().filter(|f| !before.contains(f)).collect();
    added.sort_unstable();
    added.dedup();
    added
        .into_iter()
        .filter(|f| !f.contains('/') && !["orphan", "foregroundDeletion", "kubernetes"].contains(f))
        .map(|f| {
            let path = if f.contains('.') { " including a path (/)" } else { "" };
            format!(
                "metadata.finalizers: \"{f}\": prefer a domain-qualified finalizer name{path} to avoid accidental conflicts with other finalizer writers"
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_and_unknown_metadata_is_dropped() {
        let mut object =
            json!({"metadata": {"name": "a", "labels": {}, "nope": 1, "creationTimestamp": null}});
        let kinds = crate::resource::Registry::new(&[]).unwrap();
        assert_eq!(normalize(&mut object, kinds.namespaces()), Ok(vec!["metadata.nope".to_owned()]));
        assert_eq!(object, json!({"metadata": {"name": "a"}}));
    }
}
