//! The documented rules as pure functions: a view goes in, a decision comes out.
//!
//! No function here reads a clock, calls a server, locks or logs: the time, the neighbors and the instance's response are
//! part of the view. The model checker, the tests and the controller all run the same functions.
//!
//! § in a comment refers to a section of `docs/semantics.md`.

pub mod automation_rule;
pub mod backoff;
pub mod conditions;
pub mod connection;
pub mod facts;
pub mod installation;
pub mod kstatus;
pub mod matching;
pub mod messages;
pub mod post_link;
pub mod requeue;
pub mod reservations;
pub mod undecodable;
