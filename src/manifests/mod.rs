//! YAML documents with positions: load them as kubectl reads them, and name the place of an error.
//!
//! A [`Document`] keeps its file's text, so that [`Document::locate`] can answer "which line is
//! `spec.match.keywords[0]`" for an error found much later, at no cost for documents without errors.
//! File I/O happens in [`load`] alone.

mod compose;
mod emit;
mod json;
mod load;
mod position;
mod scalar;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

pub use emit::to_yaml;
pub use load::{Commit, Documents, Loaded, documents, load, load_commits, parse};
pub use position::Location;

/// One Kubernetes object as it stands in a file.
#[derive(Clone, Debug)]
pub struct Document {
    /// The file, as the caller named it.
    pub file: PathBuf,
    /// Line of the document's first content, counted from 1.
    pub line: usize,
    /// The object, with scalars typed as kubectl would have sent them.
    pub value: Value,
    origin: Origin,
}

/// Where a document's text is, for looking positions up when they are wanted.
#[derive(Clone, Debug)]
struct Origin {
    text: Arc<str>,
    /// Byte range of the YAML document in `text`.
    start: usize,
    end: usize,
    /// Line of `start`, counted from 1.
    first_line: usize,
    /// Set for an object that stood in the `items` of a `List`.
    item: Option<usize>,
}

impl Document {
    /// Line and column of a field, such as `spec.match.keywords[0]` or `metadata.labels[app]`.
    ///
    /// A field that is not written in the document (a missing required one, a default) answers with
    /// the place of its nearest written parent.
    pub fn locate(&self, path: &str) -> Location {
        let text = &self.origin.text[self.origin.start..self.origin.end];
        let prefix = self.origin.item.map(|n| format!("items[{n}].")).unwrap_or_default();
        let found = position::find(text, &format!("{prefix}{}", path.trim_start_matches('.')));
        found.map_or(Location { line: self.line, column: 1 }, |location| Location {
            line: location.line + self.origin.first_line - 1,
            column: location.column,
        })
    }

    /// `file:line:column` of a field, as editors and compilers print places.
    pub fn place(&self, path: &str) -> String {
        let Location { line, column } = self.locate(path);
        format!("{}:{line}:{column}", self.file.display())
    }
}

/// Why a file or one document of it could not be read. The other documents are still loaded.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The file system refused.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The text is not YAML, or YAML that Kubernetes does not take.
    #[error("{}:{line}:{column}: {message}", file.display())]
    Syntax {
        /// The file.
        file: PathBuf,
        /// Line, counted from 1.
        line: usize,
        /// Column in characters, counted from 1.
        column: usize,
        /// What is wrong and what to do about it.
        message: String,
    },
    /// A manifest lies beside the commit folders and would be applied by none of them.
    #[error("{}: lies beside the commit folders and belongs to none of them; move it into one", path.display())]
    OutsideCommits {
        /// The file.
        path: PathBuf,
    },
}

impl ManifestError {
    /// The file or folder the error is about.
    pub fn file(&self) -> &Path {
        match self {
            Self::Read { path, .. } | Self::OutsideCommits { path } => path,
            Self::Syntax { file, .. } => file,
        }
    }
}
