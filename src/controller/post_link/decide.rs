//! Builds the view of one PostLink from memory and decides.

use crate::{
    controller::{context::Context, index::LinkSnapshot, key::Key},
    domain::post_link::{PostLinkDecision, PostLinkView, decide},
};

pub fn decision(context: &Context, key: &Key, snapshot: &LinkSnapshot) -> PostLinkDecision {
    let status = &snapshot.facts.status;
    let link = status.link.as_ref().or(status.removed_link.as_ref().map(|removed| &removed.link));
    let results = context.runtime.link_results(key, snapshot.uid, link.map(|link| link.social_activity_id));
    let tombstone = |uid: &str| context.index.tombstone(uid);
    decide(&PostLinkView {
        now: context.clock.now(),
        post_link: &snapshot.facts,
        connections: &snapshot.connections,
        matching: &snapshot.matching,
        tombstone: &tombstone,
        activity: results.activity.as_ref(),
        created: results.created.as_ref(),
        not_before: results.not_before,
    })
}
