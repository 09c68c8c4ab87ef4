//! What the index knows after things came in an order nobody wished for.

use super::*;
use serde_json::{Value, json};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn metadata(name: &str, uid: &str, version: u32) -> Value {
    json!({"name": name, "namespace": "n", "uid": uid, "resourceVersion": version.to_string(), "generation": 1})
}

fn connection(uid: &str, version: u32) -> DynamicsConnection {
    serde_json::from_value(json!({
        "apiVersion": "postlink.dev/v1alpha1", "kind": "DynamicsConnection",
        "metadata": metadata("c", uid, version),
        "spec": {"instanceUrl": "https://x.crm.dynamics.com", "credentials": {"secretRef": {"name": "s"}}},
    }))
    .unwrap()
}

fn rule(uid: &str, version: u32, keyword: &str) -> AutomationRule {
    serde_json::from_value(json!({
        "apiVersion": "postlink.dev/v1alpha1", "kind": "AutomationRule",
        "metadata": metadata("r", uid, version),
        "spec": {"connectionRef": {"name": "c"}, "match": {"keywords": [keyword]}},
    }))
    .unwrap()
}

fn post(uid: &str, version: u32, content: &str) -> PostLink {
    serde_json::from_value(json!({
        "apiVersion": "postlink.dev/v1alpha1", "kind": "PostLink",
        "metadata": metadata("p", uid, version),
        "spec": {"post": {"url": "https://x.example", "id": "1", "content": content}},
    }))
    .unwrap()
}

fn known(index: &Index) -> [usize; 3] {
    Kind::ALL.map(|kind| index.keys(kind, None).len())
}

#[test]
fn an_answer_that_the_deletion_has_overtaken_brings_nothing_back() {
    let index = Index::default();
    index.apply_connection(connection("c1", 1), Source::Watch);
    index.apply_rule(rule("r1", 2, "late"), Source::Watch);
    index.apply_link(&post("p1", 3, "late"), Source::Watch, NOW);
    assert_eq!(known(&index), [1, 1, 1]);
    assert!(
        !index.apply_rule(rule("r1", 4, "late"), Source::Answer).keys.is_empty(),
        "what is known is updated"
    );

    index.delete_rule("n", "r");
    index.delete_link("n", "p");
    index.delete_connection("n", "c", None);
    let touched = [
        index.apply_connection(connection("c1", 5), Source::Answer),
        index.apply_rule(rule("r1", 6, "late"), Source::Answer),
        index.apply_link(&post("p1", 7, "late"), Source::Answer, NOW),
    ];
    assert_eq!(known(&index), [0, 0, 0]);
    assert!(touched.iter().all(|touched| touched.keys.is_empty() && touched.rematch.is_none()));
}

/// The watch still has to tell of the deletion of the one that is known, and would then take the new one for gone.
#[test]
fn an_answer_about_another_object_of_that_name_waits_for_the_watch() {
    let index = Index::default();
    index.apply_connection(connection("c1", 1), Source::Watch);
    index.apply_rule(rule("r1", 2, "late"), Source::Watch);
    index.apply_link(&post("p1", 3, "late"), Source::Watch, NOW);
    index.apply_connection(connection("c2", 5), Source::Answer);
    index.apply_rule(rule("r2", 6, "late"), Source::Answer);
    index.apply_link(&post("p2", 7, "late"), Source::Answer, NOW);
    let uid = |kind, name| index.uid(&Key::new(kind, "n", name)).unwrap();
    assert_eq!(uid(Kind::Connection, "c"), "c1");
    assert_eq!(uid(Kind::Rule, "r"), "r1");
    assert_eq!(uid(Kind::Link, "p"), entry::uid("p1").to_string());

    index.delete_connection("n", "c", None);
    assert!(index.gone("c1").is_some() && index.gone("c2").is_none());
    index.apply_connection(connection("c2", 5), Source::Watch);
    // The answer to the write that took the finalizer off the first one comes last.
    assert!(index.delete_connection("n", "c", Some("c1")).keys.is_empty());
    assert_eq!(uid(Kind::Connection, "c"), "c2");
    assert!(index.gone("c2").is_none());
}
