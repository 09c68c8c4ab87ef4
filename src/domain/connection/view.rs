//! The input and the result of the decision about a connection.

use super::health::Observation;
use crate::{
    api::{DynamicsConnection, DynamicsConnectionStatus},
    domain::{facts::RuleFacts, requeue::Requeue, reservations::Clauses},
};
use jiff::Timestamp;

/// A connection with `spec.default` (R3). The smallest claim wins: the oldest, then by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DefaultClaim {
    pub created: Timestamp,
    pub name: String,
}

/// The input of the decision.
pub struct ConnectionView<'a> {
    pub now: Timestamp,
    /// The version whose resourceVersion the writes will carry.
    pub connection: &'a DynamicsConnection,
    /// The rules of the namespace that name, use or are reserved in the connection, from the index.
    pub rules: &'a [RuleFacts],
    /// All rules of the namespace, listed live after that version was read.
    pub live: Option<&'a [RuleFacts]>,
    /// The other connections of the namespace with `spec.default`.
    pub claims: &'a [DefaultClaim],
    /// The last probe since this process started.
    pub observation: Option<&'a Observation>,
    /// Whether a link creation through this connection may still be in flight.
    pub creations_in_flight: bool,
    /// [`Clauses::KEPT`], except in tests of the clauses.
    pub clauses: &'a Clauses,
}

/// What to do with a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Add the finalizer, or become one of its owners, before anything else (§4.5).
    AddFinalizer,
    /// List the rules live and decide again before any write.
    ListRules,
    /// Write when the probe returns. Otherwise every link of a connection that is being enabled would flap to Unknown, and
    /// a connection with new credentials would report the result of the old ones.
    AwaitProbe,
    /// Remove the finalizer; the status is no longer written.
    RemoveFinalizer,
    /// Write the status, if it differs.
    Write,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeRequest {
    /// The tables whose metadata to read; `None` probes only the health.
    pub tables: Option<Vec<String>>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionDecision {
    pub step: Step,
    /// The desired status.
    pub status: DynamicsConnectionStatus,
    /// A disable or delete waits only for creations in flight: start no new one.
    pub close_creations: bool,
    pub probe: Option<ProbeRequest>,
    pub requeue: Option<Requeue>,
}

/// The host of `spec.instanceUrl`, for messages.
pub fn host(connection: &DynamicsConnection) -> &str {
    connection.spec.instance_url.trim_start_matches("https://").trim_end_matches('/')
}
