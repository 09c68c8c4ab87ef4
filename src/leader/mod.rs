//! Leader election, and the guard that rejects writes without the lease.

pub mod election;
mod holder;
pub mod lease;
mod loss;
pub mod run;
pub mod thread;
pub mod write_guard;

pub use lease::{MAX_LEASE_SECONDS, MIN_LEASE_SECONDS};
pub use loss::Loss;
