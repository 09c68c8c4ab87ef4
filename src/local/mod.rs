//! Postlink in one process: the controller, an in-memory API server and simulated instances. A development tool, behind the
//! feature `local`.

mod advice;
mod api_errors;
pub mod apply;
mod cel;
pub mod editor_schemas;
mod heads;
pub mod input;
mod metadata;
pub mod policies;
pub mod report;
pub mod root_causes;
pub mod secrets;
pub mod session;
pub mod settle;
pub mod simulated_defaults;
pub mod simulated_instance;
mod spec;
pub mod tree;
mod undeclared;
mod warnings;
