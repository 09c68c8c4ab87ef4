//! R3, R5, R21: the desired link of an unlinked post, and whether it can be created now.

use super::{
    intent::open_to_rules,
    status::{UnlinkedStatus, lost, removal_reason, write},
    view::{
        ActivityCreation, CreationResult, DesiredLink, LinkSpec, PostLinkDecision, PostLinkFacts,
        PostLinkView, Step,
    },
};
use crate::{
    api::{ConditionType, ObjectRef, PostLinkStatus, Reason, RemovalCause, RemovedLink, conditions},
    domain::{
        facts::{ConnectionFacts, Offer, RuleFacts},
        messages,
        requeue::{Requeue, SETTLE, saturating_add},
    },
};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use uuid::Uuid;

/// A rule without `since` applies to posts up to this much older than its activation, so that a rule, its connection and
/// the posts of one commit may arrive in any order (§2).
const LOOKBACK: SignedDuration = SignedDuration::from_mins(10);

/// The desired link.
pub(super) struct Target<'a> {
    rule: Option<&'a RuleFacts>,
    connection: Result<&'a ConnectionFacts, (Reason, Option<String>)>,
    record_type: Option<&'a str>,
    record_id: Option<Uuid>,
    /// Nothing is created before this time (§5).
    settled: Timestamp,
}

/// From `spec.link`, otherwise from a rule.
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
            Some(c) => (Ok(c.as_ref()), own),
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
                    (Ok(c.as_ref()), own.max(chosen))
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

/// The most recently created of the active rules that match and apply to the post; of the same second, the greater name.
fn by_rule<'a>(view: &'a PostLinkView<'_>) -> Option<Target<'a>> {
    let connection_of =
        |rule: &RuleFacts| view.connections.iter().find(|c| c.name == rule.connection).map(Arc::as_ref);
    let active = |rule: &RuleFacts| connection_of(rule).is_some_and(|c| rule.effective_on(c));
    // A rule that waits for its first decision competes as well: otherwise the order of arrival would decide.
    let starting = |rule: &RuleFacts| rule.wants_active && !rule.settled;
    let rule = latest(view, |rule| {
        rule.wants_active && applies_to(rule, view.post_link) && (active(rule) || starting(rule))
    })?;
    let settled =
        saturating_add(view.post_link.created.max(view.post_link.first_seen).max(rule.created), SETTLE);
    let settled = if active(rule) { settled } else { Timestamp::MAX };
    Some(Target {
        rule: Some(rule),
        connection: connection_of(rule)
            .ok_or_else(|| (Reason::ConnectionNotFound, Some(rule.connection.clone()))),
        record_type: rule.record_type.as_deref(),
        record_id: None,
        settled,
    })
}

fn latest<'a>(view: &'a PostLinkView<'_>, among: impl Fn(&RuleFacts) -> bool) -> Option<&'a RuleFacts> {
    let rules = view.matching.iter().map(|rule| &**rule).filter(|rule| among(rule));
    rules.max_by(|a, b| a.created.cmp(&b.created).then_with(|| a.name.cmp(&b.name)))
}

/// Why the rule that would link a post does not apply to it: the post is too old.
pub(super) fn too_old(view: &PostLinkView<'_>) -> Option<String> {
    let effective = |rule: &RuleFacts| view.connections.iter().any(|c| rule.effective_on(c));
    let rule =
        latest(view, |rule| rule.wants_active && effective(rule) && !applies_to(rule, view.post_link))?;
    Some(match (rule.since, rule.active_from) {
        (Some(since), _) => messages::older_than_since(&rule.name, view.post_link.published_at, since),
        (None, from) => messages::older_than_rule(&rule.name, view.post_link.created, from?),
    })
}

/// Whether a rule applies to a post by its time: published after `since`, or created after the rule was activated.
fn applies_to(rule: &RuleFacts, post_link: &PostLinkFacts) -> bool {
    match rule.since {
        // The fractions of `publishedAt` are not kept.
        Some(since) => {
            post_link.published_at.is_some_and(|published| whole_second(published) >= whole_second(since))
        }
        // Before the rule's first decision, its creation counts. Such a rule only makes the post wait.
        None => {
            let from = rule.active_from.or_else(|| (!rule.settled).then_some(rule.created));
            from.is_some_and(|from| post_link.created >= saturating_add(from, -LOOKBACK))
        }
    }
}

/// The second in which a time is.
fn whole_second(time: Timestamp) -> i64 {
    // Before 1970, fractions are negative.
    time.as_second() - i64::from(time.subsec_nanosecond() < 0)
}

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
    // A disable or delete is requested. While rules block it, links by hand are still created (§4.3), but only after it has
    // settled: otherwise the result would depend on the order in which objects of one commit arrive.
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
    let Some(record_type) = target.record_type.or_else(|| connection.default_record_type()) else {
        return pending(view, next, Reason::RecordTypeNotOffered, name, None, None);
    };
    let settled = target.settled;
    match connection.offer(record_type) {
        Offer::Offered => {}
        Offer::Unread => {
            // Most are read within moments: write only what lasts.
            let patience = saturating_add(view.post_link.created.max(view.post_link.first_seen), SETTLE);
            if view.now < patience {
                return PostLinkDecision::step(Step::Wait, next, Some(Requeue::awaited(patience)));
            }
            return pending(view, next, Reason::ConnectionNotReady, name, Some(record_type), None);
        }
        // The rule is about to learn it, and then no rule asks for this link.
        _ if settled == Timestamp::MAX => return PostLinkDecision::step(Step::Wait, next, None),
        Offer::NotListed | Offer::NoTable | Offer::NotSupported => {
            return pending(view, next, Reason::RecordTypeNotOffered, name, Some(record_type), None);
        }
    }
    if view.now < settled {
        let again = (settled < Timestamp::MAX).then(|| Requeue::awaited(settled));
        return PostLinkDecision::step(Step::Wait, next, again);
    }
    // A failure through another connection says nothing about this one (R22).
    let not_before = view.not_before.filter(|not| not.connection == connection.uid).map(|not| not.at);
    if let Some(CreationResult::Failed { connection: failed, reason }) = view.created
        && *failed == connection.uid
    {
        return pending(view, next, *reason, name, Some(record_type), not_before);
    }
    if let Some(at) = not_before.filter(|at| view.now < *at) {
        let reason = conditions::reason(&view.post_link.status.conditions, ConditionType::Ready);
        let reason = reason.filter(|r| is_waiting(*r)).unwrap_or(Reason::Throttled);
        return pending(view, next, reason, name, Some(record_type), Some(at));
    }
    let Some(organization) = connection.organization else {
        return pending(view, next, Reason::ConnectionNotReady, name, None, None);
    };
    let attempt = next.intent.as_ref().map_or(1, |i| i.attempt);
    let stored = view.post_link.status.intent.as_ref().map_or(1, |i| i.attempt);
    // That of another post begins with 1, as that of a new PostLink.
    if attempt != stored && !view.post_link.post_changed {
        // §2: store the attempt before the call. Otherwise a crash right after it, followed by a changed spec, would leave
        // an activity that no status refers to.
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
        name: connection.name.clone(),
        instance_url: connection.instance_url.clone(),
        organization,
        attempt,
        record_type: record_type.to_owned(),
        record_id: target.record_id,
        rule: target.rule.map(|r| ObjectRef { name: r.name.clone(), uid: r.uid.clone() }),
        spec: target.rule.is_none().then(|| view.post_link.desired.spec().cloned()).flatten(),
    };
    PostLinkDecision::step(Step::Create(creation), next, None)
}

/// Reasons of a failed creation, kept until the next attempt.
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

/// The link cannot be created now (R21). The message about a removed link precedes the reason.
fn pending(
    view: &PostLinkView<'_>,
    next: PostLinkStatus,
    reason: Reason,
    connection: Option<&str>,
    record_type: Option<&str>,
    retry: Option<Timestamp>,
) -> PostLinkDecision {
    let deleted = next.removed_link.as_ref().filter(|r| r.cause == RemovalCause::ConnectionDeleted);
    // That the deleted connection does not exist is no news, and "once it exists" would be a second promise.
    let gone = |removed: &RemovedLink| {
        reason == Reason::ConnectionNotFound && connection == Some(removed.link.connection.name.as_str())
    };
    let offer = view.connections.iter().find(|c| Some(c.name.as_str()) == connection).zip(record_type);
    let record_type = offer.map(|(connection, record_type)| (record_type, connection.offer(record_type)));
    let waits = match deleted {
        Some(removed) if gone(removed) => messages::link_elsewhere(),
        _ => messages::link_waits(reason, connection, record_type),
    };
    let (linked, message) = match deleted {
        Some(removed) => (Reason::ConnectionDeleted, format!("{} {waits}", lost(view, removed))),
        None => (reason, waits),
    };
    let status = UnlinkedStatus { reason: linked, message, waits: Some(reason) };
    write(view, next, status.into(), retry.map(Requeue::awaited))
}
