//! What is known of one link that its status does not say yet.

use super::Runtime;
use crate::{
    controller::key::Key,
    domain::post_link::{CreationResult, record::ActivityState},
};
use jiff::Timestamp;
use uuid::Uuid;

/// One link.
#[derive(Default)]
pub(super) struct PostLinkRuntime {
    /// What an instance said about an activity, by its id.
    activity: Option<(Uuid, ActivityState)>,
    /// What became of a creation, by the UID of the PostLink: a recreated object of the same name has created nothing.
    pub(super) created: Option<(Uuid, CreationResult)>,
    pub(super) backoff: Option<LinkBackoff>,
    pub(super) creating: bool,
    /// The connection that has granted it a slot, by UID.
    pub(super) granted: Option<String>,
    /// The connection that has given it a turn, by UID.
    pub(super) turn: Option<String>,
}

/// Failed attempts of one PostLink.
#[derive(Clone, Copy)]
pub(super) struct LinkBackoff {
    /// Its UID.
    pub(super) link: Uuid,
    pub(super) failures: u32,
    pub(super) not_before: Timestamp,
}

/// What was learned about a link since its status was written.
#[derive(Default)]
pub struct Learned {
    pub activity: Option<ActivityState>,
    pub created: Option<CreationResult>,
    /// A failed creation is not repeated before this time.
    pub not_before: Option<Timestamp>,
}

impl PostLinkRuntime {
    pub(super) fn is_empty(&self) -> bool {
        let Self { activity, created, backoff, creating, granted, turn } = self;
        activity.is_none()
            && created.is_none()
            && backoff.is_none()
            && !creating
            && granted.is_none()
            && turn.is_none()
    }
}

impl Runtime {
    /// What was learned about the PostLink with this UID, and about this activity.
    pub fn learned(&self, key: &Key, link: Uuid, activity: Option<Uuid>) -> Learned {
        let state = self.state();
        let Some(known) = state.links.get(key) else { return Learned::default() };
        let of_activity = known.activity.as_ref().filter(|(id, _)| Some(*id) == activity);
        Learned {
            activity: of_activity.map(|(_, state)| state.clone()),
            created: known.created.as_ref().filter(|(by, _)| *by == link).map(|(_, created)| created.clone()),
            not_before: known.backoff.filter(|b| b.link == link).map(|b| b.not_before),
        }
    }

    /// An instance has said something about an activity.
    pub fn learn(&self, key: &Key, activity: Uuid, learned: ActivityState) {
        self.state().link(key, |known| known.activity = Some((activity, learned)));
    }

    /// The status says all that was learned. Unless the link waits for something, attempts no longer count.
    pub fn status_written(&self, key: &Key, waits: bool) {
        let mut state = self.state();
        let made = state.link(key, |known| {
            known.activity = None;
            matches!(known.created.take(), Some((_, CreationResult::Exists { .. })))
        });
        if made || !waits {
            state.forget_attempts(key);
        }
    }

    /// The link is gone.
    pub fn remove_link(&self, key: &Key) {
        let mut state = self.state();
        state.link(key, |known| known.activity = None);
        state.forget_attempts(key);
    }
}
