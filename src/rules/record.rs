//! R23–R25, R27: what a positive answer about an activity and its record means for a link.

use crate::api::{LinkState, Record, RemovalCause};
use uuid::Uuid;

/// What an Enabled instance of the link's organisation said about an activity. Nothing less is ever put here: an
/// instance that cannot be reached is never read as "record gone" (R27).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The activity does not exist.
    ActivityGone {
        /// Whether the record the link has does exist; `None` = not asked or not known.
        record_exists: Option<bool>,
    },
    /// It exists.
    Activity {
        /// The record it regards: table and id.
        regarding: Option<(String, Uuid)>,
        /// Whether the record the link has exists; `None` = not asked.
        record_exists: Option<bool>,
    },
}

/// What that means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The record is there.
    Available(Record),
    /// The instance has made no record of it (yet, or ever).
    Pending,
    /// The link is broken.
    Broken(RemovalCause),
}

/// Reads an answer for a link.
pub fn judge(link: &LinkState, seen: &Seen, instance_url: &str) -> Outcome {
    match (seen, &link.record) {
        // A deleted record takes its activity along in most instances: say the record, which people know (R24).
        (Seen::ActivityGone { record_exists: Some(false) }, Some(_)) => {
            Outcome::Broken(RemovalCause::RecordDeleted)
        }
        (Seen::ActivityGone { .. }, _) => Outcome::Broken(RemovalCause::SocialActivityDeleted),
        (Seen::Activity { record_exists: Some(false), .. }, Some(_)) => {
            Outcome::Broken(RemovalCause::RecordDeleted)
        }
        (Seen::Activity { regarding: None, .. }, None) => Outcome::Pending,
        (Seen::Activity { regarding: None, .. }, Some(_)) => Outcome::Broken(RemovalCause::RecordDissociated),
        (Seen::Activity { regarding: Some((type_, id)), .. }, None) => {
            Outcome::Available(record(type_, *id, instance_url))
        }
        (Seen::Activity { regarding: Some((_, id)), .. }, Some(record)) if *id == record.id => {
            Outcome::Available(record.clone())
        }
        (Seen::Activity { regarding: Some(_), .. }, Some(_)) => {
            Outcome::Broken(RemovalCause::RecordDissociated)
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
