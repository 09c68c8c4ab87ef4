//! What an answer means: JSON or rubbish, success or which refusal. Error texts are looked at here and dropped here.

use http::{StatusCode, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::error::{ErrorCode, Kind, Rejection, Rubbish};
use super::exchange::Answer;
use super::lane::DEFAULT_RETRY_AFTER;

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

impl Answer {
    fn rubbish(&self, why: Rubbish) -> Kind {
        Kind::Rubbish { status: self.status.as_u16(), why }
    }

    fn content_type(&self) -> &str {
        self.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    /// What keeps the body from being JSON, if anything.
    fn not_json(&self) -> Option<Rubbish> {
        let kind = self.content_type().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if kind == "text/html" || kind == "application/xhtml+xml" {
            Some(Rubbish::Html)
        } else if self.body.iter().all(u8::is_ascii_whitespace) {
            Some(Rubbish::Empty)
        } else if kind == "application/json" {
            None
        } else {
            Some(Rubbish::ContentType)
        }
    }

    /// The body of a success, as the shape asked for.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Kind> {
        if !self.status.is_success() {
            return Err(self.refusal());
        }
        if let Some(why) = self.not_json() {
            return Err(self.rubbish(why));
        }
        serde_json::from_slice(&self.body).map_err(|_| self.rubbish(Rubbish::Unreadable))
    }

    /// The error body of the Web API, if this is one.
    fn detail(&self) -> Option<ErrorDetail> {
        if self.not_json().is_some() {
            return None;
        }
        serde_json::from_slice::<ErrorBody>(&self.body).ok().map(|b| b.error)
    }

    /// Whether a body of the Web API itself says so, with whatever code.
    pub(super) fn told_by_web_api(&self) -> bool {
        self.detail().is_some()
    }

    /// The Dataverse code of the error body, if any.
    pub(super) fn code(&self) -> Option<ErrorCode> {
        self.detail().and_then(|d| d.code())
    }

    /// Whether the refusal is about a property the table does not have: a `regardingobjectid_…` that is not there.
    pub(super) fn complains_of_property(&self) -> bool {
        self.status == StatusCode::BAD_REQUEST
            && self.detail().is_some_and(|d| d.message.to_ascii_lowercase().contains("undeclared property"))
    }

    /// What an answer that is not the success hoped for means. Codes go before statuses: Dataverse sends the same
    /// code with different statuses.
    pub(super) fn refusal(&self) -> Kind {
        let status = self.status.as_u16();
        let detail = self.detail();
        let code = detail.as_ref().and_then(ErrorDetail::code);
        if let Some(code) = code {
            if code == ErrorCode::ORGANIZATION_DISABLED {
                return Kind::OrganizationDisabled;
            }
            if code == ErrorCode::SOCIAL_CARE_DISABLED {
                return Kind::SocialDataRefused;
            }
            if ErrorCode::THROTTLED.contains(&code) {
                return self.throttled();
            }
            if ErrorCode::NOT_A_MEMBER.contains(&code) {
                return Kind::NotAMember { code };
            }
            if ErrorCode::ORGANIZATION_UNAVAILABLE.contains(&code) {
                return Kind::OrganizationUnavailable { code };
            }
            if code == ErrorCode::TOKEN_EXPIRED {
                return Kind::CredentialsRejected { reason: Rejection::Unauthorized, aadsts: None };
            }
        }
        let admin_only = detail.as_ref().is_some_and(|d| d.message.contains("Admin Only mode"));
        match status {
            _ if admin_only => Kind::AdministrationMode,
            401 => Kind::CredentialsRejected { reason: Rejection::Unauthorized, aadsts: None },
            429 => self.throttled(),
            300..=399 => Kind::RedirectRefused { status },
            502..=504 => Kind::ServiceUnavailable { status, retry_after: self.retry_after },
            500..=599 if detail.is_none() => {
                Kind::ServiceUnavailable { status, retry_after: self.retry_after }
            }
            200..=299 => self.rubbish(self.not_json().unwrap_or(Rubbish::Unreadable)),
            // A gateway's or a stranger's page says nothing about rows or privileges (R27).
            _ if detail.is_none() => self.rubbish(self.not_json().unwrap_or(Rubbish::Unreadable)),
            403 => Kind::AccessDenied { code },
            404 if code == Some(ErrorCode::OBJECT_DOES_NOT_EXIST) => Kind::RecordNotFound,
            _ if code.is_some_and(|c| ErrorCode::NO_SUCH_TABLE.contains(&c)) => Kind::RecordTypeUnknown,
            _ => Kind::Other { status, code },
        }
    }

    fn throttled(&self) -> Kind {
        Kind::Throttled { retry_after: self.retry_after.unwrap_or(DEFAULT_RETRY_AFTER) }
    }

    /// The boundary of a `multipart/mixed` answer.
    pub(super) fn boundary(&self) -> Result<&str, Kind> {
        let mut parameters = self.content_type().split(';').map(str::trim);
        let multipart = parameters.next().is_some_and(|t| t.eq_ignore_ascii_case("multipart/mixed"));
        let boundary = parameters.find_map(|p| {
            let (name, value) = p.split_once('=')?;
            name.eq_ignore_ascii_case("boundary").then_some(value.trim_matches('"'))
        });
        match boundary {
            Some(boundary) if multipart && (1..=70).contains(&boundary.len()) => Ok(boundary),
            _ => Err(self.rubbish(self.not_json().unwrap_or(Rubbish::Batch))),
        }
    }
}

/// The error body of a token endpoint.
#[derive(Deserialize)]
pub(super) struct TokenRefusal {
    error: String,
    #[serde(default)]
    error_codes: Vec<u32>,
}

impl TokenRefusal {
    /// Reads the refusal out of an answer of the token endpoint.
    pub(super) fn of(answer: &Answer) -> Kind {
        let status = answer.status.as_u16();
        let refusal = match answer.not_json() {
            None => serde_json::from_slice::<Self>(&answer.body).ok(),
            Some(_) => None,
        };
        match (status, refusal) {
            (429, _) => answer.throttled(),
            (300..=399, _) => Kind::RedirectRefused { status },
            (500..=599, _) => Kind::ServiceUnavailable { status, retry_after: answer.retry_after },
            (400..=499, Some(refusal)) => refusal.kind(status),
            _ => answer.rubbish(answer.not_json().unwrap_or(Rubbish::Unreadable)),
        }
    }

    fn kind(&self, status: u16) -> Kind {
        let reason = match self.error.as_str() {
            "temporarily_unavailable" | "server_error" => {
                return Kind::ServiceUnavailable { status, retry_after: None };
            }
            "invalid_client" => Rejection::InvalidClient,
            "unauthorized_client" => Rejection::UnauthorizedClient,
            "invalid_request" => Rejection::InvalidRequest,
            "invalid_grant" => Rejection::InvalidGrant,
            "invalid_scope" | "invalid_resource" => Rejection::InvalidResource,
            _ => Rejection::Other,
        };
        Kind::CredentialsRejected { reason, aadsts: self.error_codes.first().copied() }
    }
}

/// Text of the instance that ends in a status: one line, bounded.
pub(super) fn one_line(text: &str, most: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(most).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue};

    use super::*;

    fn answer(status: u16, content_type: &'static str, body: &'static str) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers,
            body: Bytes::from_static(body.as_bytes()),
            retry_after: None,
        }
    }

    fn odata(status: u16, body: &'static str) -> Kind {
        answer(status, "application/json; odata.metadata=minimal", body).refusal()
    }

    #[test]
    fn codes_go_before_statuses() {
        for status in [400, 403, 404, 500, 503] {
            assert_eq!(
                odata(status, r#"{"error":{"code":"0x8004a104","message":"x"}}"#),
                Kind::OrganizationDisabled
            );
            assert_eq!(
                odata(status, r#"{"error":{"code":"-2147088863","message":"x"}}"#),
                Kind::SocialDataRefused
            );
            assert!(matches!(
                odata(status, r#"{"error":{"code":-2147015898,"message":"x"}}"#),
                Kind::Throttled { .. }
            ));
        }
    }

    #[test]
    fn r27_only_a_code_of_dataverse_makes_a_404_a_missing_row() {
        assert_eq!(odata(404, r#"{"error":{"code":"0x80040217","message":"x"}}"#), Kind::RecordNotFound);
        assert_eq!(odata(404, r#"{"error":{"code":"0x8006088a","message":"x"}}"#), Kind::RecordTypeUnknown);
        assert_eq!(
            odata(404, r#"{"error":{"code":"","message":"x"}}"#),
            Kind::Other { status: 404, code: None }
        );
        for (kind, body, why) in [
            ("text/html", "<html>0x80040217</html>", Rubbish::Html),
            ("application/json", "", Rubbish::Empty),
            ("application/json", "{}", Rubbish::Unreadable),
            ("text/plain", "0x80040217", Rubbish::ContentType),
            ("text/html", r#"{"error":{"code":"0x80040217","message":"x"}}"#, Rubbish::Html),
        ] {
            assert_eq!(
                answer(404, kind, body).refusal(),
                Kind::Rubbish { status: 404, why },
                "{kind} {body}"
            );
        }
    }

    #[test]
    fn administration_mode_is_known_by_its_text() {
        let body = r#"{"error":{"code":"0x0","message":"User does not have required privileges (or role membership) to access the org when it is in Admin Only mode."}}"#;
        assert_eq!(odata(403, body), Kind::AdministrationMode);
        assert_eq!(
            odata(403, r#"{"error":{"code":"0x80072560","message":"x"}}"#),
            Kind::NotAMember { code: ErrorCode(0x8007_2560) }
        );
        assert_eq!(
            odata(403, r#"{"error":{"code":"0x80048405","message":"x"}}"#),
            Kind::AccessDenied { code: Some(ErrorCode(0x8004_8405)) }
        );
    }

    #[test]
    fn statuses_without_the_web_api_behind_them() {
        for status in [502, 503, 504, 500] {
            assert!(matches!(
                answer(status, "text/html", "<h1>oops</h1>").refusal(),
                Kind::ServiceUnavailable { .. }
            ));
        }
        assert_eq!(answer(302, "text/html", "").refusal(), Kind::RedirectRefused { status: 302 });
        assert!(matches!(answer(401, "text/html", "").refusal(), Kind::CredentialsRejected { .. }));
        assert!(matches!(answer(429, "text/plain", "").refusal(), Kind::Throttled { .. }));
        assert_eq!(
            answer(403, "text/html", "<h1>stopped</h1>").refusal(),
            Kind::Rubbish { status: 403, why: Rubbish::Html }
        );
        assert_eq!(
            answer(500, "application/json", r#"{"error":{"code":"0x80044151","message":"x"}}"#).refusal(),
            Kind::Other { status: 500, code: Some(ErrorCode(0x8004_4151)) }
        );
    }

    #[test]
    fn boundaries_are_read_quoted_or_not() {
        assert_eq!(answer(200, "multipart/mixed; boundary=b_1", "").boundary().ok(), Some("b_1"));
        assert_eq!(
            answer(200, r#"Multipart/Mixed;charset=x; Boundary="b 1""#, "").boundary().ok(),
            Some("b 1")
        );
        assert!(answer(200, "application/json; boundary=b", "{}").boundary().is_err());
        assert!(answer(200, "multipart/mixed", "x").boundary().is_err());
    }
}
