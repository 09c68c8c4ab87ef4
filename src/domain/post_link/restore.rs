//! R14, R15: a link removed with its connection is restored when its organization is connected again.

use crate::{
    api::{ConnectionState, RemovalCause, RemovedLink},
    domain::{
        facts::ConnectionFacts,
        requeue::{SETTLE, saturating_add},
    },
};
use jiff::Timestamp;
use std::sync::Arc;

/// The connection through which a removed link can be restored: to the same organization, created after the removal was
/// requested, Enabled and not being disabled or deleted. Of several, the oldest, then by name.
pub fn candidate<'a>(
    removed: &RemovedLink,
    connections: &'a [Arc<ConnectionFacts>],
) -> Option<&'a Arc<ConnectionFacts>> {
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

/// Whether a connection was created after the one that the link was removed with. A deletion counts from its request, even
/// if active rules blocked it for days, with tolerance for the order of objects in one commit (§5). A connection with the
/// same name is always later.
fn is_later(removed: &RemovedLink, connection: &ConnectionFacts) -> bool {
    let old = &removed.link.connection;
    if connection.uid == old.uid {
        return false;
    }
    let removal: Timestamp = removed.connection_deleted_at.as_ref().unwrap_or(&removed.removed_at).0;
    connection.name == old.name || connection.created >= saturating_add(removal, -SETTLE)
}
