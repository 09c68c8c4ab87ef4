//! One watch per kind and namespace feeds the index. Each has its own backoff: a kind that may not be read does not
//! starve the others. An object that cannot be decoded is one bad item, not a dead watch.

use super::{
    Shell,
    events::reference,
    index::{Source, Touched},
    queue::{Key, Kind},
};
use crate::{
    api::{AutomationRule, ConditionType, DynamicsConnection, PostLink},
    rules::facts::{RuleFacts, created},
};
use futures::StreamExt;
use kube::{
    Api, ResourceExt,
    api::ListParams,
    core::{ApiResource, DeserializeGuard, DynamicObject},
    runtime::{watcher, watcher::Event},
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::{collections::HashSet, fmt::Debug, time::Duration};
use tokio::{sync::oneshot, task::JoinSet};
use tracing::warn;

/// A watch is renewed this often, in seconds. A peer that died without a word is noticed a few seconds later; until
/// then nothing that changes is seen.
const RENEW: u32 = 25;
/// After a failure a watch rests, twice as long after each further one, so that a right that is missing is not asked
/// for all the time; and not for longer than somebody who has mended it likes to wait.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(20);
/// Objects of one page of a list.
pub(super) const PAGE: u32 = 500;

/// One of the three kinds, as the watches see it.
trait Watched:
    kube::Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static
{
    const KIND: Kind;
    fn apply(shell: &Shell, object: Self) -> Touched;
    fn delete(shell: &Shell, key: &Key) -> Touched;
}

impl Watched for DynamicsConnection {
    const KIND: Kind = Kind::Connection;
    fn apply(shell: &Shell, object: Self) -> Touched {
        shell.index.apply_connection(object, Source::Watch)
    }
    fn delete(shell: &Shell, key: &Key) -> Touched {
        if let Some(known) = shell.index.connection(&key.namespace, &key.name) {
            shell.instances.remove(&known.uid().unwrap_or_default());
        }
        shell.index.delete_connection(&key.namespace, &key.name, None)
    }
}

impl Watched for AutomationRule {
    const KIND: Kind = Kind::Rule;
    fn apply(shell: &Shell, object: Self) -> Touched {
        shell.index.apply_rule(object, Source::Watch)
    }
    fn delete(shell: &Shell, key: &Key) -> Touched {
        shell.index.delete_rule(&key.namespace, &key.name)
    }
}

impl Watched for PostLink {
    const KIND: Kind = Kind::Link;
    fn apply(shell: &Shell, object: Self) -> Touched {
        shell.index.apply_link(&object, Source::Watch, shell.clock.now())
    }
    fn delete(shell: &Shell, key: &Key) -> Touched {
        shell.index.delete_link(&key.namespace, &key.name);
        shell.instances.forget_link(key);
        Touched::default()
    }
}

/// Starts all watches. Without the connections nothing can be said of a rule or a link: its own would seem to be gone,
/// and a rule that says so lets a held disable or delete go through. So they are listed first, and if that is not
/// possible the others wait. Posts are matched as they pass, so what they are matched against is listed before them.
/// Without the rules there still are links by hand, and rules that come later have the posts matched anew; so if they
/// cannot be listed nobody waits for them.
pub fn start(shell: &Shell, tasks: &mut JoinSet<()>) {
    for namespace in shell.namespaces.clone() {
        let (rules_tried, rules) = oneshot::channel();
        let (connections_listed, connections) = oneshot::channel();
        tasks.spawn(watch::<DynamicsConnection>(shell.clone(), namespace.clone(), Some(connections_listed)));
        let shell = shell.clone();
        tasks.spawn(async move {
            // The senders live as long as their watches, which do not end.
            let _ = connections.await;
            let watch_rules = watch::<AutomationRule>(shell.clone(), namespace.clone(), Some(rules_tried));
            let watch_posts = async {
                let _ = rules.await;
                shell.rematches.posts_pass(namespace.as_deref());
                watch::<PostLink>(shell.clone(), namespace.clone(), None).await;
            };
            tokio::join!(watch_rules, watch_posts);
        });
    }
}

pub(super) fn api<K>(shell: &Shell, namespace: Option<&str>) -> Api<K>
where
    K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(shell.client.clone(), namespace),
        None => Api::all(shell.client.clone()),
    }
}

async fn watch<K>(shell: Shell, namespace: Option<String>, waiting: Option<oneshot::Sender<()>>)
where
    K: Watched + kube::Resource<Scope = kube::core::NamespaceResourceScope>,
{
    let api: Api<DeserializeGuard<K>> = match &namespace {
        Some(namespace) => Api::namespaced(shell.client.clone(), namespace),
        None => Api::all(shell.client.clone()),
    };
    // Never `any_semantic`: a list may then be older than what is known, and a connection that is not in it yet would
    // count as deleted, with all its links (§6).
    let config = watcher::Config::default().timeout(RENEW).page_size(PAGE);
    let mut events = watcher(api, config).boxed();
    let (mut waiting, mut first) = (waiting, true);
    let mut found: HashSet<Key> = HashSet::new();
    let mut failures = 0;
    while let Some(event) = events.next().await {
        // kube's own backoff starts anew with each attempt to list, so a right that is missing is asked for every second.
        if !matches!(event, Ok(Event::Init) | Err(_)) {
            failures = 0;
        }
        match event {
            Ok(Event::Init) => found.clear(),
            Ok(Event::InitApply(object)) => {
                found.insert(apply(&shell, object));
            }
            Ok(Event::InitDone) => {
                for key in shell.index.keys(K::KIND, namespace.as_deref()) {
                    if !found.contains(&key) {
                        delete::<K>(&shell, &key);
                    }
                }
                shell.unreadable.keep(K::KIND, namespace.as_deref(), &found);
                found.clear();
                if first {
                    first = false;
                    shell.progress.listed(K::KIND);
                }
                if let Some(waiting) = waiting.take() {
                    let _ = waiting.send(());
                }
            }
            Ok(Event::Apply(object)) => {
                let _ = apply(&shell, object);
            }
            Ok(Event::Delete(DeserializeGuard(Ok(object)))) => {
                delete::<K>(&shell, &key_of(&object));
                shell.progress.told(K::KIND, object.resource_version().as_deref());
            }
            Ok(Event::Delete(DeserializeGuard(Err(bad)))) => {
                delete::<K>(&shell, &key_of_parts(K::KIND, &bad.metadata));
            }
            Err(error) => {
                shell.metrics.watch_failed(K::KIND.as_str());
                warn!(kind = K::KIND.as_str(), namespace, %error, "watching failed; it is tried again");
                if K::KIND == Kind::Rule
                    && let Some(waiting) = waiting.take()
                {
                    let _ = waiting.send(());
                }
                let longer = FIRST_PAUSE * 2_u32.pow(failures) + FIRST_PAUSE.mul_f64(rand::random());
                tokio::time::sleep(longer.min(LONGEST_PAUSE)).await;
                failures = (failures + 1).min(10);
            }
        }
    }
}

fn key_of<K: Watched>(object: &K) -> Key {
    Key::new(K::KIND, object.namespace().unwrap_or_default(), object.name_any())
}

fn key_of_parts(kind: Kind, metadata: &kube::core::ObjectMeta) -> Key {
    let (namespace, name) = (metadata.namespace.as_deref(), metadata.name.as_deref());
    Key::new(kind, namespace.unwrap_or_default(), name.unwrap_or_default())
}

fn apply<K: Watched>(shell: &Shell, object: DeserializeGuard<K>) -> Key {
    match object.0 {
        Ok(object) => {
            let key = key_of(&object);
            shell.unreadable.remove(&key);
            let version = object.resource_version();
            shell.follow(K::apply(shell, object));
            shell.progress.told(K::KIND, version.as_deref());
            key
        }
        Err(bad) => {
            let key = key_of_parts(K::KIND, &bad.metadata);
            // What was known of it before stays: an object that cannot be read is not an object that is gone.
            let error = without_values(&bad.error);
            shell.unreadable.add(&key);
            warn!(
                kind = K::KIND.as_str(),
                namespace = %key.namespace,
                name = %key.name,
                uid = bad.metadata.uid,
                error,
                "skipping an object that cannot be decoded; was it stored by another version?"
            );
            shell.events.unreadable(&reference(&key, bad.metadata.uid.clone()), &error);
            shell.progress.told(K::KIND, bad.metadata.resource_version.as_deref());
            key
        }
    }
}

/// What serde says of an object that does not fit, without the value that does not: it may be a post's text (§6). Only
/// what serde itself says is kept, in the spelling of either crate that says it.
fn without_values(error: &str) -> String {
    let lower = error.to_ascii_lowercase();
    if lower.starts_with("missing field") {
        return lower;
    }
    let faults = ["invalid type", "invalid value", "invalid length", "unknown variant", "unknown field"];
    let Some(fault) = faults.into_iter().find(|fault| lower.starts_with(fault)) else {
        return "it does not fit the definition".to_owned();
    };
    // The last one: what stands before it is the value, whatever it says.
    let expected = lower.rfind("expected ").map(|at| &error[at + "expected ".len()..]);
    format!("{fault}, expected {}", expected.unwrap_or("something else"))
}

fn delete<K: Watched>(shell: &Shell, key: &Key) {
    shell.unreadable.remove(key);
    shell.queue.forget(key);
    shell.gone(key);
    shell.follow(K::delete(shell, key));
}

/// Lists every rule of a namespace live (§4.4).
pub async fn rules_live(shell: &Shell, namespace: &str) -> Result<Vec<RuleFacts>, super::writer::WriteError> {
    let kind = ApiResource::erase::<AutomationRule>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(shell.client.clone(), namespace, &kind);
    let mut params = ListParams::default().limit(PAGE);
    let mut rules = Vec::new();
    loop {
        let page = super::writer::within(api.list(&params)).await?;
        rules.extend(page.items.into_iter().map(|rule| facts_of_listed(&rule)));
        params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
        if params.continue_token.is_none() {
            return Ok(rules);
        }
    }
}

/// One rule that cannot be decoded must not keep every connection of its namespace from being disabled; but what
/// can still be read of it counts. If it is Active somewhere it holds that connection, if it has a reservation it
/// keeps it, and it gets no new one: nobody here could activate it.
fn facts_of_listed(listed: &DynamicObject) -> RuleFacts {
    if let Ok(rule) = listed.clone().try_parse::<AutomationRule>() {
        return RuleFacts::of(&rule);
    }
    let text = |pointer: &str| listed.data.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let conditions = listed.data.pointer("/status/conditions").and_then(Value::as_array);
    let active = ConditionType::Active.as_str();
    let is_active = conditions.is_some_and(|conditions| {
        conditions.iter().any(|condition| condition["type"] == active && condition["status"] == "True")
    });
    RuleFacts {
        name: listed.name_any(),
        uid: listed.uid().unwrap_or_default(),
        generation: listed.metadata.generation.unwrap_or(0),
        created: created(&listed.metadata),
        wants_active: listed.metadata.deletion_timestamp.is_none()
            && listed.data.pointer("/spec/active") != Some(&Value::Bool(false)),
        connection: text("/spec/connectionRef/name").unwrap_or_default(),
        active_on: text("/status/connectionUID").filter(|_| is_active),
        settled: false,
        active_from: None,
        since: None,
        // No connection offers it, so no reservation is made.
        record_type: Some(String::new()),
        notes: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn listed(spec: &Value, active: &str) -> RuleFacts {
        let rule = json!({
            "apiVersion": "postlink.dev/v1alpha1", "kind": "AutomationRule",
            "metadata": {"name": "r", "namespace": "n", "uid": "u", "generation": 4},
            "spec": spec,
            "status": {
                "connectionUID": "c",
                "conditions": [{"type": "Active", "status": active, "reason": "Reserved", "message": "",
                    "lastTransitionTime": "2026-01-01T00:00:00Z"}],
            },
        });
        facts_of_listed(&serde_json::from_value(rule).unwrap())
    }

    #[test]
    fn of_a_rule_that_cannot_be_decoded_what_holds_a_connection_is_still_read() {
        let sound = json!({"connectionRef": {"name": "one"}});
        let broken = json!({"connectionRef": {"name": "one"}, "match": "everything"});
        for spec in [&sound, &broken] {
            let facts = listed(spec, "True");
            assert_eq!(facts.active_on.as_deref(), Some("c"));
            assert_eq!((facts.uid.as_str(), facts.generation, facts.wants_active), ("u", 4, true));
            assert_eq!(facts.connection, "one");
            assert_eq!(listed(spec, "False").active_on, None);
        }
        assert_eq!(listed(&broken, "True").record_type.as_deref(), Some(""), "no connection offers it");
        assert!(!listed(&json!({"active": false, "connectionRef": 7}), "False").wants_active);
    }

    #[test]
    fn the_log_says_what_is_wrong_with_an_object_and_not_what_stands_in_it() {
        for (error, said) in [
            (r#"Invalid type string "my "whole" post". Expected i32"#, "invalid type, expected i32"),
            (r#"invalid type: string "as expected by me", expected i32"#, "invalid type, expected i32"),
            (
                "Unknown variant my post. Expected one of Positive",
                "unknown variant, expected one of Positive",
            ),
            ("unknown variant `my post`, expected `Positive`", "unknown variant, expected `Positive`"),
            ("missing field `url`", "missing field `url`"),
            ("my post is not a time", "it does not fit the definition"),
        ] {
            assert_eq!(without_values(error), said);
        }
    }
}
