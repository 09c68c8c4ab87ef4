//! The same story with the controller killed twice in every step: right after the command, and again when it has
//! just read everything anew and begins to act. It ends as if nobody had died.

use crate::cluster::{Cluster, Lease};
use crate::oracle;
use crate::story::{CANARY, STEPS, nothing_is_held_for_nobody};

#[test]
fn story_survives_killing_the_controller_in_each_step() {
    // Without the Lease: a killed holder's would have to run out each time, and what is under test is the restart.
    let mut cluster = Cluster::quickstart(Lease::None);
    let mut log = String::new();
    for step in STEPS {
        eprintln!("step: {}", step.name);
        (step.act)(&cluster);
        log += &cluster.kill_controller();
        cluster.start_controller();
        log += &cluster.kill_controller();
        cluster.start_controller();
        (step.ends)(&cluster);
        nothing_is_held_for_nobody(&cluster);
    }
    cluster.controller_kept_within_its_rights();
    let broken = oracle::broken_rules(&cluster.plane.history("/registry/"), CANARY);
    assert!(broken.is_empty(), "{broken:#?}");
    log += &cluster.kill_controller();
    assert!(!log.contains(CANARY), "the client secret is in the log:\n{log}");
}
