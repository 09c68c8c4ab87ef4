//! The data of one organization: rows, versions, deletions. It outlives the specification of its instance.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::tables::ACTIVITY;

/// A reference to a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowReference {
    /// Logical name of the table.
    pub table: String,
    /// Primary key.
    pub id: Uuid,
}

/// A row. An absent value is null.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Row {
    pub values: Map<String, Value>,
    pub lookups: BTreeMap<String, RowReference>,
    pub version: u64,
}

impl Row {
    pub fn regarding(&self) -> Option<&RowReference> {
        self.lookups.get("regardingobjectid")
    }

    pub fn text(&self, column: &str) -> Option<&str> {
        self.values.get(column).and_then(Value::as_str)
    }
}

/// The deletion of a row, for change tracking.
#[derive(Clone, Debug)]
pub(crate) struct Deletion {
    pub table: String,
    pub id: Uuid,
    pub version: u64,
}

/// A record that is to be created for an activity.
#[derive(Clone, Debug)]
pub(crate) struct PendingRecord {
    pub due: Timestamp,
    pub activity: Uuid,
    pub table: String,
}

/// Everything an organization stores.
#[derive(Clone, Debug)]
pub(crate) struct OrganizationData {
    pub id: Uuid,
    tables: BTreeMap<String, BTreeMap<Uuid, Row>>,
    recycle_bin: BTreeMap<RowReference, Row>,
    deletions: Vec<Deletion>,
    version: u64,
    pub pending_records: Vec<PendingRecord>,
}

impl OrganizationData {
    pub fn new(id: Uuid) -> Self {
        Self {
            id,
            tables: BTreeMap::new(),
            recycle_bin: BTreeMap::new(),
            deletions: Vec::new(),
            version: 1_000_000,
            pending_records: Vec::new(),
        }
    }

    /// The latest version number. Each write takes the next one, across all tables.
    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn get(&self, table: &str, id: Uuid) -> Option<&Row> {
        self.tables.get(table)?.get(&id)
    }

    /// The rows of a table, ordered by key.
    pub fn rows(&self, table: &str) -> impl Iterator<Item = (Uuid, &Row)> {
        self.tables.get(table).into_iter().flatten().map(|(id, row)| (*id, row))
    }

    pub fn deletions(&self, table: &str) -> impl Iterator<Item = &Deletion> {
        self.deletions.iter().filter(move |deletion| deletion.table == table)
    }

    /// Inserts or replaces a row, with a new version and the times of creation and modification.
    pub fn put(&mut self, table: &str, id: Uuid, mut row: Row, now: Timestamp) {
        self.version += 1;
        row.version = self.version;
        let time = Value::String(web_time(now));
        row.values.entry("createdon").or_insert_with(|| time.clone());
        row.values.insert("modifiedon".to_owned(), time);
        self.tables.entry(table.to_owned()).or_default().insert(id, row);
    }

    /// Moves a row to the recycle bin, with `cascade` also the activities that regard it. False if there is no such row.
    pub fn delete(&mut self, table: &str, id: Uuid, cascade: bool) -> bool {
        let Some(row) = self.tables.get_mut(table).and_then(|rows| rows.remove(&id)) else { return false };
        self.version += 1;
        let reference = RowReference { table: table.to_owned(), id };
        self.deletions.push(Deletion { table: table.to_owned(), id, version: self.version });
        if cascade {
            let regarding: Vec<Uuid> = self
                .rows(ACTIVITY)
                .filter(|(_, activity)| activity.regarding() == Some(&reference))
                .map(|(id, _)| id)
                .collect();
            for activity in regarding {
                self.delete(ACTIVITY, activity, false);
            }
        }
        self.recycle_bin.insert(reference, row);
        true
    }

    /// The rows of a table in the recycle bin.
    pub fn deleted_rows(&self, table: &str) -> impl Iterator<Item = (Uuid, &Row)> {
        self.recycle_bin
            .iter()
            .filter(move |(reference, _)| reference.table == table)
            .map(|(r, row)| (r.id, row))
    }

    pub fn was_deleted(&self, table: &str, id: Uuid) -> bool {
        self.recycle_bin.contains_key(&RowReference { table: table.to_owned(), id })
    }

    /// Restores a row from the recycle bin. False if it is not there, or if its id has been reused: in Dataverse, that
    /// prevents restoring.
    pub fn restore(&mut self, table: &str, id: Uuid, now: Timestamp) -> bool {
        if self.get(table, id).is_some() {
            return false;
        }
        let Some(row) = self.recycle_bin.remove(&RowReference { table: table.to_owned(), id }) else {
            return false;
        };
        self.put(table, id, row, now);
        true
    }
}

/// A time as the Web API writes it: in UTC, without fractions of a second.
pub(crate) fn web_time(time: Timestamp) -> String {
    let whole = Timestamp::from_second(time.as_second()).unwrap_or(time);
    whole.to_string()
}
