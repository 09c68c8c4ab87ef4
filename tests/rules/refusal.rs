//! §4: the clauses of the reservation protocol, one by one.

use postlink::domain::reservations::{
    Activation, Candidate, Clauses, Fence, NamedConnection, Reservation, ReservationDecision, activate,
    decide,
};
use rstest::rstest;

const OPEN: Fence = Fence { finalizer: true, deleting: false, enabled: true, creations_in_flight: false };
const DISABLING: Fence = Fence { enabled: false, ..OPEN };
const DELETING: Fence = Fence { deleting: true, ..OPEN };

fn entry(rule: u8, generation: i64) -> Reservation<u8> {
    Reservation { rule, generation }
}

/// A rule that wants this connection and is not Active yet.
fn wants(rule: u8, generation: i64) -> Candidate<u8> {
    Candidate { rule, generation, wants: true, active_here: false, offered: true }
}

fn active(rule: u8, generation: i64) -> Candidate<u8> {
    Candidate { active_here: true, ..wants(rule, generation) }
}

/// It neither wants this connection nor is Active on it.
fn away(rule: u8, generation: i64) -> Candidate<u8> {
    Candidate { wants: false, ..wants(rule, generation) }
}

/// Deactivated, but its status is still Active.
fn stopping(rule: u8, generation: i64) -> Candidate<u8> {
    Candidate { wants: false, ..active(rule, generation) }
}

fn cached(fence: Fence, stored: &[Reservation<u8>], rules: &[Candidate<u8>]) -> ReservationDecision<u8> {
    decide(&Clauses::KEPT, fence, stored, rules, None, 3)
}

fn live(fence: Fence, stored: &[Reservation<u8>], rules: &[Candidate<u8>]) -> ReservationDecision<u8> {
    decide(&Clauses::KEPT, fence, stored, rules, Some(rules), 3)
}

#[test]
fn clause_1_rule_gets_entry_with_its_generation() {
    assert_eq!(cached(OPEN, &[], &[wants(1, 4)]).entries, [entry(1, 4)]);
    assert_eq!(cached(OPEN, &[entry(1, 4)], &[wants(1, 5)]).entries, [entry(1, 5)]);
    assert!(cached(OPEN, &[], &[away(1, 4)]).entries.is_empty());
}

#[test]
fn clause_1_entry_generation_never_decreases() {
    assert_eq!(cached(OPEN, &[entry(1, 5)], &[wants(1, 4)]).entries, [entry(1, 5)]);
    assert_eq!(live(OPEN, &[entry(1, 5)], &[wants(1, 4)]).entries, [entry(1, 5)]);
}

#[test]
fn clause_1_unoffered_record_type_gets_no_entry() {
    let unoffered = Candidate { offered: false, ..wants(1, 4) };
    assert!(cached(OPEN, &[], &[unoffered]).entries.is_empty());
}

#[rstest]
#[case::deleted(&[], true)]
#[case::another_uid(&[wants(2, 9)], true)]
#[case::away_at_the_generation(&[away(1, 3)], true)]
#[case::away_later(&[away(1, 4)], true)]
#[case::away_by_an_old_read(&[away(1, 2)], false)]
#[case::off_but_still_active(&[stopping(1, 4)], false)]
#[case::active(&[active(1, 3)], false)]
#[case::wants_at_the_generation(&[wants(1, 3)], false)]
#[case::wants_by_an_old_read(&[wants(1, 2)], false)]
#[case::outdated(&[wants(1, 4)], true)]
fn clause_2_release_needs_a_live_list(#[case] read: &[Candidate<u8>], #[case] released: bool) {
    // After a request to disable, no entry is updated: it stays at generation 3.
    let decision = live(DISABLING, &[entry(1, 3)], read);
    assert_eq!(decision.entries.is_empty(), released);
    assert_eq!(decision.may_disable, released);
    // The index alone releases nothing; it only leads to a live list.
    let guess = cached(DISABLING, &[entry(1, 3)], read);
    assert_eq!(guess.entries, [entry(1, 3)]);
    assert_eq!(guess.needs_live_list, released);
    assert!(!guess.may_disable);
}

#[test]
fn clause_2_live_read_overrides_the_index() {
    let decision = decide(&Clauses::KEPT, DISABLING, &[entry(1, 3)], &[away(1, 4)], Some(&[active(1, 3)]), 3);
    assert_eq!(decision.entries, [entry(1, 3)]);
}

#[rstest]
#[case::no_finalizer(Fence { finalizer: false, ..OPEN })]
#[case::deleting(DELETING)]
#[case::disabling(DISABLING)]
fn clause_3_disable_or_delete_admits_no_rule(#[case] fence: Fence) {
    assert!(live(fence, &[], &[wants(1, 1)]).entries.is_empty(), "no new rule is admitted");
    let kept = live(fence, &[entry(2, 1)], &[wants(1, 1), active(2, 1)]);
    assert_eq!(kept.entries, [entry(2, 1)], "admitted rules stay");
    let edited = live(fence, &[entry(2, 1)], &[active(2, 5)]);
    assert_eq!(edited.entries, [entry(2, 1)], "and keep their old entries");
}

#[test]
fn clause_4_conditions_for_writing_disabled() {
    assert!(live(DISABLING, &[], &[]).may_disable);
    assert!(!cached(DISABLING, &[], &[]).may_disable);
    assert!(cached(DISABLING, &[], &[]).needs_live_list);
    assert!(!live(Fence { creations_in_flight: true, ..DISABLING }, &[], &[]).may_disable);
    assert!(!live(DISABLING, &[entry(1, 1)], &[active(1, 1)]).may_disable);
    assert!(!live(OPEN, &[], &[]).may_disable);
    assert!(!live(DELETING, &[], &[]).may_disable);
    // Disabled and the empty list are one write.
    let together = live(DISABLING, &[entry(1, 1)], &[]);
    assert!(together.may_disable && together.entries.is_empty());
}

#[test]
fn clause_4_active_rule_regains_its_lost_entry() {
    for fence in [OPEN, DISABLING, DELETING] {
        for rule in [active(1, 7), stopping(1, 7)] {
            let decision = live(fence, &[], &[rule]);
            assert_eq!(decision.entries, [entry(1, 7)]);
            assert!(!decision.may_disable && !decision.may_remove_finalizer);
        }
    }
}

#[test]
fn clause_5_finalizer_stays_until_list_is_empty() {
    assert!(live(DELETING, &[], &[]).may_remove_finalizer);
    assert!(!cached(DELETING, &[], &[]).may_remove_finalizer);
    assert!(!live(DELETING, &[entry(1, 1)], &[]).may_remove_finalizer, "the empty list is stored first");
    assert!(!live(DELETING, &[entry(1, 1)], &[active(1, 1)]).may_remove_finalizer);
    assert!(!live(Fence { creations_in_flight: true, ..DELETING }, &[], &[]).may_remove_finalizer);
    assert!(!live(Fence { finalizer: false, ..DELETING }, &[], &[]).may_remove_finalizer);
    assert!(!live(OPEN, &[], &[]).may_remove_finalizer && !live(DISABLING, &[], &[]).may_remove_finalizer);
    assert!(live(Fence { enabled: false, ..DELETING }, &[], &[]).may_remove_finalizer);
}

#[test]
fn full_list_rejects_only_new_rules() {
    let full = [entry(1, 1), entry(2, 1), entry(3, 1)];
    let decision = cached(OPEN, &full, &[wants(4, 1), wants(2, 9)]);
    assert_eq!(decision.turned_away, [4]);
    assert_eq!(decision.entries[1], entry(2, 9));
}

const AT_A: u8 = 10;
const AT_B: u8 = 20;

fn named(connection: u8, entry: Option<i64>) -> NamedConnection<u8> {
    NamedConnection { connection, entry, not_offered: false }
}

#[rstest]
#[case::current_entry(true, None, Some(named(AT_A, Some(3))), Activation::Active(AT_A))]
#[case::old_entry(true, None, Some(named(AT_A, Some(2))), Activation::Inactive)]
#[case::newer_entry(true, None, Some(named(AT_A, Some(4))), Activation::Inactive)]
#[case::no_entry(true, None, Some(named(AT_A, None)), Activation::Inactive)]
#[case::not_wanted(false, Some(AT_A), Some(named(AT_A, Some(3))), Activation::Inactive)]
#[case::no_connection(true, Some(AT_A), None, Activation::Inactive)]
#[case::stays_active(true, Some(AT_A), Some(named(AT_A, Some(1))), Activation::Active(AT_A))]
#[case::stays_active_without_entry(true, Some(AT_A), Some(named(AT_A, None)), Activation::Active(AT_A))]
#[case::type_not_offered(true, Some(AT_A),
    Some(NamedConnection { not_offered: true, ..named(AT_A, Some(3)) }), Activation::Inactive)]
#[case::type_no_longer_offered(true, None,
    Some(NamedConnection { not_offered: true, ..named(AT_A, Some(3)) }), Activation::Inactive)]
#[case::moves(true, Some(AT_B), Some(named(AT_A, Some(3))), Activation::Inactive)]
fn clause_1_active(
    #[case] wants: bool,
    #[case] active_on: Option<u8>,
    #[case] named: Option<NamedConnection<u8>>,
    #[case] expected: Activation<u8>,
) {
    assert_eq!(activate(&Clauses::KEPT, wants, 3, active_on.as_ref(), named.as_ref()), expected);
}

fn run(
    clauses: &Clauses,
    fence: Fence,
    stored: &[Reservation<u8>],
    cached: &[Candidate<u8>],
    live: Option<&[Candidate<u8>]>,
) -> ReservationDecision<u8> {
    decide(clauses, fence, stored, cached, live, 3)
}

/// §4: without one of its clauses, a decision makes the change that this clause prevents.
#[test]
fn every_clause_left_out_changes_a_decision() {
    let without = |change: fn(&mut Clauses)| {
        let mut clauses = Clauses::KEPT;
        change(&mut clauses);
        clauses
    };
    let in_spite = without(|c| c.change_waits_for_entries = false);
    assert!(run(&in_spite, DISABLING, &[entry(1, 1)], &[], Some(&[active(1, 1)])).may_disable);
    let no_list = without(|c| c.change_lists_live = false);
    assert!(run(&no_list, DISABLING, &[], &[], None).may_disable);
    let falls = without(|c| c.generation_never_falls = false);
    assert_eq!(run(&falls, OPEN, &[entry(1, 3)], &[wants(1, 1)], None).entries, [entry(1, 1)]);
    let no_compare = without(|c| c.release_compares_generations = false);
    assert!(run(&no_compare, DISABLING, &[entry(1, 3)], &[], Some(&[away(1, 2)])).entries.is_empty());
    let outdated = without(|c| c.outdated_entry_is_released = false);
    assert_eq!(run(&outdated, DISABLING, &[entry(1, 1)], &[], Some(&[wants(1, 2)])).entries, [entry(1, 1)]);
    let from_cache = without(|c| c.release_reads_live = false);
    assert!(run(&from_cache, OPEN, &[entry(1, 1)], &[away(1, 1)], None).entries.is_empty());
    let no_spare = without(|c| c.release_spares_active = false);
    assert!(run(&no_spare, DISABLING, &[entry(1, 1)], &[], Some(&[stopping(1, 1)])).entries.is_empty());
    let no_fence = without(|c| c.intent_is_the_fence = false);
    assert_eq!(run(&no_fence, DISABLING, &[], &[], Some(&[wants(1, 1)])).entries, [entry(1, 1)]);
    let keeps = without(|c| c.move_deactivates_first = false);
    let moved = activate(&keeps, true, 3, Some(&AT_B), Some(&named(AT_A, Some(3))));
    assert_eq!(moved, Activation::Active(AT_A));
    let any = without(|c| c.activation_needs_current_entry = false);
    assert_eq!(activate(&any, true, 3, None, Some(&named(AT_A, Some(1)))), Activation::Active(AT_A));
}
