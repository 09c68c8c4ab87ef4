//! What a reconcile does around the decisions: which reads it hands in, what it makes of the answer, and what the
//! API server takes. The decisions are those of `domain::reservations`.

use crate::store::{Connection, Rule, SLOTS, Store, UIDS};
use postlink::domain::reservations::{
    Activation, Candidate, Clauses, Fence, NamedConnection, Reservation, activate, decide,
};

/// The clauses of §4: those of the decisions, and those that only the shell can keep or break.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools)] // Independent of one another, like `Clauses` themselves.
pub struct Kept {
    /// Those the decision functions keep.
    pub clauses: Clauses,
    /// §4.1: a connection is written with the resourceVersion of the copy the decision rests on.
    pub connection_precondition: bool,
    /// §4.1: a rule's status is written with the resourceVersion of the copy the decision rests on.
    pub rule_precondition: bool,
    /// §4.2: the live list is taken after the copy of the connection.
    pub list_follows_copy: bool,
    /// §4.5: the finalizer comes before anything else.
    pub finalizer_first: bool,
    /// §4.8: an entry too many is looked for in every pass, not only once a disable or delete waits for it.
    pub every_pass_releases: bool,
    /// §6: a status is only written if it differs.
    pub writes_only_changes: bool,
    /// §4.4 and the guard: while there are entries, the API server itself takes neither Disabled (the root CEL rule
    /// of the CRD) nor the removal of the finalizer (the admission policy).
    pub store_rejects_change_with_entries: bool,
    /// What §4 takes for granted, see [`crate::protocol`]: an activation that was decided on an entry is not
    /// carried out after somebody has wiped that entry from the status.
    pub activation_ends_with_a_wipe: bool,
}

impl Kept {
    /// All of them.
    pub const ALL: Kept = Kept {
        clauses: Clauses::KEPT,
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

/// More than the rules there are: a full connection is no matter of this protocol.
const CAPACITY: usize = UIDS;

/// What a reconcile of a connection writes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Write {
    /// `status.activeRules`.
    pub entries: [u8; UIDS],
    /// `status.state` is Disabled.
    pub disabled: bool,
    /// The finalizer is taken off, and nothing else is written.
    pub lets_go: bool,
    /// It reserves for a rule that was not at work here although the wish to disable or delete was stored in the
    /// very copy it rests on (§4.3). Not part of the write: the property reads it.
    pub lets_in: bool,
}

/// What a reconcile of a connection does next.
pub enum Next {
    /// Lists the rules live.
    List,
    /// Writes.
    Write(Write),
    /// Nothing is to be changed.
    Rest,
}

/// How a connection sees the rules of one read.
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

/// What a connection says about its fence; creations are no matter of this protocol.
fn fence(connection: &Connection, finalizer: bool) -> Fence {
    let Connection { deleting, enabled, .. } = *connection;
    Fence { finalizer, deleting, enabled, creations_in_flight: false }
}

/// One reconcile of a connection: its copy, the rules as the cache or a live list has them.
pub fn look(
    kept: &Kept,
    connection: &Connection,
    cached: &[Rule; SLOTS],
    live: Option<&[Rule; SLOTS]>,
) -> Next {
    if !connection.exists || (!connection.finalizer && (kept.finalizer_first || connection.deleting)) {
        return Next::Rest;
    }
    let fence = fence(connection, connection.finalizer || !kept.finalizer_first);
    let stored: Vec<Reservation<u8>> = (0_u8..)
        .zip(connection.entries)
        .filter(|(_, generation)| *generation > 0)
        .map(|(rule, generation)| Reservation { rule, generation: i64::from(generation) })
        .collect();
    let cached = candidates(connection, cached);
    let live = live.map(|rules| candidates(connection, rules));
    let decision = decide(&kept.clauses, fence, &stored, &cached, live.as_deref(), CAPACITY);
    if decision.needs_live_list {
        let waits = connection.deleting || !connection.enabled;
        return if waits || kept.every_pass_releases { Next::List } else { Next::Rest };
    }

    let mut entries = [0; UIDS];
    for entry in &decision.entries {
        entries[usize::from(entry.rule)] = u8::try_from(entry.generation).expect("generations stay small");
    }
    let disabled = decision.disables(fence, connection.disabled);
    let reads = live.as_ref().unwrap_or(&cached);
    let at_work = |uid: u8| reads.iter().any(|read| read.rule == uid && read.active_here);
    let lets_in = (connection.deleting || !connection.enabled)
        && (0_u8..)
            .zip(entries)
            .any(|(uid, now)| now > 0 && connection.entries[usize::from(uid)] == 0 && !at_work(uid));

    let differs = entries != connection.entries || disabled != connection.disabled;
    if !decision.may_remove_finalizer && !differs && kept.writes_only_changes {
        return Next::Rest;
    }
    Next::Write(Write { entries, disabled, lets_go: decision.may_remove_finalizer, lets_in })
}

/// What the API server makes of that write, or nothing when it turns it away. Preconditions are the caller's.
pub fn written(kept: &Kept, connection: &Connection, write: Write) -> Option<Connection> {
    if !connection.exists {
        return None;
    }
    if write.lets_go {
        if !connection.empty() && kept.store_rejects_change_with_entries {
            return None;
        }
        return Some(if connection.deleting {
            Connection::absent(connection.uid)
        } else {
            Connection { finalizer: false, ..*connection }
        });
    }
    if write.disabled && write.entries != [0; UIDS] && kept.store_rejects_change_with_entries {
        return None;
    }
    Some(Connection { entries: write.entries, disabled: write.disabled, ..*connection })
}

/// The finalizer put on, if that is due.
pub fn with_finalizer(connection: &Connection) -> Option<Connection> {
    let fence = fence(connection, connection.finalizer);
    (connection.exists && fence.needs_finalizer()).then_some(Connection { finalizer: true, ..*connection })
}

/// The connection a rule names, as some copy shows it: its identity, and the generation of the rule's own entry.
pub type Sight = Option<(u8, Option<u8>)>;

/// Where a rule is Active after a reconcile that saw that of its connection.
pub fn activation(kept: &Kept, rule: Rule, sight: Sight) -> Option<u8> {
    let named = sight.map(|(connection, entry)| NamedConnection {
        connection,
        entry: entry.map(i64::from),
        offered: true,
    });
    match activate(
        &kept.clauses,
        rule.active,
        i64::from(rule.generation),
        rule.active_on.as_ref(),
        named.as_ref(),
    ) {
        Activation::Active(on) => Some(on),
        Activation::Inactive => None,
    }
}

/// What a rule sees of its connection with everything fresh.
pub fn sight(store: &Store, rule: Rule) -> Sight {
    let connection = &store.connections[usize::from(rule.names)];
    let entry = Some(connection.entries[usize::from(rule.uid)]).filter(|generation| *generation > 0);
    connection.exists.then_some((connection.uid, entry))
}
