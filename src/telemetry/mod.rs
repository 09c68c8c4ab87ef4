//! Metrics, health and log set-up. Knows no other module: what is told arrives as plain words and numbers.

pub mod api_requests;
mod declared;
mod gauges;
pub mod health;
pub mod logs;
pub mod metrics;
mod process;
pub mod server;
pub mod snapshot;

pub use declared::Declared;
pub use health::Health;
pub use metrics::Metrics;
