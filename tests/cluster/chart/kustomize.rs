//! The kustomize base holds the same objects as the chart with its default values.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{NAMESPACE, id, objects, path, render, run};
use crate::cluster::repository;
use crate::harness::binaries::Binaries;
use crate::harness::shared;
use crate::harness::users::User;

fn base() -> Vec<Value> {
    let binaries = Binaries::find().unwrap_or_else(|error| panic!("{error}"));
    let folder = repository("deploy/kustomize");
    objects(&run(&binaries.kubectl, &["kustomize", path(&folder)]).unwrap_or_else(|error| panic!("{error}")))
}

/// Normalizes white space in CEL: kustomize reformats folded text with other line breaks.
fn unfold(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::String(text) if key == "expression" || key == "messageExpression" => {
                        *text = text.split_whitespace().collect::<Vec<_>>().join(" ");
                    }
                    _ => unfold(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(unfold),
        _ => {}
    }
}

/// Objects by kind, namespace and name, without Helm's labels.
fn compared(objects: Vec<Value>) -> BTreeMap<(String, String, String), Value> {
    objects
        .into_iter()
        .map(|mut object| {
            if let Some(labels) = object.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
                labels.remove("helm.sh/chart");
                labels.remove("app.kubernetes.io/managed-by");
            }
            if id(&object).0 == "ValidatingAdmissionPolicy" {
                unfold(&mut object);
            }
            (id(&object), object)
        })
        .collect()
}

#[test]
fn kustomize_base_equals_the_rendered_chart() {
    let mut base = compared(base());
    let namespace = base.remove(&("Namespace".into(), String::new(), NAMESPACE.into()));
    assert!(namespace.is_some(), "the base brings its namespace along");
    let chart = compared(render(&json!({})));
    assert_eq!(
        base.keys().collect::<Vec<_>>(),
        chart.keys().collect::<Vec<_>>(),
        "run `make kustomize`, and check charts/postlink/kustomization.yaml"
    );
    for (id, object) in &chart {
        assert_eq!(base[id], *object, "{id:?}; run `make kustomize`");
    }
}

/// Users apply these folders as a whole, so they must contain only objects.
#[test]
fn manifest_folders_hold_only_objects() {
    let plane = shared();
    for folder in ["crds", "charts/postlink/files/crds", "charts/postlink/policies"] {
        let folder = repository(folder);
        plane.kubectl(User::Alice, ["apply", "--dry-run=server", "-f", path(&folder)]).ok();
    }
}
