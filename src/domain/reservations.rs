//! R8 and §4: which rules hold a connection, which may reserve it, and when it may be disabled or deleted.
//!
//! The truth lives in the connection itself (`status.activeRules`), so that the check and the change are one
//! atomic write. Identities are a type parameter: the model checker explores these functions with small numbers.

/// The clauses of §4 the proof rests on. Production keeps them all ([`Clauses::KEPT`]); a test takes them away one
/// by one and shows what breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::struct_excessive_bools)] // They are independent of one another; an enum would say otherwise.
pub struct Clauses {
    /// §4.1: Active False → True needs an entry that carries the rule's current generation.
    pub activation_needs_current_entry: bool,
    /// §4.1: an entry's generation never goes back.
    pub generation_never_falls: bool,
    /// §4.1: a rule that moves is made inactive at the old connection first.
    pub move_deactivates_first: bool,
    /// §4.2: a release rests on a live read, never on a cache.
    pub release_reads_live: bool,
    /// §4.2: a release compares the generation it read with the entry's.
    pub release_compares_generations: bool,
    /// §4.2: a rule that is Active here is never released.
    pub release_spares_active: bool,
    /// §4.2: an entry older than its (inactive) rule is released, or a fenced hold could last for ever.
    pub outdated_entry_is_released: bool,
    /// §4.3: no reservation once the wish to disable or delete is stored.
    pub intent_is_the_fence: bool,
    /// §4.3: the rules already in keep working, also when a copy shows a connection that has lost their entries.
    pub rules_in_keep_working: bool,
    /// §4.4, §4.5: neither Disabled nor the finalizer's removal while entries are there.
    pub change_waits_for_entries: bool,
    /// §4.4: the rules are listed live before Disabled is written or the finalizer removed.
    pub change_lists_live: bool,
    /// §4.4: a rule that is Active here without an entry gets it back, fence or not.
    pub lost_entry_is_restored: bool,
}

impl Clauses {
    /// All of them: what production runs.
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

/// One reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reservation<Id> {
    /// The rule.
    pub rule: Id,
    /// The rule's generation it was made for.
    pub generation: i64,
}

/// One rule, as one read showed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Candidate<Id> {
    /// The rule.
    pub rule: Id,
    /// Its generation at that read.
    pub generation: i64,
    /// Whether it wanted this connection: `spec.active`, not being deleted, and `connectionRef` names it.
    pub wants: bool,
    /// Whether its `Active` was True on this connection's UID.
    pub active_here: bool,
    /// Whether this connection offers the record type it names.
    pub offered: bool,
}

/// The connection, as the copy says that the write will carry the resourceVersion of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // Four facts of the stored object, each independent.
pub struct Fence {
    /// Our finalizer is on.
    pub finalizer: bool,
    /// A deletionTimestamp is set.
    pub deleting: bool,
    /// `spec.enabled`.
    pub enabled: bool,
    /// Link creations through this connection may still be under way (§4.4).
    pub creations_in_flight: bool,
}

impl Fence {
    /// §4.5: the finalizer is put on before anything else.
    pub fn needs_finalizer(self) -> bool {
        !self.finalizer && !self.deleting
    }

    fn open(self) -> bool {
        self.finalizer && !self.deleting && self.enabled
    }

    fn change_wanted(self) -> bool {
        self.deleting || !self.enabled
    }
}

/// What the connection's next write says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReservationDecision<Id> {
    /// The reservations, in the order they came.
    pub entries: Vec<Reservation<Id>>,
    /// Nothing is certain before the rules have been listed live: do it and decide again.
    pub needs_live_list: bool,
    /// Disabled may be written, together with the (empty) entries.
    pub may_disable: bool,
    /// The finalizer may be removed. The stored entries are empty already.
    pub may_remove_finalizer: bool,
    /// Rules that wanted in when the list was full.
    pub turned_away: Vec<Id>,
}

impl<Id> ReservationDecision<Id> {
    /// §4.4: whether `state: Disabled` is written, together with the entries. `stored` = it is Disabled already.
    pub fn disables(&self, fence: Fence, stored: bool) -> bool {
        let stays = stored && self.entries.is_empty();
        if fence.deleting { stays } else { !fence.enabled && (self.may_disable || stays) }
    }
}

/// Decides the reservations of one connection.
///
/// `stored` are the entries of the copy the write will carry the resourceVersion of; `cached` are the rules as
/// the index has them; `live`, when given, is a list of *all* rules of the namespace read after that copy.
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
            // Who stands here keeps the place it has; a generation that names another table is not taken in.
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

    // A status that was lost or rolled back: the rule works, so it holds, fence or not (§4.4).
    let lost = |candidate: &Candidate<Id>, entries: &[Reservation<Id>]| {
        clauses.lost_entry_is_restored
            && candidate.active_here
            && !entries.iter().any(|e| e.rule == candidate.rule)
    };
    for candidate in live.into_iter().flatten() {
        // One that finds no place does no harm: neither Disabled nor the finalizer's removal is written while any
        // entry is there, and by the time none is, there is a place.
        if lost(candidate, &entries) && entries.len() < capacity {
            entries.push(Reservation { rule: candidate.rule.clone(), generation: candidate.generation });
        }
    }

    let releasable = |entry: &Reservation<Id>, reads: &[Candidate<Id>]| {
        let Some(read) = reads.iter().find(|c| c.rule == entry.rule) else { return true };
        releases(clauses, entry.generation, read)
    };
    let some_look_releasable = entries.iter().any(|entry| releasable(entry, cached));
    // While others hold the fence, nothing else would ever look: the rule would stay Active without any effect.
    let some_look_lost = cached.iter().any(|c| c.wants && lost(c, &entries));
    let certain = live.or_else(|| (!clauses.release_reads_live).then_some(cached));
    if let Some(reads) = certain {
        entries.retain(|entry| !releasable(entry, reads));
    }

    let empty = entries.is_empty() || !clauses.change_waits_for_entries;
    let listed = live.is_some() || !clauses.change_lists_live;
    let may_change = fence.change_wanted() && empty && listed && !fence.creations_in_flight;
    ReservationDecision {
        needs_live_list: live.is_none()
            && (some_look_lost
                || (some_look_releasable && clauses.release_reads_live)
                || (fence.change_wanted() && empty && clauses.change_lists_live)),
        may_disable: may_change && !fence.enabled && !fence.deleting,
        may_remove_finalizer: may_change
            && fence.deleting
            && fence.finalizer
            && (stored.is_empty() || !clauses.change_waits_for_entries),
        entries,
        turned_away,
    }
}

/// §4.2: whether a read of the rule proves its entry stale.
fn releases<Id>(clauses: &Clauses, entry_generation: i64, read: &Candidate<Id>) -> bool {
    if read.active_here && clauses.release_spares_active {
        return false;
    }
    let as_new = read.generation >= entry_generation || !clauses.release_compares_generations;
    let newer = read.generation > entry_generation && clauses.outdated_entry_is_released;
    (!read.wants && as_new) || newer
}

/// What a rule knows of the connection it names, from whatever copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamedConnection<Id> {
    /// The connection.
    pub connection: Id,
    /// The generation of the rule's own entry in it.
    pub entry: Option<i64>,
    /// Whether it offers the record type the rule names now.
    pub offered: bool,
}

/// Whether a rule is Active after this decision, and on which connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation<Id> {
    /// Active is True on that connection.
    Active(Id),
    /// Not asked to be, or not yet possible; it says so and lets go.
    Inactive,
}

/// Decides a rule's `Active` (§4.1). `wants` = `spec.active` and not being deleted; `active_on` = the connection
/// its stored `Active` is True on; `named` = the connection of the name in `connectionRef`, if there is one.
pub fn activate<Id: Clone + PartialEq>(
    clauses: &Clauses,
    wants: bool,
    generation: i64,
    active_on: Option<&Id>,
    named: Option<&NamedConnection<Id>>,
) -> Activation<Id> {
    let Some(named) = named.filter(|_| wants) else { return Activation::Inactive };
    match active_on {
        // Whether it is Active already or not: else it would be switched on and off for ever.
        _ if !named.offered => Activation::Inactive,
        Some(on) if *on == named.connection => {
            if clauses.rules_in_keep_working || named.entry.is_some() {
                Activation::Active(on.clone())
            } else {
                Activation::Inactive
            }
        }
        // It moves: inactive at the old connection first, so that the old one may let it go, and then it reserves
        // anew. One that stayed Active would go on with whatever entry the new one still has of it.
        Some(_) if clauses.move_deactivates_first => Activation::Inactive,
        on => match named.entry {
            Some(entry) if entry == generation || on.is_some() || !clauses.activation_needs_current_entry => {
                Activation::Active(named.connection.clone())
            }
            _ => Activation::Inactive,
        },
    }
}
