//! The instance's Web API: sign-in, organisation, activities, throttling, guard. Knows nothing of Kubernetes.
//!
//! One [`Client`] is shared by all instances; [`Client::instance`] binds an [`Origin`] to [`Credentials`] and
//! gives the handle everything else hangs on. The path of a request, from the outside in:
//!
//! | file | what it holds |
//! |---|---|
//! | `organization`, `metadata`, `activity`, `row`, `check`, `changes`, `discovery` | what can be asked, one file per subject |
//! | `batch` | many questions in one request |
//! | `client` | the handles; one request with token, gate, slot and deadline |
//! | `lane` | the gate closed by a 429 and the concurrency cap, per instance and identity |
//! | `cloud`, `token`, `credentials` | sign-in: a credential goes to its cloud's sign-in service alone, a token to its host alone |
//! | `answer`, `error` | what an answer means; errors that carry no text of the other side |
//! | `exchange` | one HTTP exchange: caps, failures, `Retry-After` |
//! | `observed` | what is told of all this to whoever counts |
//! | `connector`, `guard`, `origin` | where a connection may go |

mod activity;
mod answer;
mod batch;
mod changes;
mod check;
mod client;
mod cloud;
mod config;
mod connector;
mod credentials;
mod discovery;
mod error;
mod exchange;
pub mod guard;
mod lane;
mod metadata;
mod observed;
mod organization;
mod origin;
mod row;
mod token;

pub use activity::{
    Activity, AdditionalParams, Community, Creation, MessageType, RegardingTarget, Sentiment,
};
pub use changes::{ActivityChanges, DeltaToken};
pub use check::{ActivityPresence, CheckAnswer, CheckRequest, RecordPresence};
pub use client::{Client, Instance};
pub use cloud::Cloud;
pub use config::{
    BodyLimits, Clock, Config, ConfigError, DEFAULT_ALLOW_HOSTS, Deadlines, InMemoryDial, Resolve, Transport,
};
pub use credentials::{CredentialFault, Credentials, Fingerprint, SecretString};
pub use discovery::{Discovered, DiscoveredState};
pub use error::{Error, ErrorCode, Kind, Meaning, Peer, Rejection, Rubbish, Unreachable};
pub use metadata::RecordTypeMetadata;
pub use observed::{Observe, Observed, Operation, Outcome};
pub use organization::{Health, Organization, OrganizationState};
pub use origin::{Origin, OriginError};
pub use row::{ActivityReading, ActivityRow, RecordRef, Regarding};
