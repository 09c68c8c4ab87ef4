//! The input and the result of the decision about a PostLink.

use super::{
    identity::PostClaim,
    record::{self, ActivityState},
};
use crate::{
    api::{LinkState, LinkedBy, ObjectRef, PostLinkStatus, Reason},
    domain::{
        facts::{ConnectionFacts, RuleFacts},
        requeue::Requeue,
    },
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::sync::Arc;
use uuid::Uuid;

/// The fields of a PostLink that decisions need; no post text.
#[derive(Clone, Debug, PartialEq)]
pub struct PostLinkFacts {
    pub name: String,
    /// `metadata.generation`.
    pub generation: i64,
    pub created: Timestamp,
    /// When this process first saw this generation; the epoch if its decision is already stored.
    pub first_seen: Timestamp,
    /// Whether a deletionTimestamp is set.
    pub deleting: bool,
    /// Whether the link, or else the removed link, is about another post: source or id were changed since.
    pub post_changed: bool,
    /// `spec.post.publishedAt`.
    pub published_at: Option<Timestamp>,
    pub desired: DesiredLink,
    /// The annotation `postlink.dev/relink-requested-at`.
    pub relink_requested: Option<String>,
    /// The annotation `postlink.dev/reconcile-requested-at`, or Flux's.
    pub reconcile_requested: Option<String>,
    pub status: PostLinkStatus,
}

/// The link that `spec` requests.
#[derive(Clone, Debug, PartialEq)]
pub enum DesiredLink {
    /// Neither `link` nor `unlink`: automation rules decide.
    ByRule,
    /// `spec.unlink: true`.
    Unlink,
    /// `spec.link`.
    ByHand(LinkSpec),
}

impl DesiredLink {
    pub fn spec(&self) -> Option<&LinkSpec> {
        match self {
            Self::ByHand(spec) => Some(spec),
            Self::ByRule | Self::Unlink => None,
        }
    }
}

/// The fields of `spec.link` that decisions need.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkSpec {
    pub connection: Option<String>,
    pub record_type: Option<String>,
    pub record_id: Option<Uuid>,
    /// A hash of the whole `spec.link`, including the notes.
    pub hash: String,
}

/// The input of the decision.
pub struct PostLinkView<'a> {
    pub now: Timestamp,
    pub post_link: &'a PostLinkFacts,
    /// All connections of the namespace.
    pub connections: &'a [Arc<ConnectionFacts>],
    /// The rules of the namespace whose filters match the post.
    pub matching: &'a [Arc<RuleFacts>],
    /// Of the other PostLinks of the namespace that are about the same post, the one that counts.
    pub same_post: Option<&'a PostClaim>,
    /// The tombstone of a connection, by UID: its deletion was observed, or a live read did not find it.
    pub tombstone: &'a dyn Fn(&str) -> Option<Tombstone>,
    /// The checked activity of the link or the removed link, from an Enabled instance of the same organization.
    pub activity: Option<&'a ActivityState>,
    /// The result of the creation that an earlier decision started.
    pub created: Option<&'a CreationResult>,
    /// After a failed creation.
    pub not_before: Option<&'a NotBefore>,
    /// Whether the process is about to stop: a result that is not stored now is lost.
    pub stopping: bool,
}

impl PostLinkView<'_> {
    /// Whether the stored link is about another post (§2).
    pub(super) fn linked_to_another_post(&self) -> bool {
        self.post_link.post_changed && self.post_link.status.link.is_some()
    }

    /// The PostLink of the same post that counts instead of this one (§2). `link`: whether this one has a link.
    pub(super) fn duplicate_of(&self, link: bool) -> Option<&PostClaim> {
        let own =
            PostClaim { unlinked: !link, created: self.post_link.created, name: self.post_link.name.clone() };
        self.same_post.filter(|other| **other < own)
    }
}

/// No new attempt of a creation through this connection before this time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotBefore {
    /// UID. Another connection is tried at once (R22).
    pub connection: String,
    pub at: Timestamp,
}

/// Proof that a connection was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// Its deletionTimestamp, if it was observed.
    pub deleted_at: Option<Timestamp>,
}

/// The result of a creation.
#[derive(Clone, Debug, PartialEq)]
pub enum CreationResult {
    /// The activity was created, or found under its id (§2).
    Exists {
        /// The link as it was created: the default connection may have changed since, or the connection may be gone.
        link: LinkState,
        /// The `spec.link`, if it was created by hand.
        spec: Option<LinkSpec>,
        /// The attempt that its id is derived from.
        attempt: i32,
    },
    /// Nothing was created through the connection with this UID.
    Failed { connection: String, reason: Reason },
}

/// What to do with a decision.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Write,
    /// Write nothing yet: wait for the requeue or a neighbor.
    Wait,
    /// Confirm by a live read that the connection was deleted, then decide again.
    ConfirmGone(ObjectRef),
    /// Check an activity in the instance, then decide again.
    Check(ActivityCheck),
    /// Create the activity, then decide again.
    Create(ActivityCreation),
}

#[derive(Clone, Debug, PartialEq)]
pub struct ActivityCheck {
    /// The UID of the connection.
    pub connection: String,
    /// The organization of the link (R27).
    pub organization: Uuid,
    pub activity: Uuid,
    /// The record of the link: table and id.
    pub record: Option<(String, Uuid)>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ActivityCreation {
    /// The UID of the connection.
    pub connection: String,
    /// The name of the connection.
    pub name: String,
    /// `spec.instanceUrl` of the connection.
    pub instance_url: String,
    pub organization: Uuid,
    /// Counts the activities of the post, from 1.
    pub attempt: i32,
    pub record_type: String,
    /// The regarding record.
    pub record_id: Option<Uuid>,
    /// The rule, if it is created by one.
    pub rule: Option<ObjectRef>,
    /// The `spec.link`, if it is created by hand.
    pub spec: Option<LinkSpec>,
}

/// An activity that exists under the id of a creation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is the wanted one: an earlier call created it, or an earlier PostLink of the post. With its record.
    Wanted(Option<(String, Uuid)>),
    /// It regards another record than the requested one. As after a changed `recordId`, the next attempt is for the requested
    /// record.
    Taken,
    /// It does not exist after all: a plug-in refused it with the status of one that exists.
    Refused,
}

impl ActivityCreation {
    pub fn found(&self, activity: &ActivityState) -> Found {
        match (activity, self.record_id) {
            (ActivityState::Gone { .. }, _) => Found::Refused,
            (ActivityState::Exists { regarding: Some((_, id)), .. }, Some(wanted)) if *id != wanted => {
                Found::Taken
            }
            // Dissociated since. The next check of the link says so.
            (ActivityState::Exists { regarding: None, .. }, Some(_)) => Found::Wanted(self.record()),
            (ActivityState::Exists { regarding, .. }, _) => Found::Wanted(regarding.clone()),
        }
    }

    /// The link that an activity of this creation makes. `record`: the regarding record, table and id.
    pub fn link(&self, activity: Uuid, record: Option<(String, Uuid)>, at: Timestamp) -> LinkState {
        LinkState {
            connection: ObjectRef { name: self.name.clone(), uid: self.connection.clone() },
            organization_id: self.organization,
            social_activity_id: activity,
            record: record.map(|(type_, id)| record::record(&type_, id, &self.instance_url)),
            linked_at: Time(at),
            linked_by: if self.rule.is_some() { LinkedBy::Rule } else { LinkedBy::Hand },
            rule: self.rule.clone(),
            restored_at: None,
        }
    }

    /// The regarding record of a new activity: table and id.
    pub fn record(&self) -> Option<(String, Uuid)> {
        self.record_id.map(|id| (self.record_type.clone(), id))
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct PostLinkDecision {
    pub step: Step,
    /// The desired status, if `step` is `Write`.
    pub status: PostLinkStatus,
    pub requeue: Option<Requeue>,
}

impl PostLinkDecision {
    pub(super) fn step(step: Step, status: PostLinkStatus, requeue: Option<Requeue>) -> Self {
        Self { step, status, requeue }
    }
}

/// The result of one stage of the decision: done, or the input of the next stage.
pub(super) enum Next {
    Done(PostLinkDecision),
    /// The post has this link, which was taken out of the status.
    HasLink(PostLinkStatus, LinkState),
    NoLink(PostLinkStatus),
}

impl From<PostLinkDecision> for Next {
    fn from(decision: PostLinkDecision) -> Self {
        Self::Done(decision)
    }
}
