//! R23–R25, R27: checks activities and their records in batches. A link is enqueued only if the result differs from its
//! status, so unchanged links cost requests but no reconciles.

use crate::{
    api::{LinkState, Reason},
    controller::{
        context::Context,
        index::LinkThrough,
        key::{Key, Kind},
        runtime::Table,
    },
    domain::post_link::{
        ActivityCheck,
        record::{self, ActivityState, RecordState},
    },
};
use dataverse_client::{ActivityPresence, CheckRequest, CheckResult, Instance, RecordPresence, RecordRef};
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};
use tracing::debug;
use uuid::Uuid;

/// Links per batch.
const BATCH: usize = 400;

/// Checks one link's activity, batched with others that become due at about the same time.
pub fn start(context: &Context, key: Key, check: ActivityCheck) {
    let (namespace, uid) = (key.namespace.clone(), check.connection.clone());
    if context.runtime.add_check(key, check) {
        spawn(context, namespace, uid);
    }
}

/// Begins the checks that waited for the connection's probe.
pub fn resume(context: &Context, namespace: &str, uid: &str) {
    if context.runtime.resume_checks(uid) {
        spawn(context, namespace.into(), uid.to_owned());
    }
}

fn spawn(context: &Context, namespace: Arc<str>, uid: String) {
    let (context, task) = (context.clone(), context.background.begin());
    tokio::spawn(async move {
        let _task = task;
        run_batches(&context, &namespace, &uid).await;
    });
}

/// Checks one activity at once. `None` if the answer is not certain (R27).
pub async fn one(context: &Context, instance: &Instance, check: &ActivityCheck) -> Option<ActivityState> {
    let query = vec![Query::of(check)];
    let answers = run_queries(context, &check.connection, instance, query).await.ok()?;
    activity_state(answers.first()?)
}

async fn run_batches(context: &Context, namespace: &str, uid: &str) {
    loop {
        // Let the reconciles of other due links run first, so that they join the batch.
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        let _slot = context.instance_slots.take(namespace).await;
        let Some((instance, batch)) = context.runtime.next_checks(uid, BATCH) else { return };
        let queries = batch.iter().map(|(_, check)| Query::of(check));
        match run_queries(context, uid, &instance, queries.collect()).await {
            Ok(answers) => {
                for ((key, check), answer) in batch.into_iter().zip(answers) {
                    // Of a deleted PostLink, nobody would ever take the result.
                    if let Some(state) = activity_state(&answer).filter(|_| context.index.uid(&key).is_some())
                    {
                        context.runtime.record_activity(&key, check.activity, state);
                        context.queue.add(key);
                    }
                }
            }
            Err(error) => log_failure(context, namespace, uid, &error),
        }
    }
}

/// Checks all links of a connection after a successful probe.
pub async fn check_all(context: &Context, uid: &str) {
    let keys = context.index.keys_through(uid);
    for keys in keys.chunks(BATCH) {
        let chunk = context.index.links_through(uid, keys);
        if chunk.is_empty() {
            continue;
        }
        let Some(instance) = context.runtime.handle(uid) else { return };
        let queries = chunk.iter().map(|LinkThrough { link, .. }| Query {
            organization: link.organization_id,
            activity: link.social_activity_id,
            record: link.record.as_ref().map(|record| (record.type_.as_str(), record.id)),
        });
        let answers = match run_queries(context, uid, &instance, queries.collect()).await {
            Ok(answers) => answers,
            Err(error) => {
                log_failure(context, &chunk[0].key.namespace, uid, &error);
                return;
            }
        };
        for (through, answer) in chunk.iter().zip(answers) {
            let Some(state) = activity_state(&answer) else { continue };
            if differs(through, &state) {
                context.runtime.record_activity(&through.key, through.link.social_activity_id, state);
                context.queue.add(through.key.clone());
            }
        }
    }
}

struct Query<'a> {
    organization: Uuid,
    activity: Uuid,
    /// Table and id.
    record: Option<(&'a str, Uuid)>,
}

impl<'a> Query<'a> {
    fn of(check: &'a ActivityCheck) -> Self {
        Self {
            organization: check.organization,
            activity: check.activity,
            record: check.record.as_ref().map(|(type_, id)| (type_.as_str(), *id)),
        }
    }
}

/// The results, in the order of the queries.
async fn run_queries(
    context: &Context,
    uid: &str,
    instance: &Instance,
    queries: Vec<Query<'_>>,
) -> Result<Vec<CheckResult>, dataverse_client::Error> {
    let types = queries.iter().filter_map(|one| Some(one.record?.0));
    let tables = tables(context, uid, instance, types).await;
    let request = |one: Query<'_>| CheckRequest {
        organization: one.organization,
        activity: one.activity,
        record: record(one.record, &tables),
    };
    let requests: Vec<CheckRequest> = queries.into_iter().map(request).collect();
    instance.check(&requests).await
}

/// The table addresses of a connection, including `types`. Dynamics decides which records it creates from an activity, so
/// a record's table may be one that the connection does not offer (R24).
async fn tables(
    context: &Context,
    uid: &str,
    instance: &Instance,
    types: impl Iterator<Item = &str>,
) -> HashMap<String, Table> {
    let mut tables = context.runtime.tables(uid);
    let missing: BTreeSet<&str> = types.filter(|type_| !tables.contains_key(*type_)).collect();
    let missing: Vec<String> = missing.into_iter().map(str::to_owned).collect();
    if missing.is_empty() {
        return tables;
    }
    // After an error the tables stay unknown, and their records count as existing (R27).
    for found in instance.metadata(&missing).await.unwrap_or_default() {
        if found.exists {
            let table = Table::from(&found);
            context.runtime.add_table(uid, &found.logical_name, table.clone());
            tables.insert(found.logical_name, table);
        }
    }
    tables
}

fn log_failure(context: &Context, namespace: &str, uid: &str, error: &dataverse_client::Error) {
    // Most likely deleted.
    let Some(connection) = context.index.connection_by_uid(namespace, uid) else { return };
    let kind = Kind::DynamicsConnection.as_str();
    debug!(kind, namespace, name = %connection.name, uid, %error, "failed to check activities");
}

/// Whether a result differs from the link's status.
fn differs(through: &LinkThrough, activity: &ActivityState) -> bool {
    let link: &LinkState = &through.link;
    match record::evaluate(link, activity, "") {
        RecordState::Available(record) => {
            let same = link.record.as_ref().is_some_and(|known| known.id == record.id);
            !same || through.available != Some(Reason::RecordAvailable)
        }
        RecordState::Pending => through.available != Some(Reason::RecordPending),
        RecordState::Broken(_) => true,
    }
}

/// `None` if the table's address is unknown; then the record counts as existing (R27).
fn record(record: Option<(&str, Uuid)>, tables: &HashMap<String, Table>) -> Option<RecordRef> {
    let (type_, id) = record?;
    let table = tables.get(type_)?;
    Some(RecordRef { entity_set: table.entity_set.clone(), id_attribute: table.id_attribute.clone(), id })
}

/// Converts a result; `None` if it is not certain (R27).
fn activity_state(answer: &CheckResult) -> Option<ActivityState> {
    let record_exists = match &answer.record {
        RecordPresence::Found => Some(true),
        RecordPresence::NotFound => Some(false),
        RecordPresence::NotRequested | RecordPresence::Unknown(_) => None,
    };
    match &answer.activity {
        ActivityPresence::Found(row) => Some(ActivityState::Exists {
            regarding: row.regarding.as_ref().map(|r| (r.logical_name.clone(), r.id)),
            record_exists,
        }),
        ActivityPresence::NotFound => Some(ActivityState::Gone { record_exists }),
        ActivityPresence::Unknown(_) => None,
    }
}
