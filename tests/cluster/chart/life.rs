//! A release on a real API server: install, upgrade, rollback, uninstall, with Helm 3 and Helm 4.

use std::path::Path;

use serde_json::{Value, json};

use super::{NAMESPACE, change, chart, copy_of_chart, find, path, render};
use crate::cluster::{SOON, repository};
use crate::harness::run_folder::new_folder;
use crate::harness::users::User;
use crate::harness::waiting::wait_for;
use crate::harness::{ControlPlane, shared};

const CRD: &str = "crd/dynamicsconnections.postlink.dev";

/// An older chart: an earlier version, and a CRD that lacks a field.
fn previous_chart() -> std::path::PathBuf {
    let chart = copy_of_chart();
    change(&chart.join("Chart.yaml"), &format!("version: {}", env!("CARGO_PKG_VERSION")), "version: 0.0.1");
    let crd = chart.join("files/crds/postlink.dev_dynamicsconnections.yaml");
    let mut value: Value = serde_saphyr::from_str(&std::fs::read_to_string(&crd).unwrap()).unwrap();
    let fields = value.pointer_mut(&format!("{SPEC}/properties")).and_then(Value::as_object_mut);
    assert!(fields.unwrap().remove("linksPerSecond").is_some(), "the field the test takes out is gone");
    std::fs::write(&crd, value.to_string()).unwrap();
    chart
}

const SPEC: &str = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";

fn has_field(plane: &ControlPlane) -> bool {
    let crd = plane.kubectl(User::Alice, ["get", CRD, "-o", "json"]).json();
    crd.pointer(&format!("{SPEC}/properties/linksPerSecond")).is_some()
}

fn helm(plane: &ControlPlane, major: u8, args: &[&str]) -> String {
    let mut all = args.to_vec();
    all.extend(["-n", NAMESPACE]);
    plane.helm(major, User::Alice, all).ok()
}

fn established(plane: &ControlPlane) {
    plane.kubectl(User::Alice, ["wait", "--for=condition=Established", "--timeout=60s", CRD]).ok();
}

/// Checks that the server has what `helm get manifest` shows.
fn all_there(plane: &ControlPlane, major: u8) {
    let manifest = helm(plane, major, &["get", "manifest", "postlink"]);
    let args = ["get", "-n", NAMESPACE, "-o", "name", "-f", "-"];
    let there = plane.kubectl_with_input(User::Alice, args, &manifest).ok();
    assert_eq!(there.lines().count(), super::objects(&manifest).len(), "{there}");
}

fn upgraded_rolled_back_and_removed(major: u8) {
    let plane = ControlPlane::start();
    let (previous, current) = (previous_chart(), chart());
    helm(&plane, major, &["install", "postlink", path(&previous), "--create-namespace"]);
    established(&plane);
    all_there(&plane, major);
    assert!(!has_field(&plane), "the previous chart lacks the field");

    for file in ["00-namespace.yaml", "connection.yaml"] {
        plane.kubectl_apply(User::Alice, repository("examples/quickstart").join(file));
    }
    let connection = || {
        let args = ["get", "dynamicsconnection", "northwind", "-n", "social", "-o", "json"];
        plane.kubectl(User::Alice, args).json()
    };
    let uid = connection()["metadata"]["uid"].clone();
    let note = ["annotate", "configmap", "postlink-in-use", "-n", NAMESPACE, "postlink.dev/connections=1"];
    plane.kubectl(User::Alice, note).ok();

    helm(&plane, major, &["upgrade", "postlink", path(&current)]);
    all_there(&plane, major);
    assert!(has_field(&plane), "an upgrade of the chart upgrades the definitions");
    let noted = ["get", "configmap", "postlink-in-use", "-n", NAMESPACE, "-o", "json"];
    let noted = plane.kubectl(User::Alice, noted).json();
    assert_eq!(
        noted["metadata"]["annotations"]["postlink.dev/connections"], "1",
        "an upgrade keeps the note"
    );

    // When the CRDs are managed elsewhere, the release stops managing them without deleting them.
    helm(&plane, major, &["upgrade", "postlink", path(&current), "--set", "crds.install=false"]);
    all_there(&plane, major);
    assert_eq!(connection()["metadata"]["uid"], uid);
    helm(&plane, major, &["upgrade", "postlink", path(&current), "--set", "crds.install=true"]);

    helm(&plane, major, &["rollback", "postlink", "1"]);
    all_there(&plane, major);
    assert!(!has_field(&plane), "a rollback brings the definitions back that belong to the chart");
    assert_eq!(connection()["metadata"]["uid"], uid);
    helm(&plane, major, &["rollback", "postlink", "2"]);
    assert!(has_field(&plane));
    helm(&plane, major, &["rollback", "postlink", "1"]);

    helm(&plane, major, &["uninstall", "postlink"]);
    plane.kubectl(User::Alice, ["get", "deployment", "postlink", "-n", NAMESPACE]).refused();
    plane.kubectl(User::Alice, ["get", "clusterrole", "postlink"]).refused();
    plane.kubectl(User::Alice, ["get", CRD]).ok();
    assert_eq!(connection()["metadata"]["uid"], uid, "the objects stay");

    // It can be reinstalled: kept objects still belong to the release and are upgraded with it.
    helm(&plane, major, &["install", "postlink", path(&current)]);
    all_there(&plane, major);
    assert!(has_field(&plane), "definitions that were kept are upgraded by the next install");
    assert_eq!(connection()["metadata"]["uid"], uid);
}

#[test]
fn helm_3_installs_upgrades_rolls_back_and_removes() {
    upgraded_rolled_back_and_removed(3);
}

#[test]
fn helm_4_installs_upgrades_rolls_back_and_removes() {
    upgraded_rolled_back_and_removed(4);
}

#[test]
fn helm_adopts_definitions_applied_by_kubectl_on_request() {
    for (major, more) in [(3, &[][..]), (4, &["--force-conflicts"][..])] {
        let plane = ControlPlane::start();
        plane.kubectl_apply(User::Alice, repository("crds"));
        established(&plane);
        let chart = chart();
        let install = ["install", "postlink", path(&chart), "-n", NAMESPACE, "--create-namespace"];
        let message = plane.helm(major, User::Alice, install).refused();
        assert!(message.contains("invalid ownership metadata"), "Helm {major}: {message}");
        let mut args = install.to_vec();
        args.push("--take-ownership");
        args.extend(more);
        plane.helm(major, User::Alice, args).ok();
        all_there(&plane, major);
    }
}

/// Mallory has all permissions in three namespaces and none elsewhere.
#[test]
fn namespaced_install_needs_rights_in_its_namespaces_only() {
    let plane = ControlPlane::start();
    plane.kubectl_apply(User::Admin, repository("crds"));
    for namespace in [NAMESPACE, "social", "care"] {
        plane.kubectl(User::Admin, ["create", "namespace", namespace]).ok();
        let user = format!("--user={}", User::Mallory.name());
        let binding = ["create", "rolebinding", "all", "--clusterrole=cluster-admin", &user, "-n", namespace];
        plane.kubectl(User::Admin, binding).ok();
    }
    let chart = chart();
    for major in super::HELMS {
        let install = ["install", "postlink", path(&chart), "-n", NAMESPACE];
        plane.helm(major, User::Mallory, install).refused();
        let mut args = install.to_vec();
        args.extend(["--set", "namespaces={social,care}", "--set", "workloadIdentity.namespaces={social}"]);
        plane.helm(major, User::Mallory, args).ok();
        let may = |verb: &str, what: &str, namespace: &str| {
            let (resource, subresource) = what.split_once('/').unwrap_or((what, ""));
            let subresource = format!("--subresource={subresource}");
            let args = ["auth", "can-i", verb, resource, &subresource, "-n", namespace];
            plane.kubectl(User::Controller, args).succeeded()
        };
        // Roles take effect a moment after they are stored.
        for (verb, what, namespace) in [
            ("get", "secrets", "social"),
            ("update", "postlinks/status", "care"),
            ("create", "serviceaccounts/token", "social"),
        ] {
            wait_for("a right of the controller", SOON, || may(verb, what, namespace).then_some(()));
        }
        assert!(!may("create", "serviceaccounts/token", "care"));
        assert!(!may("get", "secrets", NAMESPACE));
        assert!(!may("list", "postlinks", "default"));
        plane.helm(major, User::Mallory, ["uninstall", "postlink", "-n", NAMESPACE]).ok();
    }
}

/// See "Taking a namespace out" in the chart's README.
#[test]
fn namespaced_release_upgrades_after_a_namespace_is_deleted() {
    let plane = ControlPlane::start();
    plane.kubectl_apply(User::Admin, repository("crds"));
    let chart = chart();
    for (major, gone) in [(3, "social"), (4, "care")] {
        for namespace in ["stays", gone] {
            plane.kubectl(User::Admin, ["create", "namespace", namespace]).succeeded();
        }
        let named = |lists: [&str; 2]| {
            let lists =
                [format!("namespaces={}", lists[0]), format!("workloadIdentity.namespaces={}", lists[1])];
            let args =
                ["upgrade", "--install", "postlink", path(&chart), "-n", NAMESPACE, "--create-namespace"];
            plane.helm(major, User::Admin, [&args[..], &["--set", &lists[0], "--set", &lists[1]]].concat())
        };
        let both = format!("{{stays,{gone}}}");
        named([&both, &both]).ok();
        plane.kubectl(User::Admin, ["delete", "namespace", gone]).ok();
        let missing = format!("namespaces \"{gone}\" not found");
        for lists in [[&both[..], "{stays}"], ["{stays}", &both]] {
            let message = named(lists).refused();
            assert!(message.contains(&missing), "Helm {major}, {lists:?}: {message}");
        }
        named(["{stays}", "{stays}"]).ok();
        helm(&plane, major, &["uninstall", "postlink"]);
    }
}

/// The pod of the Deployment, for `kubectl create --dry-run=server`.
fn pod(objects: &[Value], namespace: &str) -> Value {
    let template = &find(objects, "Deployment", "postlink")["spec"]["template"];
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "postlink", "namespace": namespace, "labels": template["metadata"]["labels"]},
        "spec": template["spec"],
    })
}

#[test]
fn pods_run_in_a_restricted_namespace() {
    let plane = shared();
    let namespace = plane.namespace("restricted");
    let label = "pod-security.kubernetes.io/enforce=restricted";
    plane.kubectl(User::Admin, ["label", "namespace", &namespace, label]).ok();
    let create = |pod: &Value| {
        let args = ["create", "--dry-run=server", "-f", "-"];
        plane.kubectl_with_input(User::Alice, args, &pod.to_string())
    };
    let with_ca = json!({"caBundle": {"configMap": "company-ca"}});
    for values in [json!({}), with_ca] {
        create(&pod(&render(&values), &namespace)).ok();
    }
    let mut privileged = pod(&render(&json!({})), &namespace);
    privileged["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = json!(true);
    let message = create(&privileged).refused();
    assert!(message.contains("violates PodSecurity"), "{message}");
}

/// The policies of a release are in force, with the messages of the files.
#[test]
fn installed_policies_refuse_deleting_a_used_connection() {
    let plane = ControlPlane::start();
    helm(&plane, 4, &["install", "postlink", path(&chart()), "--create-namespace"]);
    established(&plane);
    for file in ["00-namespace.yaml", "connection.yaml"] {
        plane.kubectl_apply(User::Alice, repository("examples/quickstart").join(file));
    }
    let status = json!({"status": {"activeRules": [{"name": "r", "uid": "u", "generation": 1}]}}).to_string();
    let patch = [
        "patch",
        "dconn",
        "northwind",
        "-n",
        "social",
        "--subresource=status",
        "--type=merge",
        "-p",
        &status,
    ];
    plane.kubectl(User::Admin, patch).ok();
    let delete = ["delete", "dconn", "northwind", "-n", "social", "--dry-run=server"];
    plane.until_refused(
        User::Alice,
        &delete,
        "is used by 1 active rule: r; deactivate (spec.active: false) or delete the rule first",
        SOON,
    );
}

/// Fields that the API server would drop or default differently cause a warning or an error here.
#[test]
fn api_server_accepts_every_field() {
    let plane = ControlPlane::start();
    plane.kubectl(User::Admin, ["create", "namespace", NAMESPACE]).ok();
    let (chart, mut values) = super::everything();
    // Kinds of the Prometheus operator, whose CRDs are not installed.
    for kind in ["serviceMonitor", "prometheusRule"] {
        values["metrics"][kind]["enabled"] = json!(false);
    }
    for namespace in ["social", "care", "monitoring"] {
        plane.kubectl(User::Admin, ["create", "namespace", namespace]).ok();
    }
    values["affinity"] = json!({});
    let rendered = template_to_file(&chart, &values);
    let args = ["create", "--dry-run=server", "--validate=strict", "-f", path(&rendered)];
    let answer = plane.kubectl(User::Alice, args);
    assert_eq!(answer.stderr, "", "{}", answer.stdout);
    answer.ok();
}

fn template_to_file(chart: &Path, values: &Value) -> std::path::PathBuf {
    let rendered = super::template(4, chart, values).unwrap_or_else(|error| panic!("{error}"));
    let file = new_folder("rendered").join("all.yaml");
    std::fs::write(&file, rendered).unwrap();
    file
}
