//! Leader election, and the guard that rejects writes without the lease.

pub mod election;
mod holder;
mod loss;
pub mod run;
pub mod thread;
pub mod write_guard;

pub use loss::Loss;
