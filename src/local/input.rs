//! What `postlink local` reads: a folder of commits, or one tree from folders, files and standard input.

use crate::manifests::{
    Commit, LeftOut, ManifestError, commit_folders, load_commits, load_unread, name_of, parse_bytes,
};
use std::{
    collections::BTreeSet,
    io::{self, IsTerminal, Read},
    path::{Path, PathBuf},
};

/// The argument for standard input.
const STDIN: &str = "-";
/// Paths that a note names; more are counted.
const NAMED: usize = 3;
/// More commits than these are not all named in the first line.
const COMMITS_NAMED: usize = 5;

#[derive(Debug, thiserror::Error)]
pub enum InputError {
    #[error(transparent)]
    Manifests(#[from] ManifestError),
    #[error(
        "standard input is a terminal; pipe manifests into it, such as: kustomize build DIR | postlink local -"
    )]
    Terminal,
    #[error("standard input cannot be read: {0}")]
    Unreadable(io::Error),
    #[error("standard input (-) is given twice; give it once")]
    InputTwice,
    #[error("standard input is empty; check the command that writes to it")]
    EmptyInput,
}

pub struct Input {
    pub commits: Vec<Commit>,
    /// How the input was read, in one line.
    pub description: String,
}

/// Reads the paths. One directory can hold commits, unless `no_commits` is set; anything else is one tree.
pub fn read(paths: &[PathBuf], no_commits: bool) -> Result<Input, InputError> {
    if let [dir] = paths
        && !no_commits
        && dir.as_os_str() != STDIN
        && !commit_folders(dir)?.is_empty()
    {
        let commits = load_commits(dir)?;
        let description = description_of_commits(&commits);
        return Ok(Input { commits, description });
    }
    let mut tree = Commit::default();
    let mut streamed = None;
    let mut files_read = BTreeSet::new();
    for path in paths {
        let read = if path.as_os_str() == STDIN {
            if streamed.is_some() {
                return Err(InputError::InputTwice);
            }
            let loaded = parse_bytes(Path::new("stdin"), standard_input()?)?;
            streamed = Some(loaded.documents.len() + loaded.errors.len());
            Commit::of("stdin".to_owned(), loaded)
        } else {
            Commit::of(name_of(path), load_unread(path, &mut files_read)?)
        };
        tree.name = if tree.name.is_empty() { read.name } else { format!("{} {}", tree.name, read.name) };
        tree.files += read.files;
        tree.documents.extend(read.documents);
        tree.errors.extend(read.errors);
        tree.left_out.extend(read.left_out);
    }
    tree.left_out.dedup();
    let mut parts = Vec::new();
    if tree.files > 0 || streamed.is_none() {
        parts.push(counted(tree.files, "file"));
    }
    if let Some(documents) = streamed {
        parts.push(format!("{} on standard input", counted(documents, "document")));
    }
    let description = format!("one tree of {}", parts.join(" and "));
    Ok(Input { commits: vec![tree], description })
}

fn standard_input() -> Result<Vec<u8>, InputError> {
    let mut input = io::stdin();
    if input.is_terminal() {
        return Err(InputError::Terminal);
    }
    let mut bytes = Vec::new();
    input.read_to_end(&mut bytes).map_err(InputError::Unreadable)?;
    if bytes.trim_ascii().is_empty() { Err(InputError::EmptyInput) } else { Ok(bytes) }
}

fn description_of_commits(commits: &[Commit]) -> String {
    let names: Vec<&str> = commits.iter().map(|commit| commit.name.as_str()).collect();
    let shown = match names.split_last() {
        Some((last, _)) if names.len() > COMMITS_NAMED => {
            format!("{}, …, {last}", names[..COMMITS_NAMED - 1].join(", "))
        }
        _ => names.join(", "),
    };
    format!("{}: {shown}", counted(names.len(), "commit"))
}

/// A line for each kind of thing that was left out, over all commits.
pub fn notes(left_out: &LeftOut) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(first) = left_out.charts.first() {
        notes.push(format!(
            "{} {} not rendered; to check what it makes: helm template {} | postlink local -",
            listed("Helm chart", &left_out.charts),
            are(&left_out.charts),
            first.display()
        ));
    }
    if let [folder, others @ ..] = left_out.overlays().as_slice() {
        let likewise =
            if others.is_empty() { String::new() } else { format!(" (likewise {})", shown(others)) };
        notes.push(format!(
            "{} {} not applied, and neither are patches; to check what kustomize makes: kustomize build {} | postlink local -{likewise}",
            listed("kustomization", &left_out.kustomizations),
            are(&left_out.kustomizations),
            folder.display()
        ));
    }
    if !left_out.links.is_empty() {
        notes.push(format!(
            "{} {} not followed",
            listed("link to a folder", &left_out.links),
            are(&left_out.links)
        ));
    }
    if !left_out.others.is_empty() {
        notes.push(format!(
            "{} without apiVersion and kind {} ignored",
            listed("file", &left_out.others),
            are(&left_out.others)
        ));
    }
    notes
}

fn are(paths: &[PathBuf]) -> &'static str {
    if paths.len() == 1 { "is" } else { "are" }
}

/// `2 files (a, b)`
fn listed(noun: &str, paths: &[PathBuf]) -> String {
    let count = if noun == "link to a folder" && paths.len() > 1 {
        format!("{} links to folders", paths.len())
    } else {
        counted(paths.len(), noun)
    };
    format!("{count} ({})", shown(paths))
}

fn shown(paths: &[PathBuf]) -> String {
    let names: Vec<String> = paths.iter().take(NAMED).map(|path| path.display().to_string()).collect();
    let more = if paths.len() > NAMED { ", …" } else { "" };
    format!("{}{more}", names.join(", "))
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
