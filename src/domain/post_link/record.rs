//! R23–R25, R27: what a positive answer about an activity and its record means for a link.

use crate::api::{LinkState, Record, RemovalCause};
use uuid::Uuid;

/// What an Enabled instance of the link's organisation said about an activity. Nothing less is ever put here: an
/// instance that cannot be reached is never read as "record gone" (R27).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActivityState {
    /// The activity does not exist.
    Gone {
        /// Whether the record the link has does exist; `None` = not asked or not known.
        record_exists: Option<bool>,
    },
    /// It exists.
    Exists {
        /// The record it regards: table and id.
        regarding: Option<(String, Uuid)>,
        /// Whether the record the link has exists; `None` = not asked.
        record_exists: Option<bool>,
    },
}

/// What that means for the link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordState {
    /// The record is there.
    Available(Record),
    /// The instance has made no record of it (yet, or ever).
    Pending,
    /// The link is broken.
    Broken(RemovalCause),
}

/// Evaluates an answer for a link.
pub fn evaluate(link: &LinkState, activity: &ActivityState, instance_url: &str) -> RecordState {
    match (activity, &link.record) {
        // A deleted record takes its activity along in most instances: say the record, which people know (R24).
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

/// A record of an instance, with the address people open it at.
pub fn record(type_: &str, id: Uuid, instance_url: &str) -> Record {
    let origin = instance_url.trim_end_matches('/');
    Record {
        type_: type_.to_owned(),
        id,
        url: Some(format!("{origin}/main.aspx?etn={type_}&id={id}&pagetype=entityrecord")),
    }
}
