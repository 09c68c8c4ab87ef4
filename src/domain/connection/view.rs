//! What the decision about a connection rests on, and what it can be.

use super::health::Observation;
use crate::{
    api::{DynamicsConnection, DynamicsConnectionStatus},
    domain::{facts::RuleFacts, requeue::Requeue, reservations::Clauses},
};
use jiff::Timestamp;

/// Another connection of the namespace that asks to be the default (R3).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DefaultClaim {
    /// When it was created: the oldest wins.
    pub created: Timestamp,
    /// Then its name.
    pub name: String,
}

/// Everything the decision rests on.
pub struct ConnectionView<'a> {
    pub now: Timestamp,
    /// The copy whose resourceVersion the writes will carry.
    pub connection: &'a DynamicsConnection,
    /// The rules of the namespace that concern the connection, from the index.
    pub rules: &'a [RuleFacts],
    /// All rules of the namespace, listed live after that copy was read.
    pub live: Option<&'a [RuleFacts]>,
    /// The other connections of the namespace that ask to be the default.
    pub claims: &'a [DefaultClaim],
    /// The last probe of the instance, if there was one since this process started.
    pub observation: Option<&'a Observation>,
    /// Whether a link creation through this connection may still be in flight.
    pub creations_in_flight: bool,
    /// [`Clauses::KEPT`], except in tests of the clauses.
    pub clauses: &'a Clauses,
}

/// What to do with the finalizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finalizer {
    Keep,
    /// Add it before anything else (§4.5).
    Add,
    /// Remove it; the status is not written any more.
    Remove,
}

/// What to ask the instance for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeRequest {
    /// The tables to read the metadata of; `None` = its health alone.
    pub tables: Option<Vec<String>>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionDecision {
    pub finalizer: Finalizer,
    /// The desired status.
    pub status: DynamicsConnectionStatus,
    /// List the rules live and decide again before anything is written.
    pub needs_live_list: bool,
    /// A disable or delete waits for link creations alone: start no new one.
    pub close_creations: bool,
    /// Defer the write until the probe returns. Otherwise every link of a connection that is being enabled would flap
    /// to Unknown, and a connection with new credentials would repeat the answer to the old ones.
    pub await_answer: bool,
    /// Probe the instance now.
    pub probe: Option<ProbeRequest>,
    pub requeue: Option<Requeue>,
}

/// The host of `spec.instanceUrl`, for messages.
pub fn host(connection: &DynamicsConnection) -> &str {
    connection.spec.instance_url.trim_start_matches("https://").trim_end_matches('/')
}
