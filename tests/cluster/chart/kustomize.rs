//! The kustomize base holds the same objects as the chart with its default values. Transformers of an overlay keep the
//! references between them.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};

use super::{HELMS, NAMESPACE, chart, copy, find, helm, id, objects, path, render, run};
use crate::cluster::{repository, text_of};
use crate::harness::ControlPlane;
use crate::harness::binaries::Binaries;
use crate::harness::run_folder::new_folder;
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

/// `kubectl kustomize` of an overlay next to copies of `charts/` and `deploy/`; `files` are further files of it.
fn overlay(kustomization: &str, files: &[(&str, &str)], flags: &[&str]) -> String {
    let root = new_folder("overlay");
    for folder in ["charts", "deploy"] {
        copy(&repository(folder), &root.join(folder));
    }
    let folder = root.join("overlay");
    copy(&chart(), &folder.join("charts/postlink"));
    for (name, text) in files.iter().chain([&("kustomization.yaml", kustomization)]) {
        fs::write(folder.join(name), text).unwrap();
    }
    let binaries = Binaries::find().unwrap_or_else(|error| panic!("{error}"));
    let args = [&["kustomize"], flags, &[path(&folder)]].concat();
    run(&binaries.kubectl, &args).unwrap_or_else(|error| panic!("{error}"))
}

/// The policies name no object of the release but the `ConfigMap`, and no user of Postlink's namespace.
#[test]
fn namespace_of_an_overlay_reaches_every_object() {
    let text = overlay("resources: [../deploy/kustomize]\nnamespace: crm\n", &[], &[]);
    assert!(!text.contains(NAMESPACE), "a reference to the namespace of the base remains");
    let rendered = objects(&text);
    for object in &rendered {
        // kustomize gives policies a namespace as well, which kubectl and the API server drop.
        let (kind, namespace, name) = id(object);
        assert!(namespace.is_empty() || namespace == "crm", "{kind} {name} in {namespace}");
    }
    let plane = ControlPlane::start();
    for flags in [&["--server-side"][..], &["--server-side", "--dry-run=server"]] {
        let args = [&["apply"], flags, &["-f", "-"]].concat();
        plane.kubectl_with_input(User::Alice, args, &text).ok();
    }
    let policy = ["get", "validatingadmissionpolicy", "postlink-guard", "-o", "json"];
    assert!(plane.kubectl(User::Alice, policy).json()["metadata"]["namespace"].is_null());
}

/// With a prefix, the controller would look for a `ConfigMap` that is not there. The overlay is that of the README.
#[test]
fn prefix_of_the_documented_overlay_keeps_all_references() {
    let readme = text_of("charts/postlink/README.md");
    let blocks = readme.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let documented: Vec<_> = blocks.filter(|block| block.contains("namePrefix")).collect();
    assert_eq!(documented.len(), 1);
    let rendered = objects(&overlay(documented[0], &[], &[]));

    let note = find(&rendered, "ConfigMap", "postlink-in-use");
    let role = &find(&rendered, "Role", "team-postlink-in-use")["rules"][0];
    assert_eq!(role["resourceNames"], json!([note["metadata"]["name"]]));
    let checked = &find(&rendered, "ClusterRole", "team-postlink-installation")["rules"][0]["resourceNames"];
    assert_eq!(*checked, json!(postlink::api::policies::NAMES));
    for name in postlink::api::policies::NAMES {
        find(&rendered, "ValidatingAdmissionPolicy", name);
    }
    let policy = find(&rendered, "ValidatingAdmissionPolicy", "postlink-uninstall");
    let matched = &policy["spec"]["matchConstraints"]["resourceRules"][0]["resourceNames"];
    assert_eq!(*matched, role["resourceNames"]);
    let lease = &find(&rendered, "Role", "team-postlink-lease")["rules"][1]["resourceNames"];
    assert_eq!(*lease, json!([postlink::api::names::CONTROLLER]), "the Lease is created by the controller");

    for object in &rendered {
        let (kind, _, name) = id(object);
        if kind == "ValidatingAdmissionPolicyBinding" {
            assert_eq!(object["spec"]["policyName"], name);
        }
        if kind.ends_with("RoleBinding") {
            find(
                &rendered,
                object["roleRef"]["kind"].as_str().unwrap(),
                object["roleRef"]["name"].as_str().unwrap(),
            );
            find(&rendered, "ServiceAccount", object["subjects"][0]["name"].as_str().unwrap());
        }
        if kind == "FlowSchema" {
            let account = &object["spec"]["rules"][0]["subjects"][0]["serviceAccount"];
            find(&rendered, "ServiceAccount", account["name"].as_str().unwrap());
        }
    }
    let pod = &find(&rendered, "Deployment", "team-postlink")["spec"]["template"]["spec"];
    assert_eq!(pod["serviceAccountName"], "team-postlink");
    assert_eq!(rendered.len(), base().len());
    for crd in super::of_kind(&rendered, "CustomResourceDefinition") {
        assert!(!id(crd).2.starts_with("team-"), "{:?}", id(crd));
    }
}

#[test]
fn labels_of_an_overlay_match_in_every_selector() {
    for (labels, in_selectors) in [
        ("labels: [{pairs: {team: social}}]", false),
        ("labels: [{pairs: {team: social}, includeSelectors: true}]", true),
        ("commonLabels: {team: social}", true),
    ] {
        let rendered = objects(&overlay(&format!("resources: [../deploy/kustomize]\n{labels}\n"), &[], &[]));
        assert!(rendered.iter().all(|object| object["metadata"]["labels"]["team"] == "social"), "{labels}");
        let deployment = &find(&rendered, "Deployment", "postlink")["spec"];
        let pod = &deployment["template"]["metadata"]["labels"];
        let spread = &deployment["template"]["spec"]["topologySpreadConstraints"][0]["labelSelector"];
        for selector in [
            &deployment["selector"]["matchLabels"],
            &spread["matchLabels"],
            &find(&rendered, "Service", "postlink-metrics")["spec"]["selector"],
            &find(&rendered, "NetworkPolicy", "postlink")["spec"]["podSelector"]["matchLabels"],
            &find(&rendered, "PodDisruptionBudget", "postlink")["spec"]["selector"]["matchLabels"],
        ] {
            assert_eq!(selector["team"].is_string(), in_selectors, "{labels}");
            assert!(selector.as_object().unwrap().iter().all(|(key, value)| pod[key] == *value), "{labels}");
        }
        let policy = find(&rendered, "ValidatingAdmissionPolicy", "postlink-uninstall");
        let selector = &policy["spec"]["matchConstraints"]["objectSelector"]["matchLabels"];
        let note = &find(&rendered, "ConfigMap", "postlink-in-use")["metadata"]["labels"];
        assert!(selector.as_object().unwrap().iter().all(|(key, value)| note[key] == *value), "{labels}");
    }
}

/// `helm template | kustomize`, and kustomize's own `helmCharts`.
#[test]
fn kustomize_renders_the_chart() {
    let binaries = Binaries::find().unwrap_or_else(|error| panic!("{error}"));
    // kustomize takes them for objects of a namespace.
    let without_namespace = ["ValidatingAdmissionPolicy", "FlowSchema"];
    let wanted = compared(render(&json!({"namespaceOverride": "crm"})));
    let inflated =
        "helmCharts:\n- {name: postlink, releaseName: postlink, namespace: crm, kubeVersion: 1.33.1-gke.1}\n";
    let moving = "resources: [rendered.yaml]\nnamespace: crm\nconfigurations: [kustomizeconfig.yaml]\n";
    let config = text_of("charts/postlink/kustomizeconfig.yaml");
    for (major, program) in HELMS.into_iter().zip([&binaries.helm3, &binaries.helm4]) {
        let rendered = helm(major, &["template", "postlink", path(&chart()), "-n", NAMESPACE]).unwrap();
        let moved = overlay(moving, &[("rendered.yaml", &rendered), ("kustomizeconfig.yaml", &config)], &[]);
        let helm_charts = overlay(inflated, &[], &["--enable-helm", "--helm-command", path(program)]);
        for text in [moved, helm_charts] {
            let mut got = objects(&text);
            for object in got
                .iter_mut()
                .filter(|object| without_namespace.iter().any(|kind| id(object).0.starts_with(kind)))
            {
                object["metadata"].as_object_mut().unwrap().remove("namespace");
            }
            assert_eq!(compared(got), wanted, "Helm {major}");
        }
    }
}
