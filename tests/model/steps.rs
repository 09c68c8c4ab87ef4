//! What can happen next: the user's acts, misfortune, and every write some controller could send.

use crate::{
    protocol::{Protocol, State},
    shell::{self, Next, Sight, Write},
    store::{Rule, SLOTS, incarnation},
};

/// A step.
#[derive(Clone, PartialEq)]
pub enum Action {
    /// The user switches a rule.
    ToggleRule(u8),
    /// The user edits a rule.
    EditRule(u8),
    /// The user has a rule name the other connection.
    MoveRule(u8),
    /// The user deletes a rule.
    DeleteRule(u8),
    /// The user creates the rule anew.
    CreateRule(u8),
    /// The user enables or disables a connection.
    ToggleConnection(u8),
    /// The user deletes a connection.
    DeleteConnection(u8),
    /// The user creates the connection anew.
    CreateConnection(u8),
    /// Somebody wipes a rule's status.
    WipeRule(u8),
    /// Somebody wipes a connection's status.
    WipeConnection(u8),
    /// A controller puts the finalizer on.
    AddFinalizer(u8),
    /// A controller writes what it decided on these versions of the rules.
    WriteFromCache(u8, [Rule; SLOTS], Write),
    /// A controller writes what it decided on a live list, now or earlier.
    WriteFromList(u8, Write),
    /// A controller writes a rule's status, having seen that of its connection.
    WriteRule(u8, Sight, Option<u8>),
    /// A controller writes the status it decided for some earlier version of the rule.
    WriteRuleLate(u8, Option<u8>),
}

impl Protocol {
    /// What can happen next.
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
        for sight in self.sights(state, rule) {
            let active_on = shell::activation(&self.kept, rule, sight);
            if active_on != rule.active_on && !outcomes.contains(&active_on) {
                outcomes.push(active_on);
                steps.push(Action::WriteRule(name, sight, active_on));
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
        if shell::with_finalizer(connection).is_some() {
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

    /// What a rule's connection looks like in the versions there were.
    pub fn sights(&self, state: &State, rule: Rule) -> Vec<Sight> {
        let connection = &state.store.connections[usize::from(rule.names)];
        let now = incarnation(connection.uid);
        let mut sights = Vec::new();
        if !connection.exists || now > 0 {
            sights.push(None);
        }
        if usize::from(rule.names) >= self.bounds.connections {
            return sights;
        }
        for uid in (0..=now).map(|before| rule.names + 2 * before) {
            sights.push(Some((uid, None)));
            let generations = state.seen_entries[usize::from(uid)][usize::from(rule.uid)];
            let seen = (0..8_u8).filter(|generation| generations >> generation & 1 == 1);
            sights.extend(seen.map(|generation| Some((uid, Some(generation)))));
        }
        sights
    }

    /// What a reconcile of that connection writes without listing live, for each choice of cached versions.
    pub fn cached_writes(&self, state: &State, at: usize, mut each: impl FnMut([Rule; SLOTS], Write)) {
        for first in &state.seen_rules[0] {
            for second in &state.seen_rules[1] {
                let read = [*first, *second];
                if let Next::Write(write) = shell::look(&self.kept, &state.store.connections[at], &read, None)
                {
                    each(read, write);
                }
            }
        }
    }
}
