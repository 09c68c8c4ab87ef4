//! R13, R16–R20, R23–R27: a post that has a link.

use super::{
    Check, Created, LinkDecision, LinkView, Step, Wish, relink_request, remove,
    story::{Linked, wait_for, write},
    take_relink_request,
    unlinked::unlinked,
    use_intent,
};
use crate::{
    api::{ConditionType, LinkState, LinkedBy, PostLinkStatus, Reason, RemovalCause, conditions},
    rules::{
        Requeue, SETTLE,
        facts::{ConnectionFacts, unhandled},
        messages, moved,
        record::{self, Outcome},
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
/// When a question that something waits for was not answered.
pub(super) const ASK_AGAIN: SignedDuration = SignedDuration::from_mins(1);

/// A post that has a link.
pub(super) fn linked(view: &LinkView<'_>, mut next: PostLinkStatus, mut link: LinkState) -> LinkDecision {
    let through = view.connections.iter().find(|c| c.uid == link.connection.uid);
    let Some(connection) = through else {
        return match (view.gone)(&link.connection.uid) {
            Some(gone) => {
                remove(view, &mut next, link, RemovalCause::ConnectionDeleted, gone.deleted_at);
                unlinked(view, next)
            }
            None => wait_for(Step::ConfirmGone(link.connection.clone()), next, None),
        };
    };
    // The UID is its identity; a name that is not that object's own must not read as a changed connectionRef.
    link.connection.name.clone_from(&connection.name);
    if asks_for_another(view, &next, &link) {
        // A user unlink first, as if by hand; the new link follows in its own time. It can not be taken back, so it
        // waits as well: the same commit may delete the connection, and then the link is to be restored (§5).
        let settled = moved(view.link.seen, SETTLE);
        if view.now < settled {
            next.link = Some(link);
            return wait_for(Step::Wait, next, Some(Requeue::awaited(settled)));
        }
        remove(view, &mut next, link, RemovalCause::Unlinked, None);
        return unlinked(view, next);
    }

    let handled = view.link.status.last_handled_reconcile_at.as_deref();
    let asked_again = relink_request(view, &next).is_some()
        || unhandled(view.link.reconcile_requested.as_deref(), handled).is_some();
    let (available, check_at) = match availability(view, connection, &link, asked_again) {
        Availability::Known(outcome, check_at) => match outcome {
            Outcome::Broken(cause) => {
                return broken(view, next, link, cause);
            }
            Outcome::Available(record) => {
                link.record = Some(record);
                (Ok(Reason::RecordAvailable), check_at)
            }
            Outcome::Pending => (Err(Reason::RecordPending), check_at),
        },
        Availability::Cannot(reason) => (Err(reason), None),
        Availability::Ask(check, again) => {
            next.link = Some(link);
            return wait_for(Step::Check(check), next, again);
        }
    };
    let reason = if link.restored_at.is_some() {
        Reason::Restored
    } else if link.linked_by == LinkedBy::Rule {
        Reason::LinkedByRule
    } else {
        Reason::LinkedByHand
    };
    let ignored = matches!((&view.link.wish, &next.intent), (Wish::Link(request), Some(intent))
        if intent.hash.is_some() && intent.hash.as_ref() != Some(&request.hash));
    let told = Linked {
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
    if view.seen.is_some() {
        take_relink_request(view, &mut next);
    }
    write(view, next, told.into(), check_at.map(Requeue::awaited))
}

/// Whether `spec.link` was changed to ask for another connection or another record than the link has.
pub(super) fn asks_for_another(view: &LinkView<'_>, next: &PostLinkStatus, link: &LinkState) -> bool {
    let (Some(request), intent) = (view.link.wish.request(), next.intent.as_ref()) else { return false };
    if intent.and_then(|i| i.hash.as_ref()) == Some(&request.hash) {
        return false;
    }
    // A link that was restored under another name is still what the old name asked for: only a name that has changed
    // since it was acted on asks for another connection.
    let connection = request.connection.as_ref().is_some_and(|name| {
        *name != link.connection.name && intent.and_then(|i| i.connection.as_ref()) != Some(name)
    });
    let record = request.record_id.is_some_and(|id| link.record.as_ref().is_none_or(|r| r.id != id));
    connection || record
}

/// What can be said about the record of a link now.
pub(super) enum Availability {
    /// An answer, and when to ask again.
    Known(Outcome, Option<Timestamp>),
    /// Nothing can be loaded (R16–R18): the link is kept, whatever may have happened in the instance (R27).
    Cannot(Reason),
    /// The instance must be asked first.
    Ask(Check, Option<Requeue>),
}

pub(super) fn availability(
    view: &LinkView<'_>,
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
    let next_check =
        CONFIRMATIONS.iter().find(|after| **after > since).map(|after| moved(link.linked_at.0, *after));
    if let Some(seen) = view.seen {
        let outcome = record::judge(link, seen, &connection.instance_url);
        let again = if outcome == Outcome::Pending { next_check } else { None };
        return Availability::Known(outcome, again);
    }
    // The instance made or found the activity a moment ago.
    if matches!(view.created, Some(Created::Exists { .. })) {
        return match &link.record {
            Some(record) => Availability::Known(Outcome::Available(record.clone()), None),
            None => Availability::Known(Outcome::Pending, next_check),
        };
    }
    let ask = |again| {
        Availability::Ask(
            Check {
                connection: connection.uid.clone(),
                organization: link.organization_id,
                activity: link.social_activity_id,
                record: link.record.as_ref().map(|r| (r.type_.clone(), r.id)),
            },
            again,
        )
    };
    if asked_again {
        return ask(Some(Requeue::awaited(moved(view.now, ASK_AGAIN))));
    }
    match conditions::reason(&view.link.status.conditions, ConditionType::RecordAvailable) {
        Some(Reason::RecordAvailable) if link.record.is_some() => {
            let record = link.record.clone();
            record.map_or_else(|| ask(None), |r| Availability::Known(Outcome::Available(r), None))
        }
        // Confirmations of a fresh link: at the first look after each of the appointed times.
        Some(Reason::RecordPending) => {
            let last = view.not_before;
            match next_check {
                _ if last.is_some_and(|at| view.now < at) => Availability::Known(Outcome::Pending, last),
                Some(_) if since >= CONFIRMATIONS[0] => ask(next_check.map(Requeue::awaited)),
                Some(at) => Availability::Known(Outcome::Pending, Some(at)),
                None => Availability::Known(Outcome::Pending, None),
            }
        }
        _ => ask(None),
    }
}

/// R23–R25: broken in the instance. The intent counts as used, whatever `spec.link` says now: nothing is made anew
/// behind the user's back.
pub(super) fn broken(
    view: &LinkView<'_>,
    mut next: PostLinkStatus,
    link: LinkState,
    cause: RemovalCause,
) -> LinkDecision {
    remove(view, &mut next, link, cause, None);
    use_intent(&mut next, view.link.wish.request());
    unlinked(view, next)
}
