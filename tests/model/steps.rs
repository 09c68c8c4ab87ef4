//! The transitions: user actions, lost statuses, and every write a controller could send.

use crate::{
    protocol::{Protocol, State},
    reconcile::{self, CachedConnection, Next, Write},
    store::{Rule, SLOTS, incarnation},
};

#[derive(Clone, PartialEq)]
pub enum Action {
    /// The user activates or deactivates a rule.
    ToggleRule(u8),
    /// The user edits a rule.
    EditRule(u8),
    /// The user changes the connection that a rule names.
    MoveRule(u8),
    /// The user deletes a rule.
    DeleteRule(u8),
    /// The user recreates the rule.
    CreateRule(u8),
    /// The user enables or disables a connection.
    ToggleConnection(u8),
    /// The user deletes a connection.
    DeleteConnection(u8),
    /// The user recreates the connection.
    CreateConnection(u8),
    /// A rule's status is lost.
    WipeRule(u8),
    /// A connection's status is lost.
    WipeConnection(u8),
    /// A controller adds the finalizer.
    AddFinalizer(u8),
    /// A controller writes a decision based on these versions of the rules.
    WriteFromCache(u8, [Rule; SLOTS], Write),
    /// A controller writes a decision based on a current or earlier live list.
    WriteFromList(u8, Write),
    /// A controller writes a rule's status, based on that of its connection.
    WriteRule(u8, CachedConnection, Option<u8>),
    /// A controller writes a status decided for an earlier version of the rule.
    WriteRuleLate(u8, Option<u8>),
}

impl Protocol {
    /// All possible steps.
    pub fn steps(&self, state: &State, steps: &mut Vec<Action>) {
        for name in 0..u8::try_from(self.bounds.rules).expect("a slot") {
            self.rule_steps(state, name, steps);
        }
        for name in 0..u8::try_from(self.bounds.connections).expect("a slot") {
            self.connection_steps(state, name, steps);
        }
    }

    fn rule_steps(&self, state: &State, name: u8, steps: &mut Vec<Action>) {
        let bounds = &self.bounds;
        let rule = state.store.rules[usize::from(name)];
        if !rule.exists() {
            if incarnation(rule.uid) == 0 {
                steps.push(Action::CreateRule(name));
            }
            return;
        }
        if rule.generation < bounds.generations {
            steps.push(Action::ToggleRule(name));
            if bounds.edits {
                steps.push(Action::EditRule(name));
            }
            if bounds.connections > 1 {
                steps.push(Action::MoveRule(name));
            }
        }
        if incarnation(rule.uid) < bounds.rule_deletions {
            steps.push(Action::DeleteRule(name));
        }
        if state.wipes_left > 0 && rule.active_on.is_some() {
            steps.push(Action::WipeRule(name));
        }
        let mut outcomes = Vec::new();
        for cached in self.cached_connections(state, rule) {
            let active_on = reconcile::activation(&self.clauses, rule, cached);
            if active_on != rule.active_on && !outcomes.contains(&active_on) {
                outcomes.push(active_on);
                steps.push(Action::WriteRule(name, cached, active_on));
            }
        }
        for active_on in &state.pending_rules[usize::from(name)] {
            if *active_on != rule.active_on {
                steps.push(Action::WriteRuleLate(name, *active_on));
            }
        }
    }

    fn connection_steps(&self, state: &State, name: u8, steps: &mut Vec<Action>) {
        let at = usize::from(name);
        let connection = &state.store.connections[at];
        if !connection.exists {
            if incarnation(connection.uid) == 0 {
                steps.push(Action::CreateConnection(name));
            }
            return;
        }
        if state.toggles_left[at] > 0 {
            steps.push(Action::ToggleConnection(name));
        }
        if !connection.deleting && incarnation(connection.uid) < self.bounds.connection_deletions {
            steps.push(Action::DeleteConnection(name));
        }
        if state.wipes_left > 0 && (connection.disabled || !connection.empty()) {
            steps.push(Action::WipeConnection(name));
        }
        if reconcile::with_finalizer(connection).is_some() {
            steps.push(Action::AddFinalizer(name));
        }
        let mut outcomes: Vec<Write> = Vec::new();
        self.cached_writes(state, at, |read, write| {
            if !outcomes.contains(&write) {
                outcomes.push(write);
                steps.push(Action::WriteFromCache(name, read, write));
            }
        });
        for write in &state.pending[at] {
            if !outcomes.contains(write) {
                steps.push(Action::WriteFromList(name, *write));
            }
        }
    }

    /// The versions of a rule's connection so far.
    pub fn cached_connections(&self, state: &State, rule: Rule) -> Vec<CachedConnection> {
        let connection = &state.store.connections[usize::from(rule.names)];
        let now = incarnation(connection.uid);
        let mut versions = Vec::new();
        if !connection.exists || now > 0 {
            versions.push(None);
        }
        if usize::from(rule.names) >= self.bounds.connections {
            return versions;
        }
        for uid in (0..=now).map(|before| rule.names + 2 * before) {
            versions.push(Some((uid, None)));
            let generations = state.seen_entries[usize::from(uid)][usize::from(rule.uid)];
            let seen = (0..8_u8).filter(|generation| generations >> generation & 1 == 1);
            versions.extend(seen.map(|generation| Some((uid, Some(generation)))));
        }
        versions
    }

    /// The writes of a reconcile without a live list, for each combination of cached versions.
    pub fn cached_writes(&self, state: &State, at: usize, mut each: impl FnMut([Rule; SLOTS], Write)) {
        for first in &state.seen_rules[0] {
            for second in &state.seen_rules[1] {
                let read = [*first, *second];
                if let Next::Write(write) =
                    reconcile::reconcile(&self.clauses, &state.store.connections[at], &read, None)
                {
                    each(read, write);
                }
            }
        }
    }
}
