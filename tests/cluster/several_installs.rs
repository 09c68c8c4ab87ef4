//! Two installations, each with its own lease and its own namespaces, on shared CRDs and policies.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cluster::{
    Cluster, SOON, SYSTEM, is_ready, is_write, quickstart_instance, received, repository, text_of,
};
use crate::harness::pod::Pod;
use crate::harness::users::User;
use crate::harness::waiting::wait_for;
use crate::operations::Page;
use crate::oracle;
use crate::story::CANARY;

/// Linked by the rule of the quickstart, or by hand.
const LINKED: [&str; 3] = ["plink/suitcase-day-four", "plink/gepaeck-in-lissabon", "plink/choir-of-forty"];

/// A release, and the identity of its controller.
pub struct Install {
    pub release: &'static str,
    pub namespace: &'static str,
    pub deployment: &'static str,
    pub user: User,
}

pub const FIRST: Install =
    Install { release: "postlink", namespace: SYSTEM, deployment: "postlink", user: User::Controller };
pub const SECOND: Install =
    Install { release: "care", namespace: "care-system", deployment: "care-postlink", user: User::Neighbor };

/// What the administrator of the cluster applies for two namespaced installs, and the namespaces for posts.
pub fn prepared(namespaces: &[&str]) -> Cluster {
    let cluster = Cluster::prepared(&quickstart_instance());
    let plane = &cluster.plane;
    plane.kubectl_apply(User::Admin, repository("crds"));
    for namespace in namespaces.iter().chain(&[SECOND.namespace]) {
        plane.kubectl(User::Admin, ["create", "namespace", namespace]).ok();
    }
    let ca = plane.kubectl(User::Admin, ["get", "configmap", "instances", "-n", SYSTEM, "-o", "json"]).json();
    let metadata = json!({"name": "instances", "namespace": SECOND.namespace});
    let ca = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": ca["data"]});
    plane.kubectl_apply_text(User::Admin, &ca.to_string()).ok();
    let chart = repository("charts/postlink").display().to_string();
    for (install, templates) in [
        (FIRST, &["-s", "templates/installation-role.yaml", "-s", "templates/policies.yaml"][..]),
        (SECOND, &["-s", "templates/installation-role.yaml"]),
    ] {
        let template = [&["template", install.release, &chart, "-n", install.namespace], templates].concat();
        let objects = plane.helm(4, User::Admin, template).ok();
        plane.kubectl_with_input(User::Admin, ["apply", "--server-side", "-f", "-"], &objects).ok();
    }
    cluster
}

/// Installs or upgrades a release that watches these namespaces.
fn install(cluster: &Cluster, install: &Install, namespaces: &[&str]) {
    install_with(cluster, install, &json!({"namespaces": namespaces}));
}

/// The same with any values of the chart.
pub fn install_with(cluster: &Cluster, install: &Install, values: &Value) {
    let chart = repository("charts/postlink");
    cluster.install_release(install.release, install.namespace, &chart, &[], values);
}

fn start(cluster: &Cluster, install: &Install) -> Pod {
    let mut pod = Pod::start(&cluster.plane, install.namespace, install.deployment);
    pod.process.wait_for_log(SOON, is_ready);
    pod
}

/// Applies the quickstart in a namespace and waits for its links.
fn link_posts(cluster: &Cluster, namespace: &str) {
    cluster.apply_quickstart_in(namespace, &["secret", "connection", "rule", "posts"]);
    wait(cluster, namespace, "condition=Linked", &LINKED);
    wait(cluster, namespace, "condition=RecordAvailable", &LINKED);
}

/// `kubectl wait --for=WHAT OBJECT…` in a namespace.
pub fn wait(cluster: &Cluster, namespace: &str, what: &str, objects: &[&str]) {
    let wanted = [format!("--for={what}"), format!("--timeout={}s", SOON.as_secs())];
    let args = ["wait", "-n", namespace, &wanted[0], &wanted[1]].into_iter().chain(objects.iter().copied());
    cluster.plane.kubectl(User::Alice, args).ok();
}

/// The posts of a namespace.
fn posts(cluster: &Cluster, namespace: &str) -> Vec<Value> {
    let get = ["get", "plink", "-n", namespace, "-o", "json"];
    cluster.plane.kubectl(User::Admin, get).json()["items"].as_array().expect("a list has items").clone()
}

/// The activities that a process has created, and those that it found.
fn creations(pod: &Pod) -> (f64, f64) {
    let page = Page::of(&pod.address("metrics"));
    let of = |outcome| {
        let labels = [("operation", "create"), ("outcome", outcome)];
        page.sum("postlink_instance_requests_total", &labels).unwrap_or_default()
    };
    (of("success"), of("already_exists"))
}

/// RBAC denied no request of either installation.
pub fn both_kept_within_their_rights(cluster: &Cluster) {
    for user in [FIRST.user, SECOND.user] {
        let forbidden = cluster.plane.forbidden(user);
        assert!(forbidden.is_empty(), "refused to {}: {forbidden:#?}", user.name());
    }
}

fn nothing_is_broken(cluster: &Cluster) {
    both_kept_within_their_rights(cluster);
    promises_hold(cluster);
}

fn promises_hold(cluster: &Cluster) {
    let broken = oracle::broken_rules(&cluster.plane.history("/registry/"), CANARY);
    assert!(broken.is_empty(), "{broken:#?}");
}

/// The namespaces of the objects of Postlink that an installation has asked for or written since a time.
fn touched(cluster: &Cluster, install: &Install, since: Timestamp) -> Vec<String> {
    let events = cluster.plane.audited(install.user);
    let ours = events.iter().filter(|event| received(event) >= since).filter(|event| {
        event["objectRef"]["apiGroup"] == "postlink.dev" || event["objectRef"]["resource"] == "secrets"
    });
    let mut namespaces: Vec<String> =
        ours.map(|event| event["objectRef"]["namespace"].as_str().unwrap_or("all").to_owned()).collect();
    namespaces.sort();
    namespaces.dedup();
    namespaces
}

/// Since a time, an installation has asked only for objects of this namespace, and written only there and in its own.
pub fn kept_to_its_namespace(cluster: &Cluster, install: &Install, namespace: &str, since: Timestamp) {
    assert_eq!(touched(cluster, install, since), [namespace]);
    let events = cluster.plane.audited(install.user);
    let foreign: Vec<_> = events
        .iter()
        .filter(|event| received(event) >= since)
        .filter(|event| is_write(event))
        .filter_map(|event| event["objectRef"]["namespace"].as_str())
        .filter(|written| *written != namespace && *written != install.namespace)
        .collect();
    assert!(foreign.is_empty(), "{} wrote in {foreign:?}", install.release);
}

#[test]
fn installs_of_different_namespaces_touch_no_common_object() {
    let begin = Timestamp::now();
    let cluster = prepared(&["social", "care"]);
    install(&cluster, &FIRST, &["social"]);
    install(&cluster, &SECOND, &["care"]);
    let pods = [start(&cluster, &FIRST), start(&cluster, &SECOND)];
    for namespace in ["social", "care"] {
        link_posts(&cluster, namespace);
    }
    for pod in &pods {
        assert_eq!(creations(pod), (3.0, 0.0), "each link is made once");
    }
    for (installed, namespace) in [(FIRST, "social"), (SECOND, "care")] {
        kept_to_its_namespace(&cluster, &installed, namespace, begin);
    }
    nothing_is_broken(&cluster);
}

#[test]
fn overlap_of_two_leaders_is_reported_by_both_until_it_ends() {
    let cluster = prepared(&["social", "care"]);
    install(&cluster, &FIRST, &["social"]);
    install(&cluster, &SECOND, &["care", "social"]);
    let (mut first, mut second) = (start(&cluster, &FIRST), start(&cluster, &SECOND));
    for (pod, other) in [(&mut first, &SECOND), (&mut second, &FIRST)] {
        let told = format!("the one with the Lease {}/postlink also watches social.", other.namespace);
        pod.process.wait_for_log(SOON, |line| line.contains("WARN") && line.contains(&told));
        let page = Page::of(&pod.address("metrics"));
        assert_eq!(page.sum("postlink_overlapping_installs", &[]), Some(1.0));
    }
    for (install, other) in [(&FIRST, &SECOND), (&SECOND, &FIRST)] {
        let get = ["get", "events.events.k8s.io", "-n", install.namespace, "-o", "json"];
        wait_for("the Event", SOON, || {
            let events = cluster.plane.kubectl(User::Admin, get).json();
            let found = events["items"].as_array()?.iter().any(|event| {
                let note = event["note"].as_str().unwrap_or_default();
                event["reason"] == "OverlappingInstalls" && note.contains(other.namespace)
            });
            found.then_some(())
        });
    }

    assert_eq!(second.process.terminate(SOON).code(), Some(0));
    install(&cluster, &SECOND, &["care"]);
    second = start(&cluster, &SECOND);
    let ended = "no other installation watches the namespaces of this one";
    first.process.wait_for_log(SOON, |line| line.contains(ended));
    for pod in [&first, &second] {
        wait_for("the end in the metrics", SOON, || {
            let page = Page::of(&pod.address("metrics"));
            (page.sum("postlink_overlapping_installs", &[]) == Some(0.0)).then_some(())
        });
    }
    let log = second.process.stderr();
    assert!(!log.contains("Another installation"), "{log}");
}

/// Applies a post that the rule of the quickstart links; returns the object for kubectl.
fn apply_another_post(cluster: &Cluster, namespace: &str) -> &'static str {
    let post = text_of("examples/quickstart/posts.yaml");
    let (post, _) = post.split_once("---").expect("there are several posts");
    let post = post.replace("namespace: social", &format!("namespace: {namespace}"));
    let post = post.replace("suitcase-day-four", "suitcase-day-five");
    cluster.plane.kubectl_apply_text(User::Alice, &post).ok();
    "plink/suitcase-day-five"
}

#[test]
fn namespace_moves_to_another_install_without_loss() {
    let cluster = prepared(&["social", "moved", "care"]);
    install(&cluster, &FIRST, &["social", "moved"]);
    install(&cluster, &SECOND, &["care"]);
    let (mut first, mut second) = (start(&cluster, &FIRST), start(&cluster, &SECOND));
    for namespace in ["social", "moved"] {
        link_posts(&cluster, namespace);
    }
    for pod in [&mut first, &mut second] {
        assert_eq!(pod.process.terminate(SOON).code(), Some(0));
    }
    let before = ["social", "moved"].map(|namespace| posts(&cluster, namespace));

    install(&cluster, &FIRST, &["social"]);
    install(&cluster, &SECOND, &["care", "moved"]);
    let begin = Timestamp::now();
    let (first, second) = (start(&cluster, &FIRST), start(&cluster, &SECOND));
    let post = [apply_another_post(&cluster, "moved")];
    wait(&cluster, "moved", "condition=Linked", &post);
    wait(&cluster, "moved", "condition=RecordAvailable", &post);

    assert_eq!((creations(&first), creations(&second)), ((0.0, 0.0), (1.0, 0.0)));
    assert_eq!(touched(&cluster, &FIRST, begin), ["social"]);
    assert_eq!(touched(&cluster, &SECOND, begin), ["care", "moved"]);
    let [social, mut moved] = ["social", "moved"].map(|namespace| posts(&cluster, namespace));
    moved.retain(|object| object["metadata"]["name"] != "suitcase-day-five");
    assert_eq!([social, moved], before, "nothing but the new post was written");
    nothing_is_broken(&cluster);
}

/// An upgrade as a Deployment makes it: the new Pod waits for the lease before the old one is stopped.
fn upgrade(cluster: &Cluster, install: &Install, values: &Value, old: &mut Pod) -> Pod {
    install_with(cluster, install, values);
    let mut new = Pod::start(&cluster.plane, install.namespace, install.deployment);
    new.process.wait_for_log(SOON, |line| line.contains("waiting for the lease"));
    assert_eq!(old.process.terminate(SOON).code(), Some(0), "{}", old.process.tail());
    new.process.wait_for_log(SOON, is_ready);
    new
}

#[test]
fn namespace_moves_while_a_creation_is_in_flight() {
    let mut cluster = prepared(&["social", "moved", "care"]);
    let values = |namespaces: &[&str]| json!({"namespaces": namespaces, "instanceTimeout": 5});
    install_with(&cluster, &FIRST, &values(&["social", "moved"]));
    install_with(&cluster, &SECOND, &values(&["care"]));
    let (mut first, mut second) = (start(&cluster, &FIRST), start(&cluster, &SECOND));
    link_posts(&cluster, "moved");
    cluster.instances().signal("STOP");
    let post = apply_another_post(&cluster, "moved");
    wait_for("its activity to be sent", SOON, || {
        // Each post is read once more before its activity is sent.
        let events = cluster.plane.audited(FIRST.user);
        let read =
            |event: &Value| event["verb"] == "get" && event["objectRef"]["name"] == "suitcase-day-five";
        events.iter().any(read).then_some(())
    });

    // Helm removes the rights in the namespace while the old Pod still runs.
    cluster.expect_refusals();
    let first = upgrade(&cluster, &FIRST, &values(&["social"]), &mut first);
    let lease = ["get", "lease", "postlink", "-n", SYSTEM, "-o", "json"];
    let lease = cluster.plane.kubectl(User::Admin, lease).json();
    assert_eq!(lease["metadata"]["annotations"]["postlink.dev/watched-namespaces"], "social");
    let second = upgrade(&cluster, &SECOND, &values(&["care", "moved"]), &mut second);
    cluster.instances().signal("CONT");
    for condition in ["condition=Linked", "condition=RecordAvailable"] {
        wait(&cluster, "moved", condition, &[post]);
    }
    assert_eq!(creations(&first), (0.0, 0.0));
    let asked = creations(&second);
    assert!([(1.0, 0.0), (0.0, 1.0)].contains(&asked), "asked for once more, with the same id: {asked:?}");
    promises_hold(&cluster);
}
