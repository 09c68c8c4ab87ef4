//! Model checking of the reservation protocol: every reachable state, with the controller's own decision functions.
//!
//! `store` is the state of the API server, `reconcile` what a reconcile does with the decisions, `protocol` and `steps`
//! the transition system, `properties` and `settling` what must hold. `exhaustive` tests that every property holds with
//! all clauses of §4, `seeded` that a property breaks without any one of them.

mod exhaustive;
mod properties;
mod protocol;
mod reconcile;
mod seeded;
mod settling;
mod steps;
mod store;
mod trace;
