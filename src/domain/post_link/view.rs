//! What the decision about a PostLink rests on, and what it can be.

use super::record::ActivityState;
use crate::{
    api::{ObjectRef, PostLinkStatus, Reason},
    domain::{
        facts::{ConnectionFacts, RuleFacts},
        requeue::Requeue,
    },
};
use jiff::Timestamp;
use uuid::Uuid;

/// A PostLink, as far as decisions need it: no post text.
#[derive(Clone, Debug, PartialEq)]
pub struct PostLinkFacts {
    /// `metadata.generation`.
    pub generation: i64,
    pub created: Timestamp,
    /// When this process first saw this generation; the epoch when its decision is already stored.
    pub first_seen: Timestamp,
    /// Whether a deletionTimestamp is set.
    pub deleting: bool,
    /// `spec.post.publishedAt`.
    pub published_at: Option<Timestamp>,
    /// What `spec` asks for.
    pub desired: DesiredLink,
    /// The annotation `postlink.dev/relink-requested-at`.
    pub relink_requested: Option<String>,
    /// The annotation `postlink.dev/reconcile-requested-at`, or Flux's.
    pub reconcile_requested: Option<String>,
    pub status: PostLinkStatus,
}

/// What `spec` asks for.
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
    /// `spec.link`, if it is set.
    pub fn spec(&self) -> Option<&LinkSpec> {
        match self {
            Self::ByHand(spec) => Some(spec),
            Self::ByRule | Self::Unlink => None,
        }
    }
}

/// `spec.link`, as far as decisions need it.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkSpec {
    /// The connection it names.
    pub connection: Option<String>,
    /// The table it names.
    pub record_type: Option<String>,
    /// The record it names.
    pub record_id: Option<Uuid>,
    /// A hash of all of it, notes included.
    pub hash: String,
}

/// Everything the decision rests on.
pub struct PostLinkView<'a> {
    pub now: Timestamp,
    pub post_link: &'a PostLinkFacts,
    /// All connections of the namespace.
    pub connections: &'a [ConnectionFacts],
    /// The rules of the namespace whose filters match the post.
    pub matching: &'a [RuleFacts],
    /// The tombstone of a connection, by UID: its deletion was seen, or a live read found nothing.
    pub tombstone: &'a dyn Fn(&str) -> Option<Tombstone>,
    /// What an Enabled instance of the right organization said about the activity of the link or of the removed link.
    pub activity: Option<&'a ActivityState>,
    /// What became of the creation an earlier decision asked for.
    pub created: Option<&'a CreationResult>,
    /// After a failed creation: no new attempt before this time.
    pub not_before: Option<Timestamp>,
}

/// Proof that a connection is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// Its deletionTimestamp, if one was seen.
    pub deleted_at: Option<Timestamp>,
}

/// What became of a creation.
#[derive(Clone, Debug, PartialEq)]
pub enum CreationResult {
    /// The activity exists: created now, or found under its own id (§2).
    Exists {
        activity: Uuid,
        /// The record it was told to regard: table and id.
        record: Option<(String, Uuid)>,
        /// The UID of the connection it was created through: the default may have changed since.
        connection: String,
        /// The rule that asked for it, if one did.
        rule: Option<ObjectRef>,
        /// The `spec.link` that was acted on, if it was created by hand.
        spec: Option<LinkSpec>,
    },
    /// It was refused or failed.
    Failed(Reason),
}

/// What to do before the status can be written.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Write the status.
    Write,
    /// Write nothing yet: wait for the requeue or a neighbor.
    Wait,
    /// Confirm by a live read that the connection is gone, then decide again.
    ConfirmGone(ObjectRef),
    /// Ask the instance about an activity, then decide again.
    Check(ActivityCheck),
    /// Create the activity, then decide again.
    Create(ActivityCreation),
}

/// An activity to ask about.
#[derive(Clone, Debug, PartialEq)]
pub struct ActivityCheck {
    /// The UID of the connection to ask through.
    pub connection: String,
    /// The organization the link was made in (R27).
    pub organization: Uuid,
    pub activity: Uuid,
    /// The record the link has: table and id.
    pub record: Option<(String, Uuid)>,
}

/// An activity to create.
#[derive(Clone, Debug, PartialEq)]
pub struct ActivityCreation {
    /// The UID of the connection.
    pub connection: String,
    pub organization: Uuid,
    /// Counts the activities of the post, from 1.
    pub attempt: i32,
    /// The table asked for.
    pub record_type: String,
    /// The record it is to regard.
    pub record_id: Option<Uuid>,
    /// The rule that asks for it, if one does.
    pub rule: Option<ObjectRef>,
    /// The `spec.link` that asks for it, if it is created by hand.
    pub spec: Option<LinkSpec>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct PostLinkDecision {
    /// What to do first.
    pub step: Step,
    /// The desired status, when `step` is `Write`.
    pub status: PostLinkStatus,
    pub requeue: Option<Requeue>,
}

impl PostLinkDecision {
    /// A step to take before a status can be written.
    pub(super) fn step(step: Step, status: PostLinkStatus, requeue: Option<Requeue>) -> Self {
        Self { step, status, requeue }
    }
}

/// The result of one room of the decision: decided, or a matter for another room.
pub(super) enum Next {
    Done(PostLinkDecision),
    /// The post has this link; the status holds it no longer.
    HasLink(PostLinkStatus, crate::api::LinkState),
    NoLink(PostLinkStatus),
}

impl From<PostLinkDecision> for Next {
    fn from(decision: PostLinkDecision) -> Self {
        Self::Done(decision)
    }
}
