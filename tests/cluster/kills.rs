//! The story with the controller killed twice in every step: right after the command, and again once it has restarted
//! and begins to act. The end state is the same.

use crate::cluster::{Cluster, Lease};
use crate::oracle;
use crate::story::{CANARY, STEPS, nothing_is_held_for_nobody};

#[test]
fn story_survives_killing_the_controller_in_each_step() {
    // Without leader election: the lease would have to expire after every kill, and the restart is under test.
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
