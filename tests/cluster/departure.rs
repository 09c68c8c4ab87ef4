//! S6 in full: a namespace with everything in it goes away, its Secret first, and nobody lends a hand.

use std::time::Instant;

use crate::harness::users::User;
use crate::harness::waiting::wait_for;
use crate::oracle;
use crate::stage::{Lease, NAMESPACE, SOON, SYSTEM, Stage};
use crate::story::{CANARY, STEPS};

#[test]
fn s6_namespace_deletion_completes_when_secret_goes_first() {
    let mut stage = Stage::quickstart(Lease::None);
    (STEPS[0].act)(&stage);
    (STEPS[0].ends)(&stage);
    stage.plane.kubectl(User::Alice, ["delete", "secret", "northwind", "-n", NAMESPACE]).ok();
    let begin = Instant::now();
    let mut log = stage.kill_controller();
    stage.plane.kubectl(User::Alice, ["delete", "namespace", NAMESPACE, "--wait=false"]).ok();
    // Midway: the rules are gone, and what they used is deleted and held.
    wait_for("the connection to be all that is left", SOON, || {
        let all = ["get", "dconn,arule,plink", "-n", NAMESPACE, "-o", "json"];
        let left = stage.plane.kubectl(User::Admin, all).json();
        let left = left["items"].as_array().expect("a list has items");
        let [held] = left.as_slice() else { return None };
        assert_eq!(held["kind"], "DynamicsConnection");
        held["metadata"]["deletionTimestamp"].is_string().then_some(())
    });
    stage.start_controller();
    let gone = ["wait", "--for=delete", "namespace", NAMESPACE, "--timeout=120s"];
    stage.plane.kubectl(User::Alice, gone).ok();
    println!(
        "a namespace with everything in it, the controller killed midway: gone after {:.1?}",
        begin.elapsed()
    );

    stage.controller_kept_within_its_rights();
    let history = stage.plane.history(oracle::OURS);
    let broken = oracle::disabled_or_gone_under_an_active_rule(&history);
    assert!(broken.is_empty(), "{broken:#?}");
    log += &stage.kill_controller();
    assert!(!log.contains(CANARY), "the client secret is in the log:\n{log}");
}

#[test]
fn helm_uninstall_warns_of_the_counted_connections() {
    let mut stage = Stage::quickstart(Lease::Elected);
    let counted = |stage: &Stage, wanted: &str| {
        let at = r"jsonpath={.metadata.annotations.postlink\.dev/connections}";
        let get = ["get", "configmap", "postlink-in-use", "-n", SYSTEM, "-o", at];
        wait_for("the connections to be counted", SOON, || {
            (stage.plane.kubectl(User::Admin, get).ok() == wanted).then_some(())
        });
    };
    counted(&stage, "0");
    (STEPS[0].act)(&stage);
    (STEPS[0].ends)(&stage);
    counted(&stage, "1");
    stage.kill_controller();
    let told = stage.plane.helm(4, User::Admin, ["uninstall", "postlink", "-n", SYSTEM]);
    assert!(told.succeeded() && told.stderr.contains("1 DynamicsConnection"), "{told:?}");
    stage.plane.kubectl(User::Alice, ["get", "dconn", "northwind", "-n", NAMESPACE]).ok();
}
