//! OAuth errors in the form of Microsoft Entra ID: `error`, `error_description` with an AADSTS number.

use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

/// Why the token endpoint refuses a request.
pub(crate) struct OAuthError {
    pub status: StatusCode,
    error: &'static str,
    number: u32,
    message: String,
}

impl OAuthError {
    pub fn new(status: StatusCode, error: &'static str, number: u32, message: impl Into<String>) -> Self {
        Self { status, error, number, message: message.into() }
    }

    /// 400 `invalid_request`.
    pub fn invalid_request(number: u32, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", number, message)
    }

    /// 401 `invalid_client`.
    pub fn invalid_client(number: u32, message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_client", number, message)
    }

    /// The body of the response of the sign-in host `host`.
    pub fn body(&self, host: &str, now: Timestamp) -> Value {
        let Self { error, number, message, .. } = self;
        let trace = Uuid::new_v5(&Uuid::NAMESPACE_URL, message.as_bytes());
        json!({
            "error": error,
            "error_description": format!(
                "AADSTS{number}: {message} Trace ID: {trace} Correlation ID: {trace} Timestamp: {now}"
            ),
            "error_codes": [number],
            "timestamp": now.to_string(),
            "trace_id": trace,
            "correlation_id": trace,
            "error_uri": format!("https://{host}/error?code={number}"),
        })
    }
}
