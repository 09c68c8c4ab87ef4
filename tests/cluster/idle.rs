//! An idle cluster causes no writes except Leases.

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

/// Settled after this long without a write: longer than any delayed reaction to one.
const QUIET: Duration = Duration::from_secs(5);

/// The keys written during `time`: those of Leases, and all others.
fn written_during(cluster: &Cluster, time: Duration) -> (Vec<String>, Vec<String>) {
    let marker =
        block_on(async { cluster.plane.etcd().gateway().put("/postlink-tests/idle", b"").await }).unwrap();
    // A fixed time instead of a condition: the test is that nothing happens in it.
    thread::sleep(time);
    let mut keys = Vec::new();
    cluster.plane.each_revision(marker + 1, "/registry/", |revision| keys.push(revision.key)).unwrap();
    // The second is the API server's own identity Lease.
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

    // Each object is reconciled once more, for a change that does not concern the controller.
    let since = Timestamp::now();
    for objects in ["dconn", "arule", "plink"] {
        let label = ["label", objects, "--all", "-n", NAMESPACE, "example.com/seen=yes"];
        cluster.plane.kubectl(User::Alice, label).ok();
    }
    let (leases, others) = written_during(&cluster, IDLE);
    assert_eq!(others, Vec::<String>::new());
    // Not visible in the store: kube-apiserver creates no revision for a write that changes nothing.
    let mut asked = writes(cluster.requests_since(since));
    asked.retain(|request| !request.contains("/leases/"));
    assert_eq!(asked, Vec::<String>::new());
    let ours = leases.iter().filter(|key| *key == "/registry/leases/postlink-system/postlink").count();
    assert!(ours > 0, "the controller was not even alive: {leases:?}");
    cluster.controller_kept_within_its_rights();
}
