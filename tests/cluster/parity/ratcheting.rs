//! Objects that are stored before a rule is added stay usable on a real server.

use postlink::api::crds;
use serde_json::{Value, json};

use crate::cluster::SOON;
use crate::harness::shared;
use crate::harness::users::User;
use crate::harness::waiting::wait_for;
use crate::mistakes::{lenient, smallest};

const GROUP: &str = "before.example";

/// The rule's kind in a group of its own, because another test uses the real one.
fn renamed(crd: &impl serde::Serialize) -> String {
    let mut crd = serde_json::to_value(crd).unwrap();
    crd["metadata"]["name"] = json!(format!("automationrules.{GROUP}"));
    crd["spec"]["group"] = json!(GROUP);
    for names in ["shortNames", "categories"] {
        crd["spec"]["names"][names] = Value::Null;
    }
    crd.to_string()
}

fn rule(name: &str, since: &str) -> String {
    let mut rule = smallest("AutomationRule");
    rule["apiVersion"] = json!(format!("{GROUP}/v1alpha1"));
    rule["metadata"] = json!({"name": name, "namespace": "default"});
    rule["spec"]["since"] = json!(since);
    rule.to_string()
}

#[test]
fn stored_objects_may_stay_as_they_are() {
    let plane = shared();
    let (old, new) = (&lenient()[1], &crds::all()[1]);
    assert_eq!(new.spec.names.kind, "AutomationRule");
    plane.kubectl_apply_text(User::Admin, &renamed(old)).ok();
    let undecodable = "2025-12-01T00:00:00.1234567890Z";
    wait_for("the kind to be served", SOON, || {
        plane.kubectl_apply_text(User::Admin, &rule("a", undecodable)).succeeded().then_some(())
    });
    plane.kubectl_apply_text(User::Admin, &renamed(new)).ok();
    let refusal = wait_for("the rules to be in force", SOON, || {
        let answer = plane.kubectl_apply_text(User::Admin, &rule("b", undecodable));
        (!answer.succeeded()).then_some(answer.stderr)
    });
    assert!(
        refusal.contains("must be a date and time with a time zone, such as 2025-12-01T00:00:00Z"),
        "{refusal}"
    );
    let object = format!("automationrules.{GROUP}/a");
    plane.kubectl(User::Admin, ["label", "-n", "default", &object, "a=b"]).ok();
    let status = r#"{"status": {"connectionUID": "u"}}"#;
    plane
        .kubectl(
            User::Admin,
            ["patch", "-n", "default", &object, "--subresource=status", "--type=merge", "-p", status],
        )
        .ok();
    let answer = plane.kubectl_apply_text(User::Admin, &rule("a", "2025-12-01"));
    assert!(answer.refused().contains("must be a date and time"), "a changed value must be right");
    plane.kubectl_apply_text(User::Admin, &rule("a", "2025-12-01T00:00:00Z")).ok();
}
