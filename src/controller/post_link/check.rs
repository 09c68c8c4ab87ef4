//! R23–R25, R27: asks an instance about activities and their records, many at a time. Only a difference to what a
//! link's status says enqueues the link: a thousand links in order cost requests, but no reconcile.

use crate::{
    api::{LinkState, Reason},
    controller::{
        connection::probe::address,
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
use std::collections::{BTreeSet, HashMap};
use tracing::debug;
use uuid::Uuid;

/// Links in one batch.
const BATCH: usize = 400;

/// Asks about one link's activity, together with others that need it about the same time.
pub fn start(context: &Context, key: Key, check: ActivityCheck) {
    let uid = check.connection.clone();
    if !context.runtime.add_check(key, check) {
        return;
    }
    let (context, task) = (context.clone(), context.background.begin());
    tokio::spawn(async move {
        let _task = task;
        run_batches(&context, &uid).await;
    });
}

async fn run_batches(context: &Context, uid: &str) {
    loop {
        // Others that became due with the first are a few turns of the scheduler behind it.
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        let Some(batch) = context.runtime.next_checks(uid, BATCH) else { return };
        let Some(instance) = context.runtime.handle(uid) else {
            // Nothing has signed in since this process started: the connection's own probe comes first, and checks all
            // its links.
            continue;
        };
        let questions = batch.iter().map(|(_, check)| Question {
            organization: check.organization,
            activity: check.activity,
            record: check.record.as_ref().map(|(type_, id)| (type_.as_str(), *id)),
        });
        match ask(context, uid, &instance, questions.collect()).await {
            Ok(answers) => {
                for ((key, check), answer) in batch.into_iter().zip(answers) {
                    if let Some(state) = activity_state(&answer) {
                        context.runtime.learn(&key, check.activity, state);
                        context.queue.add(key);
                    }
                }
            }
            Err(error) => log_failure(context, &batch[0].0.namespace, uid, &error),
        }
    }
}

/// Asks about all links of a connection whose instance has just proved to be in order.
pub async fn all(context: &Context, uid: &str) {
    let links = context.index.links_through(uid);
    for chunk in links.chunks(BATCH) {
        let Some(instance) = context.runtime.handle(uid) else { return };
        let questions = chunk.iter().map(|LinkThrough { link, .. }| Question {
            organization: link.organization_id,
            activity: link.social_activity_id,
            record: link.record.as_ref().map(|record| (record.type_.as_str(), record.id)),
        });
        let answers = match ask(context, uid, &instance, questions.collect()).await {
            Ok(answers) => answers,
            Err(error) => {
                log_failure(context, &chunk[0].key.namespace, uid, &error);
                return;
            }
        };
        for (through, answer) in chunk.iter().zip(answers) {
            let Some(state) = activity_state(&answer) else { continue };
            if is_news(through, &state) {
                context.runtime.learn(&through.key, through.link.social_activity_id, state);
                context.queue.add(through.key.clone());
            }
        }
    }
}

struct Question<'a> {
    organization: Uuid,
    activity: Uuid,
    /// Table and id.
    record: Option<(&'a str, Uuid)>,
}

/// The answers, in the order of the questions.
async fn ask(
    context: &Context,
    uid: &str,
    instance: &Instance,
    questions: Vec<Question<'_>>,
) -> Result<Vec<CheckResult>, dataverse_client::Error> {
    let types = questions.iter().filter_map(|one| Some(one.record?.0));
    let tables = tables(context, uid, instance, types).await;
    let request = |one: Question<'_>| CheckRequest {
        organization: one.organization,
        activity: one.activity,
        record: record(one.record, &tables),
    };
    let requests: Vec<CheckRequest> = questions.into_iter().map(request).collect();
    instance.check(&requests).await
}

/// The tables that are known of a connection, and those of `types` with them. What Dynamics makes of an activity is up
/// to its own rules: a record may be of a table that the connection does not offer (R24).
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
    // On an error they are not known, and records of them count as existing (R27).
    for found in instance.metadata(&missing).await.unwrap_or_default() {
        if found.exists {
            let table = address(&found);
            context.runtime.add_table(uid, &found.logical_name, table.clone());
            tables.insert(found.logical_name, table);
        }
    }
    tables
}

fn log_failure(context: &Context, namespace: &str, uid: &str, error: &dataverse_client::Error) {
    // A connection that cannot be named is most likely gone.
    let Some(connection) = context.index.connection_by_uid(namespace, uid) else { return };
    let kind = Kind::DynamicsConnection.as_str();
    debug!(kind, namespace, name = %connection.name, uid, %error, "activities could not be checked");
}

/// Whether an answer says something else than the link's status does.
fn is_news(through: &LinkThrough, activity: &ActivityState) -> bool {
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

/// A table whose address is not known is not asked about; then the record counts as existing (R27).
fn record(record: Option<(&str, Uuid)>, tables: &HashMap<String, Table>) -> Option<RecordRef> {
    let (type_, id) = record?;
    let table = tables.get(type_)?;
    Some(RecordRef { entity_set: table.entity_set.clone(), id_attribute: table.id_attribute.clone(), id })
}

/// An answer in the words of the domain; `None` when it says nothing for certain (R27).
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
