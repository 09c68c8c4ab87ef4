//! The reservation protocol explored state by state, driving the real decision functions.
//!
//! `store` holds what the API server holds, `shell` is what a reconcile does around the decisions, `protocol` is
//! the transition system, `settling` and `properties` say what must hold, and `exhaustive` and `seeded` are the
//! tests: nothing breaks with every clause of §4 kept, and something does without any one of them.

mod exhaustive;
mod properties;
mod protocol;
mod seeded;
mod settling;
mod shell;
mod steps;
mod store;
mod trace;
