//! Reads directories, commits, and the documents in them.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::vec;

use super::decode;
use super::document::{Document, ManifestError};
use super::stream::File;

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
                Ok(bytes) => match decode::text(bytes) {
                    Ok(text) => self.open = Some(File::new(&path, &text)),
                    Err(error) => return Some(Err(error.in_file(&path))),
                },
                Err(source) => return Some(Err(ManifestError::Read { path, source })),
            }
        }
    }
}

/// The documents of a text. `file` is the name for errors.
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
fn read(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    fs::read(path)
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
