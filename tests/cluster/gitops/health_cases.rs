//! The health that kstatus, Argo CD and Flux report for our objects with the published expressions, in every state that
//! simulated instances can produce. The objects are as stored by the real controller.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use postlink::api::Reason;
use serde_json::{Value, json};

use super::cell::{Cell, message};
use super::health::health_of;
use crate::cluster::{Cluster, Lease, condition, repository};
use crate::harness::users::User;

const NAMESPACE: &str = "health";

/// An object, its `Ready`, and the expected health in the three tools.
struct Case {
    kind: &'static str,
    name: &'static str,
    ready: (&'static str, &'static str),
    /// kstatus, Argo CD, Flux.
    health: [&'static str; 3],
}

/// Nothing is broken or waits for someone; includes intended off-states.
const FINE: [&str; 3] = ["Current", "Healthy", "Current"];
/// Continues automatically.
const UNDER_WAY: [&str; 3] = ["InProgress", "Progressing", "InProgress"];
/// Needs a person to act.
const STUCK: [&str; 3] = ["Failed", "Degraded", "Failed"];
/// The instance is down; it recovers automatically at an unknown time.
const DOWN: [&str; 3] = ["InProgress", "Degraded", "Failed"];
/// Being deleted, for which kstatus has its own status.
const GOING: [&str; 3] = ["Terminating", "Progressing", "InProgress"];

const fn case(
    kind: &'static str,
    name: &'static str,
    ready: (&'static str, &'static str),
    health: [&'static str; 3],
) -> Case {
    Case { kind, name, ready, health }
}

const CONNECTION: &str = "DynamicsConnection";
const RULE: &str = "AutomationRule";
const POST: &str = "PostLink";

const CASES: &[Case] = &[
    case(CONNECTION, "connected", ("True", "Connected"), FINE),
    case(CONNECTION, "disabled", ("True", "Disabled"), FINE),
    // A held connection works as before; the rules that hold it are unhealthy.
    case(CONNECTION, "held-disabled", ("True", "Connected"), FINE),
    case(CONNECTION, "held-deleted", ("True", "Connected"), GOING),
    case(CONNECTION, "busy", ("Unknown", "Connecting"), UNDER_WAY),
    case(CONNECTION, "down", ("False", "InstanceDowntime"), DOWN),
    case(CONNECTION, "expired", ("False", "InstanceExpired"), STUCK),
    case(CONNECTION, "locked", ("False", "CredentialsRejected"), STUCK),
    case(CONNECTION, "outsider", ("False", "AccessDenied"), STUCK),
    case(CONNECTION, "moved", ("False", "OrganizationChanged"), STUCK),
    case(CONNECTION, "without-secret", ("False", "SecretNotFound"), UNDER_WAY),
    case(CONNECTION, "incomplete-secret", ("False", "SecretInvalid"), STUCK),
    case(CONNECTION, "foreign-host", ("False", "HostNotAllowed"), STUCK),
    case(RULE, "reserved", ("True", "Reserved"), FINE),
    case(RULE, "inactive", ("True", "Inactive"), FINE),
    case(RULE, "holds-disabled", ("False", "HoldsConnection"), STUCK),
    case(RULE, "holds-deleted", ("False", "HoldsConnection"), STUCK),
    case(RULE, "without-connection", ("False", "ConnectionNotFound"), UNDER_WAY),
    case(RULE, "on-disabled", ("False", "ConnectionDisabled"), UNDER_WAY),
    case(RULE, "too-late", ("False", "ConnectionTerminating"), UNDER_WAY),
    case(RULE, "other-table", ("False", "RecordTypeNotOffered"), STUCK),
    case(POST, "by-rule", ("True", "LinkedByRule"), FINE),
    case(POST, "by-hand", ("True", "LinkedByHand"), FINE),
    case(POST, "by-default", ("True", "LinkedByHand"), FINE),
    case(POST, "pending-record", ("True", "LinkedByHand"), FINE),
    case(POST, "not-requested", ("True", "NotRequested"), FINE),
    case(POST, "unlinked", ("True", "Unlinked"), FINE),
    case(POST, "through-disabled", ("False", "ConnectionDisabled"), UNDER_WAY),
    case(POST, "through-down", ("False", "InstanceDowntime"), DOWN),
    case(POST, "through-expired", ("False", "InstanceExpired"), STUCK),
    case(POST, "through-locked", ("False", "ConnectionNotReady"), UNDER_WAY),
    case(POST, "through-missing", ("False", "ConnectionNotFound"), UNDER_WAY),
    case(POST, "through-private", ("False", "SocialDataRefused"), UNDER_WAY),
    case(POST, "through-moved", ("False", "OrganizationChanged"), STUCK),
    case(POST, "other-table", ("False", "RecordTypeNotOffered"), STUCK),
    case(POST, "other-record", ("False", "RecordNotFound"), STUCK),
    case(POST, "same-post", ("False", "DuplicatePost"), STUCK),
    case(POST, "changed-post", ("False", "PostChanged"), STUCK),
    case(POST, "no-default", ("False", "NoDefaultConnection"), UNDER_WAY),
];

/// Reasons of `Ready` that cannot be produced here: they are transient, or need a change in Dynamics, a broken sign-in
/// service, a name server or a thousand rules. Their health follows from `Ready`, `Reconciling` and `Stalled`, as in
/// every case above.
const NOT_HERE: [Reason; 13] = [
    Reason::Restored,
    Reason::ConnectionDeleted,
    Reason::RecordDissociated,
    Reason::RecordDeleted,
    Reason::SocialActivityDeleted,
    Reason::Throttled,
    Reason::PostRefused,
    Reason::ReservationPending,
    Reason::ConnectionFull,
    Reason::NamespaceFull,
    Reason::SignInUnavailable,
    Reason::AddressNotAllowed,
    Reason::Undecodable,
];

/// Reasons of other conditions only.
const NOT_READY: [Reason; 11] = [
    Reason::RecordAvailable,
    Reason::RecordPending,
    Reason::DefaultConnection,
    Reason::DefaultConflict,
    Reason::NotDefault,
    Reason::UsedByActiveRules,
    Reason::TableNotFound,
    Reason::TableNotSupported,
    Reason::TableNotRead,
    Reason::Progressing,
    Reason::ProgressingWithRetry,
];

fn namespace_of(case: &Case) -> &'static str {
    if case.name == "no-default" { "no-default" } else { NAMESPACE }
}

fn get(cell: &Cell<'_>, case: &Case) -> Value {
    let found = cell.get(case.kind, namespace_of(case), case.name);
    found.unwrap_or_else(|| panic!("there is no {} {}", case.kind, case.name))
}

/// Waits until every case in `wanted` has its `Ready`; fails with those that do not.
fn wait(cell: &Cell<'_>, wanted: impl Fn(&Case) -> bool) {
    let begin = std::time::Instant::now();
    loop {
        let mut missing = String::new();
        for case in CASES.iter().filter(|case| wanted(case)) {
            let object = get(cell, case);
            let seen = object["status"]["observedGeneration"] == object["metadata"]["generation"];
            if !seen || condition(&object, "Ready") != Some(case.ready) {
                // Writing into a String cannot fail.
                let _ = writeln!(
                    missing,
                    "{} {}: wanted {:?}, it is {}",
                    case.kind, case.name, case.ready, object["status"]["conditions"]
                );
            }
        }
        if missing.is_empty() {
            return;
        }
        assert!(begin.elapsed() < crate::cluster::SOON, "{missing}");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
}

/// The differences between the health in all three tools and `wanted`.
fn differences(cell: &Cell<'_>, cases: &[&Case], wanted: impl Fn(&Case) -> [&'static str; 3]) -> Vec<String> {
    let objects: Vec<_> = cases.iter().map(|case| get(cell, case)).collect();
    let mut wrong = Vec::new();
    for ((case, object), health) in cases.iter().zip(&objects).zip(health_of(&objects)) {
        let said = [&health.kstatus, &health.argo, &health.flux].map(|said| said.status.as_str());
        if said != wanted(case) {
            wrong.push(format!("{} {}: {said:?}, wanted {:?}", case.kind, case.name, wanted(case)));
        }
        // Argo CD's health message gives the reason, also for a healthy object with something off.
        let ready = message(object, "Ready");
        let held = message(object, "DisableRefused");
        let words = if held.is_empty() { &ready } else { &held };
        let seen = object["status"]["observedGeneration"] == object["metadata"]["generation"];
        let going = !object["metadata"]["deletionTimestamp"].is_null();
        if seen && !going && health.argo.message != *words {
            wrong.push(format!("{} {}: Argo CD shows {:?}", case.kind, case.name, health.argo.message));
        }
    }
    wrong
}

#[test]
fn tools_agree_on_health() {
    let instances = repository("tests/cluster/gitops/fixtures/instances.yaml");
    let mut cluster = Cluster::installed(&instances, Lease::None);
    cluster.plane.kubectl_apply(User::Alice, repository("tests/cluster/gitops/fixtures/objects.yaml"));
    {
        let cell = Cell::new(&cluster, NAMESPACE.to_owned());
        // It was connected to another organization before.
        let before =
            json!({"organization": {"id": "2e94c0b7-5a1f-4d83-b6c2-0000000000ff", "uniqueName": "before"}});
        cell.write_status(CONNECTION, NAMESPACE, "moved", &before);
        // Nothing has been reconciled yet: `observedGeneration` is -1.
        let stored: Vec<_> = CASES.iter().filter(|case| case.name != "too-late").collect();
        assert_eq!(differences(&cell, &stored, |_| UNDER_WAY), [""; 0], "before the controller runs");
    }

    cluster.start_controller();
    let kubectl = |user, args: &[&str]| cluster.plane.kubectl(user, args).ok();
    let cell = Cell::new(&cluster, NAMESPACE.to_owned());
    let afterwards =
        ["held-disabled", "held-deleted", "holds-disabled", "holds-deleted", "too-late", "changed-post"];
    wait(&cell, |case| !afterwards.contains(&case.name));
    cell.wait("the rules that are to hold their connections", |seen| {
        let mut holders =
            seen.rules.iter().filter(|rule| afterwards.iter().any(|name| rule["metadata"]["name"] == *name));
        holders.all(|rule| condition(rule, "Active") == Some(("True", "Reserved"))).then_some(())
    });
    let changed = "plink/changed-post";
    kubectl(User::Alice, &["wait", "--for=condition=Linked", "--timeout=120s", changed, "-n", NAMESPACE]);
    let another = r#"{"spec":{"post":{"id":"another"}}}"#;
    kubectl(User::Alice, &["patch", changed, "-n", NAMESPACE, "--type=merge", "-p", another]);
    let disable = r#"{"spec":{"enabled":false}}"#;
    let patch = ["patch", "dconn", "held-disabled", "-n", NAMESPACE, "--type=merge", "-p", disable];
    kubectl(User::FluxKustomize, &patch);
    kubectl(User::FluxKustomize, &["delete", "dconn", "held-deleted", "-n", NAMESPACE, "--wait=false"]);
    let too_late = json!({
        "apiVersion": "postlink.dev/v1alpha1", "kind": RULE,
        "metadata": {"name": "too-late", "namespace": NAMESPACE},
        "spec": {"connectionRef": {"name": "held-deleted"}},
    });
    cluster.plane.kubectl_apply_text(User::Alice, &too_late.to_string()).ok();
    wait(&cell, |_| true);

    let all: Vec<_> = CASES.iter().collect();
    assert_eq!(differences(&cell, &all, |case| case.health), [""; 0]);
    drop(cell);

    // A change not reconciled yet: conditions of the previous generation do not count.
    cluster.kill_controller();
    let cell = Cell::new(&cluster, NAMESPACE.to_owned());
    let spec = r#"{"spec":{"link":{"notes":"Luggage"}}}"#;
    let patch = ["patch", "arule", "reserved", "-n", NAMESPACE, "--type=merge", "-p", spec];
    cluster.plane.kubectl(User::Alice, patch).ok();
    let edited: Vec<_> = CASES.iter().filter(|case| case.name == "reserved").collect();
    assert_eq!(differences(&cell, &edited, |_| UNDER_WAY), [""; 0], "after an edit");
}

#[test]
fn every_ready_reason_has_a_health_case() {
    let cases: BTreeSet<_> = CASES.iter().map(|case| case.ready.1).collect();
    let named: BTreeSet<_> = NOT_HERE.iter().chain(&NOT_READY).map(|reason| reason.as_str()).collect();
    let twice: Vec<_> = cases.intersection(&named).collect();
    assert!(twice.is_empty(), "{twice:?} have a case");
    let all: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    let missing: Vec<_> =
        all.iter().filter(|reason| !cases.contains(*reason) && !named.contains(*reason)).collect();
    assert!(missing.is_empty(), "{missing:?} have no case");
}
