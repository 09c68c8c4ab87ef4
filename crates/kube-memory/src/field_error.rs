//! A field error: one violation of a schema, a CEL rule or a metadata rule, in the API server's words.

use std::fmt::{self, Write as _};

use serde_json::Value;

/// What is wrong with a field. [`FieldErrorKind::reason`] is its name in a `Status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldErrorKind {
    /// A required value is missing.
    Required,
    /// A value is malformed or breaks a rule.
    Invalid,
    /// A value has the wrong JSON type.
    TypeInvalid,
    /// A value is not one of the supported values.
    NotSupported,
    /// A string is longer than allowed.
    TooLong,
    /// A list or map has more elements than allowed.
    TooMany,
    /// A value that must be unique occurs twice.
    Duplicate,
    /// A well-formed value is not allowed here.
    Forbidden,
}

impl FieldErrorKind {
    /// The machine-readable name, as in `details.causes[].reason`: `FieldValueInvalid`.
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

    fn title(self) -> &'static str {
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

    fn shows_value(self) -> bool {
        !matches!(self, Self::Required | Self::Forbidden | Self::TooLong)
    }
}

/// One violation: an entry of `details.causes`, and one clause of an `Invalid` message.
///
/// `Display` gives the text of `field.Error` in `k8s.io/apimachinery/pkg/util/validation/field`.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    /// Path of the field, such as `spec.ports[0].name`. `<nil>` or empty for the object itself.
    pub field: String,
    /// The kind of violation.
    pub kind: FieldErrorKind,
    /// The offending value, where the server prints one.
    pub bad_value: Option<Value>,
    /// What is expected instead. May be empty.
    pub detail: String,
}

impl FieldError {
    /// A violation of any kind. Kinds that never show a value (`Required`, `Forbidden`, `TooLong`) ignore it.
    pub fn new(
        field: impl fmt::Display,
        kind: FieldErrorKind,
        bad_value: Option<Value>,
        detail: impl Into<String>,
    ) -> Self {
        Self { field: field.to_string(), kind, bad_value, detail: detail.into() }
    }

    /// `field: Required value: <detail>`.
    pub fn required(field: impl fmt::Display, detail: impl Into<String>) -> Self {
        Self::new(field, FieldErrorKind::Required, None, detail)
    }

    /// `field: Invalid value: <value>: <detail>`.
    pub fn invalid(field: impl fmt::Display, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self::new(field, FieldErrorKind::Invalid, Some(value.into()), detail)
    }

    /// `field: Forbidden: <detail>`.
    pub fn forbidden(field: impl fmt::Display, detail: impl Into<String>) -> Self {
        Self::new(field, FieldErrorKind::Forbidden, None, detail)
    }

    /// `field: Unsupported value: <value>: supported values: "a", "b"`.
    pub fn not_supported(field: impl fmt::Display, value: impl Into<Value>, supported: &[&str]) -> Self {
        let list = supported.iter().map(|s| format!("\"{s}\"")).collect::<Vec<_>>().join(", ");
        let detail = format!("supported values: {list}");
        Self::new(field, FieldErrorKind::NotSupported, Some(value.into()), detail)
    }

    /// The message without the field, as in a `StatusCause`.
    pub fn body(&self) -> String {
        let mut text = self.kind.title().to_owned();
        if let Some(value) = self.bad_value.as_ref().filter(|_| self.kind.shows_value()) {
            text.push_str(": ");
            text.push_str(&as_go_prints(value));
        }
        if !self.detail.is_empty() {
            text.push_str(": ");
            text.push_str(&self.detail);
        }
        text
    }

    /// The field as a message names it: `<nil>` for the object itself.
    pub fn field_or_nil(&self) -> &str {
        if self.field.is_empty() { "<nil>" } else { &self.field }
    }

    /// Whether the server skips CEL rules after this violation, because they could be misled.
    pub(crate) fn blocks_rules(&self) -> bool {
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
        _ => value.as_str().map_or_else(|| value.to_string(), quote),
    }
}

/// A text in quotation marks, as Go's `%q`.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{b}' => quoted.push_str("\\v"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' | '\r' | '\t' | '"' | '\\' => quoted.extend(character.escape_default()),
            '\0'..=' ' | '\u{7f}' if character != ' ' => {
                // Writing into a String cannot fail.
                let _ = write!(quoted, "\\x{:02x}", u32::from(character));
            }
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

impl fmt::Display for FieldError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.field_or_nil(), self.body())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_as_in_go() {
        assert_eq!(quote("a \"b\"\\\n\t\0\u{7}\u{7f}ä😀'"), r#""a \"b\"\\\n\t\x00\a\x7fä😀'""#);
    }
}
