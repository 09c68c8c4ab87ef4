//! What of a folder is read: which files can hold manifests, which subfolders are commits, and what is left out.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{
    document::ManifestError,
    load::{self, Loaded, load},
};

/// What of a tree is not read as manifests.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Folders with a `Chart.yaml`: their templates are not YAML.
    pub charts: Vec<PathBuf>,
    /// Files of kustomize. The patches that they name are left out with them.
    pub kustomizations: Vec<PathBuf>,
    /// Canonical paths of the folders that a kustomization builds on: only those that build on them are applied.
    pub bases: BTreeSet<PathBuf>,
    /// Links to folders, which could form a cycle.
    pub links: Vec<PathBuf>,
    /// Files without any `apiVersion` or `kind`, such as `package.json`.
    pub others: Vec<PathBuf>,
}

impl LeftOut {
    pub fn extend(&mut self, more: Self) {
        self.charts.extend(more.charts);
        self.kustomizations.extend(more.kustomizations);
        self.bases.extend(more.bases);
        self.links.extend(more.links);
        self.others.extend(more.others);
    }

    /// Keeps the first of each path.
    pub fn dedup(&mut self) {
        for paths in [&mut self.charts, &mut self.kustomizations, &mut self.links, &mut self.others] {
            let mut seen = BTreeSet::new();
            paths.retain(|path| seen.insert(fs::canonicalize(path).unwrap_or_else(|_| path.clone())));
        }
    }

    /// The folders to render with kustomize: those on which no other one builds.
    pub fn overlays(&self) -> Vec<PathBuf> {
        let folders = self.kustomizations.iter().map(|file| match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        });
        let is_base = |path: &PathBuf| fs::canonicalize(path).is_ok_and(|path| self.bases.contains(&path));
        folders.filter(|folder| !is_base(folder)).collect()
    }
}

/// One commit of `postlink local`: the complete desired state at a time.
#[derive(Debug, Default)]
pub struct Commit {
    /// Name of the subdirectory, or of the directory if it has no commits.
    pub name: String,
    /// How many files were read.
    pub files: usize,
    pub documents: Vec<super::Document>,
    pub errors: Vec<ManifestError>,
    pub left_out: LeftOut,
}

impl Commit {
    pub fn of(name: String, loaded: Loaded) -> Self {
        let Loaded { documents, errors, files, left_out } = loaded;
        Self { name, files, documents, errors, left_out }
    }
}

/// The commits of a directory, in numeric order of their names (`2-b` before `10-a`); a directory without
/// [`commit_folders`] is one commit.
///
/// # Errors
/// If the directory itself cannot be listed, or like [`commit_folders`]. Other errors are in [`Commit::errors`].
pub fn load_commits(dir: &Path) -> Result<Vec<Commit>, ManifestError> {
    let folders = commit_folders(dir)?;
    if folders.is_empty() {
        return Ok(vec![Commit::of(name_of(dir), load(dir)?)]);
    }
    let mut commits = Vec::with_capacity(folders.len());
    for path in folders {
        commits.push(Commit::of(name_of(&path), load(&path)?));
    }
    let belongs_to_none =
        |path: &PathBuf| path.is_file() && is_manifest(path) && load::may_hold_manifests(path);
    let strays = list(dir)?.into_iter().filter(belongs_to_none);
    commits[0].errors.extend(strays.map(|path| ManifestError::OutsideCommits { path }));
    Ok(commits)
}

/// The subfolders that are commits: all of them, if each is named `1-…` or `01-…`; otherwise none.
///
/// # Errors
/// If only some are: the others would be left out. A folder without manifests does not count.
pub fn commit_folders(dir: &Path) -> Result<Vec<PathBuf>, ManifestError> {
    let (mut numbered, mut others) = (Vec::new(), Vec::new());
    if dir.is_dir() {
        for path in list(dir)?.into_iter().filter(|path| path.is_dir()) {
            match commit_number(&path) {
                Some(number) => numbered.push((number, path)),
                None if holds_manifests(&path) => others.push(path),
                None => {}
            }
        }
    }
    if !numbered.is_empty() && !others.is_empty() {
        let names = |paths: &mut dyn Iterator<Item = &PathBuf>| {
            paths.map(|path| name_of(path)).collect::<Vec<_>>().join(", ")
        };
        return Err(ManifestError::SomeNumbered {
            dir: dir.to_owned(),
            numbered: names(&mut numbered.iter().map(|(_, path)| path)),
            others: names(&mut others.iter()),
        });
    }
    numbered.sort();
    let twice =
        numbered.iter().zip(numbered.iter().skip(1)).find(|((first, _), (second, _))| first == second);
    if let Some(((_, first), (_, second))) = twice {
        let (first, second) = (name_of(first), name_of(second));
        return Err(ManifestError::SameNumber { dir: dir.to_owned(), first, second });
    }
    Ok(numbered.into_iter().map(|(_, path)| path).collect())
}

/// The files of a directory that can hold manifests, in order.
#[derive(Debug, Default)]
pub(super) struct Walk {
    pub files: Vec<PathBuf>,
    /// Of folders that cannot be listed.
    pub errors: Vec<ManifestError>,
    pub left_out: LeftOut,
    /// Canonical paths of the files that a kustomization uses, but not as a resource.
    patches: BTreeSet<PathBuf>,
}

impl Walk {
    /// A file that is read whatever its name is.
    pub fn of_file(path: &Path) -> Self {
        Self { files: vec![path.to_owned()], ..Self::default() }
    }

    /// # Errors
    /// If `dir` itself cannot be listed.
    pub fn through(dir: &Path) -> Result<Self, ManifestError> {
        let mut walk = Self::default();
        walk.folder(dir, list(dir)?);
        let patches = std::mem::take(&mut walk.patches);
        if !patches.is_empty() {
            let is_patch = |path: &PathBuf| fs::canonicalize(path).is_ok_and(|path| patches.contains(&path));
            walk.files.retain(|path| !is_patch(path));
        }
        Ok(walk)
    }

    fn folder(&mut self, dir: &Path, paths: Vec<PathBuf>) {
        if paths
            .iter()
            .any(|path| path.is_file() && path.file_name().is_some_and(|name| name == "Chart.yaml"))
        {
            self.left_out.charts.push(dir.to_owned());
            return;
        }
        for path in paths {
            if path.is_dir() {
                // As in `kubectl -R`, links to directories are not followed: they could form a cycle.
                if path.is_symlink() {
                    self.left_out.links.push(path);
                    continue;
                }
                match list(&path) {
                    Ok(inner) => self.folder(&path, inner),
                    Err(error) => self.errors.push(error),
                }
            } else if is_kustomization(&path) {
                let named = Named::of(dir, &path);
                self.patches.extend(named.files);
                self.left_out.bases.extend(named.bases);
                self.left_out.kustomizations.push(path);
            } else if is_manifest(&path) {
                self.files.push(path);
            }
        }
    }
}

/// What a kustomization names, as canonical paths.
#[derive(Default)]
struct Named {
    /// Files elsewhere than in its resources, such as patches, which are parts of objects.
    files: Vec<PathBuf>,
    /// Folders among its resources.
    bases: Vec<PathBuf>,
}

impl Named {
    fn of(dir: &Path, kustomization: &Path) -> Self {
        let Ok(text) = fs::read_to_string(kustomization) else { return Self::default() };
        let loaded = load::parse(kustomization, &text);
        let (mut named, mut resources) = (Vec::new(), Vec::new());
        for (field, value) in loaded.documents.iter().filter_map(|it| it.value.as_object()).flatten() {
            let is_resource = matches!(field.as_str(), "resources" | "bases" | "components");
            texts(value, if is_resource { &mut resources } else { &mut named });
        }
        // `files: [key=path]` of a generator.
        let path = |text: &str| dir.join(text.rsplit_once('=').map_or(text, |(_, path)| path));
        let file = |text: &&&str| !text.contains('\n') && is_manifest(Path::new(text));
        let files = named.iter().filter(file).filter_map(|text| fs::canonicalize(path(text)).ok());
        let bases = resources.iter().filter_map(|text| fs::canonicalize(dir.join(text)).ok());
        Self { files: files.collect(), bases: bases.filter(|path| path.is_dir()).collect() }
    }
}

/// All texts in a value.
fn texts<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => found.push(text),
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| texts(field, found)),
        _ => {}
    }
}

fn holds_manifests(dir: &Path) -> bool {
    Walk::through(dir).is_ok_and(|walk| {
        let LeftOut { charts, kustomizations, .. } = &walk.left_out;
        !charts.is_empty()
            || !kustomizations.is_empty()
            || !walk.errors.is_empty()
            || walk.files.iter().any(|path| load::may_hold_manifests(path))
    })
}

/// The entries of a directory without hidden ones and installed packages, sorted by name.
fn list(dir: &Path) -> Result<Vec<PathBuf>, ManifestError> {
    let failed = |source| ManifestError::Read { path: dir.to_owned(), source };
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        if !name.as_encoded_bytes().starts_with(b".") && name != "node_modules" {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

fn is_kustomization(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    matches!(name, Some("kustomization.yaml" | "kustomization.yml" | "Kustomization"))
}

fn is_manifest(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default();
    ["yaml", "yml", "json"].iter().any(|known| extension.eq_ignore_ascii_case(known))
}

fn commit_number(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.split_once('-')?.0.parse().ok()
}

/// The last part of a path, or all of one such as `.`.
pub fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
