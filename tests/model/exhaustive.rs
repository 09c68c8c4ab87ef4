//! With every clause kept nothing breaks, in any state there is within the bounds.

use crate::{
    protocol::{Bounds, Protocol},
    shell::Kept,
    trace,
};
use stateright::{Checker, Model};
use std::time::Instant;

/// Explores everything and prints how much that was.
fn holds(name: &str, bounds: Bounds) {
    let started = Instant::now();
    let checker =
        Protocol { bounds, kept: Kept::ALL, show_reached: false }.checker().threads(2).spawn_bfs().join();
    println!(
        "{name}: {} states ({} reached), depth {}, {:.0} s",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        started.elapsed().as_secs_f64()
    );
    for (property, path) in checker.discoveries() {
        println!("{property}\n{}", trace::steps(&path));
    }
    checker.assert_properties();
}

const BASE: Bounds = Bounds {
    rules: 1,
    connections: 1,
    generations: 3,
    late: false,
    toggles: 2,
    edits: false,
    rule_deletions: 0,
    connection_deletions: 1,
    wipes: 1,
};

#[test]
fn one_connection_one_rule() {
    holds("1 × 1", Bounds { edits: true, rule_deletions: 1, ..BASE });
}

#[test]
fn a() {
    holds("1x1 base", BASE);
}
#[test]
fn b() {
    holds("1x2 base", Bounds { rules: 2, ..BASE });
}
#[test]
fn c() {
    holds("1x2 base edits", Bounds { rules: 2, edits: true, ..BASE });
}
#[test]
fn d() {
    holds(
        "1x2 ruledel",
        Bounds {
            rules: 2,
            generations: 2,
            toggles: 1,
            rule_deletions: 1,
            wipes: 0,
            connection_deletions: 1,
            ..BASE
        },
    );
}
#[test]
fn e() {
    holds("2x1 base", Bounds { connections: 2, ..BASE });
}
#[test]
fn f() {
    holds("2x1 gen 4", Bounds { connections: 2, generations: 4, toggles: 1, ..BASE });
}
