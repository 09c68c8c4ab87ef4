//! Answers and refusals in the Web API's shape: `{"error":{"code","message"}}`, code and status unrelated.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use serde_json::{Value, json};

/// A whole answer; streams (the endless one) are made later, at the connection.
pub(super) type Answer = Response<Bytes>;

const ODATA_JSON: &str = "application/json; odata.metadata=minimal";

/// A request that is refused.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub status: StatusCode,
    /// Hex code as the Web API writes it; may be empty.
    pub code: &'static str,
    pub message: String,
    pub headers: Vec<(&'static str, String)>,
}

impl Refusal {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), headers: Vec::new() }
    }

    /// 400 for what the `OData` layer cannot read: unknown names, bad syntax.
    pub fn bad_query(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "0x80060888", message)
    }

    /// 400 for a body that does not fit the table.
    pub fn bad_payload(set: &str, message: impl std::fmt::Display) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "0x80048d19",
            format!("Error identified in Payload provided by the user for Entity :'{set}'  ---->  {message}"),
        )
    }

    /// 404 for a path that names nothing.
    pub fn no_segment(segment: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "0x80060888",
            format!("Resource not found for the segment '{segment}'."),
        )
    }

    /// 404 for a row that is not there.
    pub fn no_row(table: &str, id: impl std::fmt::Display) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "0x80040217",
            format!("Entity '{table}' With Id = {id} Does Not Exist"),
        )
    }

    pub fn method_not_allowed(allowed: &str) -> Self {
        let mut refusal = Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "0x80060888",
            "The HTTP verb is not supported for this resource.",
        );
        refusal.headers.push(("allow", allowed.to_owned()));
        refusal
    }

    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        let body = json!({"error": {"code": refusal.code, "message": refusal.message}});
        let mut answer = json_answer(refusal.status, &body);
        for (name, value) in refusal.headers {
            set_header(&mut answer, name, &value);
        }
        answer
    }
}

/// An answer with an `OData` JSON body.
pub(super) fn json_answer(status: StatusCode, body: &Value) -> Answer {
    let mut answer = Response::new(Bytes::from(body.to_string()));
    *answer.status_mut() = status;
    set_header(&mut answer, CONTENT_TYPE.as_str(), ODATA_JSON);
    set_header(&mut answer, "odata-version", "4.0");
    answer
}

/// An answer without a body.
pub(super) fn empty_answer(status: StatusCode) -> Answer {
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = status;
    set_header(&mut answer, "odata-version", "4.0");
    answer
}

/// An answer of another type than JSON.
pub(super) fn text_answer(status: StatusCode, content_type: &str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(body.into());
    *answer.status_mut() = status;
    set_header(&mut answer, CONTENT_TYPE.as_str(), content_type);
    answer
}

/// Sets a header. A value that cannot be a header (it holds control characters) is left out.
pub(super) fn set_header(answer: &mut Answer, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(HeaderName::from_static(name), value);
    }
}
