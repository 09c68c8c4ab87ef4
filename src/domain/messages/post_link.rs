//! The messages of PostLinks.

use super::{ACCEPT_SOCIAL_DATA, record_type_not_offered};
use crate::{api::Reason, domain::facts::Offer};
use jiff::Timestamp;

/// Ends the messages of R23–R25.
const LINK_AGAIN: &str = "To link the post again, change spec.link, or set the annotation postlink.dev/relink-requested-at to a new value, such as the current time.";

/// Ends the messages of R16–R18 of a linked post.
const ELSEWHERE: &str = "To link the post through another connection instead, set spec.link.connectionRef; the current link is then removed and never restored.";

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

/// R26, of a post that never had a link.
pub fn never_linked() -> String {
    "spec.unlink is true, so the post is not linked. Remove it to let spec.link or a rule link the post."
        .to_owned()
}

/// Follows [`lost`] if the deleted connection is still requested.
pub fn link_elsewhere() -> String {
    "To link the post through another connection instead, set spec.link.connectionRef.".to_owned()
}

/// §2, of a PostLink whose post has another one that counts. `linked`: whether that one has a link.
pub fn duplicate_post(other: &str, linked: bool) -> String {
    let counts = if linked {
        "it has a link"
    } else {
        "it was created first, or at the same time and is first by name"
    };
    format!(
        "PostLink {other} is about the same post: spec.post.source and spec.post.id are equal, apart from case and surrounding spaces. Only {other} counts, because {counts}. Delete one of the two, or correct source and id."
    )
}

/// §2, of a linked post.
pub fn post_changed() -> String {
    "The post was linked, and then spec.post.source or spec.post.id was changed. The link and its social activity are about the former post; the one that spec.post names now is not linked. If that is another post, restore the former source and id, and create another PostLink for it. To give up the link instead, set unlink: true without spec.link; once Linked is False, remove unlink, and the post can be linked like a new one.".to_owned()
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
pub fn link_waits(reason: Reason, connection: Option<&str>, record_type: Option<(&str, Offer)>) -> String {
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
        Reason::RecordTypeNotOffered => match record_type {
            // The metadata has the table, but the instance rejected a link because it does not.
            Some((record_type, Offer::Offered)) => {
                record_type_not_offered(Offer::NoTable, connection, record_type)
            }
            Some((record_type, offer)) => record_type_not_offered(offer, connection, record_type),
            None => format!("Connection {connection} lists no record type. Add one to its spec.recordTypes."),
        },
        Reason::RecordNotFound => format!(
            "The instance of connection {connection} has no {} with the id in spec.link.recordId. Correct the id.",
            record_type.map_or("record", |(table, _)| table)
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
        _ => match record_type {
            Some((record_type, Offer::Unread)) => {
                record_type_not_offered(Offer::Unread, connection, record_type)
            }
            _ => format!(
                "Connection {connection} is not ready; see its Ready condition. The post is linked automatically once the connection is ready."
            ),
        },
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
