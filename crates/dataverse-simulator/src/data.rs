//! The data of one organisation: rows, versions, deletions. It outlives every document.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::tables::ACTIVITY;

/// A pointer to a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowReference {
    /// Logical name of the table.
    pub table: String,
    /// Primary key.
    pub id: Uuid,
}

/// One row. Absent values are null.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Row {
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

/// That a row went, for the change feed.
#[derive(Clone, Debug)]
pub(super) struct Deletion {
    pub table: String,
    pub id: Uuid,
    pub version: u64,
}

/// An activity whose record is not made yet.
#[derive(Clone, Debug)]
pub(super) struct Conversion {
    pub due: Timestamp,
    pub activity: Uuid,
    pub table: String,
}

/// Everything an organisation holds.
#[derive(Clone, Debug)]
pub(super) struct OrganisationData {
    pub id: Uuid,
    tables: BTreeMap<String, BTreeMap<Uuid, Row>>,
    bin: BTreeMap<RowReference, Row>,
    deletions: Vec<Deletion>,
    version: u64,
    pub conversions: Vec<Conversion>,
}

impl OrganisationData {
    pub fn new(id: Uuid) -> Self {
        Self {
            id,
            tables: BTreeMap::new(),
            bin: BTreeMap::new(),
            deletions: Vec::new(),
            version: 1_000_000,
            conversions: Vec::new(),
        }
    }

    /// The newest version number; every write takes the next one, across all tables.
    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn get(&self, table: &str, id: Uuid) -> Option<&Row> {
        self.tables.get(table)?.get(&id)
    }

    /// Rows of a table, ordered by key.
    pub fn rows(&self, table: &str) -> impl Iterator<Item = (Uuid, &Row)> {
        self.tables.get(table).into_iter().flatten().map(|(id, row)| (*id, row))
    }

    pub fn deletions(&self, table: &str) -> impl Iterator<Item = &Deletion> {
        self.deletions.iter().filter(move |deletion| deletion.table == table)
    }

    /// Inserts or replaces a row; a new one gets its creation time.
    pub fn put(&mut self, table: &str, id: Uuid, mut row: Row, now: Timestamp) {
        self.version += 1;
        row.version = self.version;
        let time = Value::String(web_time(now));
        row.values.entry("createdon").or_insert_with(|| time.clone());
        row.values.insert("modifiedon".to_owned(), time);
        self.tables.entry(table.to_owned()).or_default().insert(id, row);
    }

    /// Deletes a row and keeps it in the bin. With `cascade` the activities regarding it go too.
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
        self.bin.insert(reference, row);
        true
    }

    /// Deleted rows of a table.
    pub fn deleted_rows(&self, table: &str) -> impl Iterator<Item = (Uuid, &Row)> {
        self.bin.iter().filter(move |(reference, _)| reference.table == table).map(|(r, row)| (r.id, row))
    }

    pub fn was_deleted(&self, table: &str, id: Uuid) -> bool {
        self.bin.contains_key(&RowReference { table: table.to_owned(), id })
    }

    /// Brings a deleted row back as it was. False if its id has been used again meanwhile: with the
    /// recycle bin on, re-using an id blocks restoring.
    pub fn restore(&mut self, table: &str, id: Uuid, now: Timestamp) -> bool {
        if self.get(table, id).is_some() {
            return false;
        }
        let Some(row) = self.bin.remove(&RowReference { table: table.to_owned(), id }) else { return false };
        self.put(table, id, row, now);
        true
    }
}

/// A time as the Web API writes it: whole seconds, UTC.
pub(super) fn web_time(time: Timestamp) -> String {
    let whole = Timestamp::from_second(time.as_second()).unwrap_or(time);
    whole.to_string()
}
