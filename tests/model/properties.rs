//! The properties checked in every state.

use crate::{
    protocol::{Fault, Protocol, State},
    settling::{self, Order},
    steps::Action,
    store::Store,
};
use stateright::{Model, Property};
use std::{cell::RefCell, collections::HashMap};

/// I1: at no revision is a connection Disabled or gone while a rule is Active on it.
pub const I1: &str = "I1: no rule is Active on a connection that is Disabled or gone";
/// Every write changes something.
pub const I2: &str = "I2: no write without a change";
/// Generations of entries only rise.
pub const GENERATIONS: &str = "§4.1: an entry's generation never decreases";
/// A request to disable or delete keeps new rules out.
pub const FENCE: &str = "§4.3: no rule is admitted after a request to disable or delete";
/// A request to disable or delete deactivates no rule.
pub const STAY_ACTIVE: &str = "§4.3: rules that are Active stay Active";
/// Once nothing changes any more, every entry is needed.
pub const I4: &str = "I4: no stale reservation in a stable state";
/// The declared state becomes effective.
pub const LIVENESS: &str =
    "liveness: without further user actions, the declared state takes effect and stays";

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
            Property::always(GENERATIONS, |_, state: &State| !broke(state, Fault::GenerationDecreased)),
            Property::always(FENCE, |_, state: &State| !broke(state, Fault::AdmittedLate)),
            Property::always(STAY_ACTIVE, |_, state: &State| !broke(state, Fault::Deactivated)),
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
                Property::sometimes("active rules block a disable", |_, state: &State| {
                    state.store.connections.iter().any(|c| !c.enabled && !c.deleting && !c.empty())
                }),
                Property::sometimes("active rules block a deletion", |_, state: &State| {
                    state.store.connections.iter().any(|c| c.deleting && !c.empty())
                }),
                Property::sometimes("a connection is recreated", |_, state: &State| {
                    state.store.connections.iter().any(|c| c.exists && c.uid > 1)
                }),
                Property::sometimes("several decisions are pending", |_, state: &State| {
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

/// The properties that depend only on the store.
#[derive(Clone, Copy)]
struct Verdict {
    no_stale_entry: bool,
    settles: bool,
}

thread_local! {
    // Thousands of states share a store. Each checker has its own threads, so verdicts of models do not mix.
    static VERDICTS: RefCell<HashMap<Store, Verdict>> = RefCell::default();
}

fn verdict(model: &Protocol, store: &Store) -> Verdict {
    VERDICTS.with_borrow_mut(|verdicts| *verdicts.entry(*store).or_insert_with(|| evaluate(model, store)))
}

fn evaluate(model: &Protocol, store: &Store) -> Verdict {
    let settles = [Order::ConnectionsFirst, Order::RulesFirst].into_iter().all(|order| {
        settling::settled(&model.clauses, store, order)
            .is_some_and(|end| settling::declared_is_effective(&end) && i1(&end))
    });
    let no_stale_entry = !settling::is_stable(&model.clauses, store) || settling::no_stale_entry(store);
    Verdict { no_stale_entry, settles }
}
