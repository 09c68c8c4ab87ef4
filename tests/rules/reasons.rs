//! Every reason is written by some decision, in its condition. A new reason does not compile without a case here.

use crate::{
    connection_scene::{Asked, asked, view},
    fixtures::{Connection, Rule, at, connection, organization, rule},
    scene::{Scene, link_through, request, request_to, scene},
};
use postlink::{
    api::{Condition, ConditionType as T, ConnectionState, Reason, conditions, connection::MAX_ACTIVE_RULES},
    domain::{
        automation_rule::{AutomationRuleView, decide},
        connection::health::ProbeFailure,
        post_link::DesiredLink,
        post_link::record::ActivityState,
        reservations::Clauses,
    },
};

fn told_of(contoso: &Connection, told: Asked) -> Vec<Condition> {
    view(contoso).told(told).decide().status.conditions
}

fn failing(failure: ProbeFailure) -> Vec<Condition> {
    told_of(&connection("contoso"), asked().failing(failure))
}

fn rule_says(rule: &Rule, named: &Connection) -> Vec<Condition> {
    let view = AutomationRuleView {
        now: at(0),
        rule: &rule.0,
        named: Some(&named.facts()),
        clauses: &Clauses::KEPT,
    };
    decide(&view).conditions
}

fn link_says(mut scene: Scene) -> Vec<Condition> {
    scene.settle().post.status.conditions.clone()
}

fn linked() -> Scene {
    scene().with(connection("contoso")).asks(request_to("contoso")).linked(link_through("contoso"))
}

fn wanted(contoso: Connection) -> Vec<Condition> {
    link_says(scene().with(contoso).asks(request_to("contoso")))
}

fn refused(reason: Reason) -> Vec<Condition> {
    let mut scene = scene().with(connection("contoso")).asks(request_to("contoso"));
    scene.refuses = Some(reason);
    link_says(scene)
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
        Reason::LinkedByHand => (T::Linked, link_says(linked())),
        Reason::LinkedByRule => {
            (T::Linked, link_says(scene().with(contoso()).working(rule("r").since(at(-120)))))
        }
        Reason::Restored => {
            let mut scene = after_deletion();
            scene.connections.push(contoso().uid("uid-again").created(scene.now));
            (T::Linked, link_says(scene))
        }
        Reason::ConnectionDeleted => (T::Linked, link_says(after_deletion())),
        Reason::RecordDissociated => (
            T::Linked,
            link_says(linked().seen(ActivityState::Exists { regarding: None, record_exists: Some(true) })),
        ),
        Reason::RecordDeleted => (
            T::Linked,
            link_says(linked().seen(ActivityState::Exists { regarding: None, record_exists: Some(false) })),
        ),
        Reason::SocialActivityDeleted => {
            (T::Linked, link_says(linked().seen(ActivityState::Gone { record_exists: None })))
        }
        Reason::Unlinked => (T::Linked, link_says(linked().wish(DesiredLink::Unlink))),
        Reason::NotRequested => (T::Linked, link_says(scene())),
        Reason::ConnectionDisabled => (T::Linked, wanted(contoso().state(ConnectionState::Disabled))),
        Reason::InstanceDowntime => (T::Linked, wanted(contoso().state(ConnectionState::Downtime))),
        Reason::InstanceExpired => (T::Linked, wanted(contoso().state(ConnectionState::Expired))),
        Reason::ConnectionNotReady => (T::Linked, wanted(contoso().unusable(Reason::SecretNotFound))),
        Reason::OrganizationChanged => (T::Linked, wanted(contoso().unusable(Reason::OrganizationChanged))),
        Reason::ConnectionNotFound => (T::Linked, link_says(scene().asks(request_to("nowhere")))),
        Reason::NoDefaultConnection => (T::Linked, link_says(scene().asks(request()))),
        Reason::RecordTypeNotOffered
        | Reason::RecordNotFound
        | Reason::SocialDataRefused
        | Reason::PostRefused
        | Reason::Throttled => (T::Linked, refused(reason)),
        Reason::RecordAvailable => (T::RecordAvailable, link_says(linked())),
        Reason::RecordPending => {
            let mut scene = scene().with(contoso()).asks(request_to("contoso"));
            scene.makes = None;
            (T::RecordAvailable, link_says(scene))
        }
        Reason::Reserved => (T::Active, rule_says(&rule("r"), &contoso().reserve("r", 1))),
        Reason::Inactive => (T::Active, rule_says(&rule("r").off(), &contoso())),
        Reason::ReservationPending => (T::Active, rule_says(&rule("r"), &contoso())),
        Reason::ConnectionTerminating => (T::Active, rule_says(&rule("r"), &contoso().deleting(at(0)))),
        Reason::ConnectionFull => {
            let full = (0..MAX_ACTIVE_RULES).fold(contoso(), |c, i| c.reserve(&format!("rule-{i}"), 1));
            (T::Active, rule_says(&rule("r"), &full))
        }
        Reason::HoldsConnection => {
            let active = rule("holder").active_on("contoso");
            (T::HoldsConnection, rule_says(&active, &contoso().disable_refused(at(0))))
        }
        Reason::Connected => ready(told_of(&contoso(), asked())),
        Reason::Connecting => ready(view(&contoso().unseen()).decide().status.conditions),
        Reason::Disabled => {
            ready(view(&contoso().state(ConnectionState::Disabled)).live(&[]).decide().status.conditions)
        }
        Reason::DefaultConnection => (T::Default, told_of(&contoso().default_since(at(0)), asked())),
        Reason::DefaultConflict => {
            let older =
                postlink::domain::connection::DefaultClaim { created: at(-999_999), name: "older".into() };
            let contoso = contoso().default_since(at(0));
            (T::Default, view(&contoso).claims(&[older]).told(asked()).decide().status.conditions)
        }
        Reason::NotDefault => (T::Default, told_of(&contoso(), asked())),
        Reason::UsedByActiveRules => {
            let held = contoso().disable_refused(at(0));
            let rules = [rule("holder").active_on("contoso")];
            (T::DisableRefused, view(&held).told(asked()).live(&rules).decide().status.conditions)
        }
        Reason::SecretNotFound => ready(failing(ProbeFailure::SecretNotFound("key".into()))),
        Reason::SecretInvalid => ready(failing(ProbeFailure::SecretInvalid("no tenantId".into()))),
        Reason::CredentialsRejected => ready(failing(ProbeFailure::CredentialsRejected)),
        Reason::SignInUnavailable => ready(failing(ProbeFailure::SignInUnavailable)),
        Reason::AccessDenied => ready(failing(ProbeFailure::AccessDenied)),
        Reason::HostNotAllowed => ready(failing(ProbeFailure::HostNotAllowed)),
        Reason::AddressNotAllowed => ready(failing(ProbeFailure::AddressNotAllowed)),
        Reason::Progressing => (T::Reconciling, view(&contoso().unseen()).decide().status.conditions),
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

/// §3: the same instance-side reasons say why a record is not available (the first four of R21, and `OrganizationChanged`).
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
        assert_eq!(conditions::reason(&link_says(scene), T::RecordAvailable), Some(reason));
    }
}

/// §3: "the reason shown is the first in this order: user's own act, connection gone, connection state, record state".
#[test]
fn first_reason_in_documented_order_is_shown() {
    let gone = ActivityState::Gone { record_exists: Some(false) };
    let disabled = || connection("contoso").state(ConnectionState::Disabled);
    // All four at once, then without the first, and so on. A deleted connection has no state.
    let mut everything = linked().wish(DesiredLink::Unlink).seen(gone.clone());
    everything.delete_connection("contoso");
    let shown = |scene: Scene| {
        let list = link_says(scene);
        let linked = conditions::reason(&list, T::Linked).unwrap();
        conditions::reason(&list, T::RecordAvailable).unwrap_or(linked)
    };
    assert_eq!(shown(everything.clone()), Reason::Unlinked);
    assert_eq!(shown(everything.asks(request_to("contoso"))), Reason::ConnectionDeleted);
    let mut two = linked().wish(DesiredLink::Unlink).seen(gone.clone());
    two.connections = vec![disabled()];
    assert_eq!(shown(two.clone()), Reason::Unlinked);
    two.post.desired = DesiredLink::ByHand(request_to("contoso"));
    assert_eq!(shown(two.clone()), Reason::ConnectionDisabled);
    two.connections = vec![connection("contoso")];
    assert_eq!(shown(two), Reason::RecordDeleted);
    // Our own `enabled: false` precedes the instance's state.
    let mut contoso = connection("contoso").state(ConnectionState::Disabled);
    contoso.status().organization = Some(organization(crate::fixtures::ORG));
    let list =
        view(&contoso).told(asked().failing(ProbeFailure::Unreachable)).live(&[]).decide().status.conditions;
    assert_eq!(conditions::reason(&list, T::Ready), Some(Reason::Disabled));
}
