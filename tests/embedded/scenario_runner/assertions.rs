//! The assertions of one commit against what is stored.

use super::Scenario;
use postlink::{api::ConditionType, local::session::Session};
use serde_json::{Map, Value};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};
use uuid::Uuid;

/// All failed assertions of a commit, one sentence each, followed by the object they are about.
pub fn check(
    session: &Session,
    scenario: &Scenario,
    expect: &Map<String, Value>,
    organizations: &BTreeMap<String, Uuid>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    for (key, entries) in expect {
        if let Some(instance) = key.strip_prefix("activities(").and_then(|k| k.strip_suffix(')')) {
            match organizations.get(instance) {
                Some(organization) => {
                    let count = session.world.activities(*organization).len();
                    if scalar(entries) != count.to_string() {
                        wrong.push(format!("{key}: expected {}, there are {count}", scalar(entries)));
                    }
                }
                None => wrong
                    .push(format!("{key}: no such SimulatedInstance has been stated (error in the file)")),
            }
            continue;
        }
        let Some(entries) = entries.as_object() else {
            wrong.push(format!("{key}: is no mapping (error in the file)"));
            continue;
        };
        let parts: Vec<&str> = key.split('/').collect();
        let (kind, namespace, name) = match parts.as_slice() {
            [kind, name] => (*kind, scenario.namespace.as_str(), *name),
            [kind, namespace, name] => (*kind, *namespace, *name),
            _ => {
                wrong.push(format!("{key}: is not KIND/name (error in the file)"));
                continue;
            }
        };
        wrong.extend(object(key, entries, session.api.get(kind, namespace, name).as_deref()));
    }
    wrong
}

fn object(key: &str, entries: &Map<String, Value>, stored: Option<&Value>) -> Vec<String> {
    let Some(stored) = stored else {
        return match entries.get("gone") {
            Some(_) => Vec::new(),
            None => vec![format!("{key}: does not exist")],
        };
    };
    if entries.contains_key("gone") {
        return vec![format!("{key}: expected to be gone, but is\n{}", described(stored))];
    }
    let mut wrong: Vec<String> = entries
        .iter()
        .filter_map(|(entry, expected)| {
            holds(stored, entry, expected).err().map(|actual| {
                format!(
                    "{key}: {entry}: expected {}, is {actual}",
                    serde_json::to_string(expected).unwrap_or_default()
                )
            })
        })
        .collect();
    if !wrong.is_empty() {
        wrong.push(format!("{key} is\n{}", described(stored)));
    }
    wrong
}

/// Checks one entry; an error is the actual value.
fn holds(stored: &Value, entry: &str, expected: &Value) -> Result<(), String> {
    if ConditionType::parse(entry).is_some() {
        let found = condition(stored, entry);
        let actual = found
            .map_or_else(|| "absent".to_owned(), |c| format!("{}/{}", text(c, "status"), text(c, "reason")));
        let expected = scalar(expected);
        let same = actual == expected || found.is_some_and(|c| text(c, "status") == expected);
        return if same { Ok(()) } else { Err(format!("{actual:?}")) };
    }
    if let Some(type_) = entry.strip_prefix("message(").and_then(|e| e.strip_suffix(")~")) {
        let Some(found) = condition(stored, type_) else { return Err("absent".to_owned()) };
        let message = text(found, "message");
        let parts = list(expected);
        return if parts.iter().all(|part| message.contains(part)) {
            Ok(())
        } else {
            Err(format!("{message:?}"))
        };
    }
    if entry == "activeRules" {
        let names: Vec<String> = stored
            .pointer("/status/activeRules")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .map(|rule| text(rule, "name").to_owned())
            .collect();
        let (is, wanted): (BTreeSet<&String>, Vec<String>) = (names.iter().collect(), list(expected));
        let same = is.len() == names.len() && is == wanted.iter().collect();
        return if same { Ok(()) } else { Err(format!("{names:?}")) };
    }
    let path = match entry {
        "state" | "link" | "removedLink" => format!("status.{entry}"),
        "link.connection" | "removedLink.connection" => format!("status.{entry}.name"),
        _ if entry.starts_with("link.") || entry.starts_with("removedLink.") => format!("status.{entry}"),
        _ if entry.starts_with("status.") => entry.to_owned(),
        _ => return Err("an entry the format does not know (error in the file)".to_owned()),
    };
    at(stored, &path, expected)
}

/// Compares the value at a path with a scalar, `present`, `absent`, or a list (as a set).
fn at(stored: &Value, path: &str, expected: &Value) -> Result<(), String> {
    let found = stored.pointer(&format!("/{}", path.replace('.', "/"))).filter(|v| !v.is_null());
    let same = match (expected, found) {
        (Value::String(word), found) if word == "present" => found.is_some(),
        (Value::String(word), found) if word == "absent" => found.is_none(),
        (_, None) => false,
        (Value::Array(_), Some(found)) => {
            let (is, wanted) = (list(found), list(expected));
            is.iter().collect::<BTreeSet<_>>() == wanted.iter().collect()
        }
        (expected, Some(found)) => scalar(expected) == scalar(found),
    };
    if same {
        return Ok(());
    }
    Err(found.map_or_else(|| "absent".to_owned(), ToString::to_string))
}

pub fn condition<'a>(stored: &'a Value, type_: &str) -> Option<&'a Value> {
    let conditions = stored.pointer("/status/conditions")?.as_array()?;
    conditions.iter().find(|c| text(c, "type") == type_)
}

/// A string field; empty when it is absent.
pub fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn list(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().map(scalar).collect(),
        other => vec![scalar(other)],
    }
}

/// The parts of an object that explain a failure.
pub fn described(stored: &Value) -> String {
    let mut out = String::new();
    for condition in stored.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten() {
        let [type_, status, reason, message, since] =
            ["type", "status", "reason", "message", "lastTransitionTime"].map(|f| text(condition, f));
        let _ = writeln!(out, "      {type_} {status}/{reason} since {since}: {message}");
    }
    if let Some(status) = stored.get("status").and_then(Value::as_object) {
        for (field, value) in status.iter().filter(|(field, _)| *field != "conditions") {
            let _ = writeln!(out, "      status.{field}: {value}");
        }
    }
    let _ = writeln!(out, "      spec: {}", stored.get("spec").unwrap_or(&Value::Null));
    let metadata = stored.get("metadata").and_then(Value::as_object);
    for (field, value) in metadata.into_iter().flatten().filter(|(field, _)| *field != "managedFields") {
        let _ = write!(out, "{}{field}: {value}", if field == "annotations" { "      " } else { " " });
    }
    out
}
