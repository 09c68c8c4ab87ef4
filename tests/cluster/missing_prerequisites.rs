//! A missing permission, Secret or CRD is reported, everything else works, and once it is there the controller
//! continues without a restart.

use serde_json::{Value, json};

use crate::chart::copy_of_chart;
use crate::cluster::{
    Cluster, DEFAULT_LEASE, NAMESPACE, SOON, SYSTEM, condition, is_ready, is_write, quickstart_instance,
    repository, text_of,
};
use crate::harness::run_folder::new_folder;
use crate::harness::users::User;
use crate::harness::waiting::wait_for;
use crate::oracle::{self, OURS};
use crate::story::CANARY;

fn quickstart_cluster(values: &Value) -> Cluster {
    Cluster::installed_with(&quickstart_instance(), &[], values)
}

fn message(object: &Value, type_: &str) -> String {
    let conditions = object["status"]["conditions"].as_array().expect("it has conditions");
    let found = conditions.iter().find(|condition| condition["type"] == type_);
    found.and_then(|condition| condition["message"].as_str()).unwrap_or_default().to_owned()
}

/// Replaces the rules of a role of the chart; returns the previous ones.
fn set_rules(cluster: &Cluster, role: &[&str], rules: impl FnOnce(&Value) -> Value) -> Value {
    let get = [&["get"], role, &["-o", "json"]].concat();
    let old = cluster.plane.kubectl(User::Admin, &get).json()["rules"].clone();
    let patch = json!({"rules": rules(&old)}).to_string();
    let args = [&["patch"], role, &["--type=merge", "-p", &patch]].concat();
    cluster.plane.kubectl(User::Admin, &args).ok();
    old
}

/// The rules without a resource.
fn without(rules: &Value, resource: &str) -> Value {
    let mut rules = rules.clone();
    for rule in rules.as_array_mut().expect("a role has rules") {
        rule["resources"].as_array_mut().expect("a rule has resources").retain(|r| r != resource);
    }
    let left = rules.as_array_mut().expect("a role has rules");
    left.retain(|rule| rule["resources"].as_array().is_some_and(|resources| !resources.is_empty()));
    rules
}

/// The controller's permissions in a cluster-wide installation.
const ROLE: [&str; 2] = ["clusterrole", "postlink"];

/// Removes a resource from them; returns the previous rules.
fn forbid(cluster: &Cluster, resource: &str) -> Value {
    set_rules(cluster, &ROLE, |granted| without(granted, resource))
}

#[test]
fn missing_secret_is_reported_and_waited_for() {
    let mut cluster = quickstart_cluster(&json!({}));
    cluster.start_controller();
    cluster.apply_quickstart(&["00-namespace", "connection", "rule", "posts"]);
    cluster.wait_reason("Ready", "SecretNotFound", &["dconn/northwind"]);
    let message = message(&cluster.get("dconn/northwind"), "Ready");
    assert!(message.contains("northwind"), "{message}");
    cluster.wait_reason("Linked", "ConnectionNotReady", &["plink/choir-of-forty"]);
    cluster.apply_quickstart(&["secret"]);
    cluster.wait("condition=Ready", &["dconn/northwind", "plink/choir-of-forty", "plink/suitcase-day-four"]);
    cluster.controller_kept_within_its_rights();
}

#[test]
fn missing_rights_on_one_kind_leave_others_working() {
    let mut cluster = quickstart_cluster(&json!({}));
    cluster.expect_refusals();
    let granted = forbid(&cluster, "automationrules");
    cluster.begin_controller();
    let named = |line: &str| line.contains("watch failed") && line.contains("AutomationRule");
    cluster.controller().wait_for_log(SOON, named);
    cluster.apply_quickstart(&["00-namespace", "secret", "connection", "rule", "posts"]);
    cluster.wait("condition=Ready", &["dconn/northwind"]);
    cluster.wait_reason("Linked", "LinkedByHand", &["plink/choir-of-forty"]);

    set_rules(&cluster, &ROLE, |_| granted);
    cluster.wait_reason("Active", "Reserved", &["arule/baggage-complaints"]);
    cluster.wait_reason("Linked", "LinkedByRule", &["plink/suitcase-day-four", "plink/gepaeck-in-lissabon"]);
}

/// R8: a held change waits for its rules, also when a starting process has not listed the connections yet.
#[test]
fn r08_no_release_without_a_connection_list() {
    let (connection, active) = ("dconn/northwind", "arule/baggage-complaints");
    // The first holder is killed, and the next one waits for the lease to expire.
    let mut cluster = quickstart_cluster(&json!({"leaseDuration": DEFAULT_LEASE}));
    cluster.expect_refusals();
    cluster.start_controller();
    cluster.apply_quickstart(&["00-namespace", "secret", "connection", "rule", "posts"]);
    cluster.wait_reason("Active", "Reserved", &[active]);
    cluster.wait_reason("Linked", "LinkedByRule", &["plink/suitcase-day-four"]);
    let delete = ["delete", connection, "-n", NAMESPACE, "--wait=false"];
    let label = ["label", connection, "-n", NAMESPACE, "app.kubernetes.io/managed-by=Helm"];
    cluster.plane.kubectl(User::Alice, label).ok();
    cluster.plane.kubectl(User::Alice, delete).ok();
    cluster.wait_reason("HoldsConnection", "HoldsConnection", &[active]);
    cluster.kill_controller();
    // From now on its reservation has an earlier generation, so it would be released as soon as the rule stops.
    cluster.declare(active, &json!({"link": {"notes": "Luggage"}}));

    let granted = forbid(&cluster, "dynamicsconnections");
    cluster.begin_controller();
    let named = |line: &str| line.contains("watch failed") && line.contains("DynamicsConnection");
    cluster.controller().wait_for_log(SOON, named);
    set_rules(&cluster, &ROLE, |_| granted);
    cluster.controller().wait_for_log(SOON, is_ready);
    let seen = "jsonpath={.status.observedGeneration}=2";
    cluster.wait(seen, &[active]);
    assert_eq!(condition(&cluster.get(active), "Active"), Some(("True", "Reserved")));
    assert_eq!(
        condition(&cluster.get(connection), "DeletionRefused").map(|(status, _)| status),
        Some("True")
    );
    let broken = oracle::broken_rules(&cluster.plane.history("/registry/"), CANARY);
    assert!(broken.is_empty(), "{broken:#?}");
    let switched_off =
        cluster.plane.history(OURS).into_iter().filter_map(|revision| revision.value).find(|object| {
            object["kind"] == "AutomationRule"
                && condition(object, "Active").is_some_and(|(_, reason)| reason == "ConnectionNotFound")
        });
    assert_eq!(switched_off, None, "its connection was there all the time");
}

#[test]
fn namespaced_install_tolerates_a_namespace_without_rights() {
    // The cluster administrator installs the CRDs and the policies.
    let values = json!({"namespaces": [NAMESPACE, "returns"]});
    let mut cluster = Cluster::prepared(&quickstart_instance());
    cluster.expect_refusals();
    for path in ["crds", "charts/postlink/policies"] {
        cluster.plane.kubectl_apply(User::Admin, repository(path));
    }
    for namespace in [NAMESPACE, "returns", "elsewhere"] {
        cluster.plane.kubectl(User::Admin, ["create", "namespace", namespace]).ok();
    }
    cluster.install_with(&[], &values);
    let cluster_wide = [
        "get",
        "clusterroles,clusterrolebindings",
        "-l",
        "app.kubernetes.io/instance=postlink",
        "-o",
        "name",
    ];
    assert_eq!(cluster.plane.kubectl(User::Admin, cluster_wide).ok(), "");
    let role = ["role", "postlink", "-n", "returns"];
    let granted = set_rules(&cluster, &role, |_| json!([]));

    cluster.begin_controller();
    let named = |line: &str| line.contains("watch failed") && line.contains("returns");
    cluster.controller().wait_for_log(SOON, named);
    cluster.apply_quickstart(&["secret", "connection", "rule", "posts"]);
    cluster.wait("condition=Ready", &["dconn/northwind"]);
    cluster.wait_reason("Linked", "LinkedByRule", &["plink/suitcase-day-four"]);

    for namespace in ["returns", "elsewhere"] {
        cluster.apply_quickstart_in(namespace, &["connection"]);
    }
    set_rules(&cluster, &role, |_| granted);
    let at = r#"--for=jsonpath={.status.conditions[?(@.type=="Ready")].reason}=SecretNotFound"#;
    cluster
        .plane
        .kubectl(User::Alice, ["wait", "-n", "returns", at, "--timeout=120s", "dconn/northwind"])
        .ok();
    let get = ["get", "dconn", "northwind", "-n", "elsewhere", "-o", "json"];
    let elsewhere = cluster.plane.kubectl(User::Alice, get).json();
    assert_eq!(elsewhere["status"]["observedGeneration"], -1, "no controller watches this namespace");

    // Deleting a namespace deletes the role too, possibly before the controller has released the connection. Then an
    // administrator follows the chart's README.
    set_rules(&cluster, &role, |_| json!([]));
    cluster.plane.kubectl(User::Alice, ["delete", "namespace", "returns", "--wait=false"]).ok();
    let held = [
        "get",
        "dconn",
        "northwind",
        "-n",
        "returns",
        "-o",
        "jsonpath={.metadata.deletionTimestamp} {.metadata.finalizers}",
    ];
    wait_for("the connection to be deleted, and held", SOON, || {
        let held = cluster.plane.kubectl(User::Admin, held).ok();
        (!held.starts_with(' ')).then(|| assert!(held.contains("postlink.dev/active-rules"), "{held}"))
    });
    let take_off = ["--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#];
    let patch = [&["patch", "dconn", "northwind", "-n", "returns"][..], &take_off].concat();
    cluster.plane.kubectl(User::Alice, patch).ok();
    cluster.plane.kubectl(User::Alice, ["wait", "--for=delete", "namespace/returns", "--timeout=120s"]).ok();
    let beyond: Vec<_> = cluster
        .plane
        .forbidden(User::Controller)
        .into_iter()
        .filter(|request| !request.contains("/namespaces/returns/"))
        .collect();
    assert!(beyond.is_empty(), "refused: {beyond:#?}");
}

#[test]
fn workload_identity_reports_a_missing_role() {
    // An instance that accepts any credentials; the quickstart's accepts only its own secret.
    let text = text_of("examples/quickstart/simulated/instance.yaml");
    let open: Vec<_> = text.lines().filter(|line| !line.contains("clientSecret")).collect();
    let file = new_folder("instance").join("instance.yaml");
    std::fs::write(&file, open.join("\n")).unwrap();
    let mut cluster = Cluster::installed_with(&file, &[], &json!({}));
    cluster.expect_refusals();
    cluster.start_controller();
    cluster.apply_quickstart(&["00-namespace"]);
    cluster.plane.kubectl(User::Alice, ["create", "serviceaccount", "dynamics", "-n", NAMESPACE]).ok();
    let mut connection: Value =
        serde_saphyr::from_str(&text_of("examples/quickstart/connection.yaml")).unwrap();
    connection["spec"]["credentials"] = json!({"workloadIdentity": {
        "tenantId": "e60f3b97-28d4-4c1a-95b7-1d8c4e7a2f03", "clientId": "7d2c9f54-b6a1-4e80-8c3d-f5a017e6b928",
        "serviceAccountName": "dynamics",
    }});
    cluster.plane.kubectl_apply_text(User::Alice, &connection.to_string()).ok();
    let connection = wait_for("the missing right to be reported", SOON, || {
        let connection = cluster.get("dconn/northwind");
        connection["status"]["conditions"].as_array()?;
        let message = message(&connection, "Ready");
        message.contains("serviceaccounts/token").then_some(connection)
    });
    assert_eq!(condition(&connection, "Ready").map(|(status, _)| status), Some("False"));
    assert!(message(&connection, "Ready").contains("dynamics"), "{connection}");

    cluster.install_with(&[], &json!({"workloadIdentity": {"namespaces": [NAMESPACE]}}));
    cluster.wait("condition=Ready", &["dconn/northwind"]);
    let elsewhere = ["create", "token", "default", "-n", SYSTEM];
    assert!(cluster.plane.kubectl(User::Controller, elsewhere).refused().contains("forbidden"));
}

#[test]
fn missing_definition_is_reported_and_waited_for() {
    let mut cluster = quickstart_cluster(&json!({}));
    cluster.plane.kubectl(User::Admin, ["delete", "crd", "automationrules.postlink.dev"]).ok();
    let served = ["get", "--raw", "/openapi/v3/apis/postlink.dev/v1alpha1"];
    wait_for("the API server to forget the kind", SOON, || {
        // The group is not served at all for a moment.
        let answer = cluster.plane.kubectl(User::Admin, served);
        (answer.succeeded() && !answer.stdout.contains("AutomationRule")).then_some(())
    });
    cluster.begin_controller();
    cluster.controller().wait_for_log(SOON, |line| line.contains("does not serve AutomationRule"));
    cluster.plane.kubectl_apply(User::Admin, repository("crds"));
    cluster.controller().wait_for_log(SOON, is_ready);
    let log = cluster.controller().stderr();
    assert!(!log.contains("the installed CRD differs from that of this version"), "{log}");
}

#[test]
fn outdated_definitions_are_reported_without_writes() {
    // A chart as of an earlier version.
    let older = copy_of_chart();
    for (plural, field) in [("postlinks", "lastHandledReconcileAt"), ("automationrules", "activeFrom")] {
        let file = older.join(format!("files/crds/postlink.dev_{plural}.yaml"));
        let mut definition: Value = serde_saphyr::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        let status =
            definition.pointer_mut("/spec/versions/0/schema/openAPIV3Schema/properties/status/properties");
        let fields = status.and_then(Value::as_object_mut).expect("it has a status");
        assert!(fields.remove(field).is_some(), "{field}");
        std::fs::write(&file, definition.to_string()).unwrap();
    }
    let mut cluster = Cluster::prepared(&quickstart_instance());
    cluster.install_chart(&older, &[], &json!({}));
    cluster.start_controller();
    let log = cluster.controller().stderr();
    for named in ["activeFrom", "lastHandledReconcileAt"] {
        let found = log.lines().any(|line| {
            line.contains("the installed CRD differs from that of this version") && line.contains(named)
        });
        assert!(found, "{named} is not named:\n{log}");
    }
    cluster.apply_quickstart(&["00-namespace", "secret", "connection", "rule", "posts"]);
    cluster.wait("condition=Ready", &["dconn/northwind", "arule/baggage-complaints"]);
    cluster.wait_reason("Linked", "LinkedByRule", &["plink/suitcase-day-four"]);
    cluster
        .plane
        .kubectl(
            User::Alice,
            [
                "annotate",
                "-n",
                NAMESPACE,
                "plink/suitcase-day-four",
                "postlink.dev/reconcile-requested-at=now",
            ],
        )
        .ok();
    // A status that cannot be stored must not be written repeatedly.
    let writes = || {
        let audited = cluster.plane.audited(User::Controller);
        audited
            .iter()
            .filter(|event| is_write(event) && event["objectRef"]["apiGroup"] == "postlink.dev")
            .count()
    };
    let mut last = usize::MAX;
    wait_for("the writes to end", SOON, || {
        let now = writes();
        let ended = now == last;
        last = now;
        std::thread::sleep(std::time::Duration::from_secs(3));
        ended.then_some(())
    });
    assert!(last < 60, "{last} writes for nine objects");

    // The chart restores the CRDs; nothing is restarted.
    cluster.install_with(&[], &json!({}));
    let again = [
        "annotate",
        "--overwrite",
        "-n",
        NAMESPACE,
        "plink/seat-pitch",
        "postlink.dev/reconcile-requested-at=again",
    ];
    cluster.plane.kubectl(User::Alice, again).ok();
    cluster.wait("jsonpath={.status.lastHandledReconcileAt}=again", &["plink/seat-pitch"]);
    cluster.controller_kept_within_its_rights();
}
