//! Metrics, health checks and logging. Depends on no other module: callers pass plain words and numbers.

pub mod api_requests;
mod families;
mod gauges;
pub mod health;
pub mod logs;
pub mod metrics;
pub mod process;
pub mod server;
pub mod snapshot;

pub use families::FamilyDescriptor;
pub use health::HealthChecks;
pub use metrics::Metrics;
