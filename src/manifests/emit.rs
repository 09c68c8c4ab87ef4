//! Writes YAML that every YAML 1.1 reader (kubectl, Helm) reads back as the same values.

use serde_json::Value;
use serde_saphyr::SerializerOptions;

/// The value as a YAML document.
///
/// A string that YAML 1.1 would read as a boolean, a number, a date or null is quoted.
#[allow(clippy::missing_panics_doc, reason = "cannot panic: see the expect")]
pub fn to_yaml(value: &Value) -> String {
    serde_saphyr::to_string_with_options(value, SerializerOptions::default())
        .expect("a JSON value has string keys and no cycles, and writes to a String succeed")
}
