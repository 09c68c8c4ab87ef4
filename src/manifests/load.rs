//! Reads the documents of directories, files and streams.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::vec;

use super::decode;
use super::document::{Document, ManifestError};
use super::folder::{LeftOut, Walk};
use super::stream::File;

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
    load_unread(dir, &mut BTreeSet::new())
}

/// Like [`load`], but without the files that `read` has, which are canonical paths. Adds those that are read now.
///
/// # Errors
/// If `dir` itself cannot be listed.
pub fn load_unread(dir: &Path, read: &mut BTreeSet<PathBuf>) -> Result<Loaded, ManifestError> {
    let mut loaded = Loaded::default();
    let mut documents = documents(dir)?;
    // Several links to one file in a folder are several files, as for kubectl.
    let (mut files, mut new) = (Vec::new(), Vec::new());
    for path in documents.files {
        match fs::canonicalize(&path) {
            Ok(canonical) if read.contains(&canonical) => continue,
            Ok(canonical) => new.push(canonical),
            Err(_) => {}
        }
        files.push(path);
    }
    read.extend(new);
    documents.files = files.into_iter();
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
            let text = match if self.walked { read(&path) } else { read_named(&path) } {
                Ok(text) => text,
                Err(error) => return Some(Err(error)),
            };
            if !self.walked || names_a_kind(&text) {
                self.open = Some(File::new(&path, &text));
            } else if !text.trim().is_empty() {
                // An empty file needs no mention.
                self.left_out.others.push(path);
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

/// The documents of bytes that were read from somewhere else. `file` is the name for errors.
///
/// # Errors
/// If they are no text.
pub fn parse_bytes(file: &Path, bytes: Vec<u8>) -> Result<Loaded, ManifestError> {
    decode::text(bytes).map(|text| parse(file, &text)).map_err(|error| error.in_file(file))
}

fn exists(path: &Path) -> Result<(), ManifestError> {
    let failed = |source| ManifestError::Read { path: path.to_owned(), source };
    fs::metadata(path).map(|_| ()).map_err(failed)
}

/// The text of a regular file in a folder: reading a pipe or a device may never end.
fn read(path: &Path) -> Result<String, ManifestError> {
    let failed = |source| ManifestError::Read { path: path.to_owned(), source };
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(failed(io::Error::other("not a regular file")));
    }
    decode::text(fs::read(path).map_err(failed)?).map_err(|error| error.in_file(path))
}

/// The text of a file that the user named: regular, or a pipe such as the shell's `<(kustomize build …)`.
fn read_named(path: &Path) -> Result<String, ManifestError> {
    let failed = |source| ManifestError::Read { path: path.to_owned(), source };
    let kind = fs::metadata(path).map_err(failed)?.file_type();
    if !kind.is_file() && !kind.is_fifo() {
        return Err(failed(io::Error::other("not a regular file or a pipe")));
    }
    let bytes = fs::read(path).map_err(failed)?;
    if kind.is_fifo() && bytes.trim_ascii().is_empty() {
        return Err(failed(io::Error::other("it is empty; check the command that writes to it")));
    }
    decode::text(bytes).map_err(|error| error.in_file(path))
}

/// Whether a file of a tree may hold manifests: it cannot be read, or [`names_a_kind`].
pub(super) fn may_hold_manifests(path: &Path) -> bool {
    read(path).map_or(true, |text| names_a_kind(&text))
}

/// Whether the text has a key `apiVersion` or `kind` anywhere, in whatever case, or both `metadata` and `spec`: in YAML, in
/// JSON, or in something broken that was meant to be one of them.
fn names_a_kind(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let is_key = |key: &str| {
        text.match_indices(key).any(|(at, _)| {
            let rest = text[at + key.len()..].trim_start_matches(['"', '\'']);
            rest.trim_start_matches([' ', '\t']).starts_with(':')
        })
    };
    is_key("apiversion") || is_key("kind") || is_key("metadata") && is_key("spec")
}
