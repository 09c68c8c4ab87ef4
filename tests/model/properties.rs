//! The properties checked in every state.

use crate::{
    protocol::{Fault, Protocol, State},
    settling::{self, Turns},
    steps::Action,
    store::Store,
};
use stateright::{Model, Property};
use std::{cell::RefCell, collections::HashMap};

/// I1: at no revision is a connection Disabled or gone while a rule is Active on it.
pub const I1: &str = "I1: no rule is Active on a connection that is Disabled or gone";
/// I2.
pub const I2: &str = "I2: no write without a change";
/// §4.1.
pub const GENERATIONS: &str = "§4.1: an entry's generation never goes back";
/// §4.3.
pub const FENCE: &str = "§4.3: no rule is let in after the wish to disable or delete";
/// §4.3.
pub const KEEP_WORKING: &str = "§4.3: the rules already in keep working";
/// I4.
pub const I4: &str = "I4: no stale reservation at rest";
/// Liveness.
pub const LIVENESS: &str = "with the user stopped, what is declared comes into force and stays";

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        self.initial()
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.steps(state, actions);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        self.after(last, &action)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(I1, |_: &Self, state: &State| i1(&state.store)),
            Property::always(I2, |_, state: &State| !broke(state, Fault::Idle)),
            Property::always(GENERATIONS, |_, state: &State| !broke(state, Fault::GenerationFell)),
            Property::always(FENCE, |_, state: &State| !broke(state, Fault::LetIn)),
            Property::always(KEEP_WORKING, |_, state: &State| !broke(state, Fault::PutOut)),
            Property::always(I4, |model: &Self, state: &State| verdict(model, &state.store).no_stale_entry),
            Property::always(LIVENESS, |model: &Self, state: &State| verdict(model, &state.store).settles),
        ];
        if self.show_reached {
            properties.extend([
                Property::sometimes("a rule is Active", |_, state: &State| {
                    state.store.rules.iter().any(|rule| rule.active_on.is_some())
                }),
                Property::sometimes("a connection is Disabled", |_, state: &State| {
                    state.store.connections.iter().any(|c| c.disabled)
                }),
                Property::sometimes("a rule holds a disable", |_, state: &State| {
                    state.store.connections.iter().any(|c| !c.enabled && !c.deleting && !c.empty())
                }),
                Property::sometimes("a rule holds a deletion", |_, state: &State| {
                    state.store.connections.iter().any(|c| c.deleting && !c.empty())
                }),
                Property::sometimes("a connection is gone and back", |_, state: &State| {
                    state.store.connections.iter().any(|c| c.exists && c.uid > 1)
                }),
                Property::sometimes("a late decision is pending", |_, state: &State| {
                    state.pending.iter().any(|writes| writes.len() > 1)
                }),
            ]);
        }
        properties
    }
}

fn broke(state: &State, fault: Fault) -> bool {
    state.faults & fault as u8 != 0
}

fn i1(store: &Store) -> bool {
    store.rules.iter().filter_map(|rule| rule.active_on).all(|uid| {
        store
            .connections
            .iter()
            .any(|connection| connection.exists && connection.uid == uid && !connection.disabled)
    })
}

/// The properties that depend on the store alone.
#[derive(Clone, Copy)]
struct Verdict {
    no_stale_entry: bool,
    settles: bool,
}

thread_local! {
    // Thousands of states share a store. Each checker has its own threads, so models do not mix here.
    static VERDICTS: RefCell<HashMap<Store, Verdict>> = RefCell::default();
}

fn verdict(model: &Protocol, store: &Store) -> Verdict {
    VERDICTS.with_borrow_mut(|verdicts| *verdicts.entry(*store).or_insert_with(|| judged(model, store)))
}

fn judged(model: &Protocol, store: &Store) -> Verdict {
    let settles = [Turns::ConnectionsFirst, Turns::RulesFirst].into_iter().all(|turns| {
        settling::settled(&model.kept, store, turns)
            .is_some_and(|end| settling::declared_is_effective(&end) && i1(&end))
    });
    let no_stale_entry = !settling::at_rest(&model.kept, store) || settling::no_stale_entry(store);
    Verdict { no_stale_entry, settles }
}
