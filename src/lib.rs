//! Postlink: a Kubernetes controller that links social posts to records in Dynamics 365.
//!
//! The map of the house. Arrows point one way:
//! `commands → controller | plan | explain | memory_api | simulated_instance → schema | manifests |
//! rules | dynamics → api`; a test holds them.

pub mod api;
pub mod commands;
pub mod controller;
pub mod domain;
#[cfg(feature = "local")]
pub mod manifests;
pub mod telemetry;
