//! One watch per kind and namespace feeds the index. Each has its own backoff, so a kind that RBAC forbids does not delay
//! the others. An object that cannot be decoded is skipped; it does not end the watch.

use super::{
    context::Context,
    events::reference,
    index::{Affected, Source, entry},
    key::{Key, Kind},
    list::{PAGE, api},
    patch::with_causes,
    read_ahead::ReadAhead,
    received::Received,
    undecodable::missing_status,
};
use crate::api::{AutomationRule, DynamicsConnection, PostLink};
use kube::{
    Api, ResourceExt,
    runtime::{watcher, watcher::Event},
};
use serde::de::DeserializeOwned;
use std::{collections::HashSet, fmt::Debug};
use tokio::{sync::oneshot, task::JoinSet};
use tracing::warn;
use uuid::Uuid;

/// The timeout of a watch request in seconds. A silently broken connection goes unnoticed until then.
const WATCH_TIMEOUT: u32 = 25;

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
    let api: Api<Received<K>> = api(&context.client, namespace.as_deref());
    // Never `any_semantic`: a list could then be older than the index, and a connection missing from it would count as
    // deleted, with all its links (§6).
    let config = watcher::Config::default().timeout(WATCH_TIMEOUT).page_size(PAGE);
    let mut events = ReadAhead::watch(api, config, context.lists.clone());
    let mut first = true;
    // UIDs take a tenth of the memory of keys.
    let mut found: HashSet<Uuid> = HashSet::new();
    let mut undecodable: HashSet<Key> = HashSet::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => {
                found.clear();
                undecodable.clear();
            }
            Ok(Event::InitApply(object)) => {
                found.insert(entry::uid(object.uid().as_deref().unwrap_or_default()));
                undecodable.extend(apply(&context, &object));
            }
            Ok(Event::InitDone) => {
                for key in context.index.missing(K::KIND, namespace.as_deref(), &found) {
                    if undecodable.contains(&key) {
                        // Another object of that name.
                        context.enqueue(K::delete(&context, &key));
                    } else {
                        delete::<K>(&context, &key);
                    }
                }
                context.undecodable.keep(K::KIND, namespace.as_deref(), &undecodable);
                found = HashSet::new();
                undecodable.clear();
                if first {
                    first = false;
                    context.sync.set_listed(K::KIND);
                }
                if let Some(listed) = listed.take() {
                    let _ = listed.send(());
                }
            }
            Ok(Event::Apply(object)) => {
                apply(&context, &object);
            }
            Ok(Event::Delete(object)) => {
                delete::<K>(&context, &key_of(&object));
                context.sync.delivered(K::KIND, object.resource_version().as_deref());
            }
            Err(error) => {
                context.metrics.watch_failed(K::KIND.as_str());
                let (kind, error) = (K::KIND.as_str(), with_causes(&error));
                warn!(kind, namespace, error, "watch failed; retrying with backoff");
                if K::KIND == Kind::AutomationRule
                    && let Some(listed) = listed.take()
                {
                    let _ = listed.send(());
                }
            }
        }
    }
}

fn key_of<K: Watched>(object: &Received<K>) -> Key {
    Key::new(K::KIND, object.namespace().unwrap_or_default(), object.name_any())
}

/// Returns the key of an object that cannot be decoded.
fn apply<K: Watched>(context: &Context, object: &Received<K>) -> Option<Key> {
    let (key, version) = (key_of(object), object.resource_version());
    // An own write comes back.
    let is_stored = context.index.has_link(&key, version.as_deref());
    let decoded = if is_stored { Ok(None) } else { object.decode().map(Some) };
    let undecodable = decoded.is_err();
    match decoded {
        Ok(newer) => {
            corrected(context, &key);
            if let Some(newer) = newer {
                context.enqueue(K::apply(context, newer));
            }
        }
        Err(fault) => {
            // The index keeps the last valid version: an object that cannot be decoded is not deleted.
            if context.undecodable.add(&key, &fault) {
                let (kind, uid) = (K::KIND.as_str(), object.uid());
                warn!(
                    kind, namespace = %key.namespace, name = %key.name, uid, fault,
                    "skipping an object that cannot be decoded; was it stored by another version?"
                );
                context.events.undecodable(&reference(&key, uid), &fault);
            }
            if missing_status(object, &fault, context.clock.now()).is_some() {
                context.queue.add(key.clone());
            }
        }
    }
    context.sync.delivered(K::KIND, version.as_deref());
    undecodable.then_some(key)
}

/// While it could not be decoded, it was not reconciled, even if the index had the corrected version already.
fn corrected(context: &Context, key: &Key) {
    if context.undecodable.remove(key) {
        context.queue.add(key.clone());
    }
}

fn delete<K: Watched>(context: &Context, key: &Key) {
    context.undecodable.remove(key);
    context.queue.forget(key);
    context.failures.forget(key);
    context.enqueue(K::delete(context, key));
}
