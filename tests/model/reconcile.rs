//! A reconcile in the model: what it passes to the decisions of `domain::reservations`, what it does with the result,
//! and which writes the API server accepts.

use crate::store::{Connection, Rule, SLOTS, Store, UIDS};
use postlink::domain::reservations::{
    self, Activation, Candidate, Clauses, Fence, NamedConnection, Reservation, activate, decide,
};

/// The clauses of §4 in force: those of the decisions, and those that the reconcile or the API server keeps.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "the clauses are independent")]
pub struct ModelClauses {
    /// Those of the decision functions.
    pub decision: Clauses,
    /// §4.1: a connection is written with the resourceVersion of the copy the decision rests on.
    pub connection_precondition: bool,
    /// §4.1: a rule's status is written with the resourceVersion of the copy the decision rests on.
    pub rule_precondition: bool,
    /// §4.2: the live list is taken after the copy of the connection.
    pub list_follows_copy: bool,
    /// §4.5: the finalizer comes before anything else.
    pub finalizer_first: bool,
    /// §4.8: every reconcile releases stale entries, not only one with a request to disable or delete.
    pub every_pass_releases: bool,
    /// §6: a status is written only if it differs.
    pub writes_only_changes: bool,
    /// §4.4: while there are entries, the API server rejects Disabled (the root CEL rule of the CRD) and the removal
    /// of the finalizer (the admission policy).
    pub store_rejects_change_with_entries: bool,
    /// An assumption of §4, see [`crate::protocol`]: an activation decided on an entry is not written after that
    /// entry was wiped from the status.
    pub activation_ends_with_a_wipe: bool,
}

impl ModelClauses {
    /// All clauses are in force.
    pub const ALL: ModelClauses = ModelClauses {
        decision: Clauses::KEPT,
        connection_precondition: true,
        rule_precondition: true,
        list_follows_copy: true,
        finalizer_first: true,
        every_pass_releases: true,
        writes_only_changes: true,
        store_rejects_change_with_entries: true,
        activation_ends_with_a_wipe: true,
    };
}

/// Enough for all rules: a full connection is not part of this model.
const CAPACITY: usize = UIDS;

/// What a reconcile of a connection writes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Write {
    /// `status.activeRules`.
    pub entries: [u8; UIDS],
    /// `status.state` is Disabled.
    pub disabled: bool,
    /// The finalizer is removed, and nothing else is written.
    pub removes_finalizer: bool,
    /// An entry is added for a rule that is not Active here, although the connection that was read has a request to
    /// disable or delete (§4.3). Not part of the write; the property reads it.
    pub admits_new_rule: bool,
}

/// What a reconcile of a connection does next.
pub enum Next {
    /// Lists the rules live, then decides again.
    ListRules,
    /// Writes the status or removes the finalizer.
    Write(Write),
    /// Changes nothing.
    Wait,
}

/// The rules of one read as candidates for the connection.
fn candidates(connection: &Connection, rules: &[Rule]) -> Vec<Candidate<u8>> {
    rules
        .iter()
        .filter(|rule| rule.exists())
        .map(|rule| Candidate {
            rule: rule.uid,
            generation: i64::from(rule.generation),
            wants: rule.wants(crate::store::slot(connection.uid)),
            active_here: rule.active_on == Some(connection.uid),
            offered: true,
        })
        .collect()
}

/// The connection's requests to disable or delete; creations are not part of this model.
fn fence(connection: &Connection, finalizer: bool) -> Fence {
    let Connection { deleting, enabled, .. } = *connection;
    Fence { finalizer, deleting, enabled, creations_in_flight: false }
}

/// One reconcile of a connection, with the rules from the cache and from a live list, if there is one.
pub fn reconcile(
    clauses: &ModelClauses,
    connection: &Connection,
    cached: &[Rule; SLOTS],
    live: Option<&[Rule; SLOTS]>,
) -> Next {
    if !connection.exists || (!connection.finalizer && connection.deleting) {
        return Next::Wait;
    }
    let fence = fence(connection, connection.finalizer || !clauses.finalizer_first);
    let stored: Vec<Reservation<u8>> = (0_u8..)
        .zip(connection.entries)
        .filter(|(_, generation)| *generation > 0)
        .map(|(rule, generation)| Reservation { rule, generation: i64::from(generation) })
        .collect();
    let cached = candidates(connection, cached);
    let live = live.map(|rules| candidates(connection, rules));
    let decision = decide(&clauses.decision, fence, &stored, &cached, live.as_deref(), CAPACITY);
    let removes_finalizer = match decision.next(fence) {
        // A step of its own, see `with_finalizer`.
        reservations::Next::AddFinalizer => return Next::Wait,
        reservations::Next::ListRules => {
            let requested = connection.deleting || !connection.enabled;
            return if requested || clauses.every_pass_releases { Next::ListRules } else { Next::Wait };
        }
        reservations::Next::RemoveFinalizer => true,
        reservations::Next::Write => false,
    };

    let mut entries = [0; UIDS];
    for entry in &decision.entries {
        entries[usize::from(entry.rule)] = u8::try_from(entry.generation).expect("generations stay small");
    }
    let disabled = decision.disables(fence, connection.disabled);
    let reads = live.as_ref().unwrap_or(&cached);
    let active_here = |uid: u8| reads.iter().any(|read| read.rule == uid && read.active_here);
    let admits_new_rule = (connection.deleting || !connection.enabled)
        && (0_u8..)
            .zip(entries)
            .any(|(uid, now)| now > 0 && connection.entries[usize::from(uid)] == 0 && !active_here(uid));

    let differs = entries != connection.entries || disabled != connection.disabled;
    if !removes_finalizer && !differs && clauses.writes_only_changes {
        return Next::Wait;
    }
    Next::Write(Write { entries, disabled, removes_finalizer, admits_new_rule })
}

/// The connection after the write, or `None` if the API server rejects it. The caller checks preconditions.
pub fn apply_write(clauses: &ModelClauses, connection: &Connection, write: Write) -> Option<Connection> {
    if !connection.exists {
        return None;
    }
    if write.removes_finalizer {
        if !connection.empty() && clauses.store_rejects_change_with_entries {
            return None;
        }
        return Some(if connection.deleting {
            Connection::absent(connection.uid)
        } else {
            Connection { finalizer: false, ..*connection }
        });
    }
    if write.disabled && write.entries != [0; UIDS] && clauses.store_rejects_change_with_entries {
        return None;
    }
    Some(Connection { entries: write.entries, disabled: write.disabled, ..*connection })
}

/// The connection with the finalizer added; `None` if it needs none.
pub fn with_finalizer(connection: &Connection) -> Option<Connection> {
    let fence = fence(connection, connection.finalizer);
    (connection.exists && fence.needs_finalizer()).then_some(Connection { finalizer: true, ..*connection })
}

/// The connection that a rule names, as read from a cache: its UID, and the generation of the rule's own entry.
pub type CachedConnection = Option<(u8, Option<u8>)>;

/// The connection a rule is Active on after a reconcile that read this of its connection.
pub fn activation(clauses: &ModelClauses, rule: Rule, cached: CachedConnection) -> Option<u8> {
    let named = cached.map(|(connection, entry)| NamedConnection {
        connection,
        entry: entry.map(i64::from),
        not_offered: false,
    });
    match activate(
        &clauses.decision,
        rule.active,
        i64::from(rule.generation),
        rule.active_on.as_ref(),
        named.as_ref(),
    ) {
        Activation::Active(on) => Some(on),
        Activation::Inactive => None,
    }
}

/// The stored connection that a rule names: what a cache that is up to date returns.
pub fn named_connection(store: &Store, rule: Rule) -> CachedConnection {
    let connection = &store.connections[usize::from(rule.names)];
    let entry = Some(connection.entries[usize::from(rule.uid)]).filter(|generation| *generation > 0);
    connection.exists.then_some((connection.uid, entry))
}
