//! Invariants of decisions about connections and rules, with any input, including forged statuses (§3, §4).

use crate::{
    arbitrary::{any_connection, any_rule, connections, near, observation, rules},
    link_properties::check_conditions,
};
use jiff::Timestamp;
use kube::ResourceExt;
use postlink::{
    api::{
        AutomationRule, AutomationRuleStatus, ConditionStatus, ConditionType, ConnectionState,
        DynamicsConnection,
        conditions::{find, is_true},
    },
    domain::{
        automation_rule::{self, AutomationRuleView},
        connection::health::Observation,
        connection::{ConnectionDecision, ConnectionView, DefaultClaim, Step, decide},
        facts::{ConnectionFacts, RuleFacts},
        reservations::Clauses,
    },
};
use proptest::{option, prelude::*};

#[derive(Clone, Debug)]
struct View {
    now: Timestamp,
    connection: DynamicsConnection,
    rules: Vec<RuleFacts>,
    live: Option<Vec<RuleFacts>>,
    claims: Vec<DefaultClaim>,
    observation: Option<Observation>,
    in_flight: bool,
}

impl View {
    fn decide(&self) -> ConnectionDecision {
        decide(&ConnectionView {
            now: self.now,
            connection: &self.connection,
            rules: &self.rules,
            live: self.live.as_deref(),
            claims: &self.claims,
            observation: self.observation.as_ref(),
            creations_in_flight: self.in_flight,
            clauses: &Clauses::KEPT,
        })
    }

    fn uid(&self) -> String {
        self.connection.uid().unwrap_or_default()
    }
}

fn facts(rules: &[AutomationRule]) -> Vec<RuleFacts> {
    rules.iter().map(RuleFacts::of).collect()
}

prop_compose! {
    fn view()(
        now in near(),
        connection in any_connection(),
        cached in rules(),
        live in option::of(rules()),
        claims in connections(),
        observation in option::weighted(0.8, observation()),
        in_flight in prop::bool::weighted(0.2),
    ) -> View {
        let own = connection.name_any();
        let claims = claims.iter().map(ConnectionFacts::of).filter(|c| c.name != own);
        View {
            now,
            rules: facts(&cached),
            live: live.as_deref().map(facts),
            claims: claims.map(|c| DefaultClaim { created: c.created, name: c.name }).collect(),
            connection,
            observation,
            in_flight,
        }
    }
}

fn check(view: &View, decision: &ConnectionDecision) -> Result<(), TestCaseError> {
    let status = &decision.status;
    let stored = view.connection.status.clone().unwrap_or_default();
    let deleting = view.connection.metadata.deletion_timestamp.is_some();
    let enabled = view.connection.spec.enabled;
    let own_finalizer = !view.connection.finalizers().is_empty();
    let list = &status.conditions;
    check_conditions(list, view.connection.metadata.generation.unwrap_or(0))?;
    prop_assert_eq!(status.observed_generation, view.connection.metadata.generation.unwrap_or(0));
    prop_assert_eq!(usize::try_from(status.active_rule_count).unwrap_or(0), status.active_rules.len());

    // R5, R20: Disabled only means `enabled: false`, and never with entries (§4.4).
    if status.state == Some(ConnectionState::Disabled) {
        prop_assert!(status.active_rules.is_empty());
        prop_assert!(!enabled || deleting);
        let was = stored.state == Some(ConnectionState::Disabled);
        prop_assert!(was || (view.live.is_some() && !view.in_flight && !deleting), "§4.4");
    }
    // §4.5
    if decision.step == Step::RemoveFinalizer {
        prop_assert!(deleting && own_finalizer && stored.active_rules.is_empty());
        prop_assert!(status.active_rules.is_empty() && view.live.is_some() && !view.in_flight);
    }
    let refused = [ConditionType::DisableRefused, ConditionType::DeletionRefused].map(|t| is_true(list, t));
    let held = !status.active_rules.is_empty();
    prop_assert_eq!(refused, [!deleting && !enabled && held, deleting && held], "§4.6");
    for type_ in
        [ConditionType::DisableRefused, ConditionType::DeletionRefused, ConditionType::RecordTypeInUse]
    {
        prop_assert!(find(list, type_).is_none_or(|c| c.status == ConditionStatus::True), "True or absent");
    }
    prop_assert!(find(list, ConditionType::Default).is_some());
    check_entries(view, decision, !own_finalizer || deleting || !enabled)
}

/// §4.1–4.4.
fn check_entries(view: &View, decision: &ConnectionDecision, fenced: bool) -> Result<(), TestCaseError> {
    let stored = view.connection.status.clone().unwrap_or_default().active_rules;
    let entries = &decision.status.active_rules;
    let uid = view.uid();
    for entry in entries {
        let before = stored.iter().find(|e| e.uid == entry.uid);
        prop_assert!(before.is_none_or(|b| b.generation <= entry.generation), "a generation never decreases");
        let reads = view.live.as_ref().unwrap_or(&view.rules);
        let read = reads.iter().find(|r| r.uid == entry.uid);
        if before.is_none() {
            let active_here = read.is_some_and(|r| r.active_on.as_deref() == Some(uid.as_str()));
            let wants = read.is_some_and(|r| r.wants_active && r.connection == view.connection.name_any());
            prop_assert!((wants && !fenced) || (active_here && view.live.is_some()), "§4.3, §4.4");
        }
    }
    for entry in &stored {
        let released = entries.iter().all(|e| e.uid != entry.uid);
        let read = view.live.as_ref().map(|live| live.iter().find(|r| r.uid == entry.uid));
        prop_assert!(!released || read.is_some(), "released without a live read");
        if let (true, Some(Some(read))) = (released, read) {
            prop_assert!(read.active_on.as_deref() != Some(uid.as_str()), "released while Active");
            prop_assert!(read.generation >= entry.generation, "released on an old read");
        }
    }
    for read in view.live.iter().flatten().filter(|r| r.active_on.as_deref() == Some(uid.as_str())) {
        prop_assert!(entries.iter().any(|e| e.uid == read.uid), "Active without an entry after a live list");
    }
    Ok(())
}

/// Whether a rule is Active without an entry, after a lost or rolled-back status (§4.4).
fn lost_an_entry(view: &View) -> bool {
    let stored = view.connection.status.clone().unwrap_or_default().active_rules;
    let active = view.live.iter().flatten().filter(|r| r.active_on.as_ref() == Some(&view.uid()));
    active.into_iter().any(|r| stored.iter().all(|e| e.uid != r.uid))
}

fn rule_status(
    now: Timestamp,
    rule: &AutomationRule,
    named: Option<&ConnectionFacts>,
) -> AutomationRuleStatus {
    automation_rule::decide(&AutomationRuleView {
        now,
        rule,
        named,
        evaluated: true,
        clauses: &Clauses::KEPT,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

    #[test]
    fn every_decision_about_a_connection_keeps_the_promises(view in view()) {
        let decision = view.decide();
        prop_assert_eq!(&decision, &view.decide(), "deterministic");
        if decision.step == Step::AddFinalizer {
            prop_assert_eq!(&decision.status, &view.connection.status.clone().unwrap_or_default());
        } else {
            check(&view, &decision)?;
        }
    }

    #[test]
    fn connection_status_is_written_once(view in view()) {
        let first = view.decide();
        if !matches!(first.step, Step::Write | Step::AwaitProbe) {
            return Ok(());
        }
        let mut then = view.clone();
        then.connection.status = Some(first.status.clone());
        let second = then.decide().status;
        if !lost_an_entry(&view) {
            prop_assert_eq!(&second, &first.status);
        }
        // A restored entry may bring a record type back into force, which admits rules that wait for it.
        then.connection.status = Some(second.clone());
        prop_assert_eq!(then.decide().status, second);
    }

    #[test]
    fn order_of_dependents_does_not_affect_a_connection(view in view()) {
        let mut turned = view.clone();
        turned.rules.reverse();
        turned.claims.reverse();
        if let Some(live) = &mut turned.live {
            live.reverse();
        }
        prop_assert_eq!(turned.decide(), view.decide());
    }

    #[test]
    fn every_decision_about_a_rule_keeps_the_promises(
        now in near(),
        rule in any_rule(),
        named in option::weighted(0.9, any_connection()),
    ) {
        let named = named.as_ref().map(ConnectionFacts::of);
        let status = rule_status(now, &rule, named.as_ref());
        prop_assert_eq!(&status, &rule_status(now, &rule, named.as_ref()), "deterministic");
        check_conditions(&status.conditions, rule.metadata.generation.unwrap_or(0))?;
        let active = is_true(&status.conditions, ConditionType::Active);
        prop_assert!(find(&status.conditions, ConditionType::Active).is_some());
        prop_assert_eq!(status.connection_uid.is_some(), active);
        let holds = is_true(&status.conditions, ConditionType::HoldsConnection);
        prop_assert!(!holds || (active && named.as_ref().is_some_and(ConnectionFacts::fenced)));
        let wants = rule.spec.active && rule.metadata.deletion_timestamp.is_none();
        prop_assert!(!active || (wants && named.is_some()));
        // §4.1: False → True needs an entry of its current generation in that very connection.
        let facts = RuleFacts::of(&rule);
        if active && facts.active_on != status.connection_uid {
            prop_assert_eq!(&facts.active_on, &None, "a moved rule is deactivated first");
            let entries = named.iter().flat_map(|c| &c.active_rules);
            let mut own = entries.filter(|e| e.uid == facts.uid);
            prop_assert!(own.any(|e| e.generation == facts.generation));
        }
        prop_assert_eq!(status.active_from.is_some(), rule.spec.active);

        // One write; only a move needs a second one.
        let mut then = rule.clone();
        then.status = Some(status.clone());
        let second = rule_status(now, &then, named.as_ref());
        let moved = facts.active_on.is_some() && !active;
        prop_assert!(moved || second == status);
        then.status = Some(second.clone());
        prop_assert_eq!(rule_status(now, &then, named.as_ref()), second);
    }
}
