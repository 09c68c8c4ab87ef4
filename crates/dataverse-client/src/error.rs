//! Errors, as a closed set. None holds text of the other side, a URL, a token or post text, so all can be logged.

use std::fmt;
use std::time::Duration;

use crate::credentials::CredentialError;
use crate::origin::OriginError;

/// The service a call was made to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// The Dataverse instance.
    Instance,
    /// The token endpoint of the instance's cloud.
    SignIn,
    /// The Global Discovery Service.
    Discovery,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Instance => "the instance",
            Self::SignIn => "the token endpoint",
            Self::Discovery => "the discovery service",
        })
    }
}

/// A failed call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{endpoint}: {kind}")]
pub struct Error {
    /// The service that failed.
    pub endpoint: Endpoint,
    /// What went wrong.
    pub kind: ErrorKind,
}

impl Error {
    pub(crate) fn instance(kind: ErrorKind) -> Self {
        Self { endpoint: Endpoint::Instance, kind }
    }

    /// What the error says about the instance and the credentials as a whole.
    pub fn class(&self) -> ErrorClass {
        match (&self.kind, self.endpoint) {
            (ErrorKind::HostNotAllowed(_) | ErrorKind::AddressNotAllowed, _) => ErrorClass::HostNotAllowed,
            (ErrorKind::CredentialsUnusable(_) | ErrorKind::CredentialsRejected { .. }, _) => {
                ErrorClass::CredentialsUnusable
            }
            (ErrorKind::Throttled { .. } | ErrorKind::Busy, _) => ErrorClass::RetryLater,
            (_, Endpoint::SignIn) => ErrorClass::SignInUnavailable,
            (_, Endpoint::Discovery) => ErrorClass::DiscoveryUnavailable,
            (ErrorKind::NotAMember { .. } | ErrorKind::AccessDenied { .. }, _) => {
                ErrorClass::CredentialsUnusable
            }
            (
                ErrorKind::OrganizationDisabled
                | ErrorKind::OrganizationUnavailable { .. }
                | ErrorKind::AdministrationMode
                | ErrorKind::ServiceUnavailable { .. }
                | ErrorKind::Unreachable(_)
                | ErrorKind::UnexpectedResponse { .. }
                | ErrorKind::RedirectRefused { .. },
                Endpoint::Instance,
            ) => ErrorClass::InstanceDown,
            (
                ErrorKind::SocialDataRefused
                | ErrorKind::RecordNotFound
                | ErrorKind::OrganizationMismatch
                | ErrorKind::UnknownTable
                | ErrorKind::Other { .. },
                Endpoint::Instance,
            ) => ErrorClass::RequestRefused,
        }
    }

    /// The `Retry-After` of the response, if there was one.
    pub fn retry_after(&self) -> Option<Duration> {
        match &self.kind {
            ErrorKind::Throttled { retry_after } => Some(*retry_after),
            ErrorKind::ServiceUnavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// What an [`Error`] means for later calls with the same handle. See [`Error::class`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The instance is down, disabled or in administration mode, or something else answers at its address.
    InstanceDown,
    /// The credentials do not work, or the application user lacks rights.
    CredentialsUnusable,
    /// The configuration does not allow the host, or the address it resolves to.
    HostNotAllowed,
    /// The sign-in service failed; says nothing about the instance or the credentials.
    SignInUnavailable,
    /// The discovery service failed; says nothing about the instance.
    DiscoveryUnavailable,
    /// Throttled, or all slots are taken.
    RetryLater,
    /// The instance works and rejects this request. [`Instance::health`](crate::Instance::health) is never rejected by
    /// a usable instance.
    RequestRefused,
}

/// What went wrong. Callers choose their messages by kind; text of a response is never passed on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ErrorKind {
    /// [`Config::allow_hosts`](crate::Config::allow_hosts) does not allow the host, or the URL is not an origin.
    #[error("{0}")]
    HostNotAllowed(OriginError),
    /// The host name resolves to an address that is not on the public internet.
    #[error("the host name resolves to a private, local or reserved address, which is refused")]
    AddressNotAllowed,
    /// The credentials are not well formed. Nothing was sent.
    #[error("{0}")]
    CredentialsUnusable(CredentialError),
    /// 401 of the instance after a retry with a new token, or an error response of the token endpoint.
    #[error("the credentials were rejected ({reason}{})", aadsts.map(|n| format!(", AADSTS{n}")).unwrap_or_default())]
    CredentialsRejected {
        /// The OAuth error.
        reason: Rejection,
        /// The number of the `AADSTS` code, if the token endpoint sent one.
        aadsts: Option<u32>,
    },
    /// The application user is missing, disabled or without business unit (0x80072560, 0x8004A112, 0x80040225).
    #[error("the application user does not exist in the organization or is disabled ({code})")]
    NotAMember {
        /// Which of the three.
        code: ErrorCode,
    },
    /// 403: a privilege is missing.
    #[error("the application user lacks a privilege{}", in_brackets(*code))]
    AccessDenied {
        /// The Dataverse error code, if there was one.
        code: Option<ErrorCode>,
    },
    /// 0x8004A104: the organization is disabled by an administrator, has expired, or is due for cleanup.
    #[error("the organization is disabled")]
    OrganizationDisabled,
    /// The organization is being moved, is not configured, or is unknown to its scale group.
    #[error("the organization is not available ({code})")]
    OrganizationUnavailable {
        /// 0x8004B044, 0x8004D253 or 0x8004B067.
        code: ErrorCode,
    },
    /// Administration mode: only administrators can sign in.
    #[error("the organization is in administration mode")]
    AdministrationMode,
    /// 0x80060621: the organization does not accept social data.
    #[error("the organization does not accept social data")]
    SocialDataRefused,
    /// 429 or one of the three service protection codes. Also returned, without a request, until the wait has passed.
    #[error("throttled; retry after {} s", retry_after.as_secs())]
    Throttled {
        /// The remaining wait; at most an hour.
        retry_after: Duration,
    },
    /// All [`Config::concurrency`](crate::Config::concurrency) slots stayed taken until the timeout. Nothing was sent.
    #[error("too many requests are in flight; nothing was sent")]
    Busy,
    /// 502, 503, 504, or another 5xx without an error body of the Web API.
    #[error("the service is not available (HTTP {status})")]
    ServiceUnavailable {
        /// The HTTP status, 500 or above.
        status: u16,
        /// `Retry-After`, at most an hour, if sent.
        retry_after: Option<Duration>,
    },
    /// No complete response arrived.
    #[error("{0}")]
    Unreachable(Unreachable),
    /// The response is not one of the Web API: a proxy, a gateway or another server answered.
    #[error("unexpected response: {reason} (HTTP {status})")]
    UnexpectedResponse {
        /// The HTTP status; 0 if there was none.
        status: u16,
        /// What is wrong with it.
        reason: UnexpectedResponse,
    },
    /// 0x80040217: the row does not exist. Never inferred from a bare 404, which any gateway can send.
    #[error("the record does not exist")]
    RecordNotFound,
    /// Another organization answers than the one given: the environment was reset or copied, or its URL reused.
    #[error("another organization answers at this address")]
    OrganizationMismatch,
    /// The table or entity set does not exist, or social activities cannot be regarding its rows.
    #[error("the table does not exist, or is not related to social activities")]
    UnknownTable,
    /// A redirect. Redirects are never followed.
    #[error("redirected (HTTP {status}); redirects are not followed")]
    RedirectRefused {
        /// The HTTP status, between 300 and 399.
        status: u16,
    },
    /// Any other error of the Web API.
    #[error("the request was refused (HTTP {status}{})", code.map(|c| format!(", {c}")).unwrap_or_default())]
    Other {
        /// The HTTP status.
        status: u16,
        /// The Dataverse error code, if there was one.
        code: Option<ErrorCode>,
    },
}

fn in_brackets(code: Option<ErrorCode>) -> String {
    code.map(|c| format!(" ({c})")).unwrap_or_default()
}

/// Why credentials were rejected: the OAuth error of the token endpoint (RFC 6749), or a 401 of the instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Rejection {
    /// The instance rejected a new token.
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
    /// Any other error.
    #[error("other")]
    Other,
}

/// Why no complete response arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Unreachable {
    /// The host name cannot be resolved.
    #[error("the host name cannot be resolved")]
    Dns,
    /// No address accepts a connection, or it is closed before the TLS handshake is complete.
    #[error("no address accepts a connection")]
    Connect,
    /// The TLS handshake failed: the certificate is not trusted or for another name, or there is no common version.
    #[error("the TLS handshake failed; the certificate may not be trusted")]
    Tls,
    /// The connection broke before the response was complete.
    #[error("the connection broke before the response was complete")]
    Reset,
    /// A timeout of [`Timeouts`](crate::Timeouts) passed.
    #[error("no response in time")]
    Timeout,
}

/// Why a response is not one of the Web API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum UnexpectedResponse {
    /// An HTML page.
    #[error("an HTML page")]
    Html,
    /// Neither JSON nor HTML.
    #[error("an unexpected content type")]
    ContentType,
    /// A `Content-Encoding`, although none was requested.
    #[error("a content encoding that was not requested")]
    Encoding,
    /// Not JSON, or JSON of another shape.
    #[error("a body that cannot be decoded")]
    Undecodable,
    /// A body over its [`BodyLimits`](crate::BodyLimits).
    #[error("a body over the size limit")]
    TooLarge,
    /// No body where one is required.
    #[error("an empty body")]
    Empty,
    /// Not HTTP, or headers over the size limit.
    #[error("headers that are too large or not HTTP")]
    InvalidHead,
    /// Another row than the requested one.
    #[error("another row than the requested one")]
    OtherRow,
    /// A batch response that is truncated or does not match the batch.
    #[error("an incomplete batch")]
    IncompleteBatch,
}

/// A Dataverse error code, shown as `0x80040217`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorCode(pub u32);

impl ErrorCode {
    pub(crate) const OBJECT_DOES_NOT_EXIST: Self = Self(0x8004_0217);
    pub(crate) const ORGANIZATION_DISABLED: Self = Self(0x8004_A104);
    pub(crate) const SOCIAL_CARE_DISABLED: Self = Self(0x8006_0621);
    pub(crate) const THROTTLED: [Self; 3] = [Self(0x8007_2321), Self(0x8007_2322), Self(0x8007_2326)];
    pub(crate) const NOT_A_MEMBER: [Self; 3] = [Self(0x8007_2560), Self(0x8004_A112), Self(0x8004_0225)];
    pub(crate) const ORGANIZATION_UNAVAILABLE: [Self; 3] =
        [Self(0x8004_B044), Self(0x8004_D253), Self(0x8004_B067)];
    /// An expired token, sent with various statuses.
    pub(crate) const TOKEN_EXPIRED: Self = Self(0x8005_F101);
    /// No such entity set, or no such table in the metadata cache.
    pub(crate) const NO_SUCH_TABLE: [Self; 3] = [Self(0x8006_088A), Self(0x8006_0888), Self(0x8004_1102)];
    /// The primary key or an alternate key is taken.
    pub(crate) const DUPLICATE: [Self; 2] = [Self(0x8006_0892), Self(0x8004_0237)];

    /// Parses the hexadecimal form with `0x`, or the signed or unsigned decimal form: `0x80040217`, `-2147220969` and
    /// `2147746327` are the same code.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            return u32::from_str_radix(hex, 16).ok().map(Self);
        }
        let number: i64 = text.parse().ok()?;
        Self::from_number(number)
    }

    /// Converts the signed or unsigned decimal form.
    pub(crate) fn from_number(number: i64) -> Option<Self> {
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
    fn error_codes_parse_in_hex_and_decimal() {
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
