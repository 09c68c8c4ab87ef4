//! R14, R15: a link removed with its connection comes back when its organisation is connected again.

use crate::api::{ConnectionState, RemovalCause, RemovedLink};
use crate::domain::{
    facts::ConnectionFacts,
    requeue::{SETTLE, saturating_add},
};
use jiff::Timestamp;

/// The connection a removed link would come back through, if any: to the same organisation, created after the
/// removal was asked for, Enabled and staying so; the oldest of several, then by name.
pub fn candidate<'a>(
    removed: &RemovedLink,
    connections: &'a [ConnectionFacts],
) -> Option<&'a ConnectionFacts> {
    if removed.cause != RemovalCause::ConnectionDeleted {
        return None;
    }
    connections
        .iter()
        .filter(|c| {
            c.organization == Some(removed.link.organization_id)
                && c.state == Some(ConnectionState::Enabled)
                && c.unusable.is_none()
                && c.wants_enabled
                && c.deleted_at.is_none()
                && is_later(removed, c)
        })
        .min_by(|a, b| a.created.cmp(&b.created).then_with(|| a.name.cmp(&b.name)))
}

/// Whether a connection came after the one the link was removed with. A deletion that active rules held for days
/// counts from the moment it was asked for, and objects of one commit arrive in any order (§5); a name that is
/// used again proves it by itself.
fn is_later(removed: &RemovedLink, connection: &ConnectionFacts) -> bool {
    let old = &removed.link.connection;
    if connection.uid == old.uid {
        return false;
    }
    let removal: Timestamp = removed.connection_deleted_at.as_ref().unwrap_or(&removed.removed_at).0;
    connection.name == old.name || connection.created >= saturating_add(removal, -SETTLE)
}
