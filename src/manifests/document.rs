//! An object of a manifest, with its place in the file, and the error of one that cannot be read.

use super::{
    compose::Place,
    position::{self, Location},
};
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
    /// The object's place in the `items` of a `List`.
    pub(super) item: Option<Item>,
}

/// An element of the `items` of a `List`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    pub(super) index: usize,
    /// In the file; `None` for JSON.
    pub(super) place: Option<Place>,
}

impl Document {
    /// Line and column of a field, such as `spec.match.keywords[0]` or `metadata.labels[app]`.
    ///
    /// A field that is not in the document (required or defaulted) has the location of its nearest parent.
    pub fn locate(&self, path: &str) -> Location {
        let path = path.trim_start_matches('.');
        let Origin { text, start, end, first_line, item } = &self.origin;
        let found = match item {
            None => position::find(&text[*start..*end], path).map(|found| (found, *first_line)),
            Some(Item { place, .. }) if path.is_empty() => {
                return place.map_or(Location { line: self.line, column: 1 }, |place| place.location);
            }
            Some(item) => self.in_item(*item, path),
        };
        found.map_or(Location { line: self.line, column: 1 }, |(location, first)| Location {
            line: location.line + first - 1,
            column: location.column,
        })
    }

    /// A field of an item, and the line from which its location counts.
    fn in_item(&self, Item { index, place }: Item, path: &str) -> Option<(Location, usize)> {
        let Origin { text, start, end, first_line, .. } = &self.origin;
        if let Some(place) = place {
            // Alone it is a list of one: the items before it need not be read again.
            let line = text[..place.byte].rfind('\n').map_or(0, |at| at + 1);
            if text[line..place.byte].trim() == "-" {
                let found = position::find(&text[line..*end], &format!("[0].{path}"))?;
                return Some((found, place.location.line));
            }
        }
        let found = position::find(&text[*start..*end], &format!("items[{index}].{path}"))?;
        Some((found, *first_line))
    }

    /// Whether what follows a field on its line is a comment that is hardly meant as one, such as `#refund`.
    pub fn is_before_hashtag(&self, path: &str) -> bool {
        let Location { line, column } = self.locate(path);
        let line = self.origin.text.lines().nth(line - 1).unwrap_or_default();
        let field: String = line.chars().skip(column - 1).collect();
        let comment = field.split_once(':').and_then(|(_, rest)| rest.trim_start().strip_prefix('#'));
        comment.is_some_and(|text| text.starts_with(|c: char| !c.is_whitespace() && c != '#'))
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
    /// Their order would depend on the rest of their names.
    #[error(
        "{}: {first} and {second} have the same number, so neither comes first; number them differently, or use --no-commits to read all folders as one tree",
        dir.display()
    )]
    SameNumber { dir: PathBuf, first: String, second: String },
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
            | Self::SomeNumbered { dir: path, .. }
            | Self::SameNumber { dir: path, .. } => path,
            Self::Syntax { file, .. } => file,
        }
    }
}
