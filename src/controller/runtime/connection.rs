//! What the runtime state says about one connection: the last probe, its client, the table addresses, the pending checks.

use super::state::{Runtime, Table};
use crate::{
    controller::key::Key,
    domain::{
        connection::health::{MetadataFailure, Observation, ProbeAnswer, TableMetadata},
        post_link::ActivityCheck,
    },
};
use dataverse_client::Instance;
use jiff::Timestamp;
use std::collections::HashMap;

/// The result of one probe.
pub struct Probed {
    pub at: Timestamp,
    pub answer: ProbeAnswer,
    pub tables: Option<TableMetadata>,
    /// The tables could not be read although the instance is healthy.
    pub tables_failed: bool,
    pub addresses: Vec<(String, Table)>,
    pub handle: Option<Instance>,
    pub credentials: crate::api::Credentials,
    /// The reconcile request when the probe began.
    pub requested: Option<String>,
}

impl Runtime {
    pub fn observation(&self, uid: &str) -> Option<Observation> {
        self.state().connections.get(uid)?.observation.clone()
    }

    /// The client that the last probe used.
    pub fn handle(&self, uid: &str) -> Option<Instance> {
        self.state().connections.get(uid)?.handle.clone()
    }

    /// Drops the last probe, which would be outdated when the connection is enabled again.
    pub fn forget_observation(&self, uid: &str) {
        if let Some(connection) = self.state().connections.get_mut(uid) {
            connection.observation = None;
            connection.handle = None;
        }
    }

    /// Whether to begin a probe now: one at a time per connection.
    pub fn begin_probe(&self, uid: &str, key: &Key) -> bool {
        let mut state = self.state();
        if state.is_held(uid, key) {
            return false;
        }
        !std::mem::replace(&mut state.connection(uid).probing, true)
    }

    pub fn finish_probe(&self, uid: &str, probed: Probed) {
        let Probed { at, answer, tables, tables_failed, addresses, handle, credentials, requested } = probed;
        let healthy = matches!(answer, ProbeAnswer::Organization { disabled: false, .. });
        let mut state = self.state();
        // Otherwise the client of a connection that was deleted meanwhile, with its credentials, would stay.
        let Some(connection) = state.connections.get_mut(uid) else { return };
        let before = connection.observation.take();
        let failures = if healthy { 0 } else { before.as_ref().map_or(0, |o| o.failures) + 1 };
        let failed_before = before.as_ref().and_then(|o| o.metadata_failure);
        let metadata_failure = match (&tables, tables_failed) {
            (Some(_), _) => None,
            (None, true) => Some(MetadataFailure { at, times: failed_before.map_or(0, |f| f.times) + 1 }),
            (None, false) => failed_before,
        };
        let tables = tables.or_else(|| before.and_then(|o| o.tables));
        connection.observation =
            Some(Observation { at, answer, failures, tables, metadata_failure, credentials, requested });
        connection.tables.extend(addresses);
        connection.handle = handle;
        connection.probing = false;
    }

    /// The addresses of the tables read so far.
    pub fn tables(&self, uid: &str) -> HashMap<String, Table> {
        self.state().connections.get(uid).map(|connection| connection.tables.clone()).unwrap_or_default()
    }

    pub fn table(&self, uid: &str, record_type: &str) -> Option<Table> {
        self.state().connections.get(uid)?.tables.get(record_type).cloned()
    }

    pub fn add_table(&self, uid: &str, record_type: &str, table: Table) {
        if let Some(connection) = self.state().connections.get_mut(uid) {
            connection.tables.insert(record_type.to_owned(), table);
        }
    }

    /// Adds a check to the next batch. Returns whether to start a task that runs the batches.
    pub fn add_check(&self, key: Key, check: ActivityCheck) -> bool {
        let mut state = self.state();
        if state.is_held(&check.connection, &key) {
            return false;
        }
        let connection = state.connection(&check.connection);
        connection.checks.insert(key, check);
        !std::mem::replace(&mut connection.checking, true)
    }

    /// The next batch of at most `size` checks, and the client for it; `None` ends the task. Without a client, the checks
    /// wait for the connection's next probe.
    pub fn next_checks(&self, uid: &str, size: usize) -> Option<(Instance, Vec<(Key, ActivityCheck)>)> {
        let mut state = self.state();
        let connection = state.connections.get_mut(uid)?;
        let keys: Vec<Key> = connection.checks.keys().take(size).cloned().collect();
        match connection.handle.clone().filter(|_| !keys.is_empty()) {
            Some(handle) => {
                let taken =
                    keys.into_iter().filter_map(|k| connection.checks.remove(&k).map(|check| (k, check)));
                Some((handle, taken.collect()))
            }
            None => {
                connection.checking = false;
                None
            }
        }
    }

    /// After a probe: whether to start a task for the checks that waited for it.
    pub fn resume_checks(&self, uid: &str) -> bool {
        let mut state = self.state();
        let Some(connection) = state.connections.get_mut(uid) else { return false };
        !connection.checks.is_empty() && !std::mem::replace(&mut connection.checking, true)
    }

    /// Returns the links that were waiting for the connection.
    pub fn remove_connection(&self, uid: &str) -> Vec<Key> {
        let Some(connection) = self.state().connections.remove(uid) else { return Vec::new() };
        connection.creations.into_waiting().into_iter().chain(connection.blocked).collect()
    }
}
