//! A link's decision, with what is known here of its activity: what was seen, what was made, what has to wait.

use super::Instances;
use crate::{
    controller::{index::LinkLook, queue::Key},
    rules::link::{LinkDecision, LinkView, decide},
};

impl Instances {
    /// Decides by what is in memory now.
    pub fn decided(&self, key: &Key, look: &LinkLook) -> LinkDecision {
        let status = &look.facts.status;
        let activity = match (&status.link, &status.removed_link) {
            (Some(link), _) => Some(link.social_activity_id),
            (None, Some(removed)) => Some(removed.link.social_activity_id),
            (None, None) => None,
        };
        let gone = |uid: &str| self.index.gone(uid);
        let (created, not_before) = self.tried(key, look.uid);
        decide(&LinkView {
            now: self.clock.now(),
            link: &look.facts,
            connections: &look.connections,
            matching: &look.matching,
            gone: &gone,
            seen: self.seen(key, activity).as_ref(),
            created: created.as_ref(),
            not_before,
        })
    }
}
