//! The messages of conditions and events: what is the case, then what to do. No post text, no secrets, no URLs with
//! queries. This file has what the messages of several kinds share.

mod automation_rule;
mod connection;
mod post_link;

pub use automation_rule::{
    holds_connection, inactive, not_evaluated, reserved, reserved_in_vain, rule_waits,
};
pub use connection::*;
pub use post_link::*;

use super::facts::Offer;

/// At most this many names stand in a message; the rest is a number (§4.6).
const NAMES: usize = 3;

/// What to do about an instance that does not accept social data.
const ACCEPT_SOCIAL_DATA: &str = "Set \"Disable Social Engagement\" to No in its system settings";

/// Why an object is ignored until it is corrected.
pub fn undecodable(fault: &str) -> String {
    let act = if fault.starts_with("status") {
        "Upgrade Postlink to the version that wrote the status, or correct the field with kubectl edit --subresource=status"
    } else {
        "Correct the field, or apply the object again from its file"
    };
    format!(
        "The object cannot be decoded ({fault}). {act}. Until then, its last valid version, if any, stays in effect, and its status is not updated."
    )
}

/// "used by 12 active rules: a, b, c and 9 more".
pub fn used_by(names: &[String]) -> String {
    let count = names.len();
    let noun = if count == 1 { "rule" } else { "rules" };
    format!("used by {count} active {noun}: {}", first_of(names))
}

/// "a, b, c and 9 more": a message that names everything outgrows what a condition may hold, and the API server would
/// refuse the status forever.
fn first_of(names: &[String]) -> String {
    let text = names[..names.len().min(NAMES)].join(", ");
    if names.len() > NAMES { format!("{text} and {} more", names.len() - NAMES) } else { text }
}

/// R4, R9, of a rule, or of a post that is to be linked, if the connection does not offer its record type.
fn record_type_not_offered(offer: Offer, connection: &str, record_type: &str) -> String {
    match offer {
        Offer::NoTable => format!(
            "Connection {connection} does not offer record type {record_type}: its instance has no table of this name. Correct the name in the connection's spec.recordTypes, and in spec.link.recordType where it is set, or create the table. Names are logical names in the singular, such as incident."
        ),
        Offer::NotSupported => format!(
            "Connection {connection} does not offer record type {record_type}: social activities of its instance cannot refer to this table. Enable activities for the table in Dynamics 365, or set spec.link.recordType to another one."
        ),
        Offer::Unread | Offer::Offered => format!(
            "Whether the instance of connection {connection} has a table {record_type} has not been read yet; this is retried automatically. If it takes longer than a few minutes, see the conditions of the connection."
        ),
        Offer::NotListed => format!(
            "Connection {connection} does not offer record type {record_type}, because it is not in the connection's spec.recordTypes. Add it there, or set spec.link.recordType to one that is."
        ),
    }
}
