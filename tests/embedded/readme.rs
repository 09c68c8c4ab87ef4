//! The documentation is correct: the README shows what the commands print and what the examples hold, and every test, file
//! and section that a page names exists.
#![allow(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crate::program::postlink;
use postlink::manifests;
use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

/// The text of the code block that begins with that command line.
fn block<'a>(readme: &'a str, command: &str) -> &'a str {
    let opening = format!("```console\n$ {command}\n");
    let from = readme.find(&opening).unwrap_or_else(|| panic!("README.md shows no output of `{command}`"));
    let rest = &readme[from + opening.len()..];
    &rest[..rest.find("```").unwrap()]
}

/// The texts of the code blocks in that language.
fn blocks<'a>(readme: &'a str, language: &str) -> Vec<&'a str> {
    let opening = format!("```{language}\n");
    readme.split(opening.as_str()).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// A section, from its heading to the next heading of any level.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let opening = format!("\n{heading}\n");
    let from = page.find(&opening).unwrap_or_else(|| panic!("no section is called `{heading}`"));
    let rest = &page[from + opening.len()..];
    &rest[..rest.find("\n#").unwrap_or(rest.len())]
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

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

/// What there is: scenarios by file name, test functions by name.
fn tests() -> BTreeSet<String> {
    let mut paths = Vec::new();
    files(&root().join("tests"), &mut paths);
    let mut found = BTreeSet::new();
    for file in paths {
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

/// What `postlink` prints on stdout with these arguments.
fn printed(arguments: &[&str]) -> String {
    let output = postlink().args(arguments).current_dir(root()).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}\n{printed}", String::from_utf8_lossy(&output.stderr));
    printed
}

/// The first line shown that was not printed there. A line `…` stands for lines left out, and nothing else may be.
fn not_printed<'a>(shown: &'a str, printed: &str) -> Option<&'a str> {
    let mut printed = printed.lines();
    let mut left_out = false;
    for line in shown.lines() {
        if line == "…" {
            left_out = true;
            continue;
        }
        let found = if left_out { printed.any(|it| it == line) } else { printed.next() == Some(line) };
        if !found {
            return Some(line);
        }
        left_out = false;
    }
    if !left_out && printed.next().is_some() {
        return Some("the end, with lines left out after it");
    }
    None
}

#[test]
fn the_readme_shows_what_the_commands_print() {
    let readme = page("README.md");
    for arguments in
        [["local", "examples/quickstart"].as_slice(), &["local", "examples/story", "--expect-held"]]
    {
        let command = format!("cargo run -q -- {}", arguments.join(" "));
        let (shown, printed) = (block(&readme, &command), printed(arguments));
        let wrong = not_printed(shown, &printed);
        assert!(wrong.is_none(), "README.md shows {wrong:?}, but `{command}` prints\n{printed}");
    }
}

#[test]
fn lines_that_were_not_printed_are_found() {
    let printed = "a\nb\nc\nd\n";
    for shown in ["a\nb\nc\nd\n", "…\nb\n…\n", "a\n…\nd\n", "…\nc\nd\n"] {
        assert_eq!(not_printed(shown, printed), None, "{shown}");
    }
    for shown in ["a\n…\ne\n", "…\nc\n…\nb\n…\n", "a\nc\n…\n", "b\n…\n", "a\nb\n"] {
        assert!(not_printed(shown, printed).is_some(), "{shown}");
    }
}

#[test]
fn the_readme_shows_documents_of_the_examples() {
    let loaded = manifests::load(&root().join("examples/quickstart")).unwrap();
    let examples: Vec<Value> = loaded.documents.into_iter().map(|document| document.value).collect();
    let mut kinds = BTreeSet::new();
    for block in blocks(&page("README.md"), "yaml") {
        let shown = manifests::parse(Path::new("README.md"), block);
        assert!(shown.errors.is_empty(), "{:?}", shown.errors);
        assert!(!shown.documents.is_empty(), "a block holds no document:\n{block}");
        for document in shown.documents {
            assert!(
                examples.contains(&document.value),
                "examples/quickstart holds no document like this one of README.md:\n{}",
                manifests::to_yaml(&document.value)
            );
            kinds.insert(document.value["kind"].as_str().unwrap().to_owned());
        }
    }
    let wanted = ["AutomationRule", "DynamicsConnection", "PostLink"].map(str::to_owned);
    assert_eq!(kinds, BTreeSet::from(wanted), "the README shows one of each kind");
}

#[test]
fn every_rule_in_semantics_names_an_existing_test() {
    let (page, tests) = (page("docs/semantics.md"), tests());
    let rules = rows(section(&page, "### The rules by number"));
    let commits = rows(section(&page, "## 5 One commit must be enough"));
    let shown_by = |row: &Vec<&str>| names(row.last().unwrap()).into_iter().map(str::to_owned).collect();
    let named: Vec<Vec<String>> = rules.iter().chain(&commits).map(shown_by).collect();
    let missing: Vec<&String> = named.iter().flatten().filter(|name| !tests.contains(*name)).collect();
    assert!(missing.is_empty(), "docs/semantics.md names tests that do not exist: {missing:?}");
    for (letter, last, table) in [('R', 28, &rules), ('S', 6, &commits)] {
        for number in 1..=last {
            let rule = format!("{letter}{number}");
            let row = table.iter().find(|row| row[0] == rule);
            let row = row.unwrap_or_else(|| panic!("docs/semantics.md does not say {rule}"));
            // Who may do what is decided by the cluster, before anything of ours is asked.
            let shown = !names(row.last().unwrap()).is_empty();
            assert!(rule == "R1" || shown, "docs/semantics.md shows no test of {rule}");
        }
    }
}

/// The name of a heading in a link, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || ['-', '_', ' '].contains(c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn links_between_the_pages_lead_somewhere() {
    let mut pages: Vec<PathBuf> = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(Into::into).into();
    for folder in ["docs", "charts", "crates", "examples", "tests"] {
        files(&root().join(folder), &mut pages);
    }
    let mut checked = 0;
    for path in pages.into_iter().filter(|path| path.extension().is_some_and(|e| e == "md")) {
        let path = root().join(path);
        let text = fs::read_to_string(&path).unwrap();
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|t| !t.starts_with("http")) {
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let linked = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            assert!(linked.exists(), "{} links to {target}, which does not exist", path.display());
            checked += 1;
            if heading.is_empty() {
                continue;
            }
            let linked = fs::read_to_string(&linked).unwrap();
            let found = linked.lines().any(|line| line.starts_with('#') && anchor(line) == heading);
            assert!(found, "{} links to {target}, and there is no such heading", path.display());
        }
    }
    assert!(checked > 30, "{checked} links are hardly all");
}
