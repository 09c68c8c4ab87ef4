//! kubectl as people use it: wide columns, field selectors, and a manifest that once had our finalizer.

use crate::cluster::{Cluster, Lease, NAMESPACE, text_of};
use crate::harness::users::User;

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
    cluster.declare("arule/baggage-complaints", &serde_json::json!({"active": false}));
    cluster.wait("jsonpath={.status.activeRuleCount}=0", &["dconn/northwind"]);
    cluster.plane.kubectl_apply_text(User::Alice, &plain).ok();
}
