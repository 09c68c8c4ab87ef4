//! Reads the documents of directories, files and streams.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::vec;

use serde_json::Value;

use super::compose::{ComposeError, Composed, Composer};
use super::document::{Document, ManifestError, Origin};
use super::folder::{LeftOut, Walk};
use super::json;

/// The documents that can be read, and errors for the others.
#[derive(Debug, Default)]
pub struct Loaded {
    /// In order of file name, then of position in the file.
    pub documents: Vec<Document>,
    /// In the same order.
    pub errors: Vec<ManifestError>,
    /// How many files were read.
    pub files: usize,
    pub left_out: LeftOut,
}

impl Loaded {
    fn add(&mut self, result: Result<Document, ManifestError>) {
        match result {
            Ok(document) => self.documents.push(document),
            Err(error) => self.errors.push(error),
        }
    }
}

/// All documents of a directory or a file.
///
/// # Errors
/// If `dir` itself cannot be listed.
pub fn load(dir: &Path) -> Result<Loaded, ManifestError> {
    let mut loaded = Loaded::default();
    let mut documents = documents(dir)?;
    let files = documents.files.len();
    for result in &mut documents {
        loaded.add(result);
    }
    loaded.files = files - documents.left_out.others.len();
    loaded.left_out = documents.left_out;
    Ok(loaded)
}

/// The documents of a directory one by one, with the text of one file in memory at a time.
///
/// # Errors
/// If `dir` itself cannot be listed; later errors are items of the iterator.
pub fn documents(dir: &Path) -> Result<Documents, ManifestError> {
    exists(dir)?;
    let walked = dir.is_dir();
    let walk = if walked { Walk::through(dir)? } else { Walk::of_file(dir) };
    Ok(Documents {
        files: walk.files.into_iter(),
        walked,
        left_out: walk.left_out,
        open: None,
        ready: walk.errors.into_iter().map(Err).collect(),
    })
}

/// See [`documents`].
#[derive(Debug)]
pub struct Documents {
    files: vec::IntoIter<PathBuf>,
    /// The files were found in a directory; the user did not name them.
    walked: bool,
    left_out: LeftOut,
    open: Option<File>,
    /// Next items: errors of the directory walk, and objects of a `List`.
    ready: VecDeque<Result<Document, ManifestError>>,
}

impl Iterator for Documents {
    type Item = Result<Document, ManifestError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(result) = self.ready.pop_front() {
                return Some(result);
            }
            if let Some(file) = &mut self.open {
                if !file.read(&mut self.ready) {
                    self.open = None;
                }
                continue;
            }
            let path = self.files.next()?;
            match read(&path) {
                Ok(text) if self.walked && !names_a_kind(&text) => {
                    // An empty file needs no mention.
                    if !text.trim().is_empty() {
                        self.left_out.others.push(path);
                    }
                }
                Ok(text) => self.open = Some(File::new(&path, &text)),
                Err(source) => return Some(Err(ManifestError::Read { path, source })),
            }
        }
    }
}

/// The documents of a text. `file` is the name for errors; `.json` selects JSON instead of YAML.
pub fn parse(file: &Path, text: &str) -> Loaded {
    let mut results = VecDeque::new();
    let mut file = File::new(file, text);
    while file.read(&mut results) {}
    let mut loaded = Loaded::default();
    for result in results {
        loaded.add(result);
    }
    loaded
}

/// A file that is read document by document, so that a hundred thousand documents are never values in memory all at once.
#[derive(Debug)]
struct File {
    path: PathBuf,
    text: Arc<str>,
    /// Byte at which the next document starts; `line` is its line, counted from 1.
    at: usize,
    line: usize,
}

impl File {
    fn new(path: &Path, text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self { path: path.to_owned(), text: text.into(), at: 0, line: 1 }
    }

    /// Reads the next document into `results`; false when there is none.
    fn read(&mut self, results: &mut VecDeque<Result<Document, ManifestError>>) -> bool {
        if self.at >= self.text.len() {
            return false;
        }
        if extension(&self.path) == Some("json") {
            self.at = self.text.len();
            for composed in json::read(&self.text) {
                push(results, &self.path, &self.text, composed);
            }
            return true;
        }
        let (at, above) = (self.at, self.line - 1);
        let mut reader = Composer::new(&self.text[at..]);
        let Some(composed) = reader.next() else { return false };
        match reader.position() {
            Some((next, line)) => (self.at, self.line) = (at + next, above + line),
            None => self.at = self.text.len(),
        }
        let composed = match composed {
            Ok(mut composed) => {
                composed.start += at;
                composed.end += at;
                composed.line += above;
                composed.first_line += above;
                composed.item_lines.iter_mut().for_each(|line| *line += above);
                Ok(composed)
            }
            Err(mut error) => {
                error.line += above;
                Err(error)
            }
        };
        push(results, &self.path, &self.text, composed);
        true
    }
}

fn push(
    results: &mut VecDeque<Result<Document, ManifestError>>,
    file: &Path,
    text: &Arc<str>,
    composed: Result<Composed, ComposeError>,
) {
    let syntax =
        |line, column, message| ManifestError::Syntax { file: file.to_owned(), line, column, message };
    let Composed { value, line, start, end, first_line, item_lines } = match composed {
        Ok(composed) => composed,
        Err(ComposeError { line, column, message }) => {
            return results.push_back(Err(syntax(line, column, message)));
        }
    };
    let document = |value, item| Document {
        file: file.to_owned(),
        line,
        value,
        origin: Origin { text: Arc::clone(text), start, end, first_line, item },
    };
    match value {
        Value::Object(mut fields) if is_list(&fields) => {
            let items = match fields.remove("items") {
                Some(Value::Array(items)) => items,
                None | Some(Value::Null) => Vec::new(),
                Some(_) => {
                    let place = document(Value::Null, None).locate("items");
                    return results.push_back(Err(syntax(
                        place.line,
                        place.column,
                        "the items of a List must be a sequence".into(),
                    )));
                }
            };
            for (index, item) in items.into_iter().enumerate() {
                let mut item = document(item, Some(index));
                item.line = item_lines.get(index).copied().unwrap_or(line);
                results.push_back(if item.value.is_object() {
                    Ok(item)
                } else {
                    let place = item.locate("");
                    Err(syntax(place.line, place.column, NOT_AN_OBJECT.into()))
                });
            }
        }
        Value::Object(_) => results.push_back(Ok(document(value, None))),
        _ => results.push_back(Err(syntax(line, 1, NOT_AN_OBJECT.into()))),
    }
}

const NOT_AN_OBJECT: &str = "not a Kubernetes object: expected a mapping with apiVersion, kind and metadata";

fn is_list(fields: &serde_json::Map<String, Value>) -> bool {
    fields.get("kind").and_then(Value::as_str) == Some("List")
        && fields.get("apiVersion").and_then(Value::as_str) == Some("v1")
}

fn exists(path: &Path) -> Result<(), ManifestError> {
    let failed = |source| ManifestError::Read { path: path.to_owned(), source };
    fs::metadata(path).map(|_| ()).map_err(failed)
}

/// Regular files only: reading a pipe or a device may never end.
fn read(path: &Path) -> io::Result<String> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    fs::read_to_string(path)
}

fn extension(path: &Path) -> Option<&str> {
    path.extension()?.to_str()
}

/// Whether a file of a tree may hold manifests: it cannot be read, or [`names_a_kind`].
pub(super) fn may_hold_manifests(path: &Path) -> bool {
    read(path).map_or(true, |text| names_a_kind(&text))
}

/// Whether the text has a key `apiVersion` or `kind` anywhere, in YAML, in JSON, or in something broken that was meant
/// to be one of them.
fn names_a_kind(text: &str) -> bool {
    let is_key = |key: &str| {
        text.match_indices(key).any(|(at, _)| {
            let rest = text[at + key.len()..].trim_start_matches(['"', '\'']);
            rest.trim_start_matches([' ', '\t']).starts_with(':')
        })
    };
    is_key("apiVersion") || is_key("kind")
}
