//! R13, R16–R20, R23–R27: a post that has a link.

use super::{
    intent::{relink_request, remove, take_relink_request, use_intent},
    record::{self, RecordState},
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

/// The confirmations of a fresh link: after these times since it was made the instance is asked whether it has made
/// a record; later the connection's own probe does.
const CONFIRMATIONS: [SignedDuration; 4] = [
    SignedDuration::from_secs(2),
    SignedDuration::from_secs(15),
    SignedDuration::from_mins(2),
    SignedDuration::from_mins(15),
];
/// A check that something waits for is repeated after this, if it was not answered.
pub(super) const CHECK_RETRY: SignedDuration = SignedDuration::from_mins(1);

/// A post that has a link.
pub(super) fn evaluate(view: &PostLinkView<'_>, mut next: PostLinkStatus, mut link: LinkState) -> Next {
    let through = view.connections.iter().find(|c| c.uid == link.connection.uid);
    let Some(connection) = through else {
        let Some(tombstone) = (view.tombstone)(&link.connection.uid) else {
            let confirm = Step::ConfirmGone(link.connection.clone());
            return PostLinkDecision::step(confirm, next, None).into();
        };
        remove(view, &mut next, link, RemovalCause::ConnectionDeleted, tombstone.deleted_at);
        return Next::NoLink(next);
    };
    // The UID is its identity; a name that is not that object's own must not read as a changed connectionRef.
    link.connection.name.clone_from(&connection.name);
    if asks_for_another(view, &next, &link) {
        // A user unlink first, as if by hand; the new link follows in its own time. It can not be taken back, so it
        // waits as well: the same commit may delete the connection, and then the link is to be restored (§5).
        let settled = saturating_add(view.post_link.first_seen, SETTLE);
        if view.now < settled {
            next.link = Some(link);
            return PostLinkDecision::step(Step::Wait, next, Some(Requeue::awaited(settled))).into();
        }
        remove(view, &mut next, link, RemovalCause::Unlinked, None);
        return Next::NoLink(next);
    }

    let handled = view.post_link.status.last_handled_reconcile_at.as_deref();
    let asked_again = relink_request(view, &next).is_some()
        || unhandled(view.post_link.reconcile_requested.as_deref(), handled).is_some();
    let (available, check_at) = match availability(view, connection, &link, asked_again) {
        Availability::Known(outcome, check_at) => match outcome {
            RecordState::Broken(cause) => {
                // R23–R25: the intent counts as used, whatever `spec.link` says now: nothing is created behind the
                // user's back.
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
        Availability::Cannot(reason) => (Err(reason), None),
        Availability::Ask(check, again) => {
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
    // As long as the instance cannot say that the link stands, the request stands too: the break nobody has noticed
    // yet may be why it was made.
    if view.activity.is_some() {
        take_relink_request(view, &mut next);
    }
    write(view, next, status.into(), check_at.map(Requeue::awaited)).into()
}

/// Whether `spec.link` was changed to ask for another connection or another record than the link has.
fn asks_for_another(view: &PostLinkView<'_>, next: &PostLinkStatus, link: &LinkState) -> bool {
    let (Some(spec), intent) = (view.post_link.desired.spec(), next.intent.as_ref()) else { return false };
    if intent.and_then(|i| i.hash.as_ref()) == Some(&spec.hash) {
        return false;
    }
    // A link that was restored under another name is still what the old name asked for: only a name that has changed
    // since it was acted on asks for another connection.
    let connection = spec.connection.as_ref().is_some_and(|name| {
        *name != link.connection.name && intent.and_then(|i| i.connection.as_ref()) != Some(name)
    });
    let record = spec.record_id.is_some_and(|id| link.record.as_ref().is_none_or(|r| r.id != id));
    connection || record
}

/// What can be said about the record of a link now.
enum Availability {
    /// An answer, and when to ask again.
    Known(RecordState, Option<Timestamp>),
    /// Nothing can be loaded (R16–R18): the link is kept, whatever may have happened in the instance (R27).
    Cannot(Reason),
    /// The instance must be asked first.
    Ask(ActivityCheck, Option<Requeue>),
}

fn availability(
    view: &PostLinkView<'_>,
    connection: &ConnectionFacts,
    link: &LinkState,
    asked_again: bool,
) -> Availability {
    let changed = connection.organization.is_some_and(|o| o != link.organization_id);
    if changed || connection.unusable == Some(Reason::OrganizationChanged) {
        return Availability::Cannot(Reason::OrganizationChanged);
    }
    if let Some(reason) = connection.refuses_links() {
        return Availability::Cannot(reason);
    }
    let since = view.now.duration_since(link.linked_at.0);
    let next_check = CONFIRMATIONS
        .iter()
        .find(|after| **after > since)
        .map(|after| saturating_add(link.linked_at.0, *after));
    if let Some(activity) = view.activity {
        let state = record::evaluate(link, activity, &connection.instance_url);
        let again = if state == RecordState::Pending { next_check } else { None };
        return Availability::Known(state, again);
    }
    // The instance made or found the activity a moment ago.
    if matches!(view.created, Some(CreationResult::Exists { .. })) {
        return match &link.record {
            Some(record) => Availability::Known(RecordState::Available(record.clone()), None),
            None => Availability::Known(RecordState::Pending, next_check),
        };
    }
    let ask = |again| {
        Availability::Ask(
            ActivityCheck {
                connection: connection.uid.clone(),
                organization: link.organization_id,
                activity: link.social_activity_id,
                record: link.record.as_ref().map(|r| (r.type_.clone(), r.id)),
            },
            again,
        )
    };
    if asked_again {
        return ask(Some(Requeue::awaited(saturating_add(view.now, CHECK_RETRY))));
    }
    match conditions::reason(&view.post_link.status.conditions, ConditionType::RecordAvailable) {
        Some(Reason::RecordAvailable) if link.record.is_some() => {
            let record = link.record.clone();
            record.map_or_else(|| ask(None), |r| Availability::Known(RecordState::Available(r), None))
        }
        // Confirmations of a fresh link: at the first look after each of the appointed times.
        Some(Reason::RecordPending) => {
            let last = view.not_before;
            match next_check {
                _ if last.is_some_and(|at| view.now < at) => Availability::Known(RecordState::Pending, last),
                Some(_) if since >= CONFIRMATIONS[0] => ask(next_check.map(Requeue::awaited)),
                Some(at) => Availability::Known(RecordState::Pending, Some(at)),
                None => Availability::Known(RecordState::Pending, None),
            }
        }
        _ => ask(None),
    }
}
