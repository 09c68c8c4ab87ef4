//! Two replicas: whatever happens to the leader, the other takes over, and only the leader writes.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use kube::Api;
use kube::api::ListParams;
use postlink::api::{ConnectionState, DynamicsConnection, PostLink};
use serde_json::{Value, json};

use crate::cluster::{
    Cluster, DEFAULT_LEASE, Lease, NAMESPACE, SOON, SYSTEM, condition, is_ready, quickstart_instance,
    received, text_of, writes,
};
use crate::harness::pod::Pod;
use crate::harness::users::User;
use crate::harness::waiting::{block_on, eventually, wait_for};
use crate::many_links::{post_link, stored};
use crate::oracle::{self, OURS};
use crate::story::CANARY;

/// A leader, and a standby that waits for the lease.
pub struct Pair {
    pub leader: Pod,
    pub standby: Pod,
    pub cluster: Cluster,
}

impl Pair {
    fn with(values: &Value) -> Self {
        Self::of(values, Cluster::pod)
    }

    /// A pair whose leader is started differently.
    pub fn of(values: &Value, leader: impl FnOnce(&Cluster) -> Pod) -> Self {
        let cluster = Cluster::installed_with(&quickstart_instance(), &[], values);
        let mut leader = leader(&cluster);
        leader.process.wait_for_log(SOON, is_ready);
        let mut standby = cluster.pod();
        standby.process.wait_for_log(SOON, |line| line.contains("waiting for the lease"));
        cluster.apply_quickstart(&["00-namespace", "secret", "connection", "rule"]);
        cluster.wait("condition=Ready", &["dconn/northwind"]);
        cluster.wait_reason("Active", "Reserved", &["arule/baggage-complaints"]);
        Self { leader, standby, cluster }
    }

    fn holder(&self) -> Option<String> {
        self.cluster.lease()["holderIdentity"].as_str().map(str::to_owned)
    }

    /// A change is carried out by the current leader.
    pub fn serves(&self, asked: &str) {
        self.handles("dconn/northwind", asked);
    }

    /// The same of another object.
    fn handles(&self, object: &str, asked: &str) {
        let at = format!("postlink.dev/reconcile-requested-at={asked}");
        self.cluster
            .plane
            .kubectl(User::Alice, ["annotate", "--overwrite", "-n", NAMESPACE, object, &at])
            .ok();
        self.cluster.wait(&format!("jsonpath={{.status.lastHandledReconcileAt}}={asked}"), &[object]);
    }

    /// The requests of the first leader in the audit log since a time.
    pub fn sent_by_the_first_since(&self, since: Timestamp) -> Vec<Value> {
        let mut events = self.cluster.requests_since(since);
        events.retain(|event| self.leader.sent(event));
        events
    }

    pub fn nothing_is_broken(&self) {
        self.cluster.controller_kept_within_its_rights();
        let broken = oracle::broken_rules(&self.cluster.plane.history("/registry/"), CANARY);
        assert!(broken.is_empty(), "{broken:#?}");
    }
}

pub fn deactivate_the_rule(cluster: &Cluster) {
    cluster.declare("arule/baggage-complaints", &json!({"active": false}));
    cluster.wait_reason("Active", "Inactive", &["arule/baggage-complaints"]);
}

pub fn disable_the_connection(cluster: &Cluster) {
    cluster.declare("dconn/northwind", &json!({"enabled": false}));
}

/// §4.4: requests that the previous leader may have sent to an instance get one request timeout to end, here longer
/// than the test. Everything else continues at once.
#[test]
fn new_leader_waits_for_a_killed_leaders_creations() {
    let mut pair = Pair::with(&json!({"instanceTimeout": 600, "leaseDuration": DEFAULT_LEASE}));
    assert!(pair.holder().is_some_and(|holder| holder.starts_with(&pair.leader.name)));
    let (disabled, deleted) = ("dconn/northwind", "dconn/southwind");
    let mut other: Value =
        serde_saphyr::from_str(&text_of("examples/quickstart/connection.yaml")).expect("it is YAML");
    other["metadata"]["name"] = "southwind".into();
    other["spec"]["default"] = false.into();
    pair.cluster.plane.kubectl_apply_text(User::Alice, &other.to_string()).ok();
    pair.cluster.wait("condition=Ready", &[deleted]);
    deactivate_the_rule(&pair.cluster);

    let killed = Instant::now();
    pair.leader.process.kill();
    disable_the_connection(&pair.cluster);
    pair.cluster.plane.kubectl(User::Alice, ["delete", "-n", NAMESPACE, deleted, "--wait=false"]).ok();
    pair.standby.process.wait_for_log(SOON, |line| line.contains("became the leader"));
    let leads = killed.elapsed();
    for connection in [disabled, deleted] {
        pair.handles(connection, "after-the-kill");
        let waits = pair.cluster.get(connection);
        assert_eq!(waits["status"]["observedGeneration"], waits["metadata"]["generation"], "{connection}");
        assert_eq!(waits["status"]["state"], "Enabled", "{connection} was not waited with");
    }
    println!("fail-over: leads after {leads:.1?}, has served requests after {:.1?}", killed.elapsed());
    pair.nothing_is_broken();
}

/// The same without a predecessor: a missing lease may have been deleted.
#[test]
fn first_leader_delays_disabling_by_one_request_timeout() {
    let longest = 15;
    let mut cluster =
        Cluster::installed_with(&quickstart_instance(), &[], &json!({"instanceTimeout": longest}));
    cluster.start_controller();
    cluster.apply_quickstart(&["00-namespace", "secret", "connection"]);
    cluster.wait("condition=Ready", &["dconn/northwind"]);
    disable_the_connection(&cluster);
    // In time, too: the next probe is minutes away, and nothing else triggers a reconcile.
    cluster.wait("jsonpath={.status.state}=Disabled", &["dconn/northwind"]);
    // A write is seen by others before it is in the audit log.
    let written = wait_for("the write that disabled it to be audited", SOON, || {
        let mut events = cluster.plane.audited(User::Controller).into_iter();
        events.find(|event| event["requestObject"]["status"]["state"] == "Disabled")
    });
    let written = received(&written);
    let leads: Timestamp =
        cluster.lease()["acquireTime"].as_str().expect("there is a leader").parse().unwrap();
    let earliest = leads + SignedDuration::from_secs(longest);
    assert!(written >= earliest, "it led from {leads} on and disabled the connection at {written}");
}

#[test]
fn stopping_leader_hands_over_the_lease() {
    // Long enough to notice a successor that waits for its predecessor's requests.
    let mut pair = Pair::with(&json!({"instanceTimeout": 600}));
    let stopped = Instant::now();
    assert_eq!(pair.leader.process.terminate(SOON).code(), Some(0));
    assert!(pair.leader.process.stderr().contains("stopped"));
    pair.standby.process.wait_for_log(SOON, |line| line.contains("became the leader"));
    println!("hand-over: leads after {:.1?}", stopped.elapsed());
    deactivate_the_rule(&pair.cluster);
    disable_the_connection(&pair.cluster);
    pair.cluster.wait("jsonpath={.status.state}=Disabled", &["dconn/northwind"]);
    pair.nothing_is_broken();

    assert_eq!(pair.standby.process.terminate(SOON).code(), Some(0));
    assert_eq!(pair.holder(), None, "the last one gives the lease up, too");
}

/// The number of links whose `RecordAvailable` has this reason.
fn count(cluster: &Cluster, reason: &str) -> usize {
    let list = block_on(async {
        let api: Api<PostLink> = Api::namespaced(cluster.plane.client(User::Admin).await, NAMESPACE);
        api.list(&ListParams::default()).await.unwrap()
    });
    let has = |link: &&PostLink| {
        let link = serde_json::to_value(link).unwrap();
        condition(&link, "RecordAvailable").is_some_and(|(_, found)| found == reason)
    };
    list.iter().filter(has).count()
}

/// Writes this many posts with links by hand to etcd.
pub fn store_posts(cluster: &Cluster, posts: usize) {
    block_on(async {
        let gateway = cluster.plane.etcd().gateway();
        for number in 0..posts {
            gateway.put(&stored(number), post_link(number).to_string().as_bytes()).await.unwrap();
        }
    });
}

/// Poll interval for hundreds of links: each list is a megabyte.
fn looking(cluster: &Cluster, reason: &str) -> usize {
    std::thread::sleep(Duration::from_secs(1));
    count(cluster, reason)
}

#[test]
fn stopping_leader_finishes_running_work_first() {
    let mut pair = Pair::with(&json!({"instanceTimeout": 600}));
    let links = 40;
    // Without an answer, started creations stay in flight.
    pair.cluster.instances().signal("STOP");
    let begin = Timestamp::now();
    store_posts(&pair.cluster, links);
    let of_posts =
        |event: &Value, verb: &str| event["verb"] == verb && event["objectRef"]["resource"] == "postlinks";
    wait_for("a link to be made", SOON, || {
        // Each post is read once more before its activity is sent.
        pair.sent_by_the_first_since(begin).iter().any(|event| of_posts(event, "get")).then_some(())
    });
    let stopped = Timestamp::now();
    pair.leader.process.signal("TERM");
    pair.leader.process.wait_for_log(SOON, |line| line.contains("stopping"));
    let renewed = |pair: &Pair| {
        let lease = pair.cluster.lease();
        let holds = lease["holderIdentity"].as_str().is_some_and(|id| id.starts_with(&pair.leader.name));
        holds.then(|| lease["renewTime"].clone())
    };
    let last = renewed(&pair);
    wait_for("it to renew the lease", SOON, || {
        let ended = pair.leader.process.exited();
        assert_eq!(ended, None, "it did not wait for what is under way");
        renewed(&pair).filter(|time| last.as_ref() != Some(time))
    });
    assert_eq!(count(&pair.cluster, "RecordPending"), 0);
    pair.cluster.instances().signal("CONT");
    assert_eq!(pair.leader.process.wait_for_exit(SOON).code(), Some(0));
    let log = pair.leader.process.stderr();
    assert!(
        log.contains("\"stopped\"") && !log.contains("still in flight"),
        "{}",
        pair.leader.process.tail()
    );
    // The result is stored, then the lease is released.
    let sent = pair.sent_by_the_first_since(stopped);
    let stored: Vec<_> = sent.iter().filter(|event| of_posts(event, "update")).collect();
    assert!(stored.iter().all(|event| event["responseStatus"]["code"] == 200), "{stored:#?}");
    let last = stored.iter().copied().map(received).max();
    let given = sent.iter().filter(|event| event["objectRef"]["resource"] == "leases").map(received).max();
    assert!(last < given, "it wrote at {last:?} and had given the lease away at {given:?}");
    println!("{} of {links} links were under way and made", stored.len());
    assert!(!stored.is_empty() && stored.len() < links, "{} of {links}", stored.len());
    pair.standby.process.wait_for_log(SOON, |line| line.contains("became the leader"));
    wait_for("all links to be made", SOON, || {
        (looking(&pair.cluster, "RecordAvailable") == links).then_some(())
    });
    let broken = oracle::another_activity(&pair.cluster.plane.history(OURS));
    assert!(broken.is_empty(), "{broken:#?}");
    // After a hand-over the successor need not wait for requests of the first.
    deactivate_the_rule(&pair.cluster);
    disable_the_connection(&pair.cluster);
    pair.cluster.wait("jsonpath={.status.state}=Disabled", &["dconn/northwind"]);
}

async fn until_disabled(cluster: &Cluster) {
    let connections: Api<DynamicsConnection> =
        Api::namespaced(cluster.plane.client(User::Admin).await, NAMESPACE);
    eventually("the connection to be disabled", SOON, async || {
        let status = connections.get("northwind").await.unwrap().status;
        status.is_some_and(|status| status.state == Some(ConnectionState::Disabled)).then_some(())
    })
    .await;
}

/// Disables the connection and pauses the leader before it has updated all links.
fn paused_in_the_midst_of_telling(pair: &mut Pair, links: usize) {
    for _ in 0..5 {
        disable_the_connection(&pair.cluster);
        // Not with kubectl: starting it may take as long as the whole fan-out.
        block_on(until_disabled(&pair.cluster));
        pair.leader.process.signal("STOP");
        let updated = count(&pair.cluster, "ConnectionDisabled");
        println!("paused after updating {updated} of {links} links");
        if updated < links {
            return;
        }
        // Too late, on a busy machine. Try again.
        pair.leader.process.signal("CONT");
        pair.cluster.declare("dconn/northwind", &json!({"enabled": true}));
        wait_for("all links to be updated", SOON, || {
            (looking(&pair.cluster, "RecordAvailable") == links).then_some(())
        });
    }
    panic!("it was always paused too late to have anything left to write");
}

#[test]
fn paused_leader_writes_nothing_after_waking() {
    let mut pair = Pair::with(&json!({}));
    let links = 600;
    store_posts(&pair.cluster, links);
    wait_for("all links to be made", SOON, || {
        (looking(&pair.cluster, "RecordAvailable") == links).then_some(())
    });
    deactivate_the_rule(&pair.cluster);
    paused_in_the_midst_of_telling(&mut pair, links);
    pair.standby.process.wait_for_log(SOON, |line| line.contains("became the leader"));
    wait_for("the other one to tell the rest", SOON, || {
        (looking(&pair.cluster, "ConnectionDisabled") == links).then_some(())
    });

    let woken = Timestamp::now();
    pair.leader.process.signal("CONT");
    let ended = pair.leader.process.wait_for_exit(SOON);
    assert_eq!(ended.code(), Some(1), "{}", pair.leader.process.tail());
    let lost = "lost the leader lease; exiting: this process was not running for ";
    assert!(pair.leader.process.stderr().contains(lost), "{}", pair.leader.process.tail());
    let late = writes(pair.sent_by_the_first_since(woken));
    assert!(late.is_empty(), "written after waking: {late:#?}");
    pair.serves("after-the-pause");
    // Posts written to etcd do not meet the oracle's assumptions.
    let history = pair.cluster.plane.history(OURS);
    let broken = [
        oracle::disabled_or_gone_under_an_active_rule(&history),
        oracle::written_without_a_change(&history),
        oracle::observed_generation_fell(&history),
        oracle::another_activity(&history),
    ]
    .concat();
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn unreachable_api_server_is_reported_and_waited_for() {
    let mut pair = Pair::with(&json!({"leaseDuration": DEFAULT_LEASE}));
    // Checked before the restart: a server that has just started refuses requests until it has read the roles.
    pair.cluster.controller_kept_within_its_rights();
    pair.cluster.expect_refusals();
    pair.cluster.plane.kill_apiserver();
    // Until the lease expires, the holder reports that it cannot renew; then it must stop.
    let ended = pair.leader.process.wait_for_exit(SOON);
    assert_eq!(ended.code(), Some(1), "{}", pair.leader.process.tail());
    let log = pair.leader.process.stderr();
    assert!(log.contains("failed to renew the lease"), "{log}");
    assert!(
        log.contains("lost the leader lease; exiting: the API server stored no renewal within 10 s"),
        "{log}"
    );
    pair.standby.process.wait_for_log(SOON, |line| line.contains("failed to acquire the lease; retrying"));
    // The restarted container finds no API server, logs its address, and keeps trying.
    pair.leader.restart();
    pair.leader
        .process
        .wait_for_log(SOON, |line| line.contains("cannot be reached") && line.contains("retrying"));

    pair.cluster.plane.restart_apiserver();
    wait_for("one of them to lead", SOON, || {
        let logs = [pair.leader.process.stderr(), pair.standby.process.stderr()];
        logs.iter().any(|log| log.contains("became the leader")).then_some(())
    });
    pair.leader.process.wait_for_log(SOON, |line| line.contains("waiting for the lease"));
    pair.serves("after-the-outage");
    assert_eq!(pair.standby.process.exited(), None, "{}", pair.standby.process.tail());
    let broken = oracle::broken_rules(&pair.cluster.plane.history("/registry/"), CANARY);
    assert!(broken.is_empty(), "{broken:#?}");
}

/// The leader exits when it finds the forged holder; the log says how to recover without waiting for the lease to expire.
#[test]
fn deleting_a_lease_with_a_forged_holder_restores_a_leader() {
    let mut pair = Pair::with(&json!({"leaseDuration": DEFAULT_LEASE}));
    let waits = format!("waiting: {}", pair.leader.name);
    pair.standby.process.wait_for_log(SOON, |line| line.contains(&waits));
    let forged =
        json!({"spec": {"holderIdentity": "nobody", "leaseDurationSeconds": 2_000_000_000}}).to_string();
    let patch = ["patch", "lease", "postlink", "-n", SYSTEM, "--type=merge", "-p", &forged];
    pair.cluster.plane.kubectl(User::Admin, patch).ok();
    let ended = pair.leader.process.wait_for_exit(SOON);
    assert_eq!(ended.code(), Some(1), "{}", pair.leader.process.tail());
    let log = pair.leader.process.stderr();
    assert!(log.contains("lost the leader lease; exiting: another process holds the lease: nobody"), "{log}");
    let delete = format!("kubectl -n {SYSTEM} delete lease postlink");
    pair.standby.process.wait_for_log(SOON, |line| line.contains("nobody") && line.contains(&delete));
    pair.cluster.plane.kubectl(User::Admin, delete.split(' ').skip(1)).ok();
    pair.standby.process.wait_for_log(SOON, |line| line.contains("became the leader"));
    pair.serves("after-the-forged-holder");
    pair.nothing_is_broken();
}

/// No process can decode it as a Lease, and nobody needs to delete it.
#[test]
fn lease_with_an_absurd_time_expires() {
    const ABSURD: &str = "9999-12-31T23:59:59";
    let mut pair = Pair::with(&json!({"leaseDuration": DEFAULT_LEASE}));
    let waits = format!("waiting: {}", pair.leader.name);
    pair.standby.process.wait_for_log(SOON, |line| line.contains(&waits));
    let lease = ["lease", "postlink", "-n", SYSTEM];
    let get = ["get"].into_iter().chain(lease).chain(["-o", "json", "--show-managed-fields"]);
    let mut forged = pair.cluster.plane.kubectl(User::Admin, get).json();
    let mut fields = forged["metadata"]["managedFields"].take();
    fields[0]["time"] = json!(format!("{ABSURD}Z"));
    let forged = json!({
        "metadata": {"managedFields": fields},
        "spec": {"holderIdentity": "nobody", "renewTime": format!("{ABSURD}.000000Z")},
    });
    let forged = forged.to_string();
    let patch = ["patch"].into_iter().chain(lease).chain(["--type=merge", "-p", &forged]);
    pair.cluster.plane.kubectl(User::Admin, patch).ok();
    let ended = pair.leader.process.wait_for_exit(SOON);
    assert_eq!(ended.code(), Some(1), "{}", pair.leader.process.tail());
    let log = pair.leader.process.stderr();
    assert!(log.contains("another process holds the lease: nobody"), "{log}");
    let advice = pair.standby.process.wait_for_log(SOON, |line| line.contains("nobody has the renewTime"));
    assert!(advice.contains(ABSURD) && advice.contains("delete lease postlink"), "{advice}");
    pair.standby.process.wait_for_log(SOON, |line| line.contains("became the leader"));
    pair.serves("after-the-absurd-time");
    pair.nothing_is_broken();
}

#[test]
fn lease_requests_have_the_priority_of_leader_elections() {
    let cluster = Cluster::quickstart(Lease::Elected);
    let dispatched = "apiserver_flowcontrol_dispatched_requests_total{";
    let labels = ["flow_schema=\"postlink-lease\"", "priority_level=\"leader-election\""];
    wait_for("renewals to be classified", SOON, || {
        let page = cluster.plane.kubectl(User::Admin, ["get", "--raw", "/metrics"]).ok();
        let mut lines = page.lines().filter(|line| line.starts_with(dispatched));
        lines.any(|line| labels.iter().all(|label| line.contains(label))).then_some(())
    });
}
