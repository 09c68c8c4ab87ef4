//! R23–R26, §2: `status.intent`, and the removal of links.

use super::view::{DesiredLink, LinkSpec, PostLinkView};
use crate::{
    api::{Intent, LinkState, PostLinkStatus, RemovalCause, RemovedLink},
    domain::facts::unhandled,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// A relink request that has not been acted on.
pub(super) fn relink_request<'a>(view: &'a PostLinkView<'_>, next: &PostLinkStatus) -> Option<&'a str> {
    let handled = next.intent.as_ref().and_then(|intent| intent.relink_requested_at.as_deref());
    unhandled(view.post_link.relink_requested.as_deref(), handled)
}

/// Handles a relink request (R23–R25): the intent counts as new, and rules may link the post.
pub(super) fn take_relink_request(view: &PostLinkView<'_>, next: &mut PostLinkStatus) {
    let Some(requested) = relink_request(view, next).map(str::to_owned) else { return };
    let intent = next.intent.get_or_insert_with(new_intent);
    intent.relink_requested_at = Some(requested);
    // Nothing to do for an existing link. With `unlink`, no link is requested, and the status keeps the removed one.
    if next.link.is_some() || view.post_link.desired == DesiredLink::Unlink {
        return;
    }
    intent.hash = None;
    // Keep the removed link until the new one exists: until then it can be restored (R14), without a second activity.
    if let Some(removed) = &mut next.removed_link {
        removed.relink_requested = true;
    }
}

/// Whether rules may link an unlinked post: it never had a link, or a relink was requested since (§2).
pub fn open_to_rules(removed: Option<&RemovedLink>) -> bool {
    removed.is_none_or(|removed| removed.relink_requested)
}

fn new_intent() -> Intent {
    Intent { hash: None, connection: None, attempt: 1, relink_requested_at: None }
}

/// R26: unlink by the user, without a call to the instance. Irreversible.
pub(super) fn unlink(view: &PostLinkView<'_>, next: &mut PostLinkStatus) {
    if let Some(link) = next.link.take() {
        remove(view, next, link, RemovalCause::Unlinked, None);
    } else if let Some(removed) = &mut next.removed_link
        && removed.cause == RemovalCause::ConnectionDeleted
    {
        removed.cause = RemovalCause::Unlinked;
    }
    if let Some(intent) = &mut next.intent {
        intent.hash = None;
    }
}

/// Moves a link to `status.removedLink`. The attempt is increased, so the next activity of the post gets another id.
pub(super) fn remove(
    view: &PostLinkView<'_>,
    next: &mut PostLinkStatus,
    link: LinkState,
    cause: RemovalCause,
    connection_deleted_at: Option<Timestamp>,
) {
    let intent = next.intent.get_or_insert_with(new_intent);
    intent.attempt = intent.attempt.saturating_add(1);
    next.removed_link = Some(RemovedLink {
        link,
        removed_at: Time(view.now),
        cause,
        connection_deleted_at: connection_deleted_at.map(Time),
        relink_requested: false,
    });
}

/// Records that a `spec.link`, or its absence, was acted on.
pub(super) fn use_intent(next: &mut PostLinkStatus, spec: Option<&LinkSpec>) {
    let intent = next.intent.get_or_insert_with(new_intent);
    intent.hash = spec.map(|s| s.hash.clone());
    intent.connection = spec.and_then(|s| s.connection.clone());
}
