//! Watches that break, and an API server that is slow, restored from a backup, or asks for another token or certificate.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::{Cluster, DEFAULT_LEASE, Lease, NAMESPACE, SOON, SYSTEM, is_ready, quickstart_instance};
use crate::harness::pod::Pod;
use crate::harness::relay::Relay;
use crate::harness::users::User;
use crate::harness::waiting::{block_on, wait_for};
use crate::operations::Page;
use crate::oracle;
use crate::story::CANARY;

const CONNECTION: &str = "dconn/northwind";
const RULE: &str = "arule/baggage-complaints";

/// A controller that reaches the API server through a relay, at work.
struct Relayed {
    pod: Pod,
    relay: Relay,
    cluster: Cluster,
}

impl Relayed {
    fn start(more: &[&str], values: &Value, delay: Duration) -> Self {
        let cluster = Cluster::installed_with(&quickstart_instance(), more, values);
        let relay = Relay::to(&cluster.plane);
        relay.slow_down(delay);
        let mut pod = Pod::start_at(relay.url(), &cluster.plane, SYSTEM, "postlink");
        pod.process.wait_for_log(SOON, is_ready);
        connect(&cluster);
        Self { pod, relay, cluster }
    }

    /// Without a lease, which an outage would cost.
    fn without_lease() -> Self {
        Self::start(&["--leader-elect=false"], &json!({}), Duration::ZERO)
    }
}

fn connect(cluster: &Cluster) {
    cluster.apply_quickstart(&["00-namespace", "secret", "connection", "rule"]);
    cluster.wait("condition=Ready", &[CONNECTION]);
    cluster.wait_reason("Active", "Reserved", &[RULE]);
}

/// Applies a post with a link by hand; its name for kubectl.
fn apply_post(cluster: &Cluster, name: &str, content: &str) -> String {
    let post = json!({
        "apiVersion": "postlink.dev/v1alpha1",
        "kind": "PostLink",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "post": {
                "url": format!("https://social.example/microblog/{name}"), "id": name, "source": "Microblog",
                "publishedAt": "2025-12-18T07:41:00Z", "content": content,
            },
            "link": {"recordType": "incident"},
        },
    });
    cluster.plane.kubectl_apply_text(User::Alice, &post.to_string()).ok();
    format!("plink/{name}")
}

fn delete_rule(cluster: &Cluster) {
    cluster.plane.kubectl(User::Alice, ["delete", RULE, "-n", NAMESPACE]).ok();
}

fn wait_until_linked(cluster: &Cluster, post: &str) {
    cluster.wait_reason("Linked", "LinkedByHand", &[post]);
    cluster.wait("condition=RecordAvailable", &[post]);
}

#[test]
fn watch_survives_an_expired_resource_version() {
    let mut relayed = Relayed::without_lease();
    let Relayed { pod, relay, cluster } = &mut relayed;
    relay.refuse("watch=true");
    delete_rule(cluster);
    let post = apply_post(cluster, "meanwhile", "Where is my suitcase?");
    block_on(async { cluster.plane.etcd().gateway().compact().await }).unwrap();
    // The cache of the new server begins after what the watches have seen.
    cluster.expect_refusals();
    cluster.plane.kill_apiserver();
    cluster.plane.restart_apiserver();
    assert_eq!(cluster.get(CONNECTION)["status"]["activeRuleCount"], 1, "it has seen the deletion");

    relay.accept();
    pod.process.wait_for_log(SOON, |line| {
        line.contains("watch failed") && line.contains("too old resource version")
    });
    cluster.wait("jsonpath={.status.activeRuleCount}=0", &[CONNECTION]);
    wait_until_linked(cluster, &post);
    assert_eq!(pod.process.exited(), None);
}

#[test]
fn watch_survives_a_cut_within_an_object() {
    let mut relayed = Relayed::without_lease();
    let Relayed { pod, relay, cluster } = &mut relayed;
    // Between two fields, and between the two bytes of a letter.
    for (name, end) in [("cut-object", &b"\"content\":"[..]), ("cut-letter", b"Gep\xc3")] {
        relay.cut_after(end);
        let post = apply_post(cluster, name, "Mein Gepäck fehlt.");
        relay.wait_until_cut(SOON);
        wait_until_linked(cluster, &post);
    }
    let page = Page::of(&pod.address("metrics"));
    assert_eq!(page.sum("postlink_undecodable_objects", &[]), Some(0.0));
    let log = pod.process.stderr();
    assert!(!log.contains("cannot be decoded") && !log.contains("suitcase"), "{log}");
    assert_eq!(pod.process.exited(), None);
}

/// The versions of the objects are those of the backup, so the new ones seem to be old.
#[test]
fn restored_store_is_noticed_and_followed() {
    // The restore takes less than two thirds of it.
    let mut cluster = Cluster::installed_with(&quickstart_instance(), &[], &json!({"leaseDuration": 90}));
    cluster.start_controller();
    connect(&cluster);
    cluster.instances().signal("STOP");
    let post = apply_post(&cluster, "linked-later", "Where is my suitcase?");
    let backup = cluster.plane.back_up();
    let renewed = cluster.lease()["renewTime"].clone();
    cluster.instances().signal("CONT");
    wait_until_linked(&cluster, &post);
    let activity = activity(&cluster, &post);
    delete_rule(&cluster);
    cluster.wait("jsonpath={.status.activeRuleCount}=0", &[CONNECTION]);
    let made_later = apply_post(&cluster, "made-later", "And my umbrella?");
    wait_until_linked(&cluster, &made_later);
    wait_for("a renewal", SOON, || (cluster.lease()["renewTime"] != renewed).then_some(()));

    cluster.expect_refusals();
    cluster.plane.restore(&backup);
    let ended = cluster.controller().wait_for_exit(SOON);
    assert_eq!(ended.code(), Some(1), "{}", cluster.controller().tail());
    let log = cluster.controller().stderr();
    assert!(
        log.contains(
            "lost the leader lease; exiting: the Lease is older than the one that this process stored"
        ),
        "{log}"
    );
    delete_lease(&cluster);
    cluster.leader().restart();
    cluster.controller().wait_for_log(SOON, is_ready);
    wait_until_linked(&cluster, &post);
    assert_eq!(self::activity(&cluster, &post), activity);
    cluster.wait_reason("Active", "Reserved", &[RULE]);
    assert_eq!(cluster.get(CONNECTION)["status"]["activeRuleCount"], 1);
    cluster.plane.kubectl(User::Alice, ["get", &made_later, "-n", NAMESPACE]).refused();
    let page = Page::of(&cluster.leader().address("metrics"));
    let creations = |outcome| {
        page.sum("postlink_instance_requests_total", &[("operation", "create"), ("outcome", outcome)])
    };
    assert_eq!((creations("already_exists"), creations("success")), (Some(1.0), None));
    let broken = oracle::broken_rules(&cluster.plane.history("/registry/"), CANARY);
    assert!(broken.is_empty(), "{broken:#?}");
}

/// Instead of waiting until it expires.
fn delete_lease(cluster: &Cluster) {
    cluster.plane.kubectl(User::Admin, ["delete", "lease", "postlink", "-n", SYSTEM]).ok();
}

fn activity(cluster: &Cluster, post: &str) -> Value {
    cluster.get(post)["status"]["link"]["socialActivityId"].clone()
}

/// A renewal is one request, which has a third of the lease.
fn works_with_a_slow_api_server(delay: Duration, lease: u32) {
    let mut relayed = Relayed::start(&[], &json!({"leaseDuration": lease}), delay);
    let post = apply_post(&relayed.cluster, "slow", "Where is my suitcase?");
    wait_until_linked(&relayed.cluster, &post);
    relayed.relay.slow_down(Duration::ZERO);
    let page = Page::of(&relayed.pod.address("metrics"));
    assert_eq!(page.sum("postlink_watch_errors_total", &[]), Some(0.0));
    let log = relayed.pod.process.stderr();
    assert!(!log.contains("failed to renew the lease"), "{log}");
    assert_eq!(relayed.pod.process.exited(), None);
}

#[test]
fn api_server_that_answers_after_3_s_is_waited_for() {
    works_with_a_slow_api_server(Duration::from_secs(3), DEFAULT_LEASE);
}

#[test]
fn api_server_that_answers_after_6_s_is_waited_for() {
    works_with_a_slow_api_server(Duration::from_secs(6), 2 * DEFAULT_LEASE);
}

/// kube reads the file again once a minute; the kubelet renews a token long before it expires.
#[test]
fn renewed_service_account_token_is_used() {
    let cluster = Cluster::installed(&quickstart_instance(), Lease::Elected);
    let mut pod = cluster.pod();
    let old = pod.renew_token(&cluster.plane);
    pod.process.wait_for_log(SOON, is_ready);
    connect(&cluster);
    wait_for("every client to use the new token", SOON, || {
        let events = cluster.plane.audited(User::Controller);
        let renewed: Vec<_> = events.iter().filter(|event| pod.sent_with_new_token(event)).collect();
        let lease = renewed.iter().any(|event| event["verb"] == "update");
        (lease && renewed.iter().any(|event| event["verb"] == "watch")).then_some(())
    });
    pod.revoke_old_token(&cluster.plane);
    wait_for("the old token to be invalid", SOON, || {
        let answer = cluster.plane.kubectl(User::Admin, ["auth", "whoami", "--token", &old]);
        answer.stderr.contains("Unauthorized").then_some(())
    });
    let post = apply_post(&cluster, "renewed", "Where is my suitcase?");
    wait_until_linked(&cluster, &post);
    assert_eq!(pod.process.exited(), None);
    let log = pod.process.stderr();
    assert!(!log.contains("Unauthorized"), "{log}");
}

#[test]
fn work_goes_on_after_an_expired_token_was_renewed() {
    // Not lost before kube reads the file again, after a minute at most.
    let values = json!({"leaseDuration": 300});
    let cluster = Cluster::installed_with(&quickstart_instance(), &[], &values);
    let mut pod = cluster.pod();
    pod.process.wait_for_log(SOON, is_ready);
    connect(&cluster);
    pod.revoke_old_token(&cluster.plane);
    pod.process.wait_for_log(SOON, |line| line.contains("WARN") && line.contains("Unauthorized"));
    let post = apply_post(&cluster, "meanwhile", "Where is my suitcase?");
    pod.renew_token(&cluster.plane);
    wait_until_linked(&cluster, &post);
    assert_eq!(pod.process.exited(), None);
    let broken = oracle::broken_rules(&cluster.plane.history("/registry/"), CANARY);
    assert!(broken.is_empty(), "{broken:#?}");
}

fn wait_until_all_end_because_of_the_ca(pods: &mut [Pod]) {
    for pod in pods {
        let ended = pod.process.wait_for_exit(SOON);
        assert_eq!(ended.code(), Some(1), "{}", pod.process.tail());
        let log = pod.process.stderr();
        assert!(log.contains("have changed; exiting to read them again"), "{log}");
    }
}

fn wait_for_a_leader(pods: &[Pod]) {
    wait_for("a leader", SOON, || {
        pods.iter().any(|pod| pod.process.stderr().lines().any(is_ready)).then_some(())
    });
}

#[test]
fn changed_ca_is_read_by_a_restart() {
    // Not lost before the file is read again.
    let mut cluster = Cluster::installed_with(&quickstart_instance(), &[], &json!({"leaseDuration": 120}));
    let mut pods = [cluster.pod(), cluster.pod()];
    wait_for_a_leader(&pods);
    connect(&cluster);
    // As when another CA is added: the API server keeps its certificate.
    let ca = fs::read_to_string(cluster.plane.ca_file()).unwrap();
    fs::write(cluster.plane.ca_file(), ca.repeat(2)).unwrap();
    wait_until_all_end_because_of_the_ca(&mut pods);
    assert_eq!(cluster.lease()["holderIdentity"], Value::Null, "it was not released");
    pods.iter_mut().for_each(Pod::restart);
    wait_for_a_leader(&pods);

    cluster.expect_refusals();
    cluster.plane.rotate_ca();
    wait_until_all_end_because_of_the_ca(&mut pods);
    // It cannot be released with the old certificates.
    delete_lease(&cluster);
    pods.iter_mut().for_each(Pod::restart);
    let post = apply_post(&cluster, "trusted", "Where is my suitcase?");
    wait_until_linked(&cluster, &post);
}
