//! The documented rules as pure functions: a view goes in, a decision comes out.
//!
//! Nothing here reads a clock, talks to a server, locks or logs: the time, the neighbors and what the instance said are
//! part of the view. So the model checker, the tests and the controller all run these same functions.
//!
//! A § here and elsewhere in the code is a section of `docs/semantics.md`.

pub mod automation_rule;
pub mod backoff;
pub mod conditions;
pub mod connection;
pub mod facts;
pub mod kstatus;
pub mod matching;
pub mod messages;
pub mod post_link;
pub mod requeue;
pub mod reservations;
