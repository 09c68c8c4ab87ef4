//! Imports between the modules form no circle, and the README names tests that exist.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn crate_folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn source_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { source_files(&path) } else { vec![path] }).collect()
}

/// `web_api/rows.rs` as `web_api::rows`.
fn module_of(file: &Path) -> String {
    let path = file.strip_prefix(crate_folder().join("src")).unwrap().with_extension("");
    path.iter().map(|name| name.to_str().unwrap()).collect::<Vec<_>>().join("::")
}

/// The paths in `use crate::…;`, without `crate::`.
fn imports(text: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for statement in text.split("use crate::").skip(1).filter_map(|rest| rest.split(';').next()) {
        let (prefix, items) = statement.split_once('{').unwrap_or((statement, ""));
        let items = items.trim_end_matches('}').split(',').map(str::trim);
        paths.extend(items.map(|item| format!("{prefix}{item}")));
    }
    paths
}

#[test]
fn imports_form_no_circle() {
    let files = source_files(&crate_folder().join("src"));
    let modules: BTreeSet<String> = files.iter().map(|file| module_of(file)).collect();
    let imported = |path: &str| {
        modules.iter().find(|module| path == *module || path.starts_with(&format!("{module}::"))).cloned()
    };
    let mut waiting: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in &files {
        let text = fs::read_to_string(file).unwrap();
        let found = imports(&text).iter().filter_map(|path| imported(path)).collect();
        waiting.insert(module_of(file), found);
    }
    assert!(waiting["dispatch"].contains("web_api::service"), "the imports are found: {waiting:?}");
    loop {
        let left: BTreeSet<String> = waiting.keys().cloned().collect();
        waiting.retain(|_, imports| imports.iter().any(|module| left.contains(module)));
        if waiting.len() == left.len() {
            break;
        }
    }
    assert!(waiting.is_empty(), "these modules import each other: {waiting:#?}");
}

#[test]
fn readme_names_tests_that_exist() {
    let readme = fs::read_to_string(crate_folder().join("README.md")).unwrap();
    let rows = readme.lines().filter(|line| line.starts_with("| `"));
    let named: Vec<&str> = rows.filter_map(|row| row.trim_end_matches(" |").rsplit("| ").next()).collect();
    assert_eq!(named.len(), 12);
    for name in named {
        let file = crate_folder().join("tests").join(format!("{}.rs", name.trim_matches('`')));
        assert!(file.exists(), "{}", file.display());
    }
}
