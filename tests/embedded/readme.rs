//! README.md tells the truth: the output it shows is what the command prints, and every test it names exists.
#![allow(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).unwrap()
}

/// The text of the code block that begins with that command line.
fn block<'a>(readme: &'a str, command: &str) -> &'a str {
    let opening = format!("```console\n$ {command}\n");
    let from = readme.find(&opening).unwrap_or_else(|| panic!("README.md shows no output of `{command}`"));
    let rest = &readme[from + opening.len()..];
    &rest[..rest.find("```").unwrap()]
}

/// A section, from its heading to the next one.
fn section<'a>(readme: &'a str, heading: &str) -> &'a str {
    let opening = format!("\n## {heading}\n");
    let from = readme.find(&opening).unwrap_or_else(|| panic!("README.md has no section {heading}"));
    let rest = &readme[from + opening.len()..];
    &rest[..rest.find("\n## ").unwrap_or(rest.len())]
}

/// The rows of the tables of a text, as cells; headings are rows too, rulers are not.
fn rows(text: &str) -> Vec<Vec<&str>> {
    let table = text.lines().filter(|line| line.starts_with('|') && !line.starts_with("|---"));
    table.map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// The words between backticks that look like names of tests.
fn names(cell: &str) -> Vec<&str> {
    let test = |name: &&str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    cell.split('`').skip(1).step_by(2).filter(test).collect()
}

/// What there is: scenarios by file name, test functions by name.
fn tests() -> BTreeSet<String> {
    fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { walk(&path, files) } else { files.push(path) }
        }
    }
    let mut files = Vec::new();
    walk(&root().join("tests"), &mut files);
    let mut found = BTreeSet::new();
    for file in files {
        let stem = file.file_stem().unwrap().to_string_lossy().into_owned();
        match file.extension().and_then(|e| e.to_str()) {
            Some("yaml") if file.parent().is_some_and(|p| p.ends_with("scenarios")) => {
                found.insert(stem);
            }
            Some("rs") => {
                let text = fs::read_to_string(&file).unwrap();
                let functions = text.lines().filter_map(|line| {
                    let line = line.trim_start();
                    let line = line.strip_prefix("async ").unwrap_or(line);
                    line.strip_prefix("fn ")?.split(['(', '<']).next()
                });
                found.extend(functions.map(str::to_owned));
            }
            _ => {}
        }
    }
    found
}

#[test]
fn the_quickstart_prints_what_the_readme_shows() {
    let output = Command::new(env!("CARGO_BIN_EXE_postlink"))
        .args(["local", "examples/quickstart"])
        .current_dir(root())
        .env_remove("POSTLINK_LOG")
        .env_remove("RUST_LOG")
        .output()
        .unwrap();
    let (told, printed) =
        (String::from_utf8_lossy(&output.stderr), String::from_utf8(output.stdout).unwrap());
    assert!(output.status.success(), "{told}\n{printed}");
    let readme = readme();
    let shown = block(&readme, "cargo run -q -- local examples/quickstart");
    assert!(shown == printed, "README.md shows\n{shown}\nbut the command prints\n{printed}");
}

#[test]
fn every_rule_stands_in_the_readme_with_a_test_that_exists() {
    let (readme, tests) = (readme(), tests());
    let rows = rows(section(&readme, "The rules"));
    let missing: Vec<&str> =
        rows.iter().flat_map(|row| names(row[2])).filter(|name| !tests.contains(*name)).collect();
    assert!(missing.is_empty(), "README.md names tests that do not exist: {}", missing.join(", "));
    for number in 1..=28 {
        let rule = format!("R{number}");
        let row = rows.iter().find(|row| row[0] == rule);
        let row = row.unwrap_or_else(|| panic!("README.md does not say {rule}"));
        // Who may do what is decided by the cluster, before anything of ours is asked.
        assert!(rule == "R1" || !names(row[2]).is_empty(), "README.md shows no test of {rule}");
    }
}

#[test]
fn links_inside_the_readme_lead_somewhere() {
    let readme = readme();
    let targets = readme.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    for target in targets.filter(|t| !t.starts_with("http") && !t.starts_with('#')) {
        let (file, heading) = target.split_once('#').unwrap_or((target, ""));
        assert!(root().join(file).exists(), "README.md links to {file}, which does not exist");
        let text =
            if heading.is_empty() { String::new() } else { fs::read_to_string(root().join(file)).unwrap() };
        let found = text
            .lines()
            .filter(|line| line.starts_with('#'))
            .any(|line| line.trim_start_matches(['#', ' ']).to_lowercase().replace(' ', "-") == heading);
        assert!(heading.is_empty() || found, "README.md links to {target}, and {file} has no such heading");
    }
}
