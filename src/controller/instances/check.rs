//! R23–R25, R27: asking an instance about activities and their records, many at a time. Only a difference to what a
//! link's status says makes the link due: a thousand links in order cost requests, but no look.

use super::{Instances, Table};
use crate::{
    api::{LinkState, Reason},
    controller::{
        index::Hanging,
        queue::{Key, Kind},
    },
    rules::{
        link::Check,
        record::{self, Outcome, Seen},
    },
};
use dataverse_client::{ActivityPresence, CheckRequest, CheckResult, RecordPresence, RecordRef};
use std::collections::{BTreeSet, HashMap};
use tracing::debug;
use uuid::Uuid;

/// Links asked about in one go.
const TOGETHER: usize = 400;

impl Instances {
    /// Asks about one link's activity, together with others that want it about the same time.
    pub fn check(&self, key: Key, check: Check) {
        let uid = check.connection.clone();
        {
            let mut state = self.state();
            if state.is_held(&uid, &key) {
                return;
            }
            let connection = state.connections.entry(uid.clone()).or_default();
            connection.checks.insert(key, check);
            if connection.checking {
                return;
            }
            connection.checking = true;
        }
        let (this, busy) = (self.clone(), self.busy());
        tokio::spawn(async move {
            let _busy = busy;
            this.run_checks(&uid).await;
        });
    }

    async fn run_checks(&self, uid: &str) {
        loop {
            // Others that became due with the first are a few turns of the scheduler behind it.
            for _ in 0..8 {
                tokio::task::yield_now().await;
            }
            let (batch, handle) = {
                let mut state = self.state();
                let Some(connection) = state.connections.get_mut(uid) else { return };
                let keys: Vec<Key> = connection.checks.keys().take(TOGETHER).cloned().collect();
                let batch: Vec<(Key, Check)> =
                    keys.into_iter().filter_map(|k| connection.checks.remove(&k).map(|c| (k, c))).collect();
                if batch.is_empty() {
                    connection.checking = false;
                    return;
                }
                (batch, connection.handle.clone())
            };
            let Some(instance) = handle else {
                // Nobody has signed in since this process started: the connection's own look comes first, and
                // checks all its links.
                continue;
            };
            let namespace = batch[0].0.namespace.clone();
            let wanted = batch.iter().map(|(_, check)| Wanted {
                organization: check.organization,
                activity: check.activity,
                record: check.record.as_ref().map(|(type_, id)| (type_.as_str(), *id)),
            });
            match self.asked(uid, &instance, wanted.collect()).await {
                Ok(answers) => {
                    for ((key, check), answer) in batch.into_iter().zip(answers) {
                        if let Some(seen) = seen(&answer) {
                            self.state().seen.insert(key.clone(), (check.activity, seen));
                            self.queue.add(key);
                        }
                    }
                }
                Err(error) => self.not_checked(&namespace, uid, &error),
            }
        }
    }

    /// Asks about all links of a connection whose instance has just proved to be in order.
    pub(super) async fn check_all(&self, uid: &str) {
        let hanging = self.index.hanging_on(uid);
        for chunk in hanging.chunks(TOGETHER) {
            let handle = self.state().connections.get(uid).and_then(|connection| connection.handle.clone());
            let Some(instance) = handle else { return };
            let wanted = chunk.iter().map(|Hanging { link, .. }| Wanted {
                organization: link.organization_id,
                activity: link.social_activity_id,
                record: link.record.as_ref().map(|record| (record.type_.as_str(), record.id)),
            });
            let answers = match self.asked(uid, &instance, wanted.collect()).await {
                Ok(answers) => answers,
                Err(error) => {
                    self.not_checked(&chunk[0].key.namespace, uid, &error);
                    return;
                }
            };
            for (hanging, answer) in chunk.iter().zip(answers) {
                let Some(seen) = seen(&answer) else { continue };
                if is_news(hanging, &seen) {
                    let known = (hanging.link.social_activity_id, seen);
                    self.state().seen.insert(hanging.key.clone(), known);
                    self.queue.add(hanging.key.clone());
                }
            }
        }
    }
}

/// What is asked about.
struct Wanted<'a> {
    organization: Uuid,
    activity: Uuid,
    /// Table and id.
    record: Option<(&'a str, Uuid)>,
}

impl Instances {
    /// The answers, in the order of the questions.
    async fn asked(
        &self,
        uid: &str,
        instance: &dataverse_client::Instance,
        wanted: Vec<Wanted<'_>>,
    ) -> Result<Vec<CheckResult>, dataverse_client::Error> {
        let types = wanted.iter().filter_map(|one| Some(one.record?.0));
        let tables = self.tables_of(uid, instance, types).await;
        let request = |one: Wanted<'_>| CheckRequest {
            organization: one.organization,
            activity: one.activity,
            record: record(one.record, &tables),
        };
        let requests: Vec<CheckRequest> = wanted.into_iter().map(request).collect();
        instance.check(&requests).await
    }

    /// The tables that are known of a connection, and those of `types` with them. What Dynamics makes of an activity is
    /// up to its own rules: a record may be of a table that the connection does not offer (R24).
    async fn tables_of(
        &self,
        uid: &str,
        instance: &dataverse_client::Instance,
        types: impl Iterator<Item = &str>,
    ) -> HashMap<String, Table> {
        let known = self.state().connections.get(uid).map(|connection| connection.tables.clone());
        let mut tables = known.unwrap_or_default();
        let missing: BTreeSet<&str> = types.filter(|type_| !tables.contains_key(*type_)).collect();
        let missing: Vec<String> = missing.into_iter().map(str::to_owned).collect();
        if missing.is_empty() {
            return tables;
        }
        // On an error they are not known, and records of them count as existing (R27).
        for found in instance.metadata(&missing).await.unwrap_or_default() {
            if found.exists {
                let table = Table::of(&found);
                if let Some(connection) = self.state().connections.get_mut(uid) {
                    connection.tables.insert(found.logical_name.clone(), table.clone());
                }
                tables.insert(found.logical_name, table);
            }
        }
        tables
    }

    fn not_checked(&self, namespace: &str, uid: &str, error: &dataverse_client::Error) {
        let known = self.index.connection_by_uid(namespace, uid);
        // Gone meanwhile, most likely; what cannot be named is not worth a line.
        let Some(connection) = known else { return };
        let kind = Kind::Connection.as_str();
        debug!(kind, namespace, name = %connection.name, uid, %error, "activities could not be checked");
    }
}

/// Whether an answer says something else than the link's status does.
fn is_news(hanging: &Hanging, seen: &Seen) -> bool {
    let link: &LinkState = &hanging.link;
    match record::judge(link, seen, "") {
        Outcome::Available(record) => {
            let same = link.record.as_ref().is_some_and(|known| known.id == record.id);
            !same || hanging.available != Some(Reason::RecordAvailable)
        }
        Outcome::Pending => hanging.available != Some(Reason::RecordPending),
        Outcome::Broken(_) => true,
    }
}

/// A table whose address is not known is not asked about; then the record counts as existing (R27).
fn record(record: Option<(&str, Uuid)>, tables: &HashMap<String, Table>) -> Option<RecordRef> {
    let (type_, id) = record?;
    let table = tables.get(type_)?;
    Some(RecordRef { entity_set: table.entity_set.clone(), id_attribute: table.id_attribute.clone(), id })
}

/// An answer in the rules' words; `None` when it says nothing for certain (R27).
fn seen(answer: &CheckResult) -> Option<Seen> {
    let record_exists = match &answer.record {
        RecordPresence::Found => Some(true),
        RecordPresence::NotFound => Some(false),
        RecordPresence::NotRequested | RecordPresence::Unknown(_) => None,
    };
    match &answer.activity {
        ActivityPresence::Found(row) => Some(Seen::Activity {
            regarding: row.regarding.as_ref().map(|r| (r.logical_name.clone(), r.id)),
            record_exists,
        }),
        ActivityPresence::NotFound => Some(Seen::ActivityGone { record_exists }),
        ActivityPresence::Unknown(_) => None,
    }
}
