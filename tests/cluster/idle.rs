//! A cluster in which nothing happens costs nothing: once settled, nothing is written but Leases.

use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use crate::cluster::{Cluster, Lease, NAMESPACE, SOON, writes};
use crate::harness::users::User;
use crate::harness::waiting::{block_on, wait_for};
use crate::story::STEPS;

/// Two probes at the shortest interval an API user can set.
const IDLE: Duration = Duration::from_secs(60);

/// As long as this without a write is settled: longer than what follows a write by itself.
const QUIET: Duration = Duration::from_secs(5);

/// The keys written during `time`: those of Leases, and all others.
fn written_during(cluster: &Cluster, time: Duration) -> (Vec<String>, Vec<String>) {
    let marker =
        block_on(async { cluster.plane.etcd().gateway().put("/postlink-tests/idle", b"").await }).unwrap();
    // Not a condition to wait for: that nothing comes in this time is what is looked at.
    thread::sleep(time);
    let mut keys = Vec::new();
    cluster.plane.each_revision(marker + 1, "/registry/", |revision| keys.push(revision.key)).unwrap();
    // The second is the API server's own, by which several of them know each other.
    let leases = ["/registry/leases/", "/registry/peerserverleases/"];
    keys.into_iter().partition(|key| leases.iter().any(|prefix| key.starts_with(prefix)))
}

#[test]
fn settled_cluster_writes_only_leases() {
    let cluster = Cluster::quickstart(Lease::Elected);
    (STEPS[0].act)(&cluster);
    let often = json!({"spec": {"probe": {"interval": "30s"}}}).to_string();
    let patch = ["patch", "-n", NAMESPACE, "dconn", "northwind", "--type=merge", "-p", &often];
    cluster.plane.kubectl(User::Alice, patch).ok();
    (STEPS[0].ends)(&cluster);
    wait_for("the cluster to be settled", SOON, || {
        written_during(&cluster, QUIET).1.is_empty().then_some(())
    });

    // Each object is looked at once more, for what is not the controller's business.
    let since = Timestamp::now();
    for objects in ["dconn", "arule", "plink"] {
        let label = ["label", objects, "--all", "-n", NAMESPACE, "example.com/seen=yes"];
        cluster.plane.kubectl(User::Alice, label).ok();
    }
    let (leases, others) = written_during(&cluster, IDLE);
    assert_eq!(others, Vec::<String>::new());
    // What the store does not show: kube-apiserver makes no revision of a write that changes nothing.
    let mut asked = writes(cluster.requests_since(since));
    asked.retain(|request| !request.contains("/leases/"));
    assert_eq!(asked, Vec::<String>::new());
    let ours = leases.iter().filter(|key| *key == "/registry/leases/postlink-system/postlink").count();
    assert!(ours > 0, "the controller was not even alive: {leases:?}");
    cluster.controller_kept_within_its_rights();
}
