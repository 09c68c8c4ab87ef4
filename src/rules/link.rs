//! R5, R12–R28: what becomes of one post's link. The order of the questions is the order of §3: the user's own act,
//! connection gone, connection state, record state; then restore, a standing intent, rules.

use super::{
    Requeue, SETTLE,
    conditions::Conditions,
    facts::{ConnectionFacts, RuleFacts},
    messages, moved,
    ready::{self, Readiness},
    record::{self, Outcome, Seen},
    restore,
};
use crate::api::{
    ConditionType, ConnectionState, Intent, LinkState, LinkedBy, ObjectRef, PostLinkStatus, Reason,
    RemovalCause, RemovedLink, conditions,
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
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

/// The confirmations of a fresh link: after these times since it was made the instance is asked whether it has made
/// a record; later the connection's own probe does.
const CONFIRMATIONS: [SignedDuration; 4] = [
    SignedDuration::from_secs(2),
    SignedDuration::from_secs(15),
    SignedDuration::from_mins(2),
    SignedDuration::from_mins(15),
];

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
    take_relink_request(view, &mut next);

    if view.link.wish == Wish::Unlink {
        unlink(view, &mut next);
        let message = messages::lost(Reason::Unlinked, "");
        return write(view, next, Unlinked { reason: Reason::Unlinked, message, waits: None }.into(), None);
    }
    if let Some(link) = next.link.take() { linked(view, next, link) } else { unlinked(view, next) }
}

/// "Ask again": whatever was before is over, and the intent counts as new (R23–R25).
fn take_relink_request(view: &LinkView<'_>, next: &mut PostLinkStatus) {
    let Some(asked) = &view.link.relink_requested else { return };
    let intent = next.intent.get_or_insert_with(fresh_intent);
    if intent.relink_requested_at.as_ref() == Some(asked) {
        return;
    }
    intent.relink_requested_at = Some(asked.clone());
    if next.link.is_none() {
        intent.hash = None;
        next.removed_link = None;
    }
}

fn fresh_intent() -> Intent {
    Intent { hash: None, attempt: 1, relink_requested_at: None }
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
    });
}

/// A post that has a link.
fn linked(view: &LinkView<'_>, mut next: PostLinkStatus, mut link: LinkState) -> LinkDecision {
    let through = view.connections.iter().find(|c| c.uid == link.connection.uid);
    let Some(connection) = through else {
        return match (view.gone)(&link.connection.uid) {
            Some(gone) => {
                remove(view, &mut next, link, RemovalCause::ConnectionDeleted, gone.deleted_at);
                unlinked(view, next)
            }
            None => wait_for(Step::ConfirmGone(link.connection.clone()), next, None),
        };
    };
    // The UID is its identity; a name that is not that object's own must not read as a changed connectionRef.
    link.connection.name.clone_from(&connection.name);
    if asks_for_another(view, &next, &link) {
        // A user unlink first, as if by hand; the new link follows in its own time. It can not be taken back, so it
        // waits as well: the same commit may delete the connection, and then the link is to be restored (§5).
        let settled = moved(view.link.seen, SETTLE);
        if view.now < settled {
            next.link = Some(link);
            return wait_for(Step::Wait, next, Some(Requeue::awaited(settled)));
        }
        remove(view, &mut next, link, RemovalCause::Unlinked, None);
        return unlinked(view, next);
    }

    let (available, check_at) = match availability(view, connection, &link) {
        Availability::Known(outcome, check_at) => match outcome {
            Outcome::Broken(cause) => {
                return broken(view, next, link, cause);
            }
            Outcome::Available(record) => {
                link.record = Some(record);
                (Ok(Reason::RecordAvailable), check_at)
            }
            Outcome::Pending => (Err(Reason::RecordPending), check_at),
        },
        Availability::Cannot(reason) => (Err(reason), None),
        Availability::Ask(check, again) => {
            next.link = Some(link);
            return wait_for(Step::Check(check), next, again);
        }
    };
    let reason = if link.restored_at.is_some() {
        Reason::Restored
    } else if link.linked_by == LinkedBy::Rule {
        Reason::LinkedByRule
    } else {
        Reason::LinkedByHand
    };
    let ignored = matches!((&view.link.wish, &next.intent), (Wish::Link(request), Some(intent))
        if intent.hash.is_some() && intent.hash.as_ref() != Some(&request.hash));
    let told = Linked {
        reason,
        message: messages::linked(
            reason,
            &connection.name,
            link.rule.as_ref().map(|r| r.name.as_str()),
            ignored,
        ),
        availability: available,
        availability_message: messages::availability(available.unwrap_or_else(|r| r), &connection.name),
    };
    next.link = Some(link);
    next.removed_link = None;
    write(view, next, told.into(), check_at.map(Requeue::awaited))
}

/// Whether `spec.link` was changed to ask for another connection or another record than the link has.
fn asks_for_another(view: &LinkView<'_>, next: &PostLinkStatus, link: &LinkState) -> bool {
    let Wish::Link(request) = &view.link.wish else { return false };
    if next.intent.as_ref().and_then(|i| i.hash.as_ref()) == Some(&request.hash) {
        return false;
    }
    let connection = request.connection.as_ref().is_some_and(|name| *name != link.connection.name);
    let record = request.record_id.is_some_and(|id| link.record.as_ref().is_none_or(|r| r.id != id));
    connection || record
}

/// What can be said about the record of a link now.
enum Availability {
    /// An answer, and when to ask again.
    Known(Outcome, Option<Timestamp>),
    /// Nothing can be loaded (R16–R18): the link is kept, whatever may have happened in the instance (R27).
    Cannot(Reason),
    /// The instance must be asked first.
    Ask(Check, Option<Requeue>),
}

fn availability(view: &LinkView<'_>, connection: &ConnectionFacts, link: &LinkState) -> Availability {
    let changed = connection.organization.is_some_and(|o| o != link.organization_id);
    if changed || connection.unusable == Some(Reason::OrganizationChanged) {
        return Availability::Cannot(Reason::OrganizationChanged);
    }
    if let Some(reason) = connection.refuses_links() {
        return Availability::Cannot(reason);
    }
    let since = view.now.duration_since(link.linked_at.0);
    let next_check =
        CONFIRMATIONS.iter().find(|after| **after > since).map(|after| moved(link.linked_at.0, *after));
    if let Some(seen) = view.seen {
        let outcome = record::judge(link, seen, &connection.instance_url);
        let again = if outcome == Outcome::Pending { next_check } else { None };
        return Availability::Known(outcome, again);
    }
    // The instance made or found the activity a moment ago.
    if matches!(view.created, Some(Created::Exists { .. })) {
        return match &link.record {
            Some(record) => Availability::Known(Outcome::Available(record.clone()), None),
            None => Availability::Known(Outcome::Pending, next_check),
        };
    }
    let ask = |again| {
        Availability::Ask(
            Check {
                connection: connection.uid.clone(),
                activity: link.social_activity_id,
                record: link.record.as_ref().map(|r| (r.type_.clone(), r.id)),
            },
            again,
        )
    };
    match conditions::reason(&view.link.status.conditions, ConditionType::RecordAvailable) {
        Some(Reason::RecordAvailable) if link.record.is_some() => {
            let record = link.record.clone();
            record.map_or_else(|| ask(None), |r| Availability::Known(Outcome::Available(r), None))
        }
        // Confirmations of a fresh link: at the first look after each of the appointed times.
        Some(Reason::RecordPending) => {
            let last = view.not_before;
            match next_check {
                _ if last.is_some_and(|at| view.now < at) => Availability::Known(Outcome::Pending, last),
                Some(_) if since >= CONFIRMATIONS[0] => ask(next_check.map(Requeue::awaited)),
                Some(at) => Availability::Known(Outcome::Pending, Some(at)),
                None => Availability::Known(Outcome::Pending, None),
            }
        }
        _ => ask(None),
    }
}

/// R23–R25: broken in the instance. The intent counts as used, whatever `spec.link` says now: nothing is made anew
/// behind the user's back.
fn broken(
    view: &LinkView<'_>,
    mut next: PostLinkStatus,
    link: LinkState,
    cause: RemovalCause,
) -> LinkDecision {
    remove(view, &mut next, link, cause, None);
    use_intent(view, &mut next);
    unlinked(view, next)
}

fn use_intent(view: &LinkView<'_>, next: &mut PostLinkStatus) {
    let intent = next.intent.get_or_insert_with(fresh_intent);
    intent.hash = match &view.link.wish {
        Wish::Link(request) => Some(request.hash.clone()),
        Wish::Rules | Wish::Unlink => None,
    };
}

/// A post that has no link.
fn unlinked(view: &LinkView<'_>, mut next: PostLinkStatus) -> LinkDecision {
    if let Some(Created::Exists { activity, record }) = view.created {
        if let Some(made) = target(view, &next) {
            return made_link(view, next, &made, *activity, record.as_ref());
        }
    }
    if let Some(decision) = restoring(view, &mut next) {
        return decision;
    }
    match target(view, &next) {
        Some(target) => wanted(view, next, &target),
        None => not_wanted(view, next),
    }
}

/// R14, R15. `None`: there is nothing to restore now.
fn restoring(view: &LinkView<'_>, next: &mut PostLinkStatus) -> Option<LinkDecision> {
    let removed = next.removed_link.clone()?;
    let candidate = restore::candidate(&removed, view.connections)?;
    if let Wish::Link(request) = &view.link.wish {
        let changed = next.intent.as_ref().and_then(|i| i.hash.as_ref()) != Some(&request.hash);
        if changed && request.connection.as_ref().is_some_and(|name| *name != candidate.name) {
            return None;
        }
    }
    let settled = moved(candidate.created.max(view.link.seen), SETTLE);
    if view.now < settled {
        return Some(wait_for(Step::Wait, next.clone(), Some(Requeue::awaited(settled))));
    }
    match view.seen {
        None => {
            let check = Check {
                connection: candidate.uid.clone(),
                activity: removed.link.social_activity_id,
                record: removed.link.record.as_ref().map(|r| (r.type_.clone(), r.id)),
            };
            Some(wait_for(Step::Check(check), next.clone(), None))
        }
        Some(Seen::ActivityGone { .. }) => {
            // As R25: nothing is made anew.
            let gone = next.removed_link.as_mut()?;
            gone.cause = RemovalCause::SocialActivityDeleted;
            use_intent(view, next);
            None
        }
        Some(Seen::Activity { .. }) => {
            let mut link = removed.link;
            link.connection = ObjectRef { name: candidate.name.clone(), uid: candidate.uid.clone() };
            link.restored_at = Some(Time(view.now));
            next.removed_link = None;
            Some(linked(view, next.clone(), link))
        }
    }
}

/// Who wants a link, and through which connection.
struct Target<'a> {
    by: LinkedBy,
    rule: Option<&'a RuleFacts>,
    connection: Result<&'a ConnectionFacts, (Reason, Option<String>)>,
    record_type: Option<&'a str>,
    record_id: Option<Uuid>,
    /// Nothing is made before this time (§5).
    settled: Timestamp,
}

/// A standing intent first, then the rules.
fn target<'a>(view: &'a LinkView<'_>, next: &PostLinkStatus) -> Option<Target<'a>> {
    match &view.link.wish {
        Wish::Unlink => None,
        Wish::Link(request) => {
            let used = next.intent.as_ref().and_then(|i| i.hash.as_ref()) == Some(&request.hash)
                && next.removed_link.as_ref().is_some_and(|removed| {
                    !matches!(removed.cause, RemovalCause::ConnectionDeleted | RemovalCause::Unlinked)
                });
            (!used).then(|| by_hand(view, request))
        }
        Wish::Rules if next.removed_link.is_some() => None,
        Wish::Rules => by_rule(view),
    }
}

fn by_hand<'a>(view: &'a LinkView<'_>, request: &'a Request) -> Target<'a> {
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
        by: LinkedBy::Hand,
        rule: None,
        connection,
        record_type: request.record_type.as_deref(),
        record_id: request.record_id,
        settled,
    }
}

/// The most recently created of the active rules that match and count the post; of one second, the greater name.
fn by_rule<'a>(view: &'a LinkView<'_>) -> Option<Target<'a>> {
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
        by: LinkedBy::Rule,
        rule: Some(rule),
        connection: connection_of(rule)
            .ok_or_else(|| (Reason::ConnectionNotFound, Some(rule.connection.clone()))),
        record_type: rule.record_type.as_deref(),
        record_id: None,
        settled,
    })
}

/// Whether a rule counts a post at all: never retroactive, unless `since` says from when on.
fn counts(link: &LinkFacts, rule: &RuleFacts) -> bool {
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
fn wanted(view: &LinkView<'_>, next: PostLinkStatus, target: &Target<'_>) -> LinkDecision {
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
        let lost = next.removed_link.as_ref().map(|r| (cause(r.cause), r.link.connection.name.clone()));
        let (reason, old) = lost.unwrap_or((Reason::Unlinked, String::new()));
        let message = format!("{} {}", messages::lost(reason, &old), messages::linking(&connection.name));
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
    };
    wait_for(Step::Create(create), next, None)
}

/// Reasons a creation was refused with, that stand until the next try.
fn is_waiting(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::Throttled
            | Reason::SocialDataRefused
            | Reason::RecordNotFound
            | Reason::RecordTypeNotOffered
            | Reason::InstanceDowntime
            | Reason::InstanceExpired
            | Reason::OrganizationChanged
            | Reason::ConnectionNotReady
    )
}

/// The activity exists: the post is linked.
fn made_link(
    view: &LinkView<'_>,
    mut next: PostLinkStatus,
    target: &Target<'_>,
    activity: Uuid,
    record: Option<&(String, Uuid)>,
) -> LinkDecision {
    let Ok(connection) = &target.connection else {
        return wait_for(Step::Wait, next, None);
    };
    let Some(organization_id) = connection.organization else {
        return wait_for(Step::Wait, next, None);
    };
    let link = LinkState {
        connection: ObjectRef { name: connection.name.clone(), uid: connection.uid.clone() },
        organization_id,
        social_activity_id: activity,
        record: record.map(|(type_, id)| record::record(type_, *id, &connection.instance_url)),
        linked_at: Time(view.now),
        linked_by: target.by,
        rule: target.rule.map(|r| ObjectRef { name: r.name.clone(), uid: r.uid.clone() }),
        restored_at: None,
    };
    next.removed_link = None;
    use_intent(view, &mut next);
    linked(view, next, link)
}

/// Wanted, and cannot be done now (R21). What happened to an earlier link goes before the reason of the wait.
fn pending(
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
        Some(removed) => {
            let lost = messages::lost(Reason::ConnectionDeleted, &removed.link.connection.name);
            (Reason::ConnectionDeleted, format!("{lost} {waits}"))
        }
        None => (reason, waits),
    };
    let told = Unlinked { reason: told, message, waits: Some(reason) };
    write(view, next, told.into(), retry.map(Requeue::awaited))
}

/// Nobody wants a link.
fn not_wanted(view: &LinkView<'_>, mut next: PostLinkStatus) -> LinkDecision {
    // `spec.link` is gone: asking again later, even in the same words, is a new wish.
    if view.link.wish == Wish::Rules
        && let Some(intent) = &mut next.intent
    {
        intent.hash = None;
    }
    let told = match &next.removed_link {
        Some(removed) => {
            let reason = cause(removed.cause);
            let message = messages::lost(reason, &removed.link.connection.name);
            Unlinked { reason, message, waits: None }
        }
        None => Unlinked { reason: Reason::NotRequested, message: messages::not_requested(), waits: None },
    };
    write(view, next, told.into(), None)
}

fn cause(cause: RemovalCause) -> Reason {
    match cause {
        RemovalCause::ConnectionDeleted => Reason::ConnectionDeleted,
        RemovalCause::RecordDissociated => Reason::RecordDissociated,
        RemovalCause::RecordDeleted => Reason::RecordDeleted,
        RemovalCause::SocialActivityDeleted => Reason::SocialActivityDeleted,
        RemovalCause::Unlinked => Reason::Unlinked,
    }
}

struct Linked {
    reason: Reason,
    message: String,
    availability: Result<Reason, Reason>,
    availability_message: String,
}

struct Unlinked {
    reason: Reason,
    message: String,
    /// What the wanted link waits for. It stands in `Ready`, also when `Linked` says why there is none any more.
    waits: Option<Reason>,
}

enum Story {
    Linked(Linked),
    Unlinked(Unlinked),
}

impl From<Linked> for Story {
    fn from(linked: Linked) -> Self {
        Self::Linked(linked)
    }
}

impl From<Unlinked> for Story {
    fn from(unlinked: Unlinked) -> Self {
        Self::Unlinked(unlinked)
    }
}

fn wait_for(step: Step, status: PostLinkStatus, requeue: Option<Requeue>) -> LinkDecision {
    LinkDecision { step, status, requeue }
}

/// The status, with its conditions (the table of §3).
fn write(
    view: &LinkView<'_>,
    mut next: PostLinkStatus,
    story: Story,
    requeue: Option<Requeue>,
) -> LinkDecision {
    let mut conditions = Conditions::new(view.now, view.link.generation, &view.link.status.conditions);
    let readiness = match story {
        Story::Linked(linked) => {
            conditions.set(ConditionType::Linked, true, linked.reason, linked.message.clone());
            let (available, reason) = match linked.availability {
                Ok(reason) => (true, reason),
                Err(reason) => (false, reason),
            };
            let message = linked.availability_message;
            conditions.set(ConditionType::RecordAvailable, available, reason, message.clone());
            // An intended off-state, and an instance that makes no records, are nothing broken.
            let fine = available || matches!(reason, Reason::RecordPending | Reason::ConnectionDisabled);
            if fine {
                Readiness::Ready(linked.reason, linked.message)
            } else {
                Readiness::NotReady(reason, message)
            }
        }
        Story::Unlinked(unlinked) => {
            conditions.set(ConditionType::Linked, false, unlinked.reason, unlinked.message.clone());
            match unlinked.waits {
                None => Readiness::Ready(unlinked.reason, unlinked.message),
                Some(reason) => Readiness::NotReady(reason, unlinked.message),
            }
        }
    };
    ready::write(&mut conditions, readiness);
    next.conditions = conditions.finish();
    LinkDecision { step: Step::Write, status: next, requeue }
}

/// The state a connection's links see, for messages and metrics.
pub fn usable(connection: &ConnectionFacts) -> bool {
    connection.state == Some(ConnectionState::Enabled) && connection.refuses_links().is_none()
}
