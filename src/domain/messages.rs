//! The messages of conditions and events: what is the case, then what to do. No post text, no secrets, no URLs with
//! queries.

use crate::api::Reason;
use jiff::Timestamp;

/// At most this many names stand in a message; the rest is a number (§4.6).
const NAMES: usize = 3;

/// Ends the messages of R17 and R18.
const RECOVERS: &str = "Existing links are kept, and the connection recovers automatically.";

/// Ends the messages about a host that may be mistyped.
const WRONG_HOST: &str = "if the host is wrong, delete this connection and create it again, because spec.instanceUrl cannot be changed";

/// What to do about an instance that does not accept social data.
const ACCEPT_SOCIAL_DATA: &str = "Set \"Disable Social Engagement\" to No in its system settings";

/// Ends the messages of R23–R25.
const LINK_AGAIN: &str = "To link the post again, change spec.link, or set the annotation postlink.dev/relink-requested-at to a new value, such as the current time.";

/// Ends the messages of R16–R18 of a linked post.
const ELSEWHERE: &str = "To link the post through another connection instead, set spec.link.connectionRef; the current link is then removed and never restored.";

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

/// What to do about rules that block a connection; all of them stand in its status.
fn release(names: &[String]) -> &'static str {
    match names.len() {
        1 => "Deactivate (spec.active: false) or delete the rule",
        2..=NAMES => "Deactivate (spec.active: false) or delete the rules",
        _ => "Deactivate (spec.active: false) or delete all rules in status.activeRules",
    }
}

/// §4.6, of a connection.
pub fn disable_refused(names: &[String]) -> String {
    format!(
        "Disabling is blocked because the connection is {}. {}; the connection is then disabled automatically.",
        used_by(names),
        release(names)
    )
}

/// §4.6, of a connection.
pub fn deletion_refused(names: &[String]) -> String {
    format!(
        "Deletion is blocked because the connection is {}. {}; the deletion then completes automatically. It cannot be canceled: to restore the links, apply the connection again after it is deleted.",
        used_by(names),
        release(names)
    )
}

/// R9, of a connection. `names` are the rules that use one of the `types`.
pub fn record_type_in_use(types: &[String], names: &[String]) -> String {
    let shown = first_of(types);
    let (kept, again) = if types.len() == 1 {
        (
            format!("Record type {shown} is no longer in spec.recordTypes but stays in effect because it is"),
            "it",
        )
    } else {
        (
            format!(
                "Record types {shown} are no longer in spec.recordTypes but stay in effect because they are"
            ),
            "them",
        )
    };
    let (rules, their) = if names.len() == 1 { ("rule", "its") } else { ("rules", "their") };
    format!(
        "{kept} {}. To complete the removal, deactivate (spec.active: false) or delete the {rules}, or change {their} spec.link.recordType; to cancel it, add {again} to spec.recordTypes again.",
        used_by(names)
    )
}

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

/// Of a rule that is off.
pub fn inactive() -> String {
    "The rule is inactive because spec.active is false.".to_owned()
}

/// Of a rule that cannot be activated.
pub fn rule_waits(reason: Reason, connection: &str, record_type: Option<&str>) -> String {
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
        Reason::RecordTypeNotOffered => record_type_not_offered(connection, record_type),
        _ => format!("Waiting for connection {connection} to register this rule."),
    }
}

/// Of a rule, or of a post that is to be linked. Without `record_type`, the connection offers none at all.
fn record_type_not_offered(connection: &str, record_type: Option<&str>) -> String {
    match record_type {
        Some(record_type) => format!(
            "Connection {connection} does not offer record type {record_type}. It must be in the connection's spec.recordTypes, and the instance must have a table of this name that social activities can refer to. Correct that, or set spec.link.recordType to one of the connection's status.metadata.recordTypes."
        ),
        None => format!(
            "Connection {connection} offers no record type: its instance has none of the tables in spec.recordTypes, or social activities cannot refer to them. Correct the connection's spec.recordTypes."
        ),
    }
}

pub fn connected(host: &str) -> String {
    format!("The instance at {host} is reachable and accepts new links.")
}

/// Of a connection that is set not to receive social data.
pub fn connected_but_refuses(host: &str) -> String {
    format!(
        "The instance at {host} is reachable but does not accept social data, so nothing can be linked. {ACCEPT_SOCIAL_DATA}."
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
        "{host} now leads to a different organization than the one this connection was created for. No links are created or removed. If the change is intended, delete this connection and apply it again; otherwise, give the address back to the original environment."
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
    format!(
        "The instance at {host} cannot be reached. {RECOVERS} If the tenant ID is wrong, correct it; {WRONG_HOST}."
    )
}

/// R17, of a connection.
pub fn unexpected_response(host: &str) -> String {
    format!("{host} does not respond like Dynamics 365; {WRONG_HOST}. {RECOVERS}")
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
        "The sign-in service currently issues no token for {host}, so status.state is the last known state. Retrying automatically."
    )
}

/// Of a connection that has not been reached yet, because its instance throttles requests.
pub fn throttled(host: &str) -> String {
    format!("{host} is throttling requests; retrying automatically.")
}

pub fn credentials_rejected(host: &str) -> String {
    format!(
        "The credentials for {host} were rejected. Check the tenant ID, the client ID, and the client secret, certificate or federated credential that spec.credentials refers to. A corrected Secret is tried within spec.probe.interval, or at once if you set the annotation postlink.dev/reconcile-requested-at to a new value."
    )
}

pub fn access_denied(host: &str) -> String {
    format!(
        "The application has no access to the instance at {host}. In Dynamics 365, add it as an application user with a security role that has the privileges that Postlink needs (docs/operations.md, Access to an instance)."
    )
}

pub fn secret_not_found(name: &str) -> String {
    format!(
        "Secret {name} does not exist in this namespace. Create it with the keys tenantId, clientId, and clientSecret (or tls.crt and tls.key)."
    )
}

pub fn secret_invalid(why: &str) -> String {
    format!("The credentials cannot be used: {why}.")
}

pub fn host_not_allowed(host: &str) -> String {
    format!(
        "Host {host} is not allowed, so nothing is sent to it. If the host is right, ask the people who run Postlink to allow it (--allow-host, or allowHosts of the chart); {WRONG_HOST}."
    )
}

pub fn address_not_allowed(host: &str) -> String {
    format!(
        "Host {host} resolves to a private, loopback, or link-local address, which is not contacted. If that is intended, ask the people who run Postlink to map the host to its address (--connect-to); otherwise, correct the DNS entry."
    )
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
            " spec.link has changed, but recordType and notes apply only to new links. To create a new link, replace spec.link with unlink: true; once Linked is False, remove unlink and set spec.link again.",
        );
    }
    text
}

/// R23–R26, R13, of a post that lost its link.
pub fn lost(reason: Reason, connection: &str) -> String {
    match reason {
        Reason::ConnectionDeleted => format!(
            "Connection {connection} was deleted, which removed the link; the social activity in Dynamics 365 is unchanged. To restore the link, apply the connection again, or create another one to the same organization."
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
        "Connection {old} was deleted, which removed the link; the social activity in Dynamics 365 is unchanged. Connection {again} connects to the same organization, but spec.link now names another connection. To restore the link, set spec.link.connectionRef.name to {again}, or remove spec.link."
    )
}

/// Follows [`lost`] if the deleted connection is still requested.
pub fn link_elsewhere() -> String {
    "To link the post through another connection instead, set spec.link.connectionRef.".to_owned()
}

/// Of a post that nothing asks to link.
/// `too_old`, if a rule matches: why it does not apply.
pub fn not_requested(too_old: Option<&str>) -> String {
    match too_old {
        None => "No link is requested: spec.link is not set, and no active rule matches the post. To link it by hand, set spec.link; without a value, it counts as not set.".to_owned(),
        Some(why) => format!("No link is requested: spec.link is not set, and {why}"),
    }
}

pub fn older_than_since(rule: &str, published: Option<Timestamp>, since: Timestamp) -> String {
    match published {
        Some(published) => format!(
            "rule {rule} matches the post but does not apply, because the post was published at {published}, before spec.since of the rule, {since}."
        ),
        None => format!(
            "rule {rule} matches the post but does not apply, because the rule has spec.since, {since}, and the post has no publishedAt."
        ),
    }
}

pub fn older_than_rule(rule: &str, created: Timestamp, active_from: Timestamp) -> String {
    format!(
        "rule {rule} matches the post but does not apply, because the PostLink was created at {created}, more than ten minutes before the rule became active at {active_from}. To link older posts, set spec.since of the rule."
    )
}

/// Of a post that is about to be linked again.
pub fn linking(connection: &str) -> String {
    format!("Creating a new link through connection {connection}.")
}

/// R21, of a post that is to be linked.
pub fn link_waits(reason: Reason, connection: Option<&str>, record_type: Option<&str>) -> String {
    let connection = connection.unwrap_or("");
    match reason {
        Reason::NoDefaultConnection => "spec.link names no connection, and this namespace has no default connection. Set spec.link.connectionRef, or set spec.default to true on a connection.".to_owned(),
        Reason::ConnectionNotFound => format!(
            "Connection {connection} does not exist in this namespace, and a link cannot use those of other namespaces. Create the connection, or set spec.link.connectionRef to another one; the post is then linked automatically."
        ),
        Reason::ConnectionDisabled => format!(
            "Connection {connection} is disabled. Set its spec.enabled to true to link the post."
        ),
        Reason::InstanceDowntime => format!(
            "The instance of connection {connection} is down. The post is linked automatically once the instance is available again."
        ),
        Reason::InstanceExpired => format!(
            "The instance of connection {connection} has expired. Renew its trial or subscription; the post is then linked automatically."
        ),
        Reason::OrganizationChanged => format!(
            "Connection {connection} now reaches a different organization. See the connection's Ready condition."
        ),
        Reason::RecordTypeNotOffered => record_type_not_offered(connection, record_type),
        Reason::RecordNotFound => format!(
            "The instance of connection {connection} has no {} with the id in spec.link.recordId. Correct the id.",
            record_type.unwrap_or("record")
        ),
        Reason::SocialDataRefused => format!(
            "The instance of connection {connection} does not accept social data. {ACCEPT_SOCIAL_DATA}; the post is then linked automatically."
        ),
        Reason::Throttled => format!(
            "New links through connection {connection} are delayed, by its instance or by its spec.linksPerSecond. The post is linked automatically."
        ),
        Reason::PostRefused => format!(
            "The instance of connection {connection} rejects the social activity of this post. Correct spec.post or spec.link; with POSTLINK_LOG=postlink=debug, the log has the error code of the instance. Retrying automatically."
        ),
        _ => format!(
            "Connection {connection} is not ready; see its Ready condition. The post is linked automatically once the connection is ready."
        ),
    }
}

/// RecordAvailable, of a linked post.
pub fn availability(reason: Reason, connection: &str) -> String {
    match reason {
        Reason::RecordAvailable => "The record can be read in the instance.".to_owned(),
        Reason::RecordPending => "The instance has not created a record from the social activity yet. Its record creation rules decide whether, when and in which table it does; if no record appears, check them in Dynamics 365.".to_owned(),
        Reason::ConnectionDisabled => format!(
            "The link is kept, but its details are unavailable because connection {connection} is disabled. Enable the connection. {ELSEWHERE}"
        ),
        Reason::InstanceDowntime => format!(
            "The link is kept, but its details are unavailable while the instance of connection {connection} is down. {ELSEWHERE}"
        ),
        Reason::InstanceExpired => format!(
            "The link is kept, but its details are unavailable because the instance of connection {connection} has expired. Renew its trial or subscription. {ELSEWHERE}"
        ),
        Reason::OrganizationChanged => format!(
            "The link is kept, but connection {connection} now reaches a different organization; see its Ready condition."
        ),
        _ => format!(
            "The link is kept, but its details are unavailable because connection {connection} is not ready; see its Ready condition."
        ),
    }
}
