//! Leader election, and the guard that rejects writes without the lease.

pub mod election;
pub mod run;
pub mod write_guard;
