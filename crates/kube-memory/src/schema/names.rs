//! Names, labels and the other metadata every Kubernetes object has, checked as `ValidateObjectMeta` does.

use serde_json::{Map, Value};

use super::error::{FieldError, FieldErrorKind};

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
    and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
    start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const QUALIFIED: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with \
    an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', \
    and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used \
    for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const ANNOTATIONS_BYTES: usize = 256 * 1024;

/// What the server keeps of `metadata`; anything else is an unknown field.
pub(super) const METADATA_FIELDS: [&str; 15] = [
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

/// RFC 1123 label in lower case: the names of namespaces.
pub(super) fn is_label(text: &str) -> bool {
    let middle = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(middle)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// RFC 1123 subdomain in lower case: the names of most objects.
pub(super) fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && subdomain_shape(text)
}

fn subdomain_shape(text: &str) -> bool {
    let middle = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    text.split('.').all(|part| {
        !part.is_empty() && part.bytes().all(middle) && !part.starts_with('-') && !part.ends_with('-')
    })
}

fn word_shape(text: &str) -> bool {
    let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    edge(text.bytes().next())
        && edge(text.bytes().last())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// `unit` is what the server counts: characters in names, bytes in the prefixes of keys.
fn subdomain_faults(text: &str, unit: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if text.len() > 253 {
        faults.push(format!("must be no more than 253 {unit}"));
    }
    if !subdomain_shape(text) {
        faults.push(SUBDOMAIN.to_owned());
    }
    faults
}

/// What is wrong with a label key, an annotation key or a finalizer.
fn qualified_name_faults(text: &str) -> Vec<String> {
    let (prefix, name) = match text.split_once('/') {
        Some((_, name)) if name.contains('/') => {
            return vec![format!(
                "a valid label key {} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
                &QUALIFIED[10..]
            )];
        }
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, text),
    };
    let mut faults = Vec::new();
    match prefix {
        Some("") => faults.push("prefix part must be non-empty".to_owned()),
        Some(prefix) => faults.extend(
            subdomain_faults(prefix, "bytes").into_iter().map(|fault| format!("prefix part {fault}")),
        ),
        None => {}
    }
    if name.is_empty() {
        faults.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        faults.push("name part must be no more than 63 bytes".to_owned());
    }
    if !word_shape(name) {
        faults.push(QUALIFIED.to_owned());
    }
    faults
}

/// The faults of `metadata` on its own. `old` is the stored object on an update.
pub(super) fn check(object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let Some(metadata) = object.get("metadata").and_then(Value::as_object) else {
        if object.get("metadata").is_some_and(|value| !value.is_null()) {
            let detail = "must be a mapping with at least a name";
            errors.push(FieldError::new("metadata", FieldErrorKind::TypeInvalid, None, detail));
        } else {
            errors.push(FieldError::required("metadata.name", NAMELESS));
        }
        return errors;
    };
    check_types(metadata, &mut errors);
    if old.is_none() {
        check_name(metadata, &mut errors);
    }
    check_keys(metadata, &mut errors);
    if let Some(old) = old.and_then(|old| old.get("metadata")).and_then(Value::as_object) {
        check_immutable(metadata, old, &mut errors);
    }
    errors
}

const NAMELESS: &str = "name or generateName is required";

fn text<'a>(metadata: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    metadata.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn check_name(metadata: &Map<String, Value>, errors: &mut Vec<FieldError>) {
    let mut report = |field: &str, value: &str, faults: Vec<String>| {
        errors.extend(faults.into_iter().map(|fault| FieldError::invalid(field, value.into(), fault)));
    };
    match (text(metadata, "name"), text(metadata, "generateName")) {
        (Some(name), _) => report("metadata.name", name, subdomain_faults(name, "characters")),
        // The server has made a name by now, and checks that; here the prefix speaks for it.
        (None, Some(prefix)) => {
            let faults = subdomain_faults(prefix.strip_suffix('-').unwrap_or(prefix), "characters");
            report("metadata.generateName", prefix, faults);
        }
        (None, None) => errors.push(FieldError::required("metadata.name", NAMELESS)),
    }
    if let Some(namespace) = text(metadata, "namespace").filter(|namespace| !is_label(namespace)) {
        let detail = if subdomain_shape(namespace) { "must not contain dots" } else { LABEL };
        errors.push(FieldError::invalid("metadata.namespace", namespace.into(), detail));
    }
}

fn check_keys(metadata: &Map<String, Value>, errors: &mut Vec<FieldError>) {
    for (key, value) in metadata.get("labels").and_then(Value::as_object).into_iter().flatten() {
        for fault in qualified_name_faults(key) {
            errors.push(FieldError::invalid("metadata.labels", key.as_str().into(), fault));
        }
        let Some(value) = value.as_str() else { continue };
        if value.len() > 63 {
            errors.push(FieldError::invalid(
                "metadata.labels",
                value.into(),
                "must be no more than 63 bytes",
            ));
        }
        if !value.is_empty() && !word_shape(value) {
            errors.push(FieldError::invalid("metadata.labels", value.into(), LABEL_VALUE));
        }
    }
    let mut size = 0;
    for (key, value) in metadata.get("annotations").and_then(Value::as_object).into_iter().flatten() {
        for fault in qualified_name_faults(&key.to_lowercase()) {
            errors.push(FieldError::invalid("metadata.annotations", key.as_str().into(), fault));
        }
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > ANNOTATIONS_BYTES {
        let detail = format!("may not be more than {ANNOTATIONS_BYTES} bytes");
        errors.push(FieldError::new("metadata.annotations", FieldErrorKind::TooLong, None, detail));
    }
    for finalizer in metadata.get("finalizers").and_then(Value::as_array).into_iter().flatten() {
        let Some(finalizer) = finalizer.as_str() else { continue };
        for fault in qualified_name_faults(finalizer) {
            errors.push(FieldError::invalid("metadata.finalizers", finalizer.into(), fault));
        }
    }
    let owners = metadata.get("ownerReferences").and_then(Value::as_array);
    for owner in owners.into_iter().flatten() {
        for field in ["apiVersion", "kind", "name", "uid"] {
            if owner.get(field).and_then(Value::as_str).is_none_or(str::is_empty) {
                let detail =
                    if field == "apiVersion" { "version must not be empty" } else { "must not be empty" };
                errors.push(FieldError::invalid(
                    format!("metadata.ownerReferences.{field}"),
                    "".into(),
                    detail,
                ));
            }
        }
    }
}

/// The server decodes metadata into Go types; what does not fit is refused before anything else.
fn check_types(metadata: &Map<String, Value>, errors: &mut Vec<FieldError>) {
    let mut wrong = |path: String, value: &Value, expected: &str| {
        let detail = format!("must be of type {expected}");
        errors.push(FieldError::new(path, FieldErrorKind::TypeInvalid, Some(value.clone()), detail));
    };
    for (name, value) in metadata.iter().filter(|(_, value)| !value.is_null()) {
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

fn check_immutable(new: &Map<String, Value>, old: &Map<String, Value>, errors: &mut Vec<FieldError>) {
    for field in ["name", "namespace", "uid", "creationTimestamp"] {
        // The server fills in what an update leaves out.
        if let Some(value) = new.get(field).filter(|value| !value.is_null() && Some(*value) != old.get(field))
        {
            let path = format!("metadata.{field}");
            errors.push(FieldError::invalid(path, value.clone(), "field is immutable"));
        }
    }
    if old.get("deletionTimestamp").is_none_or(Value::is_null) {
        return;
    }
    let finalizers = |metadata: &Map<String, Value>| {
        metadata.get("finalizers").and_then(Value::as_array).cloned().unwrap_or_default()
    };
    let before = finalizers(old);
    let added: Vec<String> =
        finalizers(new).iter().filter(|it| !before.contains(it)).map(ToString::to_string).collect();
    if !added.is_empty() {
        let detail = format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
            added.join(", ")
        );
        errors.push(FieldError::forbidden("metadata.finalizers", detail));
    }
}
