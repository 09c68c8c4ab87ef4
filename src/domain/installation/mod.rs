//! Whether what surrounds the controller in the cluster is as it relies on: its admission policies, and no other
//! installation that looks after the same objects.

pub mod overlap;
pub mod policies;
