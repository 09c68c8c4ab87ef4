//! A decision writes every reason in its condition. A new reason without a case here does not compile.

use crate::{
    connection_scene::{ProbeResult, probe_result, view},
    fixtures::{Connection, Rule, at, connection, organization, rule},
    scene::{Scene, link_through, request, request_to, scene},
};
use postlink::{
    api::{Condition, ConditionType as T, ConnectionState, Reason, conditions, connection::MAX_ACTIVE_RULES},
    domain::{
        automation_rule::{AutomationRuleView, decide},
        connection::health::ProbeFailure,
        post_link::record::ActivityState,
        post_link::{DesiredLink, PostClaim},
        reservations::Clauses,
        undecodable,
    },
};
use serde_json::json;

fn connection_conditions(contoso: &Connection, result: ProbeResult) -> Vec<Condition> {
    view(contoso).observation(result).decide().status.conditions
}

fn failing(failure: ProbeFailure) -> Vec<Condition> {
    connection_conditions(&connection("contoso"), probe_result().failing(failure))
}

fn rule_conditions(rule: &Rule, named: &Connection) -> Vec<Condition> {
    conditions_of(rule, named, true)
}

fn conditions_of(rule: &Rule, named: &Connection, evaluated: bool) -> Vec<Condition> {
    let view = AutomationRuleView {
        now: at(0),
        rule: &rule.0,
        named: Some(&named.facts()),
        evaluated,
        clauses: &Clauses::KEPT,
    };
    decide(&view).conditions
}

fn link_conditions(mut scene: Scene) -> Vec<Condition> {
    scene.settle().post.status.conditions.clone()
}

fn linked() -> Scene {
    scene().with(connection("contoso")).requests(request_to("contoso")).linked(link_through("contoso"))
}

fn wanted(contoso: Connection) -> Vec<Condition> {
    link_conditions(scene().with(contoso).requests(request_to("contoso")))
}

fn refused(reason: Reason) -> Vec<Condition> {
    let mut scene = scene().with(connection("contoso")).requests(request_to("contoso"));
    scene.creation_failure = Some(reason);
    link_conditions(scene)
}

fn after_deletion() -> Scene {
    let mut scene = linked();
    scene.delete_connection("contoso").settle();
    scene
}

/// A decision that writes the reason, and the condition it is in.
fn written(reason: Reason) -> (T, Vec<Condition>) {
    let contoso = || connection("contoso");
    let ready = |conditions| (T::Ready, conditions);
    match reason {
        Reason::LinkedByHand => (T::Linked, link_conditions(linked())),
        Reason::LinkedByRule => {
            (T::Linked, link_conditions(scene().with(contoso()).active_rule(rule("r").since(at(-120)))))
        }
        Reason::Restored => {
            let mut scene = after_deletion();
            scene.connections.push(contoso().uid("uid-again").created(scene.now));
            (T::Linked, link_conditions(scene))
        }
        Reason::ConnectionDeleted => (T::Linked, link_conditions(after_deletion())),
        Reason::RecordDissociated => (
            T::Linked,
            link_conditions(
                linked().activity_state(ActivityState::Exists { regarding: None, record_exists: Some(true) }),
            ),
        ),
        Reason::RecordDeleted => (
            T::Linked,
            link_conditions(
                linked()
                    .activity_state(ActivityState::Exists { regarding: None, record_exists: Some(false) }),
            ),
        ),
        Reason::SocialActivityDeleted => {
            (T::Linked, link_conditions(linked().activity_state(ActivityState::Gone { record_exists: None })))
        }
        Reason::Unlinked => (T::Linked, link_conditions(linked().desired(DesiredLink::Unlink))),
        Reason::DuplicatePost => {
            let mut scene = scene();
            scene.same_post = Some(PostClaim { unlinked: true, created: at(-1), name: "older".into() });
            (T::Linked, link_conditions(scene))
        }
        Reason::PostChanged => {
            let mut scene = linked();
            scene.post.post_changed = true;
            (T::Ready, link_conditions(scene))
        }
        Reason::NotRequested => (T::Linked, link_conditions(scene())),
        Reason::ConnectionDisabled => (T::Linked, wanted(contoso().state(ConnectionState::Disabled))),
        Reason::InstanceDowntime => (T::Linked, wanted(contoso().state(ConnectionState::Downtime))),
        Reason::InstanceExpired => (T::Linked, wanted(contoso().state(ConnectionState::Expired))),
        Reason::ConnectionNotReady => (T::Linked, wanted(contoso().unusable(Reason::SecretNotFound))),
        Reason::OrganizationChanged => (T::Linked, wanted(contoso().unusable(Reason::OrganizationChanged))),
        Reason::ConnectionNotFound => (T::Linked, link_conditions(scene().requests(request_to("nowhere")))),
        Reason::NoDefaultConnection => (T::Linked, link_conditions(scene().requests(request()))),
        Reason::RecordTypeNotOffered
        | Reason::RecordNotFound
        | Reason::SocialDataRefused
        | Reason::PostRefused
        | Reason::Throttled => (T::Linked, refused(reason)),
        Reason::RecordAvailable => (T::RecordAvailable, link_conditions(linked())),
        Reason::RecordPending => {
            let mut scene = scene().with(contoso()).requests(request_to("contoso"));
            scene.new_record_type = None;
            (T::RecordAvailable, link_conditions(scene))
        }
        Reason::Reserved => (T::Active, rule_conditions(&rule("r"), &contoso().reserve("r", 1))),
        Reason::Inactive => (T::Active, rule_conditions(&rule("r").deactivated(), &contoso())),
        Reason::ReservationPending => (T::Active, rule_conditions(&rule("r"), &contoso())),
        Reason::ConnectionTerminating => (T::Active, rule_conditions(&rule("r"), &contoso().deleting(at(0)))),
        Reason::ConnectionFull => {
            let full = (0..MAX_ACTIVE_RULES).fold(contoso(), |c, i| c.reserve(&format!("rule-{i}"), 1));
            (T::Active, rule_conditions(&rule("r"), &full))
        }
        Reason::NamespaceFull => ready(conditions_of(&rule("r"), &contoso().reserve("r", 1), false)),
        Reason::HoldsConnection => {
            let active = rule("holder").active_on("contoso");
            (T::HoldsConnection, rule_conditions(&active, &contoso().disable_refused(at(0))))
        }
        Reason::Connected => ready(connection_conditions(&contoso(), probe_result())),
        Reason::Connecting => ready(view(&contoso().never_reconciled()).decide().status.conditions),
        Reason::Disabled => {
            ready(view(&contoso().state(ConnectionState::Disabled)).live(&[]).decide().status.conditions)
        }
        Reason::DefaultConnection => {
            (T::Default, connection_conditions(&contoso().default_since(at(0)), probe_result()))
        }
        Reason::DefaultConflict => {
            let older =
                postlink::domain::connection::DefaultClaim { created: at(-999_999), name: "older".into() };
            let contoso = contoso().default_since(at(0));
            (
                T::Default,
                view(&contoso).claims(&[older]).observation(probe_result()).decide().status.conditions,
            )
        }
        Reason::NotDefault => (T::Default, connection_conditions(&contoso(), probe_result())),
        Reason::UsedByActiveRules => {
            let held = contoso().disable_refused(at(0));
            let rules = [rule("holder").active_on("contoso")];
            (
                T::DisableRefused,
                view(&held).observation(probe_result()).live(&rules).decide().status.conditions,
            )
        }
        Reason::TableNotFound => (
            T::RecordTypeNotOffered,
            connection_conditions(&contoso(), probe_result().has_only(&["incident"])),
        ),
        Reason::TableNotRead => (
            T::RecordTypeNotOffered,
            connection_conditions(&contoso().offers(&["incident"]), probe_result().only_read("incident")),
        ),
        Reason::TableNotSupported => {
            (T::RecordTypeNotOffered, connection_conditions(&contoso(), probe_result().unsupported("lead")))
        }
        Reason::SecretNotFound => ready(failing(ProbeFailure::SecretNotFound("key".into()))),
        Reason::SecretInvalid => ready(failing(ProbeFailure::SecretInvalid("no tenantId".into()))),
        Reason::CredentialsRejected => ready(failing(ProbeFailure::CredentialsRejected)),
        Reason::SignInUnavailable => ready(failing(ProbeFailure::SignInUnavailable)),
        Reason::AccessDenied => ready(failing(ProbeFailure::AccessDenied)),
        Reason::HostNotAllowed => ready(failing(ProbeFailure::HostNotAllowed)),
        Reason::AddressNotAllowed => ready(failing(ProbeFailure::AddressNotAllowed)),
        Reason::Undecodable => {
            let object = json!({"metadata": {"generation": 1}});
            let status = undecodable::status(&object, "spec.post: missing field `url`", at(0));
            ready(serde_json::from_value(status["conditions"].clone()).unwrap())
        }
        Reason::Progressing => {
            (T::Reconciling, view(&contoso().never_reconciled()).decide().status.conditions)
        }
        Reason::ProgressingWithRetry => (T::Reconciling, failing(ProbeFailure::Unreachable)),
    }
}

#[test]
fn every_reason_is_used_with_a_full_sentence() {
    for &reason in Reason::ALL {
        let (type_, list) = written(reason);
        assert_eq!(conditions::reason(&list, type_), Some(reason), "in {}: {list:#?}", type_.as_str());
        for c in &list {
            assert!(Reason::parse(&c.reason).is_some(), "{} is not in the list", c.reason);
            let text = &c.message;
            assert!(
                text.starts_with(|c: char| c.is_uppercase() || c == 's') && text.ends_with('.'),
                "{text}"
            );
            assert!(text.len() <= 4096 && !text.contains("  ") && !text.contains("{}"), "{text}");
        }
    }
}

/// §3: the reasons of the instance also say why a record is not available: the first four of R21, and
/// `OrganizationChanged`.
#[test]
fn the_reasons_of_an_unavailable_record() {
    for (contoso, reason) in [
        (connection("contoso").state(ConnectionState::Disabled), Reason::ConnectionDisabled),
        (connection("contoso").state(ConnectionState::Downtime), Reason::InstanceDowntime),
        (connection("contoso").state(ConnectionState::Expired), Reason::InstanceExpired),
        (connection("contoso").unusable(Reason::AccessDenied), Reason::ConnectionNotReady),
        (connection("contoso").unusable(Reason::OrganizationChanged), Reason::OrganizationChanged),
    ] {
        let mut scene = linked();
        scene.connections = vec![contoso];
        assert_eq!(conditions::reason(&link_conditions(scene), T::RecordAvailable), Some(reason));
    }
}

/// §3: "the reason shown is the first in this order: user's own act, connection gone, connection state, record state".
#[test]
fn first_reason_in_documented_order_is_shown() {
    let deleted = ActivityState::Gone { record_exists: Some(false) };
    let disabled = || connection("contoso").state(ConnectionState::Disabled);
    // All four apply, then all but the first, and so on. A deleted connection has no state.
    let mut everything = linked().desired(DesiredLink::Unlink).activity_state(deleted.clone());
    everything.delete_connection("contoso");
    let shown = |scene: Scene| {
        let list = link_conditions(scene);
        let linked = conditions::reason(&list, T::Linked).unwrap();
        conditions::reason(&list, T::RecordAvailable).unwrap_or(linked)
    };
    assert_eq!(shown(everything.clone()), Reason::Unlinked);
    assert_eq!(shown(everything.requests(request_to("contoso"))), Reason::ConnectionDeleted);
    let mut two = linked().desired(DesiredLink::Unlink).activity_state(deleted.clone());
    two.connections = vec![disabled()];
    assert_eq!(shown(two.clone()), Reason::Unlinked);
    two.post.desired = DesiredLink::ByHand(request_to("contoso"));
    assert_eq!(shown(two.clone()), Reason::ConnectionDisabled);
    two.connections = vec![connection("contoso")];
    assert_eq!(shown(two), Reason::RecordDeleted);
    // `enabled: false` comes before the state of the instance.
    let mut contoso = connection("contoso").state(ConnectionState::Disabled);
    contoso.status().organization = Some(organization(crate::fixtures::ORG));
    let list = view(&contoso)
        .observation(probe_result().failing(ProbeFailure::Unreachable))
        .live(&[])
        .decide()
        .status
        .conditions;
    assert_eq!(conditions::reason(&list, T::Ready), Some(Reason::Disabled));
}
