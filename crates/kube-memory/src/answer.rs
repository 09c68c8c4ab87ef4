//! What a request is answered with: an object, a list, or a `Status` in the words of a real API server.

use serde_json::{Value, json};

use super::resource::Resource;

/// One entry of `details.causes`, and one clause of an `Invalid` message.
///
/// The wording rules are those of `k8s.io/apimachinery/pkg/util/validation/field`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// What is wrong.
    pub cause: Cause,
    /// Path of the field, such as `spec.link.notes` or `status.activeRules[3].uid`. Empty for the object itself.
    pub field: String,
    /// The text without the field's path: `Invalid value: "x": must be …`.
    pub body: String,
}

/// The kinds of field errors, with the `reason` each has in `details.causes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// `FieldValueInvalid`, printed `Invalid value`.
    Invalid,
    /// `FieldValueRequired`, printed `Required value`.
    Required,
    /// `FieldValueForbidden`, printed `Forbidden`.
    Forbidden,
    /// `FieldValueNotSupported`, printed `Unsupported value`.
    NotSupported,
    /// `FieldValueTooLong`, printed `Too long`.
    TooLong,
    /// `FieldValueTooMany`, printed `Too many`.
    TooMany,
    /// `FieldValueDuplicate`, printed `Duplicate value`.
    Duplicate,
    /// `FieldValueTypeInvalid`, printed `Invalid value`.
    TypeInvalid,
    /// `InternalError`, printed `Internal error`.
    Internal,
}

impl Cause {
    /// The machine-readable name, as it stands in `details.causes[].reason`.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Invalid => "FieldValueInvalid",
            Self::Required => "FieldValueRequired",
            Self::Forbidden => "FieldValueForbidden",
            Self::NotSupported => "FieldValueNotSupported",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::Duplicate => "FieldValueDuplicate",
            Self::TypeInvalid => "FieldValueTypeInvalid",
            Self::Internal => "InternalError",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::Required => "Required value",
            Self::Forbidden => "Forbidden",
            Self::NotSupported => "Unsupported value",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::Duplicate => "Duplicate value",
            Self::Internal => "Internal error",
        }
    }
}

impl FieldError {
    /// `field: <title>: <value>: <detail>`; the value is left out for the causes that never show one.
    pub fn new(cause: Cause, field: impl Into<String>, value: &Value, detail: &str) -> Self {
        let mut body = match cause {
            Cause::Required | Cause::Forbidden | Cause::TooLong | Cause::Internal => cause.title().to_owned(),
            _ => format!("{}: {}", cause.title(), value),
        };
        if !detail.is_empty() {
            body.push_str(": ");
            body.push_str(detail);
        }
        Self { cause, field: field.into(), body }
    }

    /// `field: Invalid value: <value>: <detail>`.
    pub fn invalid(field: impl Into<String>, value: impl Into<Value>, detail: &str) -> Self {
        Self::new(Cause::Invalid, field, &value.into(), detail)
    }

    /// `field: Required value: <detail>`.
    pub fn required(field: impl Into<String>, detail: &str) -> Self {
        Self::new(Cause::Required, field, &Value::Null, detail)
    }

    /// `field: Forbidden: <detail>`.
    pub fn forbidden(field: impl Into<String>, detail: &str) -> Self {
        Self::new(Cause::Forbidden, field, &Value::Null, detail)
    }

    /// `field: Unsupported value: <value>: supported values: "a", "b"`.
    pub fn not_supported(field: impl Into<String>, value: impl Into<Value>, supported: &[&str]) -> Self {
        let list = supported.iter().map(|s| format!("\"{s}\"")).collect::<Vec<_>>().join(", ");
        Self::new(Cause::NotSupported, field, &value.into(), &format!("supported values: {list}"))
    }

    fn sentence(&self) -> String {
        format!("{}: {}", if self.field.is_empty() { "<nil>" } else { &self.field }, self.body)
    }
}

/// A refused request: everything a `Status` object says. Boxed where returned, because it is large.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// The HTTP status code.
    pub code: u16,
    /// `reason`, such as `Conflict`; empty for "unknown".
    pub reason: &'static str,
    /// `message`, word for word what a real server says.
    pub message: String,
    /// `details`, if any.
    pub details: Option<Value>,
    /// `metadata.continue`, set only when a list's continue token has expired.
    pub continue_token: Option<String>,
}

/// The result of anything that may be refused.
pub type Outcome<T> = Result<T, Box<Refusal>>;

impl Refusal {
    fn boxed(code: u16, reason: &'static str, message: String, details: Option<Value>) -> Box<Self> {
        Box::new(Self { code, reason, message, details, continue_token: None })
    }

    /// 404 `NotFound`.
    pub fn not_found(resource: &Resource, name: &str) -> Box<Self> {
        let message = format!("{} \"{name}\" not found", resource.qualified());
        Self::boxed(404, "NotFound", message, Some(about(resource, name)))
    }

    /// 409 `AlreadyExists`; `terminating` adds the prefix a server puts before it for an object on its way out.
    pub fn already_exists(resource: &Resource, name: &str, terminating: bool) -> Box<Self> {
        let prefix = if terminating { "object is being deleted: " } else { "" };
        let message = format!("{prefix}{} \"{name}\" already exists", resource.qualified());
        Self::boxed(409, "AlreadyExists", message, Some(about(resource, name)))
    }

    /// 409 for a `generateName` whose every random suffix was taken.
    pub fn no_free_name(resource: &Resource, name: &str) -> Box<Self> {
        let message = format!(
            "{} \"{name}\" already exists, the server was not able to generate a unique name for the object",
            resource.qualified()
        );
        let mut details = about(resource, name);
        details["retryAfterSeconds"] = json!(1);
        Self::boxed(409, "AlreadyExists", message, Some(details))
    }

    /// 409 `Conflict` about `resource` in the plural, as updates say it.
    pub fn conflict(resource: &Resource, name: &str, why: &str) -> Box<Self> {
        let message = format!("Operation cannot be fulfilled on {} \"{name}\": {why}", resource.qualified());
        Self::boxed(409, "Conflict", message, Some(about(resource, name)))
    }

    /// 409 `Conflict` naming the kind instead of the plural, as the preconditions of a delete say it.
    pub fn delete_conflict(resource: &Resource, name: &str, why: &str) -> Box<Self> {
        let mut details = about(resource, name);
        details["kind"] = json!(resource.kind);
        let message =
            format!("Operation cannot be fulfilled on {} \"{name}\": {why}", resource.qualified_kind());
        Self::boxed(409, "Conflict", message, Some(details))
    }

    /// 409 `Conflict` of server-side apply: other managers own what the request wants to change.
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
        let mut sentences: Vec<String> = Vec::with_capacity(errors.len());
        for error in errors {
            let sentence = error.sentence();
            if !sentences.contains(&sentence) {
                sentences.push(sentence);
            }
        }
        let what = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
        let list = match sentences.as_slice() {
            [] => String::new(),
            [one] => format!(": {one}"),
            many => format!(": [{}]", many.join(", ")),
        };
        let causes: Vec<Value> = errors
            .iter()
            .map(|e| {
                let mut cause = json!({"reason": e.cause.reason(), "message": e.body});
                cause["field"] = json!(if e.field.is_empty() { "<nil>" } else { &e.field });
                cause
            })
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

    /// 422 for a JSON patch that does not apply; a server hides which operation failed.
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
        Self::boxed(403, "Forbidden", message, Some(about(resource, name)))
    }

    /// A denial by an admission policy: the wording of 403, with the policy's own code and reason.
    pub fn denied(resource: &Resource, name: &str, code: u16, reason: &'static str, why: &str) -> Box<Self> {
        let mut refusal = Self::forbidden(resource, name, why);
        refusal.code = code;
        refusal.reason = reason;
        refusal.add_cause(json!({"message": why}));
        refusal
    }

    /// 405 `MethodNotAllowed`.
    pub fn not_supported(resource: &Resource, verb: &str) -> Box<Self> {
        let message = format!("{verb} is not supported on resources of kind \"{}\"", resource.qualified());
        Self::boxed(405, "MethodNotAllowed", message, Some(about(resource, "")))
    }

    /// 405 from the router of a built-in group, which knows no such method on the path.
    pub fn method_not_allowed() -> Box<Self> {
        let message = "the server does not allow this method on the requested resource".to_owned();
        Self::boxed(405, "MethodNotAllowed", message, Some(json!({})))
    }

    /// 404 from the router of a built-in group.
    pub fn not_served() -> Box<Self> {
        let message = "the server could not find the requested resource".to_owned();
        Self::boxed(404, "NotFound", message, Some(json!({})))
    }

    /// 406 `NotAcceptable`.
    pub fn not_acceptable() -> Box<Self> {
        let message = "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf";
        Self::boxed(406, "NotAcceptable", message.to_owned(), None)
    }

    /// 410 `Expired`: the history that was asked for is gone.
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

    /// 500 without a reason, what a server makes of an error it did not foresee.
    pub fn unknown(message: impl Into<String>) -> Box<Self> {
        Self::boxed(500, "", message.into(), None)
    }

    /// 500 `InternalError`.
    pub fn internal(message: &str) -> Box<Self> {
        let details = json!({"causes": [{"message": message}]});
        Self::boxed(500, "InternalError", format!("Internal error occurred: {message}"), Some(details))
    }

    /// 504 `Timeout`: the resource version asked for lies in the future.
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

    /// The seconds a client is told to wait, if the answer says so.
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

/// `details` of a resource and a name, empty parts left out.
pub(crate) fn about(resource: &Resource, name: &str) -> Value {
    let mut details = json!({});
    for (key, value) in [("name", name), ("group", &resource.group), ("kind", &resource.plural)] {
        if !value.is_empty() {
            details[key] = json!(value);
        }
    }
    details
}
