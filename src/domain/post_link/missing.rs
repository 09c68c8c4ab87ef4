//! R14, R15: the decision about a post without a link: just created, restorable, or not requested.

use super::{
    existing::CHECK_RETRY,
    intent::{take_relink_request, use_intent},
    record::ActivityState,
    restore,
    status::{UnlinkedStatus, lost, removal_reason, write},
    target::{create_or_wait, target, too_old},
    view::{ActivityCheck, CreationResult, DesiredLink, Next, PostLinkDecision, PostLinkView, Step},
};
use crate::{
    api::{LinkState, ObjectRef, PostLinkStatus, Reason, RemovalCause, RemovedLink},
    domain::{
        messages,
        requeue::{Requeue, SETTLE, saturating_add},
    },
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

pub(super) fn evaluate(
    view: &PostLinkView<'_>,
    mut next: PostLinkStatus,
    created: Option<&CreationResult>,
) -> Next {
    if view.post_link.post_changed && next.removed_link.is_some() {
        // What became of that link says nothing about this post: it is like a new PostLink.
        next.removed_link = None;
        next.intent = None;
    }
    take_relink_request(view, &mut next);
    if let Some(link) = created.and_then(|created| created_link(&mut next, created)) {
        return Next::HasLink(next, link);
    }
    if let Some(other) = view.duplicate_of(false) {
        let status = UnlinkedStatus {
            reason: Reason::DuplicatePost,
            message: messages::duplicate_post(&other.name, !other.unlinked),
            waits: Some(Reason::DuplicatePost),
        };
        return write(view, next, status.into(), None).into();
    }
    let next = match restore(view, next) {
        Restore::None(next) => next,
        Restore::Decided(decided) => return decided,
    };
    match target(view, &next) {
        Some(target) => create_or_wait(view, next, &target),
        None => not_requested(view, next),
    }
    .into()
}

enum Restore {
    /// No link can be restored now.
    None(PostLinkStatus),
    Decided(Next),
}

/// R14, R15: restores a link that was removed with its connection.
fn restore(view: &PostLinkView<'_>, mut next: PostLinkStatus) -> Restore {
    let Some(removed) = next.removed_link.as_mut() else { return Restore::None(next) };
    let Some(candidate) = restore::candidate(removed, view.connections) else { return Restore::None(next) };
    if let DesiredLink::ByHand(spec) = &view.post_link.desired {
        let changed = next.intent.as_ref().and_then(|i| i.hash.as_ref()) != Some(&spec.hash);
        if changed && spec.connection.as_ref().is_some_and(|name| *name != candidate.name) {
            return Restore::None(next);
        }
    }
    let settled = saturating_add(candidate.created.max(view.post_link.first_seen), SETTLE);
    if view.now < settled {
        let wait = PostLinkDecision::step(Step::Wait, next, Some(Requeue::awaited(settled)));
        return Restore::Decided(wait.into());
    }
    match view.activity {
        None => {
            let check = ActivityCheck {
                connection: candidate.uid.clone(),
                organization: removed.link.organization_id,
                activity: removed.link.social_activity_id,
                record: removed.link.record.as_ref().map(|r| (r.type_.clone(), r.id)),
            };
            // A failed batch requeues nothing, and no probe asks about removed links: schedule a retry here.
            let again = Requeue::awaited(saturating_add(view.now, CHECK_RETRY));
            Restore::Decided(PostLinkDecision::step(Step::Check(check), next, Some(again)).into())
        }
        Some(ActivityState::Gone { .. }) => {
            // As in R25: no new link without the user.
            removed.cause = RemovalCause::SocialActivityDeleted;
            use_intent(&mut next, view.post_link.desired.spec());
            Restore::None(next)
        }
        Some(ActivityState::Exists { .. }) => {
            let mut link = removed.link.clone();
            link.connection = ObjectRef { name: candidate.name.clone(), uid: candidate.uid.clone() };
            link.restored_at = Some(Time(view.now));
            next.removed_link = None;
            Restore::Decided(Next::HasLink(next, link))
        }
    }
}

/// The activity exists, so the post is linked through the connection it was created through, even if `spec` has changed or
/// the connection is gone.
pub(super) fn created_link(next: &mut PostLinkStatus, created: &CreationResult) -> Option<LinkState> {
    let CreationResult::Exists { link, spec, attempt } = created else { return None };
    let is_same = |removed: &RemovedLink| removed.link.social_activity_id == link.social_activity_id;
    if next.removed_link.as_ref().is_some_and(is_same) {
        // It was removed already.
        return None;
    }
    next.removed_link = None;
    use_intent(next, spec.as_ref());
    if let Some(intent) = &mut next.intent {
        intent.attempt = intent.attempt.max(*attempt);
    }
    Some(link.clone())
}

/// Neither `spec.link` nor a rule asks for a link.
fn not_requested(view: &PostLinkView<'_>, mut next: PostLinkStatus) -> PostLinkDecision {
    // `spec.link` was removed: setting it again later is a new request, even with the same content.
    if view.post_link.desired == DesiredLink::ByRule
        && let Some(intent) = &mut next.intent
    {
        intent.hash = None;
    }
    let (reason, message) = match &next.removed_link {
        Some(removed) => (removal_reason(removed.cause), lost(view, removed)),
        None => (Reason::NotRequested, messages::not_requested(too_old(view).as_deref())),
    };
    write(view, next, UnlinkedStatus { reason, message, waits: None }.into(), None)
}
