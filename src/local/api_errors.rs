//! The API server's errors about one object, each with its field and with advice.

use super::{
    advice::{UNRENDERED, advice},
    tree::Id,
    undeclared,
};
use crate::manifests::{Document, is_unrendered};
use base64::Engine;
use serde_json::Value;

/// Fields, which may be empty, and what is wrong with them.
pub(super) fn faults(document: &Document, id: &Id, error: &kube::Error) -> Vec<(String, String)> {
    let kube::Error::Api(status) = error else { return vec![(String::new(), error.to_string())] };
    if id.kind == "Secret" {
        return vec![secret_error(&document.value, &status.message)];
    }
    let mut faults: Vec<(String, String)> = status
        .details
        .iter()
        .flat_map(|details| &details.causes)
        .filter(|cause| !cause.field.is_empty())
        .map(|cause| (cause.field.trim_start_matches("<nil>").to_owned(), cause.message.clone()))
        .collect();
    if faults.iter().any(|(field, _)| !field.is_empty()) {
        // Without a field: "some validation rules were not checked because…". The other errors have a place.
        faults.retain(|(field, _)| !field.is_empty());
    }
    faults.extend(typed_patch_errors(&status.message).into_iter().map(|(field, why)| {
        if why == UNDECLARED { undeclared::explain(&id.kind, &field) } else { (field, why) }
    }));
    if faults.is_empty() {
        faults.push((String::new(), without_object(&status.message)));
    }
    let advised = |(field, message): (String, String)| {
        let message = without_password(&format!("{message}{}", advice(&field, &message)));
        (field, message)
    };
    faults.into_iter().map(advised).collect()
}

const UNDECLARED: &str = "unknown field";

/// A message that may quote an address, without the user and the password in it.
fn without_password(message: &str) -> String {
    let mut parts = message.split("://");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(['/', '?', '#', '"', ' ']).unwrap_or(part.len());
        text.push_str("://");
        match part[..end].rfind('@') {
            Some(at) => text.extend(["***", &part[at..]]),
            None => text.push_str(part),
        }
    }
    text
}

/// A message without the value, which for the root is the whole object with the text of the post.
fn without_object(message: &str) -> String {
    let quoted = message.split_once(": Invalid value: \"{").and_then(|(before, rest)| {
        let (_, after) = rest.rsplit_once("}\": ")?;
        Some(format!("{before}: {after}"))
    });
    quoted.unwrap_or_else(|| message.to_owned())
}

/// The fields of an apply patch that do not fit the schema, and why. The API server reports them in its message only:
/// `failed to create typed patch object (NAME; KIND): .spec.foo: field not declared in schema`, or several of these
/// after `errors:`, one per line.
fn typed_patch_errors(message: &str) -> Vec<(String, String)> {
    let Some((_, rest)) =
        message.strip_prefix("failed to create typed patch object (").and_then(|rest| rest.split_once("): "))
    else {
        return Vec::new();
    };
    let fault = |line: &str| {
        let (field, why) = line.trim().strip_prefix('.')?.split_once(": ")?;
        let why = if why == "field not declared in schema" { UNDECLARED } else { why };
        Some((field.to_owned(), why.to_owned()))
    };
    rest.lines().filter_map(fault).collect()
}

/// The field of an invalid Secret and what is wrong with it. The API server's message may quote the value, so it is not
/// passed on as it is.
fn secret_error(secret: &Value, message: &str) -> (String, String) {
    if let Some((field, why)) = typed_patch_errors(message).into_iter().next() {
        // `expected string, got …` quotes the value.
        let why = why.split(", got ").next().unwrap_or_default();
        let advice = if why == "expected string" { "; put the value in quotes" } else { "" };
        return (field, format!("{why}{advice}"));
    }
    let standard = base64::engine::general_purpose::STANDARD;
    let entries = secret["data"].as_object().into_iter().flatten();
    let not_base64 = |value: &Value| value.as_str().is_some_and(|text| standard.decode(text).is_err());
    if let Some((key, value)) = entries.into_iter().find(|(_, value)| not_base64(value)) {
        let unrendered = value.as_str().is_some_and(is_unrendered);
        let why = if unrendered { UNRENDERED } else { "must be base64; use stringData for plain text" };
        return (format!("data.{key}"), why.to_owned());
    }
    // Other messages name fields and types before they quote a value.
    let safe = message.split(": Invalid value: ").next().unwrap_or_default();
    (String::new(), format!("the Secret is not valid: {safe}"))
}
