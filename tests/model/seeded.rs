//! Every clause of §4 is needed: without it a property breaks, and the exploration finds how.

use crate::{
    properties::{FENCE, GENERATIONS, I1, I2, I4, KEEP_WORKING, LIVENESS},
    protocol::{Bounds, Protocol, State},
    shell::Kept,
    steps::Action,
    trace,
};
use postlink::domain::reservations::Clauses;
use stateright::{Checker, HasDiscoveries, Model, Path};
use std::collections::BTreeSet;

/// A removed clause, and the properties that break.
struct Seed {
    /// The bug that results without the clause.
    bug: &'static str,
    /// All clauses but that one.
    kept: Kept,
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
/// All objects exist from the start, so no list lacks one.
const KNOWN: Bounds = Bounds { late: false, ..SMALL };

fn without(leave_out: impl Fn(&mut Kept)) -> Kept {
    let mut kept = Kept::ALL;
    leave_out(&mut kept);
    kept
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
        kept: without(|kept| leave_out(&mut kept.clauses)),
        found_by,
        bounds,
    };
    vec![
        seed("entry without generation", &[I1], SMALL, |c| c.activation_needs_current_entry = false),
        seed("generation may go back", &[I1, GENERATIONS], SMALL, |c| c.generation_never_falls = false),
        seed("move that keeps Active", &[I1], MOVES, |c| c.move_deactivates_first = false),
        seed("release on a cached read", &[I1], SMALL, |c| c.release_reads_live = false),
        Seed {
            // The clause that backs it up is removed too: see `redundant_clauses_only_matter_in_pairs`.
            kept: without(|kept| {
                kept.clauses.release_compares_generations = false;
                kept.list_follows_copy = false;
            }),
            ..seed("release without comparing generations", &[I1], KNOWN, |_| {})
        },
        seed("release of an Active rule", &[I1], SMALL, |c| c.release_spares_active = false),
        seed("no release of an outdated entry", &[LIVENESS], SMALL, |c| c.outdated_entry_is_released = false),
        seed("reservation behind the fence", &[FENCE], SMALL, |c| c.intent_is_the_fence = false),
        seed("rules put out by a lost entry", &[KEEP_WORKING], WIPED, |c| c.rules_in_keep_working = false),
        // The store rejects it every time; the case where it does not is a seed of the shell.
        seed("disable or delete in spite of entries", &[LIVENESS], DELETED, |c| {
            c.change_waits_for_entries = false;
        }),
        seed("no live list before Disabled", &[I1], WIPED, |c| c.change_lists_live = false),
        seed("lost entry not restored", &[I1, LIVENESS], WIPED, |c| c.lost_entry_is_restored = false),
    ]
}

/// One for each clause the shell keeps.
fn shell_seeds() -> Vec<Seed> {
    let Kept {
        clauses: _,
        connection_precondition: _,
        rule_precondition: _,
        list_follows_copy: _,
        finalizer_first: _,
        every_pass_releases: _,
        writes_only_changes: _,
        store_rejects_change_with_entries: _,
        activation_ends_with_a_wipe: _,
    } = Kept::ALL;
    let seed = |bug, found_by, bounds, leave_out: fn(&mut Kept)| Seed {
        bug,
        kept: without(leave_out),
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
        // The clause that backs it up is removed too: see `redundant_clauses_only_matter_in_pairs`.
        seed("disable or delete in spite of entries, taken", &[I1], DELETED, |k| {
            k.clauses.change_waits_for_entries = false;
            k.store_rejects_change_with_entries = false;
        }),
        // Not a clause but an assumption: the module `protocol` says why.
        seed("activation on an entry that was wiped", &[I1], WIPED, |k| {
            k.activation_ends_with_a_wipe = false;
        }),
    ]
}

/// The shortest counterexample to that property, if any.
fn counterexample(kept: Kept, bounds: Bounds, property: &'static str) -> Option<Path<State, Action>> {
    let mut shortest: Option<Path<State, Action>> = None;
    loop {
        let mut checker = Protocol { bounds, kept, show_reached: false }
            .checker()
            .finish_when(HasDiscoveries::AllOf([property].into()));
        if let Some(path) = &shortest {
            // The checker counts states, and does not explore any that deep.
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
    let seeds: Vec<Seed> = decision_seeds().into_iter().chain(shell_seeds()).collect();
    let mut lines = Vec::new();
    let mut survivors = Vec::new();
    for seed in &seeds {
        let mut found = Vec::new();
        for property in seed.found_by {
            match counterexample(seed.kept, seed.bounds, property) {
                Some(path) => {
                    found.push(format!("{property} ({} steps)", path.clone().into_actions().len()));
                    println!("{}: {property}\n{}", seed.bug, trace::steps(&path));
                }
                None => survivors.push(format!("{}: {property}", seed.bug)),
            }
        }
        lines.push(format!("{:<45} {}", seed.bug, found.join("; ")));
    }
    println!("{}", lines.join("\n"));
    assert_eq!(survivors, Vec::<String>::new(), "left out, and nothing breaks");
    let bugs: BTreeSet<&str> = seeds.iter().map(|seed| seed.bug).collect();
    assert_eq!((lines.len(), bugs.len()), (12 + 8, 12 + 8), "one line for each clause");
}

/// Some clauses back each other up. Removing one alone breaks nothing; the pairs are seeds above.
#[test]
fn redundant_clauses_only_matter_in_pairs() {
    let nets: [(&str, Bounds, Kept); 4] = [
        (
            "a live list that follows the copy is as new as every entry in it",
            KNOWN,
            without(|kept| kept.clauses.release_compares_generations = false),
        ),
        (
            "an older list is found out by its generations, unless the rule is not in it",
            KNOWN,
            without(|kept| kept.list_follows_copy = false),
        ),
        (
            "the decision itself waits for the entries",
            DELETED,
            without(|kept| kept.store_rejects_change_with_entries = false),
        ),
        (
            "the store takes neither Disabled nor the finalizer's removal while there are entries",
            DELETED,
            without(|kept| kept.clauses.change_waits_for_entries = false),
        ),
    ];
    for (net, bounds, kept) in nets {
        let broken = counterexample(kept, bounds, I1);
        assert!(broken.is_none(), "{net}:\n{}", broken.as_ref().map_or_else(String::new, trace::steps));
    }
}
