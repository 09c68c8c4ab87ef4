//! The rendered chart, so that template changes are visible in review. `INSTA_UPDATE=always cargo test --test cluster
//! chart::snapshots` rewrites the snapshots.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{everything, id, render, render_of, sorted};

/// All objects except the CRDs and policies, which are shipped files that other tests compare.
fn written(objects: Vec<Value>) -> String {
    let mut text = String::new();
    for mut object in sorted(objects) {
        let (kind, _, name) = id(&object);
        if kind == "CustomResourceDefinition" || kind.starts_with("ValidatingAdmissionPolicy") {
            // Writing into a String cannot fail.
            let _ = writeln!(text, "--- # {kind} {name}");
            continue;
        }
        // Otherwise every release would change every snapshot.
        if let Some(labels) = object.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
            labels.remove("helm.sh/chart");
            labels.remove("app.kubernetes.io/version");
        }
        text.push_str("---\n");
        text.push_str(&serde_yaml::to_string(&object).expect("JSON is YAML"));
    }
    text.replace(&format!("postlink:{}", env!("CARGO_PKG_VERSION")), "postlink:VERSION")
}

#[test]
fn default_values() {
    insta::assert_snapshot!(written(render(&json!({}))));
}

#[test]
fn namespaced() {
    let values = json!({"namespaces": ["social", "care"], "workloadIdentity": {"namespaces": ["social"]}});
    insta::assert_snapshot!(written(render(&values)));
}

#[test]
fn everything_on() {
    let (chart, values) = everything();
    insta::assert_snapshot!(written(render_of(&chart, &values)));
}

#[test]
fn everything_off() {
    let off = json!({"enabled": false});
    insta::assert_snapshot!(written(render(&json!({
        "crds": {"install": false},
        "admission": {"install": false},
        "flowSchema": off,
        "serviceAccount": {"create": false, "name": "mine"},
        "podDisruptionBudget": off,
        "networkPolicy": off,
        "metrics": {"service": off},
        "topologySpreadConstraints": [],
    }))));
}
