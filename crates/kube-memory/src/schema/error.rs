//! What is wrong with a field, in the API server's words.

use std::fmt;

use serde_json::Value;

use super::path::Path;

/// The kind of a [`FieldError`]; [`FieldErrorKind::reason`] is its name in a `Status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldErrorKind {
    /// A value must be given.
    Required,
    /// A value is malformed or breaks a rule.
    Invalid,
    /// A value has the wrong JSON type.
    TypeInvalid,
    /// A value is not one of the allowed ones.
    NotSupported,
    /// A text is longer than allowed.
    TooLong,
    /// A list or map has more elements than allowed.
    TooMany,
    /// A value that must be unique occurs twice.
    Duplicate,
    /// A value is well-formed but not allowed here.
    Forbidden,
}

impl FieldErrorKind {
    /// The `reason` of a `StatusCause`.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Invalid => "FieldValueInvalid",
            Self::TypeInvalid => "FieldValueTypeInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Forbidden => "FieldValueForbidden",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Required => "Required value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::Duplicate => "Duplicate value",
            Self::Forbidden => "Forbidden",
        }
    }
}

/// One violation. Its `Display` is the text of the API server's `field.Error`.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    /// The field, such as `spec.match.keywords[0]`; `<nil>` is the object itself.
    pub path: String,
    /// What kind of violation.
    pub kind: FieldErrorKind,
    /// The offending value, where the server prints one.
    pub bad_value: Option<Value>,
    /// What is expected instead; may be empty.
    pub detail: String,
}

impl FieldError {
    pub(super) fn new(
        path: impl fmt::Display,
        kind: FieldErrorKind,
        bad_value: Option<Value>,
        detail: impl Into<String>,
    ) -> Self {
        Self { path: path.to_string(), kind, bad_value, detail: detail.into() }
    }

    pub(super) fn required(path: impl fmt::Display, detail: impl Into<String>) -> Self {
        Self::new(path, FieldErrorKind::Required, None, detail)
    }

    pub(super) fn invalid(path: impl fmt::Display, value: Value, detail: impl Into<String>) -> Self {
        Self::new(path, FieldErrorKind::Invalid, Some(value), detail)
    }

    pub(super) fn forbidden(path: impl fmt::Display, detail: impl Into<String>) -> Self {
        Self::new(path, FieldErrorKind::Forbidden, None, detail)
    }

    /// A violation found by the `OpenAPI` validator, which names the field in its own spelling.
    pub(super) fn open_api(
        path: &Path<'_>,
        kind: FieldErrorKind,
        bad_value: Option<Value>,
        detail: impl Into<String>,
    ) -> Self {
        let path = if path.is_root() { "<nil>".to_owned() } else { path.dotted() };
        Self { path, kind, bad_value, detail: detail.into() }
    }

    /// The message without the field, as in a `StatusCause`.
    pub fn body(&self) -> String {
        let mut text = self.kind.words().to_owned();
        let quiet = matches!(
            self.kind,
            FieldErrorKind::Required | FieldErrorKind::Forbidden | FieldErrorKind::TooLong
        );
        if let Some(value) = self.bad_value.as_ref().filter(|_| !quiet) {
            text.push_str(": ");
            text.push_str(&as_go_prints(value));
        }
        if !self.detail.is_empty() {
            text.push_str(": ");
            text.push_str(&self.detail);
        }
        text
    }

    /// True for violations after which the server does not run CEL rules, because they could be misled.
    pub(super) fn blocks_rules(&self) -> bool {
        matches!(
            self.kind,
            FieldErrorKind::NotSupported
                | FieldErrorKind::Required
                | FieldErrorKind::TooLong
                | FieldErrorKind::TooMany
                | FieldErrorKind::TypeInvalid
        )
    }
}

/// Go prints a whole float without a point.
fn as_go_prints(value: &Value) -> String {
    match value.as_f64() {
        Some(number) if value.is_f64() && number.fract() == 0.0 && number.abs() < 1e21 => {
            format!("{number:.0}")
        }
        _ => value.to_string(),
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.path, self.body())
    }
}
