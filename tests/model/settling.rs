//! Where the store ends when the user has stopped, the caches are fresh and every object gets its turn.

use crate::{
    shell::{self, Kept, Next},
    store::{Connection, Rule, SLOTS, Store},
};

/// Passes over all objects within which the store must be at rest.
const PASSES: usize = 8;

/// In which order the objects get their turns in a pass.
#[derive(Clone, Copy, Debug)]
pub enum Turns {
    /// Connections, then rules.
    ConnectionsFirst,
    /// Rules, then connections, the last of each first.
    RulesFirst,
}

/// One pass.
pub fn pass(kept: &Kept, store: &Store, turns: Turns) -> Store {
    let mut next = *store;
    match turns {
        Turns::ConnectionsFirst => {
            (0..SLOTS).for_each(|at| connection_turn(kept, &mut next, at));
            (0..SLOTS).for_each(|at| rule_turn(kept, &mut next, at));
        }
        Turns::RulesFirst => {
            (0..SLOTS).rev().for_each(|at| rule_turn(kept, &mut next, at));
            (0..SLOTS).rev().for_each(|at| connection_turn(kept, &mut next, at));
        }
    }
    next
}

fn connection_turn(kept: &Kept, store: &mut Store, at: usize) {
    let rules = store.rules;
    let connection = &mut store.connections[at];
    if let Some(with_finalizer) = shell::with_finalizer(connection) {
        *connection = with_finalizer;
        return;
    }
    let next = match shell::look(kept, connection, &rules, None) {
        Next::List => shell::look(kept, connection, &rules, Some(&rules)),
        decided => decided,
    };
    if let Next::Write(write) = next
        && let Some(written) = shell::written(kept, connection, write)
    {
        *connection = written;
    }
}

fn rule_turn(kept: &Kept, store: &mut Store, at: usize) {
    let rule = store.rules[at];
    if rule.exists() {
        store.rules[at].active_on = shell::activation(kept, rule, shell::sight(store, rule));
    }
}

/// The store at rest, or nothing when it does not come to rest.
pub fn settled(kept: &Kept, store: &Store, turns: Turns) -> Option<Store> {
    let mut now = *store;
    for _ in 0..PASSES {
        let next = pass(kept, &now, turns);
        if next == now {
            return Some(now);
        }
        now = next;
    }
    None
}

/// Whether nothing is left to be done.
pub fn at_rest(kept: &Kept, store: &Store) -> bool {
    pass(kept, store, Turns::ConnectionsFirst) == *store
}

/// I4: every entry is one of a rule that wants this connection or is at work through it.
pub fn no_stale_entry(store: &Store) -> bool {
    store.connections.iter().enumerate().filter(|(_, connection)| connection.exists).all(
        |(at, connection)| {
            (0_u8..).zip(connection.entries).filter(|(_, generation)| *generation > 0).all(|(uid, _)| {
                let rule = store.rules.iter().find(|rule| rule.exists() && rule.uid == uid);
                rule.is_some_and(|rule| rule.wants(at) || rule.active_on == Some(connection.uid))
            })
        },
    )
}

/// Whether what is declared is in force, or is held by a rule that wants its connection and is at work through it.
pub fn declared_is_effective(store: &Store) -> bool {
    store.rules.iter().filter(|rule| rule.exists()).all(|rule| rule_is_right(store, *rule))
        && (0..SLOTS)
            .filter(|at| store.connections[*at].exists)
            .all(|at| connection_is_right(store, at, &store.connections[at]))
}

fn rule_is_right(store: &Store, rule: Rule) -> bool {
    let connection = &store.connections[usize::from(rule.names)];
    let reserved = connection.exists && connection.entries[usize::from(rule.uid)] > 0;
    match rule.active_on {
        None => !rule.active || !connection.open(),
        Some(uid) => rule.active && connection.exists && uid == connection.uid && reserved,
    }
}

fn connection_is_right(store: &Store, at: usize, connection: &Connection) -> bool {
    let held = (0_u8..).zip(connection.entries).filter(|(_, generation)| *generation > 0).all(|(uid, _)| {
        let rule = store.rules.iter().find(|rule| rule.exists() && rule.uid == uid);
        rule.is_some_and(|rule| rule.wants(at) && rule.active_on == Some(connection.uid))
    });
    let state = if connection.deleting {
        !connection.empty()
    } else {
        connection.finalizer && connection.disabled == (!connection.enabled && connection.empty())
    };
    held && state
}
