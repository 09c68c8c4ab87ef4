//! Finds manifests whose `apiVersion` or `kind` is misspelled: without them, an object would be taken for another file.

use crate::manifests::Document;
use serde_json::Value;

const HEAD: [&str; 2] = ["apiVersion", "kind"];
/// The other fields that objects have at the top.
const BODY: [&str; 6] = ["metadata", "spec", "status", "data", "stringData", "type"];

/// What is wrong, each beginning with its place.
pub fn faults(document: &Document) -> Vec<String> {
    let Some(fields) = document.value.as_object() else { return Vec::new() };
    let missing = |name: &&str| fields.get(*name).is_none_or(Value::is_null);
    let variant = |name: &str| fields.keys().find(|key| key.eq_ignore_ascii_case(name) && *key != name);
    let mut found = Vec::new();
    for name in HEAD {
        match (fields.get(name), variant(name)) {
            (Some(Value::String(_)), _) | (None | Some(Value::Null), None) => {}
            (None | Some(Value::Null), Some(key)) => {
                // A `Kind` alone is a setting of many programs.
                if name != "kind"
                    || ["apiVersion", "metadata", "spec"].iter().any(|it| fields.contains_key(*it))
                    || variant("apiVersion").is_some()
                {
                    found.push(format!("{}: {key}: unknown field; write {name}", document.place(key)));
                }
            }
            (Some(_), _) => found.push(format!("{}: {name} must be a string", document.place(name))),
        }
    }
    let has = |name: &str| fields.get(name).is_some_and(Value::is_object);
    if found.is_empty() && has("metadata") && has("spec") {
        let missing: Vec<String> =
            HEAD.iter().filter(|name| missing(name)).map(|name| format!("no {name}")).collect();
        let unknown =
            fields.keys().find(|key| !HEAD.contains(&key.as_str()) && !BODY.contains(&key.as_str()));
        if !missing.is_empty() {
            let place = document.place(unknown.map_or("", String::as_str));
            let advice = unknown.map(|key| format!("; correct {key}")).unwrap_or_default();
            found.push(format!("{place}: the object has {}{advice}", missing.join(" and ")));
        }
    }
    found
}
