//! R5, R12–R28: the decision about the link of one post.
//!
//! The order is that of §3: unlink by the user, connection deleted, connection state, record state (`existing`); then
//! restore, `spec.link`, rules (`missing`, `target`). `status` sets the conditions.

mod existing;
mod identity;
mod intent;
mod missing;
pub mod record;
pub mod restore;
mod status;
mod target;
mod view;

pub use identity::{PostClaim, PostIdentity};
pub use intent::open_to_rules;
pub use view::{
    ActivityCheck, ActivityCreation, CreationResult, DesiredLink, Found, LinkSpec, NotBefore,
    PostLinkDecision, PostLinkFacts, PostLinkView, Step, Tombstone,
};

use super::messages;
use crate::api::Reason;
use status::{UnlinkedStatus, write};
use view::Next;

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
        // Otherwise the activity would be adopted by a later link, and R26 says that the old link is never restored.
        if status.link.is_none() {
            status.link = view.created.and_then(|created| missing::created_link(&mut status, created));
        }
        intent::take_relink_request(view, &mut status);
        intent::unlink(view, &mut status);
        let had_link = status.removed_link.is_some();
        let message = if had_link { messages::lost(Reason::Unlinked, "") } else { messages::never_linked() };
        let unlinked = UnlinkedStatus { reason: Reason::Unlinked, message, waits: None };
        return write(view, status, unlinked.into(), None);
    }
    let mut next = match status.link.take() {
        Some(link) => Next::HasLink(status, link),
        None => Next::NoLink(status),
    };
    // A creation result is used once: a link that this decision removes again must not be added a second time.
    let mut created = view.created;
    loop {
        next = match next {
            Next::HasLink(status, link) => existing::evaluate(view, status, link),
            Next::NoLink(status) => missing::evaluate(view, status, created.take()),
            Next::Done(decision) => return decision,
        };
    }
}
