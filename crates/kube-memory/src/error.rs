//! Errors of creating or restoring an API.

/// Why [`MemoryApi::new`](crate::MemoryApi::new) or [`MemoryApi::restore`](crate::MemoryApi::restore) failed.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A definition serves no version or several. Conversion between versions is not implemented.
    #[error("the definition of {plural} must serve exactly one version: this API does not convert versions")]
    Versions {
        /// The plural of the definition.
        plural: String,
    },
    /// A schema cannot be written as JSON.
    #[error("the schema of {plural} cannot be read: {source}")]
    Definition {
        /// The plural of the definition.
        plural: String,
        /// Why the schema cannot be read.
        source: serde_json::Error,
    },
    /// A saved object is of a kind that is not served.
    #[error(
        "the saved object {kind} {name:?} is of a kind that is not served; add its definition or remove it"
    )]
    UnknownKind {
        /// `apiVersion/kind` of the saved object.
        kind: String,
        /// Name of the saved object.
        name: String,
    },
}
