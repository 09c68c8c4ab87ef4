//! kubectl as people use it: wide columns, field selectors, field managers, and a manifest that once had our finalizer.

use serde_json::{Value, json};

use crate::cluster::{Cluster, Lease, NAMESPACE, text_of};
use crate::harness::users::User;
use crate::many_links::post_link;

fn quickstart() -> Cluster {
    let cluster = Cluster::quickstart(Lease::None);
    cluster.apply_quickstart(&["00-namespace", "secret", "connection", "rule", "posts"]);
    cluster.wait_reason(
        "RecordAvailable",
        "RecordAvailable",
        &["plink/suitcase-day-four", "plink/choir-of-forty"],
    );
    cluster.wait("condition=Ready", &["arule/baggage-complaints", "dconn/northwind"]);
    cluster
}

#[test]
fn wide_columns_and_field_selectors() {
    let cluster = quickstart();
    let get = |args: &[&str]| {
        let all = [&["get", "-n", NAMESPACE], args].concat();
        cluster.plane.kubectl(User::Alice, all).ok()
    };
    for (kind, heads) in [
        ("dconn", vec!["STATE", "MESSAGE"]),
        ("arule", vec!["ACTIVE", "MESSAGE"]),
        ("plink", vec!["LINKED", "RULE", "RECORD URL", "POST URL", "MESSAGE"]),
    ] {
        let (narrow, wide) = (get(&[kind]), get(&[kind, "-o", "wide"]));
        let head = wide.lines().next().unwrap();
        assert!(heads.iter().all(|column| head.contains(column)), "{head}");
        assert!(!narrow.contains("MESSAGE"), "{narrow}");
    }
    let wide = get(&["plink", "suitcase-day-four", "-o", "wide"]);
    for part in
        ["baggage-complaints", "/main.aspx?etn=incident&id=", "https://social.example/", "Rule baggage"]
    {
        assert!(wide.contains(part), "{wide}");
    }
    for (kind, selector, found) in [
        ("dconn", "status.state=Enabled", 1),
        ("dconn", "status.state=Downtime", 0),
        ("dconn", "status.reason=Connected", 1),
        ("arule", "spec.connectionRef.name=northwind,status.reason=Reserved", 1),
        ("plink", "status.reason=LinkedByHand", 1),
        ("plink", "status.link.rule.name=baggage-complaints,status.link.connection.name=northwind", 2),
        ("plink", "spec.link.connectionRef.name=northwind", 0),
        ("plink", "spec.post.source=Nowhere", 0),
    ] {
        let names = get(&[kind, "--field-selector", selector, "-o", "name"]);
        assert_eq!(names.lines().count(), found, "{kind} {selector}: {names}");
    }
}

/// The tool that applied the manifest with the finalizer may drop it, even while a rule is active: it is not the only owner.
#[test]
fn r08_manifest_may_drop_the_finalizer() {
    let cluster = Cluster::quickstart(Lease::None);
    cluster.apply_quickstart(&["00-namespace", "secret"]);
    let plain = text_of("examples/quickstart/connection.yaml");
    let carrying = plain.replace(
        "  name: northwind\n  namespace",
        "  name: northwind\n  finalizers: [postlink.dev/active-rules]\n  namespace",
    );
    assert_ne!(carrying, plain);
    let flux =
        ["apply", "--server-side", "--force-conflicts", "--field-manager=kustomize-controller", "-f", "-"];
    cluster.plane.kubectl_with_input(User::FluxKustomize, flux, &carrying).ok();
    cluster.apply_quickstart(&["rule"]);
    cluster.wait_reason("Active", "Reserved", &["arule/baggage-complaints"]);
    let dry_run = [&flux[..], &["--dry-run=server"]].concat();
    cluster.plane.kubectl_with_input(User::FluxKustomize, dry_run, &plain).ok();
    cluster.plane.kubectl_with_input(User::FluxKustomize, flux, &plain).ok();
    assert_eq!(cluster.get("dconn/northwind")["metadata"]["finalizers"][0], "postlink.dev/active-rules");

    // kubectl's client-side apply removes what its last manifest had, no matter who owns it; the message says what to do.
    cluster.plane.kubectl_apply_text(User::Alice, &carrying).ok();
    let denied = cluster.plane.kubectl_apply_text(User::Alice, &plain).refused();
    assert!(denied.contains("If a manifest had the finalizer, put it back until then"), "{denied}");
    cluster.declare("arule/baggage-complaints", &json!({"active": false}));
    cluster.wait("jsonpath={.status.activeRuleCount}=0", &["dconn/northwind"]);
    cluster.plane.kubectl_apply_text(User::Alice, &plain).ok();
}

/// Metadata that nobody but its owner may change, and the fields that each manager has.
fn metadata(cluster: &Cluster, object: &str) -> (Value, Vec<Value>) {
    let args = ["get", "-n", NAMESPACE, object, "-o", "json", "--show-managed-fields"];
    let mut metadata = cluster.plane.kubectl(User::Alice, args).json()["metadata"].take();
    let managers = metadata["managedFields"].take().as_array().cloned().unwrap_or_default();
    metadata["resourceVersion"].take();
    (metadata, managers)
}

/// The object that is sent with a status has no spec, labels or finalizers (0027).
#[test]
fn status_write_changes_nothing_else() {
    let cluster = Cluster::quickstart(Lease::None);
    cluster.apply_quickstart(&["00-namespace", "secret", "connection"]);
    let owner = cluster.get("dconn/northwind")["metadata"]["uid"].clone();
    let mut post = post_link(1);
    post["status"].take();
    post["metadata"] = json!({
        "name": "owned", "namespace": NAMESPACE, "labels": {"team": "care"}, "annotations": {"example.com/note": "x"},
        "finalizers": ["example.com/hold"],
        "ownerReferences": [
            {"apiVersion": "postlink.dev/v1alpha1", "kind": "DynamicsConnection", "name": "northwind", "uid": owner},
        ],
    });
    let flux = ["apply", "--server-side", "--field-manager=kustomize-controller", "-f", "-"];
    cluster.plane.kubectl_with_input(User::FluxKustomize, flux, &post.to_string()).ok();
    let object = "plink/owned";
    let (before, spec) = (metadata(&cluster, object), cluster.get(object)["spec"].take());
    cluster.wait_reason("RecordAvailable", "RecordAvailable", &[object]);
    cluster.declare("dconn/northwind", &json!({"enabled": false}));
    cluster.wait_reason("RecordAvailable", "ConnectionDisabled", &[object]);

    let after = metadata(&cluster, object);
    assert_eq!(after.0, before.0);
    let applied = |managers: &[Value]| -> Vec<Value> {
        managers.iter().filter(|entry| entry["manager"] != "postlink").cloned().collect()
    };
    assert_eq!(applied(&after.1), applied(&before.1));
    let ours: Vec<_> = after.1.iter().filter(|entry| entry["manager"] == "postlink").collect();
    assert_eq!(ours.len(), 1, "{ours:#?}");
    assert_eq!((&ours[0]["operation"], &ours[0]["subresource"]), (&json!("Update"), &json!("status")));
    assert_eq!(ours[0]["fieldsV1"], json!({"f:status": {}}));
    assert_eq!(cluster.get(object)["spec"], spec);
    let release =
        ["patch", "-n", NAMESPACE, object, "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#];
    cluster.plane.kubectl(User::Alice, release).ok();
}
