//! The sentences people read in conditions: what it means, and what to do next. No post text, no secrets, no URLs
//! with queries.

use crate::api::{ConnectionState, Reason};

/// At most this many names stand in a message; the rest is a number (§4.6).
const NAMES: usize = 3;

/// "used by 12 active rules: a, b, c and 9 more".
pub fn used_by(names: &[String]) -> String {
    let count = names.len();
    let noun = if count == 1 { "rule" } else { "rules" };
    format!("used by {count} active {noun}: {}", first_of(names))
}

/// "a, b, c and 9 more": a message that names everything outgrows what a condition may hold, and the API server would
/// refuse the status for ever.
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
        "The connection stays enabled because it is {}; {}, and it is disabled by itself.",
        used_by(names),
        deactivate(names)
    )
}

/// §4.6, of a connection.
pub fn deletion_refused(names: &[String]) -> String {
    format!(
        "The connection is kept because it is {}; {}, and the deletion completes by itself; this deletion cannot be withdrawn; when it has completed, apply the connection again and its links come back.",
        used_by(names),
        deactivate(names)
    )
}

/// R9, of a connection.
pub fn record_type_in_use(types: &[String], names: &[String]) -> String {
    format!(
        "{} left spec.recordTypes but stays in force because it is {}; {} to let it go.",
        first_of(types),
        used_by(names),
        deactivate(names)
    )
}

/// §4.6, of a rule.
pub fn holds_connection(connection: &str, deleting: bool) -> String {
    let what = if deleting { "delete" } else { "disable" };
    format!(
        "Somebody asked to {what} connection {connection}, which waits because this rule is active; set spec.active to false, point connectionRef elsewhere, or delete the rule."
    )
}

/// Of a rule at work.
pub fn reserved(connection: &str) -> String {
    format!("The rule is at work and links matching posts through connection {connection}.")
}

/// Of a rule that is off.
pub fn inactive() -> String {
    "The rule is inactive because spec.active is false.".to_owned()
}

/// Of a rule that cannot work.
pub fn rule_waits(reason: Reason, connection: &str, record_type: Option<&str>) -> String {
    match reason {
        Reason::ConnectionNotFound => format!(
            "No connection {connection} exists in this namespace; the rule starts by itself when it does."
        ),
        Reason::ConnectionTerminating => format!(
            "Connection {connection} is being deleted and takes no new rule; point connectionRef elsewhere, or apply the connection again when it is gone."
        ),
        Reason::ConnectionDisabled => format!(
            "Connection {connection} is disabled; set its spec.enabled to true and the rule starts by itself."
        ),
        Reason::ConnectionFull => format!(
            "Connection {connection} lists as many active rules as it can; deactivate one of them and this one starts by itself."
        ),
        Reason::RecordTypeNotOffered => format!(
            "Connection {connection} does not offer the record type {}; add it to spec.recordTypes of the connection, or name another in spec.link.recordType.",
            record_type.unwrap_or("asked for")
        ),
        _ => format!("The rule waits for connection {connection} to take it in."),
    }
}

/// Of a connection.
pub fn connected(name: &str) -> String {
    format!("The instance of {name} answers, and new links can be made.")
}

/// Of a connection that is set not to receive social data.
pub fn connected_but_refuses(name: &str) -> String {
    format!(
        "The instance of {name} answers, but is set not to receive social data: no link can be made until that setting is changed in Dynamics 365."
    )
}

/// Of a connection nobody has reached yet.
pub fn connecting(host: &str) -> String {
    format!("The instance at {host} is being asked for the first time.")
}

/// R5, of a connection.
pub fn disabled() -> String {
    "The connection is disabled, as asked: no new links are made and details of linked records are not available. Set spec.enabled to true to bring both back.".to_owned()
}

/// OrganizationChanged, of a connection.
pub fn organization_changed(host: &str) -> String {
    format!(
        "Another organisation answers at {host} than the one this connection was made for. Nothing is linked and nothing is read as gone; if the change is intended, delete this connection and apply it again."
    )
}

/// R17, of a connection.
pub fn disabled_there(host: &str) -> String {
    format!(
        "The instance at {host} is disabled on its own side; an administrator of Dynamics 365 can enable it. Links are kept, and everything resumes by itself."
    )
}

/// R18, of a connection.
pub fn expired(host: &str) -> String {
    format!(
        "The trial or subscription of the instance at {host} has ended; renew it. Links are kept, and everything resumes by itself."
    )
}

/// R17, of a connection.
pub fn administration_mode(host: &str) -> String {
    format!(
        "The instance at {host} is in administration mode. Links are kept, and everything resumes by itself."
    )
}

/// R17, of a connection.
pub fn unreachable(host: &str) -> String {
    format!("The instance at {host} cannot be reached. Links are kept, and everything resumes by itself.")
}

/// R17, of a connection.
pub fn rubbish(host: &str) -> String {
    format!(
        "What answers at {host} is not a Dynamics 365 Web API; check spec.instanceUrl. Links are kept, and everything resumes by itself."
    )
}

/// R17, of a connection.
pub fn failing(host: &str) -> String {
    format!(
        "The instance at {host} answers with errors; if that lasts, ask those who run it. Links are kept, and everything resumes by itself."
    )
}

/// R17, of a connection.
pub fn certificate(host: &str) -> String {
    format!(
        "The instance at {host} cannot be reached safely: its certificate is not trusted, has run out, or is for another name. Links are kept; everything resumes by itself when the certificate is in order, or its authority is trusted (--ca-file)."
    )
}

/// Of a connection.
pub fn sign_in_unavailable(host: &str) -> String {
    format!(
        "The sign-in service gives no token for {host} now, so nothing new is known of the instance. It is tried again by itself."
    )
}

/// Of a connection nobody has reached yet, because its instance asked to wait.
pub fn asks_to_wait(host: &str) -> String {
    format!("The instance at {host} asks to wait; it is asked again by itself.")
}

/// Of a connection.
pub fn credentials_rejected(host: &str) -> String {
    format!(
        "The credentials for {host} are refused; check tenantId, clientId and the secret or certificate of spec.credentials."
    )
}

/// Of a connection.
pub fn access_denied(host: &str) -> String {
    format!(
        "The application may not use the instance at {host}; make it an application user with a role that may read the organisation and create social activities."
    )
}

/// Of a connection.
pub fn secret_not_found(name: &str) -> String {
    format!(
        "Secret {name} does not exist in this namespace; create it with tenantId, clientId and clientSecret."
    )
}

/// Of a connection.
pub fn secret_invalid(why: &str) -> String {
    format!("The credentials cannot be used: {why}.")
}

/// Of a connection.
pub fn host_not_allowed(host: &str) -> String {
    format!(
        "The host {host} is not on the operator's allow-list; nothing is sent to it. Correct spec.instanceUrl, or ask the operator to allow the host (--allow-host)."
    )
}

/// Of a connection.
pub fn address_not_allowed(host: &str) -> String {
    format!(
        "The host {host} resolves to an address that is never contacted (private, loopback or link-local)."
    )
}

/// R3, of a connection.
pub fn default_connection() -> String {
    "Links that name no connection go through this one.".to_owned()
}

/// R3, of a connection.
pub fn default_conflict(winner: &str) -> String {
    format!(
        "Connection {winner} asks to be the default too and is older; it stays the default until its spec.default is false."
    )
}

/// R3, of a connection.
pub fn not_default() -> String {
    "spec.default is false.".to_owned()
}

/// Of a linked post.
pub fn linked(reason: Reason, connection: &str, rule: Option<&str>, ignored_change: bool) -> String {
    let mut text = match (reason, rule) {
        (Reason::Restored, _) => {
            format!(
                "The original link is back through connection {connection}, which reaches the same organisation."
            )
        }
        (Reason::LinkedByRule, Some(rule)) => {
            format!("Rule {rule} linked the post through connection {connection}.")
        }
        _ => format!("The post is linked through connection {connection}."),
    };
    if ignored_change {
        text.push_str(
            " spec.link was changed since: another recordType or notes changes nothing on a linked post; unlink it first to link it anew.",
        );
    }
    text
}

/// R23–R26, R13, of a post that lost its link.
pub fn lost(reason: Reason, connection: &str) -> String {
    match reason {
        Reason::ConnectionDeleted => format!(
            "Connection {connection} was deleted, and the link with it; the social activity in the instance is untouched. The link comes back when the same organisation is connected again."
        ),
        Reason::RecordDissociated => "In Dynamics 365 the record was dissociated from the social activity. The post can be linked again: change spec.link, or set the annotation postlink.dev/relink-requested-at.".to_owned(),
        Reason::RecordDeleted => "In Dynamics 365 the record was deleted. The post can be linked again: change spec.link, or set the annotation postlink.dev/relink-requested-at.".to_owned(),
        Reason::SocialActivityDeleted => "In Dynamics 365 the social activity was deleted. The post can be linked again: change spec.link, or set the annotation postlink.dev/relink-requested-at.".to_owned(),
        _ => "The post was unlinked. Nothing changed in Dynamics 365, and this link never comes back; a new one makes a new activity.".to_owned(),
    }
}

/// Of a post whose link could come back (R14), were it not for a `spec.link` that was changed to ask for another.
pub fn could_come_back(old: &str, again: &str) -> String {
    format!(
        "Connection {old} was deleted, and the link with it; the social activity in the instance is untouched. Its organisation is connected again, as connection {again}, but spec.link has been changed to name another connection; name {again}, or take spec.link out, and the link comes back."
    )
}

/// Of a post nobody wants to link.
pub fn not_requested() -> String {
    "Nothing asks for a link: spec.link is absent and no active rule matches.".to_owned()
}

/// Of a post that is being linked anew.
pub fn linking(connection: &str) -> String {
    format!("A new link through connection {connection} is being made.")
}

/// R21, of a post that is to be linked.
pub fn link_waits(reason: Reason, connection: Option<&str>, record_type: Option<&str>) -> String {
    let connection = connection.unwrap_or("");
    match reason {
        Reason::NoDefaultConnection => "spec.link names no connection, and this namespace has no default one; name one, or set spec.default of a connection to true.".to_owned(),
        Reason::ConnectionNotFound => format!(
            "No connection {connection} exists in this namespace; the post is linked by itself when it does."
        ),
        Reason::ConnectionDisabled => format!(
            "Connection {connection} is disabled; set its spec.enabled to true and the post is linked by itself."
        ),
        Reason::InstanceDowntime => format!(
            "The instance behind connection {connection} is down; the post is linked by itself when it is back."
        ),
        Reason::InstanceExpired => format!(
            "The instance behind connection {connection} has expired; the post is linked by itself when it is renewed."
        ),
        Reason::OrganizationChanged => format!(
            "Another organisation answers for connection {connection}; see the connection's Ready condition."
        ),
        Reason::RecordTypeNotOffered => format!(
            "Connection {connection} does not offer the record type {}; add it to spec.recordTypes of the connection, or name another.",
            record_type.unwrap_or("asked for")
        ),
        Reason::RecordNotFound => format!(
            "The instance behind connection {connection} has no {} with the id in spec.link.recordId; correct it.",
            record_type.unwrap_or("record")
        ),
        Reason::SocialDataRefused => format!(
            "The instance behind connection {connection} is set not to receive social data; the post is linked by itself when that is changed in Dynamics 365."
        ),
        Reason::Throttled => format!(
            "The instance behind connection {connection}, or its spec.linksPerSecond, asks to wait; the post is linked by itself."
        ),
        Reason::PostRefused => format!(
            "The instance behind connection {connection} refuses the social activity of this post; correct spec.post or spec.link, or ask those who run the instance. It is tried again by itself."
        ),
        _ => format!(
            "Connection {connection} cannot be used now; see its Ready condition. The post is linked by itself when it can."
        ),
    }
}

/// RecordAvailable, of a linked post.
pub fn availability(reason: Reason, connection: &str) -> String {
    match reason {
        Reason::RecordAvailable => "The record can be read in the instance.".to_owned(),
        Reason::RecordPending => {
            "The instance has made no record of the social activity; its own record creation rules decide whether and when it does.".to_owned()
        }
        Reason::ConnectionDisabled => format!(
            "The link is kept, but details cannot be loaded because connection {connection} is disabled. Enable it, or set spec.unlink to link the post elsewhere."
        ),
        Reason::InstanceDowntime => format!(
            "The link is kept, but details cannot be loaded because the instance behind connection {connection} is down. They come back by themselves; set spec.unlink to link the post elsewhere."
        ),
        Reason::InstanceExpired => format!(
            "The link is kept, but details cannot be loaded because the instance behind connection {connection} has expired. Renew it, or set spec.unlink to link the post elsewhere."
        ),
        Reason::OrganizationChanged => format!(
            "The link is kept, but another organisation answers for connection {connection}; see the connection's Ready condition."
        ),
        _ => format!(
            "The link is kept, but details cannot be loaded because connection {connection} cannot be used; see its Ready condition."
        ),
    }
}

/// The state's name, for sentences.
pub fn state(state: ConnectionState) -> &'static str {
    match state {
        ConnectionState::Enabled => "Enabled",
        ConnectionState::Disabled => "Disabled",
        ConnectionState::Downtime => "Downtime",
        ConnectionState::Expired => "Expired",
    }
}
