//! What a link's status says: the table of §3, one row per cell of the documented tables.

use super::{LinkDecision, LinkView, Step};
use crate::{
    api::{ConditionType, PostLinkStatus, Reason, RemovalCause, RemovedLink},
    rules::{
        Requeue,
        conditions::Conditions,
        messages,
        ready::{self, Readiness},
        restore,
    },
};

pub(super) fn cause(cause: RemovalCause) -> Reason {
    match cause {
        RemovalCause::ConnectionDeleted => Reason::ConnectionDeleted,
        RemovalCause::RecordDissociated => Reason::RecordDissociated,
        RemovalCause::RecordDeleted => Reason::RecordDeleted,
        RemovalCause::SocialActivityDeleted => Reason::SocialActivityDeleted,
        RemovalCause::Unlinked => Reason::Unlinked,
    }
}
/// What became of a link there was.
pub(super) fn lost(view: &LinkView<'_>, removed: &RemovedLink) -> String {
    let (reason, old) = (cause(removed.cause), &removed.link.connection.name);
    match restore::candidate(removed, view.connections) {
        Some(back) if view.link.wish.request().is_some() => messages::could_come_back(old, &back.name),
        _ => messages::lost(reason, old),
    }
}

pub(super) struct Linked {
    pub(super) reason: Reason,
    pub(super) message: String,
    pub(super) availability: Result<Reason, Reason>,
    pub(super) availability_message: String,
}

pub(super) struct Unlinked {
    pub(super) reason: Reason,
    pub(super) message: String,
    /// What the wanted link waits for. It stands in `Ready`, also when `Linked` says why there is none any more.
    pub(super) waits: Option<Reason>,
}

pub(super) enum Story {
    Linked(Linked),
    Unlinked(Unlinked),
}

impl From<Linked> for Story {
    fn from(linked: Linked) -> Self {
        Self::Linked(linked)
    }
}

impl From<Unlinked> for Story {
    fn from(unlinked: Unlinked) -> Self {
        Self::Unlinked(unlinked)
    }
}
pub(super) fn wait_for(step: Step, status: PostLinkStatus, requeue: Option<Requeue>) -> LinkDecision {
    LinkDecision { step, status, requeue }
}

/// The status, with its conditions (the table of §3).
pub(super) fn write(
    view: &LinkView<'_>,
    mut next: PostLinkStatus,
    story: Story,
    requeue: Option<Requeue>,
) -> LinkDecision {
    let mut conditions = Conditions::new(view.now, view.link.generation, &view.link.status.conditions);
    let readiness = match story {
        Story::Linked(linked) => {
            conditions.set(ConditionType::Linked, true, linked.reason, linked.message.clone());
            let (available, reason) = match linked.availability {
                Ok(reason) => (true, reason),
                Err(reason) => (false, reason),
            };
            let message = linked.availability_message;
            conditions.set(ConditionType::RecordAvailable, available, reason, message.clone());
            // An intended off-state, and an instance that makes no records, are nothing broken.
            let fine = available || matches!(reason, Reason::RecordPending | Reason::ConnectionDisabled);
            if fine {
                Readiness::Ready(linked.reason, linked.message)
            } else {
                Readiness::NotReady(reason, message)
            }
        }
        Story::Unlinked(unlinked) => {
            conditions.set(ConditionType::Linked, false, unlinked.reason, unlinked.message.clone());
            match unlinked.waits {
                None => Readiness::Ready(unlinked.reason, unlinked.message),
                Some(reason) => Readiness::NotReady(reason, unlinked.message),
            }
        }
    };
    ready::write(&mut conditions, readiness);
    next.conditions = conditions.finish();
    LinkDecision { step: Step::Write, status: next, requeue }
}
