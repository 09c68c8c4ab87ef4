//! `metadata`: reading and normalising it, and the rules every object's metadata must keep.
//!
//! Rules and wording: `k8s.io/apimachinery/pkg/api/validation/objectmeta.go` and `…/api/validate/content`.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::answer::{FieldError, Outcome, Refusal};
use super::names::{NameRule, label_name, label_value, name_faults, qualified_name};
use super::resource::Resource;

/// The fields `ObjectMeta` knows; anything else is dropped, as a server drops it.
const KNOWN: [&str; 15] = [
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

/// A time as a server writes it in metadata: RFC 3339, whole seconds.
pub(crate) fn rfc3339_seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A string field of `metadata`, empty when absent.
pub(crate) fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or_default()
}

/// `metadata` for writing; made when absent.
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

/// What Go's decoder calls the type of a JSON value.
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

/// What Go's decoder says of a value that does not fit a type.
pub(crate) fn cannot_unmarshal(value: &Value, go_type: &str) -> String {
    format!("json: cannot unmarshal {} into Go value of type {go_type}", json_type(value))
}

/// Drops unknown and empty fields of `metadata` as decoding into `ObjectMeta` does. Returns the unknown paths.
///
/// # Errors
/// A field of the wrong type. Go names a field by the way to it, which begins at the object for built-in kinds.
pub(crate) fn normalise(object: &mut Value, resource: &Resource) -> Result<Vec<String>, String> {
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
    let way = if resource.custom { "ObjectMeta" } else { "ObjectMeta.metadata" };
    let metadata = of_mut(object);
    let unknown: Vec<String> = metadata.keys().filter(|k| !KNOWN.contains(&k.as_str())).cloned().collect();
    for field in &unknown {
        metadata.remove(field);
    }
    metadata.retain(|field, value| match value {
        Value::Null => false,
        Value::String(s) => !s.is_empty(),
        // An empty `managedFields` list has a meaning: it resets them.
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
    for field in KNOWN {
        if let Some(value) = metadata.get(field) {
            check_type(way, field, value)?;
        }
    }
    Ok(unknown.into_iter().map(|f| format!("metadata.{f}")).collect())
}

fn check_type(way: &str, field: &str, value: &Value) -> Result<(), String> {
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
    let fault = |is: &Value, go_type: &str| {
        let is = json_type(is);
        Err(format!("json: cannot unmarshal {is} into Go struct field {way}.{field} of type {go_type}"))
    };
    let inner_ok = |v: &Value| if inner == "string" { v.is_string() } else { v.is_object() };
    match value {
        Value::Object(map) if container.starts_with("map") => {
            map.values().find(|v| !inner_ok(v)).map_or(Ok(()), |v| fault(v, inner))
        }
        Value::Array(list) if container.starts_with("[]") => {
            list.iter().find(|v| !inner_ok(v)).map_or(Ok(()), |v| fault(v, inner))
        }
        Value::Number(n) if container == "int64" && n.is_i64() => Ok(()),
        Value::String(_) if container == "string" => Ok(()),
        other => fault(other, container),
    }
}

fn check_time(time: &str) -> Result<(), String> {
    if time.parse::<Timestamp>().is_ok() {
        return Ok(());
    }
    Err(format!(
        "parsing time \"{time}\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"{time}\" as \"2006\""
    ))
}

/// Gives the object the request's namespace, or refuses one that differs from it.
pub(crate) fn ensure_namespace(resource: &Resource, namespace: &str, object: &mut Value) -> Outcome<()> {
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
    Err(Refusal::bad_request(
        "the namespace of the provided object does not match the namespace sent on the request",
    ))
}

fn entries<'a>(object: &'a Value, field: &str) -> impl Iterator<Item = (&'a String, &'a str)> {
    object["metadata"][field].as_object().into_iter().flatten().filter_map(|(k, v)| Some((k, v.as_str()?)))
}

/// What is checked on every write: labels, annotations, owner references.
fn shared(object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (key, value) in entries(object, "labels") {
        errors.extend(
            qualified_name(key).iter().map(|f| FieldError::invalid("metadata.labels", key.as_str(), f)),
        );
        errors.extend(label_value(value).iter().map(|f| FieldError::invalid("metadata.labels", value, f)));
    }
    let mut size = 0;
    for (key, value) in entries(object, "annotations") {
        size += key.len() + value.len();
        errors.extend(
            qualified_name(&key.to_lowercase())
                .iter()
                .map(|f| FieldError::invalid("metadata.annotations", key.as_str(), f)),
        );
    }
    if size > 256 * 1024 {
        let detail = format!("may not be more than {} bytes", 256 * 1024);
        errors.push(FieldError::new(
            super::answer::Cause::TooLong,
            "metadata.annotations",
            &Value::Null,
            &detail,
        ));
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

/// `ValidateObjectMetaAccessor`: the rules for a whole `metadata`.
pub(crate) fn validate(resource: &Resource, rule: NameRule, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let prefix = text(object, "generateName");
    if !prefix.is_empty() {
        let faults = name_faults(rule, prefix, true);
        errors.extend(faults.iter().map(|f| FieldError::invalid("metadata.generateName", prefix, f)));
    }
    let name = text(object, "name");
    if name.is_empty() {
        errors.push(FieldError::required("metadata.name", "name or generateName is required"));
    } else {
        let faults = name_faults(rule, name, false);
        errors.extend(faults.iter().map(|f| FieldError::invalid("metadata.name", name, f)));
    }
    let namespace = text(object, "namespace");
    if resource.namespaced {
        let faults = label_name(namespace);
        errors.extend(faults.iter().map(|f| FieldError::invalid("metadata.namespace", namespace, f)));
    }
    errors.extend(shared(object));
    for finalizer in finalizers(object) {
        let faults = qualified_name(finalizer);
        errors.extend(faults.iter().map(|f| FieldError::invalid("metadata.finalizers", finalizer, f)));
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

/// `ValidateObjectMetaAccessorUpdate`: what an update may not change.
pub(crate) fn validate_update(object: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if !text(old, "deletionTimestamp").is_empty() {
        let before = finalizers(old);
        let mut added: Vec<&str> = finalizers(object).into_iter().filter(|f| !before.contains(f)).collect();
        if !added.is_empty() {
            added.sort_unstable();
            added.dedup();
            let list = added.iter().map(|f| format!("\"{f}\"")).collect::<Vec<_>>().join(", ");
            errors.push(FieldError::forbidden(
                "metadata.finalizers",
                &format!("no new finalizers can be added if the object is being deleted, found new finalizers []string{{{list}}}"),
            ));
        }
    }
    for field in
        ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"]
    {
        let (new, was) = (&object["metadata"][field], &old["metadata"][field]);
        if new != was {
            let shown = if new.is_null() && field == "uid" { json!("") } else { new.clone() };
            errors.push(FieldError::invalid(format!("metadata.{field}"), shown, "field is immutable"));
        }
    }
    errors.extend(shared(object));
    errors
}

/// The warnings a server gives for finalizers without a domain.
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
        let kinds = crate::resource::Catalogue::new(&[]).unwrap();
        assert_eq!(normalise(&mut object, kinds.namespaces()), Ok(vec!["metadata.nope".to_owned()]));
        assert_eq!(object, json!({"metadata": {"name": "a"}}));
    }
}
