//! R13, R16–R20, R23–R27: the decision about a post that has a link.

use super::{
    intent::{relink_request, remove, take_relink_request, use_intent},
    record::{self, ActivityState, RecordState},
    status::{LinkedStatus, write},
    view::{ActivityCheck, CreationResult, DesiredLink, Next, PostLinkDecision, PostLinkView, Step},
};
use crate::{
    api::{ConditionType, LinkState, LinkedBy, PostLinkStatus, Reason, RemovalCause, conditions},
    domain::{
        facts::{ConnectionFacts, unhandled},
        messages,
        requeue::{Requeue, SETTLE, saturating_add},
    },
};
use jiff::{SignedDuration, Timestamp};

/// The ages at which a new link is checked for a record; after the last, only probes of the connection check it.
const CONFIRMATIONS: [SignedDuration; 4] = [
    SignedDuration::from_secs(2),
    SignedDuration::from_secs(15),
    SignedDuration::from_mins(2),
    SignedDuration::from_mins(15),
];
/// The delay before an awaited check without a result is repeated.
pub(super) const CHECK_RETRY: SignedDuration = SignedDuration::from_mins(1);

pub(super) fn evaluate(view: &PostLinkView<'_>, mut next: PostLinkStatus, mut link: LinkState) -> Next {
    let connection = view.connections.iter().find(|c| c.uid == link.connection.uid);
    let Some(connection) = connection else {
        let Some(tombstone) = (view.tombstone)(&link.connection.uid) else {
            let confirm = Step::ConfirmGone(link.connection.clone());
            return PostLinkDecision::step(confirm, next, None).into();
        };
        remove(view, &mut next, link, RemovalCause::ConnectionDeleted, tombstone.deleted_at);
        return Next::NoLink(next);
    };
    // The UID identifies the connection; a different name in the status must not count as a changed connectionRef.
    link.connection.name.clone_from(&connection.name);
    if requests_another_link(view, &next, &link) {
        // Unlink first, as if by the user; the new link follows. An unlink is irreversible, so it has to settle: the same
        // commit may delete the connection, and then the link must be restorable (§5).
        let settled = saturating_add(view.post_link.first_seen, SETTLE);
        if view.now < settled {
            next.link = Some(link);
            return PostLinkDecision::step(Step::Wait, next, Some(Requeue::awaited(settled))).into();
        }
        remove(view, &mut next, link, RemovalCause::Unlinked, None);
        return Next::NoLink(next);
    }

    let handled = view.post_link.status.last_handled_reconcile_at.as_deref();
    let check_requested = relink_request(view, &next).is_some()
        || unhandled(view.post_link.reconcile_requested.as_deref(), handled).is_some();
    let (available, check_at) = match availability(view, connection, &link, check_requested) {
        Availability::Known(state, check_at) => match state {
            RecordState::Broken(cause) => {
                // R23–R25: the intent counts as used, even if `spec.link` has changed: no new link without the user.
                remove(view, &mut next, link, cause, None);
                use_intent(&mut next, view.post_link.desired.spec());
                return Next::NoLink(next);
            }
            RecordState::Available(record) => {
                link.record = Some(record);
                (Ok(Reason::RecordAvailable), check_at)
            }
            RecordState::Pending => (Err(Reason::RecordPending), check_at),
        },
        Availability::Unknown(reason) => (Err(reason), None),
        Availability::Check(check, again) => {
            next.link = Some(link);
            return PostLinkDecision::step(Step::Check(check), next, again).into();
        }
    };
    let reason = if link.restored_at.is_some() {
        Reason::Restored
    } else if link.linked_by == LinkedBy::Rule {
        Reason::LinkedByRule
    } else {
        Reason::LinkedByHand
    };
    let ignored = matches!((&view.post_link.desired, &next.intent), (DesiredLink::ByHand(spec), Some(intent))
        if intent.hash.is_some() && intent.hash.as_ref() != Some(&spec.hash));
    let status = LinkedStatus {
        reason,
        message: messages::linked(
            reason,
            &connection.name,
            link.rule.as_ref().map(|r| r.name.as_str()),
            ignored,
        ),
        availability: available,
        availability_message: messages::availability(available.unwrap_or_else(|r| r), &connection.name),
    };
    next.link = Some(link);
    next.removed_link = None;
    // Without a check result, the relink request stays pending: it may be about a broken link that was not detected yet.
    if view.activity.is_some() {
        take_relink_request(view, &mut next);
    }
    write(view, next, status.into(), check_at.map(Requeue::awaited)).into()
}

/// Whether a changed `spec.link` requests another connection or record than the link has.
fn requests_another_link(view: &PostLinkView<'_>, next: &PostLinkStatus, link: &LinkState) -> bool {
    let (Some(spec), intent) = (view.post_link.desired.spec(), next.intent.as_ref()) else { return false };
    if intent.and_then(|i| i.hash.as_ref()) == Some(&spec.hash) {
        return false;
    }
    // A link restored through a connection with another name still satisfies the old name: only a name changed since it was
    // acted on requests another connection.
    let connection = spec.connection.as_ref().is_some_and(|name| {
        *name != link.connection.name && intent.and_then(|i| i.connection.as_ref()) != Some(name)
    });
    let record = spec.record_id.is_some_and(|id| link.record.as_ref().is_none_or(|r| r.id != id));
    connection || record
}

/// Whether the record of a link is available.
enum Availability {
    /// The state, and when to check it again.
    Known(RecordState, Option<Timestamp>),
    /// The instance is not usable (R16–R18): the link is kept, whatever has happened in the instance (R27).
    Unknown(Reason),
    /// Check the activity first; requeue if there is no result.
    Check(ActivityCheck, Option<Requeue>),
}

fn availability(
    view: &PostLinkView<'_>,
    connection: &ConnectionFacts,
    link: &LinkState,
    check_requested: bool,
) -> Availability {
    let changed = connection.organization.is_some_and(|o| o != link.organization_id);
    if changed || connection.unusable == Some(Reason::OrganizationChanged) {
        return Availability::Unknown(Reason::OrganizationChanged);
    }
    if let Some(reason) = connection.refuses_links() {
        return Availability::Unknown(reason);
    }
    let age = view.now.duration_since(link.linked_at.0);
    let next_check = CONFIRMATIONS
        .iter()
        .find(|after| **after > age)
        .map(|after| saturating_add(link.linked_at.0, *after));
    let as_created =
        || link.record.as_ref().map_or(RecordState::Pending, |record| RecordState::Available(record.clone()));
    // An activity that was created a moment ago and is not found is checked again later (R25): the answer may be from
    // before its creation.
    let too_early = age < CONFIRMATIONS[1] && link.restored_at.is_none() && !check_requested;
    if too_early && matches!(view.activity, Some(ActivityState::Gone { .. })) {
        return Availability::Known(as_created(), next_check);
    }
    if let Some(activity) = view.activity {
        let state = record::evaluate(link, activity, &connection.instance_url);
        let again = if state == RecordState::Pending { next_check } else { None };
        return Availability::Known(state, again);
    }
    let check = |again| {
        Availability::Check(
            ActivityCheck {
                connection: connection.uid.clone(),
                organization: link.organization_id,
                activity: link.social_activity_id,
                record: link.record.as_ref().map(|r| (r.type_.clone(), r.id)),
            },
            again,
        )
    };
    // The activity was just created or found.
    if matches!(view.created, Some(CreationResult::Exists { .. })) {
        let look_until = saturating_add(link.linked_at.0, CONFIRMATIONS[0]);
        let may_look = view.now < look_until && !connection.fenced() && !view.stopping;
        return match &link.record {
            Some(record) => Availability::Known(RecordState::Available(record.clone()), None),
            // Most instances create the record at once: with a first look, the status is written once.
            None if may_look => check(Some(Requeue::awaited(look_until))),
            None => Availability::Known(RecordState::Pending, next_check),
        };
    }
    if check_requested {
        return check(Some(Requeue::awaited(saturating_add(view.now, CHECK_RETRY))));
    }
    match conditions::reason(&view.post_link.status.conditions, ConditionType::RecordAvailable) {
        Some(Reason::RecordAvailable) if link.record.is_some() => {
            let record = link.record.clone();
            record.map_or_else(|| check(None), |r| Availability::Known(RecordState::Available(r), None))
        }
        // A new link is checked in the first reconcile after each of the `CONFIRMATIONS`.
        Some(Reason::RecordPending) => {
            let last = view.not_before.map(|not| not.at);
            match next_check {
                _ if last.is_some_and(|at| view.now < at) => Availability::Known(RecordState::Pending, last),
                Some(_) if age >= CONFIRMATIONS[0] => check(next_check.map(Requeue::awaited)),
                Some(at) => Availability::Known(RecordState::Pending, Some(at)),
                None => Availability::Known(RecordState::Pending, None),
            }
        }
        _ => check(None),
    }
}
