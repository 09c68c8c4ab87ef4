//! The whole of Postlink in one process: the in-memory API, the schemas, simulated instances, the real controller.
mod asked;
mod bad_input;
mod contoso;
mod controller;
mod dynamics;
mod history;
mod manifests;
mod memory_api;
mod readme;
mod scenario_runner;
mod scenarios;
mod schema;
mod simulated_instance;
mod write_counts;
