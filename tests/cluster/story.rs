//! The life of the quickstart's connection on a real control plane, driven by kubectl: denied while a rule is active,
//! held for a tool, disabled, enabled, deleted, connected again. Afterwards every revision of the store is checked.

use crate::cluster::{Cluster, Lease, NAMESPACE, SOON, condition, repository, text_of};
use crate::harness::users::User;
use crate::oracle;

/// The posts of the quickstart that are linked, and one that arrives during a held disable.
pub const LINKED: [&str; 4] = [
    "postlink/suitcase-day-four",
    "postlink/gepaeck-in-lissabon",
    "postlink/choir-of-forty",
    "postlink/carousel-three",
];

/// The posts of the quickstart that are not linked.
const NOT_LINKED: [&str; 4] = [
    "postlink/crew-found-the-bear",
    "postlink/bagage-abime",
    "postlink/seat-pitch",
    "postlink/refund-from-october",
];

const CONNECTION: &str = "dynamicsconnection/northwind";
const RULE: &str = "automationrule/baggage-complaints";

/// The client secret of the quickstart.
pub const CANARY: &str = "paper-clip";

const LATE_POST: &str = r"
apiVersion: postlink.dev/v1alpha1
kind: PostLink
metadata: {name: carousel-three, namespace: social}
spec:
  post:
    url: https://social.example/microblog/carousel-three
    id: carousel-three
    publishedAt: 2025-12-28T18:20:00Z
    language: en
    content: An hour at carousel three and not one suitcase.
    sentiment: Negative
";

/// One step: an action, and the checks once it has taken effect. The controller may be killed in between.
pub struct Step {
    pub name: &'static str,
    pub act: fn(&Cluster),
    pub ends: fn(&Cluster),
}

pub const STEPS: [Step; 10] = [
    Step { name: "connected", act: apply_the_quickstart, ends: posts_are_linked },
    Step { name: "refused", act: a_person_is_refused, ends: all_goes_on },
    Step { name: "held", act: a_tool_disables, ends: the_rule_holds_the_connection },
    Step { name: "disabled", act: the_rule_is_set_inactive, ends: the_connection_is_disabled },
    Step { name: "enabled again", act: the_connection_is_applied, ends: details_are_back },
    Step { name: "deleted", act: the_connection_is_deleted, ends: links_are_put_aside },
    Step { name: "connected again", act: a_person_connects_again, ends: links_are_restored },
    Step { name: "at work again", act: the_rule_is_applied, ends: the_rule_works },
    Step { name: "deletion held", act: a_tool_deletes, ends: the_deletion_waits },
    Step { name: "both gone", act: the_rule_is_deleted, ends: the_connection_goes_by_itself },
];

/// As in the README; kubectl applies the files in the order of their names.
fn apply_the_quickstart(cluster: &Cluster) {
    cluster.plane.kubectl_apply(User::Alice, repository("examples/quickstart"));
}

fn posts_are_linked(cluster: &Cluster) {
    cluster.wait("condition=Ready", &[CONNECTION]);
    cluster.wait_reason("Active", "Reserved", &[RULE]);
    cluster.wait_reason("Linked", "LinkedByRule", &LINKED[..2]);
    cluster.wait_reason("Linked", "LinkedByHand", &LINKED[2..3]);
    cluster.wait("condition=RecordAvailable", &LINKED[..3]);
    cluster.wait_reason("Linked", "NotRequested", &NOT_LINKED);
    for post in LINKED[..3].iter().chain(&NOT_LINKED).chain(&[CONNECTION, RULE]) {
        assert_eq!(condition(&cluster.get(post), "Ready").map(|ready| ready.0), Some("True"), "{post}");
    }
    let connection = cluster.get(CONNECTION);
    assert_eq!(connection["status"]["state"], "Enabled");
    assert_eq!(connection["status"]["organization"]["uniqueName"], "northwind");
    assert_eq!(connection["status"]["activeRuleCount"], 1);
    assert_eq!(condition(&connection, "Default"), Some(("True", "DefaultConnection")));
}

/// The arguments of `kubectl patch` for the quickstart's connection.
fn patch_connection(patch: &str) -> [&str; 8] {
    ["patch", "-n", NAMESPACE, "dconn", "northwind", "--type=merge", "-p", patch]
}

fn a_person_is_refused(cluster: &Cluster) {
    let disable = patch_connection(r#"{"spec":{"enabled":false}}"#);
    let dry_run = [&disable[..], &["--dry-run=server"]].concat();
    cluster.plane.until_refused(User::Alice, &dry_run, "is used by", SOON);
    // README.md shows this answer.
    let readme = std::fs::read_to_string(repository("README.md")).unwrap();
    let (_, shown) = readme.split_once("$ kubectl -n social delete dynamicsconnection northwind\n").unwrap();
    let (expected, _) = shown.split_once("```").unwrap();
    let answer = cluster.plane.kubectl(User::Alice, disable);
    assert_eq!(answer.code, Some(1));
    assert_eq!(answer.stderr, expected);
    let answer = cluster.plane.kubectl(User::Alice, ["delete", "-n", NAMESPACE, "dconn", "northwind"]);
    assert_eq!(answer.code, Some(1));
    assert_eq!(answer.stderr, expected);
    let edited = disabled_connection();
    let message = cluster.plane.kubectl_apply_text(User::Alice, &edited).refused();
    assert!(message.contains("is used by 1 active rule: baggage-complaints; deactivate"), "{message}");
}

fn all_goes_on(cluster: &Cluster) {
    let connection = cluster.get(CONNECTION);
    assert_eq!(connection["spec"]["enabled"], true);
    assert_eq!(condition(&connection, "DisableRefused"), None);
    assert_eq!(condition(&cluster.get(RULE), "HoldsConnection"), None);
}

fn disabled_connection() -> String {
    let text = text_of("examples/quickstart/connection.yaml");
    let edited = text.replace("  default: true\n", "  default: true\n  enabled: false\n");
    assert_ne!(edited, text);
    edited
}

/// As Flux does it: a server-side dry run, then the apply. Returns standard error.
fn flux_applies(cluster: &Cluster, yaml: &str) -> String {
    let apply =
        ["apply", "--server-side", "--force-conflicts", "--field-manager=kustomize-controller", "-f", "-"];
    let dry_run = [&apply[..], &["--dry-run=server"]].concat();
    cluster.plane.kubectl_with_input(User::FluxKustomize, dry_run, yaml).ok();
    let answer = cluster.plane.kubectl_with_input(User::FluxKustomize, apply, yaml);
    let stderr = answer.stderr.clone();
    answer.ok();
    stderr
}

fn a_tool_disables(cluster: &Cluster) {
    let flux_stderr = flux_applies(cluster, &disabled_connection());
    let warning = concat!(
        "Warning: Validation failed for ValidatingAdmissionPolicy 'postlink-refusal-tools' with binding ",
        "'postlink-refusal-tools': connection northwind is used by 1 active rule: baggage-complaints; ",
        "the change is accepted, and held until the rule is deactivated or deleted\n",
    );
    assert_eq!(flux_stderr, warning);
    // While held, the rule keeps working.
    cluster.plane.kubectl_apply_text(User::Alice, LATE_POST).ok();
}

fn the_rule_holds_the_connection(cluster: &Cluster) {
    cluster.wait_reason("DisableRefused", "UsedByActiveRules", &[CONNECTION]);
    cluster.wait_reason("HoldsConnection", "HoldsConnection", &[RULE]);
    cluster.wait_reason("Linked", "LinkedByRule", &LINKED[3..]);
    cluster.wait("condition=RecordAvailable", &LINKED);
    let connection = cluster.get(CONNECTION);
    assert_eq!(connection["spec"]["enabled"], false);
    assert_eq!(connection["status"]["state"], "Enabled");
    cluster.wait("condition=Ready", &[CONNECTION]);
    let rule = cluster.get(RULE);
    assert_eq!(condition(&rule, "Active"), Some(("True", "Reserved")));
    assert_eq!(condition(&rule, "Ready"), Some(("False", "HoldsConnection")));
}

fn the_rule_is_set_inactive(cluster: &Cluster) {
    let text = text_of("examples/quickstart/rule.yaml");
    let edited = text.replace("spec:\n", "spec:\n  active: false\n");
    assert_ne!(edited, text);
    flux_applies(cluster, &edited);
}

fn the_connection_is_disabled(cluster: &Cluster) {
    cluster.wait("jsonpath={.status.state}=Disabled", &[CONNECTION]);
    cluster.wait_reason("RecordAvailable", "ConnectionDisabled", &LINKED);
    cluster.wait_reason("Active", "Inactive", &[RULE]);
    let connection = cluster.get(CONNECTION);
    assert_eq!(condition(&connection, "DisableRefused"), None);
    assert_eq!(condition(&connection, "Ready"), Some(("True", "Disabled")));
    assert_eq!(connection["status"]["activeRuleCount"], 0);
    let rule = cluster.get(RULE);
    assert_eq!(condition(&rule, "HoldsConnection"), None);
    assert_eq!(condition(&rule, "Ready").map(|ready| ready.0), Some("True"));
    for post in LINKED {
        let link = cluster.get(post);
        assert_eq!(condition(&link, "Linked").map(|linked| linked.0), Some("True"), "{post}");
        assert_eq!(condition(&link, "Ready").map(|ready| ready.0), Some("True"), "{post}");
    }
}

fn the_connection_is_applied(cluster: &Cluster) {
    flux_applies(cluster, &text_of("examples/quickstart/connection.yaml"));
}

fn details_are_back(cluster: &Cluster) {
    cluster.wait("jsonpath={.status.state}=Enabled", &[CONNECTION]);
    cluster.wait("condition=RecordAvailable", &LINKED);
    assert_eq!(condition(&cluster.get(CONNECTION), "Ready"), Some(("True", "Connected")));
    assert_eq!(condition(&cluster.get(RULE), "Active"), Some(("False", "Inactive")));
}

fn the_connection_is_deleted(cluster: &Cluster) {
    cluster
        .plane
        .kubectl(User::Alice, ["delete", "-n", NAMESPACE, "dconn", "northwind", "--wait=false"])
        .ok();
}

fn links_are_put_aside(cluster: &Cluster) {
    cluster.wait("delete", &[CONNECTION]);
    cluster.wait_reason("Linked", "ConnectionDeleted", &LINKED);
    for post in LINKED {
        let link = cluster.get(post);
        assert_eq!(link["status"]["removedLink"]["cause"], "ConnectionDeleted", "{post}");
        assert_eq!(link["status"]["link"], serde_json::Value::Null, "{post}");
        assert_eq!(condition(&link, "RecordAvailable"), None, "{post}");
        // Only the link by hand still waits.
        let ready = if post == LINKED[2] { "False" } else { "True" };
        assert_eq!(condition(&link, "Ready").map(|ready| ready.0), Some(ready), "{post}");
    }
}

fn a_person_connects_again(cluster: &Cluster) {
    cluster.plane.kubectl_apply(User::Alice, repository("examples/quickstart/connection.yaml"));
}

fn links_are_restored(cluster: &Cluster) {
    cluster.wait_reason("Linked", "Restored", &LINKED);
    cluster.wait("condition=RecordAvailable", &LINKED);
    let connection = cluster.get(CONNECTION);
    for post in LINKED {
        let link = cluster.get(post);
        assert_eq!(link["status"]["removedLink"], serde_json::Value::Null, "{post}");
        assert_eq!(link["status"]["link"]["connection"]["uid"], connection["metadata"]["uid"], "{post}");
    }
}

fn the_rule_is_applied(cluster: &Cluster) {
    flux_applies(cluster, &text_of("examples/quickstart/rule.yaml"));
}

fn the_rule_works(cluster: &Cluster) {
    cluster.wait_reason("Active", "Reserved", &[RULE]);
    cluster.wait("condition=Ready", &[RULE, CONNECTION]);
    cluster.wait_reason("Linked", "Restored", &LINKED);
}

fn a_tool_deletes(cluster: &Cluster) {
    let delete = ["delete", "-n", NAMESPACE, "dconn", "northwind", "--wait=false"];
    let answer = cluster.plane.kubectl(User::FluxKustomize, delete);
    let stderr = answer.stderr.clone();
    answer.ok();
    assert!(stderr.contains("is used by 1 active rule: baggage-complaints"), "{stderr}");
}

fn the_deletion_waits(cluster: &Cluster) {
    cluster.wait_reason("DeletionRefused", "UsedByActiveRules", &[CONNECTION]);
    cluster.wait_reason("HoldsConnection", "HoldsConnection", &[RULE]);
    cluster.wait("condition=RecordAvailable", &LINKED);
    // Removing the finalizer does not help either.
    let take_off = patch_connection(r#"{"metadata":{"finalizers":null}}"#);
    let message = cluster.plane.kubectl(User::Admin, take_off).refused();
    assert!(
        message
            .contains("the finalizer postlink.dev/active-rules cannot be removed from connection northwind"),
        "{message}"
    );
}

fn the_rule_is_deleted(cluster: &Cluster) {
    cluster
        .plane
        .kubectl(User::FluxKustomize, ["delete", "-n", NAMESPACE, "arule", "baggage-complaints"])
        .ok();
}

fn the_connection_goes_by_itself(cluster: &Cluster) {
    links_are_put_aside(cluster);
}

/// Checks after a step that every reservation belongs to an active rule. At the end of the story nothing would be left
/// to check.
pub fn nothing_is_held_for_nobody(cluster: &Cluster) {
    let broken = oracle::stale_reservations_at_rest(&cluster.plane.history(oracle::OURS));
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn the_story_of_a_connection() {
    let mut cluster = Cluster::quickstart(Lease::Elected);
    for step in STEPS {
        eprintln!("step: {}", step.name);
        (step.act)(&cluster);
        (step.ends)(&cluster);
        nothing_is_held_for_nobody(&cluster);
    }
    cluster.controller_kept_within_its_rights();
    let broken = oracle::broken_rules(&cluster.plane.history("/registry/"), CANARY);
    assert!(broken.is_empty(), "{broken:#?}");
    let log = cluster.kill_controller();
    assert!(!log.contains(CANARY), "the client secret is in the log:\n{log}");
}
