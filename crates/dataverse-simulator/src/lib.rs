//! A strict stand-in for Dataverse, for tests and demos of any client.
//!
#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod access_tokens;
mod clouds;
mod data;
mod discovery;
mod dispatch;
mod faults;
mod instance;
mod odata;
mod record_creation_rules;
mod request_log;
mod response;
mod server;
mod sign_in;
mod simulator;
mod spec;
mod spec_validation;
mod state;
mod tables;
mod throttle;
mod user_actions;
mod web_api;

pub use clouds::{CloudService, service_at, services_of};
pub use data::RowReference;
pub use faults::Fault;
pub use request_log::RequestRecord;
pub use server::tls::{ServeError, Server};
pub use simulator::{ActivityView, ApplyError, Simulator, Warning};
pub use spec::{
    AnswersWith, ConvertsTo, CustomTable, ExistingRecord, InstanceSpec, InstanceState, Organization,
    SimulatedInstance, Throttle, UserAction, UserActionKind,
};
pub use spec_validation::SpecError;
pub use state::Clock;
