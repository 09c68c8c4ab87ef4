//! Reads directories, commits, and the documents in them.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::vec;

use serde_json::Value;

use super::compose::{ComposeError, Composed, Composer};
use super::document::{Document, ManifestError, Origin};
use super::json;

/// The documents that can be read, and errors for the others.
#[derive(Debug, Default)]
pub struct Loaded {
    /// In order of file name, then of position in the file.
    pub documents: Vec<Document>,
    /// In the same order.
    pub errors: Vec<ManifestError>,
}

impl Loaded {
    fn add(&mut self, result: Result<Document, ManifestError>) {
        match result {
            Ok(document) => self.documents.push(document),
            Err(error) => self.errors.push(error),
        }
    }
}

/// One commit of `postlink local`: the complete desired state at a time.
#[derive(Debug)]
pub struct Commit {
    /// Name of the subdirectory, or of the directory if it has no commits.
    pub name: String,
    pub documents: Vec<Document>,
    pub errors: Vec<ManifestError>,
    /// Subdirectories next to the commits, which are ignored. Those of the first commit are those of all.
    pub skipped: Vec<PathBuf>,
}

/// The commits of a directory, in numeric order of their names (`2-b` before `10-a`).
///
/// Subdirectories named `1-…` or `01-…` are commits; a directory without any is one commit.
///
/// # Errors
/// If the directory itself cannot be listed. Other errors are in [`Commit::errors`].
pub fn load_commits(dir: &Path) -> Result<Vec<Commit>, ManifestError> {
    let mut folders = Vec::new();
    let (mut strays, mut skipped) = (Vec::new(), Vec::new());
    if dir.is_dir() {
        for path in list(dir)? {
            match commit_number(&path) {
                Some(number) => folders.push((number, path)),
                None if path.is_file() && is_manifest(&path) => strays.push(path),
                None if path.is_dir() => skipped.push(path),
                None => {}
            }
        }
    }
    folders.sort();
    if folders.is_empty() {
        let Loaded { documents, errors } = load(dir)?;
        return Ok(vec![Commit { name: name_of(dir), documents, errors, skipped: Vec::new() }]);
    }
    let mut commits = Vec::with_capacity(folders.len());
    for (_, path) in folders {
        let Loaded { documents, errors } = load(&path)?;
        commits.push(Commit {
            name: name_of(&path),
            documents,
            errors,
            skipped: std::mem::take(&mut skipped),
        });
    }
    if let Some(first) = commits.first_mut() {
        first.errors.extend(strays.into_iter().map(|path| ManifestError::OutsideCommits { path }));
    }
    Ok(commits)
}

/// All documents of a directory or a file.
///
/// # Errors
/// If `dir` itself cannot be listed.
pub fn load(dir: &Path) -> Result<Loaded, ManifestError> {
    let mut loaded = Loaded::default();
    for result in documents(dir)? {
        loaded.add(result);
    }
    Ok(loaded)
}

/// The documents of a directory one by one, with the text of one file in memory at a time.
///
/// # Errors
/// If `dir` itself cannot be listed; later errors are items of the iterator.
pub fn documents(dir: &Path) -> Result<Documents, ManifestError> {
    exists(dir)?;
    let mut files = Vec::new();
    let mut errors = Vec::new();
    if dir.is_dir() {
        walk(list(dir)?, &mut files, &mut errors);
    } else {
        files.push(dir.to_owned());
    }
    Ok(Documents { files: files.into_iter(), open: None, ready: errors.into_iter().map(Err).collect() })
}

/// See [`documents`].
#[derive(Debug)]
pub struct Documents {
    files: vec::IntoIter<PathBuf>,
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

fn walk(paths: Vec<PathBuf>, files: &mut Vec<PathBuf>, errors: &mut Vec<ManifestError>) {
    for path in paths {
        // As in `kubectl -R`, links to directories are not followed: they could form a cycle.
        if path.is_dir() && !path.is_symlink() {
            match list(&path) {
                Ok(inner) => walk(inner, files, errors),
                Err(error) => errors.push(error),
            }
        } else if is_manifest(&path) && !path.is_dir() {
            files.push(path);
        }
    }
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

/// The entries of a directory without hidden ones, sorted by name.
fn list(dir: &Path) -> Result<Vec<PathBuf>, ManifestError> {
    let failed = |source| ManifestError::Read { path: dir.to_owned(), source };
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

fn extension(path: &Path) -> Option<&str> {
    path.extension()?.to_str()
}

fn is_manifest(path: &Path) -> bool {
    matches!(extension(path), Some("yaml" | "yml" | "json"))
}

fn commit_number(path: &Path) -> Option<u64> {
    if !path.is_dir() {
        return None;
    }
    path.file_name()?.to_str()?.split_once('-')?.0.parse().ok()
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
