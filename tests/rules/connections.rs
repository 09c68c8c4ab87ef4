//! R2–R11, R16–R20 in a connection's own status.

use crate::{
    connection_scene::{Asked, asked, view},
    fixtures::{ORG, OTHER_ORG, at, connection, credentials, message, organization, readiness, rule, told},
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use postlink::{
    api::{
        ConditionType, ConnectionState, Reason,
        names::{FINALIZER, FLUX_RECONCILE_REQUESTED, RECONCILE_REQUESTED, REFRESH_REQUESTED},
    },
    domain::{
        connection::health::ProbeFailure,
        connection::{DEFAULT_PROBE, DEFAULT_REFRESH, DefaultClaim, Finalizer, interval},
        messages,
    },
};
use rstest::rstest;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

#[test]
fn r02_status_shows_the_instances_own_values() {
    let contoso = connection("contoso").unseen();
    let status = view(&contoso).told(asked().named("Contoso Ltd")).decide().status;
    assert_eq!(status.display_name.as_deref(), Some("Contoso Ltd"));
    assert_eq!(status.organization, Some(organization(ORG)));
    assert_eq!(status.state, Some(ConnectionState::Enabled));
    assert_eq!(status.connected_on, Some(Time(at(0))));
    assert_eq!(status.observed_generation, 1);
    assert_eq!(told(&status.conditions, ConditionType::Ready), "True/Connected");
    assert_eq!(readiness(&status.conditions), "True");
}

#[test]
fn r02_spec_display_name_overrides_the_organizations() {
    let mut contoso = connection("contoso");
    contoso.0.spec.display_name = Some("Service desk".into());
    let status = view(&contoso).told(asked().named("Contoso Ltd")).decide().status;
    assert_eq!(status.display_name.as_deref(), Some("Service desk"));
}

#[test]
fn r02_connected_on_stays_the_first_time() {
    let contoso = connection("contoso");
    let first = contoso.0.status.as_ref().unwrap().connected_on.clone();
    let down = asked().failing(ProbeFailure::Unreachable);
    for told in [asked(), down] {
        assert_eq!(view(&contoso).told(told).decide().status.connected_on, first);
    }
}

#[test]
fn state_is_unknown_before_the_first_probe() {
    let contoso = connection("contoso").unseen();
    let decision = view(&contoso).decide();
    assert_eq!(decision.status.state, None);
    assert_eq!(told(&decision.status.conditions, ConditionType::Ready), "Unknown/Connecting");
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
        let status = view(&contoso()).claims(&others).told(asked()).decide().status;
        assert_eq!(told(&status.conditions, ConditionType::Default), default, "{others:?}");
        assert_eq!(readiness(&status.conditions), "True", "a loser is as Ready as the winner");
    }
    let status = view(&connection("contoso")).claims(&[claim("a", 0)]).told(asked()).decide().status;
    assert_eq!(told(&status.conditions, ConditionType::Default), "False/NotDefault");
}

#[test]
fn r03_disabled_or_down_default_stays_the_default() {
    for state in [ConnectionState::Disabled, ConnectionState::Downtime, ConnectionState::Expired] {
        let contoso = connection("contoso").default_since(at(-50)).state(state);
        let decision = view(&contoso).live(&[]).decide();
        assert_eq!(told(&decision.status.conditions, ConditionType::Default), "True/DefaultConnection");
    }
}

#[test]
fn r04_requested_refresh_reads_all_tables_then_is_echoed() {
    let mut contoso = connection("contoso");
    contoso.0.metadata.annotations = Some(BTreeMap::from([(REFRESH_REQUESTED.into(), "monday".into())]));
    let decision = view(&contoso).told(asked()).decide();
    assert_eq!(decision.probe.unwrap().tables.unwrap(), ["incident", "lead"], "all of them");
    assert_eq!(decision.status.last_handled_refresh_at, None, "not before they were read");
    let decision = view(&contoso).told(asked().refreshed("monday")).decide();
    assert_eq!(decision.probe, None);
    assert_eq!(decision.status.last_handled_refresh_at.as_deref(), Some("monday"));
    assert_eq!(decision.status.metadata.unwrap().refreshed_at, Some(Time(at(0))));
}

#[test]
fn r04_metadata_is_read_again_on_its_interval() {
    let contoso = connection("contoso");
    let fresh = view(&contoso).told(asked()).decide();
    assert_eq!(fresh.probe, None);
    assert!(fresh.requeue.unwrap().periodic);
    let day = at(crate::fixtures::DAY);
    assert!(view(&contoso).told(asked()).now(day).decide().probe.unwrap().tables.is_some());
}

/// Without jitter, a restart would probe all instances at once.
#[test]
fn probe_jitter_is_at_most_a_tenth_and_stable() {
    // As spread out as random ones, and the same in each run.
    let uid =
        |n: u128| Uuid::from_u128(n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)).to_string();
    let all: Vec<_> = (1..=200).map(|n| connection("contoso").uid(&uid(n))).collect();
    let due = |contoso| view(contoso).told(asked()).decide().requeue.unwrap().at.duration_since(at(0));
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
        let asks = |contoso| view(contoso).told(asked()).now(at(0) + after).decide().probe;
        all.iter().filter(|contoso| asks(contoso).is_some_and(|ask| ask.tables.is_some())).count()
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
        let status = view(&contoso).told(asked()).decide().status;
        assert_eq!(status.last_handled_reconcile_at.as_deref(), Some("now"));
    }
}

/// After correcting the Secret, a user need not wait for the next probe.
#[test]
fn reconcile_request_probes_at_once_and_once() {
    for answer in [asked, || asked().failing(ProbeFailure::Unreachable)] {
        let mut contoso = connection("contoso");
        contoso.0.metadata.annotations = Some(BTreeMap::from([(RECONCILE_REQUESTED.into(), "now".into())]));
        let decision = view(&contoso).told(answer()).decide();
        assert!(decision.probe.is_some(), "asked for and not asked");
        // Also when the status cannot be written.
        let answered = || answer().requested("now");
        assert_eq!(view(&contoso).told(answered()).decide().probe, None, "asked again for the same request");
        contoso.0.status = Some(decision.status);
        assert_eq!(view(&contoso).told(answered()).decide().probe, None, "asked again for the same request");
        assert!(
            view(&contoso).told(answer()).decide().probe.is_some(),
            "the answer is older than the request"
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
    let cut = "ü".repeat(1024);
    let status = view(&contoso).told(asked().refreshed(&cut)).decide().status;
    assert_eq!(status.last_handled_reconcile_at.as_ref(), Some(&cut));
    assert_eq!(status.last_handled_refresh_at.as_ref(), Some(&cut));
}

/// The result of the old credentials says nothing about the new ones, and a GitOps tool gives up on a new generation
/// that is Stalled.
#[test]
fn new_credentials_are_probed_before_reporting() {
    let mut contoso = connection("contoso");
    contoso.0.spec.credentials = credentials("another");
    for answer in [asked(), asked().failing(ProbeFailure::CredentialsRejected)] {
        let decision = view(&contoso).told(answer).decide();
        assert!(decision.probe.is_some() && decision.await_answer);
    }
    contoso.0.spec.enabled = false;
    let decision = view(&contoso).told(asked().failing(ProbeFailure::CredentialsRejected)).live(&[]).decide();
    assert!(!decision.await_answer, "a disable waits for no answer");
}

/// R4: an unreadable table definition blocks nothing else, and its retries back off.
#[test]
fn r04_failed_metadata_reads_back_off() {
    let mut contoso = connection("contoso");
    contoso.0.spec.record_types.push("new_ticket".into());
    let tables = Some(contoso.0.spec.record_types.clone());
    let asks = |told: Asked, now: Timestamp| {
        let decision = view(&contoso).told(told).now(now).decide();
        assert_eq!(self::told(&decision.status.conditions, ConditionType::Ready), "True/Connected");
        (decision.probe.and_then(|ask| ask.tables), decision.requeue.map(|requeue| requeue.at))
    };
    assert_eq!(asks(asked(), at(0)).0, tables, "a new table is asked for at once");
    for (times, wait) in [(1, 15), (2, 30), (5, 240)] {
        let told = || asked().metadata_failure(times, at(0));
        assert_eq!(asks(told(), at(wait - 1)), (None, Some(at(wait))));
        assert_eq!(asks(told(), at(wait)).0, tables);
    }
}

#[test]
fn r05_disabled_is_ready_in_any_instance_state() {
    let contoso = connection("contoso").state(ConnectionState::Disabled);
    for told_of in [None, Some(asked()), Some(asked().failing(ProbeFailure::Unreachable))] {
        let decision = view(&contoso).maybe_told(told_of).live(&[]).decide();
        assert_eq!(decision.status.state, Some(ConnectionState::Disabled));
        assert_eq!(told(&decision.status.conditions, ConditionType::Ready), "True/Disabled");
        assert_eq!(decision.probe, None, "a disabled connection asks its instance nothing");
    }
}

#[test]
fn r05_disabling_needs_a_live_list_and_no_creation_in_flight() {
    let mut contoso = connection("contoso");
    contoso.0.spec.enabled = false;
    let decision = view(&contoso).told(asked()).decide();
    assert!(decision.needs_live_list && decision.close_creations);
    assert_eq!(decision.status.state, Some(ConnectionState::Enabled));
    let decision = view(&contoso).told(asked()).live(&[]).in_flight().decide();
    assert_eq!(decision.status.state, Some(ConnectionState::Enabled));
    let decision = view(&contoso).told(asked()).live(&[]).decide();
    assert_eq!(decision.status.state, Some(ConnectionState::Disabled));
}

#[test]
fn r07_r11_last_connection_is_released_without_reservations() {
    let contoso = connection("contoso").deleting(at(0));
    let decision = view(&contoso).told(asked()).decide();
    assert!(decision.needs_live_list);
    assert_eq!(decision.finalizer, Finalizer::Keep);
    assert_eq!(view(&contoso).told(asked()).live(&[]).decide().finalizer, Finalizer::Remove);
}

#[test]
fn finalizer_is_added_first() {
    let mut contoso = connection("contoso");
    contoso.0.metadata.finalizers = None;
    let decision = view(&contoso).rules(&[rule("complaints")]).decide();
    assert_eq!(decision.finalizer, Finalizer::Add);
    assert!(decision.status.active_rules.is_empty(), "no reservation without it (§4.3)");
    // A foreign finalizer does not count; during deletion none is added.
    contoso.0.metadata.finalizers = Some(vec!["example.com/other".into()]);
    assert_eq!(view(&contoso).decide().finalizer, Finalizer::Add);
    let leaving = contoso.deleting(at(0));
    assert_eq!(view(&leaving).decide().finalizer, Finalizer::Keep);
    assert_eq!(FINALIZER, "postlink.dev/active-rules");
}

#[test]
fn r08_disable_is_refused_while_rules_are_active() {
    let active = rule("complaints").active_on("contoso");
    let mut contoso = connection("contoso").reserve("complaints", 1);
    contoso.0.spec.enabled = false;
    let status = view(&contoso).told(asked()).live(std::slice::from_ref(&active)).decide().status;
    assert_eq!(status.state, Some(ConnectionState::Enabled));
    assert_eq!(told(&status.conditions, ConditionType::DisableRefused), "True/UsedByActiveRules");
    assert_eq!(told(&status.conditions, ConditionType::DeletionRefused), "-");
    assert_eq!(readiness(&status.conditions), "True", "it works as before");
    let text = message(&status.conditions, ConditionType::DisableRefused);
    assert!(
        text.contains(
            "used by 1 active rule: complaints. Deactivate (spec.active: false) or delete the rule;"
        ),
        "{text}"
    );
    // The rule is inactive and its status says so: the change is carried out.
    let off = active.off().generation(2).waiting(Reason::Inactive);
    let status = view(&contoso).told(asked()).live(&[off]).decide().status;
    assert_eq!((status.state, status.active_rules.len()), (Some(ConnectionState::Disabled), 0));
    assert_eq!(told(&status.conditions, ConditionType::DisableRefused), "-");
}

#[test]
fn r08_deletion_is_refused_while_rules_are_active() {
    let active = rule("complaints").active_on("contoso");
    let contoso = connection("contoso").reserve("complaints", 1).deleting(at(0));
    let decision = view(&contoso).told(asked()).live(std::slice::from_ref(&active)).decide();
    let status = decision.status;
    assert_eq!(decision.finalizer, Finalizer::Keep);
    assert_eq!(status.state, Some(ConnectionState::Enabled));
    assert_eq!(told(&status.conditions, ConditionType::DeletionRefused), "True/UsedByActiveRules");
    assert_eq!(told(&status.conditions, ConditionType::DisableRefused), "-");
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
    let off = active.off().generation(2).waiting(Reason::Inactive);
    let decision = view(&contoso).told(asked()).live(std::slice::from_ref(&off)).decide();
    assert_eq!((decision.finalizer, decision.status.active_rules.len()), (Finalizer::Keep, 0));
    let emptied = connection("contoso").deleting(at(0));
    assert_eq!(view(&emptied).live(&[off]).decide().finalizer, Finalizer::Remove);
}

/// §3: "With `enabled: false` the instance's state does not affect Ready"; otherwise the wave that deactivates the rule
/// would never be applied.
#[rstest]
#[case(ProbeFailure::Unreachable)]
#[case(ProbeFailure::OrganizationDisabled { ended: true })]
fn r08_held_disable_is_ready_in_any_instance_state(#[case] failure: ProbeFailure) {
    let mut contoso = connection("contoso").reserve("complaints", 1);
    contoso.0.spec.enabled = false;
    let rules = [rule("complaints").active_on("contoso")];
    let status = view(&contoso).told(asked().failing(failure)).live(&rules).decide().status;
    assert_ne!(status.state, Some(ConnectionState::Enabled));
    assert_eq!(told(&status.conditions, ConditionType::DisableRefused), "True/UsedByActiveRules");
    assert_eq!(readiness(&status.conditions), "True");
}

#[test]
fn r08_inactive_rules_never_block() {
    let rules = [rule("off").off(), rule("elsewhere").refers_to("fabrikam").active_on("fabrikam")];
    let mut contoso = connection("contoso");
    contoso.0.spec.enabled = false;
    let decision = view(&contoso).told(asked()).live(&rules).decide();
    assert_eq!(decision.status.state, Some(ConnectionState::Disabled));
    // A rule that only wants to be active is no holder: it is not admitted any more (§4.3).
    let decision = view(&contoso).told(asked()).live(&[rule("late")]).decide();
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
    let status = view(&contoso).told(asked()).live(&rules).decide().status;
    assert_eq!(status.active_rule_count, 3);
    assert!(message(&status.conditions, ConditionType::DisableRefused).contains("rules: a, b, c."));
}

#[test]
fn organization_change_is_reported_and_not_adopted() {
    let contoso = connection("contoso");
    let status = view(&contoso).told(asked().organization(OTHER_ORG)).decide().status;
    assert_eq!(told(&status.conditions, ConditionType::Ready), "False/OrganizationChanged");
    assert_eq!(readiness(&status.conditions), "False+Stalled");
    assert_eq!(status.organization, Some(organization(ORG)), "the one its links belong to");
    assert_eq!(status.state, Some(ConnectionState::Enabled), "as last known");
}
