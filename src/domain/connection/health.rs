//! R2, R17, R18, R20, R27: derives the health of a connection from the last probe of its instance.

use crate::{
    api::{ConnectionState, Credentials, Organization, Reason},
    domain::{backoff::Backoff, messages, requeue::saturating_add},
};
use jiff::{SignedDuration, Timestamp};

const FIRST_RETRY: SignedDuration = SignedDuration::from_secs(15);

/// The result of the last probe.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// When the probe ended.
    pub at: Timestamp,
    pub answer: ProbeAnswer,
    /// Consecutive probes that failed.
    pub failures: u32,
    /// The tables that were read last (R4).
    pub tables: Option<TableMetadata>,
    /// Set if the last refresh of `tables` failed although the instance is healthy.
    pub metadata_failure: Option<MetadataFailure>,
    /// `spec.credentials` at the time of the probe: the result does not apply to changed credentials.
    pub credentials: Credentials,
    /// The reconcile request at the time of the probe.
    pub requested: Option<String>,
}

/// Failed reads of the metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetadataFailure {
    /// The last attempt.
    pub at: Timestamp,
    /// Consecutive failures.
    pub times: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct TableMetadata {
    pub read_at: Timestamp,
    /// The annotation `refresh-requested-at` at that time (R4).
    pub requested: Option<String>,
    /// The tables in the request.
    pub asked: Vec<String>,
    /// Those that exist and can be the regarding record of a social activity.
    pub usable: Vec<String>,
    /// Those that do not exist. The rest exists, but social activities cannot refer to it.
    pub missing: Vec<String>,
}

/// The outcome of a probe.
#[derive(Clone, Debug, PartialEq)]
pub enum ProbeAnswer {
    Organization {
        organization: Organization,
        friendly_name: Option<String>,
        /// Whether the organization is configured to receive social data.
        accepts_social_data: bool,
        /// Whether the organization reports that it is disabled.
        disabled: bool,
    },
    Failure(ProbeFailure),
}

/// Why a probe failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeFailure {
    /// The organization is disabled in Dynamics 365 (0x8004A104).
    OrganizationDisabled {
        /// Whether the discovery service reports that its trial or subscription has ended: the only evidence for Expired.
        ended: bool,
    },
    AdministrationMode,
    /// No connection, a timeout, 502, 503 or 504.
    Unreachable,
    /// A response that does not come from an instance: an HTML page, an empty or oversized body, a redirect.
    UnexpectedResponse,
    /// Any other error response of an instance.
    Failing,
    /// The certificate is not trusted, has expired or is for another name.
    Certificate,
    /// The sign-in service failed, so the state of the instance is unknown.
    SignInUnavailable,
    Throttled,
    /// No request was sent, because the API server did not return the credentials.
    NotAsked,
    /// The token endpoint or the instance rejects the credentials.
    CredentialsRejected,
    /// The application is not a member of the organization, or lacks read privileges.
    AccessDenied,
    /// The name of the Secret.
    SecretNotFound(String),
    /// Why, without content of the Secret.
    SecretInvalid(String),
    /// The host is not on the operator's allow-list.
    HostNotAllowed,
    /// The host resolves to a forbidden address.
    AddressNotAllowed,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    /// The state of the instance; `None`: unchanged.
    pub state: Option<ConnectionState>,
    /// Why the connection is not Ready.
    pub problem: Option<(Reason, String)>,
    pub organization: Option<Organization>,
    pub friendly_name: Option<String>,
}

/// `known` is the organization of the connection so far; a different one is never accepted.
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
            // These say nothing about the state of the instance.
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

/// The delay before a failed probe is repeated: doubling from 15 s, or from 1 s if no request was sent, up to the probe
/// interval.
pub fn retry_after(observation: &Observation, interval: SignedDuration) -> SignedDuration {
    let not_asked = observation.answer == ProbeAnswer::Failure(ProbeFailure::NotAsked);
    let first = if not_asked { SignedDuration::from_secs(1) } else { FIRST_RETRY };
    Backoff { first, max: interval }.delay(observation.failures)
}

/// When to read metadata again after a failure. With backoff, because a table whose definition cannot be read must not
/// cost a request every few seconds.
pub fn metadata_retry_at(failure: MetadataFailure, interval: SignedDuration) -> Timestamp {
    saturating_add(failure.at, Backoff { first: FIRST_RETRY, max: interval }.delay(failure.times))
}
