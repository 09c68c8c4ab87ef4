//! Classifies responses: the expected JSON, an error of the Web API, or something else. Error texts are read here and
//! go no further.

use http::{StatusCode, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, ErrorCode, ErrorKind, Rejection, UnexpectedResponse};
use crate::instrument::RequestOutcome;
use crate::throttle::DEFAULT_RETRY_AFTER;
use crate::transport::HttpResponse;

#[derive(Deserialize)]
struct ErrorBody {
    error: ErrorDetail,
}

#[derive(Deserialize)]
struct ErrorDetail {
    #[serde(default)]
    code: Code,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize, Default)]
#[serde(untagged)]
enum Code {
    Number(i64),
    Text(String),
    #[default]
    Absent,
}

impl ErrorDetail {
    fn code(&self) -> Option<ErrorCode> {
        match &self.code {
            Code::Number(n) => ErrorCode::from_number(*n),
            Code::Text(t) => ErrorCode::parse(t),
            Code::Absent => None,
        }
    }
}

impl HttpResponse {
    fn unexpected(&self, reason: UnexpectedResponse) -> ErrorKind {
        ErrorKind::UnexpectedResponse { status: self.status.as_u16(), reason }
    }

    fn content_type(&self) -> &str {
        self.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    /// Why the body cannot be JSON; `None` if it can.
    fn not_json(&self) -> Option<UnexpectedResponse> {
        let kind = self.content_type().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if kind == "text/html" || kind == "application/xhtml+xml" {
            Some(UnexpectedResponse::Html)
        } else if self.body.iter().all(u8::is_ascii_whitespace) {
            Some(UnexpectedResponse::Empty)
        } else if kind == "application/json" {
            None
        } else {
            Some(UnexpectedResponse::ContentType)
        }
    }

    /// The JSON body of a success; for any other status the error.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, ErrorKind> {
        if !self.status.is_success() {
            return Err(self.error_kind());
        }
        if let Some(reason) = self.not_json() {
            return Err(self.unexpected(reason));
        }
        serde_json::from_slice(&self.body).map_err(|_| self.unexpected(UnexpectedResponse::Undecodable))
    }

    /// The error body of the Web API, if this is one.
    fn detail(&self) -> Option<ErrorDetail> {
        if self.not_json().is_some() {
            return None;
        }
        serde_json::from_slice::<ErrorBody>(&self.body).ok().map(|b| b.error)
    }

    /// Whether the response has an error body of the Web API, with whatever code.
    pub(crate) fn has_error_body(&self) -> bool {
        self.detail().is_some()
    }

    /// The Dataverse code of the error body, if any.
    pub(crate) fn code(&self) -> Option<ErrorCode> {
        self.detail().and_then(|d| d.code())
    }

    /// Whether the error is about a property the table does not have, such as a `regardingobjectid_…` of an unrelated
    /// table.
    pub(crate) fn is_undeclared_property(&self) -> bool {
        self.status == StatusCode::BAD_REQUEST
            && self.detail().is_some_and(|d| d.message.to_ascii_lowercase().contains("undeclared property"))
    }

    /// The error of a response that is not the expected success. Error codes take precedence over the HTTP status,
    /// because Dataverse sends the same code with different statuses.
    pub(crate) fn error_kind(&self) -> ErrorKind {
        let status = self.status.as_u16();
        let detail = self.detail();
        let code = detail.as_ref().and_then(ErrorDetail::code);
        if let Some(code) = code {
            if code == ErrorCode::ORGANIZATION_DISABLED {
                return ErrorKind::OrganizationDisabled;
            }
            if code == ErrorCode::SOCIAL_CARE_DISABLED {
                return ErrorKind::SocialDataRefused;
            }
            if ErrorCode::THROTTLED.contains(&code) {
                return self.throttled();
            }
            if ErrorCode::NOT_A_MEMBER.contains(&code) {
                return ErrorKind::NotAMember { code };
            }
            if ErrorCode::ORGANIZATION_UNAVAILABLE.contains(&code) {
                return ErrorKind::OrganizationUnavailable { code };
            }
            if code == ErrorCode::TOKEN_EXPIRED {
                return ErrorKind::CredentialsRejected { reason: Rejection::Unauthorized, aadsts: None };
            }
        }
        let admin_only = detail.as_ref().is_some_and(|d| d.message.contains("Admin Only mode"));
        match status {
            _ if admin_only => ErrorKind::AdministrationMode,
            401 => ErrorKind::CredentialsRejected { reason: Rejection::Unauthorized, aadsts: None },
            429 => self.throttled(),
            300..=399 => ErrorKind::RedirectRefused { status },
            502..=504 => ErrorKind::ServiceUnavailable { status, retry_after: self.retry_after },
            500..=599 if detail.is_none() => {
                ErrorKind::ServiceUnavailable { status, retry_after: self.retry_after }
            }
            200..=299 => self.unexpected(self.not_json().unwrap_or(UnexpectedResponse::Undecodable)),
            // A page of a gateway or another server says nothing about rows or privileges.
            _ if detail.is_none() => {
                self.unexpected(self.not_json().unwrap_or(UnexpectedResponse::Undecodable))
            }
            403 => ErrorKind::AccessDenied { code },
            404 if code == Some(ErrorCode::OBJECT_DOES_NOT_EXIST) => ErrorKind::RecordNotFound,
            _ if code.is_some_and(|c| ErrorCode::NO_SUCH_TABLE.contains(&c)) => ErrorKind::UnknownTable,
            _ => ErrorKind::Other { status, code },
        }
    }

    fn throttled(&self) -> ErrorKind {
        ErrorKind::Throttled { retry_after: self.retry_after.unwrap_or(DEFAULT_RETRY_AFTER) }
    }

    /// The boundary of a `multipart/mixed` response.
    pub(crate) fn boundary(&self) -> Result<&str, ErrorKind> {
        let mut parameters = self.content_type().split(';').map(str::trim);
        let multipart = parameters.next().is_some_and(|t| t.eq_ignore_ascii_case("multipart/mixed"));
        let boundary = parameters.find_map(|p| {
            let (name, value) = p.split_once('=')?;
            name.eq_ignore_ascii_case("boundary").then_some(value.trim_matches('"'))
        });
        match boundary {
            Some(boundary) if multipart && (1..=70).contains(&boundary.len()) => Ok(boundary),
            _ => Err(self.unexpected(self.not_json().unwrap_or(UnexpectedResponse::IncompleteBatch))),
        }
    }
}

/// The error body of a token endpoint (RFC 6749).
#[derive(Deserialize)]
pub(crate) struct TokenError {
    error: String,
    #[serde(default)]
    error_codes: Vec<u32>,
}

impl TokenError {
    /// The error of a failed token response.
    pub(crate) fn kind_of(response: &HttpResponse) -> ErrorKind {
        let status = response.status.as_u16();
        let error = match response.not_json() {
            None => serde_json::from_slice::<Self>(&response.body).ok(),
            Some(_) => None,
        };
        match (status, error) {
            (429, _) => response.throttled(),
            (300..=399, _) => ErrorKind::RedirectRefused { status },
            (500..=599, _) => ErrorKind::ServiceUnavailable { status, retry_after: response.retry_after },
            (400..=499, Some(error)) => error.kind(status),
            _ => response.unexpected(response.not_json().unwrap_or(UnexpectedResponse::Undecodable)),
        }
    }

    fn kind(&self, status: u16) -> ErrorKind {
        let reason = match self.error.as_str() {
            "temporarily_unavailable" | "server_error" => {
                return ErrorKind::ServiceUnavailable { status, retry_after: None };
            }
            "invalid_client" => Rejection::InvalidClient,
            "unauthorized_client" => Rejection::UnauthorizedClient,
            "invalid_request" => Rejection::InvalidRequest,
            "invalid_grant" => Rejection::InvalidGrant,
            "invalid_scope" | "invalid_resource" => Rejection::InvalidResource,
            _ => Rejection::Other,
        };
        ErrorKind::CredentialsRejected { reason, aadsts: self.error_codes.first().copied() }
    }
}

/// How a request ended, for metrics.
pub(crate) fn outcome(result: &Result<HttpResponse, Error>) -> RequestOutcome {
    match result {
        Ok(response) if response.status.is_success() => RequestOutcome::Ok,
        Ok(response) if response.status == StatusCode::PRECONDITION_FAILED => RequestOutcome::Exists,
        Ok(response) if matches!(response.error_kind(), ErrorKind::Throttled { .. }) => {
            RequestOutcome::Throttled
        }
        Ok(response) if response.status.is_server_error() => RequestOutcome::Failed,
        Ok(_) => RequestOutcome::Refused,
        Err(Error { kind: ErrorKind::Unreachable(_), .. }) => RequestOutcome::Unreachable,
        Err(Error { kind: ErrorKind::HostNotAllowed(_) | ErrorKind::AddressNotAllowed, .. }) => {
            RequestOutcome::Refused
        }
        Err(_) => RequestOutcome::UnexpectedResponse,
    }
}

/// A name from a response, as one line of at most `max` characters.
pub(crate) fn one_line(text: &str, max: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(max).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue};

    use super::*;

    fn response(status: u16, content_type: &'static str, body: &'static str) -> HttpResponse {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        HttpResponse {
            status: StatusCode::from_u16(status).unwrap(),
            headers,
            body: Bytes::from_static(body.as_bytes()),
            retry_after: None,
        }
    }

    fn odata(status: u16, body: &'static str) -> ErrorKind {
        response(status, "application/json; odata.metadata=minimal", body).error_kind()
    }

    #[test]
    fn error_code_takes_precedence_over_status() {
        for status in [400, 403, 404, 500, 503] {
            assert_eq!(
                odata(status, r#"{"error":{"code":"0x8004a104","message":"x"}}"#),
                ErrorKind::OrganizationDisabled
            );
            assert_eq!(
                odata(status, r#"{"error":{"code":"-2147088863","message":"x"}}"#),
                ErrorKind::SocialDataRefused
            );
            assert!(matches!(
                odata(status, r#"{"error":{"code":-2147015898,"message":"x"}}"#),
                ErrorKind::Throttled { .. }
            ));
        }
    }

    #[test]
    fn bare_404_is_not_a_missing_row() {
        assert_eq!(odata(404, r#"{"error":{"code":"0x80040217","message":"x"}}"#), ErrorKind::RecordNotFound);
        assert_eq!(odata(404, r#"{"error":{"code":"0x8006088a","message":"x"}}"#), ErrorKind::UnknownTable);
        assert_eq!(
            odata(404, r#"{"error":{"code":"","message":"x"}}"#),
            ErrorKind::Other { status: 404, code: None }
        );
        for (kind, body, reason) in [
            ("text/html", "<html>0x80040217</html>", UnexpectedResponse::Html),
            ("application/json", "", UnexpectedResponse::Empty),
            ("application/json", "{}", UnexpectedResponse::Undecodable),
            ("text/plain", "0x80040217", UnexpectedResponse::ContentType),
            ("text/html", r#"{"error":{"code":"0x80040217","message":"x"}}"#, UnexpectedResponse::Html),
        ] {
            assert_eq!(
                response(404, kind, body).error_kind(),
                ErrorKind::UnexpectedResponse { status: 404, reason },
                "{kind} {body}"
            );
        }
    }

    #[test]
    fn administration_mode_is_recognized_by_its_message() {
        let body = r#"{"error":{"code":"0x0","message":"User does not have required privileges (or role membership) to access the org when it is in Admin Only mode."}}"#;
        assert_eq!(odata(403, body), ErrorKind::AdministrationMode);
        assert_eq!(
            odata(403, r#"{"error":{"code":"0x80072560","message":"x"}}"#),
            ErrorKind::NotAMember { code: ErrorCode(0x8007_2560) }
        );
        assert_eq!(
            odata(403, r#"{"error":{"code":"0x80048405","message":"x"}}"#),
            ErrorKind::AccessDenied { code: Some(ErrorCode(0x8004_8405)) }
        );
    }

    #[test]
    fn status_decides_without_an_error_body() {
        for status in [502, 503, 504, 500] {
            assert!(matches!(
                response(status, "text/html", "<h1>oops</h1>").error_kind(),
                ErrorKind::ServiceUnavailable { .. }
            ));
        }
        assert_eq!(response(302, "text/html", "").error_kind(), ErrorKind::RedirectRefused { status: 302 });
        assert!(matches!(response(401, "text/html", "").error_kind(), ErrorKind::CredentialsRejected { .. }));
        assert!(matches!(response(429, "text/plain", "").error_kind(), ErrorKind::Throttled { .. }));
        assert_eq!(
            response(403, "text/html", "<h1>stopped</h1>").error_kind(),
            ErrorKind::UnexpectedResponse { status: 403, reason: UnexpectedResponse::Html }
        );
        assert_eq!(
            response(500, "application/json", r#"{"error":{"code":"0x80044151","message":"x"}}"#)
                .error_kind(),
            ErrorKind::Other { status: 500, code: Some(ErrorCode(0x8004_4151)) }
        );
    }

    #[test]
    fn boundary_may_be_quoted() {
        assert_eq!(response(200, "multipart/mixed; boundary=b_1", "").boundary().ok(), Some("b_1"));
        assert_eq!(
            response(200, r#"Multipart/Mixed;charset=x; Boundary="b 1""#, "").boundary().ok(),
            Some("b 1")
        );
        assert!(response(200, "application/json; boundary=b", "{}").boundary().is_err());
        assert!(response(200, "multipart/mixed", "x").boundary().is_err());
    }
}
