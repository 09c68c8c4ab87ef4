//! Reading social activities and records: only the row asked for, missing only on the instance's own word (R27).

use serde::Deserialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::check::RecordPresence;
use super::client::{Ask, Instance};
use super::error::{Error, Kind, Rubbish};
use super::exchange::Answer;

/// What an activity is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Regarding {
    /// Logical name of the record's table.
    pub logical_name: String,
    /// The record's id.
    pub id: Uuid,
}

/// What is read of an activity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivityRow {
    /// The record it is tied to; `None` is an explicit null.
    pub regarding: Option<Regarding>,
    /// 0 open, 1 completed, 2 canceled.
    pub state_code: Option<i32>,
    /// 1 completed, 2 failed, 3 processing, 4 open, 5 canceled.
    pub status_code: Option<i32>,
}

/// A record to look for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RecordRef {
    /// Entity set of its table.
    pub entity_set: String,
    /// Primary id column of its table, so that one column is read instead of the whole row.
    pub id_attribute: String,
    /// Its id.
    pub id: Uuid,
}

/// An activity and its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivityReading {
    /// `None`: the instance itself says there is no such activity.
    pub activity: Option<ActivityRow>,
    /// Whether the record exists.
    pub record: RecordPresence,
}

/// Asks for the table's name beside each lookup value.
pub(super) const WITH_LOOKUP_NAMES: &str =
    "odata.include-annotations=\"Microsoft.Dynamics.CRM.lookuplogicalname\"";

impl Instance {
    /// Reads one activity and, if one is named, the record. Two requests at most.
    pub async fn read_activity(
        &self,
        id: Uuid,
        record: Option<&RecordRef>,
    ) -> Result<ActivityReading, Error> {
        let answer = self.api.ask(Ask::get(&activity_path(id)).prefer(WITH_LOOKUP_NAMES)).await?;
        let activity = present(row(&answer, id)).map_err(|k| self.api.error(k))?;
        let record = match record {
            None => RecordPresence::NotAsked,
            Some(record) if self.record_exists(record).await? => RecordPresence::Found,
            Some(_) => RecordPresence::NotFound,
        };
        Ok(ActivityReading { activity, record })
    }

    /// Whether a record exists: `false` only if the instance itself says that it does not (R27).
    pub async fn record_exists(&self, record: &RecordRef) -> Result<bool, Error> {
        let path = record_path(record).ok_or_else(|| self.api.error(Kind::RecordTypeUnknown))?;
        let answer = self.api.ask(Ask::get(&path)).await?;
        Ok(present(record_row(&answer, record)).map_err(|k| self.api.error(k))?.is_some())
    }
}

/// A missing row as `None`.
pub(super) fn present<T>(read: Result<T, Kind>) -> Result<Option<T>, Kind> {
    match read {
        Ok(row) => Ok(Some(row)),
        Err(Kind::RecordNotFound) => Ok(None),
        Err(kind) => Err(kind),
    }
}

pub(super) fn activity_path(id: Uuid) -> String {
    format!("socialactivities({id})?$select=activityid,_regardingobjectid_value,statecode,statuscode")
}

/// `None` if the names cannot be names: they must never add to a URL what is not a name (T10).
pub(super) fn record_path(record: &RecordRef) -> Option<String> {
    let RecordRef { entity_set, id_attribute, id } = record;
    (is_name(entity_set) && is_name(id_attribute))
        .then(|| format!("{entity_set}({id})?$select={id_attribute}"))
}

/// Whether a text can be the name of a table, an entity set or a column.
pub(super) fn is_name(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !text.as_bytes()[0].is_ascii_digit()
}

/// One row of `socialactivities`, as far as it was selected.
#[derive(Deserialize)]
pub(super) struct RawActivity {
    pub(super) activityid: Uuid,
    /// Told apart: absent (not an answer to our question) and null (no record).
    #[serde(rename = "_regardingobjectid_value", deserialize_with = "explicit")]
    regarding: Option<Uuid>,
    #[serde(rename = "_regardingobjectid_value@Microsoft.Dynamics.CRM.lookuplogicalname")]
    regarding_type: Option<String>,
    statecode: Option<i32>,
    statuscode: Option<i32>,
}

/// `deserialize_with` makes the key itself required, unlike a plain `Option`.
fn explicit<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<Uuid>, D::Error> {
    Option::deserialize(d)
}

impl RawActivity {
    /// `None` if a record is named without its table: half an answer must not pass for one.
    pub(super) fn row(self) -> Option<ActivityRow> {
        let regarding = match (self.regarding, self.regarding_type) {
            (None, _) => None,
            (Some(id), Some(name)) if is_name(&name) => Some(Regarding { logical_name: name, id }),
            (Some(_), _) => return None,
        };
        Some(ActivityRow { regarding, state_code: self.statecode, status_code: self.statuscode })
    }
}

/// Reads an activity and insists that it is the one asked for.
pub(super) fn row(answer: &Answer, id: Uuid) -> Result<ActivityRow, Kind> {
    let raw: RawActivity = answer.json()?;
    let status = answer.status.as_u16();
    if raw.activityid != id {
        return Err(Kind::Rubbish { status, why: Rubbish::OtherRow });
    }
    raw.row().ok_or(Kind::Rubbish { status, why: Rubbish::Unreadable })
}

/// Reads a record and insists that it is the one asked for.
pub(super) fn record_row(answer: &Answer, record: &RecordRef) -> Result<(), Kind> {
    let row: Map<String, Value> = answer.json()?;
    let id = row.get(&record.id_attribute).and_then(Value::as_str).and_then(|t| t.parse::<Uuid>().ok());
    if id == Some(record.id) {
        Ok(())
    } else {
        Err(Kind::Rubbish { status: answer.status.as_u16(), why: Rubbish::OtherRow })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_add_to_a_url() {
        for name in ["incident", "new_Ticket", "_x", "a1"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "1a", "a b", "a/b", "a(b)", "a?x", "a'", "a%20", "../x", "ä"] {
            assert!(!is_name(name), "{name}");
        }
        let record =
            RecordRef { entity_set: "leads(1)/x".into(), id_attribute: "leadid".into(), id: Uuid::nil() };
        assert_eq!(record_path(&record), None);
    }

    #[test]
    fn a_missing_column_is_not_a_missing_record() {
        let read = |text: &str| serde_json::from_str::<RawActivity>(text).ok().and_then(RawActivity::row);
        let id = Uuid::nil();
        assert!(read(&format!(r#"{{"activityid":"{id}"}}"#)).is_none());
        assert!(read(&format!(r#"{{"activityid":"{id}","_regardingobjectid_value":"{id}"}}"#)).is_none());
        assert_eq!(
            read(&format!(r#"{{"activityid":"{id}","_regardingobjectid_value":null}}"#)),
            Some(ActivityRow { regarding: None, state_code: None, status_code: None })
        );
    }
}
