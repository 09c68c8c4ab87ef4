//! Values to YAML that every YAML 1.1 reader (kubectl, Helm) reads back as the same values.

use serde_json::Value;
use serde_saphyr::SerializerOptions;

/// The value as a YAML document.
///
/// Text that YAML 1.1 would take for a boolean, a number, a date or null is quoted.
#[allow(clippy::missing_panics_doc, reason = "it cannot: the expect states why")]
pub fn to_yaml(value: &Value) -> String {
    serde_saphyr::to_string_with_options(value, SerializerOptions::default())
        .expect("a JSON value has text keys and no cycles, and a String takes every write")
}
