//! R8 and §4.1 in a rule's own status.

use crate::fixtures::{Connection, DAY, Rule, at, condition_text, connection, message, readiness, rule};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use postlink::{
    api::{
        AutomationRuleStatus, ConditionType, ConnectionState, Reason, connection::MAX_ACTIVE_RULES,
        names::RECONCILE_REQUESTED,
    },
    domain::{
        automation_rule::{AutomationRuleView, decide},
        reservations::Clauses,
    },
};

fn status(rule: &Rule, named: Option<&Connection>) -> AutomationRuleStatus {
    decided(rule, named, true)
}

fn decided(rule: &Rule, named: Option<&Connection>, evaluated: bool) -> AutomationRuleStatus {
    let facts = named.map(Connection::facts);
    decide(&AutomationRuleView {
        now: at(0),
        rule: &rule.0,
        named: facts.as_ref(),
        evaluated,
        clauses: &Clauses::KEPT,
    })
}

/// `Active | HoldsConnection | Ready | connectionUID`.
fn row(status: &AutomationRuleStatus) -> String {
    let list = &status.conditions;
    format!(
        "{} | {} | {} | {}",
        condition_text(list, ConditionType::Active),
        condition_text(list, ConditionType::HoldsConnection),
        readiness(list),
        status.connection_uid.as_deref().unwrap_or("-")
    )
}

#[track_caller]
fn expect(rule: &Rule, named: Option<&Connection>, expected: &str) {
    let first = status(rule, named);
    assert_eq!(row(&first), expected);
    assert_eq!(first.observed_generation, rule.0.metadata.generation.unwrap());
    // A second decision changes nothing.
    let mut again = rule.clone();
    again.0.status = Some(first.clone());
    assert_eq!(row(&status(&again, named)), expected, "a second decision differs");
}

const RESERVED: &str = "True/Reserved | - | True | uid-contoso";

#[test]
fn active_needs_an_entry_of_its_current_generation() {
    let complaints = rule("complaints").generation(3);
    let pending = "False/ReservationPending | - | False+Reconciling | -";
    expect(&complaints, Some(&connection("contoso").reserve("complaints", 3)), RESERVED);
    expect(&complaints, Some(&connection("contoso").reserve("complaints", 2)), pending);
    expect(&complaints, Some(&connection("contoso").reserve("complaints", 4)), pending);
    expect(&complaints, Some(&connection("contoso").reserve("another", 3)), pending);
    expect(&complaints, Some(&connection("contoso")), pending);
}

#[test]
fn an_active_rule_stays_active_over_an_edit() {
    let edited = rule("complaints").active_on("contoso").generation(2);
    expect(&edited, Some(&connection("contoso").reserve("complaints", 1)), RESERVED);
}

#[test]
fn inactive_as_asked_is_ready() {
    let row = "False/Inactive | - | True | -";
    for off in [rule("complaints").deactivated(), rule("complaints").active_on("contoso").deactivated()] {
        expect(&off, Some(&connection("contoso").reserve("complaints", 1)), row);
        expect(&off, None, row);
        // Also when the connection is Disabled or being deleted.
        expect(&off, Some(&connection("contoso").deleting(at(-5))), row);
        expect(&off, Some(&connection("contoso").state(ConnectionState::Disabled)), row);
    }
}

#[test]
fn wanted_but_there_is_no_such_connection() {
    let row = "False/ConnectionNotFound | - | False+Reconciling | -";
    expect(&rule("complaints"), None, row);
    expect(&rule("complaints").active_on("contoso"), None, row);
}

#[test]
fn wanted_but_the_connection_is_disabled_or_disabling() {
    let row = "False/ConnectionDisabled | - | False+Reconciling | -";
    expect(&rule("late"), Some(&connection("contoso").state(ConnectionState::Disabled)), row);
    expect(&rule("late"), Some(&connection("contoso").disable_refused(at(-9))), row);
}

#[test]
fn wanted_but_the_connection_is_being_deleted() {
    let row = "False/ConnectionTerminating | - | False+Reconciling | -";
    expect(&rule("late"), Some(&connection("contoso").deleting(at(-9))), row);
    expect(&rule("late"), Some(&connection("contoso").disable_refused(at(-9)).deleting(at(-9))), row);
}

#[test]
fn wanted_but_the_connection_is_full() {
    let full = (0..MAX_ACTIVE_RULES).fold(connection("contoso"), |c, i| c.reserve(&format!("rule-{i}"), 1));
    let row = "False/ConnectionFull | - | False+Reconciling | -";
    expect(&rule("late"), Some(&full), row);
    // A rule that moves here from another connection reports this at once.
    let moving = rule("late").active_on("fabrikam");
    expect(&moving, Some(&full), row);
    expect(&rule("rule-7").active_on("contoso"), Some(&full), RESERVED);
}

/// It keeps its reservation: the memory of other rules must not release a connection (R8).
#[test]
fn r08_rule_beyond_the_limit_of_its_namespace_stays_active_and_says_that_it_links_nothing() {
    let named = connection("contoso").reserve("late", 1);
    for rule in [rule("late"), rule("late").active_on("contoso")] {
        let status = decided(&rule, Some(&named), false);
        assert_eq!(row(&status), "True/Reserved | - | False+Stalled | uid-contoso");
        assert_eq!(status.reason.as_deref(), Some("NamespaceFull"));
        let active = message(&status.conditions, ConditionType::Active);
        assert!(active.starts_with("The rule is active but links nothing: "), "{active}");
    }
    let holds = decided(&rule("late").active_on("contoso"), Some(&named.disable_refused(at(-9))), false);
    assert_eq!(holds.reason.as_deref(), Some("HoldsConnection"));
    let off = decided(&rule("late").deactivated(), Some(&connection("contoso")), false);
    assert_eq!(off.reason.as_deref(), Some("Inactive"));
}

#[test]
fn wanted_but_the_record_type_is_not_offered() {
    let row = "False/RecordTypeNotOffered | - | False+Stalled | -";
    let late = rule("late").record_type("opportunity");
    expect(&late, Some(&connection("contoso")), row);
    assert!(
        message(&status(&late, Some(&connection("contoso"))).conditions, ConditionType::Active)
            .contains("opportunity")
    );
    // Edited to name a table that is not offered, it releases.
    let edited = rule("late").active_on("contoso").generation(2).record_type("opportunity");
    expect(&edited, Some(&connection("contoso").reserve("late", 1)), row);
    let offered = rule("late").active_on("contoso").record_type("lead");
    expect(&offered, Some(&connection("contoso").reserve("late", 1)), RESERVED);
}

#[test]
fn r04_rule_waits_until_its_table_is_read() {
    let late = rule("late").record_type("lead");
    let contoso = connection("contoso").offers(&["incident"]);
    expect(&late, Some(&contoso), "False/ReservationPending | - | False+Reconciling | -");
    let text = message(&status(&late, Some(&contoso)).conditions, ConditionType::Active);
    assert!(text.contains("has a table lead has not been read yet"), "{text}");
    // The status of the connection was lost: an active rule stays active, even with a type that only R9 kept.
    let mut kept = connection("contoso").never_reconciled();
    kept.0.spec.record_types = vec!["incident".into()];
    expect(&late.clone().active_on("contoso"), Some(&connection("contoso").never_reconciled()), RESERVED);
    expect(&late.active_on("contoso"), Some(&kept), RESERVED);
}

#[test]
fn r04_rule_says_why_its_record_type_is_not_offered() {
    let said = |rule: &Rule, contoso: &Connection| {
        let conditions = status(rule, Some(contoso)).conditions;
        assert_eq!(condition_text(&conditions, ConditionType::Active), "False/RecordTypeNotOffered");
        message(&conditions, ConditionType::Active)
    };
    let text = said(&rule("late").record_type("lead"), &connection("contoso").lacks("lead"));
    assert!(text.contains("its instance has no table of this name"), "{text}");
    let text = said(&rule("late").record_type("opportunity"), &connection("contoso"));
    assert!(text.contains("it is not in the connection's spec.recordTypes"), "{text}");
}

#[test]
fn r04_r09_active_rule_says_that_it_links_nothing() {
    let said = |rule: Rule, contoso: &Connection| {
        let conditions = status(&rule.active_on("contoso"), Some(contoso)).conditions;
        assert_eq!(condition_text(&conditions, ConditionType::Active), "True/Reserved");
        message(&conditions, ConditionType::Active)
    };
    let text = said(rule("any"), &connection("contoso").lacks("lead"));
    assert!(text.starts_with("The rule is active and links matching posts"), "{text}");
    let text = said(rule("any"), &connection("contoso").lacks("lead").lacks("incident"));
    assert!(text.contains("links nothing. Connection contoso does not offer record type incident"), "{text}");
    let kept = connection("contoso").lacks("lead").offers(&["incident", "lead"]);
    let text = said(rule("leads").record_type("lead"), &kept);
    assert!(text.contains("links nothing. Connection contoso does not offer record type lead"), "{text}");
}

#[test]
fn downtime_does_not_make_a_rule_inactive() {
    for contoso in [
        connection("contoso").state(ConnectionState::Downtime),
        connection("contoso").state(ConnectionState::Expired),
        connection("contoso").unusable(Reason::CredentialsRejected),
        connection("contoso").unusable(Reason::OrganizationChanged),
        connection("contoso").never_reconciled(),
    ] {
        let contoso = contoso.reserve("complaints", 1);
        expect(&rule("complaints").active_on("contoso"), Some(&contoso), RESERVED);
        expect(&rule("complaints"), Some(&contoso), RESERVED);
    }
}

#[test]
fn r08_holding_rule_reports_holds_connection() {
    let row = "True/Reserved | True/HoldsConnection | False+Stalled | uid-contoso";
    let active = rule("holder").active_on("contoso");
    for (held, word) in [
        (connection("contoso").disable_refused(at(-9)), "Disabling"),
        (connection("contoso").reserve("holder", 1).deleting(at(-9)), "Deleting"),
    ] {
        expect(&active, Some(&held), row);
        let text = message(&status(&active, Some(&held)).conditions, ConditionType::HoldsConnection);
        assert!(text.contains(word) && text.contains("spec.active to false"), "{text}");
    }
    // The request is withdrawn: the condition is removed.
    expect(&active, Some(&connection("contoso").reserve("holder", 1)), RESERVED);
}

#[test]
fn moving_rule_releases_first_and_keeps_active_from() {
    let moving = rule("mover").active_on("contoso").active_from(at(-77)).refers_to("fabrikam").generation(2);
    // Even if the new connection has reserved it already.
    let fabrikam = connection("fabrikam").reserve("mover", 2);
    let first = status(&moving, Some(&fabrikam));
    assert_eq!(row(&first), "False/ReservationPending | - | False+Reconciling | -");
    assert_eq!(first.active_from, Some(Time(at(-77))));
    let mut then = moving.clone();
    then.0.status = Some(first);
    let second = status(&then, Some(&fabrikam));
    assert_eq!(row(&second), "True/Reserved | - | True | uid-fabrikam");
    assert_eq!(second.active_from, Some(Time(at(-77))));
}

#[test]
fn recreated_connection_is_another_connection() {
    let active = rule("complaints").active_on("contoso");
    let again = connection("contoso").uid("uid-again").reserve("complaints", 1);
    let first = status(&active, Some(&again));
    assert_eq!(row(&first), "False/ReservationPending | - | False+Reconciling | -");
    let mut then = active.clone();
    then.0.status = Some(first);
    assert_eq!(row(&status(&then, Some(&again))), "True/Reserved | - | True | uid-again");
}

#[test]
fn deleted_rule_releases() {
    let leaving = rule("complaints").active_on("contoso").deleting(at(-1));
    let status = status(&leaving, Some(&connection("contoso").reserve("complaints", 1)));
    assert!(row(&status).starts_with("False/"), "{}", row(&status));
    assert_eq!(status.connection_uid, None);
}

#[test]
fn active_from_is_creation_or_switch_on() {
    let contoso = connection("contoso");
    assert_eq!(status(&rule("new"), Some(&contoso)).active_from, Some(Time(at(-DAY))));
    assert_eq!(status(&rule("new").deactivated(), Some(&contoso)).active_from, None);
    // Observed while inactive, activated later.
    let switched = rule("late").deactivated().inactive(Reason::Inactive);
    let mut switched = switched.generation(2);
    switched.0.spec.active = true;
    switched.status().active_from = None;
    assert_eq!(status(&switched, Some(&contoso)).active_from, Some(Time(at(0))));
    // Kept while the rule is active, whatever else changes; removed when it is deactivated.
    let on = rule("on").active_on("contoso").active_from(at(-5)).generation(7);
    assert_eq!(status(&on, None).active_from, Some(Time(at(-5))));
    assert_eq!(status(&on.deactivated(), None).active_from, None);
}

#[test]
fn reconcile_requests_are_echoed() {
    let mut requested = rule("complaints");
    requested.0.metadata.annotations = Some([(RECONCILE_REQUESTED.to_owned(), "now".to_owned())].into());
    assert_eq!(status(&requested, None).last_handled_reconcile_at.as_deref(), Some("now"));
}
