//! R5, R12–R28: what becomes of one post's link.
//!
//! The order of the questions is the order of §3: the user's own act, connection gone, connection state, record state
//! (`existing`); then restore, a standing intent, rules (`missing`, `target`). `status` writes what people read.

mod existing;
mod intent;
mod missing;
pub mod record;
pub mod restore;
mod status;
mod target;
mod view;

pub use intent::open_to_rules;
pub use view::{
    ActivityCheck, ActivityCreation, CreationResult, DesiredLink, LinkSpec, PostLinkDecision, PostLinkFacts,
    PostLinkView, Step, Tombstone,
};

use super::messages;
use crate::api::Reason;
use status::{UnlinkedStatus, write};
use uuid::Uuid;
use view::Next;

/// The id of a post's social activity (§2): the same organization, namespace, post and attempt have the same one, so a
/// crash, a restored cluster or a recreated PostLink finds its activity instead of making a second case.
pub fn activity_id(organization: Uuid, namespace: &str, post_id: &str, attempt: i32) -> Uuid {
    // A namespace holds no slash, so no two posts share a name.
    Uuid::new_v5(&organization, format!("{namespace}/{attempt}/{post_id}").as_bytes())
}

pub fn decide(view: &PostLinkView<'_>) -> PostLinkDecision {
    let mut status = view.post_link.status.clone();
    status.observed_generation = view.post_link.generation;
    if view.post_link.reconcile_requested.is_some() {
        status.last_handled_reconcile_at.clone_from(&view.post_link.reconcile_requested);
    }
    if view.post_link.deleting {
        return PostLinkDecision::step(Step::Wait, status, None);
    }
    if view.post_link.desired == DesiredLink::Unlink {
        intent::take_relink_request(view, &mut status);
        intent::unlink(view, &mut status);
        let message = messages::lost(Reason::Unlinked, "");
        let unlinked = UnlinkedStatus { reason: Reason::Unlinked, message, waits: None };
        return write(view, status, unlinked.into(), None);
    }
    let mut next = match status.link.take() {
        Some(link) => Next::HasLink(status, link),
        None => Next::NoLink(status),
    };
    // A link that was just created counts once: when it is put aside again in this decision, it is not found anew.
    let mut created = view.created;
    loop {
        next = match next {
            Next::HasLink(status, link) => existing::evaluate(view, status, link),
            Next::NoLink(status) => missing::evaluate(view, status, created.take()),
            Next::Done(decision) => return decision,
        };
    }
}
