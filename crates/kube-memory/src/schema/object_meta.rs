//! Validation of an object's metadata, as `ValidateObjectMeta` does it.

use serde_json::{Map, Value};

use crate::field_error::{FieldError, FieldErrorKind};
use crate::metadata;
use crate::names::{NameRule, label_name, name_errors, qualified_name};

/// The violations of `metadata`. `old` is the stored object on an update.
pub(crate) fn check(object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let Some(meta) = object.get("metadata").and_then(Value::as_object) else {
        if object.get("metadata").is_some_and(|value| !value.is_null()) {
            let detail = "must be a mapping with at least a name";
            errors.push(FieldError::new("metadata", FieldErrorKind::TypeInvalid, None, detail));
        } else {
            errors.push(FieldError::required("metadata.name", NAMELESS));
        }
        return errors;
    };
    check_types(meta, &mut errors);
    if old.is_none() {
        check_name(meta, &mut errors);
    }
    errors.extend(metadata::keys_and_owners(object));
    for finalizer in metadata::finalizers(object) {
        let problems = qualified_name(finalizer);
        errors.extend(problems.into_iter().map(|p| FieldError::invalid("metadata.finalizers", finalizer, p)));
    }
    if let Some(old) = old.filter(|old| old["metadata"].is_object()) {
        check_immutable(meta, &old["metadata"], &mut errors);
        errors.extend(metadata::added_finalizers(object, old));
    }
    errors
}

const NAMELESS: &str = "name or generateName is required";

fn text<'a>(metadata: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    metadata.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn check_name(meta: &Map<String, Value>, errors: &mut Vec<FieldError>) {
    let mut report = |field: &str, value: &str, problems: Vec<String>| {
        errors.extend(problems.into_iter().map(|problem| FieldError::invalid(field, value, problem)));
    };
    match (text(meta, "name"), text(meta, "generateName")) {
        (Some(name), _) => report("metadata.name", name, name_errors(NameRule::Subdomain, name, false)),
        // A server checks the generated name; here the prefix stands for it.
        (None, Some(prefix)) => {
            report("metadata.generateName", prefix, name_errors(NameRule::Subdomain, prefix, true));
        }
        (None, None) => errors.push(FieldError::required("metadata.name", NAMELESS)),
    }
    if let Some(namespace) = text(meta, "namespace") {
        let problems = label_name(namespace);
        errors.extend(problems.into_iter().map(|p| FieldError::invalid("metadata.namespace", namespace, p)));
    }
}

/// Checks JSON types: the server decodes metadata into Go types before it validates.
fn check_types(meta: &Map<String, Value>, errors: &mut Vec<FieldError>) {
    let mut wrong = |path: String, value: &Value, expected: &str| {
        let detail = format!("must be of type {expected}");
        errors.push(FieldError::new(path, FieldErrorKind::TypeInvalid, Some(value.clone()), detail));
    };
    for (name, value) in meta.iter().filter(|(_, value)| !value.is_null()) {
        let path = format!("metadata.{name}");
        match name.as_str() {
            "labels" | "annotations" => match value.as_object() {
                Some(entries) => entries
                    .iter()
                    .filter(|(_, value)| !value.is_string() && !value.is_null())
                    .for_each(|(key, value)| wrong(format!("{path}[{key}]"), value, "string")),
                None => wrong(path, value, "object"),
            },
            "finalizers" | "ownerReferences" | "managedFields" if !value.is_array() => {
                wrong(path, value, "array");
            }
            "name" | "generateName" | "namespace" | "uid" | "resourceVersion" if !value.is_string() => {
                wrong(path, value, "string");
            }
            "generation" if !value.is_number() => wrong(path, value, "integer"),
            _ => {}
        }
    }
}

fn check_immutable(new: &Map<String, Value>, old: &Value, errors: &mut Vec<FieldError>) {
    for field in ["name", "namespace", "uid", "creationTimestamp"] {
        // The server fills in fields that an update omits.
        if let Some(value) = new.get(field).filter(|value| !value.is_null() && Some(*value) != old.get(field))
        {
            let path = format!("metadata.{field}");
            errors.push(FieldError::invalid(path, value.clone(), "field is immutable"));
        }
    }
}
