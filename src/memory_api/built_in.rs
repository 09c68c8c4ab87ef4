//! What the built-in kinds do on their own: defaults, and the few checks a controller can run into.
//!
//! Not a copy of the real validations: those of events and leases that our own writes could fail, a Secret's
//! `stringData`, and a Namespace's phase and finalizer.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::answer::FieldError;
use super::metadata;
use super::names::NameRule;
use super::resource::Resource;

/// How names of the kind are checked.
pub(crate) fn name_rule(resource: &Resource) -> NameRule {
    match resource.kind.as_str() {
        "Namespace" if !resource.custom => NameRule::Label,
        "Event" if !resource.custom => NameRule::PathSegment,
        _ => NameRule::Subdomain,
    }
}

/// What decoding into the kind's own type does: defaults, and a Secret's plain texts.
///
/// # Errors
/// A Secret's data that is not text or not base64, in the words of the decoder.
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
        "Event" => {
            // Kept in the shape of events.k8s.io; a server prints these even when there is nothing in them.
            for (field, nothing) in [
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

/// What an apply patch of the kind holds that its type does not have: the field, and why.
pub(crate) fn untyped(resource: &Resource, config: &Value) -> Option<(String, String)> {
    if resource.kind != "Secret" {
        return None;
    }
    let map = config.as_object()?;
    ["data", "stringData"].into_iter().find_map(|field| {
        let value = map.get(field).filter(|value| !value.is_null())?;
        let Some(entries) = value.as_object() else {
            return Some((field.to_owned(), format!("expected map, got &{{{}}}", value.as_str().map_or_else(|| value.to_string(), str::to_owned))));
        };
        let (key, value) = entries.iter().find(|(_, value)| !value.is_string() && !value.is_null())?;
        Some((format!("{field}.{key}"), format!("expected string, got {}", unstructured(value))))
    })
}

/// A value as a server's complaint shows it.
fn unstructured(value: &Value) -> String {
    format!("&value.valueUnstructured{{Value:{value}}}")
}

/// A number or a truth value among the texts of a Secret, as the decoder names it.
fn not_text(object: &Value) -> Option<String> {
    [("data", "[]uint8"), ("stringData", "string")].into_iter().find_map(|(field, go)| {
        let kind = object[field].as_object()?.values().find_map(|value| match value {
            Value::String(_) | Value::Null => None,
            Value::Bool(_) => Some("bool"),
            Value::Number(_) => Some("number"),
            Value::Array(_) => Some("array"),
            Value::Object(_) => Some("object"),
        })?;
        Some(format!("json: cannot unmarshal {kind} into Go struct field Secret.{field} of type {go}"))
    })
}

fn decode_secret(object: &mut Value) -> Result<(), String> {
    if let Some(why) = not_text(object) {
        return Err(why);
    }
    let Some(map) = object.as_object_mut() else { return Ok(()) };
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

/// What the kind does not let its clients set: a Namespace's finalizers and phase.
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

/// The kind's own rules.
pub(crate) fn validate(resource: &Resource, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    match resource.kind.as_str() {
        "Secret" => validate_secret(object, old),
        "Lease" => validate_lease(object),
        // Events written through the core group are judged leniently by a real server too.
        "Event" if !resource.core_event => validate_event(object, old),
        _ => Vec::new(),
    }
}

fn validate_secret(object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(old) = old {
        if old["type"] != object["type"] {
            errors.push(FieldError::invalid("type", object["type"].clone(), "field is immutable"));
        }
        if old["immutable"] == true && old["data"] != object["data"] {
            errors.push(FieldError::forbidden("data", "field is immutable when `immutable` is set"));
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
        if namespace != regarding && !(regarding.is_empty() && namespace == "default") {
            errors.push(FieldError::invalid(
                "involvedObject.namespace",
                regarding,
                "does not match event.namespace",
            ));
        }
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
