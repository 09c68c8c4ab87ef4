//! Errors of compiling CRDs and policies.

use std::error::Error;

/// Why a CRD or a policy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The CRD has no such version.
    #[error("the CRD {crd} has no version {version}; it has {}", known.join(", "))]
    NoVersion {
        /// Name of the CRD.
        crd: String,
        /// The version asked for.
        version: String,
        /// The versions it has.
        known: Vec<String>,
    },
    /// A part of the CRD or policy is missing or has the wrong type.
    #[error("{what} is not what Kubernetes expects: {source}")]
    Shape {
        /// Which object.
        what: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A regular expression does not parse.
    #[error("{place}: the pattern '{pattern}' is no regular expression: {source}")]
    Pattern {
        /// Where it stands.
        place: String,
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        source: Box<regex::Error>,
    },
    /// A CEL expression does not parse.
    #[error("{place}: the CEL expression `{expression}` does not compile: {source}")]
    Expression {
        /// Where it stands.
        place: String,
        /// The expression.
        expression: String,
        /// What is wrong with it.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A `JSONPath` is not of the simple kind that columns and selectable fields take.
    #[error("the JSONPath `{path}` cannot be used: {what}")]
    JsonPath {
        /// The path.
        path: String,
        /// What is wrong with it.
        what: String,
    },
    /// A policy manifest is not YAML.
    #[error("a policy manifest cannot be read: {0}")]
    Yaml(String),
    /// A binding names a policy that is not there.
    #[error("the binding {binding} is for the policy {policy}, which is not among the policies given")]
    Unbound {
        /// The binding.
        binding: String,
        /// The policy it names.
        policy: String,
    },
}
