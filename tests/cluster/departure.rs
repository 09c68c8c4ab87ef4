//! S6 in full: a namespace with everything in it goes away, its Secret first, and nobody lends a hand.

use std::time::Instant;

use crate::harness::users::User;
use crate::oracle;
use crate::stage::{Lease, NAMESPACE, Stage};
use crate::story::{CANARY, STEPS};

#[test]
fn s6_a_namespace_with_everything_in_it_goes_away_though_the_secret_went_first() {
    let mut stage = Stage::quickstart(Lease::None);
    (STEPS[0].act)(&stage);
    (STEPS[0].ends)(&stage);
    stage.plane.kubectl(User::Alice, ["delete", "secret", "northwind", "-n", NAMESPACE]).ok();
    let begin = Instant::now();
    stage.plane.kubectl(User::Alice, ["delete", "namespace", NAMESPACE, "--wait=false"]).ok();
    // Midway: the deletion is stored and the connection still held.
    let mut log = stage.kill_controller();
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
