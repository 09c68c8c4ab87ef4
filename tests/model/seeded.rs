//! Every clause of §4 is needed: without any one of them something breaks, and the exploration shows how.

use crate::{
    properties::{FENCE, GENERATIONS, I1, I2, LIVENESS},
    protocol::{Bounds, Protocol},
    shell::Kept,
    trace,
};
use postlink::rules::refusal::Clauses;
use stateright::{Checker, HasDiscoveries, Model};

/// A clause left out, and what that breaks.
struct Seed {
    /// What the code would do without the clause.
    bug: &'static str,
    /// All clauses but that one.
    kept: Kept,
    /// The property that finds it.
    found_by: &'static str,
    /// Where it is looked for.
    bounds: Bounds,
}

const SMALL: Bounds = Bounds {
    rules: 1,
    connections: 1,
    generations: 3,
    late: true,
    toggles: 1,
    edits: false,
    rule_deletions: 0,
    connection_deletions: 0,
    wipes: 0,
};
const MOVES: Bounds = Bounds { connections: 2, ..SMALL };
const WIPED: Bounds = Bounds { wipes: 1, ..SMALL };
const DELETED: Bounds = Bounds { connection_deletions: 1, ..SMALL };

/// One for each clause.
fn seeds() -> Vec<Seed> {
    let without = |bug, found_by, bounds, leave_out: fn(&mut Kept)| {
        let mut kept = Kept::ALL;
        leave_out(&mut kept);
        Seed { bug, kept, found_by, bounds }
    };
    // A clause that is added and not listed below does not compile.
    let Clauses {
        activation_needs_current_entry: _,
        generation_never_falls: _,
        move_deactivates_first: _,
        release_reads_live: _,
        release_compares_generations: _,
        release_spares_active: _,
        outdated_entry_is_released: _,
        intent_is_the_fence: _,
        change_waits_for_entries: _,
        change_lists_live: _,
        lost_entry_is_restored: _,
    } = Clauses::KEPT;
    vec![
        without("entry without generation", I1, SMALL, |k| k.clauses.activation_needs_current_entry = false),
        without("generation may go back", I1, SMALL, |k| k.clauses.generation_never_falls = false),
        without("generation may go back, seen at once", GENERATIONS, SMALL, |k| {
            k.clauses.generation_never_falls = false
        }),
        without("move that keeps Active", I1, MOVES, |k| k.clauses.move_deactivates_first = false),
        without("release on a cached read", I1, SMALL, |k| k.clauses.release_reads_live = false),
        without("release without comparing generations", I1, SMALL, |k| {
            k.clauses.release_compares_generations = false
        }),
        without("release of an Active rule", I1, SMALL, |k| k.clauses.release_spares_active = false),
        without("no release of an outdated entry", LIVENESS, SMALL, |k| {
            k.clauses.outdated_entry_is_released = false
        }),
        without("reservation behind the fence", FENCE, SMALL, |k| k.clauses.intent_is_the_fence = false),
        without("change in spite of entries", I1, DELETED, |k| k.clauses.change_waits_for_entries = false),
        without("no live list before Disabled", I1, WIPED, |k| k.clauses.change_lists_live = false),
        without("lost entry is not restored", I1, WIPED, |k| k.clauses.lost_entry_is_restored = false),
        without("connection written without resourceVersion", I1, SMALL, |k| {
            k.connection_precondition = false
        }),
        without("rule written without resourceVersion", I1, SMALL, |k| k.rule_precondition = false),
        without("live list older than the copy", I1, SMALL, |k| k.list_follows_copy = false),
        without("reservation before the finalizer", I1, DELETED, |k| k.finalizer_first = false),
        without("write without a change", I2, SMALL, |k| k.writes_only_changes = false),
        without("activation after the wipe of its entry", I1, WIPED, |k| {
            k.activation_ends_with_a_wipe = false
        }),
    ]
}

#[test]
fn every_clause_is_needed() {
    let seeds = seeds();
    let mut survivors = Vec::new();
    for seed in &seeds {
        let checker = Protocol { bounds: seed.bounds, kept: seed.kept, show_reached: false }
            .checker()
            .finish_when(HasDiscoveries::AllOf([seed.found_by].into()))
            .timeout(std::time::Duration::from_secs(40))
            .spawn_bfs()
            .join();
        let states = checker.unique_state_count();
        match checker.discovery(seed.found_by) {
            Some(path) => {
                let steps = path.clone().into_actions().len();
                println!("{} | {} | {steps} steps | {states} states", seed.bug, seed.found_by);
                println!("{}", trace::steps(&path));
            }
            None => {
                println!("{} | SURVIVES {} states {:?}", seed.bug, states, checker.discoveries().keys());
                survivors.push(seed.bug);
            }
        }
    }
    assert_eq!(survivors, Vec::<&str>::new());
}
