//! What the runtime state says about one link.

use super::state::{LinkGeneration, Runtime};
use crate::{
    controller::key::Key,
    domain::post_link::{CreationResult, NotBefore, record::ActivityState},
};
use uuid::Uuid;

/// Results about a link since its status was last written.
#[derive(Default)]
pub struct LinkResults {
    pub activity: Option<ActivityState>,
    pub created: Option<CreationResult>,
    /// After a failed creation.
    pub not_before: Option<NotBefore>,
}

impl Runtime {
    /// The results about this PostLink, and about the activity that was created for it, or else about this one.
    pub fn link_results(&self, key: &Key, link: LinkGeneration, activity: Option<Uuid>) -> LinkResults {
        let state = self.state();
        let Some(entry) = state.links.get(key) else { return LinkResults::default() };
        let of_link = entry.created.as_ref().filter(|(by, created)| match created {
            CreationResult::Exists { .. } => by.uid == link.uid,
            CreationResult::Failed { .. } => *by == link,
        });
        // The activity that was just created is not in the status yet.
        let activity = match of_link {
            Some((_, CreationResult::Exists { link, .. })) => Some(link.social_activity_id),
            _ => activity,
        };
        let of_activity = entry.activity.as_ref().filter(|(id, _)| Some(*id) == activity);
        LinkResults {
            activity: of_activity.map(|(_, state)| state.clone()),
            created: of_link.map(|(_, created)| created.clone()),
            not_before: entry.backoff.as_ref().filter(|b| b.link == link).map(|b| b.not_before.clone()),
        }
    }

    pub fn record_activity(&self, key: &Key, activity: Uuid, observed: ActivityState) {
        self.state().link(key, |entry| entry.activity = Some((activity, observed)));
    }

    /// Drops the results that the written status contains: not a check that ended while it was being written. The backoff
    /// ends unless the link is waiting.
    pub fn status_written(&self, key: &Key, decided_on: &LinkResults, waits: bool) {
        let mut state = self.state();
        let created = state.link(key, |entry| {
            if entry.activity.as_ref().map(|(_, state)| state) == decided_on.activity.as_ref() {
                entry.activity = None;
            }
            matches!(entry.created.take(), Some((_, CreationResult::Exists { .. })))
        });
        if created || !waits {
            state.forget_attempts(key);
        }
    }

    /// Returns the link that is granted the slot instead.
    pub fn remove_link(&self, key: &Key) -> Option<Key> {
        let mut state = self.state();
        state.link(key, |entry| entry.activity = None);
        state.forget_attempts(key);
        state.leave(key)
    }
}
