//! What can go wrong, as one closed set. No value here carries text of the other side, a URL, a token or post text.

use std::fmt;
use std::time::Duration;

use super::credentials::CredentialFault;
use super::origin::OriginError;

/// Who was being talked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Peer {
    /// The Dynamics instance.
    Instance,
    /// The token endpoint of the instance's cloud.
    SignIn,
    /// The Global Discovery Service.
    Discovery,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Instance => "the instance",
            Self::SignIn => "the token endpoint",
            Self::Discovery => "the discovery service",
        })
    }
}

/// A failed call: who, and what.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{peer}: {kind}")]
pub struct Error {
    /// Who was being talked to.
    pub peer: Peer,
    /// What happened.
    pub kind: Kind,
}

impl Error {
    pub(super) fn instance(kind: Kind) -> Self {
        Self { peer: Peer::Instance, kind }
    }

    /// What the failure says about the connection as a whole (semantics: Downtime only on evidence about the
    /// instance itself; unusable credentials or hosts leave the state as last known).
    pub fn meaning(&self) -> Meaning {
        match (&self.kind, self.peer) {
            (Kind::HostNotAllowed(_) | Kind::AddressNotAllowed, _) => Meaning::HostUnusable,
            (Kind::CredentialsUnusable(_) | Kind::CredentialsRejected { .. }, _) => {
                Meaning::CredentialsUnusable
            }
            (Kind::Throttled { .. } | Kind::Busy, _) => Meaning::Wait,
            (_, Peer::SignIn) => Meaning::SignInUnavailable,
            (_, Peer::Discovery) => Meaning::NoEvidence,
            (Kind::NotAMember { .. } | Kind::AccessDenied { .. }, _) => Meaning::CredentialsUnusable,
            (
                Kind::OrganizationDisabled
                | Kind::OrganizationUnavailable { .. }
                | Kind::AdministrationMode
                | Kind::ServiceUnavailable { .. }
                | Kind::Unreachable(_)
                | Kind::Rubbish { .. }
                | Kind::RedirectRefused { .. },
                Peer::Instance,
            ) => Meaning::InstanceDown,
            (
                Kind::SocialDataRefused
                | Kind::RecordNotFound
                | Kind::AnotherOrganization
                | Kind::RecordTypeUnknown
                | Kind::Other { .. },
                Peer::Instance,
            ) => Meaning::RequestRefused,
        }
    }

    /// How long the other side asked us to stay away, if it did.
    pub fn retry_after(&self) -> Option<Duration> {
        match &self.kind {
            Kind::Throttled { retry_after } => Some(*retry_after),
            Kind::ServiceUnavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// What an [`Error`] says about a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Meaning {
    /// The instance itself is not usable: `Downtime`.
    InstanceDown,
    /// The credentials do not work (any more).
    CredentialsUnusable,
    /// The operator's rules forbid the host or the address it leads to.
    HostUnusable,
    /// No token can be had now; says nothing about the instance or the credentials.
    SignInUnavailable,
    /// The discovery service did not answer: no evidence of anything.
    NoEvidence,
    /// Come back later; nothing is wrong.
    Wait,
    /// The instance works and refuses this one request. (Of a health probe, which every instance must answer, a
    /// refusal means that it is not usable.)
    RequestRefused,
}

/// What happened. Closed on purpose: a status message is chosen by kind, never copied from an answer (T5).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Kind {
    /// The URL is not one the operator admits.
    #[error("{0}")]
    HostNotAllowed(OriginError),
    /// The name leads to an address that is not on the public internet.
    #[error("the host name leads to a private, local or reserved address, which is refused")]
    AddressNotAllowed,
    /// The credentials cannot even be tried.
    #[error("{0}")]
    CredentialsUnusable(CredentialFault),
    /// 401 of the instance, or a refusal of the token endpoint.
    #[error("the credentials were rejected ({reason}{})", aadsts.map(|n| format!(", AADSTS{n}")).unwrap_or_default())]
    CredentialsRejected {
        /// The refusal, as far as it is a standard one.
        reason: Rejection,
        /// The number behind `AADSTS`, if the token endpoint gave one.
        aadsts: Option<u32>,
    },
    /// The application user is missing, disabled or without business unit (0x80072560, 0x8004A112, 0x80040225).
    #[error("the application user does not exist in the organisation or is disabled ({code})")]
    NotAMember {
        /// Which of the three.
        code: ErrorCode,
    },
    /// 403 for want of a privilege.
    #[error("the application user lacks a privilege{}", in_brackets(*code))]
    AccessDenied {
        /// The Dataverse code, if there was one.
        code: Option<ErrorCode>,
    },
    /// 0x8004A104: disabled on the instance's own side (by an administrator, expired, cleaned up).
    #[error("the organisation is disabled on its own side")]
    OrganizationDisabled,
    /// The organisation is being moved, is not configured, or is unknown to its scale group.
    #[error("the organisation is not available ({code})")]
    OrganizationUnavailable {
        /// 0x8004B044, 0x8004D253 or 0x8004B067.
        code: ErrorCode,
    },
    /// Only administrators get in.
    #[error("the organisation is in administration mode")]
    AdministrationMode,
    /// 0x80060621: the organisation does not accept social data.
    #[error("the organisation does not accept social data")]
    SocialDataRefused,
    /// 429, or one of the three service protection codes; or our own gate while such an answer is in force.
    #[error("it asks to wait {} s before the next request", retry_after.as_secs())]
    Throttled {
        /// How long from now; at most an hour, whatever was asked.
        retry_after: Duration,
    },
    /// All request slots of this instance stayed taken until the deadline. Nothing was sent.
    #[error("too many requests to it are under way; nothing was sent")]
    Busy,
    /// 502, 503, 504, or another 5xx that is not from the application itself.
    #[error("the service is not available (HTTP {status})")]
    ServiceUnavailable {
        /// The HTTP status.
        status: u16,
        /// `Retry-After`, capped, if sent.
        retry_after: Option<Duration>,
    },
    /// No answer arrived.
    #[error("{0}")]
    Unreachable(Unreachable),
    /// Something answered that is not the Web API.
    #[error("the answer is not one of the Web API: {why} (HTTP {status})")]
    Rubbish {
        /// The HTTP status; 0 if there was none.
        status: u16,
        /// What is wrong with it.
        why: Rubbish,
    },
    /// The row does not exist, told by Dataverse itself (0x80040217). Never from a bare 404 (R27).
    #[error("the record does not exist")]
    RecordNotFound,
    /// Another organisation answers than the one the question is about: the URL has changed hands (R27).
    #[error("another organisation answers at this address")]
    AnotherOrganization,
    /// No such table or entity set, or not one that social activities can be regarding.
    #[error("the record type is unknown, or not related to social activities")]
    RecordTypeUnknown,
    /// A redirect, which is never followed.
    #[error("it answered with a redirect (HTTP {status}), which is not followed")]
    RedirectRefused {
        /// The HTTP status.
        status: u16,
    },
    /// Everything else.
    #[error("the request was refused (HTTP {status}{})", code.map(|c| format!(", {c}")).unwrap_or_default())]
    Other {
        /// The HTTP status.
        status: u16,
        /// The Dataverse code, if there was one.
        code: Option<ErrorCode>,
    },
}

fn in_brackets(code: Option<ErrorCode>) -> String {
    code.map(|c| format!(" ({c})")).unwrap_or_default()
}

/// Standard refusals of a token endpoint (RFC 6749), and the 401 of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Rejection {
    /// The instance refused a fresh token.
    #[error("the instance does not accept the token")]
    Unauthorized,
    /// `invalid_client`: wrong or expired secret, certificate or assertion.
    #[error("invalid_client")]
    InvalidClient,
    /// `unauthorized_client`: the application is unknown in the tenant.
    #[error("unauthorized_client")]
    UnauthorizedClient,
    /// `invalid_request`: often an unknown tenant.
    #[error("invalid_request")]
    InvalidRequest,
    /// `invalid_grant`.
    #[error("invalid_grant")]
    InvalidGrant,
    /// `invalid_scope` or `invalid_resource`: no such instance in this tenant.
    #[error("invalid_resource")]
    InvalidResource,
    /// Any other word.
    #[error("refused")]
    Other,
}

/// Why no answer arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Unreachable {
    /// The name cannot be resolved.
    #[error("the host name cannot be resolved")]
    Dns,
    /// No address accepts a connection.
    #[error("it accepts no connection")]
    Connect,
    /// The TLS handshake failed: certificate not trusted, wrong name, no common version.
    #[error("the TLS handshake failed; its certificate may not be trusted here")]
    Tls,
    /// The connection broke before the answer was complete.
    #[error("the connection broke before the answer was complete")]
    Reset,
    /// The deadline of the request passed.
    #[error("it did not answer in time")]
    Timeout,
}

/// What is wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Rubbish {
    /// A web page.
    #[error("a web page")]
    Html,
    /// Neither JSON nor a web page.
    #[error("an unexpected content type")]
    ContentType,
    /// A content encoding that was not asked for.
    #[error("an encoding that was not asked for")]
    Encoding,
    /// Not JSON, or JSON of another shape.
    #[error("a body that cannot be read")]
    Unreadable,
    /// A body over the cap.
    #[error("a body larger than accepted")]
    TooLarge,
    /// No body where one belongs.
    #[error("an empty body")]
    Empty,
    /// Not HTTP, or headers over the cap.
    #[error("headers that are too large or not HTTP")]
    Head,
    /// A row other than the one asked for.
    #[error("a row other than the one asked for")]
    OtherRow,
    /// A batch answer that is cut short or does not fit the questions.
    #[error("an incomplete batch")]
    Batch,
}

/// A Dataverse error code, shown as `0x80040217`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorCode(pub u32);

impl ErrorCode {
    pub(super) const OBJECT_DOES_NOT_EXIST: Self = Self(0x8004_0217);
    pub(super) const ORGANIZATION_DISABLED: Self = Self(0x8004_A104);
    pub(super) const SOCIAL_CARE_DISABLED: Self = Self(0x8006_0621);
    pub(super) const THROTTLED: [Self; 3] = [Self(0x8007_2321), Self(0x8007_2322), Self(0x8007_2326)];
    pub(super) const NOT_A_MEMBER: [Self; 3] = [Self(0x8007_2560), Self(0x8004_A112), Self(0x8004_0225)];
    pub(super) const ORGANIZATION_UNAVAILABLE: [Self; 3] =
        [Self(0x8004_B044), Self(0x8004_D253), Self(0x8004_B067)];
    /// A token that has run out, told with whatever status.
    pub(super) const TOKEN_EXPIRED: Self = Self(0x8005_F101);
    /// No such segment (entity set) or no such table in the metadata cache.
    pub(super) const NO_SUCH_TABLE: [Self; 3] = [Self(0x8006_088A), Self(0x8006_0888), Self(0x8004_1102)];
    /// A key that is taken already, by whichever key of the table.
    pub(super) const DUPLICATE: [Self; 2] = [Self(0x8006_0892), Self(0x8004_0237)];

    /// Reads `0x80040217`, `80040217` is not a code, `-2147220969` and `2147746327` are.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            return u32::from_str_radix(hex, 16).ok().map(Self);
        }
        let number: i64 = text.parse().ok()?;
        Self::from_number(number)
    }

    /// The signed or unsigned decimal form.
    pub(super) fn from_number(number: i64) -> Option<Self> {
        i32::try_from(number).map(i32::cast_unsigned).or_else(|_| u32::try_from(number)).ok().map(Self)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:08X}", self.0)
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_in_hex_and_decimal() {
        for text in ["0x80040217", "0X80040217", "-2147220969", "2147746327", " 0x80040217 "] {
            assert_eq!(ErrorCode::parse(text), Some(ErrorCode::OBJECT_DOES_NOT_EXIST), "{text}");
        }
        for text in ["", "0x", "abc", "0x1800402170", "99999999999999"] {
            assert_eq!(ErrorCode::parse(text), None, "{text}");
        }
        assert_eq!(ErrorCode::parse("-2147180284"), Some(ErrorCode::ORGANIZATION_DISABLED));
        assert_eq!(ErrorCode::parse("-2147088863"), Some(ErrorCode::SOCIAL_CARE_DISABLED));
        assert_eq!(ErrorCode::parse("-2147015902"), Some(ErrorCode::THROTTLED[1]));
    }
}
