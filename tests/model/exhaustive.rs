//! With every clause in place all properties hold, in every state within the bounds.

use crate::{
    protocol::{Bounds, Protocol},
    reconcile::ModelClauses,
    trace,
};
use stateright::{Checker, Model};
use std::time::Instant;

/// Explores all states and prints their number.
fn holds(bounds: Bounds) {
    let started = Instant::now();
    let checker = Protocol { bounds, clauses: ModelClauses::ALL, show_reached: false }
        .checker()
        .threads(2)
        .spawn_bfs()
        .join();
    println!(
        "{} connections × {} rules: {} states, {} steps, at most {} in a row, {:.0} s",
        bounds.connections,
        bounds.rules,
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

/// Two changes of each rule's spec and of `spec.enabled`, a deletion, a lost status, and any order of arrival.
const BASE: Bounds = Bounds {
    rules: 1,
    connections: 1,
    generations: 3,
    late: true,
    toggles: 2,
    edits: false,
    rule_deletions: 0,
    connection_deletions: 1,
    wipes: 1,
};

#[test]
fn one_connection_and_two_rules() {
    holds(Bounds { rules: 2, ..BASE });
}

#[test]
fn one_connection_and_two_edited_rules() {
    holds(Bounds { rules: 2, edits: true, late: false, toggles: 1, connection_deletions: 0, ..BASE });
}

#[test]
fn two_connections_and_a_moving_rule() {
    holds(Bounds { connections: 2, ..BASE });
}

#[test]
fn a_recreated_rule() {
    holds(Bounds { edits: true, rule_deletions: 1, generations: 2, late: false, ..BASE });
}

/// The explorations above would also pass if nothing ever happened.
#[test]
fn interesting_states_are_reached() {
    let bounds = Bounds { generations: 2, toggles: 1, ..BASE };
    let checker =
        Protocol { bounds, clauses: ModelClauses::ALL, show_reached: true }.checker().spawn_bfs().join();
    checker.assert_properties();
}

#[test]
#[ignore = "minutes: `make model`"]
fn larger_one_connection_and_a_rule() {
    let often = Bounds { generations: 5, toggles: 3, edits: true, ..BASE };
    holds(Bounds { connection_deletions: 2, wipes: 2, ..often });
}

#[test]
#[ignore = "minutes: `make model`"]
fn larger_one_connection_and_two_rules() {
    holds(Bounds { rules: 2, edits: true, late: false, ..BASE });
    holds(Bounds { rules: 2, generations: 2, toggles: 1, late: false, rule_deletions: 1, wipes: 0, ..BASE });
}

#[test]
#[ignore = "minutes: `make model`"]
fn larger_two_connections() {
    holds(Bounds { connections: 2, generations: 4, toggles: 1, ..BASE });
    holds(Bounds { connections: 2, rules: 2, generations: 2, toggles: 1, late: false, ..BASE });
}
