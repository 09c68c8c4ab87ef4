//! The only place of this module that touches files: folders, commits, and the documents in them.

use std::fs;
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
    documents(dir)?.for_each(|result| loaded.add(result));
    Ok(loaded)
}

/// The documents of a folder one by one; at any moment one file is in memory.
///
/// # Errors
/// When `dir` itself cannot be listed; later errors are items of the iterator.
pub fn documents(dir: &Path) -> Result<Documents, ManifestError> {
    let mut files = Vec::new();
    let mut errors = Vec::new();
    if dir.is_dir() {
        walk(list(dir)?, &mut files, &mut errors);
    } else {
        files.push(dir.to_owned());
    }
    Ok(Documents {
        files: files.into_iter(),
        pending: errors.into_iter().map(Err).collect::<Vec<_>>().into_iter(),
    })
}

/// Reads documents file by file, in order of name. See [`documents`].
#[derive(Debug)]
pub struct Documents {
    files: vec::IntoIter<PathBuf>,
    pending: vec::IntoIter<Result<Document, ManifestError>>,
}

impl Iterator for Documents {
    type Item = Result<Document, ManifestError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(result) = self.pending.next() {
                return Some(result);
            }
            let path = self.files.next()?;
            match fs::read_to_string(&path) {
                Ok(text) => self.pending = read(&path, text.into()).into_iter(),
                Err(source) => return Some(Err(ManifestError::Read { path, source })),
            }
        }
    }
}

/// The documents of a text that was read elsewhere; `file` is the name used in errors and decides
/// between JSON (`.json`) and YAML.
pub fn parse(file: &Path, text: &str) -> Loaded {
    let mut loaded = Loaded::default();
    read(file, text.into()).into_iter().for_each(|result| loaded.add(result));
    loaded
}

fn read(file: &Path, text: Arc<str>) -> Vec<Result<Document, ManifestError>> {
    let mut results = Vec::new();
    if extension(file) == Some("json") {
        json::read(&text).into_iter().for_each(|composed| push(&mut results, file, &text, composed));
    } else {
        let source = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let skipped = text.len() - source.len();
        for composed in Composer::new(source) {
            let composed =
                composed.map(|it| Composed { start: it.start + skipped, end: it.end + skipped, ..it });
            push(&mut results, file, &text, composed);
        }
    }
    results
}

fn push(
    results: &mut Vec<Result<Document, ManifestError>>,
    file: &Path,
    text: &Arc<str>,
    composed: Result<Composed, ComposeError>,
) {
    let syntax =
        |line, column, message| ManifestError::Syntax { file: file.to_owned(), line, column, message };
    let Composed { value, line, start, end, first_line, item_lines } = match composed {
        Ok(composed) => composed,
        Err(ComposeError { line, column, message }) => {
            return results.push(Err(syntax(line, column, message)));
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
                    return results.push(Err(syntax(
                        place.line,
                        place.column,
                        "the items of a List are a list".into(),
                    )));
                }
            };
            for (index, item) in items.into_iter().enumerate() {
                let mut item = document(item, Some(index));
                item.line = item_lines.get(index).copied().unwrap_or(line);
                results.push(if item.value.is_object() {
                    Ok(item)
                } else {
                    let place = item.locate("");
                    Err(syntax(place.line, place.column, NOT_AN_OBJECT.into()))
                });
            }
        }
        Value::Object(_) => results.push(Ok(document(value, None))),
        _ => results.push(Err(syntax(line, 1, NOT_AN_OBJECT.into()))),
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
