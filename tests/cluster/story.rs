//! The story of the quickstart's connection on a real control plane, told with kubectl: refused while a rule works,
//! held for a tool, disabled, enabled, deleted, connected again. Afterwards every revision of the store is read.

use crate::harness::users::User;
use crate::oracle;
use crate::stage::{Lease, NAMESPACE, SOON, Stage, condition, repository, text_of};

/// The posts of the quickstart that get a link, and one that arrives while a disabling waits.
pub const LINKED: [&str; 4] = [
    "postlink/suitcase-day-four",
    "postlink/gepaeck-in-lissabon",
    "postlink/choir-of-forty",
    "postlink/carousel-three",
];

/// The posts of the quickstart that stay as they are.
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

/// One step: what somebody does, and how everything is once it has had its effect. Between the two the controller
/// may die.
pub struct Step {
    pub name: &'static str,
    pub act: fn(&Stage),
    pub ends: fn(&Stage),
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

/// As the README says; kubectl takes the files in the order of their names.
fn apply_the_quickstart(stage: &Stage) {
    stage.plane.kubectl_apply(User::Alice, repository("examples/quickstart"));
}

fn posts_are_linked(stage: &Stage) {
    stage.wait("condition=Ready", &[CONNECTION]);
    stage.wait_reason("Active", "Reserved", &[RULE]);
    stage.wait_reason("Linked", "LinkedByRule", &LINKED[..2]);
    stage.wait_reason("Linked", "LinkedByHand", &LINKED[2..3]);
    stage.wait("condition=RecordAvailable", &LINKED[..3]);
    stage.wait_reason("Linked", "NotRequested", &NOT_LINKED);
    for post in LINKED[..3].iter().chain(&NOT_LINKED).chain(&[CONNECTION, RULE]) {
        assert_eq!(condition(&stage.get(post), "Ready").map(|ready| ready.0), Some("True"), "{post}");
    }
    let connection = stage.get(CONNECTION);
    assert_eq!(connection["status"]["state"], "Enabled");
    assert_eq!(connection["status"]["organization"]["uniqueName"], "northwind");
    assert_eq!(connection["status"]["activeRuleCount"], 1);
    assert_eq!(condition(&connection, "Default"), Some(("True", "DefaultConnection")));
}

fn a_person_is_refused(stage: &Stage) {
    let disable = [
        "patch",
        "-n",
        NAMESPACE,
        "dconn",
        "northwind",
        "--type=merge",
        "-p",
        r#"{"spec":{"enabled":false}}"#,
    ];
    let dry_run = [&disable[..], &["--dry-run=server"]].concat();
    stage.plane.until_refused(User::Alice, &dry_run, "is used by", SOON);
    let told = concat!(
        "Error from server (Forbidden): dynamicsconnections.postlink.dev \"northwind\" is forbidden: ",
        "ValidatingAdmissionPolicy 'postlink-refusal' with binding 'postlink-refusal' denied request: ",
        "connection northwind is used by 1 active rule: baggage-complaints; deactivate or delete it first\n",
    );
    let answer = stage.plane.kubectl(User::Alice, disable);
    assert_eq!(answer.code, Some(1));
    assert_eq!(answer.stderr, told);
    let answer = stage.plane.kubectl(User::Alice, ["delete", "-n", NAMESPACE, "dconn", "northwind"]);
    assert_eq!(answer.code, Some(1));
    assert_eq!(answer.stderr, told);
    let edited = disabled_connection();
    let message = stage.plane.kubectl_apply_text(User::Alice, &edited).refused();
    assert!(message.contains("is used by 1 active rule: baggage-complaints; deactivate"), "{message}");
}

fn all_goes_on(stage: &Stage) {
    let connection = stage.get(CONNECTION);
    assert_eq!(connection["spec"]["enabled"], true);
    assert_eq!(condition(&connection, "DisableRefused"), None);
    assert_eq!(condition(&stage.get(RULE), "HoldsConnection"), None);
}

fn disabled_connection() -> String {
    let text = text_of("examples/quickstart/connection.yaml");
    let edited = text.replace("  default: true\n", "  default: true\n  enabled: false\n");
    assert_ne!(edited, text);
    edited
}

/// As Flux does it: a server-side dry run first, then the apply. Its standard error.
fn flux_applies(stage: &Stage, yaml: &str) -> String {
    let apply =
        ["apply", "--server-side", "--force-conflicts", "--field-manager=kustomize-controller", "-f", "-"];
    let dry_run = [&apply[..], &["--dry-run=server"]].concat();
    stage.plane.kubectl_with_input(User::FluxKustomize, dry_run, yaml).ok();
    let answer = stage.plane.kubectl_with_input(User::FluxKustomize, apply, yaml);
    let told = answer.stderr.clone();
    answer.ok();
    told
}

fn a_tool_disables(stage: &Stage) {
    let told = flux_applies(stage, &disabled_connection());
    let warning = concat!(
        "Warning: Validation failed for ValidatingAdmissionPolicy 'postlink-refusal-tools' with binding ",
        "'postlink-refusal-tools': connection northwind is used by 1 active rule: baggage-complaints; ",
        "deactivate or delete it first\n",
    );
    assert_eq!(told, warning);
    // Held means that the rule goes on working.
    stage.plane.kubectl_apply_text(User::Alice, LATE_POST).ok();
}

fn the_rule_holds_the_connection(stage: &Stage) {
    stage.wait_reason("DisableRefused", "UsedByActiveRules", &[CONNECTION]);
    stage.wait_reason("HoldsConnection", "HoldsConnection", &[RULE]);
    stage.wait_reason("Linked", "LinkedByRule", &LINKED[3..]);
    stage.wait("condition=RecordAvailable", &LINKED);
    let connection = stage.get(CONNECTION);
    assert_eq!(connection["spec"]["enabled"], false);
    assert_eq!(connection["status"]["state"], "Enabled");
    stage.wait("condition=Ready", &[CONNECTION]);
    let rule = stage.get(RULE);
    assert_eq!(condition(&rule, "Active"), Some(("True", "Reserved")));
    assert_eq!(condition(&rule, "Ready"), Some(("False", "HoldsConnection")));
}

fn the_rule_is_set_inactive(stage: &Stage) {
    let text = text_of("examples/quickstart/rule.yaml");
    let edited = text.replace("spec:\n", "spec:\n  active: false\n");
    assert_ne!(edited, text);
    flux_applies(stage, &edited);
}

fn the_connection_is_disabled(stage: &Stage) {
    stage.wait("jsonpath={.status.state}=Disabled", &[CONNECTION]);
    stage.wait_reason("RecordAvailable", "ConnectionDisabled", &LINKED);
    stage.wait_reason("Active", "Inactive", &[RULE]);
    let connection = stage.get(CONNECTION);
    assert_eq!(condition(&connection, "DisableRefused"), None);
    assert_eq!(condition(&connection, "Ready"), Some(("True", "Disabled")));
    assert_eq!(connection["status"]["activeRuleCount"], 0);
    let rule = stage.get(RULE);
    assert_eq!(condition(&rule, "HoldsConnection"), None);
    assert_eq!(condition(&rule, "Ready").map(|ready| ready.0), Some("True"));
    for post in LINKED {
        let link = stage.get(post);
        assert_eq!(condition(&link, "Linked").map(|linked| linked.0), Some("True"), "{post}");
        assert_eq!(condition(&link, "Ready").map(|ready| ready.0), Some("True"), "{post}");
    }
}

fn the_connection_is_applied(stage: &Stage) {
    flux_applies(stage, &text_of("examples/quickstart/connection.yaml"));
}

fn details_are_back(stage: &Stage) {
    stage.wait("jsonpath={.status.state}=Enabled", &[CONNECTION]);
    stage.wait("condition=RecordAvailable", &LINKED);
    assert_eq!(condition(&stage.get(CONNECTION), "Ready"), Some(("True", "Connected")));
    assert_eq!(condition(&stage.get(RULE), "Active"), Some(("False", "Inactive")));
}

fn the_connection_is_deleted(stage: &Stage) {
    stage.plane.kubectl(User::Alice, ["delete", "-n", NAMESPACE, "dconn", "northwind", "--wait=false"]).ok();
}

fn links_are_put_aside(stage: &Stage) {
    stage.wait("delete", &[CONNECTION]);
    stage.wait_reason("Linked", "ConnectionDeleted", &LINKED);
    for post in LINKED {
        let link = stage.get(post);
        assert_eq!(link["status"]["removedLink"]["cause"], "ConnectionDeleted", "{post}");
        assert_eq!(link["status"]["link"], serde_json::Value::Null, "{post}");
        assert_eq!(condition(&link, "RecordAvailable"), None, "{post}");
        // Only the one that was asked for by hand still waits for something.
        let ready = if post == LINKED[2] { "False" } else { "True" };
        assert_eq!(condition(&link, "Ready").map(|ready| ready.0), Some(ready), "{post}");
    }
}

fn a_person_connects_again(stage: &Stage) {
    stage.plane.kubectl_apply(User::Alice, repository("examples/quickstart/connection.yaml"));
}

fn links_are_restored(stage: &Stage) {
    stage.wait_reason("Linked", "Restored", &LINKED);
    stage.wait("condition=RecordAvailable", &LINKED);
    let connection = stage.get(CONNECTION);
    for post in LINKED {
        let link = stage.get(post);
        assert_eq!(link["status"]["removedLink"], serde_json::Value::Null, "{post}");
        assert_eq!(link["status"]["link"]["connection"]["uid"], connection["metadata"]["uid"], "{post}");
    }
}

fn the_rule_is_applied(stage: &Stage) {
    flux_applies(stage, &text_of("examples/quickstart/rule.yaml"));
}

fn the_rule_works(stage: &Stage) {
    stage.wait_reason("Active", "Reserved", &[RULE]);
    stage.wait("condition=Ready", &[RULE, CONNECTION]);
    stage.wait_reason("Linked", "Restored", &LINKED);
}

fn a_tool_deletes(stage: &Stage) {
    let delete = ["delete", "-n", NAMESPACE, "dconn", "northwind", "--wait=false"];
    let answer = stage.plane.kubectl(User::FluxKustomize, delete);
    let told = answer.stderr.clone();
    answer.ok();
    assert!(told.contains("is used by 1 active rule: baggage-complaints"), "{told}");
}

fn the_deletion_waits(stage: &Stage) {
    stage.wait_reason("DeletionRefused", "UsedByActiveRules", &[CONNECTION]);
    stage.wait_reason("HoldsConnection", "HoldsConnection", &[RULE]);
    stage.wait("condition=RecordAvailable", &LINKED);
    // Nobody gets around it by taking the finalizer off.
    let take_off = [
        "patch",
        "-n",
        NAMESPACE,
        "dconn",
        "northwind",
        "--type=merge",
        "-p",
        r#"{"metadata":{"finalizers":null}}"#,
    ];
    let message = stage.plane.kubectl(User::Admin, take_off).refused();
    assert!(
        message.contains("the finalizer postlink.dev/active-rules stays on connection northwind"),
        "{message}"
    );
}

fn the_rule_is_deleted(stage: &Stage) {
    stage.plane.kubectl(User::FluxKustomize, ["delete", "-n", NAMESPACE, "arule", "baggage-complaints"]).ok();
}

fn the_connection_goes_by_itself(stage: &Stage) {
    links_are_put_aside(stage);
}

/// After a step nothing is held for nobody. At the end of the story that would say little: everything is gone by then.
pub fn nothing_is_held_for_nobody(stage: &Stage) {
    let broken = oracle::stale_reservations_at_rest(&stage.plane.history(oracle::OURS));
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn the_story_of_a_connection() {
    let mut stage = Stage::quickstart(Lease::Elected);
    for step in STEPS {
        eprintln!("step: {}", step.name);
        (step.act)(&stage);
        (step.ends)(&stage);
        nothing_is_held_for_nobody(&stage);
    }
    stage.controller_kept_within_its_rights();
    let broken = oracle::broken_rules(&stage.plane.history("/registry/"), CANARY);
    assert!(broken.is_empty(), "{broken:#?}");
    let log = stage.kill_controller();
    assert!(!log.contains(CANARY), "the client secret is in the log:\n{log}");
}
