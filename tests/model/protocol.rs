//! The transition system: user actions, controllers with stale caches, crashes, lost events, and wiped statuses.
//!
//! Between two steps, a controller keeps only cached versions of stored objects. What it can do depends on these
//! versions, and not on which controller has them. The state therefore keeps **every version ever stored**, and a step
//! may use any of them:
//! * A connection's reconcile reads any version of each rule, and a rule's reconcile any version of its connection.
//!   This covers caches that are current, behind, or have lost events.
//! * A write carries a resourceVersion. If it is not the current one, the write fails and changes nothing, so there is
//!   no such step.
//! * A decision based on a live list stays in `pending` until the connection changes, because its resourceVersion is
//!   then outdated. Until then it may be written at any time, or never.
//!
//! This covers any number of controllers, each of which may pause between two steps, or crash and restart with another
//! cache.
//!
//! **Assumption.** The protocol relies on the entries in the status. Suppose that an entry is wiped after a reconcile
//! read it and before that reconcile writes Active to the rule: the connection may be Disabled by then, and no stored
//! object shows that the write is pending. The model therefore excludes such a write
//! ([`ModelClauses::activation_ends_with_a_wipe`]). A rule that is already Active is found by the live list.

use crate::{
    reconcile::{self, ModelClauses, Next, Write},
    steps::Action,
    store::{Connection, Rule, SLOTS, Store, UIDS, slot},
};
use std::fmt;

/// The limits of the exploration: how many objects there are, and how often users change them or a status is lost.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The number of rules.
    pub rules: usize,
    /// The number of connections.
    pub connections: usize,
    /// The highest generation of a rule: its spec is toggled, edited and moved, in any order, up to it.
    pub generations: u8,
    /// Whether rules and connections may also be created after the start.
    pub late: bool,
    /// How often `spec.enabled` of each connection changes.
    pub toggles: u8,
    /// Whether specs of rules are also edited in other ways than toggling or moving them.
    pub edits: bool,
    /// How often each rule may be deleted.
    pub rule_deletions: u8,
    /// How often each connection may be deleted.
    pub connection_deletions: u8,
    /// How often the status of an object is wiped.
    pub wipes: u8,
}

/// The protocol within bounds.
#[derive(Clone, Debug)]
pub struct Protocol {
    /// The limits of the exploration.
    pub bounds: Bounds,
    /// The clauses in force.
    pub clauses: ModelClauses,
    /// Whether to require that interesting states are reached.
    pub show_reached: bool,
}

/// A state: the store, all versions of its objects so far, and the decisions not yet written.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// The objects as the API server stores them.
    pub store: Store,
    /// Every version of each rule, sorted.
    pub seen_rules: [Vec<Rule>; SLOTS],
    /// The generations of each rule's entries in all versions of a connection, as bits; by the UIDs of both.
    pub seen_entries: [[u8; UIDS]; UIDS],
    /// The decisions about each connection that are based on a live list since its last change, sorted.
    pub pending: [Vec<Write>; SLOTS],
    /// The decisions about each rule's status; only without [`ModelClauses::rule_precondition`].
    pub pending_rules: [Vec<Option<u8>>; SLOTS],
    /// Every live list so far; only without [`ModelClauses::list_follows_copy`].
    pub old_lists: Vec<[Rule; SLOTS]>,
    /// How often `spec.enabled` may still change, per connection.
    pub toggles_left: [u8; SLOTS],
    /// How often a status may still be wiped.
    pub wipes_left: u8,
    /// What the steps so far broke: a set of [`Fault`]s.
    pub faults: u8,
}

/// What a single write can break.
#[derive(Clone, Copy)]
pub enum Fault {
    /// The write changed nothing (I2).
    Idle = 1,
    /// An entry's generation decreased (§4.1).
    GenerationDecreased = 2,
    /// A rule was admitted after a request to disable or delete (§4.3).
    AdmittedLate = 4,
    /// A rule, Active on the connection it names, was deactivated by a reconcile that read this connection (§4.3).
    Deactivated = 8,
}

impl Protocol {
    /// New objects, with each rule active or inactive.
    pub fn initial(&self) -> Vec<State> {
        let bounds = &self.bounds;
        let count = u8::try_from(bounds.rules).expect("few");
        let shapes = if bounds.late { 3_u8 } else { 2 };
        let connections_late: &[bool] = if bounds.late { &[false, true] } else { &[false] };
        let mut states = Vec::new();
        for late in connections_late {
            for shape in 0..shapes.pow(u32::from(count)) {
                let rule = |uid: u8| {
                    let names = if usize::from(uid) < bounds.connections { uid } else { 0 };
                    match shape / shapes.pow(u32::from(uid)) % shapes {
                        _ if uid >= count => Rule::absent(uid),
                        2 => Rule { names, ..Rule::absent(uid) },
                        active => Rule { uid, generation: 1, active: active == 1, names, active_on: None },
                    }
                };
                let connection = |uid: u8| {
                    if usize::from(uid) < bounds.connections && !late {
                        Connection::new(uid, true)
                    } else {
                        Connection::absent(uid)
                    }
                };
                states.push(
                    self.fresh(Store {
                        rules: [rule(0), rule(1)],
                        connections: [connection(0), connection(1)],
                    }),
                );
            }
        }
        states
    }

    fn fresh(&self, store: Store) -> State {
        State {
            store,
            seen_rules: store.rules.map(|rule| vec![rule]),
            seen_entries: [[0; UIDS]; UIDS],
            pending: Default::default(),
            pending_rules: Default::default(),
            old_lists: if self.clauses.list_follows_copy { Vec::new() } else { vec![store.rules] },
            toggles_left: [self.bounds.toggles; SLOTS],
            wipes_left: self.bounds.wipes,
            faults: 0,
        }
    }

    /// The state after a step; `None` if the API server rejects it.
    pub fn after(&self, last: &State, action: &Action) -> Option<State> {
        let mut next = last.clone();
        let rules = &mut next.store.rules;
        let connections = &mut next.store.connections;
        match *action {
            Action::ToggleRule(name) => {
                let rule = &mut rules[usize::from(name)];
                *rule = Rule { active: !rule.active, generation: rule.generation + 1, ..*rule };
            }
            Action::EditRule(name) => rules[usize::from(name)].generation += 1,
            Action::MoveRule(name) => {
                let rule = &mut rules[usize::from(name)];
                *rule = Rule { names: 1 - rule.names, generation: rule.generation + 1, ..*rule };
            }
            Action::DeleteRule(name) => {
                let rule = &mut rules[usize::from(name)];
                *rule = Rule { names: rule.names, ..Rule::absent(rule.uid) };
            }
            Action::CreateRule(name) => {
                let rule = &mut rules[usize::from(name)];
                *rule = Rule { uid: rule.uid + 2, generation: 1, active: true, ..*rule };
            }
            Action::ToggleConnection(name) => {
                let at = usize::from(name);
                connections[at].enabled = !connections[at].enabled;
                next.toggles_left[at] -= 1;
            }
            Action::DeleteConnection(name) => {
                let connection = &mut connections[usize::from(name)];
                if connection.finalizer {
                    connection.deleting = true;
                } else {
                    *connection = Connection::absent(connection.uid);
                }
            }
            Action::CreateConnection(name) => {
                let connection = &mut connections[usize::from(name)];
                *connection = Connection::new(connection.uid + 2, true);
            }
            Action::WipeRule(name) => {
                rules[usize::from(name)].active_on = None;
                next.wipes_left -= 1;
            }
            Action::WipeConnection(name) => {
                let connection = &mut connections[usize::from(name)];
                *connection = Connection { entries: [0; UIDS], disabled: false, ..*connection };
                if self.clauses.activation_ends_with_a_wipe {
                    next.seen_entries[usize::from(connection.uid)] = [0; UIDS];
                }
                next.wipes_left -= 1;
            }
            Action::AddFinalizer(name) => connections[usize::from(name)].finalizer = true,
            Action::WriteFromCache(name, _, write) | Action::WriteFromList(name, write) => {
                let connection = &mut connections[usize::from(name)];
                let before = *connection;
                *connection = reconcile::apply_write(&self.clauses, &before, write)?;
                if *connection == before {
                    next.faults |= Fault::Idle as u8;
                }
                let mut entries = before.entries.iter().zip(connection.entries);
                if connection.exists && entries.any(|(before, now)| now > 0 && now < *before) {
                    next.faults |= Fault::GenerationDecreased as u8;
                }
                if write.admits_new_rule {
                    next.faults |= Fault::AdmittedLate as u8;
                }
            }
            Action::WriteRule(name, cached, active_on) => {
                let rule = &mut rules[usize::from(name)];
                let was_active = rule.active_on.filter(|uid| rule.wants(slot(*uid)));
                if was_active.is_some() && active_on.is_none() && was_active == cached.map(|(uid, _)| uid) {
                    next.faults |= Fault::Deactivated as u8;
                }
                rule.active_on = active_on;
            }
            Action::WriteRuleLate(name, active_on) => rules[usize::from(name)].active_on = active_on,
        }
        self.remember(last, &mut next);
        Some(next)
    }

    /// Stores the new versions, and the decisions that are possible with them.
    fn remember(&self, last: &State, next: &mut State) {
        let store = next.store;
        for (seen, rule) in next.seen_rules.iter_mut().zip(store.rules) {
            insert(seen, rule);
        }
        if !self.clauses.list_follows_copy {
            insert(&mut next.old_lists, store.rules);
        }
        for (at, connection) in store.connections.iter().enumerate() {
            if *connection != last.store.connections[at] && self.clauses.connection_precondition {
                next.pending[at].clear();
            }
            for (seen, generation) in
                next.seen_entries[usize::from(connection.uid)].iter_mut().zip(connection.entries)
            {
                *seen |= (1 << generation) & !1;
            }
            let lists = if next.old_lists.is_empty() { &[store.rules][..] } else { &next.old_lists };
            for list in lists {
                if let Next::Write(write) = reconcile::reconcile(&self.clauses, connection, list, Some(list))
                {
                    insert(&mut next.pending[at], write);
                }
            }
            if !self.clauses.connection_precondition {
                let mut writes = Vec::new();
                self.cached_writes(next, at, |_, write| writes.push(write));
                for write in writes {
                    insert(&mut next.pending[at], write);
                }
            }
        }
        if !self.clauses.rule_precondition {
            for rule in store.rules.iter().filter(|rule| rule.exists()) {
                for cached in self.cached_connections(next, *rule) {
                    let active_on = reconcile::activation(&self.clauses, *rule, cached);
                    insert(&mut next.pending_rules[slot(rule.uid)], active_on);
                }
            }
        }
    }
}

/// Inserts an item into a sorted list unless it is in it.
fn insert<T: Ord>(sorted: &mut Vec<T>, item: T) {
    if let Err(at) = sorted.binary_search(&item) {
        sorted.insert(at, item);
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.store)
    }
}
