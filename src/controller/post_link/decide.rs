//! The decision about one PostLink, from all that is in memory.

use crate::{
    controller::{context::Context, index::LinkSnapshot, key::Key},
    domain::post_link::{PostLinkDecision, PostLinkView, decide},
};

/// Decides, once per reconcile.
pub fn decision(context: &Context, key: &Key, snapshot: &LinkSnapshot) -> PostLinkDecision {
    let status = &snapshot.facts.status;
    let link = status.link.as_ref().or(status.removed_link.as_ref().map(|removed| &removed.link));
    let learned = context.runtime.learned(key, snapshot.uid, link.map(|link| link.social_activity_id));
    let tombstone = |uid: &str| context.index.tombstone(uid);
    decide(&PostLinkView {
        now: context.clock.now(),
        post_link: &snapshot.facts,
        connections: &snapshot.connections,
        matching: &snapshot.matching,
        tombstone: &tombstone,
        activity: learned.activity.as_ref(),
        created: learned.created.as_ref(),
        not_before: learned.not_before,
    })
}
