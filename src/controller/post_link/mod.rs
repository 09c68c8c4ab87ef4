//! Reconciles a PostLink: view → decide → perform. Long operations run in the background; a status is written once, and
//! only if it differs.

mod activity;
pub mod check;
mod create;
pub mod perform;
pub mod rematch;

use crate::{
    api::{DynamicsConnection, ObjectRef, PostLink, PostLinkStatus},
    controller::{
        context::{Context, WATCH_BEHIND},
        events::reference,
        index::{Affected, LinkSnapshot, Source, entry},
        key::Key,
        list::api,
        patch::{self, ApiError},
        received::Received,
        runtime::{LinkGeneration, LinkResults},
    },
    domain::{
        conditions::transitions,
        post_link::{ActivityCheck, ActivityCreation, PostLinkDecision, PostLinkView, decide, open_to_rules},
        requeue::Requeue,
    },
};
use jiff::SignedDuration;
use kube::ResourceExt;
use perform::{Effects, perform};

/// Time for a lease that is about to expire to be renewed. Without it, waiting links would be reconciled in a busy loop.
const LEASE_RENEWAL: SignedDuration = SignedDuration::from_secs(1);

pub async fn reconcile(context: &Context, key: &Key) -> Result<Option<Requeue>, ApiError> {
    let result = decide_and_perform(context, key).await;
    // A creation slot that this reconcile did not use goes to the next waiting link.
    context.queue.extend(context.runtime.decline_slot(key));
    result
}

async fn decide_and_perform(context: &Context, key: &Key) -> Result<Option<Requeue>, ApiError> {
    let Some(snapshot) = context.index.snapshot(key) else { return Ok(None) };
    if context.runtime.is_creating(key) {
        return Ok(None);
    }
    let status = &snapshot.facts.status;
    let link = status.link.as_ref().or(status.removed_link.as_ref().map(|removed| &removed.link));
    let activity = link.map(|link| link.social_activity_id);
    let results = context.runtime.link_results(key, generation(&snapshot), activity);
    let decision = decision(context, &snapshot, &results);
    perform(&mut Reconcile { context, key, snapshot: &snapshot, results: &results }, &decision).await
}

fn generation(snapshot: &LinkSnapshot) -> LinkGeneration {
    LinkGeneration { uid: snapshot.uid, generation: snapshot.facts.generation }
}

/// Builds the view from memory and decides.
fn decision(context: &Context, snapshot: &LinkSnapshot, results: &LinkResults) -> PostLinkDecision {
    let tombstone = |uid: &str| context.index.tombstone(uid);
    decide(&PostLinkView {
        now: context.clock.now(),
        post_link: &snapshot.facts,
        connections: &snapshot.connections,
        matching: &snapshot.matching,
        same_post: snapshot.same_post.as_ref(),
        tombstone: &tombstone,
        activity: results.activity.as_ref(),
        created: results.created.as_ref(),
        not_before: results.not_before.as_ref(),
        stopping: context.runtime.is_stopping(),
    })
}

struct Reconcile<'a> {
    context: &'a Context,
    key: &'a Key,
    snapshot: &'a LinkSnapshot,
    results: &'a LinkResults,
}

impl Effects for Reconcile<'_> {
    type Error = ApiError;

    /// The connection of a link is not in the index. The watch may lag behind, so read it live (§6).
    async fn confirm_gone(&mut self, connection: &ObjectRef) -> Result<Option<Requeue>, ApiError> {
        let Self { context, key, .. } = self;
        let api = api::<Received<DynamicsConnection>>(&context.client, Some(&key.namespace));
        let live = patch::read(&api, &connection.name).await?;
        if live.is_some_and(|live| live.uid().as_deref() == Some(&connection.uid)) {
            return Ok(Some(Requeue::awaited(context.clock.now() + WATCH_BEHIND)));
        }
        context.index.mark_deleted(&connection.uid);
        Ok(Some(Requeue::awaited(context.clock.now())))
    }

    fn check(&mut self, check: &ActivityCheck) {
        check::start(self.context, self.key.clone(), check.clone());
    }

    fn create(&mut self, creation: &ActivityCreation) -> Option<Requeue> {
        if !(self.context.may_create)() {
            return Some(Requeue::awaited(self.context.clock.now() + LEASE_RENEWAL));
        }
        create::start(self.context, self.key, self.snapshot, generation(self.snapshot), creation);
        None
    }

    async fn write(&mut self, decision: &PostLinkDecision) -> Result<(), ApiError> {
        let Self { context, key, snapshot, results } = self;
        let differs = entry::hash(&decision.status) != snapshot.status_hash;
        if differs && !write(context, key, snapshot, &decision.status).await? {
            return Ok(());
        }
        context.runtime.status_written(key, results, decision.requeue.is_some());
        Ok(())
    }
}

/// Returns whether the status was stored; if not, the object has changed and is enqueued.
async fn write(
    context: &Context,
    key: &Key,
    snapshot: &LinkSnapshot,
    status: &PostLinkStatus,
) -> Result<bool, ApiError> {
    let (before, after) = (&snapshot.facts.status, status);
    let version = snapshot.version.to_string();
    let stored = if keeps_link(before, after) {
        let stored = patch::write_status_only::<PostLink>(&context.client, key, &version, status).await;
        stored.map(Stored::Metadata)
    } else {
        let stored = patch::write_status::<PostLink>(&context.client, key, &version, status).await;
        stored.and_then(|link| Ok(Stored::Whole(Box::new(link.decoded()?))))
    };
    let stored = match context.wrote(key, "status", stored) {
        Err(ApiError::Conflict) => {
            // Read the newer version, so that the next reconcile does not conflict again.
            let api = api::<Received<PostLink>>(&context.client, Some(&key.namespace));
            let Some(live) = patch::read(&api, &key.name).await? else { return Err(ApiError::Gone) };
            let affected = context.index.apply_link(&live.decoded()?, Source::Response, context.clock.now());
            if affected.keys.is_empty() {
                // The watch has delivered it, or will.
                return Err(ApiError::Conflict);
            }
            context.enqueue(affected);
            return Ok(false);
        }
        other => other?,
    };
    let uid = snapshot.uid.to_string();
    context.record_transitions(key, &uid, &before.conditions, &after.conditions);
    context.events.publish(&reference(key, Some(uid)), transitions(&before.conditions, &after.conditions));
    let mut affected = match stored {
        Stored::Whole(link) => context.index.apply_link(&link, Source::Response, context.clock.now()),
        Stored::Metadata(written) => {
            let written = entry::version(written.resource_version().as_deref());
            context.index.apply_status(key, snapshot, written, status);
            Affected::default()
        }
    };
    // Our own write does not require another reconcile. It may concern other PostLinks of the post, and the watch, which
    // delivers the same version, does not tell them.
    affected.keys.retain(|other| other != key);
    context.enqueue(affected);
    // Source or id may have been changed while the activity was created.
    let post_changed = context.index.post_changed(key) && !snapshot.facts.post_changed;
    if post_changed || depends_on_neighbors_now(before, after) {
        context.queue.add(key.clone());
    }
    Ok(true)
}

/// What the API server answered to a write.
enum Stored {
    Whole(Box<PostLink>),
    Metadata(Received<PostLink>),
}

/// Whether nothing changes that the index compares with the post: then it needs only the status that was written.
fn keeps_link(before: &PostLinkStatus, after: &PostLinkStatus) -> bool {
    let attempt = |status: &PostLinkStatus| status.intent.as_ref().map(|intent| intent.attempt);
    before.link == after.link
        && before.removed_link == after.removed_link
        && attempt(before) == attempt(after)
}

/// Whether a write made the link depend on neighbors it did not depend on before. Their changes while the write was in
/// flight did not enqueue the link, so it is reconciled once more.
fn depends_on_neighbors_now(before: &PostLinkStatus, after: &PostLinkStatus) -> bool {
    let uid = |status: &PostLinkStatus| status.link.as_ref().map(|link| link.connection.uid.clone());
    let left = before.link.is_some() && uid(before) != uid(after);
    let open = |status: &PostLinkStatus| status.link.is_none() && open_to_rules(status.removed_link.as_ref());
    let reopened = before.link.is_none() && !open(before) && open(after);
    left || reopened
}
