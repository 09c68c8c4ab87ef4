//! The only place of this module that touches files: folders, commits, and the documents in them.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::vec;

use serde_json::Value;

use super::compose::{ComposeError, Composed, Composer};
use super::{Document, ManifestError, Origin, json};

/// What a folder or a text held: the documents that could be read, and why the others could not.
#[derive(Debug, Default)]
pub struct Loaded {
    /// In order of file name, then of place in the file.
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

/// One commit of a `postlink local` folder: the whole desired tree at that moment.
#[derive(Debug)]
pub struct Commit {
    /// The sub-folder's name, or the folder's own when it has no commits.
    pub name: String,
    /// Every object of the tree.
    pub documents: Vec<Document>,
    /// What could not be read.
    pub errors: Vec<ManifestError>,
}

/// The commits of a folder, in numeric order of their names (`2-b` before `10-a`).
///
/// Sub-folders named `1-…` or `01-…` are commits; a folder without any is one commit.
///
/// # Errors
/// When the folder itself cannot be listed. What is wrong inside it is in [`Commit::errors`].
pub fn load_commits(dir: &Path) -> Result<Vec<Commit>, ManifestError> {
    let mut folders = Vec::new();
    let mut strays = Vec::new();
    if dir.is_dir() {
        for path in list(dir)? {
            match commit_number(&path) {
                Some(number) => folders.push((number, path)),
                None if path.is_file() && is_manifest(&path) => strays.push(path),
                None => {}
            }
        }
    }
    folders.sort();
    if folders.is_empty() {
        let Loaded { documents, errors } = load(dir)?;
        return Ok(vec![Commit { name: name_of(dir), documents, errors }]);
    }
    let mut commits = Vec::with_capacity(folders.len());
    for (_, path) in folders {
        let Loaded { documents, errors } = load(&path)?;
        commits.push(Commit { name: name_of(&path), documents, errors });
    }
    if let Some(first) = commits.first_mut() {
        first.errors.extend(strays.into_iter().map(|path| ManifestError::OutsideCommits { path }));
    }
    Ok(commits)
}

/// Everything in a folder (or a single file), in memory.
///
/// # Errors
/// When `dir` itself cannot be listed.
pub fn load(dir: &Path) -> Result<Loaded, ManifestError> {
    let mut loaded = Loaded::default();
    for result in documents(dir)? {
        loaded.add(result);
    }
    Ok(loaded)
}

/// The documents of a folder one by one; at any moment the text of one file is in memory.
///
/// # Errors
/// When `dir` itself cannot be listed; later errors are items of the iterator.
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

/// Reads documents one after the other, file by file in order of name. See [`documents`].
#[derive(Debug)]
pub struct Documents {
    files: vec::IntoIter<PathBuf>,
    open: Option<File>,
    /// What is ready: errors of the walk, and the objects of a `List`.
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

/// The documents of a text that was read elsewhere; `file` is the name used in errors and decides
/// between JSON (`.json`) and YAML.
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

/// A file that is being read, document by document: a file of a hundred thousand documents must not be
/// in memory as a hundred thousand values.
#[derive(Debug)]
struct File {
    path: PathBuf,
    text: Arc<str>,
    /// Where the next document starts: byte, and line counted from 1.
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
                        "the items of a List are a list".into(),
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

const NOT_AN_OBJECT: &str = "a Kubernetes object is a mapping with apiVersion, kind and metadata";

fn is_list(fields: &serde_json::Map<String, Value>) -> bool {
    fields.get("kind").and_then(Value::as_str) == Some("List")
        && fields.get("apiVersion").and_then(Value::as_str) == Some("v1")
}

fn walk(paths: Vec<PathBuf>, files: &mut Vec<PathBuf>, errors: &mut Vec<ManifestError>) {
    for path in paths {
        // As `kubectl -R`: links to folders are not followed, so a link cannot make the walk endless.
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

/// A file's text. A pipe or a device in its place may never end.
fn read(path: &Path) -> io::Result<String> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    fs::read_to_string(path)
}

/// What a folder holds, without hidden entries, sorted by name.
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
