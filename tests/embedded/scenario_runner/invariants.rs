//! What holds in every scenario after every commit, for every stored object of our kinds.

use super::assertions::{condition, described, text};
use kube_memory::MemoryApi;
use postlink::local::session::Session;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// All violations in the current state.
pub fn check(session: &Session) -> Vec<String> {
    let all = |kind: &str| session.api.objects(kind);
    let (connections, rules, links) = (all("DynamicsConnection"), all("AutomationRule"), all("PostLink"));
    let mut wrong = Vec::new();
    for object in connections.iter().chain(&rules).chain(&links) {
        tell(&mut wrong, object, every(object));
    }
    for link in &links {
        tell(&mut wrong, link, of_link(link));
    }
    for rule in &rules {
        tell(&mut wrong, rule, of_rule(rule, &connections));
    }
    for connection in &connections {
        tell(&mut wrong, connection, of_connection(connection, &rules));
    }
    wrong
}

fn tell(wrong: &mut Vec<String>, object: &Value, found: Vec<String>) {
    if found.is_empty() {
        return;
    }
    let name = format!("{}/{}", text(object, "kind"), text(&object["metadata"], "name"));
    wrong.extend(found.into_iter().map(|sentence| format!("{name}: invariant: {sentence}")));
    wrong.push(format!("{name} is\n{}", described(object)));
}

fn every(object: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    if condition(object, "Ready").is_none() {
        wrong.push("Ready is not there".to_owned());
    }
    let mut types = BTreeSet::new();
    for condition in object.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten() {
        if !types.insert(text(condition, "type")) {
            wrong.push(format!("condition {} occurs twice", text(condition, "type")));
        }
    }
    let (observed, generation) =
        (object.pointer("/status/observedGeneration"), object.pointer("/metadata/generation"));
    if observed != generation {
        wrong.push(format!("observedGeneration is {observed:?}, metadata.generation {generation:?}"));
    }
    if types.contains("Reconciling") && types.contains("Stalled") {
        wrong.push("Reconciling and Stalled are both there".to_owned());
    }
    wrong
}

fn is_true(object: &Value, type_: &str) -> bool {
    condition(object, type_).is_some_and(|c| text(c, "status") == "True")
}

fn of_link(link: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let present = link.pointer("/status/link").is_some_and(|l| !l.is_null());
    if is_true(link, "Linked") != present {
        wrong.push(format!("Linked is True: {}, status.link is present: {present}", is_true(link, "Linked")));
    }
    if condition(link, "RecordAvailable").is_some() != present {
        wrong.push("RecordAvailable is there exactly when status.link is".to_owned());
    }
    wrong
}

fn of_rule(rule: &Value, connections: &[Arc<Value>]) -> Vec<String> {
    let named = rule.pointer("/spec/connectionRef/name").and_then(Value::as_str).unwrap_or_default();
    let namespace = text(&rule["metadata"], "namespace");
    let connection = connections
        .iter()
        .find(|c| text(&c["metadata"], "name") == named && text(&c["metadata"], "namespace") == namespace);
    let entries = connection.map_or(0, |connection| {
        entries(connection).iter().filter(|e| text(e, "uid") == text(&rule["metadata"], "uid")).count()
    });
    let bound = rule.pointer("/status/connectionUID").and_then(Value::as_str);
    let uid = connection.map(|c| text(&c["metadata"], "uid"));
    let active = is_true(rule, "Active");
    let mut wrong = Vec::new();
    if entries > 1 || active != (entries == 1) {
        wrong.push(format!("Active is True: {active}, entries in connection {named}: {entries}"));
    }
    if active && bound != uid {
        wrong
            .push(format!("Active, but status.connectionUID is {bound:?} and connection {named} is {uid:?}"));
    }
    wrong
}

fn entries(connection: &Value) -> &[Value] {
    connection.pointer("/status/activeRules").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn of_connection(connection: &Value, rules: &[Arc<Value>]) -> Vec<String> {
    let mut wrong = Vec::new();
    let disabled = connection.pointer("/status/state").and_then(Value::as_str) == Some("Disabled");
    if disabled && !entries(connection).is_empty() {
        wrong.push("state is Disabled and activeRules is not empty".to_owned());
    }
    for entry in entries(connection) {
        if !rules.iter().any(|rule| text(&rule["metadata"], "uid") == text(entry, "uid")) {
            wrong.push(format!("the entry of {} belongs to a rule that does not exist", text(entry, "name")));
        }
    }
    wrong
}

/// Client secrets found outside of Secrets in anything stored after a revision.
pub fn leaks(api: &MemoryApi, since: u64, secrets: &BTreeMap<String, String>) -> Vec<String> {
    let mut found = BTreeSet::new();
    for revision in api.history_since(since).filter(|r| r.key.resource != "secrets") {
        let stored = String::from_utf8_lossy(revision.raw());
        for (secret, whose) in secrets {
            if stored.contains(secret.as_str()) {
                let key = &revision.key;
                found.insert(format!("{}/{}: contains the client secret of {whose}", key.resource, key.name));
            }
        }
    }
    found.into_iter().collect()
}
