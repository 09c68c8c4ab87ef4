//! Reads single activities and records. A response must be about the requested row, and a row is missing only if
//! Dataverse's own error code says so.

use serde::Deserialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::api::ApiRequest;
use crate::client::Instance;
use crate::error::{Error, ErrorKind, UnexpectedResponse};
use crate::transport::HttpResponse;

/// The record an activity is regarding.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Regarding {
    /// Logical name of the record's table.
    pub logical_name: String,
    /// The record's id.
    pub id: Uuid,
}

/// The columns read of an activity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivityRow {
    /// The record it is regarding; `None` is an explicit null.
    pub regarding: Option<Regarding>,
    /// 0 open, 1 completed, 2 canceled.
    pub state_code: Option<i32>,
    /// 1 completed, 2 failed, 3 processing, 4 open, 5 canceled.
    pub status_code: Option<i32>,
}

/// A record to look up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RecordRef {
    /// Entity set of its table.
    pub entity_set: String,
    /// Primary id column of its table, the only column to read.
    pub id_attribute: String,
    /// Value of the primary id column.
    pub id: Uuid,
}

/// Whether a record exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordPresence {
    /// The record exists.
    Found,
    /// Dataverse reports that the record does not exist (0x80040217).
    NotFound,
    /// No record was named in the request.
    NotRequested,
    /// The read failed; says nothing about the record.
    Unknown(Error),
}

/// The result of [`Instance::read_activity`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivityReading {
    /// `None` if Dataverse reports that the activity does not exist (0x80040217).
    pub activity: Option<ActivityRow>,
    /// Whether the record exists; never `Unknown` here.
    pub record: RecordPresence,
}

/// Requests the table name for each lookup value.
pub(crate) const LOOKUP_NAMES: &str =
    "odata.include-annotations=\"Microsoft.Dynamics.CRM.lookuplogicalname\"";

impl Instance {
    /// Reads one activity and, if given, a record: at most two requests.
    pub async fn read_activity(
        &self,
        id: Uuid,
        record: Option<&RecordRef>,
    ) -> Result<ActivityReading, Error> {
        let response = self.api.request(ApiRequest::get(&activity_path(id)).prefer(LOOKUP_NAMES)).await?;
        let activity = found(parse_activity(&response, id)).map_err(|k| self.api.error(k))?;
        let record = match record {
            None => RecordPresence::NotRequested,
            Some(record) if self.record_exists(record).await? => RecordPresence::Found,
            Some(_) => RecordPresence::NotFound,
        };
        Ok(ActivityReading { activity, record })
    }

    /// Whether a record exists; `false` only if Dataverse reports so (0x80040217).
    pub async fn record_exists(&self, record: &RecordRef) -> Result<bool, Error> {
        let path = record_path(record).ok_or_else(|| self.api.error(ErrorKind::UnknownTable))?;
        let response = self.api.request(ApiRequest::get(&path)).await?;
        Ok(found(parse_record(&response, record)).map_err(|k| self.api.error(k))?.is_some())
    }
}

/// Turns a missing row into `None`.
fn found<T>(read: Result<T, ErrorKind>) -> Result<Option<T>, ErrorKind> {
    match read {
        Ok(row) => Ok(Some(row)),
        Err(ErrorKind::RecordNotFound) => Ok(None),
        Err(kind) => Err(kind),
    }
}

pub(crate) fn activity_path(id: Uuid) -> String {
    format!("socialactivities({id})?$select=activityid,_regardingobjectid_value,statecode,statuscode")
}

/// `None` if a name is not valid: it could otherwise add a path segment or a query to the URL.
pub(crate) fn record_path(record: &RecordRef) -> Option<String> {
    let RecordRef { entity_set, id_attribute, id } = record;
    (is_name(entity_set) && is_name(id_attribute))
        .then(|| format!("{entity_set}({id})?$select={id_attribute}"))
}

/// Whether a text is valid as the name of a table, an entity set or a column.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !text.as_bytes()[0].is_ascii_digit()
}

/// The selected columns of one row of `socialactivities`.
#[derive(Deserialize)]
pub(crate) struct RawActivity {
    pub(crate) activityid: Uuid,
    /// Required, but nullable: an absent column must not read as "regarding nothing".
    #[serde(rename = "_regardingobjectid_value", deserialize_with = "nullable")]
    regarding: Option<Uuid>,
    #[serde(rename = "_regardingobjectid_value@Microsoft.Dynamics.CRM.lookuplogicalname")]
    regarding_type: Option<String>,
    statecode: Option<i32>,
    statuscode: Option<i32>,
}

/// Unlike for a plain `Option`, `deserialize_with` makes the key required.
fn nullable<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<Uuid>, D::Error> {
    Option::deserialize(d)
}

impl RawActivity {
    /// `None` if the record's id comes without the name of its table.
    pub(crate) fn row(self) -> Option<ActivityRow> {
        let regarding = match (self.regarding, self.regarding_type) {
            (None, _) => None,
            (Some(id), Some(name)) if is_name(&name) => Some(Regarding { logical_name: name, id }),
            (Some(_), _) => return None,
        };
        Some(ActivityRow { regarding, state_code: self.statecode, status_code: self.statuscode })
    }
}

/// Parses an activity; another one than requested is an error.
pub(crate) fn parse_activity(response: &HttpResponse, id: Uuid) -> Result<ActivityRow, ErrorKind> {
    let raw: RawActivity = response.json()?;
    let status = response.status.as_u16();
    if raw.activityid != id {
        return Err(ErrorKind::UnexpectedResponse { status, reason: UnexpectedResponse::OtherRow });
    }
    raw.row().ok_or(ErrorKind::UnexpectedResponse { status, reason: UnexpectedResponse::Undecodable })
}

/// Parses a record; another one than requested is an error.
pub(crate) fn parse_record(response: &HttpResponse, record: &RecordRef) -> Result<(), ErrorKind> {
    let row: Map<String, Value> = response.json()?;
    let id = row.get(&record.id_attribute).and_then(Value::as_str).and_then(|t| t.parse::<Uuid>().ok());
    if id == Some(record.id) {
        Ok(())
    } else {
        Err(ErrorKind::UnexpectedResponse {
            status: response.status.as_u16(),
            reason: UnexpectedResponse::OtherRow,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_extend_a_url() {
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
    fn absent_column_is_not_regarding_nothing() {
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
