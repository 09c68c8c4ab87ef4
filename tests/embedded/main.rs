//! The whole of Postlink in one process: the in-memory API, the schemas, simulated instances, the real controller.
mod bad_input;
mod changes;
mod contoso;
mod controller;
mod history;
mod input;
mod manifests;
#[path = "../mistakes.rs"]
mod mistakes;
mod policies;
#[path = "../program.rs"]
mod program;
mod readme;
mod repositories;
mod repository_mistakes;
mod scenario_runner;
mod scenarios;
mod stand_ins;
mod startup;
mod streams;
mod unclear_values;
mod validation;
mod write_counts;
mod write_log;
