//! R2–R11, R16–R20 in a connection's own status.

use crate::{
    connection_scene::{ProbeResult, probe_result, view},
    fixtures::{
        ORG, OTHER_ORG, at, condition_text, connection, credentials, manages_finalizer, message,
        organization, readiness, rule,
    },
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use postlink::{
    api::{
        ConditionType, ConnectionState, Reason,
        names::{CONTROLLER, FINALIZER, FLUX_RECONCILE_REQUESTED, RECONCILE_REQUESTED, REFRESH_REQUESTED},
    },
    domain::{
        connection::health::ProbeFailure,
        connection::{DEFAULT_PROBE, DEFAULT_REFRESH, DefaultClaim, Step, interval},
        messages,
    },
};
use rstest::rstest;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

#[test]
fn r02_status_shows_the_instances_own_values() {
    let contoso = connection("contoso").never_reconciled();
    let status = view(&contoso).observation(probe_result().named("Contoso Ltd")).decide().status;
    assert_eq!(status.display_name.as_deref(), Some("Contoso Ltd"));
    assert_eq!(status.organization, Some(organization(ORG)));
    assert_eq!(status.state, Some(ConnectionState::Enabled));
    assert_eq!(status.connected_on, Some(Time(at(0))));
    assert_eq!(status.observed_generation, 1);
    assert_eq!(condition_text(&status.conditions, ConditionType::Ready), "True/Connected");
    assert_eq!(readiness(&status.conditions), "True");
}

#[test]
fn r02_spec_display_name_overrides_the_organizations() {
    let mut contoso = connection("contoso");
    contoso.0.spec.display_name = Some("Service desk".into());
    let status = view(&contoso).observation(probe_result().named("Contoso Ltd")).decide().status;
    assert_eq!(status.display_name.as_deref(), Some("Service desk"));
}

#[test]
fn r02_connected_on_stays_the_first_time() {
    let contoso = connection("contoso");
    let first = contoso.0.status.as_ref().unwrap().connected_on.clone();
    let down = probe_result().failing(ProbeFailure::Unreachable);
    for result in [probe_result(), down] {
        assert_eq!(view(&contoso).observation(result).decide().status.connected_on, first);
    }
}

#[test]
fn state_is_unknown_before_the_first_probe() {
    let contoso = connection("contoso").never_reconciled();
    let decision = view(&contoso).decide();
    assert_eq!(decision.status.state, None);
    assert_eq!(condition_text(&decision.status.conditions, ConditionType::Ready), "Unknown/Connecting");
    assert_eq!(readiness(&decision.status.conditions), "Unknown+Reconciling");
    assert!(decision.probe.is_some());
}

#[test]
fn r03_oldest_then_lesser_name_is_the_default() {
    let contoso = || connection("contoso").default_since(at(0)).created(at(-100));
    let claim = |name: &str, created| DefaultClaim { created: at(created), name: name.into() };
    for (others, default) in [
        (vec![], "True/DefaultConnection"),
        (vec![claim("a", -99)], "True/DefaultConnection"),
        (vec![claim("z", -100)], "True/DefaultConnection"),
        (vec![claim("a", -100)], "False/DefaultConflict"),
        (vec![claim("z", -99), claim("z", -101)], "False/DefaultConflict"),
    ] {
        let status = view(&contoso()).claims(&others).observation(probe_result()).decide().status;
        assert_eq!(condition_text(&status.conditions, ConditionType::Default), default, "{others:?}");
        assert_eq!(readiness(&status.conditions), "True", "a loser is as Ready as the winner");
    }
    let status =
        view(&connection("contoso")).claims(&[claim("a", 0)]).observation(probe_result()).decide().status;
    assert_eq!(condition_text(&status.conditions, ConditionType::Default), "False/NotDefault");
}

#[test]
fn r03_disabled_or_down_default_stays_the_default() {
    for state in [ConnectionState::Disabled, ConnectionState::Downtime, ConnectionState::Expired] {
        let contoso = connection("contoso").default_since(at(-50)).state(state);
        let decision = view(&contoso).live(&[]).decide();
        assert_eq!(
            condition_text(&decision.status.conditions, ConditionType::Default),
            "True/DefaultConnection"
        );
    }
}

#[test]
fn r04_refresh_request_reads_tables_then_is_echoed() {
    let mut contoso = connection("contoso");
    contoso.0.metadata.annotations = Some(BTreeMap::from([(REFRESH_REQUESTED.into(), "monday".into())]));
    let decision = view(&contoso).observation(probe_result()).decide();
    assert_eq!(decision.probe.unwrap().tables.unwrap(), ["incident", "lead"], "all of them");
    assert_eq!(decision.status.last_handled_refresh_at, None, "not before they were read");
    let decision = view(&contoso).observation(probe_result().refreshed("monday")).decide();
    assert_eq!(decision.probe, None);
    assert_eq!(decision.status.last_handled_refresh_at.as_deref(), Some("monday"));
    assert_eq!(decision.status.metadata.unwrap().refreshed_at, Some(Time(at(0))));
}

#[test]
fn r04_metadata_is_read_again_on_its_interval() {
    let contoso = connection("contoso");
    let fresh = view(&contoso).observation(probe_result()).decide();
    assert_eq!(fresh.probe, None);
    assert!(fresh.requeue.unwrap().periodic);
    let day = at(crate::fixtures::DAY);
    assert!(view(&contoso).observation(probe_result()).now(day).decide().probe.unwrap().tables.is_some());
}

/// Without jitter, a restart would probe all instances at once.
#[test]
fn probe_jitter_is_stable_and_at_most_tenth() {
    // UIDs as evenly distributed as random ones, and the same in each run.
    let uid =
        |n: u128| Uuid::from_u128(n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)).to_string();
    let all: Vec<_> = (1..=200).map(|n| connection("contoso").uid(&uid(n))).collect();
    let due = |contoso| {
        view(contoso).observation(probe_result()).decide().requeue.unwrap().at.duration_since(at(0))
    };
    let (probe, refresh) = (DEFAULT_PROBE, DEFAULT_REFRESH);
    let early: BTreeSet<SignedDuration> = all.iter().map(|contoso| probe - due(contoso)).collect();
    assert!(early.iter().all(|early| !early.is_negative() && *early <= probe / 10), "{early:?}");
    let tenth = |n: i32| (probe / 100 * n, probe / 100 * (n + 1));
    for (from, to) in (0..10).map(tenth) {
        assert!(early.range(from..to).next().is_some(), "none is between {from:#} and {to:#} early");
    }
    assert!(all.iter().all(|contoso| due(contoso) == due(contoso)));

    // R4: the metadata likewise.
    let reads_tables = |after| {
        let probe = |contoso| view(contoso).observation(probe_result()).now(at(0) + after).decide().probe;
        all.iter().filter(|contoso| probe(contoso).is_some_and(|probe| probe.tables.is_some())).count()
    };
    assert_eq!(reads_tables(refresh / 10 * 9 - SignedDuration::from_secs(1)), 0);
    assert_eq!(reads_tables(refresh), all.len());
    let halfway = reads_tables(refresh / 100 * 95);
    assert!((all.len() / 4..all.len() * 3 / 4).contains(&halfway), "{halfway} of {}", all.len());
}

#[test]
fn intervals_have_floors_and_defaults() {
    let (day, floor) = (SignedDuration::from_hours(24), SignedDuration::from_mins(15));
    let cases = [
        (None, day),
        (Some(""), day),
        (Some("soon"), day),
        (Some("1h30m"), SignedDuration::from_mins(90)),
        (Some("90m"), SignedDuration::from_mins(90)),
        (Some("1s"), floor),
    ];
    for (text, expected) in cases {
        assert_eq!(interval(text, day, floor), expected, "{text:?}");
    }
}

#[test]
fn reconcile_requests_are_echoed_in_both_spellings() {
    for annotation in [RECONCILE_REQUESTED, FLUX_RECONCILE_REQUESTED] {
        let mut contoso = connection("contoso");
        contoso.0.metadata.annotations = Some(BTreeMap::from([(annotation.into(), "now".into())]));
        let status = view(&contoso).observation(probe_result()).decide().status;
        assert_eq!(status.last_handled_reconcile_at.as_deref(), Some("now"));
    }
}

/// After correcting the Secret, a user need not wait for the next probe.
#[test]
fn reconcile_request_probes_at_once_and_once() {
    for answer in [probe_result, || probe_result().failing(ProbeFailure::Unreachable)] {
        let mut contoso = connection("contoso");
        contoso.0.metadata.annotations = Some(BTreeMap::from([(RECONCILE_REQUESTED.into(), "now".into())]));
        let decision = view(&contoso).observation(answer()).decide();
        assert!(decision.probe.is_some(), "the request starts a probe");
        // Also if the status could not be written.
        let answered = || answer().requested("now");
        assert_eq!(
            view(&contoso).observation(answered()).decide().probe,
            None,
            "a second probe for the same request"
        );
        contoso.0.status = Some(decision.status);
        assert_eq!(
            view(&contoso).observation(answered()).decide().probe,
            None,
            "a second probe for the same request"
        );
        assert!(
            view(&contoso).observation(answer()).decide().probe.is_some(),
            "the last probe is older than the request"
        );
    }
}

/// A status that echoes it in full could never be written.
#[test]
fn overlong_reconcile_requests_are_truncated() {
    let mut contoso = connection("contoso");
    let long = "ü".repeat(5000);
    contoso.0.metadata.annotations =
        Some(BTreeMap::from([(RECONCILE_REQUESTED.into(), long.clone()), (REFRESH_REQUESTED.into(), long)]));
    let cut = "ü".repeat(512);
    let status = view(&contoso).observation(probe_result().refreshed(&cut)).decide().status;
    assert_eq!(status.last_handled_reconcile_at.as_ref(), Some(&cut));
    assert_eq!(status.last_handled_refresh_at.as_ref(), Some(&cut));
}

/// The result of the old credentials says nothing about the new ones, and a GitOps tool gives up on a new generation
/// that is Stalled.
#[test]
fn new_credentials_are_probed_before_reporting() {
    let mut contoso = connection("contoso");
    contoso.0.spec.credentials = credentials("another");
    for answer in [probe_result(), probe_result().failing(ProbeFailure::CredentialsRejected)] {
        let decision = view(&contoso).observation(answer).decide();
        assert!(decision.probe.is_some() && decision.step == Step::AwaitProbe);
    }
    contoso.0.spec.enabled = false;
    let decision = view(&contoso)
        .observation(probe_result().failing(ProbeFailure::CredentialsRejected))
        .live(&[])
        .decide();
    assert_ne!(decision.step, Step::AwaitProbe, "a disable does not wait for the probe");
}

/// R4: an unreadable table definition blocks nothing else, and its retries back off.
#[test]
fn r04_failed_metadata_reads_back_off() {
    let mut contoso = connection("contoso");
    contoso.0.spec.record_types.push("new_ticket".into());
    let tables = Some(contoso.0.spec.record_types.clone());
    let reads = |result: ProbeResult, now: Timestamp| {
        let decision = view(&contoso).observation(result).now(now).decide();
        assert_eq!(condition_text(&decision.status.conditions, ConditionType::Ready), "True/Connected");
        (decision.probe.and_then(|probe| probe.tables), decision.requeue.map(|requeue| requeue.at))
    };
    assert_eq!(reads(probe_result(), at(0)).0, tables, "a new table is read at once");
    for (times, wait) in [(1, 15), (2, 30), (5, 240)] {
        let failed = || probe_result().metadata_failure(times, at(0));
        assert_eq!(reads(failed(), at(wait - 1)), (None, Some(at(wait))));
        assert_eq!(reads(failed(), at(wait)).0, tables);
    }
}

#[test]
fn r05_disabled_is_ready_in_any_instance_state() {
    let contoso = connection("contoso").state(ConnectionState::Disabled);
    for result in [None, Some(probe_result()), Some(probe_result().failing(ProbeFailure::Unreachable))] {
        let decision = view(&contoso).observation(result).live(&[]).decide();
        assert_eq!(decision.status.state, Some(ConnectionState::Disabled));
        assert_eq!(condition_text(&decision.status.conditions, ConditionType::Ready), "True/Disabled");
        assert_eq!(decision.probe, None, "a disabled connection does not probe its instance");
    }
}

#[test]
fn r05_disabling_needs_live_list_and_no_creations() {
    let mut contoso = connection("contoso");
    contoso.0.spec.enabled = false;
    let decision = view(&contoso).observation(probe_result()).decide();
    assert!(decision.step == Step::ListRules && decision.close_creations);
    assert_eq!(decision.status.state, Some(ConnectionState::Enabled));
    let decision = view(&contoso).observation(probe_result()).live(&[]).in_flight().decide();
    assert_eq!(decision.status.state, Some(ConnectionState::Enabled));
    let decision = view(&contoso).observation(probe_result()).live(&[]).decide();
    assert_eq!(decision.status.state, Some(ConnectionState::Disabled));
}

#[test]
fn r07_r11_last_connection_is_released_without_reservations() {
    let contoso = connection("contoso").deleting(at(0));
    let decision = view(&contoso).observation(probe_result()).decide();
    assert_eq!(decision.step, Step::ListRules);
    assert_eq!(view(&contoso).observation(probe_result()).live(&[]).decide().step, Step::RemoveFinalizer);
}

#[test]
fn finalizer_is_added_first() {
    let mut contoso = connection("contoso");
    contoso.0.metadata.finalizers = None;
    let decision = view(&contoso).rules(&[rule("complaints")]).decide();
    assert_eq!(decision.step, Step::AddFinalizer);
    assert!(decision.status.active_rules.is_empty(), "no reservation without it (§4.3)");
    // A foreign finalizer does not count; during deletion none is added.
    contoso.0.metadata.finalizers = Some(vec!["example.com/other".into()]);
    assert_eq!(view(&contoso).decide().step, Step::AddFinalizer);
    let leaving = contoso.deleting(at(0));
    assert_eq!(view(&leaving).decide().step, Step::ListRules);
    assert_eq!(FINALIZER, "postlink.dev/active-rules");
}

/// A manifest in git carries it: the tool that applied it would also remove it.
#[test]
fn finalizer_of_another_manager_is_applied_as_well() {
    let mut contoso = connection("contoso");
    contoso.0.metadata.managed_fields = Some(vec![manages_finalizer("kustomize-controller")]);
    assert_eq!(view(&contoso).decide().step, Step::AddFinalizer);
    contoso.0.metadata.managed_fields.as_mut().unwrap().push(manages_finalizer(CONTROLLER));
    assert_ne!(view(&contoso).decide().step, Step::AddFinalizer);
    contoso.0.metadata.managed_fields = None;
    assert_ne!(view(&contoso.deleting(at(0))).decide().step, Step::AddFinalizer);
}

#[test]
fn r08_disable_is_refused_while_rules_are_active() {
    let active = rule("complaints").active_on("contoso");
    let mut contoso = connection("contoso").reserve("complaints", 1);
    contoso.0.spec.enabled = false;
    let status =
        view(&contoso).observation(probe_result()).live(std::slice::from_ref(&active)).decide().status;
    assert_eq!(status.state, Some(ConnectionState::Enabled));
    assert_eq!(condition_text(&status.conditions, ConditionType::DisableRefused), "True/UsedByActiveRules");
    assert_eq!(condition_text(&status.conditions, ConditionType::DeletionRefused), "-");
    assert_eq!(readiness(&status.conditions), "True", "the connection stays in use");
    let text = message(&status.conditions, ConditionType::DisableRefused);
    assert!(
        text.contains(
            "used by 1 active rule: complaints. Deactivate (spec.active: false) or delete the rule;"
        ),
        "{text}"
    );
    // The rule is inactive and its status says so: the change is carried out.
    let off = active.deactivated().generation(2).inactive(Reason::Inactive);
    let status = view(&contoso).observation(probe_result()).live(&[off]).decide().status;
    assert_eq!((status.state, status.active_rules.len()), (Some(ConnectionState::Disabled), 0));
    assert_eq!(condition_text(&status.conditions, ConditionType::DisableRefused), "-");
}

#[test]
fn r08_deletion_is_refused_while_rules_are_active() {
    let active = rule("complaints").active_on("contoso");
    let contoso = connection("contoso").reserve("complaints", 1).deleting(at(0));
    let decision = view(&contoso).observation(probe_result()).live(std::slice::from_ref(&active)).decide();
    let status = decision.status;
    assert_eq!(decision.step, Step::Write);
    assert_eq!(status.state, Some(ConnectionState::Enabled));
    assert_eq!(condition_text(&status.conditions, ConditionType::DeletionRefused), "True/UsedByActiveRules");
    assert_eq!(condition_text(&status.conditions, ConditionType::DisableRefused), "-");
    assert_eq!(readiness(&status.conditions), "True");
    let text = message(&status.conditions, ConditionType::DeletionRefused);
    assert!(
        text.contains(
            "used by 1 active rule: complaints. Deactivate (spec.active: false) or delete the rule;"
        ),
        "{text}"
    );
    let promise =
        "It cannot be canceled: to restore the links, apply the connection again after it is deleted.";
    assert!(text.contains(promise), "{text}");
    // Release: the empty list is stored first, then the finalizer is removed.
    let off = active.deactivated().generation(2).inactive(Reason::Inactive);
    let decision = view(&contoso).observation(probe_result()).live(std::slice::from_ref(&off)).decide();
    assert_eq!((decision.step, decision.status.active_rules.len()), (Step::Write, 0));
    let emptied = connection("contoso").deleting(at(0));
    assert_eq!(view(&emptied).live(&[off]).decide().step, Step::RemoveFinalizer);
}

/// §3: "With `enabled: false` the instance's state does not affect Ready". Otherwise a GitOps tool would wait for Ready
/// and never apply the wave that deactivates the rule.
#[rstest]
#[case(ProbeFailure::Unreachable)]
#[case(ProbeFailure::OrganizationDisabled { ended: true })]
fn r08_held_disable_is_ready_in_any_state(#[case] failure: ProbeFailure) {
    let mut contoso = connection("contoso").reserve("complaints", 1);
    contoso.0.spec.enabled = false;
    let rules = [rule("complaints").active_on("contoso")];
    let status = view(&contoso).observation(probe_result().failing(failure)).live(&rules).decide().status;
    assert_ne!(status.state, Some(ConnectionState::Enabled));
    assert_eq!(condition_text(&status.conditions, ConditionType::DisableRefused), "True/UsedByActiveRules");
    assert_eq!(readiness(&status.conditions), "True");
}

#[test]
fn r08_inactive_rules_never_block() {
    let rules = [rule("off").deactivated(), rule("elsewhere").refers_to("fabrikam").active_on("fabrikam")];
    let mut contoso = connection("contoso");
    contoso.0.spec.enabled = false;
    let decision = view(&contoso).observation(probe_result()).live(&rules).decide();
    assert_eq!(decision.status.state, Some(ConnectionState::Disabled));
    // A rule that is not active yet blocks nothing: it is no longer admitted (§4.3).
    let decision = view(&contoso).observation(probe_result()).live(&[rule("late")]).decide();
    assert_eq!(decision.status.state, Some(ConnectionState::Disabled));
    assert!(decision.status.active_rules.is_empty());
}

#[test]
fn r08_the_message_has_the_documented_wording() {
    let names = |n: usize| (0..n).map(|i| char::from(b'a' + u8::try_from(i).unwrap()).to_string()).collect();
    let used: [(usize, &str); 5] = [
        (1, "used by 1 active rule: a"),
        (2, "used by 2 active rules: a, b"),
        (3, "used by 3 active rules: a, b, c"),
        (4, "used by 4 active rules: a, b, c and 1 more"),
        (12, "used by 12 active rules: a, b, c and 9 more"),
    ];
    for (count, text) in used {
        let names: Vec<String> = names(count);
        assert_eq!(messages::used_by(&names), text);
        let which = match count {
            1 => "the rule",
            2 | 3 => "the rules",
            _ => "all rules in status.activeRules",
        };
        let full = format!("{text}. Deactivate (spec.active: false) or delete {which};");
        assert!(messages::disable_refused(&names).contains(&full));
        assert!(messages::deletion_refused(&names).contains(&full));
    }
}

#[test]
fn r08_holders_are_named_in_order() {
    let rules = ["c", "a", "b"].map(|n| rule(n).active_on("contoso"));
    let mut contoso = connection("contoso").reserve("c", 1).reserve("a", 1).reserve("b", 1);
    contoso.0.spec.enabled = false;
    let status = view(&contoso).observation(probe_result()).live(&rules).decide().status;
    assert_eq!(status.active_rule_count, 3);
    assert!(message(&status.conditions, ConditionType::DisableRefused).contains("rules: a, b, c."));
}

#[test]
fn organization_change_is_reported_and_not_adopted() {
    let contoso = connection("contoso");
    let status = view(&contoso).observation(probe_result().organization(OTHER_ORG)).decide().status;
    assert_eq!(condition_text(&status.conditions, ConditionType::Ready), "False/OrganizationChanged");
    assert_eq!(readiness(&status.conditions), "False+Stalled");
    assert_eq!(status.organization, Some(organization(ORG)), "the one its links belong to");
    assert_eq!(status.state, Some(ConnectionState::Enabled), "as last known");
}
