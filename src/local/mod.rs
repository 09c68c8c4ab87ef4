//! Postlink on one machine: an in-memory API, simulated instances and the real controller, wired together. A
//! development tool, behind the feature `local`.

pub mod apply;
pub mod policies;
pub mod report;
pub mod session;
pub mod settle;
pub mod simulated_instance;
pub mod tree;
mod warnings;
