//! An object of a manifest, with its place in the file, and the error of one that cannot be read.

use super::position::{self, Location};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// A Kubernetes object in a file.
#[derive(Clone, Debug)]
pub struct Document {
    /// As the caller named it.
    pub file: PathBuf,
    /// Line of the document's first content, counted from 1.
    pub line: usize,
    /// The object, with scalars typed as kubectl would have sent them.
    pub value: Value,
    pub(super) origin: Origin,
}

/// The text of a document, for locating fields.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) text: Arc<str>,
    /// Byte range of the YAML document in `text`.
    pub(super) start: usize,
    pub(super) end: usize,
    /// Line of `start`, counted from 1.
    pub(super) first_line: usize,
    /// Index of the object in the `items` of a `List`.
    pub(super) item: Option<usize>,
}

impl Document {
    /// Line and column of a field, such as `spec.match.keywords[0]` or `metadata.labels[app]`.
    ///
    /// A field that is not in the document (required or defaulted) has the location of its nearest parent.
    pub fn locate(&self, path: &str) -> Location {
        let text = &self.origin.text[self.origin.start..self.origin.end];
        let prefix = self.origin.item.map(|n| format!("items[{n}].")).unwrap_or_default();
        let found = position::find(text, &format!("{prefix}{}", path.trim_start_matches('.')));
        found.map_or(Location { line: self.line, column: 1 }, |location| Location {
            line: location.line + self.origin.first_line - 1,
            column: location.column,
        })
    }

    /// `file:line:column` of a field. In the output of `helm template`, also the template.
    pub fn place(&self, path: &str) -> String {
        let Location { line, column } = self.locate(path);
        let place = format!("{}:{line}:{column}", self.file.display());
        self.template().map_or(place.clone(), |template| format!("{place} (from {template})"))
    }

    /// Helm's comment before the content.
    fn template(&self) -> Option<&str> {
        let text = &self.origin.text[self.origin.start..self.origin.end];
        let mut before = text.lines().take_while(|line| {
            line.trim().is_empty()
                || line.starts_with("---")
                || line.starts_with("...")
                || line.starts_with('#')
        });
        before.find_map(|line| line.strip_prefix("# Source: "))
    }
}

/// Why a file or a document cannot be read. Other documents are still loaded.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("{}: cannot be read: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    /// The text is not YAML, or not YAML that Kubernetes accepts.
    #[error("{}:{line}:{column}: {message}", file.display())]
    Syntax {
        file: PathBuf,
        /// Counted from 1.
        line: usize,
        /// In characters, counted from 1.
        column: usize,
        message: String,
    },
    #[error("{} is next to commit folders (such as 1-…) and belongs to none; move it into one of them, or use --no-commits if the folders belong together", path.display())]
    OutsideCommits { path: PathBuf },
    /// Some of the folders would be commits, and the others would be left out.
    #[error(
        "{}: {numbered} would be commits because of the number, but {others} would be left out; use --no-commits to read all folders as one tree, or number all of them",
        dir.display()
    )]
    SomeNumbered { dir: PathBuf, numbered: String, others: String },
}

impl ManifestError {
    pub fn file(&self) -> &Path {
        match self {
            Self::Read { path, .. }
            | Self::OutsideCommits { path }
            | Self::SomeNumbered { dir: path, .. } => path,
            Self::Syntax { file, .. } => file,
        }
    }
}
