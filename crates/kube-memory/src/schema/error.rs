//! Errors of compiling CRDs and policies.

use std::error::Error;

/// Why a CRD or an admission policy cannot be compiled.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The CRD has no such version.
    #[error("the CRD {crd} has no version {version}; it has {}", known.join(", "))]
    NoVersion {
        /// Name of the CRD.
        crd: String,
        /// The version that was requested.
        version: String,
        /// The versions of the CRD.
        known: Vec<String>,
    },
    /// A part of the CRD or policy is missing or has the wrong type.
    #[error("{what} cannot be decoded: {source}")]
    Shape {
        /// Which part it is, for example `a ValidatingAdmissionPolicy`.
        what: String,
        /// The error of decoding it.
        source: serde_json::Error,
    },
    /// A regular expression does not parse.
    #[error("{place}: the pattern '{pattern}' is not a valid regular expression: {source}")]
    Pattern {
        /// Path in the schema.
        place: String,
        /// The regular expression, as written.
        pattern: String,
        /// The error of parsing it.
        source: Box<regex::Error>,
    },
    /// A format that an API server checks and that is not implemented here.
    #[error("{place}: the format {format} is not implemented; use a pattern")]
    Format {
        /// Path in the schema.
        place: String,
        /// The format, as written.
        format: String,
    },
    /// A CEL expression does not parse.
    #[error("{place}: the CEL expression `{expression}` does not compile: {source}")]
    Expression {
        /// Path in the schema.
        place: String,
        /// The expression, as written.
        expression: String,
        /// The error of compiling it.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A `JSONPath` that columns and selectable fields do not support.
    #[error("the JSONPath `{path}` is not supported: {what}")]
    JsonPath {
        /// The `JSONPath`, as written.
        path: String,
        /// What is wrong with it.
        what: String,
    },
    /// A policy manifest is not valid YAML.
    #[error("a policy manifest cannot be read: {0}")]
    Yaml(String),
    /// A binding refers to an unknown policy.
    #[error("the binding {binding} refers to the policy {policy}, which does not exist")]
    Unbound {
        /// Name of the binding.
        binding: String,
        /// Name of the policy.
        policy: String,
    },
}
