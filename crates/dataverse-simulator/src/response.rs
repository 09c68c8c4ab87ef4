//! Responses and errors in the form of the Web API. The code of an error, `{"error":{"code","message"}}`, is unrelated
//! to the HTTP status.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use serde_json::{Value, json};

use crate::clouds::cloud_of;

/// A response with a complete body. The endless body is created by the connection.
pub(crate) type HttpResponse = Response<Bytes>;

/// Content type of every Web API response with a body.
pub(crate) const ODATA_JSON: &str = "application/json; odata.metadata=minimal";

/// Why a request is refused.
#[derive(Clone, Debug)]
pub(crate) struct ODataError {
    pub status: StatusCode,
    /// Hexadecimal code as the Web API writes it; may be empty.
    pub code: &'static str,
    pub message: String,
    pub headers: Vec<(&'static str, String)>,
}

impl ODataError {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), headers: Vec::new() }
    }

    /// 400 for what the OData layer cannot read: unknown names, invalid syntax.
    pub fn bad_query(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "0x80060888", message)
    }

    /// 400 for a body that does not match the table.
    pub fn bad_payload(set: &str, message: impl std::fmt::Display) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "0x80048d19",
            format!("Error identified in Payload provided by the user for Entity :'{set}'  ---->  {message}"),
        )
    }

    /// 404 for an unknown path segment.
    pub fn no_segment(segment: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "0x80060888",
            format!("Resource not found for the segment '{segment}'."),
        )
    }

    /// 404 for a row that does not exist.
    pub fn no_row(table: &str, id: impl std::fmt::Display) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "0x80040217",
            format!("Entity '{table}' With Id = {id} Does Not Exist"),
        )
    }

    pub fn method_not_allowed(allowed: &str) -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "0x80060888",
            "The HTTP verb is not supported for this resource.",
        )
        .with_header("allow", allowed)
    }

    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl From<ODataError> for HttpResponse {
    fn from(error: ODataError) -> Self {
        let body = json!({"error": {"code": error.code, "message": error.message}});
        let mut response = json_response(error.status, &body);
        for (name, value) in error.headers {
            set_header(&mut response, name, &value);
        }
        response
    }
}

/// A response with an OData JSON body.
pub(crate) fn json_response(status: StatusCode, body: &Value) -> HttpResponse {
    let mut response = text_response(status, ODATA_JSON, body.to_string());
    set_header(&mut response, "odata-version", "4.0");
    response
}

/// A response without a body.
pub(crate) fn empty_response(status: StatusCode) -> HttpResponse {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    set_header(&mut response, "odata-version", "4.0");
    response
}

/// A response that does not come from the OData layer.
pub(crate) fn text_response(status: StatusCode, content_type: &str, body: impl Into<Bytes>) -> HttpResponse {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    set_header(&mut response, CONTENT_TYPE.as_str(), content_type);
    response
}

/// 401 from the web server in front of Dataverse: not OData.
pub(crate) fn unauthorized(host: &str) -> HttpResponse {
    let message = "HTTP Error 401 - Unauthorized: Access is denied";
    let mut response = text_response(StatusCode::UNAUTHORIZED, "text/html", message);
    let challenge = format!(
        "Bearer authorization_uri=https://{}/common/oauth2/authorize, resource_id=https://{host}/",
        cloud_of(host).sign_in
    );
    set_header(&mut response, "www-authenticate", &challenge);
    response
}

/// 200 with the content type of JSON, and bytes that are neither UTF-8 nor JSON.
pub(crate) fn malformed_json() -> HttpResponse {
    let bytes: &'static [u8] = b"{\"value\": [\xff\xfe\x00 not json";
    text_response(StatusCode::OK, ODATA_JSON, bytes)
}

/// Sets a header. A value that cannot be a header (it contains control characters) is omitted.
pub(crate) fn set_header(response: &mut HttpResponse, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
}
