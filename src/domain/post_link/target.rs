//! R3, R5, R21: who asks for a link, through which connection, and whether it can be created now.

use super::{
    intent::open_to_rules,
    status::{UnlinkedStatus, lost, removal_reason, write},
    view::{
        ActivityCreation, CreationResult, DesiredLink, LinkSpec, PostLinkDecision, PostLinkFacts,
        PostLinkView, Step,
    },
};
use crate::{
    api::{ConditionType, ObjectRef, PostLinkStatus, Reason, RemovalCause, conditions},
    domain::{
        facts::{ConnectionFacts, RuleFacts},
        messages,
        requeue::{Requeue, SETTLE, saturating_add},
    },
};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

/// A rule without `since` takes posts this much older than its activation, so that a rule and the posts of one commit
/// count in any order, also when the connection arrives last (§2).
const LOOK_BACK: SignedDuration = SignedDuration::from_mins(10);

/// Who asks for a link, and through which connection.
pub(super) struct Target<'a> {
    rule: Option<&'a RuleFacts>,
    connection: Result<&'a ConnectionFacts, (Reason, Option<String>)>,
    record_type: Option<&'a str>,
    record_id: Option<Uuid>,
    /// Nothing is created before this time (§5).
    settled: Timestamp,
}

/// A standing intent first, then the rules.
pub(super) fn target<'a>(view: &'a PostLinkView<'_>, next: &PostLinkStatus) -> Option<Target<'a>> {
    match &view.post_link.desired {
        DesiredLink::Unlink => None,
        DesiredLink::ByHand(spec) => {
            let used = next.intent.as_ref().and_then(|i| i.hash.as_ref()) == Some(&spec.hash)
                && next.removed_link.as_ref().is_some_and(|removed| {
                    !matches!(removed.cause, RemovalCause::ConnectionDeleted | RemovalCause::Unlinked)
                });
            (!used).then(|| by_hand(view, spec))
        }
        DesiredLink::ByRule if !open_to_rules(next.removed_link.as_ref()) => None,
        DesiredLink::ByRule => by_rule(view),
    }
}

fn by_hand<'a>(view: &'a PostLinkView<'_>, spec: &'a LinkSpec) -> Target<'a> {
    let own = saturating_add(view.post_link.created.max(view.post_link.first_seen), SETTLE);
    let (connection, settled) = match &spec.connection {
        Some(name) => match view.connections.iter().find(|c| c.name == *name) {
            Some(c) => (Ok(c), own),
            None => (Err((Reason::ConnectionNotFound, Some(name.clone()))), own),
        },
        None => {
            let default = view
                .connections
                .iter()
                .filter(|c| c.default_since.is_some())
                .min_by(|a, b| a.created.cmp(&b.created).then_with(|| a.name.cmp(&b.name)));
            match default {
                Some(c) => {
                    let chosen = c.default_since.map_or(own, |since| saturating_add(since, SETTLE));
                    (Ok(c), own.max(chosen))
                }
                None => (Err((Reason::NoDefaultConnection, None)), own),
            }
        }
    };
    Target {
        rule: None,
        connection,
        record_type: spec.record_type.as_deref(),
        record_id: spec.record_id,
        settled,
    }
}

/// The most recently created of the active rules that match and count the post; of one second, the greater name.
fn by_rule<'a>(view: &'a PostLinkView<'_>) -> Option<Target<'a>> {
    let connection_of = |rule: &RuleFacts| view.connections.iter().find(|c| c.name == rule.connection);
    let at_work = |rule: &RuleFacts| connection_of(rule).is_some_and(|c| rule.effective_on(c));
    // A rule that is just being taken in competes already: else the order of arrival would decide.
    let starting = |rule: &RuleFacts| rule.wants_active && !rule.settled;
    let rule = view
        .matching
        .iter()
        .filter(|rule| rule.wants_active && counts(view.post_link, rule) && (at_work(rule) || starting(rule)))
        .max_by(|a, b| a.created.cmp(&b.created).then_with(|| a.name.cmp(&b.name)))?;
    let settled =
        saturating_add(view.post_link.created.max(view.post_link.first_seen).max(rule.created), SETTLE);
    let settled = if at_work(rule) { settled } else { Timestamp::MAX };
    Some(Target {
        rule: Some(rule),
        connection: connection_of(rule)
            .ok_or_else(|| (Reason::ConnectionNotFound, Some(rule.connection.clone()))),
        record_type: rule.record_type.as_deref(),
        record_id: None,
        settled,
    })
}

/// Whether a rule counts a post at all: never retroactive, unless `since` says from when on.
fn counts(post_link: &PostLinkFacts, rule: &RuleFacts) -> bool {
    match rule.since {
        Some(since) => post_link.published_at.is_some_and(|published| published >= since),
        // A rule nobody looked at yet: its creation, or later. It only makes others wait until that is known.
        None => {
            let from = rule.active_from.or_else(|| (!rule.settled).then_some(rule.created));
            from.is_some_and(|from| post_link.created >= saturating_add(from, -LOOK_BACK))
        }
    }
}
/// A link is asked for.
pub(super) fn create_or_wait(
    view: &PostLinkView<'_>,
    next: PostLinkStatus,
    target: &Target<'_>,
) -> PostLinkDecision {
    let connection = match &target.connection {
        Ok(connection) => connection,
        Err((reason, name)) => return pending(view, next, *reason, name.as_deref(), None, None),
    };
    let name = Some(connection.name.as_str());
    if let Some(reason) = connection.refuses_links() {
        return pending(view, next, reason, name, None, None);
    }
    // A wish to disable or delete is stored. While rules hold it, links by hand go on (§4.3); but only once the hold
    // has stood for a while, or objects of one commit would end as the order of their arrival has it.
    if connection.fenced() {
        match connection.held_since {
            None => return pending(view, next, Reason::ConnectionDisabled, name, None, None),
            Some(since) if view.now < saturating_add(since, SETTLE) => {
                return PostLinkDecision::step(
                    Step::Wait,
                    next,
                    Some(Requeue::awaited(saturating_add(since, SETTLE))),
                );
            }
            Some(_) => {}
        }
    }
    let record_type = match target.record_type {
        Some(asked) if !connection.record_types.iter().any(|t| t == asked) => {
            return pending(view, next, Reason::RecordTypeNotOffered, name, Some(asked), None);
        }
        Some(asked) => asked,
        None => match connection.record_types.first() {
            Some(first) => first,
            None => return pending(view, next, Reason::RecordTypeNotOffered, name, None, None),
        },
    };
    let settled = target.settled;
    if view.now < settled {
        let again = (settled < Timestamp::MAX).then(|| Requeue::awaited(settled));
        return PostLinkDecision::step(Step::Wait, next, again);
    }
    if let Some(CreationResult::Failed(reason)) = view.created {
        return pending(view, next, *reason, name, Some(record_type), view.not_before);
    }
    if let Some(at) = view.not_before.filter(|at| view.now < *at) {
        let reason = conditions::reason(&view.post_link.status.conditions, ConditionType::Ready);
        let reason = reason.filter(|r| is_waiting(*r)).unwrap_or(Reason::Throttled);
        return pending(view, next, reason, name, Some(record_type), Some(at));
    }
    let Some(organization) = connection.organization else {
        return pending(view, next, Reason::ConnectionNotReady, name, None, None);
    };
    let attempt = next.intent.as_ref().map_or(1, |i| i.attempt);
    let stored = view.post_link.status.intent.as_ref().map_or(1, |i| i.attempt);
    if attempt != stored {
        // §2: stored before the call. Else a crash right after it, and a change of mind, would leave an activity
        // that no status has ever named.
        let linking = messages::linking(&connection.name);
        let (reason, message) = match &next.removed_link {
            Some(removed) => (removal_reason(removed.cause), format!("{} {linking}", lost(view, removed))),
            None => (Reason::Unlinked, format!("{} {linking}", messages::lost(Reason::Unlinked, ""))),
        };
        let status = UnlinkedStatus { reason, message, waits: Some(reason) };
        return write(view, next, status.into(), Some(Requeue::awaited(view.now)));
    }
    let creation = ActivityCreation {
        connection: connection.uid.clone(),
        organization,
        attempt,
        record_type: record_type.to_owned(),
        record_id: target.record_id,
        rule: target.rule.map(|r| ObjectRef { name: r.name.clone(), uid: r.uid.clone() }),
        spec: target.rule.is_none().then(|| view.post_link.desired.spec().cloned()).flatten(),
    };
    PostLinkDecision::step(Step::Create(creation), next, None)
}

/// Reasons a creation was refused with, that stand until the next try.
fn is_waiting(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::Throttled
            | Reason::PostRefused
            | Reason::SocialDataRefused
            | Reason::RecordNotFound
            | Reason::RecordTypeNotOffered
            | Reason::InstanceDowntime
            | Reason::InstanceExpired
            | Reason::OrganizationChanged
            | Reason::ConnectionNotReady
    )
}
/// Wanted, and cannot be done now (R21). What happened to an earlier link goes before the reason of the wait.
fn pending(
    view: &PostLinkView<'_>,
    next: PostLinkStatus,
    reason: Reason,
    connection: Option<&str>,
    record_type: Option<&str>,
    retry: Option<Timestamp>,
) -> PostLinkDecision {
    let deleted = next.removed_link.as_ref().filter(|r| r.cause == RemovalCause::ConnectionDeleted);
    let waits = messages::link_waits(reason, connection, record_type);
    let (told, message) = match deleted {
        Some(removed) => (Reason::ConnectionDeleted, format!("{} {waits}", lost(view, removed))),
        None => (reason, waits),
    };
    let status = UnlinkedStatus { reason: told, message, waits: Some(reason) };
    write(view, next, status.into(), retry.map(Requeue::awaited))
}
