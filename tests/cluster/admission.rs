//! The admission policies (§4) on a real API server, in each mode of the chart, dry runs included. No controller runs
//! here: the objects that the policies read are written to etcd.

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::cluster::{SOON, SYSTEM, repository};
use crate::harness::kubectl::Answer;
use crate::harness::run_folder::new_folder;
use crate::harness::users::User;
use crate::harness::waiting::{block_on, wait_for};
use crate::harness::{ControlPlane, Settings};

/// The rules that use each connection, and the message about them.
const RULES: [&str; 4] = ["baggage", "refunds", "seats", "upgrades"];
const WORDS: &str = "is used by 4 active rules: baggage, refunds, seats and 1 more; ";
const TO_A_PERSON: &str = "deactivate (spec.active: false) or delete the rules first";
const TO_A_TOOL: &str = "the change is accepted, and held until the rules are deactivated or deleted";

/// Labels and annotations that mark a connection as managed by a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ToolMark {
    None,
    Flux,
    FluxHelm,
    ArgoLabel,
    ArgoAnnotation,
    Helm,
}

impl ToolMark {
    fn metadata(self) -> Value {
        match self {
            Self::None => json!({}),
            Self::Flux => json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "apps"}}),
            Self::FluxHelm => json!({"labels": {"helm.toolkit.fluxcd.io/name": "apps"}}),
            Self::ArgoLabel => json!({"labels": {"argocd.argoproj.io/instance": "apps"}}),
            Self::ArgoAnnotation => json!({"annotations": {"argocd.argoproj.io/tracking-id": "apps:x"}}),
            Self::Helm => json!({"labels": {"app.kubernetes.io/managed-by": "Helm"}}),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Admission {
    Denied,
    Warned,
    Allowed,
}

/// Whether a user counts as a person or a tool, by the mark on the connection.
const PRINCIPALS: [(User, ToolMark, Principal); 12] = [
    (User::Alice, ToolMark::None, Principal::Person),
    (User::Admin, ToolMark::None, Principal::Person),
    (User::Alice, ToolMark::Flux, Principal::Person),
    (User::Alice, ToolMark::ArgoAnnotation, Principal::Person),
    (User::TeamDeployer, ToolMark::None, Principal::Person),
    (User::FluxKustomize, ToolMark::None, Principal::Tool),
    (User::FluxHelm, ToolMark::FluxHelm, Principal::Tool),
    (User::Argo, ToolMark::None, Principal::Tool),
    (User::TeamDeployer, ToolMark::Flux, Principal::Tool),
    (User::TeamDeployer, ToolMark::ArgoLabel, Principal::Tool),
    (User::TeamDeployer, ToolMark::ArgoAnnotation, Principal::Tool),
    // A person's `helm upgrade` cannot be told from a person's kubectl, so people are only warned about these.
    (User::Alice, ToolMark::Helm, Principal::Tool),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Principal {
    Person,
    Tool,
}

const OPERATIONS: [&str; 4] = ["delete", "patch", "apply", "apply --server-side"];

struct Policies {
    plane: ControlPlane,
    next: AtomicU32,
}

impl Policies {
    fn installed(values: &Value) -> Self {
        let plane = ControlPlane::start_with(&Settings::default());
        let file = new_folder("values").join("values.json");
        std::fs::write(&file, values.to_string()).unwrap();
        let chart = repository("charts/postlink");
        let (chart, file) = (chart.to_str().unwrap(), file.to_str().unwrap());
        let args = ["install", "postlink", chart, "-n", SYSTEM, "--create-namespace", "--values", file];
        plane.helm(4, User::Admin, args).ok();
        let established = ["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"];
        plane.kubectl(User::Admin, established).ok();
        Self { plane, next: AtomicU32::new(1) }
    }

    /// A connection that rules use, as the controller would have left it.
    fn connection(&self, mark: ToolMark, rules: &[&str]) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let name = format!("c-{number}");
        let rules: Vec<_> =
            rules.iter().map(|name| json!({"name": name, "uid": name, "generation": 1})).collect();
        let mut object = connection(&name, true);
        let metadata = json!({"metadata": {
            "namespace": "default", "uid": format!("00000000-0000-4000-8000-{number:012}"), "generation": 1,
            "creationTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["postlink.dev/active-rules"],
        }});
        json_patch::merge(&mut object, &metadata);
        json_patch::merge(&mut object, &json!({"metadata": mark.metadata()}));
        json_patch::merge(&mut object, &json!({"status": {"state": "Enabled", "activeRules": rules}}));
        let key = format!("/registry/postlink.dev/dynamicsconnections/default/{name}");
        block_on(async { self.plane.etcd().gateway().put(&key, object.to_string().as_bytes()).await })
            .unwrap();
        name
    }

    fn ask(&self, user: User, operation: &str, mark: ToolMark, name: &str, dry_run: bool) -> Answer {
        let dry = if dry_run { vec!["--dry-run=server"] } else { vec![] };
        let with = |args: &[&str]| args.iter().chain(&dry).map(ToString::to_string).collect::<Vec<_>>();
        let mut disabled = connection(name, false);
        json_patch::merge(&mut disabled, &json!({"metadata": mark.metadata()}));
        let patch = r#"{"spec":{"enabled":false}}"#;
        match operation {
            "delete" => self.plane.kubectl(user, with(&["delete", "dconn", name, "--wait=false"])),
            "patch" => self.plane.kubectl(user, with(&["patch", "dconn", name, "--type=merge", "-p", patch])),
            "apply" => {
                self.plane.kubectl_with_input(user, with(&["apply", "-f", "-"]), &disabled.to_string())
            }
            _ => {
                let args = with(&["apply", "--server-side", "--force-conflicts", "-f", "-"]);
                self.plane.kubectl_with_input(user, args, &disabled.to_string())
            }
        }
    }

    /// A policy takes effect some seconds after it was stored, without any signal.
    fn until_in_force(&self, user: User, expected: Admission) {
        let name = self.connection(ToolMark::None, &RULES);
        let what = format!("the policies to be in force for {}: {expected:?}", user.name());
        wait_for(&what, SOON, || {
            (admission(&self.ask(user, "patch", ToolMark::None, &name, true)) == expected).then_some(())
        });
    }

    /// Checks every principal with every operation, first as a dry run.
    fn expect(&self, person: Admission, tool: Admission) {
        for (user, mark, who) in PRINCIPALS {
            let (expected, advice) =
                if who == Principal::Person { (person, TO_A_PERSON) } else { (tool, TO_A_TOOL) };
            for operation in OPERATIONS {
                let name = self.connection(mark, &RULES);
                for dry_run in [true, false] {
                    let answer = self.ask(user, operation, mark, &name, dry_run);
                    let case = format!("{} {operation} {mark:?} dry run {dry_run}", user.name());
                    assert_eq!(admission(&answer), expected, "{case}: {answer:?}");
                    if expected != Admission::Allowed {
                        let words = format!("connection {name} {WORDS}{advice}");
                        assert!(answer.stderr.contains(&words), "{case}: {}", answer.stderr);
                    }
                }
            }
        }
    }

    /// Checks that no user can remove the finalizer, in any mode.
    fn expect_guard(&self) {
        for user in [User::Alice, User::Admin, User::FluxKustomize, User::Argo, User::TeamDeployer] {
            let name = self.connection(ToolMark::Flux, &["baggage"]);
            let patch =
                ["patch", "dconn", &name, "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#];
            let words = format!(
                "the finalizer postlink.dev/active-rules cannot be removed from connection {name} while it is used by 1 active \
                 rule: baggage; deactivate (spec.active: false) or delete the rule first"
            );
            let answer = self.plane.kubectl(user, patch).refused();
            assert!(answer.contains(&words), "{answer}");
            let replaced = connection(&name, true).to_string();
            let answer = self.plane.kubectl_with_input(user, ["replace", "-f", "-"], &replaced).refused();
            assert!(answer.contains(&words), "{answer}");
        }
        let unused = self.connection(ToolMark::None, &[]);
        let patch = ["patch", "dconn", &unused, "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#];
        self.plane.kubectl(User::Alice, patch).ok();
    }
}

fn connection(name: &str, enabled: bool) -> Value {
    json!({
        "apiVersion": "postlink.dev/v1alpha1",
        "kind": "DynamicsConnection",
        "metadata": {"name": name},
        "spec": {
            "instanceUrl": "https://northwind.crm.dynamics.com", "enabled": enabled,
            "credentials": {"secretRef": {"name": "northwind"}},
        },
    })
}

fn admission(answer: &Answer) -> Admission {
    match (answer.succeeded(), answer.stderr.contains("is used by")) {
        (false, true) => Admission::Denied,
        (true, true) => Admission::Warned,
        (true, false) => Admission::Allowed,
        (false, false) => panic!("{answer:?}"),
    }
}

#[test]
fn r08_mode_deny_refuses_people_and_warns_tools() {
    let policies = Policies::installed(&json!({"admission": {"mode": "Deny"}}));
    policies.until_in_force(User::Alice, Admission::Denied);
    policies.until_in_force(User::FluxKustomize, Admission::Warned);
    policies.expect(Admission::Denied, Admission::Warned);
    policies.expect_guard();
}

#[test]
fn r08_mode_warn_warns_everybody() {
    let policies = Policies::installed(&json!({"admission": {"mode": "Warn"}}));
    policies.until_in_force(User::Alice, Admission::Warned);
    policies.until_in_force(User::FluxKustomize, Admission::Warned);
    policies.expect(Admission::Warned, Admission::Warned);
    policies.expect_guard();
}

#[test]
fn r08_mode_off_gives_no_warning_keeps_guard() {
    let policies = Policies::installed(&json!({"admission": {"mode": "Off"}}));
    let used = policies.connection(ToolMark::None, &RULES);
    let take_off = r#"{"metadata":{"finalizers":null}}"#;
    let patch = ["patch", "dconn", &used, "--dry-run=server", "--type=merge", "-p", take_off];
    policies.plane.until_refused(
        User::Alice,
        &patch,
        "the finalizer postlink.dev/active-rules cannot be removed",
        SOON,
    );
    policies.expect(Admission::Allowed, Admission::Allowed);
    policies.expect_guard();
}

#[test]
fn r08_the_chart_names_the_tools() {
    let robot = "system:serviceaccount:team-a:deployer";
    let policies = Policies::installed(&json!({"admission": {"gitOpsUsers": [robot]}}));
    policies.until_in_force(User::Alice, Admission::Denied);
    policies.until_in_force(User::TeamDeployer, Admission::Warned);
    // A custom list replaces the shipped one.
    policies.until_in_force(User::FluxKustomize, Admission::Denied);
}

/// A hub with a cloud identity has another user name in each session, but always the same group.
#[test]
fn r08_the_chart_names_the_groups_of_tools() {
    let policies = Policies::installed(&json!({"admission": {"gitOpsGroups": ["gitops-hubs"]}}));
    policies.until_in_force(User::Alice, Admission::Denied);
    policies.until_in_force(User::FluxKustomize, Admission::Warned);
    for (group, expected) in [("gitops-hubs", Admission::Warned), ("gitops", Admission::Denied)] {
        let user = "--as=arn:aws:sts::111122223333:assumed-role/argo-cd/1767225600";
        let groups = ["system:masters", group].map(|group| format!("--as-group={group}"));
        let name = policies.connection(ToolMark::ArgoAnnotation, &RULES);
        for operation in [
            &["patch", "dconn", &name, "--type=merge", "-p", r#"{"spec":{"enabled":false}}"#][..],
            &["delete", "dconn", &name, "--wait=false"],
        ] {
            let args = [&[user, &groups[0], &groups[1]], operation].concat();
            let answer = policies.plane.kubectl(User::Admin, args);
            assert_eq!(admission(&answer), expected, "{group} {operation:?}: {answer:?}");
        }
    }
}

#[test]
fn policies_ignore_unrelated_changes() {
    let policies = Policies::installed(&json!({}));
    policies.until_in_force(User::Alice, Admission::Denied);
    let used = policies.connection(ToolMark::None, &RULES);
    let patch = |user, name: &str, patch: Value| {
        let patch = patch.to_string();
        let answer = policies.plane.kubectl(user, ["patch", "dconn", name, "--type=merge", "-p", &patch]);
        let stderr = answer.stderr.clone();
        answer.ok();
        assert_eq!(stderr, "");
    };
    patch(User::Alice, &used, json!({"spec": {"displayName": "Northwind"}}));
    patch(User::Alice, &used, json!({"metadata": {"labels": {"team": "care"}}}));
    let unused = policies.connection(ToolMark::None, &[]);
    patch(User::Alice, &unused, json!({"spec": {"enabled": false}}));
    patch(User::Alice, &unused, json!({"spec": {"enabled": true}}));
    policies.plane.kubectl(User::Alice, ["delete", "dconn", &unused, "--wait=false"]).ok();
}

#[test]
fn s6_policies_do_not_block_namespace_deletion() {
    let policies = Policies::installed(&json!({}));
    policies.until_in_force(User::Alice, Admission::Denied);
    let used = policies.connection(ToolMark::None, &RULES);
    // `default` cannot be deleted, so the connection is moved to another namespace.
    let namespace = policies.plane.namespace("goes");
    let here = format!("/registry/postlink.dev/dynamicsconnections/default/{used}");
    let there = format!("/registry/postlink.dev/dynamicsconnections/{namespace}/{used}");
    let stored = policies.plane.history(&here).pop().and_then(|last| last.value).expect("it was stored");
    let mut moved = stored;
    moved["metadata"]["namespace"] = namespace.clone().into();
    block_on(async { policies.plane.etcd().gateway().put(&there, moved.to_string().as_bytes()).await })
        .unwrap();
    let delete = ["delete", "dconn", &used, "-n", &namespace, "--dry-run=server"];
    assert_eq!(admission(&policies.plane.kubectl(User::Alice, delete)), Admission::Denied);

    policies.plane.kubectl(User::Alice, ["delete", "namespace", &namespace, "--wait=false"]).ok();
    // Deleted by the namespace controller as itself; then the finalizer is removed by hand, without a warning.
    let get = ["get", "dconn", &used, "-n", &namespace, "-o", "jsonpath={.metadata.deletionTimestamp}"];
    wait_for("the namespace controller to delete it", SOON, || {
        (!policies.plane.kubectl(User::Admin, get).ok().is_empty()).then_some(())
    });
    let take_off = r#"{"metadata":{"finalizers":null}}"#;
    let patch = ["patch", "dconn", &used, "-n", &namespace, "--type=merge", "-p", take_off];
    policies.plane.kubectl(User::Alice, patch).ok();
    let gone = ["wait", "--for=delete", "namespace", &namespace, "--timeout=120s"];
    policies.plane.kubectl(User::Alice, gone).ok();
}
