//! The runtime state of one link that is not in its status yet.

use super::state::Runtime;
use crate::{
    controller::key::Key,
    domain::post_link::{CreationResult, record::ActivityState},
};
use jiff::Timestamp;
use uuid::Uuid;

#[derive(Default)]
pub(super) struct PostLinkRuntime {
    /// By the id of the activity.
    activity: Option<(Uuid, ActivityState)>,
    /// By the UID of the PostLink: a recreated object of the same name must not inherit the result.
    pub(super) created: Option<(Uuid, CreationResult)>,
    pub(super) backoff: Option<LinkBackoff>,
    pub(super) creating: bool,
    /// The UID of the connection that has granted it a slot.
    pub(super) granted: Option<String>,
    /// The UID of the connection in which it has reserved a time slot.
    pub(super) rate_slot: Option<String>,
}

/// Failed creations of one PostLink.
#[derive(Clone, Copy)]
pub(super) struct LinkBackoff {
    /// The UID of the PostLink.
    pub(super) link: Uuid,
    pub(super) failures: u32,
    pub(super) not_before: Timestamp,
}

/// Results about a link since its status was last written.
#[derive(Default)]
pub struct LinkResults {
    pub activity: Option<ActivityState>,
    pub created: Option<CreationResult>,
    /// After a failed creation: no retry before this time.
    pub not_before: Option<Timestamp>,
}

impl PostLinkRuntime {
    pub(super) fn is_empty(&self) -> bool {
        let Self { activity, created, backoff, creating, granted, rate_slot } = self;
        activity.is_none()
            && created.is_none()
            && backoff.is_none()
            && !creating
            && granted.is_none()
            && rate_slot.is_none()
    }
}

impl Runtime {
    /// The results about the PostLink with this UID, and about this activity.
    pub fn link_results(&self, key: &Key, link: Uuid, activity: Option<Uuid>) -> LinkResults {
        let state = self.state();
        let Some(entry) = state.links.get(key) else { return LinkResults::default() };
        let of_activity = entry.activity.as_ref().filter(|(id, _)| Some(*id) == activity);
        LinkResults {
            activity: of_activity.map(|(_, state)| state.clone()),
            created: entry.created.as_ref().filter(|(by, _)| *by == link).map(|(_, created)| created.clone()),
            not_before: entry.backoff.filter(|b| b.link == link).map(|b| b.not_before),
        }
    }

    pub fn record_activity(&self, key: &Key, activity: Uuid, observed: ActivityState) {
        self.state().link(key, |entry| entry.activity = Some((activity, observed)));
    }

    /// Drops the results that the written status contains. The backoff ends unless the link is waiting.
    pub fn status_written(&self, key: &Key, waits: bool) {
        let mut state = self.state();
        let created = state.link(key, |entry| {
            entry.activity = None;
            matches!(entry.created.take(), Some((_, CreationResult::Exists { .. })))
        });
        if created || !waits {
            state.forget_attempts(key);
        }
    }

    pub fn remove_link(&self, key: &Key) {
        let mut state = self.state();
        state.link(key, |entry| entry.activity = None);
        state.forget_attempts(key);
    }
}
