//! R14, R15: a post that has no link: what was just made for it, what can come back, what nobody wants.

use super::{
    Check, Created, LinkDecision, LinkView, Step, Wish,
    linked::{ASK_AGAIN, linked},
    story::{Unlinked, cause, lost, wait_for, write},
    take_relink_request, use_intent,
    wanted::{target, wanted},
};
use crate::{
    api::{LinkState, LinkedBy, ObjectRef, PostLinkStatus, Reason, RemovalCause},
    rules::{
        Requeue, SETTLE, messages, moved,
        record::{self, Seen},
        restore,
    },
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// A post that has no link.
pub(super) fn unlinked(view: &LinkView<'_>, mut next: PostLinkStatus) -> LinkDecision {
    take_relink_request(view, &mut next);
    if let Some(made) = view.created.and_then(|created| made_link(view, &mut next, created)) {
        return linked(view, next, made);
    }
    if let Some(decision) = restoring(view, &mut next) {
        return decision;
    }
    match target(view, &next) {
        Some(target) => wanted(view, next, &target),
        None => not_wanted(view, next),
    }
}

/// R14, R15. `None`: there is nothing to restore now.
pub(super) fn restoring(view: &LinkView<'_>, next: &mut PostLinkStatus) -> Option<LinkDecision> {
    let removed = next.removed_link.clone()?;
    let candidate = restore::candidate(&removed, view.connections)?;
    if let Wish::Link(request) = &view.link.wish {
        let changed = next.intent.as_ref().and_then(|i| i.hash.as_ref()) != Some(&request.hash);
        if changed && request.connection.as_ref().is_some_and(|name| *name != candidate.name) {
            return None;
        }
    }
    let settled = moved(candidate.created.max(view.link.seen), SETTLE);
    if view.now < settled {
        return Some(wait_for(Step::Wait, next.clone(), Some(Requeue::awaited(settled))));
    }
    match view.seen {
        None => {
            let check = Check {
                connection: candidate.uid.clone(),
                organization: removed.link.organization_id,
                activity: removed.link.social_activity_id,
                record: removed.link.record.as_ref().map(|r| (r.type_.clone(), r.id)),
            };
            // A batch that fails wakes nobody, and no probe asks about links that were put aside.
            let again = Requeue::awaited(moved(view.now, ASK_AGAIN));
            Some(wait_for(Step::Check(check), next.clone(), Some(again)))
        }
        Some(Seen::ActivityGone { .. }) => {
            // As R25: nothing is made anew.
            let gone = next.removed_link.as_mut()?;
            gone.cause = RemovalCause::SocialActivityDeleted;
            use_intent(next, view.link.wish.request());
            None
        }
        Some(Seen::Activity { .. }) => {
            let mut link = removed.link;
            link.connection = ObjectRef { name: candidate.name.clone(), uid: candidate.uid.clone() };
            link.restored_at = Some(Time(view.now));
            next.removed_link = None;
            Some(linked(view, next.clone(), link))
        }
    }
}
/// The activity exists: the post is linked, through the connection it was made through, whatever is wanted by now.
fn made_link(view: &LinkView<'_>, next: &mut PostLinkStatus, created: &Created) -> Option<LinkState> {
    let Created::Exists { activity, record, connection, rule, request } = created else { return None };
    let connection = view.connections.iter().find(|c| c.uid == *connection)?;
    let link = LinkState {
        connection: ObjectRef { name: connection.name.clone(), uid: connection.uid.clone() },
        organization_id: connection.organization?,
        social_activity_id: *activity,
        record: record.as_ref().map(|(type_, id)| record::record(type_, *id, &connection.instance_url)),
        linked_at: Time(view.now),
        linked_by: if rule.is_some() { LinkedBy::Rule } else { LinkedBy::Hand },
        rule: rule.clone(),
        restored_at: None,
    };
    next.removed_link = None;
    use_intent(next, request.as_ref());
    Some(link)
}

/// Nobody wants a link.
pub(super) fn not_wanted(view: &LinkView<'_>, mut next: PostLinkStatus) -> LinkDecision {
    // `spec.link` is gone: asking again later, even in the same words, is a new wish.
    if view.link.wish == Wish::Rules
        && let Some(intent) = &mut next.intent
    {
        intent.hash = None;
    }
    let told = match &next.removed_link {
        Some(removed) => {
            let reason = cause(removed.cause);
            let message = lost(view, removed);
            Unlinked { reason, message, waits: None }
        }
        None => Unlinked { reason: Reason::NotRequested, message: messages::not_requested(), waits: None },
    };
    write(view, next, told.into(), None)
}
