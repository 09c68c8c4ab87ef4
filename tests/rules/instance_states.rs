//! R17, R18, R20, R27 and §3: how a probe affects state and Ready; R9: missing tables.

use crate::{
    connection_scene::{ProbeResult, probe_result, view},
    fixtures::{
        Connection, ORG, OTHER_ORG, condition_text, connection, message, organization, readiness, rule,
    },
};
use jiff::SignedDuration;
use postlink::{
    api::{ConditionType, ConnectionState, Reason},
    domain::{
        connection::health::{ProbeAnswer, ProbeFailure, evaluate, retry_after},
        facts::ConnectionFacts,
    },
};

const UNCHANGED: Option<ConnectionState> = None;

/// Every failure with its state (None: as last known), reason and readiness.
fn table() -> Vec<(ProbeFailure, Option<ConnectionState>, Reason, &'static str)> {
    use ConnectionState::{Downtime, Expired};
    let waits = "False+Reconciling";
    let stalled = "False+Stalled";
    vec![
        (ProbeFailure::OrganizationDisabled { ended: true }, Some(Expired), Reason::InstanceExpired, stalled),
        (
            ProbeFailure::OrganizationDisabled { ended: false },
            Some(Downtime),
            Reason::InstanceDowntime,
            waits,
        ),
        (ProbeFailure::AdministrationMode, Some(Downtime), Reason::InstanceDowntime, waits),
        (ProbeFailure::Unreachable, Some(Downtime), Reason::InstanceDowntime, waits),
        (ProbeFailure::UnexpectedResponse, Some(Downtime), Reason::InstanceDowntime, waits),
        (ProbeFailure::Failing, Some(Downtime), Reason::InstanceDowntime, waits),
        (ProbeFailure::Certificate, Some(Downtime), Reason::InstanceDowntime, waits),
        (ProbeFailure::SignInUnavailable, UNCHANGED, Reason::SignInUnavailable, waits),
        (ProbeFailure::CredentialsRejected, UNCHANGED, Reason::CredentialsRejected, stalled),
        (ProbeFailure::AccessDenied, UNCHANGED, Reason::AccessDenied, stalled),
        (ProbeFailure::SecretNotFound("key".into()), UNCHANGED, Reason::SecretNotFound, waits),
        (ProbeFailure::SecretInvalid("no tenantId".into()), UNCHANGED, Reason::SecretInvalid, stalled),
        (ProbeFailure::HostNotAllowed, UNCHANGED, Reason::HostNotAllowed, stalled),
        (ProbeFailure::AddressNotAllowed, UNCHANGED, Reason::AddressNotAllowed, stalled),
    ]
}

#[test]
fn every_failure_has_its_state_and_reason() {
    for (failure, state, reason, ready) in table() {
        for known in [ConnectionState::Enabled, ConnectionState::Downtime, ConnectionState::Expired] {
            let contoso = connection("contoso").state(known);
            let status = view(&contoso).observation(probe_result().failing(failure.clone())).decide().status;
            assert_eq!(status.state, Some(state.unwrap_or(known)), "{failure:?} after {known:?}");
            assert_eq!(condition_text(&status.conditions, ConditionType::Ready), format!("False/{reason}"));
            assert_eq!(readiness(&status.conditions), ready, "{failure:?}");
            assert_eq!(status.organization, Some(organization(ORG)), "what was known stays known");
        }
    }
}

#[test]
fn first_failure_sets_state_only_if_conclusive() {
    for (failure, state, reason, _) in table() {
        let status = view(&connection("contoso").never_reconciled())
            .observation(probe_result().failing(failure))
            .decide()
            .status;
        assert_eq!(status.state, state);
        assert_eq!(condition_text(&status.conditions, ConditionType::Ready), format!("False/{reason}"));
        assert_eq!((status.organization, status.connected_on), (None, None));
    }
}

#[test]
fn r18_expired_needs_positive_evidence() {
    for (failure, state, ..) in table() {
        let positive = failure == ProbeFailure::OrganizationDisabled { ended: true };
        assert_eq!(state == Some(ConnectionState::Expired), positive, "{failure:?}");
        let answer = ProbeAnswer::Failure(failure);
        assert_eq!(evaluate(&answer, None, "h").state == Some(ConnectionState::Expired), positive);
    }
}

#[test]
fn disabled_only_means_enabled_false() {
    let ProbeAnswer::Organization { organization, friendly_name, accepts_social_data, .. } =
        probe_result().0.answer
    else {
        panic!()
    };
    let disabled =
        ProbeAnswer::Organization { organization, friendly_name, accepts_social_data, disabled: true };
    let verdict = evaluate(&disabled, None, "contoso.crm.dynamics.com");
    assert_eq!(verdict.state, Some(ConnectionState::Downtime));
    assert_eq!(verdict.problem.unwrap().0, Reason::InstanceDowntime);
}

#[test]
fn throttling_does_not_change_the_state() {
    let throttled = || probe_result().failing(ProbeFailure::Throttled);
    for (contoso, state, ready) in [
        (connection("contoso"), Some(ConnectionState::Enabled), "True/Connected"),
        (
            connection("contoso").state(ConnectionState::Downtime),
            Some(ConnectionState::Downtime),
            "False/InstanceDowntime",
        ),
        (
            connection("contoso").unusable(Reason::OrganizationChanged),
            Some(ConnectionState::Enabled),
            "False/OrganizationChanged",
        ),
        (connection("contoso").never_reconciled(), None, "Unknown/Connecting"),
    ] {
        let status = view(&contoso).observation(throttled()).decide().status;
        assert_eq!(status.state, state);
        assert_eq!(condition_text(&status.conditions, ConditionType::Ready), ready);
        // Also after a restart, before the first probe.
        let status = view(&contoso).decide().status;
        assert_eq!(
            (status.state, condition_text(&status.conditions, ConditionType::Ready)),
            (state, ready.to_owned())
        );
    }
}

#[test]
fn r17_r18_recovery_is_automatic() {
    for state in [ConnectionState::Downtime, ConnectionState::Expired] {
        let status = view(&connection("contoso").state(state)).observation(probe_result()).decide().status;
        assert_eq!(status.state, Some(ConnectionState::Enabled));
        assert_eq!(readiness(&status.conditions), "True");
    }
}

#[test]
fn changed_organization_keeps_the_known_id_and_state() {
    let verdict = evaluate(&probe_result().organization(OTHER_ORG).0.answer, Some(&organization(ORG)), "h");
    assert_eq!((verdict.state, verdict.organization), (None, Some(organization(ORG))));
    assert_eq!(verdict.problem.unwrap().0, Reason::OrganizationChanged);
}

#[test]
fn instance_refusing_social_data_is_connected() {
    let status =
        view(&connection("contoso")).observation(probe_result().refuses_social_data()).decide().status;
    assert_eq!(condition_text(&status.conditions, ConditionType::Ready), "True/Connected");
    assert!(message(&status.conditions, ConditionType::Ready).contains("does not accept social data"));
}

#[test]
fn failed_probes_back_off_to_the_probe_interval() {
    let (probe, secs) = (SignedDuration::from_mins(5), SignedDuration::from_secs);
    let waits = |failure: ProbeFailure| {
        [1, 2, 3, 4, 5, 6, u32::MAX].map(|failures| {
            let mut result = probe_result().failing(failure.clone()).0;
            result.failures = failures;
            retry_after(&result, probe)
        })
    };
    let away = [secs(15), secs(30), secs(60), secs(120), secs(240), probe, probe];
    assert_eq!(waits(ProbeFailure::Unreachable), away);
    // The API server failed to return the Secret, usually only briefly; the instance was not contacted.
    let not_contacted = [secs(1), secs(2), secs(4), secs(8), secs(16), secs(32), probe];
    assert_eq!(waits(ProbeFailure::NotAsked), not_contacted);
    let away =
        view(&connection("contoso")).observation(probe_result().failing(ProbeFailure::Unreachable)).decide();
    assert!(!away.requeue.unwrap().periodic, "it waits for the recovery, so it is not periodic");
}

/// Why no link can be created through a connection (R21): the first reason that applies.
#[test]
fn r21_reason_a_connection_is_not_offered() {
    let cases: Vec<(Connection, Option<Reason>)> = vec![
        (connection("c"), None),
        (connection("c").state(ConnectionState::Disabled), Some(Reason::ConnectionDisabled)),
        (connection("c").state(ConnectionState::Downtime), Some(Reason::InstanceDowntime)),
        (connection("c").state(ConnectionState::Expired), Some(Reason::InstanceExpired)),
        (connection("c").unusable(Reason::OrganizationChanged), Some(Reason::OrganizationChanged)),
        (connection("c").unusable(Reason::SecretNotFound), Some(Reason::ConnectionNotReady)),
        (
            connection("c").state(ConnectionState::Downtime).unusable(Reason::SecretNotFound),
            Some(Reason::ConnectionNotReady),
        ),
        (connection("c").never_reconciled(), Some(Reason::ConnectionNotReady)),
    ];
    for (c, reason) in cases {
        assert_eq!(ConnectionFacts::of(&c.0).refuses_links(), reason, "{:?}", c.facts());
    }
}

/// `lead` was just removed from `spec.recordTypes`.
fn without_lead() -> Connection {
    let mut contoso = connection("contoso").reserve("complaints", 1);
    contoso.0.spec.record_types = vec!["incident".into()];
    contoso.0.metadata.generation = Some(2);
    contoso
}

#[test]
fn r09_used_record_type_stays_in_force() {
    let complaints = rule("complaints").record_type("lead").active_on("contoso");
    let status = view(&without_lead()).observation(probe_result()).rules(&[complaints]).decide().status;
    assert_eq!(status.metadata.unwrap().record_types, ["incident", "lead"]);
    assert_eq!(condition_text(&status.conditions, ConditionType::RecordTypeInUse), "True/UsedByActiveRules");
    let text = message(&status.conditions, ConditionType::RecordTypeInUse);
    assert!(text.contains("lead is no longer in spec.recordTypes"), "{text}");
    let advice = "To complete the removal, deactivate (spec.active: false) or delete the rule";
    assert!(text.contains(&format!("used by 1 active rule: complaints. {advice}")), "{text}");
    assert_eq!(readiness(&status.conditions), "True");
    assert_eq!(status.active_rule_count, 1);
}

#[test]
fn r09_type_goes_with_its_last_rule() {
    let complaints =
        rule("complaints").record_type("lead").deactivated().generation(2).inactive(Reason::Inactive);
    let mut contoso = without_lead();
    contoso.status().metadata.as_mut().unwrap().record_types = vec!["incident".into(), "lead".into()];
    let status = view(&contoso).observation(probe_result()).live(&[complaints]).decide().status;
    assert_eq!(status.metadata.unwrap().record_types, ["incident"]);
    assert_eq!(condition_text(&status.conditions, ConditionType::RecordTypeInUse), "-");
    assert!(status.active_rules.is_empty());
}

#[test]
fn r09_only_active_rules_keep_their_record_type() {
    let bare = rule("complaints").active_on("contoso");
    let other = rule("other").record_type("lead").refers_to("fabrikam").active_on("fabrikam");
    let status = view(&without_lead()).observation(probe_result()).rules(&[bare, other]).decide().status;
    assert_eq!(status.metadata.unwrap().record_types, ["incident"]);
    assert_eq!(condition_text(&status.conditions, ConditionType::RecordTypeInUse), "-");
}

#[test]
fn r09_new_rule_cannot_use_a_dropped_type() {
    let mut contoso = without_lead();
    contoso.status().active_rules.clear();
    let late = rule("late").record_type("lead");
    let status = view(&contoso).observation(probe_result()).rules(&[late]).decide().status;
    assert!(status.active_rules.is_empty());
}

#[test]
fn r04_missing_table_is_not_offered_after_restart() {
    let status =
        view(&connection("contoso")).observation(probe_result().has_only(&["incident"])).decide().status;
    assert_eq!(status.metadata.as_ref().unwrap().record_types, ["incident"]);
    let mut contoso = connection("contoso");
    contoso.0.status = Some(status);
    let again = view(&contoso).decide().status;
    assert_eq!(again.metadata.unwrap().record_types, ["incident"]);
}

#[test]
fn r04_unread_table_gets_no_reservation() {
    let typo = rule("typo").record_type("lead");
    for unread in [connection("contoso").never_reconciled(), connection("contoso").offers(&[])] {
        let status = view(&unread).rules(std::slice::from_ref(&typo)).decide().status;
        assert_eq!(status.metadata.as_ref().unwrap().record_types, Vec::<String>::new());
        assert!(status.active_rules.is_empty(), "{:?}", status.active_rules);
        let read = view(&unread).observation(probe_result()).rules(std::slice::from_ref(&typo)).decide();
        assert_eq!(read.status.active_rule_count, 1);
        // A rule that names no record type needs none.
        assert_eq!(view(&unread).rules(&[rule("bare")]).decide().status.active_rule_count, 1);
    }
}

#[test]
fn r09_type_of_an_active_rule_stays_when_its_table_vanishes() {
    let complaints = rule("complaints").record_type("lead").active_on("contoso");
    let contoso = connection("contoso").reserve("complaints", 1);
    let probe = probe_result().has_only(&["incident"]);
    let status = view(&contoso).observation(probe).rules(&[complaints]).decide().status;
    assert_eq!(status.active_rule_count, 1);
    let metadata = status.metadata.unwrap();
    assert_eq!(
        (metadata.record_types, metadata.missing_record_types),
        (vec!["incident".to_owned(), "lead".to_owned()], vec!["lead".to_owned()])
    );
    // It is in spec.recordTypes, so nothing is said about a removal.
    assert_eq!(condition_text(&status.conditions, ConditionType::RecordTypeInUse), "-");
}

#[test]
fn r09_kept_type_is_not_offered_to_others() {
    let complaints = rule("complaints").record_type("lead").active_on("contoso");
    let late = rule("late").record_type("lead");
    for (contoso, probe) in [
        (without_lead(), probe_result()),
        (connection("contoso").reserve("complaints", 1), probe_result().has_only(&["incident"])),
    ] {
        let rules = [complaints.clone(), late.clone()];
        let status = view(&contoso).observation(probe).rules(&rules).decide().status;
        let names: Vec<&str> = status.active_rules.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["complaints"]);
    }
}

#[test]
fn r09_vanished_table_stays_missing_after_its_removal_from_the_spec() {
    let complaints = [rule("complaints").record_type("lead").active_on("contoso")];
    let mut contoso = connection("contoso").reserve("complaints", 1);
    contoso.0.status = Some(
        view(&contoso).observation(probe_result().has_only(&["incident"])).rules(&complaints).decide().status,
    );
    contoso.0.spec.record_types = vec!["incident".into()];
    let decision = view(&contoso).rules(&complaints).decide();
    let metadata = decision.status.metadata.unwrap();
    assert_eq!(metadata.record_types, ["incident", "lead"]);
    assert_eq!(metadata.missing_record_types, ["lead"], "no link is made for it");
    let tables = decision.probe.and_then(|probe| probe.tables).unwrap();
    assert_eq!(tables, ["incident", "lead"], "it is read as long as it is kept");
}

#[test]
fn r04_connection_says_that_metadata_cannot_be_read() {
    let probe = probe_result().only_read("incident");
    let contoso = connection("contoso").offers(&["incident"]);
    let conditions = view(&contoso).observation(probe).decide().status.conditions;
    assert_eq!(condition_text(&conditions, ConditionType::RecordTypeNotOffered), "True/TableNotRead");
    let text = message(&conditions, ConditionType::RecordTypeNotOffered);
    assert!(text.starts_with("The metadata of table lead cannot be read"), "{text}");
}

#[test]
fn r04_connection_names_the_tables_it_cannot_use() {
    let said = |probe: ProbeResult| {
        let conditions = view(&connection("contoso")).observation(probe).decide().status.conditions;
        let type_ = ConditionType::RecordTypeNotOffered;
        assert_eq!(readiness(&conditions), "True", "the other record types can be used");
        let text = condition_text(&conditions, type_);
        (if text == "-" { String::new() } else { message(&conditions, type_) }, text)
    };
    assert_eq!(said(probe_result()).1, "-");
    let (text, status) = said(probe_result().has_only(&["incident"]));
    assert_eq!(status, "True/TableNotFound");
    assert!(text.starts_with("The instance has no table lead, so"), "{text}");
    let (text, status) = said(probe_result().unsupported("lead"));
    assert_eq!(status, "True/TableNotSupported");
    assert!(text.starts_with("Social activities cannot refer to table lead."), "{text}");
    let (text, status) = said(probe_result().has_only(&[]).unsupported("lead"));
    assert_eq!(status, "True/TableNotFound");
    assert!(text.contains("no tables incident, lead"), "{text}");

    let ready = |probe: ProbeResult| {
        let conditions = view(&connection("contoso")).observation(probe).decide().status.conditions;
        message(&conditions, ConditionType::Ready)
    };
    let text = ready(probe_result().has_only(&["incident"]));
    assert!(text.ends_with("accepts new links."), "{text}");
    let text = ready(probe_result().has_only(&[]));
    assert!(text.contains("nothing can be linked: it has none of the tables"), "{text}");
}

#[test]
fn messages_fit_into_a_condition() {
    let names: Vec<String> = (0..1000).map(|i| format!("{i:0>253}")).collect();
    let tables: Vec<String> = (0..64).map(|i| format!("t{i:0>127}")).collect();
    let all = [
        postlink::domain::messages::disable_refused(&names),
        postlink::domain::messages::deletion_refused(&names),
        postlink::domain::messages::record_type_in_use(&tables, &names),
        postlink::domain::messages::record_types_not_offered(&tables, &tables, &tables),
    ];
    for text in all {
        assert!(text.len() <= 4096, "{} bytes: the API server would always reject it", text.len());
    }
}
