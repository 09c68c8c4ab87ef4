//! Observability of the controller: counters and log lines, snapshots for metrics, progress of the watches.

pub mod record;
pub mod snapshot;
pub mod sync;
