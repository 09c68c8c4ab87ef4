//! One watch per kind and namespace feeds the index. Each has its own backoff, so a kind that RBAC forbids does not delay
//! the others. An object that cannot be decoded is skipped; it does not end the watch.

use super::{
    context::Context,
    events::reference,
    index::{Affected, Source},
    key::{Key, Kind},
    list::{PAGE, api},
};
use crate::{
    api::{AutomationRule, DynamicsConnection, PostLink},
    domain::backoff::Backoff,
};
use futures::StreamExt;
use jiff::SignedDuration;
use kube::{
    Api, ResourceExt,
    core::DeserializeGuard,
    runtime::{watcher, watcher::Event},
};
use serde::de::DeserializeOwned;
use std::{collections::HashSet, fmt::Debug, time::Duration};
use tokio::{sync::oneshot, task::JoinSet};
use tracing::warn;

/// The timeout of a watch request in seconds. A silently broken connection goes unnoticed until then.
const WATCH_TIMEOUT: u32 = 25;
/// Backoff of a watch that fails. The maximum is short, so that a corrected RBAC role takes effect soon.
const RETRY: Backoff =
    Backoff { first: SignedDuration::from_millis(500), max: SignedDuration::from_secs(20) };

/// How the watch of a kind updates the index.
trait Watched:
    kube::Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static
{
    const KIND: Kind;
    fn apply(context: &Context, object: Self) -> Affected;
    fn delete(context: &Context, key: &Key) -> Affected;
}

impl Watched for DynamicsConnection {
    const KIND: Kind = Kind::DynamicsConnection;
    fn apply(context: &Context, object: Self) -> Affected {
        context.index.apply_connection(object, Source::Watch)
    }
    fn delete(context: &Context, key: &Key) -> Affected {
        if let Some(connection) = context.index.connection(&key.namespace, &key.name) {
            context.queue.extend(context.runtime.remove_connection(&connection.uid().unwrap_or_default()));
        }
        context.index.delete_connection(&key.namespace, &key.name, None)
    }
}

impl Watched for AutomationRule {
    const KIND: Kind = Kind::AutomationRule;
    fn apply(context: &Context, object: Self) -> Affected {
        context.index.apply_rule(object, Source::Watch)
    }
    fn delete(context: &Context, key: &Key) -> Affected {
        context.index.delete_rule(&key.namespace, &key.name)
    }
}

impl Watched for PostLink {
    const KIND: Kind = Kind::PostLink;
    fn apply(context: &Context, object: Self) -> Affected {
        context.index.apply_link(&object, Source::Watch, context.clock.now())
    }
    fn delete(context: &Context, key: &Key) -> Affected {
        context.queue.extend(context.runtime.remove_link(key));
        context.index.delete_link(&key.namespace, &key.name)
    }
}

/// Starts all watches. Connections are listed first, and the other kinds wait for them: otherwise the connection of a rule
/// or link would seem to be deleted, and a rule that reports so releases a blocked disable or delete. Rules are listed
/// before posts, because posts are matched on arrival. If the rules cannot be listed, posts do not wait: links by hand
/// need no rules, and a rule that arrives later rematches the posts.
pub fn start(context: &Context, tasks: &mut JoinSet<()>) {
    for namespace in context.namespaces.iter() {
        let (context, namespace) = (context.clone(), namespace.clone());
        let (rules_attempted, rules) = oneshot::channel();
        let (connections_listed, connections) = oneshot::channel();
        tasks.spawn(watch::<DynamicsConnection>(
            context.clone(),
            namespace.clone(),
            Some(connections_listed),
        ));
        tasks.spawn(async move {
            // The senders live as long as their watches, which do not end.
            let _ = connections.await;
            let watch_rules =
                watch::<AutomationRule>(context.clone(), namespace.clone(), Some(rules_attempted));
            let watch_posts = async {
                let _ = rules.await;
                context.sync.set_posts_watched(namespace.as_deref());
                watch::<PostLink>(context.clone(), namespace.clone(), None).await;
            };
            tokio::join!(watch_rules, watch_posts);
        });
    }
}

async fn watch<K>(context: Context, namespace: Option<String>, mut listed: Option<oneshot::Sender<()>>)
where
    K: Watched + kube::Resource<Scope = kube::core::NamespaceResourceScope>,
{
    let api: Api<DeserializeGuard<K>> = api(&context.client, namespace.as_deref());
    // Never `any_semantic`: a list could then be older than the index, and a connection missing from it would count as
    // deleted, with all its links (§6).
    let config = watcher::Config::default().timeout(WATCH_TIMEOUT).page_size(PAGE);
    let mut events = watcher(api, config).boxed();
    let mut first = true;
    let mut found: HashSet<Key> = HashSet::new();
    let mut failures = 0;
    while let Some(event) = events.next().await {
        // kube's own backoff resets with each attempt to list, so a missing permission would be retried every second.
        if !matches!(event, Ok(Event::Init) | Err(_)) {
            failures = 0;
        }
        match event {
            Ok(Event::Init) => found.clear(),
            Ok(Event::InitApply(object)) => {
                found.insert(apply(&context, object));
            }
            Ok(Event::InitDone) => {
                for key in context.index.keys(K::KIND, namespace.as_deref()) {
                    if !found.contains(&key) {
                        delete::<K>(&context, &key);
                    }
                }
                context.undecodable.keep(K::KIND, namespace.as_deref(), &found);
                found.clear();
                if first {
                    first = false;
                    context.sync.set_listed(K::KIND);
                }
                if let Some(listed) = listed.take() {
                    let _ = listed.send(());
                }
            }
            Ok(Event::Apply(object)) => {
                let _ = apply(&context, object);
            }
            Ok(Event::Delete(DeserializeGuard(Ok(object)))) => {
                delete::<K>(&context, &key_of(&object));
                context.sync.delivered(K::KIND, object.resource_version().as_deref());
            }
            Ok(Event::Delete(DeserializeGuard(Err(bad)))) => {
                delete::<K>(&context, &key_of_parts(K::KIND, &bad.metadata));
            }
            Err(error) => {
                context.metrics.watch_failed(K::KIND.as_str());
                warn!(kind = K::KIND.as_str(), namespace, %error, "watch failed; retrying with backoff");
                if K::KIND == Kind::AutomationRule
                    && let Some(listed) = listed.take()
                {
                    let _ = listed.send(());
                }
                failures += 1;
                let pause = RETRY.delay(failures) + RETRY.first.mul_f64(rand::random());
                tokio::time::sleep(Duration::try_from(pause.min(RETRY.max)).unwrap_or_default()).await;
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

fn apply<K: Watched>(context: &Context, object: DeserializeGuard<K>) -> Key {
    match object.0 {
        Ok(object) => {
            let key = key_of(&object);
            context.undecodable.remove(&key);
            let version = object.resource_version();
            context.enqueue(K::apply(context, object));
            context.sync.delivered(K::KIND, version.as_deref());
            key
        }
        Err(bad) => {
            let key = key_of_parts(K::KIND, &bad.metadata);
            // The index keeps the last valid version: an object that cannot be decoded is not deleted.
            let error = without_values(&bad.error);
            context.undecodable.add(&key);
            warn!(
                kind = K::KIND.as_str(),
                namespace = %key.namespace,
                name = %key.name,
                uid = bad.metadata.uid,
                error,
                "skipping an object that cannot be decoded; was it stored by another version?"
            );
            context.events.undecodable(&reference(&key, bad.metadata.uid.clone()), &error);
            context.sync.delivered(K::KIND, bad.metadata.resource_version.as_deref());
            key
        }
    }
}

/// A decoding error without the value, which may be a post's text (§6). Only serde's fixed phrases are kept, in the
/// spelling of either crate.
fn without_values(error: &str) -> String {
    let lower = error.to_ascii_lowercase();
    if lower.starts_with("missing field") {
        return lower;
    }
    let faults = ["invalid type", "invalid value", "invalid length", "unknown variant", "unknown field"];
    let Some(fault) = faults.into_iter().find(|fault| lower.starts_with(fault)) else {
        return "the object does not match the schema".to_owned();
    };
    // The last occurrence: an earlier one is part of the value.
    let expected = lower.rfind("expected ").map(|at| &error[at + "expected ".len()..]);
    format!("{fault}, expected {}", expected.unwrap_or("something else"))
}

fn delete<K: Watched>(context: &Context, key: &Key) {
    context.undecodable.remove(key);
    context.queue.forget(key);
    context.failures.forget(key);
    context.enqueue(K::delete(context, key));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decode_errors_do_not_contain_the_value() {
        for (error, expected) in [
            (r#"Invalid type string "my "whole" post". Expected i32"#, "invalid type, expected i32"),
            (r#"invalid type: string "as expected by me", expected i32"#, "invalid type, expected i32"),
            (
                "Unknown variant my post. Expected one of Positive",
                "unknown variant, expected one of Positive",
            ),
            ("unknown variant `my post`, expected `Positive`", "unknown variant, expected `Positive`"),
            ("missing field `url`", "missing field `url`"),
            ("my post is not a time", "the object does not match the schema"),
        ] {
            assert_eq!(without_values(error), expected);
        }
    }
}
