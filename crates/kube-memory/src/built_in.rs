//! Defaults and validation of the built-in kinds.
//!
//! Covers what controllers run into, not the full validation of a real server: events, leases, `data` and `stringData`
//! of Secrets, and the phase and finalizer of Namespaces.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::field_error::FieldError;
use crate::metadata;
use crate::names::{NameRule, qualified_name};
use crate::resource::Resource;

/// The format of names of the kind.
pub(crate) fn name_rule(resource: &Resource) -> NameRule {
    match resource.kind.as_str() {
        "Namespace" if !resource.custom => NameRule::Label,
        "Event" if !resource.custom => NameRule::PathSegment,
        _ => NameRule::Subdomain,
    }
}

/// Does what decoding into the Go type of the kind does: fills in defaults and encodes the `stringData` of a Secret.
///
/// # Errors
/// A field of another type or invalid base64, in the words of Go's decoder.
pub(crate) fn decode(resource: &Resource, object: &mut Value) -> Result<(), String> {
    match resource.kind.as_str() {
        "Namespace" => {
            let name = metadata::text(object, "name").to_owned();
            if !name.is_empty() {
                let labels = metadata::of_mut(object).entry("labels").or_insert_with(|| json!({}));
                labels["kubernetes.io/metadata.name"] = json!(name);
            }
        }
        "Secret" => decode_secret(object)?,
        "Lease" => {
            if object["spec"].is_null() {
                object["spec"] = json!({});
            }
            for field in ["acquireTime", "renewTime"] {
                check_micro_time(&object["spec"][field])?;
            }
        }
        "Event" => {
            check_micro_time(&object["eventTime"])?;
            check_micro_time(&object["series"]["lastObservedTime"])?;
            // Stored in the shape of events.k8s.io. A server prints these fields even when they are empty.
            for (field, nothing) in [
                ("eventTime", Value::Null),
                ("deprecatedFirstTimestamp", Value::Null),
                ("deprecatedLastTimestamp", Value::Null),
                ("deprecatedSource", json!({})),
            ] {
                if object[field].is_null() {
                    object[field] = nothing;
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// The first field of an apply patch that does not fit the type of the kind, and why.
pub(crate) fn untyped(resource: &Resource, config: &Value) -> Option<(String, String)> {
    if resource.kind != "Secret" {
        return None;
    }
    let map = config.as_object()?;
    ["data", "stringData"].into_iter().find_map(|field| {
        let value = map.get(field).filter(|value| !value.is_null())?;
        let Some(entries) = value.as_object() else {
            let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            return Some((field.to_owned(), format!("expected map, got &{{{shown}}}")));
        };
        let (key, value) = entries.iter().find(|(_, value)| !is_string_or_null(value))?;
        Some((format!("{field}.{key}"), format!("expected string, got {}", unstructured(value))))
    })
}

/// Whether a string field accepts the value. Null counts as absent.
fn is_string_or_null(value: &Value) -> bool {
    value.is_string() || value.is_null()
}

/// A value as the error of a server shows it.
fn unstructured(value: &Value) -> String {
    format!("&value.valueUnstructured{{Value:{value}}}")
}

fn decode_secret(object: &mut Value) -> Result<(), String> {
    let Some(map) = object.as_object_mut() else { return Ok(()) };
    let wrong = |field: &str, value: &Value, go_type: &str| {
        let is = metadata::json_type(value);
        Err(format!("json: cannot unmarshal {is} into Go struct field Secret.{field} of type {go_type}"))
    };
    for (field, go_type) in [("data", "[]uint8"), ("stringData", "string")] {
        match map.get(field) {
            None | Some(Value::Null) => {}
            Some(Value::Object(entries)) => {
                if let Some(value) = entries.values().find(|value| !is_string_or_null(value)) {
                    return wrong(field, value, go_type);
                }
            }
            Some(other) => return wrong(field, other, &format!("map[string]{go_type}")),
        }
    }
    if let Some(value) = map.get("type").filter(|value| !is_string_or_null(value)) {
        return wrong("type", value, "v1.SecretType");
    }
    for value in map.get("data").and_then(Value::as_object).into_iter().flatten().map(|(_, v)| v) {
        STANDARD.decode(value.as_str().unwrap_or_default()).map_err(|why| {
            let at = match why {
                base64::DecodeError::InvalidByte(at, _)
                | base64::DecodeError::InvalidLastSymbol(at, _)
                | base64::DecodeError::InvalidLength(at) => at,
                base64::DecodeError::InvalidPadding => 0,
            };
            format!("illegal base64 data at input byte {at}")
        })?;
    }
    if let Some(Value::Object(texts)) = map.remove("stringData") {
        let data = map.entry("data").or_insert_with(|| json!({}));
        for (key, text) in texts {
            data[key] = json!(STANDARD.encode(text.as_str().unwrap_or_default()));
        }
    }
    if map.get("type").and_then(Value::as_str).unwrap_or_default().is_empty() {
        map.insert("type".to_owned(), json!("Opaque"));
    }
    if map.get("data").is_some_and(|d| d.as_object().is_some_and(serde_json::Map::is_empty)) {
        map.remove("data");
    }
    Ok(())
}

/// Checks a `MicroTime` of a lease or an event: Go requires exactly six fractional digits.
fn check_micro_time(value: &Value) -> Result<(), String> {
    let Some(time) = value.as_str() else { return Ok(()) };
    let rest = if metadata::is_time(time) {
        let rest = time.get(19..).unwrap_or_default();
        let digits =
            rest.strip_prefix('.').map_or(0, |rest| rest.bytes().take_while(u8::is_ascii_digit).count());
        if digits == 6 {
            return Ok(());
        }
        (rest, ".000000")
    } else {
        (time, "2006")
    };
    Err(format!(
        "parsing time \"{time}\" as \"2006-01-02T15:04:05.000000Z07:00\": cannot parse \"{}\" as \"{}\"",
        rest.0, rest.1
    ))
}

/// Sets what clients cannot set: the finalizers and the phase of a Namespace.
pub(crate) fn prepare(resource: &Resource, object: &mut Value, old: Option<&Value>) {
    if resource.kind != "Namespace" {
        return;
    }
    if let Some(old) = old {
        object["spec"] = old["spec"].clone();
        object["status"] = old["status"].clone();
        return;
    }
    let mut finalizers: Vec<Value> = object["spec"]["finalizers"].as_array().cloned().unwrap_or_default();
    if !finalizers.contains(&json!("kubernetes")) {
        finalizers.push(json!("kubernetes"));
    }
    object["spec"] = json!({"finalizers": finalizers});
    object["status"] = json!({"phase": "Active"});
}

/// Validates an object of a built-in kind.
pub(crate) fn validate(resource: &Resource, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = match resource.kind.as_str() {
        "Secret" | "ServiceAccount" | "Namespace" if old.is_none() => core_finalizers(object),
        _ => Vec::new(),
    };
    errors.extend(match resource.kind.as_str() {
        "Secret" => validate_secret(object, old),
        "Lease" => validate_lease(object),
        "Event" if !resource.core_event => validate_event(object, old),
        // A real server checks little of events of the core group.
        "Event" => foreign_namespace(object).into_iter().collect(),
        _ => Vec::new(),
    });
    errors
}

/// Finalizers of objects of the core group need a domain, apart from the three standard ones.
fn core_finalizers(object: &Value) -> Vec<FieldError> {
    let own = ["kubernetes", "orphan", "foregroundDeletion"];
    let bare = |f: &&str| !f.contains('/') && !own.contains(f);
    let finalizers = metadata::finalizers(object);
    let problems = finalizers.iter().enumerate().filter(|(_, f)| bare(f)).map(|(at, f)| {
        let detail = "name is neither a standard finalizer name nor is it fully qualified";
        FieldError::invalid(format!("metadata.finalizers[{at}]"), *f, detail)
    });
    problems.collect()
}

/// An event without an `eventTime` must be in the namespace of the object it is about.
fn foreign_namespace(event: &Value) -> Option<FieldError> {
    let namespace = metadata::text(event, "namespace");
    let regarding = event["regarding"]["namespace"].as_str().unwrap_or_default();
    let foreign = namespace != regarding && !(regarding.is_empty() && namespace == "default");
    (event["eventTime"].is_null() && foreign)
        .then(|| FieldError::invalid("involvedObject.namespace", regarding, "does not match event.namespace"))
}

const CONFIG_KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

fn validate_secret(object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(old) = old {
        if old["type"] != object["type"] {
            errors.push(FieldError::invalid("type", object["type"].clone(), "field is immutable"));
        }
        if old["immutable"] == true {
            let detail = "field is immutable when `immutable` is set";
            if object["immutable"] != true {
                errors.push(FieldError::forbidden("immutable", detail));
            }
            if old["data"] != object["data"] {
                errors.push(FieldError::forbidden("data", detail));
            }
        }
    }
    let data = object["data"].as_object();
    for key in data.into_iter().flatten().map(|(key, _)| key) {
        if key.is_empty() || !key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) {
            errors.push(FieldError::invalid(format!("data[{key}]"), key.as_str(), CONFIG_KEY));
        }
    }
    if object["type"] == "kubernetes.io/tls" {
        for key in
            ["tls.crt", "tls.key"].iter().filter(|key| !data.is_some_and(|data| data.contains_key(**key)))
        {
            errors.push(FieldError::required(format!("data[{key}]"), ""));
        }
    }
    errors
}

fn validate_lease(object: &Value) -> Vec<FieldError> {
    let spec = &object["spec"];
    let mut errors = Vec::new();
    if spec["leaseDurationSeconds"].as_i64().is_some_and(|n| n <= 0) {
        errors.push(FieldError::invalid(
            "spec.leaseDurationSeconds",
            spec["leaseDurationSeconds"].clone(),
            "must be greater than 0",
        ));
    }
    if spec["leaseTransitions"].as_i64().is_some_and(|n| n < 0) {
        errors.push(FieldError::invalid(
            "spec.leaseTransitions",
            spec["leaseTransitions"].clone(),
            "must be greater than or equal to 0",
        ));
    }
    errors
}

/// `ValidateEventCreate` and `ValidateEventUpdate`; the messages name the fields as the core event does.
fn validate_event(object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let text = |field: &str| object[field].as_str().unwrap_or_default();
    let mut errors = Vec::new();
    let namespace = metadata::text(object, "namespace");
    let regarding = object["regarding"]["namespace"].as_str().unwrap_or_default();
    if object["eventTime"].is_null() {
        errors.extend(foreign_namespace(object));
        if old.is_none() {
            errors.push(FieldError::required("eventTime", ""));
        }
    } else {
        if regarding.is_empty() && !["default", "kube-system"].contains(&namespace) {
            errors.push(FieldError::invalid(
                "involvedObject.namespace",
                regarding,
                "does not match event.namespace",
            ));
        }
        if text("reportingController").is_empty() {
            errors.push(FieldError::required("reportingController", ""));
        }
        let controller = text("reportingController");
        let problems = qualified_name(controller);
        errors.extend(problems.iter().map(|p| FieldError::invalid("reportingController", controller, p)));
        for field in ["reportingInstance", "action", "reason"] {
            if text(field).is_empty() {
                errors.push(FieldError::required(field, ""));
            } else if text(field).len() > 128 {
                errors.push(FieldError::invalid(field, "", "can have at most 128 characters"));
            }
        }
        if text("note").len() > 1024 {
            errors.push(FieldError::invalid("message", "", "can have at most 1024 characters"));
        }
    }
    let series = &object["series"];
    if !series.is_null() && old.is_none_or(|old| old["series"] != *series) {
        if series["count"].as_i64().unwrap_or_default() < 2 {
            errors.push(FieldError::invalid("series.count", "", "should be at least 2"));
        }
        if series["lastObservedTime"].is_null() {
            errors.push(FieldError::required("series.lastObservedTime", ""));
        }
    }
    let Some(old) = old else {
        if !["Normal", "Warning"].contains(&text("type")) {
            let detail = format!("has invalid value: {}", text("type"));
            errors.push(FieldError::invalid("type", "", &detail));
        }
        return errors;
    };
    for (field, shown) in [
        ("regarding", "involvedObject"),
        ("reason", "reason"),
        ("note", "message"),
        ("type", "type"),
        ("eventTime", "eventTime"),
        ("action", "action"),
        ("related", "related"),
        ("reportingController", "reportingController"),
        ("reportingInstance", "reportingInstance"),
    ] {
        if old[field] != object[field] {
            errors.push(FieldError::invalid(shown, object[field].clone(), "field is immutable"));
        }
    }
    errors
}
