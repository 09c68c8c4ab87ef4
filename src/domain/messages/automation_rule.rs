//! The messages of rules.

use super::record_type_not_offered;
use crate::{
    api::Reason,
    domain::{facts::Offer, matching::budget::NAMESPACE_LIMIT},
};

/// §4.6, of a rule.
pub fn holds_connection(connection: &str, deleting: bool) -> String {
    let what = if deleting { "Deleting" } else { "Disabling" };
    format!(
        "{what} connection {connection} is blocked because this rule is active. Set spec.active to false, change spec.connectionRef, or delete the rule."
    )
}

pub fn reserved(connection: &str) -> String {
    format!("The rule is active and links matching posts through connection {connection}.")
}

/// Of an active rule whose record type cannot be used (R4, R9); it may be the first of the connection.
pub fn reserved_in_vain(connection: &str, record_type: &str, offer: Offer) -> String {
    let why = record_type_not_offered(offer, connection, record_type);
    format!("The rule is active but links nothing. {why}")
}

/// Of an active rule beyond the limit of its namespace.
pub fn not_evaluated() -> String {
    format!(
        "The rule is active but links nothing: the filters of the rules in this namespace take more than {} MiB of memory, which is the limit, and older rules come first. Deactivate, shorten or delete rules; this one is then evaluated automatically.",
        NAMESPACE_LIMIT >> 20
    )
}

/// Of a rule that is off.
pub fn inactive() -> String {
    "The rule is inactive because spec.active is false.".to_owned()
}

/// Of a rule that cannot be activated.
pub fn rule_waits(reason: Reason, connection: &str, record_type: Option<(&str, Offer)>) -> String {
    match reason {
        Reason::ConnectionNotFound => format!(
            "Connection {connection} does not exist in this namespace, and a rule cannot use those of other namespaces. Create the connection, or correct spec.connectionRef; the rule then becomes active automatically."
        ),
        Reason::ConnectionTerminating => format!(
            "Connection {connection} is being deleted and accepts no new rules. Change spec.connectionRef, or apply the connection again after the deletion."
        ),
        Reason::ConnectionDisabled => format!(
            "Connection {connection} has spec.enabled: false and accepts no new rules. Set it to true to activate the rule."
        ),
        Reason::ConnectionFull => format!(
            "Connection {connection} has 1,000 active rules, which is the limit. Deactivate or delete one of them to activate this one."
        ),
        _ => match record_type {
            Some((record_type, offer)) if offer != Offer::Offered => {
                record_type_not_offered(offer, connection, record_type)
            }
            _ => format!("Waiting for connection {connection} to register this rule."),
        },
    }
}
