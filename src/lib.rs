//! Postlink: a Kubernetes controller that links social posts to records in Dynamics 365.
//!
//! `api` holds the three kinds, `domain` decides about them in pure functions, and `controller` carries the decisions
//! out. `leader` runs it while this process holds the lease. `commands` is the command line. `local` and `manifests` run the controller without a cluster, on the crates
//! `kube-memory` and `dataverse-simulator`.

pub mod api;
pub mod commands;
pub mod controller;
pub mod domain;
pub mod leader;
#[cfg(feature = "local")]
pub mod local;
#[cfg(feature = "local")]
pub mod manifests;
pub mod telemetry;
