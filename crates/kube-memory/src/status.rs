//! The `Status` of a failed request, in the words of a real API server.

use serde_json::{Value, json};

use crate::field_error::FieldError;
use crate::resource::Resource;

/// A failed request: the content of a `Status` object. Returned boxed, because it is large.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StatusError {
    /// The HTTP status code.
    pub code: u16,
    /// `reason`, such as `Conflict`; empty for "unknown".
    pub reason: &'static str,
    /// `message`, word for word that of a real server.
    pub message: String,
    /// `details`, if any.
    pub details: Option<Value>,
    /// `metadata.continue`, set only when a list's continue token has expired.
    pub continue_token: Option<String>,
}

/// The result of a step of a request.
pub(crate) type ApiResult<T> = Result<T, Box<StatusError>>;

#[allow(clippy::unnecessary_box_returns, reason = "a `Status` is large, so errors are returned boxed")]
impl StatusError {
    fn boxed(code: u16, reason: &'static str, message: String, details: Option<Value>) -> Box<Self> {
        Box::new(Self { code, reason, message, details, continue_token: None })
    }

    /// 404 `NotFound`.
    pub fn not_found(resource: &Resource, name: &str) -> Box<Self> {
        let message = format!("{} \"{name}\" not found", resource.qualified());
        Self::boxed(404, "NotFound", message, Some(status_details(resource, name)))
    }

    /// 409 `AlreadyExists`; `terminating` adds the prefix for an object that is being deleted.
    pub fn already_exists(resource: &Resource, name: &str, terminating: bool) -> Box<Self> {
        let prefix = if terminating { "object is being deleted: " } else { "" };
        let message = format!("{prefix}{} \"{name}\" already exists", resource.qualified());
        Self::boxed(409, "AlreadyExists", message, Some(status_details(resource, name)))
    }

    /// 409 `AlreadyExists` for a `generateName` none of whose random suffixes was free.
    pub fn no_free_name(resource: &Resource, name: &str) -> Box<Self> {
        let message = format!(
            "{} \"{name}\" already exists, the server was not able to generate a unique name for the object",
            resource.qualified()
        );
        let mut details = status_details(resource, name);
        details["retryAfterSeconds"] = json!(1);
        Self::boxed(409, "AlreadyExists", message, Some(details))
    }

    /// 409 `Conflict` of an update; the message names the plural.
    pub fn conflict(resource: &Resource, name: &str, why: &str) -> Box<Self> {
        let message = format!("Operation cannot be fulfilled on {} \"{name}\": {why}", resource.qualified());
        Self::boxed(409, "Conflict", message, Some(status_details(resource, name)))
    }

    /// 409 `Conflict` of a failed delete precondition; the message names the kind.
    pub fn delete_conflict(resource: &Resource, name: &str, why: &str) -> Box<Self> {
        let mut details = status_details(resource, name);
        details["kind"] = json!(resource.kind);
        let message =
            format!("Operation cannot be fulfilled on {} \"{name}\": {why}", resource.qualified_kind());
        Self::boxed(409, "Conflict", message, Some(details))
    }

    /// 409 `Conflict` of server-side apply: other managers own fields that the request changes.
    pub fn apply_conflict(message: String, causes: &[Value]) -> Box<Self> {
        Self::boxed(409, "Conflict", message, Some(json!({"causes": causes})))
    }

    /// 409: the optimistic lock failed.
    pub fn stale(resource: &Resource, name: &str) -> Box<Self> {
        Self::conflict(
            resource,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// 422 `Invalid` about an object; `kind` is what the message calls it (`Widget.example.com`).
    pub fn invalid(group: &str, kind: &str, name: &str, errors: &[FieldError]) -> Box<Self> {
        let mut messages: Vec<String> = Vec::with_capacity(errors.len());
        for error in errors {
            let message = error.to_string();
            if !messages.contains(&message) {
                messages.push(message);
            }
        }
        let what = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
        let list = match messages.as_slice() {
            [] => String::new(),
            [one] => format!(": {one}"),
            many => format!(": [{}]", many.join(", ")),
        };
        let causes: Vec<Value> = errors
            .iter()
            .map(|e| json!({"reason": e.kind.reason(), "message": e.body(), "field": e.field_or_nil()}))
            .collect();
        let mut details = json!({});
        for (key, value) in [("name", name), ("group", group), ("kind", kind)] {
            if !value.is_empty() {
                details[key] = json!(value);
            }
        }
        if !causes.is_empty() {
            details["causes"] = json!(causes);
        }
        Self::boxed(422, "Invalid", format!("{what} \"{name}\" is invalid{list}"), Some(details))
    }

    /// 422 `Invalid` about the request's own options (`CreateOptions`, `ListOptions`, …).
    pub fn invalid_options(kind: &str, errors: &[FieldError]) -> Box<Self> {
        Self::invalid("meta.k8s.io", kind, "", errors)
    }

    /// 422 for a JSON patch that does not apply. A server does not say which operation failed.
    pub fn patch_does_not_apply() -> Box<Self> {
        let message = "the server rejected our request due to an error in our request".to_owned();
        Self::boxed(422, "Invalid", message, Some(json!({})))
    }

    /// 400 `BadRequest`.
    pub fn bad_request(message: impl Into<String>) -> Box<Self> {
        Self::boxed(400, "BadRequest", message.into(), None)
    }

    /// 403 `Forbidden` with the admission wording.
    pub fn forbidden(resource: &Resource, name: &str, why: &str) -> Box<Self> {
        let message = format!("{} \"{name}\" is forbidden: {why}", resource.qualified());
        Self::boxed(403, "Forbidden", message, Some(status_details(resource, name)))
    }

    /// A denial by an admission policy: the wording of 403, with the policy's own code and reason.
    pub fn denied(resource: &Resource, name: &str, code: u16, reason: &'static str, why: &str) -> Box<Self> {
        let mut error = Self::forbidden(resource, name, why);
        error.code = code;
        error.reason = reason;
        error.add_cause(json!({"message": why}));
        error
    }

    /// 405 `MethodNotAllowed`.
    pub fn not_supported(resource: &Resource, verb: &str) -> Box<Self> {
        let message = format!("{verb} is not supported on resources of kind \"{}\"", resource.qualified());
        Self::boxed(405, "MethodNotAllowed", message, Some(status_details(resource, "")))
    }

    /// 405 from the router of a built-in group: the path does not accept the method.
    pub fn method_not_allowed() -> Box<Self> {
        let message = "the server does not allow this method on the requested resource".to_owned();
        Self::boxed(405, "MethodNotAllowed", message, Some(json!({})))
    }

    /// 404 from the router of a built-in group: the path is unknown.
    pub fn not_served() -> Box<Self> {
        let message = "the server could not find the requested resource".to_owned();
        Self::boxed(404, "NotFound", message, Some(json!({})))
    }

    /// 406 `NotAcceptable`.
    pub fn not_acceptable() -> Box<Self> {
        let message = "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf";
        Self::boxed(406, "NotAcceptable", message.to_owned(), None)
    }

    /// 410 `Expired`: the requested history is compacted.
    pub fn expired(message: impl Into<String>) -> Box<Self> {
        Self::boxed(410, "Expired", message.into(), None)
    }

    /// 415 `UnsupportedMediaType`.
    pub fn unsupported_media_type(accepted: &[&str]) -> Box<Self> {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            accepted.join(", ")
        );
        Self::boxed(415, "UnsupportedMediaType", message, None)
    }

    /// 500 without a reason: how a server reports an unexpected error.
    pub fn unknown(message: impl Into<String>) -> Box<Self> {
        Self::boxed(500, "", message.into(), None)
    }

    /// 504 `Timeout`: the requested resource version lies in the future.
    pub fn too_large_resource_version(asked: u64, current: u64) -> Box<Self> {
        let message = format!("Timeout: Too large resource version: {asked}, current: {current}");
        let causes = json!([{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]);
        Self::boxed(504, "Timeout", message, Some(json!({"causes": causes, "retryAfterSeconds": 1})))
    }

    /// An injected failure with the body a real server sends for that code.
    pub fn injected(code: u16, retry_after: Option<u32>) -> Box<Self> {
        let (reason, message) = match code {
            403 => ("Forbidden", "forbidden: injected fault"),
            409 => (
                "Conflict",
                "Operation cannot be fulfilled: the object has been modified; please apply your changes to the latest version and try again",
            ),
            410 => (
                "Expired",
                "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter.",
            ),
            429 => ("TooManyRequests", "The server has received too many requests, please try again later."),
            503 => ("ServiceUnavailable", "the server is currently unable to handle the request"),
            504 => ("Timeout", "Timeout: request did not complete within the allotted timeout"),
            _ => ("InternalError", "Internal error occurred: injected fault"),
        };
        let details = retry_after.map(|seconds| json!({"retryAfterSeconds": seconds}));
        Self::boxed(code, reason, message.to_owned(), details)
    }

    /// Adds one entry to `details.causes`.
    pub fn add_cause(&mut self, cause: Value) {
        let details = self.details.get_or_insert_with(|| json!({}));
        match details.get_mut("causes").and_then(Value::as_array_mut) {
            Some(causes) => causes.push(cause),
            None => details["causes"] = json!([cause]),
        }
    }

    /// The seconds of the `Retry-After` header, if any.
    pub fn retry_after(&self) -> Option<u64> {
        self.details.as_ref()?.get("retryAfterSeconds")?.as_u64()
    }

    /// The `Status` object.
    pub fn status(&self) -> Value {
        let mut metadata = json!({});
        if let Some(token) = &self.continue_token {
            metadata["continue"] = json!(token);
        }
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": metadata, "status": "Failure",
            "message": self.message, "code": self.code,
        });
        if !self.reason.is_empty() {
            status["reason"] = json!(self.reason);
        }
        if let Some(details) = &self.details {
            status["details"] = details.clone();
        }
        status
    }
}

/// `details` of a resource and a name, without empty fields.
pub(crate) fn status_details(resource: &Resource, name: &str) -> Value {
    let mut details = json!({});
    for (key, value) in [("name", name), ("group", &resource.group), ("kind", &resource.plural)] {
        if !value.is_empty() {
            details[key] = json!(value);
        }
    }
    details
}
