//! R2, R17, R18, R20, R27: what an instance's answer means for the state of its connection.

use crate::{
    api::{ConnectionState, Credentials, Organization, Reason},
    domain::{backoff::Backoff, messages, requeue::saturating_add},
};
use jiff::{SignedDuration, Timestamp};

/// After the first failure in a row.
const FIRST_RETRY: SignedDuration = SignedDuration::from_secs(15);

/// What the last probe of the instance found.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// When it answered, or failed to.
    pub at: Timestamp,
    /// What it said.
    pub answer: ProbeAnswer,
    /// How many times in a row it has not answered as an instance in order would.
    pub failures: u32,
    /// The tables it has, of those that were asked for, and when they were read (R4).
    pub tables: Option<TableMetadata>,
    /// Since they were read, they could not be read again although the instance is in order.
    pub metadata_failure: Option<MetadataFailure>,
    /// `spec.credentials` as they were when it was asked: an answer to others says nothing about these.
    pub credentials: Credentials,
    /// The reconcile request there was when it was asked.
    pub requested: Option<String>,
}

/// Metadata that could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetadataFailure {
    /// When that was tried last.
    pub at: Timestamp,
    /// How many times in a row.
    pub times: u32,
}

/// The tables of an instance.
#[derive(Clone, Debug, PartialEq)]
pub struct TableMetadata {
    /// When they were read.
    pub read_at: Timestamp,
    /// The `refresh-requested-at` annotation there was when they were (R4).
    pub requested: Option<String>,
    /// Which were asked for.
    pub asked: Vec<String>,
    /// Which of them exist and can regard a social activity.
    pub usable: Vec<String>,
}

/// An instance's answer.
#[derive(Clone, Debug, PartialEq)]
pub enum ProbeAnswer {
    /// It is in order.
    Organization {
        /// Who answered.
        organization: Organization,
        /// Its friendly name.
        friendly_name: Option<String>,
        /// Whether it is set to receive social data.
        accepts_social_data: bool,
        /// Whether it says of itself that it is disabled.
        disabled: bool,
    },
    /// It did not, or not as it should.
    Failure(ProbeFailure),
}

/// Why there is no proper answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeFailure {
    /// The organisation is disabled on its own side (0x8004A104).
    OrganizationDisabled {
        /// The discovery service says that its trial or subscription has ended: the only evidence for Expired.
        ended: bool,
    },
    /// It is in administration mode.
    AdministrationMode,
    /// No connection, no answer in time, 502, 503, 504.
    Unreachable,
    /// An answer no instance gives: an HTML page, nothing, too much, a redirect.
    UnexpectedResponse,
    /// It answers as an instance does, but with an error.
    Failing,
    /// Its certificate is not trusted, has run out or is for another name.
    Certificate,
    /// The sign-in service did not answer as it should: nothing is known of the instance.
    SignInUnavailable,
    /// It asks to wait.
    Throttled,
    /// It was not asked: the API server did not hand out what is needed to sign in.
    NotAsked,
    /// The token endpoint or the instance refuses the credentials.
    CredentialsRejected,
    /// The application is not a member of the organisation, or may not read what is needed.
    AccessDenied,
    /// The Secret is not there.
    SecretNotFound(String),
    /// The Secret is of no use: the sentence says why, without its content.
    SecretInvalid(String),
    /// The host is not on the operator's allow-list.
    HostNotAllowed,
    /// The host resolves to an address that is never contacted.
    AddressNotAllowed,
}

/// What it means for the connection.
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    /// The instance's state; `None`: as last known.
    pub state: Option<ConnectionState>,
    /// Why the connection is not Ready, when it is not.
    pub problem: Option<(Reason, String)>,
    /// What is known of the organisation now.
    pub organization: Option<Organization>,
    /// Its friendly name.
    pub friendly_name: Option<String>,
}

/// Judges an answer. `known` is the organisation the connection has had so far: another one is never taken for it.
pub fn evaluate(answer: &ProbeAnswer, known: Option<&Organization>, host: &str) -> Health {
    let keep = |state, reason: Reason, message: String| Health {
        state,
        problem: Some((reason, message)),
        organization: known.cloned(),
        friendly_name: None,
    };
    match answer {
        ProbeAnswer::Organization { organization, .. } if known.is_some_and(|k| k.id != organization.id) => {
            keep(None, Reason::OrganizationChanged, messages::organization_changed(host))
        }
        ProbeAnswer::Organization { organization, friendly_name, disabled: true, .. } => Health {
            state: Some(ConnectionState::Downtime),
            problem: Some((Reason::InstanceDowntime, messages::disabled_there(host))),
            organization: Some(organization.clone()),
            friendly_name: friendly_name.clone(),
        },
        ProbeAnswer::Organization { organization, friendly_name, .. } => Health {
            state: Some(ConnectionState::Enabled),
            problem: None,
            organization: Some(organization.clone()),
            friendly_name: friendly_name.clone(),
        },
        ProbeAnswer::Failure(failure) => match failure {
            ProbeFailure::OrganizationDisabled { ended: true } => {
                keep(Some(ConnectionState::Expired), Reason::InstanceExpired, messages::expired(host))
            }
            ProbeFailure::OrganizationDisabled { ended: false } => keep(
                Some(ConnectionState::Downtime),
                Reason::InstanceDowntime,
                messages::disabled_there(host),
            ),
            ProbeFailure::AdministrationMode => keep(
                Some(ConnectionState::Downtime),
                Reason::InstanceDowntime,
                messages::administration_mode(host),
            ),
            ProbeFailure::Unreachable => {
                keep(Some(ConnectionState::Downtime), Reason::InstanceDowntime, messages::unreachable(host))
            }
            ProbeFailure::UnexpectedResponse => keep(
                Some(ConnectionState::Downtime),
                Reason::InstanceDowntime,
                messages::unexpected_response(host),
            ),
            ProbeFailure::Failing => {
                keep(Some(ConnectionState::Downtime), Reason::InstanceDowntime, messages::failing(host))
            }
            ProbeFailure::Certificate => {
                keep(Some(ConnectionState::Downtime), Reason::InstanceDowntime, messages::certificate(host))
            }
            ProbeFailure::SignInUnavailable => {
                keep(None, Reason::SignInUnavailable, messages::sign_in_unavailable(host))
            }
            // Being asked to wait says nothing about the state: everything stays as it was.
            ProbeFailure::Throttled | ProbeFailure::NotAsked => {
                Health { state: None, problem: None, organization: known.cloned(), friendly_name: None }
            }
            ProbeFailure::CredentialsRejected => {
                keep(None, Reason::CredentialsRejected, messages::credentials_rejected(host))
            }
            ProbeFailure::AccessDenied => keep(None, Reason::AccessDenied, messages::access_denied(host)),
            ProbeFailure::SecretNotFound(name) => {
                keep(None, Reason::SecretNotFound, messages::secret_not_found(name))
            }
            ProbeFailure::SecretInvalid(why) => {
                keep(None, Reason::SecretInvalid, messages::secret_invalid(why))
            }
            ProbeFailure::HostNotAllowed => {
                keep(None, Reason::HostNotAllowed, messages::host_not_allowed(host))
            }
            ProbeFailure::AddressNotAllowed => {
                keep(None, Reason::AddressNotAllowed, messages::address_not_allowed(host))
            }
        },
    }
}

/// When a probe that failed is repeated: doubling from 15 s, or from 1 s when the instance was not to blame, never later
/// than the probe interval.
pub fn retry_after(observation: &Observation, interval: SignedDuration) -> SignedDuration {
    let not_asked = observation.answer == ProbeAnswer::Failure(ProbeFailure::NotAsked);
    let first = if not_asked { SignedDuration::from_secs(1) } else { FIRST_RETRY };
    Backoff { first, max: interval }.delay(observation.failures)
}

/// When metadata that could not be read is read again: a table whose definition cannot be read must not cost a request
/// every few seconds.
pub fn read_again(failure: MetadataFailure, interval: SignedDuration) -> Timestamp {
    saturating_add(failure.at, Backoff { first: FIRST_RETRY, max: interval }.delay(failure.times))
}
