//! Events for metrics: one per request, one per throttling response. No event holds request or response content.

use std::sync::Arc;
use std::time::Duration;

/// Receives every [`ClientEvent`]. Called while a request is in progress, so it must not block.
pub type Observer = Arc<dyn Fn(&ClientEvent<'_>) + Send + Sync>;

/// Something to count.
#[derive(Debug, Clone, Copy)]
pub enum ClientEvent<'a> {
    /// A request was sent and ended, with or without a response.
    RequestFinished {
        /// The host of the instance or of the discovery service. For a sign-in, the host the token is for.
        host: &'a str,
        /// The purpose of the request.
        operation: Operation,
        /// The class of its response.
        outcome: RequestOutcome,
        /// Time from sending to the end, without waiting for a slot.
        took: Duration,
    },
    /// A response, or one part of a batch response, asked to slow down.
    Throttled {
        /// The host that sent it.
        host: &'a str,
    },
}

/// The purpose of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A single read.
    Read,
    /// A `$batch` of reads.
    Batch,
    /// The creation of a social activity.
    Create,
    /// A token request.
    SignIn,
    /// The instance list of the discovery service.
    Discover,
}

impl Operation {
    /// A stable word, for metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Batch => "batch",
            Self::Create => "create",
            Self::SignIn => "sign_in",
            Self::Discover => "discover",
        }
    }
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequestOutcome {
    /// Any 2xx status.
    Ok,
    /// 412: the row exists already, from an earlier creation.
    Exists,
    /// 429 or a service protection error.
    Throttled,
    /// Another 4xx status, or a host or address that is not allowed.
    Refused,
    /// A 5xx status.
    Failed,
    /// No response.
    Unreachable,
    /// Not a response of the Web API.
    UnexpectedResponse,
}

impl RequestOutcome {
    /// A stable word, for metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "success",
            Self::Exists => "already_exists",
            Self::Throttled => "throttled",
            Self::Refused => "rejected",
            Self::Failed => "server_error",
            Self::Unreachable => "unreachable",
            Self::UnexpectedResponse => "unexpected_response",
        }
    }
}
