//! The leader reports admission policies that are not those of its version, and another leader of the same namespaces.

use jiff::Timestamp;
use postlink::api::names::WATCHED_NAMESPACES;
use postlink::api::policies::{GUARD, REFUSAL, REFUSAL_TOOLS};
use serde_json::json;

use crate::cluster::{Cluster, Lease, SOON, SYSTEM, quickstart_instance, repository, text_of};
use crate::harness::users::User;
use crate::harness::waiting::wait_for;
use crate::operations::Page;

const POLICY: &str = "validatingadmissionpolicy";
const BINDING: &str = "validatingadmissionpolicybinding";
const ABSURD: &str = "9999-12-31T23:59:59.000000Z";
const FINE: &str = "the admission policies are those of this version";

fn page(cluster: &mut Cluster) -> Page {
    Page::of(&cluster.leader().address("metrics"))
}

/// Waits until the gauge has exactly these problems.
fn wait_for_problems(cluster: &mut Cluster, expected: &[(&str, &str)]) {
    wait_for("the problems of the policies in the metrics", SOON, || {
        let page = page(cluster);
        let of = |labels: &[(&str, &str)]| page.sum("postlink_admission_policy_problems", labels);
        let each =
            |(policy, problem): &(&str, &str)| of(&[("policy", policy), ("problem", problem)]) == Some(1.0);
        let count = f64::from(u32::try_from(expected.len()).unwrap());
        (of(&[]) == Some(count) && expected.iter().all(each)).then_some(())
    });
}

/// Waits for an Event of the Lease.
fn wait_for_event(cluster: &Cluster, type_: &str, reason: &str, note: &str) {
    let get = ["get", "events.events.k8s.io", "-n", SYSTEM, "-o", "json"];
    let lease =
        cluster.plane.kubectl(User::Admin, ["get", "lease", "postlink", "-n", SYSTEM, "-o", "json"]).json();
    wait_for("the Event", SOON, || {
        let events = cluster.plane.kubectl(User::Admin, get).json();
        let found = events["items"].as_array()?.iter().any(|event| {
            event["type"] == type_
                && event["reason"] == reason
                && event["regarding"]["uid"] == lease["metadata"]["uid"]
                && event["note"].as_str().is_some_and(|text| text.contains(note))
        });
        found.then_some(())
    });
}

#[test]
fn altered_guard_is_reported_until_it_is_repaired() {
    let mut cluster = Cluster::installed(&quickstart_instance(), Lease::Elected);
    let change = |cluster: &Cluster, args: &[&str]| drop(cluster.plane.kubectl(User::Alice, args).ok());
    let ignore = r#"{"spec": {"failurePolicy": "Ignore"}}"#;
    change(&cluster, &["patch", POLICY, GUARD, "--type=merge", "-p", ignore]);
    cluster.start_controller();
    let altered = "postlink-guard is not that of this version: spec.failurePolicy is";
    cluster.controller().wait_for_log(SOON, |line| line.contains("WARN") && line.contains(altered));
    wait_for_problems(&mut cluster, &[(GUARD, "altered")]);
    wait_for_event(&cluster, "Warning", "AdmissionPolicyProblem", altered);

    change(&cluster, &["delete", BINDING, GUARD]);
    cluster.controller().wait_for_log(SOON, |line| line.contains("postlink-guard is not bound"));
    wait_for_problems(&mut cluster, &[(GUARD, "altered"), (GUARD, "unbound")]);

    change(&cluster, &["delete", POLICY, GUARD]);
    cluster.controller().wait_for_log(SOON, |line| line.contains("postlink-guard is absent"));
    wait_for_problems(&mut cluster, &[(GUARD, "absent")]);

    // As in mode Off, but it was installed with mode Deny.
    change(&cluster, &["delete", &format!("{POLICY},{BINDING}"), REFUSAL, REFUSAL_TOOLS]);
    cluster.controller().wait_for_log(SOON, |line| line.contains("postlink-refusal-tools is absent"));
    wait_for_problems(&mut cluster, &[(GUARD, "absent"), (REFUSAL, "absent"), (REFUSAL_TOOLS, "absent")]);
    assert!(!cluster.controller().stderr().contains(FINE));

    cluster.install_with(&[], &json!({}));
    cluster.controller().wait_for_log(SOON, |line| line.contains(FINE));
    wait_for_problems(&mut cluster, &[]);
    wait_for_event(&cluster, "Normal", "AdmissionPoliciesRestored", FINE);
    let log = cluster.controller().stderr();
    let warnings = log.lines().filter(|line| line.contains("the admission policies are not those"));
    assert_eq!(warnings.count(), 4, "only changes are logged:\n{log}");
}

/// As stored by an API server, with all that the chart fills in, and as applied without Helm.
#[test]
fn shipped_policies_are_not_reported() {
    let mut cluster = Cluster::prepared(&quickstart_instance());
    let tools = json!(["system:serviceaccount:delivery:applier", r#"a "quoted" <name> & more"#]);
    for values in [
        json!({}),
        json!({"mode": "Warn", "gitOpsUsers": tools, "gitOpsGroups": tools}),
        json!({"mode": "Off"}),
        json!({"install": false}),
    ] {
        cluster.install_with(&["--leader-elect=false"], &json!({"admission": values}));
        if values["install"] == false {
            cluster.plane.kubectl_apply(User::Alice, repository("charts/postlink/policies"));
        }
        cluster.start_controller();
        let found = wait_for("the first check", SOON, || {
            page(&mut cluster).sum("postlink_admission_policy_problems", &[])
        });
        assert!(found < 0.5, "{values}:\n{}", cluster.controller().stderr());
        cluster.kill_controller();
    }
}

/// Stores or renews the Lease of another installation.
fn renew(cluster: &Cluster, namespace: &str, watched: &str) {
    renew_at(cluster, namespace, watched, &format!("{:.6}", Timestamp::now()));
}

fn renew_at(cluster: &Cluster, namespace: &str, watched: &str, time: &str) {
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "postlink", "namespace": namespace, "annotations": {WATCHED_NAMESPACES: watched}},
        "spec": {"holderIdentity": "another", "leaseDurationSeconds": 15, "renewTime": time},
    });
    cluster.plane.kubectl_apply_text(User::Admin, &lease.to_string()).ok();
}

fn overlapping(cluster: &mut Cluster) -> Option<f64> {
    page(cluster).sum("postlink_overlapping_installs", &[])
}

#[test]
fn overlapping_installation_is_reported_until_it_ends() {
    let mut cluster = Cluster::installed(&quickstart_instance(), Lease::Elected);
    for namespace in ["other", "left-behind", "absurd"] {
        cluster.plane.kubectl(User::Admin, ["create", "namespace", namespace]).ok();
        renew(&cluster, namespace, "social,care");
    }
    // Beyond what can be represented, and nobody renews it.
    renew_at(&cluster, "absurd", "social,care", ABSURD);
    cluster.start_controller();
    wait_for("the overlap to be reported", SOON, || {
        renew(&cluster, "other", "social,care");
        (overlapping(&mut cluster) == Some(1.0)).then_some(())
    });
    let told = "Another installation of Postlink watches the same namespaces: the one with the Lease other/postlink also watches care, social.";
    cluster.controller().wait_for_log(SOON, |line| line.contains("WARN") && line.contains(told));
    wait_for_event(&cluster, "Warning", "OverlappingInstalls", told);
    assert!(!cluster.controller().stderr().contains("left-behind"), "nobody renews that Lease");

    let ended = "no other installation watches the namespaces of this one";
    cluster.controller().wait_for_log(SOON, |line| line.contains(ended));
    assert_eq!(overlapping(&mut cluster), Some(0.0));
    wait_for_event(&cluster, "Normal", "InstallationsSeparate", ended);
}

/// A namespaced install has the permissions only if the administrator applied them, with the command of the README.
#[test]
fn namespaced_install_checks_what_it_is_permitted_to() {
    let mut cluster = Cluster::prepared(&quickstart_instance());
    cluster.plane.kubectl_apply(User::Admin, repository("crds"));
    for namespace in ["social", "other", "apart"] {
        cluster.plane.kubectl(User::Admin, ["create", "namespace", namespace]).ok();
    }
    cluster.install_with(&[], &json!({"namespaces": ["social"]}));
    cluster.start_controller();
    for what in ["read the admission policies", "list the Leases of other installations"] {
        let line = cluster
            .controller()
            .wait_for_log(SOON, |line| line.contains(&format!("not permitted to {what}")));
        assert!(line.contains("INFO"), "{line}");
    }
    wait_for("the gauges", SOON, || {
        let unread = page(&mut cluster).sum("postlink_admission_policy_problems", &[("problem", "not_read")]);
        (unread == Some(4.0) && overlapping(&mut cluster) == Some(-1.0)).then_some(())
    });

    let readme = text_of("charts/postlink/README.md");
    let (_, command) = readme.split_once("helm template postlink charts/postlink -n social-tools ").unwrap();
    let (arguments, _) = command.split_once("| kubectl").unwrap();
    let arguments = arguments.split_whitespace().filter(|word| *word != "\\");
    let chart = repository("charts/postlink").display().to_string();
    let template = ["template", "postlink", &chart, "-n", SYSTEM].into_iter().chain(arguments);
    let rendered = cluster.plane.helm(4, User::Admin, template).ok();
    let apply = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
    cluster.plane.kubectl_with_input(User::Admin, apply, &rendered).ok();
    cluster.controller().wait_for_log(SOON, |line| line.contains(FINE));
    wait_for_problems(&mut cluster, &[]);

    wait_for("the overlap to be reported", SOON, || {
        renew(&cluster, "apart", "care");
        renew(&cluster, "other", "care,social");
        (overlapping(&mut cluster) == Some(1.0)).then_some(())
    });
    cluster
        .controller()
        .wait_for_log(SOON, |line| line.contains("the Lease other/postlink also watches social."));
    assert!(!cluster.controller().stderr().contains("apart/postlink"));
    wait_for_event(&cluster, "Warning", "OverlappingInstalls", "other/postlink");
    let log = cluster.controller().stderr();
    assert_eq!(log.matches("not permitted to").count(), 2, "each is logged once:\n{log}");
}
