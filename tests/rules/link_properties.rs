//! Invariants of decisions about a PostLink, with any input, including forged statuses.

use crate::arbitrary::{activity, claim, connections, created, near, post, rules, uid};
use jiff::{SignedDuration, Timestamp};
use postlink::{
    api::{
        AutomationRule, ConditionStatus, ConditionType, ConnectionState, DynamicsConnection, PostLinkStatus,
        Reason, RemovalCause, conditions,
    },
    domain::{
        facts::{ConnectionFacts, Offer, RuleFacts},
        post_link::record::ActivityState,
        post_link::{
            CreationResult, DesiredLink, NotBefore, PostClaim, PostLinkDecision, PostLinkFacts, PostLinkView,
            Step, Tombstone, decide, open_to_rules,
        },
    },
};
use proptest::{option, prelude::*, sample::subsequence};
use std::sync::Arc;

/// A [`PostLinkView`] that owns its data.
#[derive(Clone, Debug)]
pub struct View {
    now: Timestamp,
    link: PostLinkFacts,
    connections: Vec<ConnectionFacts>,
    rules: Vec<RuleFacts>,
    deleted: Vec<String>,
    activity_state: Option<ActivityState>,
    created: Option<CreationResult>,
    not_before: Option<NotBefore>,
    same_post: Option<PostClaim>,
}

impl View {
    fn decide(&self) -> PostLinkDecision {
        let tombstone = |uid: &str| {
            self.deleted.iter().any(|deleted| deleted == uid).then_some(Tombstone { deleted_at: None })
        };
        let rules: Vec<_> = self.rules.iter().cloned().map(Arc::new).collect();
        let connections: Vec<_> = self.connections.iter().cloned().map(Arc::new).collect();
        decide(&PostLinkView {
            now: self.now,
            post_link: &self.link,
            connections: &connections,
            matching: &rules,
            same_post: self.same_post.as_ref(),
            tombstone: &tombstone,
            activity: self.activity_state.as_ref(),
            created: self.created.as_ref(),
            not_before: self.not_before.as_ref(),
            stopping: false,
        })
    }

    /// Whether a usable connection reaches this organization.
    fn serves(&self, organization: uuid::Uuid) -> bool {
        self.connections.iter().any(|c| usable(c) && c.organization == Some(organization))
    }
}

fn usable(connection: &ConnectionFacts) -> bool {
    connection.state == Some(ConnectionState::Enabled) && connection.unusable.is_none()
}

fn facts(
    connections: &[DynamicsConnection],
    rules: &[AutomationRule],
) -> (Vec<ConnectionFacts>, Vec<RuleFacts>) {
    (connections.iter().map(ConnectionFacts::of).collect(), rules.iter().map(RuleFacts::of).collect())
}

prop_compose! {
    fn view()(
        now in near(),
        link in post(),
        connections in connections(),
        rules in rules(),
        deleted in subsequence(vec!["uid-a-0", "uid-a-1", "uid-b-0", "uid-b-1", "uid-c-0", "uid-c-1"], 0..=6),
        activity_state in option::of(activity()),
        created in option::weighted(0.3, created()),
        not_before in option::weighted(0.3, (uid(), near())),
        same_post in option::weighted(0.2, claim()),
    ) -> View {
        let (connections, rules) = facts(&connections, &rules);
        // Nothing is created for a post that has a link.
        let created = created.filter(|created| {
            link.status.link.is_none() || matches!(created, CreationResult::Failed { .. })
        });
        // They are results of different steps, so there is at most one.
        let activity_state =
            activity_state.filter(|_| created.is_none()).map(|state| possible(&link.status, state));
        // A connection that exists cannot be confirmed as deleted.
        let deleted =
            deleted.into_iter().filter(|uid| connections.iter().all(|c| c.uid != *uid)).map(str::to_owned);
        let not_before = not_before.map(|(connection, at)| NotBefore { connection, at });
        View { now, link, deleted: deleted.collect(), connections, rules, activity_state, created, not_before, same_post }
    }
}

/// The result of a check that is possible for this status: a record is checked only if the link has one.
fn possible(status: &PostLinkStatus, activity_state: ActivityState) -> ActivityState {
    let link = status.link.as_ref().or(status.removed_link.as_ref().map(|r| &r.link));
    match activity_state {
        _ if link.is_some_and(|l| l.record.is_some()) => activity_state,
        ActivityState::Gone { .. } => ActivityState::Gone { record_exists: None },
        ActivityState::Exists { regarding, .. } => ActivityState::Exists { regarding, record_exists: None },
    }
}

/// Invariants of conditions, for every kind.
pub fn check_conditions(list: &[postlink::api::Condition], generation: i64) -> Result<(), TestCaseError> {
    for (i, c) in list.iter().enumerate() {
        prop_assert!(Reason::parse(&c.reason).is_some(), "{} is not in the closed list", c.reason);
        prop_assert!(ConditionType::parse(&c.type_).is_some(), "{} is none of our types", c.type_);
        prop_assert!(list[..i].iter().all(|other| other.type_ != c.type_), "{} occurs twice", c.type_);
        prop_assert_eq!(c.observed_generation, Some(generation), "{}", &c.type_);
        prop_assert!(c.message.len() <= 4096 && !c.message.is_empty());
    }
    let ready = conditions::find(list, ConditionType::Ready);
    prop_assert!(ready.is_some(), "Ready is always there");
    let companions = [ConditionType::Reconciling, ConditionType::Stalled]
        .map(|t| conditions::find(list, t).map(|c| c.status));
    let fine = ready.is_some_and(|r| r.status == ConditionStatus::True);
    match companions {
        [None, None] => prop_assert!(fine, "not Ready, and neither Reconciling nor Stalled"),
        [Some(ConditionStatus::True), None] | [None, Some(ConditionStatus::True)] => prop_assert!(!fine),
        other => prop_assert!(false, "abnormal-true, never both: {other:?}"),
    }
    Ok(())
}

fn attempt(status: &PostLinkStatus) -> i32 {
    status.intent.as_ref().map_or(1, |i| i.attempt)
}

/// Whether there is a relink request that was not acted on.
fn relink(view: &View) -> bool {
    let handled = view.link.status.intent.as_ref().and_then(|i| i.relink_requested_at.as_ref());
    view.link.relink_requested.is_some() && view.link.relink_requested.as_ref() != handled
}

fn check_status(view: &View, status: &PostLinkStatus) -> Result<(), TestCaseError> {
    let stored = &view.link.status;
    check_conditions(&status.conditions, view.link.generation)?;
    prop_assert_eq!(status.observed_generation, view.link.generation);
    let linked = conditions::find(&status.conditions, ConditionType::Linked).map(|c| c.status);
    prop_assert_eq!(linked, Some(ConditionStatus::from(status.link.is_some())));
    let available = conditions::find(&status.conditions, ConditionType::RecordAvailable);
    prop_assert_eq!(
        available.is_some(),
        status.link.is_some(),
        "RecordAvailable exists only for a linked post"
    );
    prop_assert!(status.link.is_none() || status.removed_link.is_none(), "a link and a tombstone");
    // A link of another post is not the history of this one (§2).
    let kept = status.link.is_some() || status.removed_link.is_some();
    prop_assert!(
        attempt(status) >= attempt(stored) || view.link.post_changed && (!kept || view.created.is_some()),
        "the attempt decreases only for another post"
    );
    if view.link.desired == DesiredLink::Unlink {
        prop_assert!(status.link.is_none());
        let restorable = |c: RemovalCause| c == RemovalCause::ConnectionDeleted;
        prop_assert!(!status.removed_link.as_ref().is_some_and(|r| restorable(r.cause)), "R26");
    }
    // R14, R26: only a link that was removed with its connection is restored.
    if let (None, Some(removed), None) = (&stored.link, &stored.removed_link, &view.created)
        && removed.cause != RemovalCause::ConnectionDeleted
    {
        prop_assert!(status.link.is_none(), "{:?} was restored", removed.cause);
        let now = status.removed_link.as_ref().map(|r| r.cause);
        prop_assert!(now != Some(RemovalCause::ConnectionDeleted), "restorable again");
    }
    // R27: a link breaks only on a result from an Enabled instance of the link's organization.
    if let (Some(link), Some(removed)) = (&stored.link, &status.removed_link) {
        let broken = !matches!(removed.cause, RemovalCause::ConnectionDeleted | RemovalCause::Unlinked);
        let checked = view.activity_state.is_some() && view.serves(link.organization_id);
        prop_assert!(!broken || checked, "{:?} without a result", removed.cause);
        let with_connection = removed.cause == RemovalCause::ConnectionDeleted;
        prop_assert!(
            !with_connection || view.deleted.contains(&link.connection.uid),
            "R13 without a confirmed deletion"
        );
    }
    // A link is one that was stored, or was removed and is restored, or was just created.
    if let Some(link) = &status.link {
        let before = stored.link.iter().chain(stored.removed_link.as_ref().map(|r| &r.link));
        let known = before.into_iter().any(|b| b.social_activity_id == link.social_activity_id);
        prop_assert!(
            known || matches!(view.created, Some(CreationResult::Exists { .. })),
            "a link without an activity"
        );
    }
    Ok(())
}

fn check_step(view: &View, step: &Step) -> Result<(), TestCaseError> {
    let by_uid = |uid: &str| view.connections.iter().find(|c| c.uid == uid);
    let later = |t: Timestamp| view.now.duration_since(t) >= SignedDuration::from_secs(5);
    prop_assert!(
        !view.link.deleting || *step == Step::Wait,
        "R12: nothing is done for a post that is being deleted"
    );
    prop_assert!(
        view.link.desired != DesiredLink::Unlink || matches!(step, Step::Write | Step::Wait),
        "R12, R26"
    );
    match step {
        Step::Create(create) => {
            let own = PostClaim { unlinked: true, created: view.link.created, name: view.link.name.clone() };
            prop_assert!(view.same_post.as_ref().is_none_or(|other| own <= *other), "§2: another one counts");
            let through = by_uid(&create.connection);
            prop_assert!(through.is_some_and(usable), "R21: only through an Enabled connection");
            let through = through.expect("checked above");
            prop_assert_eq!(through.organization, Some(create.organization));
            prop_assert_eq!(through.offer(&create.record_type), Offer::Offered, "R4");
            prop_assert!(!through.fenced() || through.held_since.is_some_and(later), "§4.3, §5");
            let (changed, stored) = (view.link.post_changed, &view.link.status);
            // That of another post begins with 1, unless nothing was removed yet.
            let first = changed && (stored.link.is_some() || stored.removed_link.is_some());
            prop_assert_eq!(
                create.attempt,
                if first { 1 } else { attempt(stored) },
                "stored before the call"
            );
            prop_assert!(later(view.link.created) && later(view.link.first_seen), "§5");
            let not_before = view.not_before.as_ref().filter(|not| not.connection == create.connection);
            prop_assert!(not_before.is_none_or(|not| view.now >= not.at), "backoff");
            if let Some(by) = &create.rule {
                prop_assert!(view.link.desired == DesiredLink::ByRule);
                let removed = view.link.status.removed_link.as_ref();
                let held = view.link.status.link.is_some() || !open_to_rules(removed);
                prop_assert!(!held || changed || relink(view), "a rule linked a post that had a link before");
                let rule = view.rules.iter().find(|r| r.uid == by.uid);
                prop_assert!(rule.is_some_and(|r| r.wants_active && r.effective_on(through)), "§4.1");
                prop_assert!(rule.is_some_and(|r| later(r.created)), "§5");
            } else {
                prop_assert!(
                    matches!(view.link.desired, DesiredLink::ByHand(_)),
                    "R28: no link was requested"
                );
            }
        }
        Step::Check(check) => {
            let status = &view.link.status;
            let created = match &view.created {
                Some(CreationResult::Exists { link, .. }) => Some(link),
                _ => None,
            };
            let through = by_uid(&check.connection);
            prop_assert!(through.is_some_and(usable), "R27: only an Enabled instance is contacted");
            let removed = status.removed_link.as_ref().map(|removed| &removed.link);
            let links = [status.link.as_ref(), created, removed].into_iter().flatten();
            let mut asked = links.filter(|link| link.social_activity_id == check.activity);
            let organization = through.and_then(|c| c.organization);
            let same = asked.any(|link| organization == Some(link.organization_id));
            prop_assert!(same, "R27: only the link's organization is contacted");
        }
        Step::ConfirmGone(object) => {
            prop_assert!(by_uid(&object.uid).is_none() && !view.deleted.contains(&object.uid));
        }
        Step::Write | Step::Wait => {}
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

    #[test]
    fn every_decision_about_a_link_keeps_the_promises(view in view()) {
        let decision = view.decide();
        prop_assert_eq!(&decision, &view.decide(), "deterministic");
        check_step(&view, &decision.step)?;
        if decision.step == Step::Write {
            check_status(&view, &decision.status)?;
        }
    }

    #[test]
    fn link_status_is_written_once(view in view()) {
        let first = view.decide();
        if first.step != Step::Write {
            return Ok(());
        }
        let mut then = view.clone();
        then.link.status = first.status.clone();
        then.link.first_seen = Timestamp::UNIX_EPOCH;
        // The new link is about this post.
        then.link.post_changed &= view.link.status.link.is_some() || first.status.link.is_none();
        // What was written is dropped.
        then.created = view.created.filter(|created| matches!(created, CreationResult::Failed { .. }));
        let second = then.decide();
        if second.step == Step::Write {
            prop_assert_eq!(second.status, first.status);
        }
    }

    #[test]
    fn order_of_dependents_does_not_affect_a_link(view in view(), turn in 0_usize..3) {
        let mut turned = view.clone();
        turned.connections.reverse();
        turned.rules.reverse();
        let turn_by = |len: usize| if len == 0 { 0 } else { turn % len };
        let (c, r) = (turn_by(turned.connections.len()), turn_by(turned.rules.len()));
        turned.connections.rotate_left(c);
        turned.rules.rotate_left(r);
        prop_assert_eq!(turned.decide(), view.decide());
    }
}
