//! R5, R12–R28: what becomes of one post's link. The order of the questions is the order of §3: the user's own act,
//! connection gone, connection state, record state (`linked`); then restore (`unlinked`), a standing intent, rules
//! (`wanted`). `story` writes what people read.

mod linked;
mod story;
mod unlinked;
mod wanted;

use super::{
    Requeue,
    facts::{ConnectionFacts, RuleFacts, unhandled},
    messages,
    record::Seen,
};
use crate::api::{Intent, LinkState, ObjectRef, PostLinkStatus, Reason, RemovalCause, RemovedLink};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use linked::linked;
use story::{Unlinked, write};
use unlinked::unlinked;
use uuid::Uuid;

/// A rule without `since` takes posts this much older than its switch-on, so that a rule and the posts of one
/// commit count in any order, also when the connection arrives last (§2).
pub const LOOK_BACK: SignedDuration = SignedDuration::from_mins(10);

/// A PostLink, as far as decisions need it: no post text.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkFacts {
    /// `metadata.generation`.
    pub generation: i64,
    /// When it was created.
    pub created: Timestamp,
    /// When this generation was first seen by this process; the epoch when its decision is already stored.
    pub seen: Timestamp,
    /// Whether a deletion is stored.
    pub deleting: bool,
    /// `spec.post.publishedAt`.
    pub published_at: Option<Timestamp>,
    /// What `spec` asks for.
    pub wish: Wish,
    /// The annotation `postlink.dev/relink-requested-at`.
    pub relink_requested: Option<String>,
    /// The reconcile request.
    pub reconcile_requested: Option<String>,
    /// The stored status.
    pub status: PostLinkStatus,
}

/// What `spec` asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Wish {
    /// Nothing: the rules decide.
    Rules,
    /// `spec.unlink`.
    Unlink,
    /// `spec.link`.
    Link(Request),
}

impl Wish {
    /// What is asked by hand.
    pub fn request(&self) -> Option<&Request> {
        match self {
            Self::Link(request) => Some(request),
            Self::Rules | Self::Unlink => None,
        }
    }
}

/// `spec.link`, as far as decisions need it.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
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
pub struct LinkView<'a> {
    /// The time.
    pub now: Timestamp,
    /// The link.
    pub link: &'a LinkFacts,
    /// All connections of the namespace.
    pub connections: &'a [ConnectionFacts],
    /// The rules of the namespace whose filters match the post.
    pub matching: &'a [RuleFacts],
    /// The UID of a connection that is proven gone: its deletion was seen, or a live read found nothing.
    pub gone: &'a dyn Fn(&str) -> Option<Gone>,
    /// What an Enabled instance of the right organisation said about the link's (or removed link's) activity.
    pub seen: Option<&'a Seen>,
    /// What became of the creation this decision asked for.
    pub created: Option<&'a Created>,
    /// After a failed try: not before this time.
    pub not_before: Option<Timestamp>,
}

/// Proof that a connection is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone {
    /// When its deletion was asked for, if that was seen.
    pub deleted_at: Option<Timestamp>,
}

/// What became of a creation.
#[derive(Clone, Debug, PartialEq)]
pub enum Created {
    /// The activity exists: made now, or found with its own id (§2).
    Exists {
        /// Its id.
        activity: Uuid,
        /// The record it was told to regard.
        record: Option<(String, Uuid)>,
        /// The UID of the connection it was made through: the default may be another by now.
        connection: String,
        /// The rule that asked, if one did.
        rule: Option<ObjectRef>,
        /// The `spec.link` that was acted on, if it was one.
        request: Option<Request>,
    },
    /// It was refused or failed.
    Refused(Reason),
}

/// What is to be done before the status can be written.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Nothing: write the status.
    Write,
    /// Nothing yet, and nothing to write: wait for the requeue or a neighbour.
    Wait,
    /// Prove by a live read that the connection is gone, then decide again.
    ConfirmGone(ObjectRef),
    /// Ask the instance about an activity (with others), then decide again.
    Check(Check),
    /// Create the activity, then decide again.
    Create(Create),
}

/// An activity to ask about.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// The UID of the connection to ask through.
    pub connection: String,
    /// The organisation the link was made in (R27).
    pub organization: Uuid,
    /// The activity.
    pub activity: Uuid,
    /// The record the link has: table and id.
    pub record: Option<(String, Uuid)>,
}

/// An activity to create.
#[derive(Clone, Debug, PartialEq)]
pub struct Create {
    /// The UID of the connection.
    pub connection: String,
    /// Its organisation.
    pub organization: Uuid,
    /// Which activity of the post.
    pub attempt: i32,
    /// The table asked for.
    pub record_type: String,
    /// The record it is to regard.
    pub record_id: Option<Uuid>,
    /// The rule that asks, if one does.
    pub rule: Option<ObjectRef>,
    /// The `spec.link` that asks, if it is one.
    pub request: Option<Request>,
}

/// What follows.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkDecision {
    /// What to do first.
    pub step: Step,
    /// The status as it should be, when `step` is `Write`.
    pub status: PostLinkStatus,
    /// When to look again.
    pub requeue: Option<Requeue>,
}
/// The id of a post's social activity (§2): the same post, namespace, organisation and attempt have the same one, so a
/// crash, a restored cluster or a re-created PostLink finds its activity instead of making a second case.
pub fn activity_id(organization: Uuid, namespace: &str, post_id: &str, attempt: i32) -> Uuid {
    // A namespace holds no slash, so no two posts share a name.
    Uuid::new_v5(&organization, format!("{namespace}/{attempt}/{post_id}").as_bytes())
}

/// Decides.
pub fn decide(view: &LinkView<'_>) -> LinkDecision {
    let mut next = view.link.status.clone();
    next.observed_generation = view.link.generation;
    if view.link.reconcile_requested.is_some() {
        next.last_handled_reconcile_at.clone_from(&view.link.reconcile_requested);
    }
    if view.link.deleting {
        return LinkDecision { step: Step::Wait, status: next, requeue: None };
    }

    if view.link.wish == Wish::Unlink {
        take_relink_request(view, &mut next);
        unlink(view, &mut next);
        let message = messages::lost(Reason::Unlinked, "");
        return write(view, next, Unlinked { reason: Reason::Unlinked, message, waits: None }.into(), None);
    }
    if let Some(link) = next.link.take() { linked(view, next, link) } else { unlinked(view, next) }
}

/// A relink request that was not acted on yet.
fn relink_request<'a>(view: &'a LinkView<'_>, next: &PostLinkStatus) -> Option<&'a str> {
    let handled = next.intent.as_ref().and_then(|intent| intent.relink_requested_at.as_deref());
    unhandled(view.link.relink_requested.as_deref(), handled)
}

/// "Ask again" (R23–R25): the intent counts as new, and rules may take the post.
fn take_relink_request(view: &LinkView<'_>, next: &mut PostLinkStatus) {
    let Some(asked) = relink_request(view, next).map(str::to_owned) else { return };
    let intent = next.intent.get_or_insert_with(fresh_intent);
    intent.relink_requested_at = Some(asked);
    // A link that stands is all that can be asked for. And while `unlink` stands nothing is asked for, and what became
    // of the link goes on being told.
    if next.link.is_some() || view.link.wish == Wish::Unlink {
        return;
    }
    intent.hash = None;
    // It goes when the new link is there: until then it can come back (R14), and a second activity beside the one that
    // waits would be for nothing.
    if let Some(removed) = &mut next.removed_link {
        removed.relink_requested = true;
    }
}

/// Whether rules may take a post that has no link: it never had one, or somebody asked for another since (§2).
pub fn open_to_rules(removed: Option<&RemovedLink>) -> bool {
    removed.is_none_or(|removed| removed.relink_requested)
}

fn fresh_intent() -> Intent {
    Intent { hash: None, connection: None, attempt: 1, relink_requested_at: None }
}

/// R26: the user's own act. No call to the instance, and no way back.
fn unlink(view: &LinkView<'_>, next: &mut PostLinkStatus) {
    if let Some(link) = next.link.take() {
        remove(view, next, link, RemovalCause::Unlinked, None);
    } else if let Some(removed) = &mut next.removed_link
        && removed.cause == RemovalCause::ConnectionDeleted
    {
        removed.cause = RemovalCause::Unlinked;
    }
    if let Some(intent) = &mut next.intent {
        intent.hash = None;
    }
}

/// Puts a link aside. The next activity of this post, if there ever is one, is another one.
fn remove(
    view: &LinkView<'_>,
    next: &mut PostLinkStatus,
    link: LinkState,
    cause: RemovalCause,
    connection_deleted_at: Option<Timestamp>,
) {
    let intent = next.intent.get_or_insert_with(fresh_intent);
    intent.attempt = intent.attempt.saturating_add(1);
    next.removed_link = Some(RemovedLink {
        link,
        removed_at: Time(view.now),
        cause,
        connection_deleted_at: connection_deleted_at.map(Time),
        relink_requested: false,
    });
}
fn use_intent(next: &mut PostLinkStatus, request: Option<&Request>) {
    let intent = next.intent.get_or_insert_with(fresh_intent);
    intent.hash = request.map(|r| r.hash.clone());
    intent.connection = request.and_then(|r| r.connection.clone());
}
