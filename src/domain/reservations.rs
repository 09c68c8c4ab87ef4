//! R8 and §4: which rules have a reservation in a connection, which may get one, and when the connection may be disabled
//! or deleted.
//!
//! Reservations are stored in the connection (`status.activeRules`), so that the check and the change are one atomic
//! write. The identity of a rule is a type parameter: the model checker uses small numbers.

/// The clauses of §4 on which the proof rests. Production keeps them all ([`Clauses::KEPT`]); a test removes each one and
/// shows that the promises no longer hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::struct_excessive_bools)] // The clauses are independent.
pub struct Clauses {
    /// §4.1: Active False → True needs an entry that carries the rule's current generation.
    pub activation_needs_current_entry: bool,
    /// §4.1: an entry's generation never decreases.
    pub generation_never_falls: bool,
    /// §4.1: a rule that changes its connection becomes inactive on the old one first.
    pub move_deactivates_first: bool,
    /// §4.2: a release requires a live read; the cache is not enough.
    pub release_reads_live: bool,
    /// §4.2: a release compares the generation it read with the entry's.
    pub release_compares_generations: bool,
    /// §4.2: a rule that is Active here is never released.
    pub release_spares_active: bool,
    /// §4.2: an entry older than its (inactive) rule is released; otherwise it could block a disable or delete forever.
    pub outdated_entry_is_released: bool,
    /// §4.3: no reservation once a disable or delete is requested.
    pub intent_is_the_fence: bool,
    /// §4.3: active rules stay active, even when their entries are missing from a version of the connection.
    pub rules_in_keep_working: bool,
    /// §4.4, §4.5: Disabled is not written and the finalizer not removed while entries exist.
    pub change_waits_for_entries: bool,
    /// §4.4: the rules are listed live before Disabled is written or the finalizer removed.
    pub change_lists_live: bool,
    /// §4.4: a rule that is Active here without an entry regains it, even behind the fence.
    pub lost_entry_is_restored: bool,
}

impl Clauses {
    /// All clauses, as in production.
    pub const KEPT: Clauses = Clauses {
        activation_needs_current_entry: true,
        generation_never_falls: true,
        move_deactivates_first: true,
        release_reads_live: true,
        release_compares_generations: true,
        release_spares_active: true,
        outdated_entry_is_released: true,
        intent_is_the_fence: true,
        rules_in_keep_working: true,
        change_waits_for_entries: true,
        change_lists_live: true,
        lost_entry_is_restored: true,
    };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reservation<Id> {
    pub rule: Id,
    /// The generation of the rule that it was made for.
    pub generation: i64,
}

/// A rule, as read from the index or a live list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Candidate<Id> {
    pub rule: Id,
    pub generation: i64,
    /// `spec.active`, not being deleted, and `connectionRef` names this connection.
    pub wants: bool,
    /// Whether its `Active` is True on this connection's UID.
    pub active_here: bool,
    /// Whether this connection is known to offer its record type.
    pub offered: bool,
}

/// The connection, in the version whose resourceVersion the write will carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // Four independent facts of the stored object.
pub struct Fence {
    /// Whether it has our finalizer.
    pub finalizer: bool,
    /// Whether a deletionTimestamp is set.
    pub deleting: bool,
    /// `spec.enabled`.
    pub enabled: bool,
    /// Whether link creations through this connection may still be in flight (§4.4).
    pub creations_in_flight: bool,
}

impl Fence {
    /// §4.5: the finalizer is added before any other write.
    pub fn needs_finalizer(self) -> bool {
        !self.finalizer && !self.deleting
    }

    fn open(self) -> bool {
        self.finalizer && !self.deleting && self.enabled
    }

    fn change_requested(self) -> bool {
        self.deleting || !self.enabled
    }
}

/// The content of the connection's next write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReservationDecision<Id> {
    /// The reservations, oldest first.
    pub entries: Vec<Reservation<Id>>,
    /// List the rules live and decide again.
    pub needs_live_list: bool,
    /// Disabled may be written, together with the (empty) entries.
    pub may_disable: bool,
    /// The finalizer may be removed. The stored entries are already empty.
    pub may_remove_finalizer: bool,
    /// Rules that found the list full.
    pub turned_away: Vec<Id>,
}

/// What a reconcile of a connection does next: one write, or a read after which it decides again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// §4.5: before any other write.
    AddFinalizer,
    /// §4.2: list the rules live.
    ListRules,
    /// §4.5: the last write.
    RemoveFinalizer,
    /// Write the entries, if they differ.
    Write,
}

impl<Id> ReservationDecision<Id> {
    /// The order on which the guarantee rests; the model checks it.
    pub fn next(&self, fence: Fence) -> Next {
        if fence.needs_finalizer() {
            Next::AddFinalizer
        } else if self.needs_live_list {
            Next::ListRules
        } else if self.may_remove_finalizer {
            Next::RemoveFinalizer
        } else {
            Next::Write
        }
    }

    /// §4.4: whether to write `state: Disabled`, together with the entries. `stored` is whether it is already Disabled.
    pub fn disables(&self, fence: Fence, stored: bool) -> bool {
        let stays = stored && self.entries.is_empty();
        if fence.deleting { stays } else { !fence.enabled && (self.may_disable || stays) }
    }
}

/// Decides the reservations of one connection.
///
/// `stored` are the entries of the version whose resourceVersion the write will carry; `cached` are the rules in the index;
/// `live`, if present, is a list of *all* rules of the namespace read after that version.
pub fn decide<Id: Clone + PartialEq>(
    clauses: &Clauses,
    fence: Fence,
    stored: &[Reservation<Id>],
    cached: &[Candidate<Id>],
    live: Option<&[Candidate<Id>]>,
    capacity: usize,
) -> ReservationDecision<Id> {
    let mut entries = stored.to_vec();
    let mut turned_away = Vec::new();
    let reads = live.unwrap_or(cached);

    for candidate in reads.iter().filter(|c| c.wants) {
        if !fence.open() && clauses.intent_is_the_fence {
            break;
        }
        let full = entries.len() >= capacity;
        match entries.iter_mut().find(|e| e.rule == candidate.rule) {
            // An existing entry stays, but does not advance to a generation whose record type is not offered.
            _ if !candidate.offered => {}
            Some(entry) => {
                entry.generation = if clauses.generation_never_falls {
                    entry.generation.max(candidate.generation)
                } else {
                    candidate.generation
                };
            }
            None if full => turned_away.push(candidate.rule.clone()),
            None => {
                entries.push(Reservation { rule: candidate.rule.clone(), generation: candidate.generation });
            }
        }
    }

    // A status that was lost or rolled back: an active rule regains its entry, even behind the fence (§4.4).
    let lost = |candidate: &Candidate<Id>, entries: &[Reservation<Id>]| {
        clauses.lost_entry_is_restored
            && candidate.active_here
            && !entries.iter().any(|e| e.rule == candidate.rule)
    };
    for candidate in live.into_iter().flatten() {
        // A full list is safe: no disable or delete completes while entries exist, and once entries are released, the lost
        // one is restored.
        if lost(candidate, &entries) && entries.len() < capacity {
            entries.push(Reservation { rule: candidate.rule.clone(), generation: candidate.generation });
        }
    }

    let releasable = |entry: &Reservation<Id>, reads: &[Candidate<Id>]| {
        let Some(read) = reads.iter().find(|c| c.rule == entry.rule) else { return true };
        releases(clauses, entry.generation, read)
    };
    let some_look_releasable = entries.iter().any(|entry| releasable(entry, cached));
    // Behind the fence, a live list may never be needed otherwise, and the rule would stay Active without effect.
    let some_look_lost = cached.iter().any(|c| c.wants && lost(c, &entries));
    let certain = live.or_else(|| (!clauses.release_reads_live).then_some(cached));
    if let Some(reads) = certain {
        entries.retain(|entry| !releasable(entry, reads));
    }

    let empty = entries.is_empty() || !clauses.change_waits_for_entries;
    let listed = live.is_some() || !clauses.change_lists_live;
    let may_change = fence.change_requested() && empty && listed && !fence.creations_in_flight;
    ReservationDecision {
        needs_live_list: live.is_none()
            && (some_look_lost
                || (some_look_releasable && clauses.release_reads_live)
                || (fence.change_requested() && empty && clauses.change_lists_live)),
        may_disable: may_change && !fence.enabled && !fence.deleting,
        may_remove_finalizer: may_change
            && fence.deleting
            && fence.finalizer
            && (stored.is_empty() || !clauses.change_waits_for_entries),
        entries,
        turned_away,
    }
}

/// §4.2: whether a read of the rule proves that its entry is stale.
fn releases<Id>(clauses: &Clauses, entry_generation: i64, read: &Candidate<Id>) -> bool {
    if read.active_here && clauses.release_spares_active {
        return false;
    }
    let as_new = read.generation >= entry_generation || !clauses.release_compares_generations;
    let newer = read.generation > entry_generation && clauses.outdated_entry_is_released;
    (!read.wants && as_new) || newer
}

/// The connection that a rule names, in any version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamedConnection<Id> {
    pub connection: Id,
    /// The generation in the rule's entry.
    pub entry: Option<i64>,
    /// Whether it is known not to offer the record type of the rule. Of a type whose table has not been read, the status may
    /// have been lost, and an active rule stays active.
    pub not_offered: bool,
}

/// Whether a rule is Active, and on which connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation<Id> {
    Active(Id),
    Inactive,
}

/// Decides a rule's `Active` (§4.1). `wants` is `spec.active` and not being deleted; `active_on` is the connection on which
/// its stored `Active` is True; `named` is the connection in `connectionRef`, if it exists.
pub fn activate<Id: Clone + PartialEq>(
    clauses: &Clauses,
    wants: bool,
    generation: i64,
    active_on: Option<&Id>,
    named: Option<&NamedConnection<Id>>,
) -> Activation<Id> {
    let Some(named) = named.filter(|_| wants) else { return Activation::Inactive };
    match active_on {
        // Even if it is already Active: otherwise it would flap.
        _ if named.not_offered => Activation::Inactive,
        Some(on) if *on == named.connection => {
            if clauses.rules_in_keep_working || named.entry.is_some() {
                Activation::Active(on.clone())
            } else {
                Activation::Inactive
            }
        }
        // The connection changed: become inactive first, so that the old connection releases the rule, then reserve the new
        // one. A rule that stayed Active could use an outdated entry in the new connection.
        Some(_) if clauses.move_deactivates_first => Activation::Inactive,
        on => match named.entry {
            Some(entry) if entry == generation || on.is_some() || !clauses.activation_needs_current_entry => {
                Activation::Active(named.connection.clone())
            }
            _ => Activation::Inactive,
        },
    }
}
