//! Metrics, health and log set-up.

pub mod logs;
pub mod server;
