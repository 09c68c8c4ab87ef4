//! The messages of connections.

use super::{ACCEPT_SOCIAL_DATA, NAMES, first_of, used_by};

/// Ends the messages of R17 and R18.
const RECOVERS: &str = "Existing links are kept, and the connection recovers automatically.";

/// Ends the messages about a host that may be mistyped.
const WRONG_HOST: &str = "if the host is wrong, delete this connection and create it again, because spec.instanceUrl cannot be changed";

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

/// R4, of a connection. At least one of the lists is not empty.
pub fn record_types_not_offered(missing: &[String], unsupported: &[String], unread: &[String]) -> String {
    let mut sentences = Vec::new();
    if !missing.is_empty() {
        let (noun, them) = if missing.len() == 1 { ("table", "it") } else { ("tables", "them") };
        sentences.push(format!(
            "The instance has no {noun} {}, so nothing can be linked to {them}. Correct spec.recordTypes, which lists logical names in the singular, such as incident.",
            first_of(missing)
        ));
    }
    if !unsupported.is_empty() {
        let (noun, them) = if unsupported.len() == 1 { ("table", "it") } else { ("tables", "them") };
        sentences.push(format!(
            "Social activities cannot refer to {noun} {}. Enable activities for the {noun} in Dynamics 365, or remove {them} from spec.recordTypes.",
            first_of(unsupported)
        ));
    }
    if !unread.is_empty() {
        let (noun, them) = if unread.len() == 1 { ("table", "it") } else { ("tables", "them") };
        sentences.push(format!(
            "The metadata of {noun} {} cannot be read, so nothing is linked to {them} yet. This is retried automatically; if it persists, check the privileges of the application (docs/operations.md, Access to an instance).",
            first_of(unread)
        ));
    }
    sentences.push("After a change in Dynamics 365, set the annotation postlink.dev/refresh-requested-at to a new value.".to_owned());
    sentences.join(" ")
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

/// R4, of a connection none of whose record types can be used.
pub fn connected_but_offers_nothing(host: &str) -> String {
    format!(
        "The instance at {host} is reachable, but nothing can be linked: it has none of the tables in spec.recordTypes, or social activities cannot refer to them. See the condition RecordTypeNotOffered."
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
