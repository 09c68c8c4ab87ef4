//! R23–R26, §2: what was asked for and acted on, and how a link is put aside.

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

/// "Ask again" (R23–R25): the intent counts as new, and rules may take the post.
pub(super) fn take_relink_request(view: &PostLinkView<'_>, next: &mut PostLinkStatus) {
    let Some(asked) = relink_request(view, next).map(str::to_owned) else { return };
    let intent = next.intent.get_or_insert_with(fresh_intent);
    intent.relink_requested_at = Some(asked);
    // A link that stands is all that can be asked for. And while `unlink` stands nothing is asked for, and the status
    // goes on saying what became of the link.
    if next.link.is_some() || view.post_link.desired == DesiredLink::Unlink {
        return;
    }
    intent.hash = None;
    // The removed link stays until the new one is there: until then it can come back (R14), and a second activity
    // beside the one that waits would serve no purpose.
    if let Some(removed) = &mut next.removed_link {
        removed.relink_requested = true;
    }
}

/// Whether rules may take a post that has no link: it never had one, or somebody asked for another since (§2).
pub fn open_to_rules(removed: Option<&RemovedLink>) -> bool {
    removed.is_none_or(|removed| removed.relink_requested)
}

fn fresh_intent() -> Intent {
    Intent { hash: None, connection: None, attempt: 1, relink_requested_at: None }
}

/// R26: the user's own act. No call to the instance, and no way back.
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

/// Puts a link aside. The next activity of this post, if there ever is one, is another one.
pub(super) fn remove(
    view: &PostLinkView<'_>,
    next: &mut PostLinkStatus,
    link: LinkState,
    cause: RemovalCause,
    connection_deleted_at: Option<Timestamp>,
) {
    let intent = next.intent.get_or_insert_with(fresh_intent);
    intent.attempt = intent.attempt.saturating_add(1);
    next.removed_link = Some(RemovedLink {
        link,
        removed_at: Time(view.now),
        cause,
        connection_deleted_at: connection_deleted_at.map(Time),
        relink_requested: false,
    });
}

/// Records what was acted on.
pub(super) fn use_intent(next: &mut PostLinkStatus, spec: Option<&LinkSpec>) {
    let intent = next.intent.get_or_insert_with(fresh_intent);
    intent.hash = spec.map(|s| s.hash.clone());
    intent.connection = spec.and_then(|s| s.connection.clone());
}
