//! R23–R25, R27: derives the state of a link from the result of a check.

use crate::api::{LinkState, Record, RemovalCause};
use uuid::Uuid;

/// The state of an activity, as an Enabled instance of the link's organization reported it. An instance that cannot be
/// reached never counts as "record deleted" (R27).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActivityState {
    /// The activity does not exist.
    Gone {
        /// Whether the link's record exists; `None` if unknown.
        record_exists: Option<bool>,
    },
    Exists {
        /// The record it regards: table and id.
        regarding: Option<(String, Uuid)>,
        /// Whether the link's record exists; `None` if unknown.
        record_exists: Option<bool>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordState {
    Available(Record),
    /// The instance has not created a record for the activity.
    Pending,
    Broken(RemovalCause),
}

pub fn evaluate(link: &LinkState, activity: &ActivityState, instance_url: &str) -> RecordState {
    match (activity, &link.record) {
        // Deleting a record deletes its activity in most instances: report the record, which users know (R24).
        (ActivityState::Gone { record_exists: Some(false) }, Some(_)) => {
            RecordState::Broken(RemovalCause::RecordDeleted)
        }
        (ActivityState::Gone { .. }, _) => RecordState::Broken(RemovalCause::SocialActivityDeleted),
        (ActivityState::Exists { record_exists: Some(false), .. }, Some(_)) => {
            RecordState::Broken(RemovalCause::RecordDeleted)
        }
        (ActivityState::Exists { regarding: None, .. }, None) => RecordState::Pending,
        (ActivityState::Exists { regarding: None, .. }, Some(_)) => {
            RecordState::Broken(RemovalCause::RecordDissociated)
        }
        (ActivityState::Exists { regarding: Some((type_, id)), .. }, None) => {
            RecordState::Available(record(type_, *id, instance_url))
        }
        (ActivityState::Exists { regarding: Some((_, id)), .. }, Some(record)) if *id == record.id => {
            RecordState::Available(record.clone())
        }
        (ActivityState::Exists { regarding: Some(_), .. }, Some(_)) => {
            RecordState::Broken(RemovalCause::RecordDissociated)
        }
    }
}

/// A record with its URL in the instance's web application.
pub fn record(type_: &str, id: Uuid, instance_url: &str) -> Record {
    let origin = instance_url.trim_end_matches('/');
    Record {
        type_: type_.to_owned(),
        id,
        url: Some(format!("{origin}/main.aspx?etn={type_}&id={id}&pagetype=entityrecord")),
    }
}
