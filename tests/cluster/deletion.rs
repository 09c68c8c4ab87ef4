//! Deleting a namespace with everything in it, its Secret first (S6), and uninstalling the release.

use std::time::Instant;

use crate::cluster::{Cluster, Lease, NAMESPACE, SOON, SYSTEM};
use crate::harness::users::User;
use crate::harness::waiting::wait_for;
use crate::oracle;
use crate::story::{CANARY, STEPS};

#[test]
fn s6_namespace_deletion_completes_when_secret_goes_first() {
    let mut cluster = Cluster::quickstart(Lease::None);
    (STEPS[0].act)(&cluster);
    (STEPS[0].ends)(&cluster);
    cluster.plane.kubectl(User::Alice, ["delete", "secret", "northwind", "-n", NAMESPACE]).ok();
    let begin = Instant::now();
    let mut log = cluster.kill_controller();
    cluster.plane.kubectl(User::Alice, ["delete", "namespace", NAMESPACE, "--wait=false"]).ok();
    // Midway: the rules are gone, and their connection is being deleted.
    wait_for("the connection to be all that is left", SOON, || {
        let all = ["get", "dconn,arule,plink", "-n", NAMESPACE, "-o", "json"];
        let left = cluster.plane.kubectl(User::Admin, all).json();
        let left = left["items"].as_array().expect("a list has items");
        let [held] = left.as_slice() else { return None };
        assert_eq!(held["kind"], "DynamicsConnection");
        held["metadata"]["deletionTimestamp"].is_string().then_some(())
    });
    cluster.start_controller();
    let gone = ["wait", "--for=delete", "namespace", NAMESPACE, "--timeout=120s"];
    cluster.plane.kubectl(User::Alice, gone).ok();
    println!(
        "a namespace with everything in it, the controller killed midway: gone after {:.1?}",
        begin.elapsed()
    );

    cluster.controller_kept_within_its_rights();
    let history = cluster.plane.history(oracle::OURS);
    let broken = oracle::disabled_or_gone_under_an_active_rule(&history);
    assert!(broken.is_empty(), "{broken:#?}");
    log += &cluster.kill_controller();
    assert!(!log.contains(CANARY), "the client secret is in the log:\n{log}");
}

#[test]
fn helm_uninstall_warns_of_the_counted_connections() {
    let mut cluster = Cluster::quickstart(Lease::Elected);
    let counted = |cluster: &Cluster, wanted: &str| {
        let at = r"jsonpath={.metadata.annotations.postlink\.dev/connections}";
        let get = ["get", "configmap", "postlink-in-use", "-n", SYSTEM, "-o", at];
        wait_for("the connections to be counted", SOON, || {
            (cluster.plane.kubectl(User::Admin, get).ok() == wanted).then_some(())
        });
    };
    counted(&cluster, "0");
    (STEPS[0].act)(&cluster);
    (STEPS[0].ends)(&cluster);
    counted(&cluster, "1");
    cluster.kill_controller();
    let uninstall = cluster.plane.helm(4, User::Admin, ["uninstall", "postlink", "-n", SYSTEM]);
    assert!(uninstall.succeeded() && uninstall.stderr.contains("1 DynamicsConnection"), "{uninstall:?}");
    cluster.plane.kubectl(User::Alice, ["get", "dconn", "northwind", "-n", NAMESPACE]).ok();
}
