//! §2: which PostLinks are about the same post, which of them counts, and the id of the post's social activity.

use crate::{
    api::{LinkState, Post},
    domain::matching::fold,
};
use jiff::Timestamp;
use uuid::Uuid;

/// After more attempts, a link counts as that of its post without a look, which would take long.
const ATTEMPTS: i32 = 100;

/// An id is unique within its source alone: a tweet and a review may have the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PostIdentity {
    /// Folded as in filters of rules; empty if the post has none.
    source: String,
    id: String,
}

impl PostIdentity {
    pub fn of(post: &Post) -> Self {
        let source = fold(post.source.as_deref().unwrap_or_default().trim());
        Self { source, id: post.id.trim().to_owned() }
    }

    /// The id of the post's social activity. It depends only on organization, namespace, post and attempt, so that after a
    /// crash, a cluster restore or a recreated PostLink, the activity is found instead of created twice.
    pub fn activity_id(&self, organization: Uuid, namespace: &str, attempt: i32) -> Uuid {
        let Self { source, id } = self;
        // Unambiguous: a namespace contains no slash, and the length says where the source ends.
        let name = format!("{namespace}/{attempt}/{}/{source}/{id}", source.len());
        Uuid::new_v5(&organization, name.as_bytes())
    }

    /// Whether a link is about another post: `spec.post` was changed after it was linked. `attempt` is the current one; that
    /// of a restored link is lower.
    pub fn differs_from(&self, link: &LinkState, namespace: &str, attempt: i32) -> bool {
        // Made before the source was part of the identity.
        let former = |attempt: i32| {
            Uuid::new_v5(&link.organization_id, format!("{namespace}/{attempt}/{}", self.id).as_bytes())
        };
        let own = |attempt| {
            let id = self.activity_id(link.organization_id, namespace, attempt);
            id == link.social_activity_id || former(attempt) == link.social_activity_id
        };
        attempt <= ATTEMPTS && !(1..=attempt).rev().any(own)
    }
}

/// A PostLink of a post. The smallest claim counts: one that has a link, because its activity exists; then the oldest, then
/// by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PostClaim {
    pub unlinked: bool,
    pub created: Timestamp,
    pub name: String,
}
