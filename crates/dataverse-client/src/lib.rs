//! An asynchronous client for the Dataverse Web API, for services that create social activities and keep track of them.
//!
//! Start with [`Client`], which is shared by all instances of a process. [`Client::instance`] binds an [`Origin`] to
//! [`Credentials`]; every call is a method of the returned [`Instance`]:
//!
//! | call | purpose |
//! |---|---|
//! | [`Instance::health`], [`Instance::organization`] | which organization answers, and its state |
//! | [`Instance::metadata`] | tables and their relationship to social activities |
//! | [`Instance::create_activity`] | create a social activity under an id chosen by the caller |
//! | [`Instance::read_activity`], [`Instance::record_exists`] | read one row |
//! | [`Instance::check`] | read many rows in one `$batch` |
//! | [`Instance::changes`] | follow the change feed of social activities |
//! | [`Instance::discover`] | look the instance up in the Global Discovery Service |
//!
//! # Safety of requests
//!
//! - A credential is sent to the sign-in service of its cloud only, a token to the host it was requested for only.
//!   Redirects are never followed.
//! - Hosts must match [`Config::allow_hosts`], and their names must resolve to public addresses. A process that takes
//!   URLs from its users therefore cannot be made to call its own network (SSRF).
//! - Responses are bounded in size and time, see [`BodyLimits`] and [`Timeouts`].
//! - Errors hold no text of the other side, no URL, no token and no post text. `Debug` output holds no secret.
//! - A row counts as missing only if Dataverse says so with its own error code; a bare 404 is an error.
//!
//! # Throttling
//!
//! After a 429 or a service protection error, nothing is sent to the instance under that identity until `Retry-After`
//! has passed; calls fail at once with [`ErrorKind::Throttled`]. [`Config::concurrency`] bounds the requests in flight.
//! The client does not retry a failed call, except once after a 401 (with a new token) and once when a pooled
//! connection turns out to be closed.

#![warn(missing_docs)]

mod activity;
mod api;
mod batch;
mod change_feed;
mod check;
mod client;
mod cloud;
mod config;
mod connector;
mod credentials;
mod discovery;
mod error;
mod guard;
mod instrument;
mod metadata;
mod organization;
mod origin;
mod response;
mod row;
mod throttle;
mod token;
mod transport;

pub use activity::{
    Activity, AdditionalParams, Community, Creation, MessageType, RegardingTarget, Sentiment,
};
pub use change_feed::{ActivityChanges, DeltaToken};
pub use check::{ActivityPresence, CheckRequest, CheckResult};
pub use client::{Client, Instance};
pub use cloud::Cloud;
pub use config::{
    BodyLimits, Clock, Config, ConfigError, DEFAULT_ALLOW_HOSTS, InMemoryDial, Resolver, Timeouts, Transport,
};
pub use credentials::{CredentialError, Credentials, Fingerprint, SecretString};
pub use discovery::{DiscoveredInstance, DiscoveredState};
pub use error::{
    Endpoint, Error, ErrorClass, ErrorCode, ErrorKind, Rejection, UnexpectedResponse, Unreachable,
};
pub use instrument::{ClientEvent, Observer, Operation, RequestOutcome};
pub use metadata::TableMetadata;
pub use organization::{Health, Organization, OrganizationState};
pub use origin::{Origin, OriginError};
pub use row::{ActivityReading, ActivityRow, RecordPresence, RecordRef, Regarding};
