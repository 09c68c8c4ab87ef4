//! What the runtime state says about one link.

use super::state::Runtime;
use crate::{
    controller::key::Key,
    domain::post_link::{CreationResult, record::ActivityState},
};
use jiff::Timestamp;
use uuid::Uuid;

/// Results about a link since its status was last written.
#[derive(Default)]
pub struct LinkResults {
    pub activity: Option<ActivityState>,
    pub created: Option<CreationResult>,
    /// After a failed creation: no retry before this time.
    pub not_before: Option<Timestamp>,
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
