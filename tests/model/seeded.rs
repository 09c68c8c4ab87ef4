//! Every clause of §4 is needed: without it a property breaks, and the exploration finds how.

use crate::{
    properties::{FENCE, GENERATIONS, I1, I2, I4, LIVENESS, STAY_ACTIVE},
    protocol::{Bounds, Protocol, State},
    reconcile::ModelClauses,
    steps::Action,
    trace,
};
use postlink::domain::reservations::Clauses;
use stateright::{Checker, HasDiscoveries, Model, Path};
use std::collections::BTreeSet;

/// A clause that is left out, and the properties that then break.
struct Seed {
    /// The bug that results without the clause.
    bug: &'static str,
    /// All clauses but that one.
    clauses: ModelClauses,
    found_by: &'static [&'static str],
    /// The bounds of the exploration.
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
/// All objects exist from the start, so every list has them.
const KNOWN: Bounds = Bounds { late: false, ..SMALL };

fn without(leave_out: impl Fn(&mut ModelClauses)) -> ModelClauses {
    let mut clauses = ModelClauses::ALL;
    leave_out(&mut clauses);
    clauses
}

/// One for each clause of the decisions.
fn decision_seeds() -> Vec<Seed> {
    // A clause that is added without a seed does not compile here.
    let Clauses {
        activation_needs_current_entry: _,
        generation_never_falls: _,
        move_deactivates_first: _,
        release_reads_live: _,
        release_compares_generations: _,
        release_spares_active: _,
        outdated_entry_is_released: _,
        intent_is_the_fence: _,
        rules_in_keep_working: _,
        change_waits_for_entries: _,
        change_lists_live: _,
        lost_entry_is_restored: _,
    } = Clauses::KEPT;
    let seed = |bug, found_by, bounds, leave_out: fn(&mut Clauses)| Seed {
        bug,
        clauses: without(|clauses| leave_out(&mut clauses.decision)),
        found_by,
        bounds,
    };
    vec![
        seed("entry without generation", &[I1], SMALL, |c| c.activation_needs_current_entry = false),
        seed("generation may decrease", &[I1, GENERATIONS], SMALL, |c| c.generation_never_falls = false),
        seed("move that keeps Active", &[I1], MOVES, |c| c.move_deactivates_first = false),
        seed("release on a cached read", &[I1], SMALL, |c| c.release_reads_live = false),
        Seed {
            // The other clause of the pair is left out too: see `redundant_clauses_only_matter_in_pairs`.
            clauses: without(|clauses| {
                clauses.decision.release_compares_generations = false;
                clauses.list_follows_copy = false;
            }),
            ..seed("release without comparing generations", &[I1], KNOWN, |_| {})
        },
        seed("release of an Active rule", &[I1], SMALL, |c| c.release_spares_active = false),
        seed("no release of an outdated entry", &[LIVENESS], SMALL, |c| c.outdated_entry_is_released = false),
        seed("reservation after a request to disable", &[FENCE], SMALL, |c| c.intent_is_the_fence = false),
        seed("rules deactivated by a lost entry", &[STAY_ACTIVE], WIPED, |c| c.rules_in_keep_working = false),
        // The API server rejects every such write; `reconcile_seeds` has the case in which it does not.
        seed("disable or delete in spite of entries", &[LIVENESS], DELETED, |c| {
            c.change_waits_for_entries = false;
        }),
        seed("no live list before Disabled", &[I1], WIPED, |c| c.change_lists_live = false),
        seed("lost entry not restored", &[I1, LIVENESS], WIPED, |c| c.lost_entry_is_restored = false),
    ]
}

/// One for each clause that the reconcile or the API server keeps.
fn reconcile_seeds() -> Vec<Seed> {
    let ModelClauses {
        decision: _,
        connection_precondition: _,
        rule_precondition: _,
        list_follows_copy: _,
        finalizer_first: _,
        every_pass_releases: _,
        writes_only_changes: _,
        store_rejects_change_with_entries: _,
        activation_ends_with_a_wipe: _,
    } = ModelClauses::ALL;
    let seed = |bug, found_by, bounds, leave_out: fn(&mut ModelClauses)| Seed {
        bug,
        clauses: without(leave_out),
        found_by,
        bounds,
    };
    vec![
        seed("connection written without resourceVersion", &[I1], SMALL, |k| {
            k.connection_precondition = false;
        }),
        seed("rule written without resourceVersion", &[I1], SMALL, |k| k.rule_precondition = false),
        seed("live list older than the copy", &[I1], SMALL, |k| k.list_follows_copy = false),
        seed("reservation before the finalizer", &[I1], DELETED, |k| k.finalizer_first = false),
        seed("release only when something waits for it", &[I4], SMALL, |k| k.every_pass_releases = false),
        seed("write without a change", &[I2], SMALL, |k| k.writes_only_changes = false),
        // The other clause of the pair is left out too: see `redundant_clauses_only_matter_in_pairs`.
        seed("disable or delete in spite of entries, accepted", &[I1], DELETED, |k| {
            k.decision.change_waits_for_entries = false;
            k.store_rejects_change_with_entries = false;
        }),
        // An assumption, not a clause; see the module `protocol`.
        seed("activation on an entry that was wiped", &[I1], WIPED, |k| {
            k.activation_ends_with_a_wipe = false;
        }),
    ]
}

/// The shortest counterexample to that property, if any.
fn counterexample(
    clauses: ModelClauses,
    bounds: Bounds,
    property: &'static str,
) -> Option<Path<State, Action>> {
    let mut shortest: Option<Path<State, Action>> = None;
    loop {
        let mut checker = Protocol { bounds, clauses, show_reached: false }
            .checker()
            .finish_when(HasDiscoveries::AllOf([property].into()));
        if let Some(path) = &shortest {
            // `target_max_depth` counts states; paths of this length are not explored.
            checker = checker.target_max_depth(path.clone().into_vec().len());
        }
        match checker.spawn_bfs().join().discovery(property) {
            Some(shorter) => shortest = Some(shorter),
            None => return shortest,
        }
    }
}

#[test]
fn every_clause_is_needed() {
    let seeds: Vec<Seed> = decision_seeds().into_iter().chain(reconcile_seeds()).collect();
    let mut lines = Vec::new();
    let mut survivors = Vec::new();
    for seed in &seeds {
        let mut found = Vec::new();
        for property in seed.found_by {
            match counterexample(seed.clauses, seed.bounds, property) {
                Some(path) => {
                    found.push(format!("{property} ({} steps)", path.clone().into_actions().len()));
                    println!("{}: {property}\n{}", seed.bug, trace::steps(&path));
                }
                None => survivors.push(format!("{}: {property}", seed.bug)),
            }
        }
        lines.push(format!("{:<48} {}", seed.bug, found.join("; ")));
    }
    println!("{}", lines.join("\n"));
    assert_eq!(survivors, Vec::<String>::new(), "left out, and no property breaks");
    let bugs: BTreeSet<&str> = seeds.iter().map(|seed| seed.bug).collect();
    assert_eq!((lines.len(), bugs.len()), (12 + 8, 12 + 8), "one line for each clause");
}

/// Some clauses cover for each other: leaving out one of them breaks nothing. The pairs are seeds above.
#[test]
fn redundant_clauses_only_matter_in_pairs() {
    let pairs: [(&str, Bounds, ModelClauses); 4] = [
        (
            "a live list that follows the copy is as new as every entry in it",
            KNOWN,
            without(|clauses| clauses.decision.release_compares_generations = false),
        ),
        (
            "generations show that a list is too old, unless the rule is not in it",
            KNOWN,
            without(|clauses| clauses.list_follows_copy = false),
        ),
        (
            "the decision itself waits for the entries",
            DELETED,
            without(|clauses| clauses.store_rejects_change_with_entries = false),
        ),
        (
            "the API server rejects Disabled and the removal of the finalizer while there are entries",
            DELETED,
            without(|clauses| clauses.decision.change_waits_for_entries = false),
        ),
    ];
    for (other, bounds, clauses) in pairs {
        let broken = counterexample(clauses, bounds, I1);
        assert!(broken.is_none(), "{other}:\n{}", broken.as_ref().map_or_else(String::new, trace::steps));
    }
}
