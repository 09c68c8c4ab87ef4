//! Leader election, and the guard that lets nothing be written without the lease.

pub mod election;
pub mod run;
pub mod write_guard;
