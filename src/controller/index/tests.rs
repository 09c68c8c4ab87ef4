//! Watch events, responses and rule changes that arrive in unfavorable order.

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

/// A post called `name` with this source and id.
fn post_of(name: &str, version: u32, source: &str, id: &str) -> PostLink {
    serde_json::from_value(json!({
        "apiVersion": "postlink.dev/v1alpha1", "kind": "PostLink",
        "metadata": metadata(name, &format!("uid-{name}"), version),
        "spec": {"post": {"url": "https://x.example", "id": id, "source": source}},
    }))
    .unwrap()
}

#[test]
fn posts_with_the_same_source_and_id_affect_one_another() {
    let index = Index::default();
    let names = |affected: Affected| {
        let mut names: Vec<String> = affected.keys.iter().map(|key| key.name.to_string()).collect();
        names.sort();
        names.join(" ")
    };
    let first = |name: &str| {
        let snapshot = index.snapshot(&Key::new(Kind::PostLink, "n", name)).unwrap();
        snapshot.same_post.map(|claim| claim.name)
    };
    let apply = |post| names(index.apply_link(&post, Source::Watch, NOW));
    assert_eq!(apply(post_of("b", 1, "Twitter", "1")), "b");
    assert_eq!(apply(post_of("r", 2, "Reviews", "1")), "r", "another source");
    assert_eq!(apply(post_of("c", 3, " twitter", "1 ")), "b c", "now there are two of the post");
    assert_eq!((first("b"), first("r"), first("c")), (Some("c".into()), None, Some("b".into())));
    assert_eq!(apply(post_of("d", 4, "TWITTER", "1")), "d", "b still counts");
    assert_eq!(apply(post_of("a", 5, "twitter", "1")), "a b c d", "a counts now");
    assert_eq!((first("a"), first("d")), (Some("b".into()), Some("a".into())));
    assert_eq!(apply(post_of("a", 6, "Reviews", "1")), "a b c d r", "it leaves one post and joins another");
    assert_eq!(names(index.delete_link("n", "d")), "");
    assert_eq!(names(index.delete_link("n", "b")), "c");
    assert_eq!(first("c"), None);
}

fn stored(index: &Index) -> [usize; 3] {
    Kind::ALL.map(|kind| index.missing(kind, None, &HashSet::new()).len())
}

#[test]
fn a_response_after_the_deletion_stores_nothing() {
    let index = Index::default();
    index.apply_connection(connection("c1", 1), Source::Watch);
    index.apply_rule(rule("r1", 2, "late"), Source::Watch);
    index.apply_link(&post("p1", 3, "late"), Source::Watch, NOW);
    assert_eq!(stored(&index), [1, 1, 1]);
    assert!(
        !index.apply_rule(rule("r1", 4, "late"), Source::Response).keys.is_empty(),
        "a stored object is updated"
    );

    index.delete_rule("n", "r");
    index.delete_link("n", "p");
    index.delete_connection("n", "c", None);
    let affected = [
        index.apply_connection(connection("c1", 5), Source::Response),
        index.apply_rule(rule("r1", 6, "late"), Source::Response),
        index.apply_link(&post("p1", 7, "late"), Source::Response, NOW),
    ];
    assert_eq!(stored(&index), [0, 0, 0]);
    assert!(affected.iter().all(|affected| affected.keys.is_empty() && affected.rematch.is_none()));
}

/// The watch has yet to deliver the deletion of the stored object, which would otherwise remove the new one.
#[test]
fn a_response_about_a_recreated_object_is_ignored() {
    let index = Index::default();
    index.apply_connection(connection("c1", 1), Source::Watch);
    index.apply_rule(rule("r1", 2, "late"), Source::Watch);
    index.apply_link(&post("p1", 3, "late"), Source::Watch, NOW);
    index.apply_connection(connection("c2", 5), Source::Response);
    index.apply_rule(rule("r2", 6, "late"), Source::Response);
    index.apply_link(&post("p2", 7, "late"), Source::Response, NOW);
    let uid = |kind, name| index.uid(&Key::new(kind, "n", name)).unwrap();
    assert_eq!(uid(Kind::DynamicsConnection, "c"), "c1");
    assert_eq!(uid(Kind::AutomationRule, "r"), "r1");
    assert_eq!(uid(Kind::PostLink, "p"), entry::uid("p1").to_string());

    index.delete_connection("n", "c", None);
    assert!(index.tombstone("c1").is_some() && index.tombstone("c2").is_none());
    index.apply_connection(connection("c2", 5), Source::Watch);
    // The response to removing the finalizer of the first one comes last.
    assert!(index.delete_connection("n", "c", Some("c1")).keys.is_empty());
    assert_eq!(uid(Kind::DynamicsConnection, "c"), "c2");
    assert!(index.tombstone("c2").is_none());
}

fn matching(index: &Index) -> Vec<String> {
    let snapshot = index.snapshot(&Key::new(Kind::PostLink, "n", "p")).unwrap();
    snapshot.matching.iter().map(|rule| rule.uid.clone()).collect()
}

fn another_rule(version: u32, keyword: &str) -> AutomationRule {
    let mut rule = rule("r2", version, keyword);
    rule.metadata.name = Some("r2".to_owned());
    rule
}

#[test]
fn a_post_is_matched_once_per_generation() {
    let index = Index::default();
    index.apply_rule(rule("r1", 1, "late"), Source::Watch);
    index.apply_link(&post("p1", 2, "late again"), Source::Watch, NOW);
    assert_eq!(matching(&index), ["r1"]);
    // The same generation with another text cannot occur; here it shows whether the post was matched again.
    index.apply_link(&post("p1", 3, "not matched"), Source::Watch, NOW);
    assert_eq!(matching(&index), ["r1"]);
    let mut edited = post("p1", 4, "all fine");
    edited.metadata.generation = Some(2);
    index.apply_link(&edited, Source::Watch, NOW);
    assert_eq!(matching(&index), [""; 0]);
    index.apply_link(&post("p2", 5, "late, and another post"), Source::Watch, NOW);
    assert_eq!(matching(&index), ["r1"]);
}

#[test]
fn status_write_during_a_rematch_loses_no_match() {
    let index = Index::default();
    let listed = post("p1", 1, "late again");
    index.apply_link(&listed, Source::Watch, NOW);
    index.apply_rule(rule("r1", 2, "late"), Source::Watch);
    index.apply_link(&post("p1", 3, "late again"), Source::Watch, NOW);
    assert!(index.rematch(&Arc::from("n"), &listed).is_some());
    assert_eq!(matching(&index), ["r1"]);
    assert!(index.rematch(&Arc::from("n"), &listed).is_none(), "it is already matched");

    let mut edited = post("p1", 4, "all fine");
    edited.metadata.generation = Some(2);
    index.apply_link(&edited, Source::Watch, NOW);
    assert!(index.rematch(&Arc::from("n"), &listed).is_none(), "the edited post was matched on arrival");
    assert_eq!(matching(&index), [""; 0]);
}

/// Posts are matched outside the lock, so a rule may change meanwhile.
#[test]
fn a_rule_change_during_matching_causes_a_rematch() {
    let index = Index::default();
    let (seen, new) = (post("p1", 1, "late again"), post("p1", 3, "late again"));
    let matched = index.matched(&seen);
    index.apply_rule(rule("r1", 2, "late"), Source::Watch);
    let affected = index.store_link(&seen, Source::Watch, NOW, matched);
    assert_eq!(affected.rematch.as_deref(), Some("n"));
    assert!(index.rematch(&Arc::from("n"), &seen).is_some());
    assert_eq!(matching(&index), ["r1"]);

    // A matched post is not matched again, unless its entry is deleted meanwhile.
    let matched = index.matched(&new);
    index.apply_rule(another_rule(4, "again"), Source::Watch);
    index.delete_link("n", "p");
    let affected = index.store_link(&new, Source::Watch, NOW, matched);
    assert_eq!(affected.rematch.as_deref(), Some("n"));
    assert!(index.rematch(&Arc::from("n"), &new).is_some());
    assert_eq!(matching(&index), ["r1", "r2"]);

    // A rule's status does not change its filters.
    let mut edited = post("p1", 5, "late again");
    edited.metadata.generation = Some(2);
    let matched = index.matched(&edited);
    let mut written = rule("r1", 6, "late");
    written.status = Some(crate::api::AutomationRuleStatus::default());
    index.apply_rule(written, Source::Watch);
    assert!(index.store_link(&edited, Source::Watch, NOW, matched).rematch.is_none());

    // An outdated response is ignored; the watch delivers the same version.
    edited.metadata.generation = Some(3);
    edited.metadata.resource_version = Some("8".to_owned());
    let matched = index.matched(&edited);
    index.delete_rule("n", "r2");
    assert!(index.store_link(&edited, Source::Response, NOW, matched).keys.is_empty());
    assert_eq!(matching(&index), ["r1"]);
}

/// The watch serves all namespaces.
#[test]
fn post_is_matched_later_while_its_namespace_takes_too_long() {
    let index = Index::default();
    index.apply_rule(rule("r1", 1, "late"), Source::Watch);
    let day = std::time::Duration::from_secs(86_400);
    index.state().namespaces.get_mut("n").unwrap().share.take(day, tokio::time::Instant::now());
    let arrived = post("p1", 2, "late again");
    let affected = index.apply_link(&arrived, Source::Watch, NOW);
    assert_eq!(affected.rematch.as_deref(), Some("n"));
    assert_eq!(matching(&index), [""; 0]);
    assert!(index.rematch(&Arc::from("n"), &arrived).is_some());
    assert_eq!(matching(&index), ["r1"]);
}

/// A rule whose filters take a third of the memory of its namespace, and more.
fn large(name: &str, version: u32, created: u32) -> AutomationRule {
    let keyword = "x".repeat(1 << 10);
    let mut rule = rule(name, version, &keyword);
    rule.metadata.name = Some(name.to_owned());
    rule.metadata.creation_timestamp =
        Some(serde_json::from_value(json!(format!("2026-01-01T00:00:{created:02}Z"))).unwrap());
    let count = crate::domain::matching::budget::NAMESPACE_LIMIT / 3 / keyword.len();
    rule.spec.match_.as_mut().unwrap().keywords = (0..count).map(|n| format!("{keyword} {n}")).collect();
    rule
}

/// 10,000 of each would otherwise take 400 MB.
#[test]
fn posts_that_match_the_same_rules_share_their_list() {
    let index = Index::default();
    let numbered = |number: u32, version: u32, filters: &Value| -> AutomationRule {
        let mut rule = json!(rule(&format!("r{number}"), version, "x"));
        rule["metadata"]["name"] = json!(format!("r{number}"));
        rule["spec"]["match"] = filters.clone();
        serde_json::from_value(rule).unwrap()
    };
    for number in 0..100 {
        index.apply_rule(numbered(number, 1, &json!({})), Source::Watch);
    }
    let posts: Vec<PostLink> =
        (0..100).map(|n| post_of(&format!("p{n}"), 2, "Twitter", &n.to_string())).collect();
    for post in &posts {
        index.apply_link(post, Source::Watch, NOW);
    }
    let snapshot = |name: &str| index.snapshot(&Key::new(Kind::PostLink, "n", name)).unwrap();
    let (one, other) = (snapshot("p0"), snapshot("p99"));
    assert_eq!((one.matching.len(), other.matching.len()), (100, 100));
    let same = one.matching.iter().zip(&other.matching).all(|(one, other)| Arc::ptr_eq(one, other));
    assert!(same, "what is known of a rule is not copied for each post");
    assert_eq!(index.state().lists.size(), 100);

    // A rule ceases or begins to match all posts each time.
    for version in 3..400 {
        let filters = if version % 2 == 0 { json!({}) } else { json!({"sources": ["Reddit"]}) };
        let affected = index.apply_rule(numbered(version % 100, version, &filters), Source::Watch);
        for post in posts.iter().filter(|_| affected.rematch.is_some()) {
            index.rematch(&Arc::from("n"), post);
        }
    }
    let kept = index.state().lists.size();
    assert!(kept <= 17_000, "{kept} rules are kept in lists of which one is used");
    assert_eq!(index.delete_rule("n", "r0").keys.len(), 100, "the rule that all posts match");
}

fn evaluations(index: &Index) -> String {
    let evaluation = |key: Key| format!("{} {:?}", key.name, index.rule("n", &key.name).unwrap().1);
    let rules = index.missing(Kind::AutomationRule, Some("n"), &HashSet::new());
    rules.into_iter().map(evaluation).collect::<Vec<_>>().join(", ")
}

/// Filters that do not fit are dropped, and the rule is read again once they fit.
#[test]
fn rules_beyond_the_limit_of_their_namespace_are_not_evaluated() {
    let index = Index::default();
    let names = |affected: &Affected| {
        let mut names: Vec<String> = affected.keys.iter().map(|key| key.name.to_string()).collect();
        names.sort();
        names.dedup();
        names.join(" ")
    };
    index.apply_link(&post("p1", 1, "late 1"), Source::Watch, NOW);
    index.apply_rule(rule("r", 2, "late"), Source::Watch);
    index.apply_rule(large("b", 3, 20), Source::Watch);
    index.apply_rule(large("c", 4, 30), Source::Watch);
    assert_eq!(evaluations(&index), "b Evaluated, c Evaluated, r Evaluated");
    // An older one takes the place of a newer one, of which there are two.
    let affected = index.apply_rule(large("a", 5, 10), Source::Watch);
    assert_eq!((names(&affected).as_str(), affected.rematch.is_some()), ("a c", true));
    assert_eq!(evaluations(&index), "a Evaluated, b Evaluated, c OverLimit, r Evaluated");
    assert!(index.rule_memory()[0].1 <= crate::domain::matching::budget::NAMESPACE_LIMIT);
    // Its own status changes nothing.
    let affected = index.apply_rule(large("c", 6, 30), Source::Watch);
    assert_eq!((names(&affected).as_str(), affected.rematch.is_some()), ("c", false));
    assert_eq!(evaluations(&index), "a Evaluated, b Evaluated, c OverLimit, r Evaluated");

    let affected = index.delete_rule("n", "a");
    assert!(affected.keys.iter().any(|key| *key.name == *"c"), "it fits now");
    assert_eq!(evaluations(&index), "b Evaluated, c ToRead, r Evaluated");
    let affected = index.apply_rule(large("c", 6, 30), Source::Response);
    assert_eq!((names(&affected).as_str(), affected.rematch.is_some()), ("c", true));
    assert_eq!(evaluations(&index), "b Evaluated, c Evaluated, r Evaluated");
    // One that is switched off takes no memory.
    index.apply_rule(large("d", 7, 40), Source::Watch);
    assert_eq!(evaluations(&index), "b Evaluated, c Evaluated, d OverLimit, r Evaluated");
    let mut off = large("b", 8, 20);
    off.spec.active = false;
    index.apply_rule(off, Source::Watch);
    assert_eq!(evaluations(&index), "b Evaluated, c Evaluated, d ToRead, r Evaluated");
}

/// A PostLink with every field that is interned. `place`: where its link is.
fn full(name: &str, version: u32, place: &str) -> PostLink {
    let id = "00000000-0000-4000-8000-000000000001";
    let mut object = serde_json::to_value(post_of(name, version, "Twitter", name)).unwrap();
    object["spec"]["link"] = json!({"connectionRef": {"name": "asked"}, "recordType": "lead"});
    object["status"] = json!({
        "observedGeneration": 1,
        "intent": {"attempt": 2, "connection": "acted-on"},
        place: {
            "connection": {"name": "was", "uid": "uid-gone"}, "organizationId": id, "socialActivityId": id,
            "record": {"type": "incident", "id": id, "url": format!("https://x.example/main.aspx?etn=incident&id={id}&pagetype=entityrecord")},
            "linkedAt": "2026-01-01T00:00:00Z", "linkedBy": "Rule", "rule": {"name": "by", "uid": "uid-by"},
            "removedAt": "2026-01-01T00:00:00Z", "cause": "ConnectionDeleted",
        },
    });
    serde_json::from_value(object).unwrap()
}

/// A tenant that edits names in a loop must not fill the memory.
#[test]
fn strings_and_tombstones_that_no_link_refers_to_are_dropped() {
    let index = Index::default();
    let linked = |version: u32, name: &str, connection: &str| -> PostLink {
        let mut object = serde_json::to_value(post_of(name, version, "Twitter", name)).unwrap();
        object["spec"]["link"] = json!({"connectionRef": {"name": connection}});
        serde_json::from_value(object).unwrap()
    };
    let wanted = |name: &str| {
        let snapshot = index.snapshot(&Key::new(Kind::PostLink, "n", name)).unwrap();
        snapshot.facts.desired.spec().and_then(|spec| spec.connection.clone())
    };
    index.apply_link(&linked(1, "kept", "first"), Source::Watch, NOW);
    let facts = |name: &str| index.snapshot(&Key::new(Kind::PostLink, "n", name)).unwrap().facts;
    let all = [full("linked", 1, "link"), full("removed", 1, "removedLink")];
    for post in &all {
        index.apply_link(post, Source::Watch, NOW);
    }
    let before = [facts("linked"), facts("removed")];
    index.mark_deleted("uid-gone");
    for version in 2..10_000 {
        index.apply_link(&linked(version, "edited", &format!("c{version}")), Source::Watch, NOW);
        index.mark_deleted(&format!("uid-{version}"));
    }
    assert_eq!((wanted("kept").as_deref(), wanted("edited").as_deref()), (Some("first"), Some("c9999")));
    assert_eq!([facts("linked"), facts("removed")], before, "all that a PostLink refers to is kept");
    assert!(index.tombstone("uid-gone").is_some(), "the removed link is of this connection (R13)");
    let state = index.state();
    assert!(state.interner.len() <= 2_100, "{} strings", state.interner.len());
    assert!(state.tombstones.len() <= 2_100, "{} tombstones", state.tombstones.len());
}

/// A status that keeps the link needs no post: it is stored as if the whole object had arrived.
#[test]
fn written_status_is_stored_like_the_whole_object() {
    let conditions = |reason: &str, more: &str| {
        let condition = |type_: &str, status: &str, reason: &str| json!({"type": type_, "status": status, "reason": reason, "message": "x", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let mut all = vec![condition("Ready", "True", reason), condition("RecordAvailable", "False", reason)];
        if !more.is_empty() {
            all.push(condition(more, "True", reason));
        }
        all
    };
    let link = |version: u32, conditions: Vec<Value>, handled: Option<&str>| -> PostLink {
        let mut link = json!(post("u", version, "late"));
        link["spec"]["link"] = json!({"connectionRef": {"name": "c"}});
        link["status"] = json!({
            "observedGeneration": 1, "conditions": conditions, "lastHandledReconcileAt": handled,
            "link": {
                "connection": {"name": "c", "uid": "c1"}, "organizationId": Uuid::from_u128(1),
                "socialActivityId": Uuid::from_u128(2), "linkedAt": "2026-01-01T00:00:05Z", "linkedBy": "Hand",
            },
            "intent": {"attempt": 1},
        });
        serde_json::from_value(link).unwrap()
    };
    let key = Key::new(Kind::PostLink, "n", "p");
    let first = link(1, conditions("RecordAvailable", ""), None);
    let second = link(2, conditions("InstanceDowntime", "Stalled"), Some("now"));
    let third = link(3, conditions("RecordAvailable", ""), None);
    let [written, delivered] = [Index::default(), Index::default()];
    for index in [&written, &delivered] {
        index.apply_link(&first, Source::Watch, NOW);
    }
    for (version, object) in [(2, &second), (3, &third)] {
        let over = written.snapshot(&key).unwrap();
        written.apply_status(&key, &over, version, object.status.as_ref().unwrap());
        delivered.apply_link(object, Source::Watch, NOW);
        let [one, other] = [&written, &delivered].map(|index| index.snapshot(&key).unwrap());
        assert_eq!(one.facts, other.facts);
        assert_eq!((one.version, one.status_hash), (other.version, other.status_hash));
        assert_eq!(written.link_counts(), delivered.link_counts());
        assert!(written.has_link(&key, object.resource_version().as_deref()));
        // The same answer late: a newer version has arrived.
        written.apply_status(&key, &over, version, first.status.as_ref().unwrap());
        assert_eq!(written.snapshot(&key).unwrap().facts, other.facts);
    }
}
