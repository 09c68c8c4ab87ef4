//! §4.4: before Disabled is written, all rules of the namespace are listed live.

use super::{Scene, condition};
use kube_memory::FaultInjector;
use rstest::rstest;
use serde_json::{Value, json};
use std::{fmt::Write, sync::Arc};

const CONNECTIONS: &str = "dynamicsconnections.postlink.dev";
const RULES: &str = "automationrules.postlink.dev";

/// The conditions of a connection whose disable is held, as one string.
fn held(scene: &Scene) -> (Value, Vec<String>, bool) {
    let connection = scene.connection();
    let entries = connection["status"]["activeRules"].as_array().cloned().unwrap_or_default();
    let names = entries.iter().filter_map(|e| e["name"].as_str().map(str::to_owned)).collect();
    let refused = condition(&connection, "DisableRefused").starts_with("True/");
    (connection["status"]["state"].clone(), names, refused)
}

fn is_active(scene: &Scene, rule: &str) -> bool {
    let rule = scene.stored("AutomationRule", rule);
    rule.is_some_and(|rule| condition(&rule, "Active").starts_with("True/"))
}

/// Waits until the disable was either carried out or held.
fn decided(scene: &Scene) -> bool {
    let (state, _, refused) = held(scene);
    refused || state == "Disabled"
}

#[tokio::test(start_paused = true)]
async fn active_rule_on_last_page_holds_its_connection() {
    // Watches and live lists read pages of 500, sorted by name.
    const OTHERS: usize = 500;
    let mut rules = String::new();
    for (name, active) in
        (0..OTHERS).map(|n| (format!("rule-{n:03}"), n == 0)).chain([("zz".to_owned(), true)])
    {
        let _ = write!(
            rules,
            "---\napiVersion: postlink.dev/v1alpha1\nkind: AutomationRule\nmetadata: {{name: {name}}}\n\
             spec: {{active: {active}, connectionRef: {{name: contoso}}}}\n"
        );
    }
    let scene = Scene::start(&rules).await;
    assert!(is_active(&scene, "rule-000") && is_active(&scene, "zz"));
    scene.edit("DynamicsConnection", "contoso", json!({"spec": {"enabled": false}})).await;
    scene.settle().await;
    // Releasing a rule needs the live list.
    scene.edit("AutomationRule", "rule-000", json!({"spec": {"active": false}})).await;
    scene.settle().await;
    assert_eq!(held(&scene), (json!("Enabled"), vec!["zz".to_owned()], true));
    scene.assert_unbroken();

    scene.edit("AutomationRule", "zz", json!({"spec": {"active": false}})).await;
    scene.settle().await;
    assert_eq!(held(&scene), (json!("Disabled"), vec![], false));
    scene.assert_unbroken();
}

/// What the controller's rule watch has not delivered when the disable arrives.
#[derive(Clone, Copy, PartialEq)]
enum Behind {
    /// The rule's activation, and its entry is lost.
    SwitchedOn,
    /// The rule's creation.
    Created,
}

#[rstest]
#[case::of_a_rule_switched_on_whose_entry_is_lost(Behind::SwitchedOn)]
#[case::of_a_rule_that_is_new(Behind::Created)]
#[tokio::test(start_paused = true)]
async fn stale_watch_does_not_disable_under_active_rule(#[case] behind: Behind) {
    let rule = |active: bool| json!({"active": active, "connectionRef": {"name": "contoso"}});
    let scene = Scene::start("").await;
    if behind == Behind::SwitchedOn {
        scene.create("AutomationRule", "rule", rule(false)).await;
        scene.settle().await;
    }
    let before = scene.connection();

    // Another controller, whose watch is current, reserves the rule and stops.
    scene.line.hold(RULES);
    scene.line.hold(CONNECTIONS);
    let other = scene.another_controller(&FaultInjector::new(), Arc::new(|| true), None);
    match behind {
        Behind::SwitchedOn => scene.edit("AutomationRule", "rule", json!({"spec": rule(true)})).await,
        Behind::Created => scene.create("AutomationRule", "rule", rule(true)).await,
    }
    scene.until("the rule is active", |scene| is_active(scene, "rule")).await;
    other.stop().await;
    if behind == Behind::SwitchedOn {
        let connections = scene.api("DynamicsConnection");
        let lost = kube::api::Patch::Merge(json!({"status": {
            "activeRules": before["status"]["activeRules"], "activeRuleCount": before["status"]["activeRuleCount"],
        }}));
        connections.patch_status("contoso", &kube::api::PatchParams::default(), &lost).await.unwrap();
        assert_eq!(held(&scene).1, [""; 0]);
    }

    scene.edit("DynamicsConnection", "contoso", json!({"spec": {"enabled": false}})).await;
    scene.line.release_all(CONNECTIONS);
    scene.until("the disable is decided on", decided).await;
    assert_eq!(held(&scene), (json!("Enabled"), vec!["rule".to_owned()], true));
    assert!(is_active(&scene, "rule"));
    scene.assert_unbroken();

    scene.line.release_all(RULES);
    scene.edit("AutomationRule", "rule", json!({"spec": rule(false)})).await;
    scene.settle().await;
    assert_eq!(held(&scene), (json!("Disabled"), vec![], false));
    scene.assert_unbroken();
}
