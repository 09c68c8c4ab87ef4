//! The messages of conditions and events: what is the case, then what to do. No post text, no secrets, no URLs with
//! queries.

use crate::api::Reason;

/// At most this many names stand in a message; the rest is a number (§4.6).
const NAMES: usize = 3;

/// Ends the messages of R17 and R18.
const RECOVERS: &str = "Existing links are kept, and the connection recovers automatically.";

/// Ends the messages of R23–R25.
const LINK_AGAIN: &str =
    "To link the post again, change spec.link or set the annotation postlink.dev/relink-requested-at.";

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

fn deactivate(names: &[String]) -> &'static str {
    if names.len() == 1 { "deactivate or delete it" } else { "deactivate or delete them" }
}

/// §4.6, of a connection.
pub fn disable_refused(names: &[String]) -> String {
    format!(
        "Disabling is blocked because the connection is {}; {} to continue.",
        used_by(names),
        deactivate(names)
    )
}

/// §4.6, of a connection.
pub fn deletion_refused(names: &[String]) -> String {
    format!(
        "Deletion is blocked because the connection is {}; {} to continue. A deletion cannot be undone; apply the connection again afterwards to restore its links.",
        used_by(names),
        deactivate(names)
    )
}

/// R9, of a connection.
pub fn record_type_in_use(types: &[String], names: &[String]) -> String {
    format!(
        "{} is no longer in spec.recordTypes but stays in force because it is {}; {} to remove it.",
        first_of(types),
        used_by(names),
        deactivate(names)
    )
}

/// §4.6, of a rule.
pub fn holds_connection(connection: &str, deleting: bool) -> String {
    let what = if deleting { "Deleting" } else { "Disabling" };
    format!(
        "{what} connection {connection} is blocked because this rule is active. Set spec.active to false, change connectionRef, or delete the rule."
    )
}

pub fn reserved(connection: &str) -> String {
    format!("The rule is active and links matching posts through connection {connection}.")
}

/// Of a rule that is off.
pub fn inactive() -> String {
    "The rule is inactive because spec.active is false.".to_owned()
}

/// Of a rule that cannot be activated.
pub fn rule_waits(reason: Reason, connection: &str, record_type: Option<&str>) -> String {
    match reason {
        Reason::ConnectionNotFound => format!(
            "Connection {connection} does not exist in this namespace. The rule becomes active when it is created."
        ),
        Reason::ConnectionTerminating => format!(
            "Connection {connection} is being deleted and accepts no new rules. Change connectionRef, or apply the connection again after the deletion."
        ),
        Reason::ConnectionDisabled => {
            format!("Connection {connection} is disabled. Set its spec.enabled to true to activate the rule.")
        }
        Reason::ConnectionFull => format!(
            "Connection {connection} has reached its limit of active rules. Deactivate one of them to activate this one."
        ),
        Reason::RecordTypeNotOffered => format!(
            "Connection {connection} does not offer record type {}. Add it to the connection's spec.recordTypes, or set spec.link.recordType to one it offers.",
            record_type.unwrap_or("(none)")
        ),
        _ => format!("Waiting for connection {connection} to register this rule."),
    }
}

pub fn connected(host: &str) -> String {
    format!("The instance at {host} is reachable and accepts new links.")
}

/// Of a connection that is set not to receive social data.
pub fn connected_but_refuses(host: &str) -> String {
    format!(
        "The instance at {host} is reachable but does not accept social data. Enable social data in Dynamics 365 to create links."
    )
}

/// Of a connection that has not been reached yet.
pub fn connecting(host: &str) -> String {
    format!("Connecting to the instance at {host}.")
}

/// R5, of a connection.
pub fn disabled() -> String {
    "The connection is disabled by spec.enabled: false. No new links are created, and details of linked records are unavailable. Set spec.enabled to true to resume.".to_owned()
}

/// OrganizationChanged, of a connection.
pub fn organization_changed(host: &str) -> String {
    format!(
        "{host} now serves a different organization than the one this connection was created for. No links are created or removed. If the change is intended, delete this connection and apply it again."
    )
}

/// R17, of a connection.
pub fn disabled_there(host: &str) -> String {
    format!("The instance at {host} is disabled in Dynamics 365; an administrator can enable it. {RECOVERS}")
}

/// R18, of a connection.
pub fn expired(host: &str) -> String {
    format!("The trial or subscription of the instance at {host} has ended. Renew it. {RECOVERS}")
}

/// R17, of a connection.
pub fn administration_mode(host: &str) -> String {
    format!("The instance at {host} is in administration mode. {RECOVERS}")
}

/// R17, of a connection.
pub fn unreachable(host: &str) -> String {
    format!("The instance at {host} cannot be reached. {RECOVERS}")
}

/// R17, of a connection.
pub fn unexpected_response(host: &str) -> String {
    format!("{host} does not respond like a Dynamics 365 Web API. Check spec.instanceUrl. {RECOVERS}")
}

/// R17, of a connection.
pub fn failing(host: &str) -> String {
    format!(
        "The instance at {host} responds with errors. If this persists, contact its administrator. {RECOVERS}"
    )
}

/// R17, of a connection.
pub fn certificate(host: &str) -> String {
    format!(
        "The TLS certificate of {host} is untrusted, expired, or issued for another name. Fix the certificate, or trust its authority with --ca-file. {RECOVERS}"
    )
}

pub fn sign_in_unavailable(host: &str) -> String {
    format!(
        "The sign-in service issues no token for {host} at the moment, so the state of the instance is unknown. Retrying automatically."
    )
}

/// Of a connection that has not been reached yet, because its instance throttles requests.
pub fn throttled(host: &str) -> String {
    format!("{host} is throttling requests; retrying automatically.")
}

pub fn credentials_rejected(host: &str) -> String {
    format!(
        "The credentials for {host} were rejected. Check tenantId, clientId, and the secret or certificate in spec.credentials."
    )
}

pub fn access_denied(host: &str) -> String {
    format!(
        "The application has no access to the instance at {host}. Add it as an application user with a role that can read the organization and create social activities."
    )
}

pub fn secret_not_found(name: &str) -> String {
    format!(
        "Secret {name} does not exist in this namespace. Create it with the keys tenantId, clientId, and clientSecret."
    )
}

pub fn secret_invalid(why: &str) -> String {
    format!("The credentials cannot be used: {why}.")
}

pub fn host_not_allowed(host: &str) -> String {
    format!(
        "Host {host} is not on the operator's allow-list, so nothing is sent to it. Correct spec.instanceUrl, or ask the operator to add the host (--allow-host)."
    )
}

pub fn address_not_allowed(host: &str) -> String {
    format!("Host {host} resolves to a private, loopback, or link-local address, which is never contacted.")
}

/// R3, of a connection.
pub fn default_connection() -> String {
    "Links that name no connection use this one.".to_owned()
}

/// R3, of a connection.
pub fn default_conflict(winner: &str) -> String {
    format!(
        "Connection {winner} is older and already the default. Set spec.default to false on one of the two."
    )
}

/// R3, of a connection.
pub fn not_default() -> String {
    "spec.default is false.".to_owned()
}

pub fn linked(reason: Reason, connection: &str, rule: Option<&str>, ignored_change: bool) -> String {
    let mut text = match (reason, rule) {
        (Reason::Restored, _) => {
            format!(
                "The original link was restored through connection {connection}, which connects to the same organization."
            )
        }
        (Reason::LinkedByRule, Some(rule)) => {
            format!("Rule {rule} linked the post through connection {connection}.")
        }
        _ => format!("The post is linked through connection {connection}."),
    };
    if ignored_change {
        text.push_str(
            " spec.link has changed since; a new recordType or new notes do not affect a linked post. Unlink it first to create a new link.",
        );
    }
    text
}

/// R23–R26, R13, of a post that lost its link.
pub fn lost(reason: Reason, connection: &str) -> String {
    match reason {
        Reason::ConnectionDeleted => format!(
            "Connection {connection} was deleted, which removed the link; the social activity in Dynamics 365 is unchanged. The link is restored when the same organization is connected again."
        ),
        Reason::RecordDissociated => {
            format!("The record was dissociated from the social activity in Dynamics 365. {LINK_AGAIN}")
        }
        Reason::RecordDeleted => format!("The record was deleted in Dynamics 365. {LINK_AGAIN}"),
        Reason::SocialActivityDeleted => {
            format!("The social activity was deleted in Dynamics 365. {LINK_AGAIN}")
        }
        _ => "The post was unlinked; nothing changed in Dynamics 365. This link is not restored; linking the post again creates a new social activity.".to_owned(),
    }
}

/// Of a post whose link could come back (R14), if `spec.link` had not been changed to name another connection.
pub fn could_come_back(old: &str, again: &str) -> String {
    format!(
        "Connection {old} was deleted, which removed the link; the social activity in Dynamics 365 is unchanged. Connection {again} connects to the same organization, but spec.link now names another connection. To restore the link, name {again} or remove spec.link."
    )
}

/// Of a post that nothing asks to link.
pub fn not_requested() -> String {
    "No link is requested: spec.link is not set and no active rule matches.".to_owned()
}

/// Of a post that is about to be linked again.
pub fn linking(connection: &str) -> String {
    format!("Creating a new link through connection {connection}.")
}

/// R21, of a post that is to be linked.
pub fn link_waits(reason: Reason, connection: Option<&str>, record_type: Option<&str>) -> String {
    let connection = connection.unwrap_or("");
    match reason {
        Reason::NoDefaultConnection => "spec.link names no connection, and this namespace has no default connection. Name one, or set spec.default to true on a connection.".to_owned(),
        Reason::ConnectionNotFound => format!(
            "Connection {connection} does not exist in this namespace. The post is linked when it is created."
        ),
        Reason::ConnectionDisabled => format!(
            "Connection {connection} is disabled. Set its spec.enabled to true to link the post."
        ),
        Reason::InstanceDowntime => format!(
            "The instance of connection {connection} is down. The post is linked when it recovers."
        ),
        Reason::InstanceExpired => format!(
            "The instance of connection {connection} has expired. The post is linked when it is renewed."
        ),
        Reason::OrganizationChanged => format!(
            "Connection {connection} now reaches a different organization. See the connection's Ready condition."
        ),
        Reason::RecordTypeNotOffered => format!(
            "Connection {connection} does not offer record type {}. Add it to the connection's spec.recordTypes, or choose another.",
            record_type.unwrap_or("(none)")
        ),
        Reason::RecordNotFound => format!(
            "The instance of connection {connection} has no {} with the id in spec.link.recordId. Correct the id.",
            record_type.unwrap_or("record")
        ),
        Reason::SocialDataRefused => format!(
            "The instance of connection {connection} does not accept social data. The post is linked when this is enabled in Dynamics 365."
        ),
        Reason::Throttled => format!(
            "Connection {connection} is throttled, by its instance or by spec.linksPerSecond. The post is linked automatically."
        ),
        Reason::PostRefused => format!(
            "The instance of connection {connection} rejects the social activity of this post. Correct spec.post or spec.link, or contact the administrator of the instance. Retrying automatically."
        ),
        _ => format!(
            "Connection {connection} is not ready; see its Ready condition. The post is linked when the connection recovers."
        ),
    }
}

/// RecordAvailable, of a linked post.
pub fn availability(reason: Reason, connection: &str) -> String {
    match reason {
        Reason::RecordAvailable => "The record can be read in the instance.".to_owned(),
        Reason::RecordPending => "The instance has not created a record for the social activity. Its record creation rules decide whether and when it does.".to_owned(),
        Reason::ConnectionDisabled => format!(
            "The link is kept, but its details are unavailable because connection {connection} is disabled. Enable it, or set spec.unlink to link the post elsewhere."
        ),
        Reason::InstanceDowntime => format!(
            "The link is kept, but its details are unavailable while the instance of connection {connection} is down. Set spec.unlink to link the post elsewhere."
        ),
        Reason::InstanceExpired => format!(
            "The link is kept, but its details are unavailable because the instance of connection {connection} has expired. Renew it, or set spec.unlink to link the post elsewhere."
        ),
        Reason::OrganizationChanged => format!(
            "The link is kept, but connection {connection} now reaches a different organization; see its Ready condition."
        ),
        _ => format!(
            "The link is kept, but its details are unavailable because connection {connection} is not ready; see its Ready condition."
        ),
    }
}
