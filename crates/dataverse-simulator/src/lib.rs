//! A strict stand-in for Dynamics instances: sign-in, discovery and the Web API, on simulated data.
//!
//! It is written from the public documentation and knows neither Kubernetes nor the real client, so that
//! the two can be wrong only independently. What real Dataverse would refuse, it refuses.
//!
//! A [`World`] takes [`SimulatedInstanceDocument`]s ([`World::apply`], one call per commit), and is reached
//! over HTTPS on loopback ([`World::serve_tls`]) or over in-memory streams ([`World::connector`]).

mod answer;
mod assertion;
mod batch;
mod change_feed;
mod clouds;
mod connection;
mod conversion;
mod data;
mod discovery;
mod document;
mod faults;
mod filter;
mod filter_tokens;
mod gate;
mod journal;
mod metadata;
mod organization;
mod people;
mod query;
mod rows;
mod sign_in;
mod tables;
mod throttle;
mod tls;
mod validation;
mod values;
mod web_api;
mod world;
mod writes;

pub use clouds::{Service, service_at, services_of};
pub use data::RowReference;
pub use document::{
    Act, AnswersWith, Change, ConvertsTo, CustomTable, DocumentMetadata, ExistingRecord, InstanceState, KIND,
    Organization, SimulatedInstanceDocument, SimulatedInstanceSpec, Throttle,
};
pub use faults::Fault;
pub use journal::RequestRecord;
pub use tls::{ServeError, Served};
pub use validation::DocumentError;
pub use world::{ActivityView, ApplyError, Clock, Warning, World};
