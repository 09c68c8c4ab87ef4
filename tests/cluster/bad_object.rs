//! An undecodable object, as left by another version or an edit in etcd, affects nothing else: its status and the log name
//! the field, and all other objects are reconciled.

use serde_json::{Value, json};

use crate::cluster::{Cluster, Lease, NAMESPACE, SOON, condition};
use crate::harness::users::User;
use crate::harness::waiting::{block_on, wait_for};
use crate::story::STEPS;

/// A string in place of a number or a struct; it must not appear in the log.
const TEXT: &str = "everything Ines wrote";

/// Writes an object to etcd, because the API server would reject it.
fn put(cluster: &Cluster, resource: &str, mut object: Value, number: u32) {
    object["apiVersion"] = "postlink.dev/v1alpha1".into();
    object["metadata"]["namespace"] = NAMESPACE.into();
    object["metadata"]["generation"] = 1.into();
    object["metadata"]["uid"] = format!("00000000-0000-4000-8000-{number:012}").into();
    object["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z".into();
    store(cluster, resource, &object);
}

fn store(cluster: &Cluster, resource: &str, object: &Value) {
    let name = object["metadata"]["name"].as_str().expect("it has a name");
    let key = format!("/registry/postlink.dev/{resource}/{NAMESPACE}/{name}");
    block_on(async { cluster.plane.etcd().gateway().put(&key, object.to_string().as_bytes()).await })
        .unwrap();
}

fn unreadable_link(name: &str) -> Value {
    let post = json!({"url": "https://social.example/x", "id": "x", "reach": TEXT});
    json!({"kind": "PostLink", "metadata": {"name": name}, "spec": {"post": post}})
}

fn unreadable_rule(name: &str) -> Value {
    let spec = json!({"connectionRef": {"name": "northwind"}, "active": true, "match": TEXT});
    json!({"kind": "AutomationRule", "metadata": {"name": name}, "spec": spec})
}

fn names(name: &str) -> impl Fn(&str) -> bool {
    move |line| line.contains("cannot be decoded") && line.contains(name)
}

/// An undecodable object gets an event, shown by `kubectl describe`.
fn eventually_told(cluster: &Cluster, kind: &str, name: &str) {
    let of = format!("involvedObject.kind={kind},involvedObject.name={name},reason=Undecodable");
    let event = wait_for("an event about the undecodable object", SOON, || {
        let args = ["get", "events", "-n", NAMESPACE, "--field-selector", &of, "-o", "json"];
        let events = cluster.plane.kubectl(User::Alice, args).json();
        events["items"][0]["message"].as_str().map(str::to_owned)
    });
    assert!(event.contains("cannot be decoded") && !event.contains(TEXT), "{event}");
}

#[test]
fn undecodable_object_blocks_nothing_else() {
    let mut cluster = Cluster::quickstart(Lease::None);
    let applied = STEPS[0].act;
    // Found by a running watch, before and among others.
    cluster.plane.kubectl(User::Alice, ["create", "namespace", NAMESPACE]).ok();
    put(&cluster, "postlinks", unreadable_link("bad-by-watch"), 1);
    put(&cluster, "automationrules", unreadable_rule("bad-rule"), 2);
    cluster.controller().wait_for_log(SOON, names("bad-by-watch"));
    cluster.controller().wait_for_log(SOON, names("bad-rule"));
    applied(&cluster);
    (STEPS[0].ends)(&cluster);
    for (kind, name) in [("PostLink", "bad-by-watch"), ("AutomationRule", "bad-rule")] {
        eventually_told(&cluster, kind, name);
    }

    // Found by a list.
    let log = cluster.kill_controller();
    assert!(!log.contains(TEXT), "text of a post is in the log:\n{log}");
    cluster.start_controller();
    cluster.controller().wait_for_log(SOON, names("bad-by-watch"));
    // The live list of rules before Disabled contains the bad rule, too.
    for step in &STEPS[2..5] {
        (step.act)(&cluster);
        (step.ends)(&cluster);
    }
    cluster.controller_kept_within_its_rights();
    let log = cluster.kill_controller();
    assert!(!log.contains(TEXT), "text of a post is in the log:\n{log}");
}

/// An object of a newer CRD has a value that this version does not know. Its status does not go on saying what was true of
/// an earlier generation.
#[test]
fn undecodable_object_does_not_stay_ready() {
    let mut cluster = Cluster::quickstart(Lease::None);
    (STEPS[0].act)(&cluster);
    (STEPS[0].ends)(&cluster);
    let object = "plink/suitcase-day-four";
    let good = cluster.get(object);
    assert_eq!(condition(&good, "Ready").unwrap().0, "True", "{good}");

    let values =
        "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/post/properties/sentiment/enum/-";
    let newer = json!([{"op": "add", "path": values, "value": "Mixed"}]).to_string();
    let crd = ["patch", "crd", "postlinks.postlink.dev", "--type=json", "-p", &newer];
    cluster.plane.kubectl(User::Admin, crd).ok();
    let patch = |sentiment: &str| {
        let patch = json!({"spec": {"post": {"sentiment": sentiment}}}).to_string();
        cluster.plane.kubectl(User::Alice, ["patch", "-n", NAMESPACE, object, "--type=merge", "-p", &patch])
    };
    wait_for("the newer CRD to be served", SOON, || patch("Mixed").succeeded().then_some(()));
    cluster.wait_reason("Ready", "Undecodable", &[object]);
    let written = cluster.get(object);
    assert_eq!(condition(&written, "Ready"), Some(("False", "Undecodable")));
    assert_eq!(condition(&written, "Stalled"), Some(("True", "Undecodable")));
    assert_eq!(condition(&written, "Linked"), condition(&good, "Linked"));
    let observed = |object: &Value| object["status"]["observedGeneration"].clone();
    assert_eq!(observed(&written), observed(&good), "nothing is decided about the new generation");
    assert_eq!(written["status"]["link"], good["status"]["link"]);
    let message = written["status"]["conditions"][0]["message"].as_str().unwrap();
    assert!(
        message.contains("spec.post.sentiment: unknown variant") && !message.contains("Mixed"),
        "{message}"
    );

    patch("Negative").ok();
    cluster.wait("condition=Ready", &[object]);
    let corrected = cluster.get(object);
    assert_eq!(condition(&corrected, "Stalled"), None);
    assert_eq!(corrected["status"]["link"], good["status"]["link"]);
    cluster.kill_controller();
}
