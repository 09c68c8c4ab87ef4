//! Reads manifests as kubectl does, and locates fields in them.
//!
//! A [`Document`] keeps its file's text, so that [`Document::locate`] can find the line of `spec.match.keywords[0]` for
//! an error found much later, at no cost for documents without errors. Only [`load`] does file I/O.

mod compose;
mod decode;
mod document;
mod emit;
mod json;
mod list;
mod load;
mod position;
mod recognize;
mod scalar;
mod stream;

pub use document::{Document, ManifestError};
pub use emit::to_yaml;
pub use load::{Commit, Documents, Loaded, documents, load, load_commits, parse};
pub use position::Location;
