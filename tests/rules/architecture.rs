//! What the compiler does not check: decisions are pure, the crates do not know Postlink, a file has one subject, and
//! texts use US spelling.
//! Each check is run on a violation too, so that none passes because it checks nothing.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

const PURE: &str = "src/domain";
/// Words for I/O, clocks, locks, tasks, randomness, logs, or a layer above.
const IMPURE: [&str; 27] = [
    "Api",
    "Client",
    "Instant",
    "Mutex",
    "RwLock",
    "SystemTime",
    "async",
    "await",
    "commands",
    "controller",
    "dbg",
    "env",
    "eprintln",
    "fs",
    "futures",
    "io",
    "manifests",
    "net",
    "process",
    "println",
    "rand",
    "runtime",
    "telemetry",
    "thread",
    "thread_local",
    "tokio",
    "tracing",
];

/// Postlink's own words.
const OURS: [&str; 5] = ["postlink", "dynamicsconnection", "automationrule", "arule", "dconn"];

const LONGEST: usize = 450;

/// Where the repository's own texts are; beside these, the Markdown files at the top.
const TEXTS: [&str; 6] = ["charts", "crates", "docs", "examples", "src", "tests"];

/// Beginnings of British words; this file names them, so it is not checked.
const BRITISH: [&str; 17] = [
    "analyse",
    "behaviour",
    "cancelled",
    "catalogue",
    "colour",
    "favour",
    "honour",
    "labelled",
    "licence",
    "neighbour",
    "normalis",
    "optimisa",
    "optimise",
    "organis",
    "recognis",
    "rumour",
    "serialis",
];

/// Names that others chose.
const FOREIGN: [&str; 1] = ["run_until_cancelled_owned"];

fn files(folder: &str) -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    walk(&root.join(folder), &mut paths);
    assert!(paths.len() > 3, "{folder} holds hardly anything: the check would check nothing");
    paths.sort();
    let name = |path: &Path| path.strip_prefix(root).unwrap().display().to_string();
    paths.iter().filter_map(|path| Some((name(path), fs::read_to_string(path).ok()?))).collect()
}

fn sources(folder: &str) -> Vec<(String, String)> {
    files(folder)
        .into_iter()
        .filter(|(path, _)| Path::new(path).extension().is_some_and(|e| e == "rs"))
        .collect()
}

/// The words of a Rust text, comments left out.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    code.flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_'))
}

fn impurities(path: &str, text: &str) -> Vec<String> {
    let mut found: Vec<String> = words(text)
        .filter(|word| IMPURE.contains(word))
        .map(|word| format!("{path}: `{word}` has no place in a decision"))
        .collect();
    if text.contains("::now()") {
        found.push(format!("{path}: reads a clock; time is an input"));
    }
    found
}

#[test]
fn decisions_are_pure() {
    let found: Vec<String> = sources(PURE).iter().flat_map(|(path, text)| impurities(path, text)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn impurities_are_found() {
    for text in [
        "async fn decide() {}",
        "fn now() -> Timestamp { Timestamp::now() }",
        "use std::{collections::BTreeMap, time::Instant};",
        "fn f() { std::fs::read(\"x\"); }",
        "use tokio::sync::Mutex;",
        "fn f() { tracing::info!(\"x\"); }",
        "use kube::{Api, ResourceExt};",
        "use kube::runtime::watcher;",
        "fn f() -> u8 { rand::random() }",
        "use crate::controller::Context;",
        "use crate::{\n    api::Reason,\n    controller::Context,\n};",
    ] {
        assert!(!impurities("x.rs", text).is_empty(), "{text}");
    }
    let pure = "use crate::api::Reason; use kube::ResourceExt; // Timestamp::now\n";
    assert_eq!(impurities("x.rs", pure), Vec::<String>::new());
}

/// What each part of the program does not name (CONTRIBUTING.md, "Where things are"). `local` and `commands` may name all.
const ARROWS: [(&str, &[&str]); 6] = [
    ("src/api", &["domain", "controller", "leader", "local", "manifests", "telemetry", "commands"]),
    (PURE, &["leader", "local", "dataverse_client", "dataverse_simulator", "kube_memory"]),
    ("src/telemetry", &["api", "domain", "controller", "leader", "local", "manifests", "commands"]),
    ("src/controller", &["leader", "local", "manifests", "commands", "dataverse_simulator", "kube_memory"]),
    ("src/leader", &["domain", "local", "manifests", "commands", "dataverse_simulator", "kube_memory"]),
    ("src/manifests", &["api", "domain", "controller", "leader", "local", "telemetry", "commands"]),
];

/// The forbidden parts that a file names in a path.
fn wrong_arrows(path: &str, text: &str, forbidden: &[&str]) -> Vec<String> {
    let code: String =
        text.lines().map(|line| line.split("//").next().unwrap_or_default().to_owned() + "\n").collect();
    let names = |part: &str| {
        let path = format!("{part}::");
        let starts = |at: usize| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        code.match_indices(&path).any(|(at, _)| starts(at))
    };
    let found = forbidden.iter().filter(|part| names(part));
    found.map(|part| format!("{path}: uses {part}, which stands above it or beside it")).collect()
}

#[test]
fn arrows_point_down() {
    let check = |(folder, forbidden): (&str, &'static [&str])| {
        sources(folder).into_iter().flat_map(move |(path, text)| wrong_arrows(&path, &text, forbidden))
    };
    let found: Vec<String> = ARROWS.into_iter().flat_map(check).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
    for text in ["use crate::leader::run;", "use crate::{\n    api::Reason,\n    leader::run,\n};"] {
        assert_eq!(wrong_arrows("x.rs", text, &["leader"]).len(), 1, "{text}");
    }
    assert!(wrong_arrows("x.rs", "// leader::run\nmy_leader::run();", &["leader"]).is_empty());
}

/// Postlink's own names in a file.
fn names_of_ours(path: &str, text: &str) -> Vec<String> {
    let text = text.to_lowercase();
    let found = OURS.iter().filter(|name| text.contains(*name));
    found.map(|name| format!("{path}: names {name}, and must stand without Postlink")).collect()
}

#[test]
fn crates_know_nothing_of_postlink() {
    let found: Vec<String> =
        files("crates").iter().flat_map(|(path, text)| names_of_ours(path, text)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert!(!names_of_ours("x.rs", "/// A `PostLink`.").is_empty());
}

fn misshapen(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    if !text.starts_with("//! ") {
        found.push(format!("{path}: the first line must say, after `//!`, what the file is for"));
    }
    let lines = text.lines().count();
    if lines > LONGEST {
        found.push(format!("{path}: {lines} lines, more than {LONGEST}; it holds more than one subject"));
    }
    let vague = ["util", "utils", "utility", "utilities", "helper", "helpers", "common", "misc"];
    for part in path.trim_end_matches(".rs").split('/').filter(|part| vague.contains(part)) {
        found.push(format!("{path}: a module called {part} says nothing of what is in it"));
    }
    found
}

#[test]
fn files_say_what_they_are_for() {
    let all = ["src", "crates", "tests"].map(sources).concat();
    let found: Vec<String> = all.iter().flat_map(|(path, text)| misshapen(path, text)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn misshapen_files_are_found() {
    let long = format!("//! Much.\n{}", "x\n".repeat(LONGEST));
    let texts = ["//! X.\n", "use std::fmt;\n", long.as_str()];
    let found: BTreeSet<usize> = texts.map(|text| misshapen("src/ready.rs", text).len()).into();
    assert_eq!(found, BTreeSet::from([0, 1]));
    assert_eq!(misshapen("src/helpers/mod.rs", "//! X.\n").len(), 1);
    assert_eq!(misshapen("src/misc.rs", "//! X.\n").len(), 1);
}

fn british_words(path: &str, text: &str) -> Vec<String> {
    let text = FOREIGN.iter().fold(text.to_lowercase(), |text, name| text.replace(name, ""));
    let found = BRITISH.iter().filter(|word| text.contains(*word));
    found.map(|word| format!("{path}: `{word}…` is British; use US spelling")).collect()
}

#[test]
fn spelling_is_american() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = ["CHANGELOG.md", "CONTRIBUTING.md", "README.md"]
        .map(|page| (page.to_owned(), fs::read_to_string(root.join(page)).unwrap()));
    let texts = TEXTS.map(files).concat().into_iter().chain(pages);
    let found: Vec<String> = texts
        .filter(|(path, _)| path != "tests/rules/architecture.rs")
        .flat_map(|(path, text)| british_words(&path, &text))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert_eq!(british_words("x.rs", "// The Colours of neighbours.").len(), 2);
    assert!(british_words("x.rs", "// The optimistic lock. token.run_until_cancelled_owned(x)").is_empty());
}
