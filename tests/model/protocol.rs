//! The transition system: a user, controllers with stale views, crashes, lost messages, a status that is wiped.
//!
//! Controllers keep nothing between two steps but copies of what was once stored, so what they can do depends on
//! which copies exist, not on whose they are. The state therefore keeps **every version there ever was** instead of
//! one copy per controller, and a step may rest on any of them:
//! * a rule's copy in a connection's reconcile, and a connection's copy in a rule's, is any version ever stored,
//!   each object's on its own: a cache that is fresh, late, or has lost any messages;
//! * the copy that a write carries the resourceVersion of is the stored one, or the write fails: then nothing
//!   happened, so such steps are left out;
//! * what a live list made a controller decide is kept (`pending`) until the connection changes, which is when its
//!   resourceVersion fails. It may be sent at any time till then, and it may never be sent.
//!
//! That is what two controllers can do, or twenty: each stopped at any point and going on later, or crashed there
//! (a step is never made) and started anew (its next step rests on other copies). A cache that is refreshed object
//! by object is a choice of later versions. Whatever holds here holds for two.
//!
//! **What is taken for granted.** A status that is wiped takes away the truth the protocol rests on. A rule that
//! was about to become Active on an entry that the wipe took away would become so on a connection that may be
//! disabled by then: nothing is left in the store that could tell. So here nobody sends such an activation after
//! the wipe ([`Kept::activation_ends_with_a_wipe`]); rules that *are* Active are found again by the live list.

use crate::{
    shell::{self, Kept, Next, Write},
    steps::Action,
    store::{Connection, Rule, SLOTS, Store, UIDS, slot},
};
use std::fmt;

/// How far the user and misfortune go. Everything is exhausted up to here.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Rules.
    pub rules: usize,
    /// Connections.
    pub connections: usize,
    /// A rule's spec changes until it has this generation: toggles, edits, moves, in any order.
    pub generations: u8,
    /// Whether rules and connections may also be created only later.
    pub late: bool,
    /// How often `spec.enabled` of each connection changes.
    pub toggles: u8,
    /// Whether specs of rules are also edited without switching or moving them.
    pub edits: bool,
    /// How many incarnations of a rule may be deleted.
    pub rule_deletions: u8,
    /// How many incarnations of a connection may be deleted.
    pub connection_deletions: u8,
    /// How often somebody wipes a status, of whichever object.
    pub wipes: u8,
}

/// The protocol within bounds.
#[derive(Clone, Debug)]
pub struct Protocol {
    /// How far it goes.
    pub bounds: Bounds,
    /// The clauses kept.
    pub kept: Kept,
    /// Also demand that the interesting states are reached at all.
    pub show_reached: bool,
}

/// A state: the store, the versions there were, and what is decided and not yet sent.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// What the API server holds.
    pub store: Store,
    /// Per rule every version there ever was, sorted.
    pub seen_rules: [Vec<Rule>; SLOTS],
    /// By the connection's and the rule's identity the generations that some version had an entry for, as bits.
    pub seen_entries: [[u8; UIDS]; UIDS],
    /// Per connection what a live list taken since its last change made a controller decide, sorted.
    pub pending: [Vec<Write>; SLOTS],
    /// Per rule what was decided for its status; only without [`Kept::rule_precondition`].
    pub pending_rules: [Vec<Option<u8>>; SLOTS],
    /// Every live list there ever was; only without [`Kept::list_follows_copy`].
    pub old_lists: Vec<[Rule; SLOTS]>,
    /// How often `spec.enabled` may still change, per connection.
    pub toggles_left: [u8; SLOTS],
    /// How often a status may still be wiped.
    pub wipes_left: u8,
    /// What the last steps broke: a set of [`Fault`]s.
    pub faults: u8,
}

/// What a single write can break.
#[derive(Clone, Copy)]
pub enum Fault {
    /// It wrote what was there (I2).
    Idle = 1,
    /// An entry's generation went back (§4.1).
    GenerationFell = 2,
    /// A rule was let in after the wish to disable or delete was stored (§4.3).
    LetIn = 4,
    /// A rule at work, which wants its connection, was made inactive by somebody who saw that connection (§4.3).
    PutOut = 8,
}

impl Protocol {
    /// Everything freshly created, rules on and off.
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
            old_lists: if self.kept.list_follows_copy { Vec::new() } else { vec![store.rules] },
            toggles_left: [self.bounds.toggles; SLOTS],
            wipes_left: self.bounds.wipes,
            faults: 0,
        }
    }

    /// The state after that step, or nothing if the API server turned it away.
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
                if self.kept.activation_ends_with_a_wipe {
                    next.seen_entries[usize::from(connection.uid)] = [0; UIDS];
                }
                next.wipes_left -= 1;
            }
            Action::AddFinalizer(name) => connections[usize::from(name)].finalizer = true,
            Action::WriteFromCache(name, _, write) | Action::WriteFromList(name, write) => {
                let connection = &mut connections[usize::from(name)];
                let before = *connection;
                *connection = shell::written(&self.kept, &before, write)?;
                if *connection == before {
                    next.faults |= Fault::Idle as u8;
                }
                let mut entries = before.entries.iter().zip(connection.entries);
                if connection.exists && entries.any(|(before, now)| now > 0 && now < *before) {
                    next.faults |= Fault::GenerationFell as u8;
                }
                if write.lets_in {
                    next.faults |= Fault::LetIn as u8;
                }
            }
            Action::WriteRule(name, sight, active_on) => {
                let rule = &mut rules[usize::from(name)];
                let stood = rule.active_on.filter(|uid| rule.wants(slot(*uid)));
                if stood.is_some() && active_on.is_none() && stood == sight.map(|(uid, _)| uid) {
                    next.faults |= Fault::PutOut as u8;
                }
                rule.active_on = active_on;
            }
            Action::WriteRuleLate(name, active_on) => rules[usize::from(name)].active_on = active_on,
        }
        self.remember(last, &mut next);
        Some(next)
    }

    /// Keeps the versions that were written and what could be decided on them.
    fn remember(&self, last: &State, next: &mut State) {
        let store = next.store;
        for (seen, rule) in next.seen_rules.iter_mut().zip(store.rules) {
            insert(seen, rule);
        }
        if !self.kept.list_follows_copy {
            insert(&mut next.old_lists, store.rules);
        }
        for (at, connection) in store.connections.iter().enumerate() {
            if *connection != last.store.connections[at] && self.kept.connection_precondition {
                next.pending[at].clear();
            }
            for (seen, generation) in
                next.seen_entries[usize::from(connection.uid)].iter_mut().zip(connection.entries)
            {
                *seen |= (1 << generation) & !1;
            }
            let lists = if next.old_lists.is_empty() { &[store.rules][..] } else { &next.old_lists };
            for list in lists {
                if let Next::Write(write) = shell::look(&self.kept, connection, list, Some(list)) {
                    insert(&mut next.pending[at], write);
                }
            }
            if !self.kept.connection_precondition {
                let mut writes = Vec::new();
                self.cached_writes(next, at, |_, write| writes.push(write));
                for write in writes {
                    insert(&mut next.pending[at], write);
                }
            }
        }
        if !self.kept.rule_precondition {
            for rule in store.rules.iter().filter(|rule| rule.exists()) {
                for sight in self.sights(next, *rule) {
                    let active_on = shell::activation(&self.kept, *rule, sight);
                    insert(&mut next.pending_rules[slot(rule.uid)], active_on);
                }
            }
        }
    }
}

/// Puts it where it belongs in a sorted list, once.
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
