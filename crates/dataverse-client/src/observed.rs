//! What the client tells of its requests while they happen, for whoever counts them: words of closed lists, the host,
//! the time; nothing of what was sent or answered.

use std::sync::Arc;
use std::time::Duration;

use super::error::{Error, Kind};
use super::exchange::Answer;

/// Is told everything, in the middle of a request; it must be quick.
pub type Observe = Arc<dyn Fn(&Observed<'_>) + Send + Sync>;

/// One thing that happened.
#[derive(Debug, Clone, Copy)]
pub enum Observed<'a> {
    /// A request was sent, and answered or not.
    Exchanged {
        /// The host of the instance (or the discovery service) it was for; of a sign-in, the one the token is for.
        host: &'a str,
        /// What was asked.
        operation: Operation,
        /// How it ended.
        outcome: Outcome,
        /// How long it took, waiting for a turn not included.
        took: Duration,
    },
    /// An answer, or a part of one, asked to wait.
    Throttled {
        /// The host that asked.
        host: &'a str,
    },
}

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A read of one thing.
    Read,
    /// Many reads in one.
    Batch,
    /// The creation of a social activity.
    Create,
    /// A token.
    SignIn,
    /// The list of instances of the discovery service.
    Discover,
}

impl Operation {
    /// The word for it.
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
pub enum Outcome {
    /// Well.
    Ok,
    /// The row exists already: a creation that was made before.
    Exists,
    /// It asked to wait.
    Throttled,
    /// Another status of the 400s: the request or the credentials were refused.
    Refused,
    /// A status of the 500s.
    Failed,
    /// No answer.
    Unreachable,
    /// An answer that is not one.
    Rubbish,
}

impl Outcome {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "success",
            Self::Exists => "already_exists",
            Self::Throttled => "throttled",
            Self::Refused => "rejected",
            Self::Failed => "server_error",
            Self::Unreachable => "unreachable",
            Self::Rubbish => "unexpected_response",
        }
    }

    pub(super) fn of(result: &Result<Answer, Error>) -> Self {
        match result {
            Ok(answer) if answer.status.is_success() => Self::Ok,
            Ok(answer) if answer.status == http::StatusCode::PRECONDITION_FAILED => Self::Exists,
            Ok(answer) if matches!(answer.refusal(), Kind::Throttled { .. }) => Self::Throttled,
            Ok(answer) if answer.status.is_server_error() => Self::Failed,
            Ok(_) => Self::Refused,
            Err(Error { kind: Kind::Unreachable(_), .. }) => Self::Unreachable,
            Err(Error { kind: Kind::HostNotAllowed(_) | Kind::AddressNotAllowed, .. }) => Self::Refused,
            Err(_) => Self::Rubbish,
        }
    }
}
