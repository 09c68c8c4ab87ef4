//! What the index knows after things came in an order nobody wished for.

use super::*;
use crate::api::PostLink;
use jiff::Timestamp;
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
    let affected = [
        index.apply_connection(connection("c1", 5), Source::Answer),
        index.apply_rule(rule("r1", 6, "late"), Source::Answer),
        index.apply_link(&post("p1", 7, "late"), Source::Answer, NOW),
    ];
    assert_eq!(known(&index), [0, 0, 0]);
    assert!(affected.iter().all(|affected| affected.keys.is_empty() && affected.rematch.is_none()));
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
    assert_eq!(uid(Kind::DynamicsConnection, "c"), "c1");
    assert_eq!(uid(Kind::AutomationRule, "r"), "r1");
    assert_eq!(uid(Kind::PostLink, "p"), entry::uid("p1").to_string());

    index.delete_connection("n", "c", None);
    assert!(index.tombstone("c1").is_some() && index.tombstone("c2").is_none());
    index.apply_connection(connection("c2", 5), Source::Watch);
    // The answer to the write that took the finalizer off the first one comes last.
    assert!(index.delete_connection("n", "c", Some("c1")).keys.is_empty());
    assert_eq!(uid(Kind::DynamicsConnection, "c"), "c2");
    assert!(index.tombstone("c2").is_none());
}

fn matching(index: &Index) -> Vec<String> {
    let look = index.snapshot(&Key::new(Kind::PostLink, "n", "p")).unwrap();
    look.matching.into_iter().map(|rule| rule.uid).collect()
}

/// A second rule beside the first.
fn another_rule(version: u32, keyword: &str) -> AutomationRule {
    let mut rule = rule("r2", version, keyword);
    rule.metadata.name = Some("r2".to_owned());
    rule
}

#[test]
fn a_post_is_read_again_when_it_was_edited_and_not_when_its_status_was_written() {
    let index = Index::default();
    index.apply_rule(rule("r1", 1, "late"), Source::Watch);
    index.apply_link(&post("p1", 2, "late again"), Source::Watch, NOW);
    assert_eq!(matching(&index), ["r1"]);
    // No store has two texts of one generation; here it tells whether the text was read.
    index.apply_link(&post("p1", 3, "never read"), Source::Watch, NOW);
    assert_eq!(matching(&index), ["r1"]);
    let mut edited = post("p1", 4, "all fine");
    edited.metadata.generation = Some(2);
    index.apply_link(&edited, Source::Watch, NOW);
    assert_eq!(matching(&index), [""; 0]);
    index.apply_link(&post("p2", 5, "late, and another post"), Source::Watch, NOW);
    assert_eq!(matching(&index), ["r1"]);
}

#[test]
fn a_post_whose_status_was_written_while_posts_were_read_for_a_rule_is_matched_all_the_same() {
    let index = Index::default();
    let listed = post("p1", 1, "late again");
    index.apply_link(&listed, Source::Watch, NOW);
    index.apply_rule(rule("r1", 2, "late"), Source::Watch);
    index.apply_link(&post("p1", 3, "late again"), Source::Watch, NOW);
    assert!(index.rematch(&Arc::from("n"), &listed).is_some());
    assert_eq!(matching(&index), ["r1"]);
    assert!(index.rematch(&Arc::from("n"), &listed).is_none(), "that is known by now");

    let mut edited = post("p1", 4, "all fine");
    edited.metadata.generation = Some(2);
    index.apply_link(&edited, Source::Watch, NOW);
    assert!(
        index.rematch(&Arc::from("n"), &listed).is_none(),
        "the edited one has passed and was matched then"
    );
    assert_eq!(matching(&index), [""; 0]);
}

/// Each is matched outside the lock, so a rule may change meanwhile.
#[test]
fn a_rule_that_changes_while_a_post_is_matched_has_the_posts_read_once_more() {
    let index = Index::default();
    let (seen, new) = (post("p1", 1, "late again"), post("p1", 3, "late again"));
    let matched = index.matched(&seen);
    index.apply_rule(rule("r1", 2, "late"), Source::Watch);
    let affected = index.put_link(&seen, Source::Watch, NOW, matched);
    assert_eq!(affected.rematch.as_deref(), Some("n"));
    assert!(index.rematch(&Arc::from("n"), &seen).is_some());
    assert_eq!(matching(&index), ["r1"]);

    // One that has been matched is not read, so nothing can change meanwhile; were it forgotten, it would be.
    let matched = index.matched(&new);
    index.apply_rule(another_rule(4, "again"), Source::Watch);
    index.delete_link("n", "p");
    let affected = index.put_link(&new, Source::Watch, NOW, matched);
    assert_eq!(affected.rematch.as_deref(), Some("n"));
    assert!(index.rematch(&Arc::from("n"), &new).is_some());
    assert_eq!(matching(&index), ["r1", "r2"]);

    // What a rule's own status says is no change.
    let mut edited = post("p1", 5, "late again");
    edited.metadata.generation = Some(2);
    let matched = index.matched(&edited);
    let mut written = rule("r1", 6, "late");
    written.status = Some(crate::api::AutomationRuleStatus::default());
    index.apply_rule(written, Source::Watch);
    assert!(index.put_link(&edited, Source::Watch, NOW, matched).rematch.is_none());

    // An answer waits for the watch, which has the same to tell.
    edited.metadata.generation = Some(3);
    edited.metadata.resource_version = Some("8".to_owned());
    let matched = index.matched(&edited);
    index.delete_rule("n", "r2");
    assert!(index.put_link(&edited, Source::Answer, NOW, matched).keys.is_empty());
    assert_eq!(matching(&index), ["r1"]);
}
