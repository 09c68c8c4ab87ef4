//! What the controller tells about itself: counts and log lines, snapshots for metrics, how far the watches are.

pub mod record;
pub mod snapshot;
pub mod sync;
pub mod undecodable;
