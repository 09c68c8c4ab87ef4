//! Reads manifests as kubectl does, and locates fields in them.
//!
//! A [`Document`] keeps its file's text, so that [`Document::locate`] can find the line of `spec.match.keywords[0]` for
//! an error found much later, at no cost for documents without errors. Only `load` and
//! `folder` do file I/O.

mod compose;
mod decode;
mod document;
mod emit;
mod folder;
mod json;
mod list;
mod load;
mod position;
mod recognize;
mod scalar;
mod stream;

pub use document::{Document, ManifestError};
pub use emit::to_yaml;
pub use folder::{Commit, LeftOut, commit_folders, load_commits, name_of};
pub use load::{Documents, Loaded, documents, load, load_unread, parse, parse_bytes};
pub use position::{Location, step_into};
pub use recognize::is_unrendered;
