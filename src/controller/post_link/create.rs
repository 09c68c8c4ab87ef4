//! Creates the activity of a link, with a few concurrent creations per connection, after a live read, never twice, and
//! never after the connection was closed or the lease is about to expire.

use super::{activity, check};
use crate::{
    api::{PostLink, PostLinkSpec, Reason},
    controller::{
        connection::probe,
        context::{Context, WATCH_BEHIND},
        index::{LinkSnapshot, Source, entry},
        key::{Key, Kind},
        list::api,
        patch,
        received::Received,
        runtime::{Admission, CreationFailure, LinkGeneration, Table},
    },
    domain::post_link::{ActivityCheck, ActivityCreation, CreationResult, Found, PostIdentity},
};
use dataverse_client::{Creation, ErrorClass, ErrorKind, Instance, RegardingTarget};
use jiff::SignedDuration;
use kube::ResourceExt;
use tracing::debug;
use uuid::Uuid;

/// What the creation was decided on. If the live object differs, the link is reconciled again.
struct Precondition {
    link: LinkGeneration,
    /// The notes of the rule, if the link is created by one.
    notes: Option<String>,
}

/// Begins a creation, or waits for a slot. The link's key is enqueued at the end.
pub fn start(
    context: &Context,
    key: &Key,
    snapshot: &LinkSnapshot,
    link: LinkGeneration,
    creation: &ActivityCreation,
) {
    let now = context.clock.now();
    let (admission, next) = context.runtime.admit_creation(key, link, &creation.connection, now);
    context.queue.extend(next);
    match admission {
        Admission::Wait => return,
        Admission::Deferred => return context.queue.add(key.clone()),
        Admission::Begin => {}
    }
    let rule = creation.rule.as_ref().and_then(|rule| snapshot.matching.iter().find(|r| r.uid == rule.uid));
    let precondition = Precondition { link, notes: rule.and_then(|rule| rule.notes.clone()) };
    let (context, key, creation) = (context.clone(), key.clone(), creation.clone());
    let task = context.background.begin();
    tokio::spawn(async move {
        let _task = task;
        let _slot = context.instance_slots.take(&key.namespace).await;
        let attempt = attempt(&context, &key, &creation, &precondition).await;
        let behind = matches!(attempt, Err(NotSent::WatchBehind));
        if finish(&context, &key, &creation.connection, precondition.link, attempt.ok()) {
            // Also while draining: otherwise the next leader would have to ask the instance for the result.
            return context.queue.add_last(key);
        }
        if behind {
            tokio::time::sleep(WATCH_BEHIND.unsigned_abs()).await;
        }
        context.queue.add(key);
    });
}

type Attempt = Result<CreationResult, CreationFailure>;

fn failed(reason: Reason) -> Attempt {
    Err(CreationFailure { reason, retry_after: None })
}

/// Why nothing was sent.
enum NotSent {
    /// The object has changed, or the lease is about to expire: decide again.
    Outdated,
    /// The object has changed, but the watch has not delivered it: until then the same decision would be repeated.
    WatchBehind,
}

/// Returns the slot and keeps the result for the next reconcile. Returns whether there is one.
fn finish(
    context: &Context,
    key: &Key,
    connection: &str,
    link: LinkGeneration,
    attempt: Option<Attempt>,
) -> bool {
    // If the object was deleted meanwhile, no reconcile would take the result.
    let attempt = attempt.filter(|_| context.index.uid(key).is_some_and(|uid| uid == link.uid.to_string()));
    let sent = attempt.is_some();
    let now = context.clock.now();
    let (next, drained) = context.runtime.finish_creation(key, link, connection, attempt, now);
    context.queue.extend(next);
    if drained && let Some(facts) = context.index.connection_by_uid(&key.namespace, connection) {
        context.queue.add(Key::new(Kind::DynamicsConnection, key.namespace.clone(), facts.name.clone()));
    }
    sent
}

async fn attempt(
    context: &Context,
    key: &Key,
    creation: &ActivityCreation,
    precondition: &Precondition,
) -> Result<Attempt, NotSent> {
    // It may have been closed since the creation was admitted: a disable need not wait for those that have sent nothing.
    if !context.runtime.is_open(&creation.connection) {
        return Err(NotSent::Outdated);
    }
    let Some(instance) = context.runtime.handle(&creation.connection) else {
        return Ok(failed(Reason::ConnectionNotReady));
    };
    if let Some(wait) = instance.throttled_for() {
        let retry_after = SignedDuration::try_from(wait).ok();
        return Ok(Err(CreationFailure { reason: Reason::Throttled, retry_after }));
    }
    let api = api::<Received<PostLink>>(&context.client, Some(&key.namespace));
    let live = match patch::read(&api, &key.name).await.map(|live| live.map(|live| live.decoded())) {
        Ok(Some(Ok(live))) => live,
        Ok(None) => return Err(NotSent::WatchBehind),
        Ok(Some(Err(_))) | Err(_) => return Ok(failed(Reason::ConnectionNotReady)),
    };
    if !is_unchanged(&live, precondition) {
        let affected = context.index.apply_link(&live, Source::Response, context.clock.now());
        if affected.keys.is_empty() {
            return Err(NotSent::WatchBehind);
        }
        context.queue.extend(affected.keys);
        return Err(NotSent::Outdated);
    }
    // Only the spec is kept during the requests to the instance: with its annotations, an object may have some MiB.
    let spec = live.spec;
    let regarding = match creation.record_id {
        Some(id) => match regarding(context, creation, &instance, id).await {
            Ok(target) => Some(target),
            Err(error) => return Ok(Err(failure(&error))),
        },
        None => None,
    };
    if !(context.may_create)() {
        return Err(NotSent::Outdated);
    }
    Ok(send(context, key, creation, precondition, &spec, &instance, regarding).await)
}

fn is_unchanged(live: &PostLink, precondition: &Precondition) -> bool {
    live.uid().is_some_and(|uid| entry::uid(&uid) == precondition.link.uid)
        && live.metadata.generation == Some(precondition.link.generation)
        && live.metadata.deletion_timestamp.is_none()
}

/// Attempts in one creation, if activities of the post exist that regard other records.
const ATTEMPTS: usize = 8;

async fn send(
    context: &Context,
    key: &Key,
    creation: &ActivityCreation,
    precondition: &Precondition,
    spec: &PostLinkSpec,
    instance: &Instance,
    regarding: Option<RegardingTarget>,
) -> Attempt {
    let post = &spec.post;
    let notes = match &creation.rule {
        Some(_) => precondition.notes.clone(),
        None => spec.link.as_ref().and_then(|l| l.notes.clone()),
    };
    let activity = activity::activity(post, &creation.record_type, notes.as_deref(), regarding);
    let identity = PostIdentity::of(post);
    for attempt in (creation.attempt..).take(ATTEMPTS) {
        let id = identity.activity_id(creation.organization, &key.namespace, attempt);
        let exists = |record| CreationResult::Exists {
            link: creation.link(id, record, context.clock.now()),
            spec: creation.spec.clone(),
            attempt,
        };
        match instance.create_activity(id, &activity).await {
            Ok(Creation::Created) => return Ok(exists(creation.record())),
            Ok(Creation::AlreadyExists) => {
                let check = ActivityCheck {
                    connection: creation.connection.clone(),
                    organization: creation.organization,
                    activity: id,
                    record: None,
                };
                // Without an answer, it is asked again: the id stays the same.
                let Some(state) = check::one(context, instance, &check).await else {
                    return failed(Reason::ConnectionNotReady);
                };
                match creation.found(&state) {
                    Found::Wanted(record) => return Ok(exists(record)),
                    Found::Taken if (context.may_create)() => {}
                    // The lease is about to expire: the next leader goes on.
                    Found::Taken => return failed(Reason::ConnectionNotReady),
                    Found::Refused => return failed(Reason::PostRefused),
                }
            }
            Err(error) => {
                let (kind, uid) = (key.kind.as_str(), precondition.link.uid);
                debug!(kind, namespace = %key.namespace, name = %key.name, %uid, %error, "failed to create an activity");
                let connection_failures = [
                    ErrorClass::InstanceDown,
                    ErrorClass::CredentialsUnusable,
                    ErrorClass::SignInUnavailable,
                ];
                if connection_failures.contains(&error.class()) {
                    probe::start_health(context, &key.namespace, &creation.connection);
                }
                return Err(failure(&error));
            }
        }
    }
    failed(Reason::PostRefused)
}

async fn regarding(
    context: &Context,
    creation: &ActivityCreation,
    instance: &Instance,
    id: Uuid,
) -> Result<RegardingTarget, dataverse_client::Error> {
    let table: Table = match context.runtime.table(&creation.connection, &creation.record_type) {
        Some(table) => table,
        None => {
            let types = instance.metadata(std::slice::from_ref(&creation.record_type)).await?;
            match types.first().filter(|t| t.exists) {
                Some(metadata) => Table::from(metadata),
                None => {
                    let (endpoint, kind) = (dataverse_client::Endpoint::Instance, ErrorKind::UnknownTable);
                    return Err(dataverse_client::Error { endpoint, kind });
                }
            }
        }
    };
    Ok(RegardingTarget {
        logical_name: creation.record_type.clone(),
        entity_set: table.entity_set,
        id,
        navigation_property: table.navigation_property,
    })
}

fn failure(error: &dataverse_client::Error) -> CreationFailure {
    let reason = match (&error.kind, error.class()) {
        (ErrorKind::SocialDataRefused, _) => Reason::SocialDataRefused,
        (ErrorKind::RecordNotFound, _) => Reason::RecordNotFound,
        (ErrorKind::UnknownTable, _) => Reason::RecordTypeNotOffered,
        (_, ErrorClass::RetryLater) => Reason::Throttled,
        (_, ErrorClass::InstanceDown) => Reason::InstanceDowntime,
        (_, ErrorClass::RequestRefused) => Reason::PostRefused,
        _ => Reason::ConnectionNotReady,
    };
    let retry_after = error.retry_after().and_then(|wait| SignedDuration::try_from(wait).ok());
    CreationFailure { reason, retry_after }
}
