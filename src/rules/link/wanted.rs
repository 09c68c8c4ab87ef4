//! R3, R5, R21: who wants a link, through which connection, and whether it can be made now.

use super::{
    Create, Created, LOOK_BACK, LinkDecision, LinkFacts, LinkView, Request, Step, Wish, open_to_rules,
    story::{Unlinked, cause, lost, wait_for, write},
};
use crate::{
    api::{ConditionType, ObjectRef, PostLinkStatus, Reason, RemovalCause, conditions},
    rules::{
        Requeue, SETTLE,
        facts::{ConnectionFacts, RuleFacts},
        messages, moved,
    },
};
use jiff::Timestamp;
use uuid::Uuid;

/// Who wants a link, and through which connection.
pub(super) struct Target<'a> {
    rule: Option<&'a RuleFacts>,
    connection: Result<&'a ConnectionFacts, (Reason, Option<String>)>,
    record_type: Option<&'a str>,
    record_id: Option<Uuid>,
    /// Nothing is made before this time (§5).
    settled: Timestamp,
}

/// A standing intent first, then the rules.
pub(super) fn target<'a>(view: &'a LinkView<'_>, next: &PostLinkStatus) -> Option<Target<'a>> {
    match &view.link.wish {
        Wish::Unlink => None,
        Wish::Link(request) => {
            let used = next.intent.as_ref().and_then(|i| i.hash.as_ref()) == Some(&request.hash)
                && next.removed_link.as_ref().is_some_and(|removed| {
                    !matches!(removed.cause, RemovalCause::ConnectionDeleted | RemovalCause::Unlinked)
                });
            (!used).then(|| by_hand(view, request))
        }
        Wish::Rules if !open_to_rules(next.removed_link.as_ref()) => None,
        Wish::Rules => by_rule(view),
    }
}

pub(super) fn by_hand<'a>(view: &'a LinkView<'_>, request: &'a Request) -> Target<'a> {
    let own = moved(view.link.created.max(view.link.seen), SETTLE);
    let (connection, settled) = match &request.connection {
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
                    let chosen = c.default_since.map_or(own, |since| moved(since, SETTLE));
                    (Ok(c), own.max(chosen))
                }
                None => (Err((Reason::NoDefaultConnection, None)), own),
            }
        }
    };
    Target {
        rule: None,
        connection,
        record_type: request.record_type.as_deref(),
        record_id: request.record_id,
        settled,
    }
}

/// The most recently created of the active rules that match and count the post; of one second, the greater name.
pub(super) fn by_rule<'a>(view: &'a LinkView<'_>) -> Option<Target<'a>> {
    let connection_of = |rule: &RuleFacts| view.connections.iter().find(|c| c.name == rule.connection);
    let at_work = |rule: &RuleFacts| connection_of(rule).is_some_and(|c| rule.effective_on(c));
    // A rule that is just being taken in competes already: else the order of arrival would decide.
    let starting = |rule: &RuleFacts| rule.wants_active && !rule.settled;
    let rule = view
        .matching
        .iter()
        .filter(|rule| rule.wants_active && counts(view.link, rule) && (at_work(rule) || starting(rule)))
        .max_by(|a, b| a.created.cmp(&b.created).then_with(|| a.name.cmp(&b.name)))?;
    let settled = moved(view.link.created.max(view.link.seen).max(rule.created), SETTLE);
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
pub(super) fn counts(link: &LinkFacts, rule: &RuleFacts) -> bool {
    match rule.since {
        Some(since) => link.published_at.is_some_and(|published| published >= since),
        // A rule nobody looked at yet: its creation, or later. It only makes others wait until that is known.
        None => {
            let from = rule.active_from.or_else(|| (!rule.settled).then_some(rule.created));
            from.is_some_and(|from| link.created >= moved(from, -LOOK_BACK))
        }
    }
}
/// Somebody wants a link.
pub(super) fn wanted(view: &LinkView<'_>, next: PostLinkStatus, target: &Target<'_>) -> LinkDecision {
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
            Some(since) if view.now < moved(since, SETTLE) => {
                return wait_for(Step::Wait, next, Some(Requeue::awaited(moved(since, SETTLE))));
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
        return wait_for(Step::Wait, next, again);
    }
    if let Some(Created::Refused(reason)) = view.created {
        return pending(view, next, *reason, name, Some(record_type), view.not_before);
    }
    if let Some(at) = view.not_before.filter(|at| view.now < *at) {
        let reason = conditions::reason(&view.link.status.conditions, ConditionType::Ready);
        let reason = reason.filter(|r| is_waiting(*r)).unwrap_or(Reason::Throttled);
        return pending(view, next, reason, name, Some(record_type), Some(at));
    }
    let Some(organization) = connection.organization else {
        return pending(view, next, Reason::ConnectionNotReady, name, None, None);
    };
    let attempt = next.intent.as_ref().map_or(1, |i| i.attempt);
    let stored = view.link.status.intent.as_ref().map_or(1, |i| i.attempt);
    if attempt != stored {
        // §2: stored before the call. Else a crash right after it, and a change of mind, would leave an activity
        // that no status has ever named.
        let linking = messages::linking(&connection.name);
        let (reason, message) = match &next.removed_link {
            Some(removed) => (cause(removed.cause), format!("{} {linking}", lost(view, removed))),
            None => (Reason::Unlinked, format!("{} {linking}", messages::lost(Reason::Unlinked, ""))),
        };
        let told = Unlinked { reason, message, waits: Some(reason) };
        return write(view, next, told.into(), Some(Requeue::awaited(view.now)));
    }
    let create = Create {
        connection: connection.uid.clone(),
        organization,
        attempt,
        record_type: record_type.to_owned(),
        record_id: target.record_id,
        rule: target.rule.map(|r| ObjectRef { name: r.name.clone(), uid: r.uid.clone() }),
        request: target.rule.is_none().then(|| view.link.wish.request().cloned()).flatten(),
    };
    wait_for(Step::Create(create), next, None)
}

/// Reasons a creation was refused with, that stand until the next try.
pub(super) fn is_waiting(reason: Reason) -> bool {
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
pub(super) fn pending(
    view: &LinkView<'_>,
    next: PostLinkStatus,
    reason: Reason,
    connection: Option<&str>,
    record_type: Option<&str>,
    retry: Option<Timestamp>,
) -> LinkDecision {
    let deleted = next.removed_link.as_ref().filter(|r| r.cause == RemovalCause::ConnectionDeleted);
    let waits = messages::link_waits(reason, connection, record_type);
    let (told, message) = match deleted {
        Some(removed) => (Reason::ConnectionDeleted, format!("{} {waits}", lost(view, removed))),
        None => (reason, waits),
    };
    let told = Unlinked { reason: told, message, waits: Some(reason) };
    write(view, next, told.into(), retry.map(Requeue::awaited))
}
