//! The state that the store settles in when users change nothing, caches are current and all objects are reconciled.

use crate::{
    reconcile::{self, ModelClauses, Next},
    store::{Connection, Rule, SLOTS, Store},
};

/// Maximum number of passes over all objects until nothing changes.
const PASSES: usize = 8;

/// The order in which a pass reconciles the objects.
#[derive(Clone, Copy, Debug)]
pub enum Order {
    /// Connections, then rules.
    ConnectionsFirst,
    /// Rules, then connections, the last of each first.
    RulesFirst,
}

/// Reconciles every object once.
pub fn pass(clauses: &ModelClauses, store: &Store, order: Order) -> Store {
    let mut next = *store;
    match order {
        Order::ConnectionsFirst => {
            (0..SLOTS).for_each(|at| reconcile_connection(clauses, &mut next, at));
            (0..SLOTS).for_each(|at| reconcile_rule(clauses, &mut next, at));
        }
        Order::RulesFirst => {
            (0..SLOTS).rev().for_each(|at| reconcile_rule(clauses, &mut next, at));
            (0..SLOTS).rev().for_each(|at| reconcile_connection(clauses, &mut next, at));
        }
    }
    next
}

fn reconcile_connection(clauses: &ModelClauses, store: &mut Store, at: usize) {
    let rules = store.rules;
    let connection = &mut store.connections[at];
    if let Some(with_finalizer) = reconcile::with_finalizer(connection) {
        *connection = with_finalizer;
        return;
    }
    let next = match reconcile::reconcile(clauses, connection, &rules, None) {
        Next::ListRules => reconcile::reconcile(clauses, connection, &rules, Some(&rules)),
        decided => decided,
    };
    if let Next::Write(write) = next
        && let Some(written) = reconcile::apply_write(clauses, connection, write)
    {
        *connection = written;
    }
}

fn reconcile_rule(clauses: &ModelClauses, store: &mut Store, at: usize) {
    let rule = store.rules[at];
    if rule.exists() {
        store.rules[at].active_on =
            reconcile::activation(clauses, rule, reconcile::named_connection(store, rule));
    }
}

/// The store once nothing changes; `None` if it keeps changing.
pub fn settled(clauses: &ModelClauses, store: &Store, order: Order) -> Option<Store> {
    let mut now = *store;
    for _ in 0..PASSES {
        let next = pass(clauses, &now, order);
        if next == now {
            return Some(now);
        }
        now = next;
    }
    None
}

/// Whether a pass changes nothing.
pub fn is_stable(clauses: &ModelClauses, store: &Store) -> bool {
    pass(clauses, store, Order::ConnectionsFirst) == *store
}

/// I4: every entry is that of a rule that wants this connection or is Active on it.
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

/// Whether the declared state is effective, or blocked by a rule that wants its connection and is Active on it.
pub fn declared_is_effective(store: &Store) -> bool {
    store.rules.iter().filter(|rule| rule.exists()).all(|rule| rule_is_effective(store, *rule))
        && (0..SLOTS)
            .filter(|at| store.connections[*at].exists)
            .all(|at| connection_is_effective(store, at, &store.connections[at]))
}

fn rule_is_effective(store: &Store, rule: Rule) -> bool {
    let connection = &store.connections[usize::from(rule.names)];
    let reserved = connection.exists && connection.entries[usize::from(rule.uid)] > 0;
    match rule.active_on {
        None => !rule.active || !connection.open(),
        Some(uid) => rule.active && connection.exists && uid == connection.uid && reserved,
    }
}

fn connection_is_effective(store: &Store, at: usize, connection: &Connection) -> bool {
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
