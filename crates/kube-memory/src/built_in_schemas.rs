//! The fields of the built-in kinds with their list and map types, for server-side apply and field validation. Not the
//! types of the fields: `built_in` checks those that matter.

use serde_json::{Map, Value, json};

/// The schema of a built-in kind, in the shape of its group.
pub(crate) fn schema(group: &str, kind: &str) -> Value {
    match (group, kind) {
        ("", "Namespace") => of(&[
            ("spec", of(&[("finalizers", json!({"type": "array"}))])),
            ("status", of(&[("phase", json!({})), ("conditions", keyed_by("type"))])),
        ]),
        ("", "Secret") => {
            let map = json!({"additionalProperties": {"type": "string"}});
            of(&[("data", map.clone()), ("stringData", map), ("type", json!({})), ("immutable", json!({}))])
        }
        ("", "ServiceAccount") => of(&[
            ("secrets", keyed_by("name")),
            ("imagePullSecrets", json!({"type": "array"})),
            ("automountServiceAccountToken", json!({})),
        ]),
        ("coordination.k8s.io", _) => of(&[(
            "spec",
            plain(&[
                "holderIdentity",
                "leaseDurationSeconds",
                "acquireTime",
                "renewTime",
                "leaseTransitions",
                "strategy",
                "preferredHolder",
            ]),
        )]),
        ("", _) => event(
            &["involvedObject", "message", "firstTimestamp", "lastTimestamp", "count"],
            "reportingComponent",
            "source",
        ),
        _ => event(
            &["regarding", "note", "deprecatedFirstTimestamp", "deprecatedLastTimestamp", "deprecatedCount"],
            "reportingController",
            "deprecatedSource",
        ),
    }
}

fn of(fields: &[(&str, Value)]) -> Value {
    let fields: Map<String, Value> =
        fields.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    json!({"properties": fields})
}

fn plain(fields: &[&str]) -> Value {
    of(&fields.iter().map(|name| (*name, json!({}))).collect::<Vec<_>>())
}

fn keyed_by(key: &str) -> Value {
    json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]})
}

/// The schema of an event. The first of `own` is the object it is about.
fn event(own: &[&str], reporter: &str, source: &str) -> Value {
    let mut schema = plain(own);
    let atomic = json!({"type": "object", "x-kubernetes-map-type": "atomic"});
    for field in [own[0], "related"] {
        schema["properties"][field] = atomic.clone();
    }
    for field in [reporter, "reportingInstance", "eventTime", "action", "reason", "type"] {
        schema["properties"][field] = json!({});
    }
    schema["properties"]["series"] = plain(&["count", "lastObservedTime"]);
    schema["properties"][source] = plain(&["component", "host"]);
    schema
}

/// Removes fields that the schema does not declare. Returns their paths.
pub(crate) fn prune(schema: &Value, object: &mut Value) -> Vec<String> {
    let mut removed = Vec::new();
    if let Some(map) = object.as_object_mut() {
        walk(schema, map, "", &mut removed);
    }
    removed
}

fn walk(schema: &Value, map: &mut Map<String, Value>, prefix: &str, removed: &mut Vec<String>) {
    let Some(known) = schema.get("properties").and_then(Value::as_object) else { return };
    map.retain(|name, value| {
        if prefix.is_empty() && ["apiVersion", "kind", "metadata"].contains(&name.as_str()) {
            return true;
        }
        let path = format!("{prefix}{name}");
        let Some(field) = known.get(name) else {
            removed.push(path);
            return false;
        };
        if let Some(inner) = value.as_object_mut() {
            walk(field, inner, &format!("{path}."), removed);
        }
        true
    });
}
