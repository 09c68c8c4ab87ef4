//! Sets the conditions of a PostLink: the table of §3.

use super::{
    restore,
    view::{PostLinkDecision, PostLinkView, Step},
};
use crate::{
    api::{ConditionType, PostLinkStatus, Reason, RemovalCause, RemovedLink},
    domain::{
        conditions::{Conditions, ready_reason},
        kstatus::{self, Readiness},
        messages,
        requeue::Requeue,
    },
};

pub(super) fn removal_reason(cause: RemovalCause) -> Reason {
    match cause {
        RemovalCause::ConnectionDeleted => Reason::ConnectionDeleted,
        RemovalCause::RecordDissociated => Reason::RecordDissociated,
        RemovalCause::RecordDeleted => Reason::RecordDeleted,
        RemovalCause::SocialActivityDeleted => Reason::SocialActivityDeleted,
        RemovalCause::Unlinked => Reason::Unlinked,
    }
}

/// The message about a removed link.
pub(super) fn lost(view: &PostLinkView<'_>, removed: &RemovedLink) -> String {
    let (reason, old) = (removal_reason(removed.cause), &removed.link.connection.name);
    match restore::candidate(removed, view.connections) {
        Some(back) if view.post_link.desired.spec().is_some() => messages::could_come_back(old, &back.name),
        _ => messages::lost(reason, old),
    }
}

pub(super) struct LinkedStatus {
    pub(super) reason: Reason,
    pub(super) message: String,
    /// The reason of `RecordAvailable`: `Ok` if True, `Err` if False.
    pub(super) availability: Result<Reason, Reason>,
    pub(super) availability_message: String,
}

pub(super) struct UnlinkedStatus {
    pub(super) reason: Reason,
    pub(super) message: String,
    /// Why the desired link waits: the reason of `Ready`. `Linked` may have the reason why an earlier link was removed.
    pub(super) waits: Option<Reason>,
}

pub(super) enum LinkStatus {
    Linked(LinkedStatus),
    Unlinked(UnlinkedStatus),
}

impl From<LinkedStatus> for LinkStatus {
    fn from(linked: LinkedStatus) -> Self {
        Self::Linked(linked)
    }
}

impl From<UnlinkedStatus> for LinkStatus {
    fn from(unlinked: UnlinkedStatus) -> Self {
        Self::Unlinked(unlinked)
    }
}

/// Decides to write the status with its conditions (the table of §3).
pub(super) fn write(
    view: &PostLinkView<'_>,
    mut next: PostLinkStatus,
    status: LinkStatus,
    requeue: Option<Requeue>,
) -> PostLinkDecision {
    let stored = &view.post_link.status.conditions;
    let mut conditions = Conditions::new(view.now, view.post_link.generation, stored);
    let readiness = match status {
        LinkStatus::Linked(linked) => {
            conditions.set(ConditionType::Linked, true, linked.reason, linked.message.clone());
            let (available, reason) = match linked.availability {
                Ok(reason) => (true, reason),
                Err(reason) => (false, reason),
            };
            let message = linked.availability_message;
            conditions.set(ConditionType::RecordAvailable, available, reason, message.clone());
            if view.linked_to_another_post() {
                Readiness::NotReady(Reason::PostChanged, messages::post_changed())
            } else if let Some(other) = view.duplicate_of(true) {
                Readiness::NotReady(Reason::DuplicatePost, messages::duplicate_post(&other.name, true))
            // A disabled connection is intended, and an instance that creates no records is not broken.
            } else if available || matches!(reason, Reason::RecordPending | Reason::ConnectionDisabled) {
                Readiness::Ready(linked.reason, linked.message)
            } else {
                Readiness::NotReady(reason, message)
            }
        }
        LinkStatus::Unlinked(unlinked) => {
            conditions.set(ConditionType::Linked, false, unlinked.reason, unlinked.message.clone());
            match unlinked.waits {
                None => Readiness::Ready(unlinked.reason, unlinked.message),
                Some(reason) => Readiness::NotReady(reason, unlinked.message),
            }
        }
    };
    kstatus::write(&mut conditions, readiness);
    next.conditions = conditions.finish();
    next.reason = ready_reason(&next.conditions);
    PostLinkDecision { step: Step::Write, status: next, requeue }
}
