//! The arrows of the house, held: what a module may use, what a decision may know, how long a file may be. Each
//! checker is shown a violation first, so that none of them passes because it looks at nothing.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Every module of the house and what it may use of the others. Arrows point one way; `telemetry` is what the ends
/// tell people through, and knows nobody. `simulated_instance` must not learn from `dynamics` what it is there to check.
const ARROWS: [(&str, &[&str]); 12] = [
    ("api", &[]),
    ("telemetry", &[]),
    ("dynamics", &["api"]),
    ("manifests", &["api"]),
    ("rules", &["api"]),
    ("schema", &["api"]),
    ("simulated_instance", &["api", "manifests"]),
    ("memory_api", &["api", "schema"]),
    ("controller", &["api", "dynamics", "rules", "telemetry"]),
    ("explain", &["api", "rules", "schema", "manifests"]),
    ("plan", &["api", "rules", "schema", "manifests"]),
    (
        "commands",
        &[
            "api",
            "controller",
            "dynamics",
            "explain",
            "manifests",
            "memory_api",
            "plan",
            "rules",
            "schema",
            "simulated_instance",
            "telemetry",
        ],
    ),
];

/// The crates a decision may use: data and text. No client, no runtime, no log.
const PURE: [&str; 7] =
    ["caseless", "jiff", "k8s_openapi", "kube", "unicode_normalization", "unicode_segmentation", "uuid"];
/// Of `kube`, the shape of objects and nothing that talks to a server.
const PURE_KUBE: [&str; 3] = ["Resource", "ResourceExt", "core"];
/// Of the standard library, what neither reads a clock nor does I/O.
const PURE_STD: [&str; 11] =
    ["borrow", "cell", "cmp", "collections", "convert", "fmt", "hash", "iter", "mem", "ops", "sync"];

/// Lines a file may have.
const LONGEST: usize = 450;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below a folder, with its path from the root of the repository and its text.
fn sources(folder: &str) -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let mut paths = Vec::new();
    walk(&root().join(folder), &mut paths);
    paths.sort();
    assert!(paths.len() > 3, "{folder} holds hardly anything: the check would check nothing");
    let name = |path: &Path| path.strip_prefix(root()).unwrap().display().to_string();
    paths.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

/// The words and signs of a Rust text, without comments, strings and characters.
fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut i = 0;
    while i < chars.len() {
        let hashes = |from: usize| (from..chars.len()).take_while(|&j| at(j) == '#').count();
        match at(i) {
            '/' if at(i + 1) == '/' => i += (i..chars.len()).take_while(|&j| at(j) != '\n').count(),
            '/' if at(i + 1) == '*' => {
                let mut depth = 0;
                while i < chars.len() {
                    match (at(i), at(i + 1)) {
                        ('/', '*') => (depth, i) = (depth + 1, i + 2),
                        ('*', '/') => (depth, i) = (depth - 1, i + 2),
                        _ => i += 1,
                    }
                    if depth == 0 {
                        break;
                    }
                }
            }
            'r' if at(i + 1 + hashes(i + 1)) == '"' => {
                let count = hashes(i + 1);
                i += count + 2;
                while i < chars.len() && !(at(i) == '"' && hashes(i + 1) >= count) {
                    i += 1;
                }
                i += count + 1;
            }
            '"' => {
                i += 1;
                while i < chars.len() && at(i) != '"' {
                    i += if at(i) == '\\' { 2 } else { 1 };
                }
                i += 1;
            }
            // A character, and not a lifetime.
            '\'' if at(i + 1) == '\\' => {
                i += 3;
                i += (i..chars.len()).take_while(|&j| at(j) != '\'').count() + 1;
            }
            '\'' if at(i + 2) == '\'' => i += 3,
            c if word(c) => {
                let length = (i..chars.len()).take_while(|&j| word(at(j))).count();
                found.push(chars[i..i + length].iter().collect());
                i += length;
            }
            ':' if at(i + 1) == ':' => {
                found.push("::".to_owned());
                i += 2;
            }
            c => {
                if !c.is_whitespace() {
                    found.push(c.to_string());
                }
                i += 1;
            }
        }
    }
    found
}

/// What follows `head::`: the first word of the path, or of each path of a group.
fn firsts(tokens: &[String], head: &[&str]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let is = |i: usize, sign: &str| tokens.get(i).is_some_and(|t| t == sign);
    for start in 0..tokens.len() {
        let names = head.iter().enumerate().all(|(n, name)| is(start + 2 * n, name));
        let signs = (0..head.len()).all(|n| is(start + 2 * n + 1, "::"));
        // `other::crate_name::…` is no path that begins with the head; a leading `::` is.
        let inner =
            start > 1 && is(start - 1, "::") && !matches!(tokens[start - 2].as_str(), "use" | "{" | ",");
        if !names || !signs || inner {
            continue;
        }
        let mut i = start + 2 * head.len();
        if !is(i, "{") {
            found.extend(tokens.get(i).cloned());
            continue;
        }
        let (mut depth, mut first) = (0, false);
        loop {
            match tokens.get(i).map(String::as_str) {
                None => break,
                Some("{") => (depth, first) = (depth + 1, depth == 0),
                Some("}") if depth == 1 => break,
                Some("}") => depth -= 1,
                Some(",") => first = depth == 1,
                Some(name) if first => {
                    found.insert(name.to_owned());
                    first = false;
                }
                Some(_) => {}
            }
            i += 1;
        }
    }
    found
}

/// The modules of the house a file uses, its own left out.
fn uses(path: &str, text: &str) -> BTreeSet<String> {
    let tokens = tokens(text);
    let mut found = firsts(&tokens, &["crate"]);
    // `super::super::…` may reach the root as well: once for each folder, and once more in an inner module.
    let inside = path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    let depth = inside.split('/').count();
    for supers in [depth, depth + 1] {
        found.extend(firsts(&tokens, &vec!["super"; supers]));
    }
    found.retain(|name| ARROWS.iter().any(|(module, _)| module == name));
    found.remove(module_of(path));
    found
}

fn module_of(path: &str) -> &str {
    path.trim_start_matches("src/").split('/').next().unwrap_or_default().trim_end_matches(".rs")
}

/// Arrows of one file that point the wrong way.
fn wrong_arrows(path: &str, text: &str) -> Vec<String> {
    let module = module_of(path);
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == module) else {
        return vec![format!("{path}: the module {module} has no place in the map of the house")];
    };
    let used = uses(path, text);
    let wrong = used.iter().filter(|name| !allowed.contains(&name.as_str()));
    wrong.map(|name| format!("{path}: {module} must not use {name}")).collect()
}

/// The crates this one depends on, as they are written in code.
fn dependencies() -> BTreeSet<String> {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let mut section = "";
    let mut found = BTreeSet::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
        } else if section == "[dependencies]"
            && let Some((name, _)) = line.split_once('=')
            && !name.starts_with('#')
        {
            found.insert(name.trim().replace('-', "_"));
        }
    }
    assert!(found.contains("tokio") && found.contains("tracing"), "Cargo.toml is not read: {found:?}");
    found
}

/// What a file of `rules` knows and must not.
fn impurities(path: &str, text: &str, crates: &BTreeSet<String>) -> Vec<String> {
    let tokens = tokens(text);
    let mut found = Vec::new();
    for word in
        ["async", "await", "unsafe", "println", "eprintln", "dbg", "thread_local", "Instant", "SystemTime"]
    {
        if tokens.iter().any(|t| t == word) {
            found.push(format!("{path}: `{word}` has no place in a decision"));
        }
    }
    for pair in tokens.windows(3) {
        if pair[1] == "::" && pair[2] == "now" {
            found.push(format!("{path}: {}::now reads a clock; time is an input", pair[0]));
        }
        if pair[1] == "::" && crates.contains(&pair[0]) && !PURE.contains(&pair[0].as_str()) {
            found.push(format!("{path}: the crate {} has no place in a decision", pair[0]));
        }
    }
    for (head, allowed) in [("kube", &PURE_KUBE[..]), ("std", &PURE_STD[..])] {
        let used = firsts(&tokens, &[head]);
        found.extend(
            used.iter()
                .filter(|name| !allowed.contains(&name.as_str()))
                .map(|name| format!("{path}: {head}::{name} has no place in a decision")),
        );
    }
    found
}

/// What is wrong with a file's form.
fn misshapen(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    if !text.starts_with("//! ") {
        found.push(format!("{path}: the first line must say, after `//!`, what the file is for"));
    }
    let lines = text.lines().count();
    if lines > LONGEST {
        found.push(format!("{path}: {lines} lines, more than {LONGEST}; it holds more than one subject"));
    }
    for part in path.trim_end_matches(".rs").split('/') {
        let word = part.trim_end_matches('s');
        if matches!(word, "util" | "utility" | "utilitie" | "helper" | "common" | "misc") {
            found.push(format!("{path}: a module called {part} says nothing of what is in it"));
        }
    }
    found
}

#[test]
fn arrows_point_one_way() {
    let mut wrong = Vec::new();
    for (path, text) in sources("src") {
        match path.as_str() {
            "src/lib.rs" => {}
            "src/main.rs" => {
                let used = firsts(&tokens(&text), &["postlink"]);
                assert_eq!(
                    used,
                    BTreeSet::from(["commands".to_owned()]),
                    "main hands over and does nothing else"
                );
            }
            path => wrong.extend(wrong_arrows(path, &text)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_wrong_arrow_is_found_however_it_is_written() {
    for text in [
        "use crate::memory_api::MemoryApi;",
        "use crate::{api::{Reason, PostLink}, memory_api::{Actor, MemoryApi}};",
        "use crate::{\n    api,\n    rules::{Requeue, link::{self, Wish}},\n    memory_api,\n};",
        "fn f() -> crate::memory_api::Error { todo!() }",
        "use super::super::memory_api::MemoryApi;",
        "mod tests { use super::super::super::memory_api::MemoryApi; }",
        "const QUOTE: char = '\"'; use crate::memory_api::Actor; const OTHER: char = '\"';",
        "fn f<'a>(a: &'a str) {} use ::crate::memory_api::Actor;",
    ] {
        let found = wrong_arrows("src/controller/link.rs", text);
        assert_eq!(found, ["src/controller/link.rs: controller must not use memory_api"], "{text}");
    }
    for text in [
        "// use crate::memory_api::MemoryApi;",
        "/* a /* nested */ crate::memory_api::X */",
        "const A: &str = \"crate::memory_api::X\"; const B: &str = r#\"\"crate::memory_api::X\"#;",
        "use super::memory_api::Inner;",
        "use crate::{api::Reason, rules::link::memory_api};",
    ] {
        assert_eq!(wrong_arrows("src/controller/link.rs", text), Vec::<String>::new(), "{text}");
    }
    assert_eq!(wrong_arrows("src/stray.rs", "").len(), 1, "a module nobody drew is found");
    let back =
        wrong_arrows("src/simulated_instance/sign_in.rs", "use crate::{dynamics::Error, commands::main};");
    assert_eq!(back.len(), 2, "{back:?}");
}

#[test]
fn the_map_in_lib_rs_names_every_module() {
    let text = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let words = tokens(&text);
    let declared: BTreeSet<&str> =
        words.windows(2).filter(|w| w[0] == "mod").map(|w| w[1].as_str()).collect();
    assert!(declared.len() > 5, "{declared:?}");
    for module in &declared {
        assert!(
            ARROWS.iter().any(|(name, _)| name == module),
            "{module} has no place in the map of the house"
        );
    }
    // And the map has no circle: whoever is used stands before whoever uses it.
    for (place, (module, allowed)) in ARROWS.iter().enumerate() {
        for used in *allowed {
            let before = ARROWS[..place].iter().any(|(name, _)| name == used);
            assert!(before, "{module} may use {used}, which stands after it");
        }
    }
}

#[test]
fn decisions_are_pure() {
    let crates = dependencies();
    let found: Vec<String> =
        sources("src/rules").iter().flat_map(|(path, text)| impurities(path, text, &crates)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn an_impurity_is_found_however_it_is_written() {
    let crates = dependencies();
    for text in [
        "async fn decide() {}",
        "fn now() -> Timestamp { Timestamp::now() }",
        "use jiff::{Timestamp, Zoned}; fn f() { let n = jiff::Timestamp::now(); }",
        "use std::time::Duration;",
        "use std::{collections::BTreeMap, time::Instant};",
        "fn f() { std::fs::read(\"x\"); }",
        "use tokio::sync::Mutex;",
        "use tracing::{debug, info};",
        "fn f() { tracing::info!(\"x\"); }",
        "use kube::{Api, ResourceExt};",
        "use kube::Client;",
        "use kube::runtime::watcher;",
        "fn f() -> u8 { rand::random() }",
    ] {
        assert!(!impurities("src/rules/link.rs", text, &crates).is_empty(), "{text}");
    }
    let pure = "use kube::ResourceExt; use std::collections::BTreeMap; // Timestamp::now()";
    assert_eq!(impurities("src/rules/link.rs", pure, &crates), Vec::<String>::new());
}

#[test]
fn the_client_of_the_instances_knows_nothing_of_kubernetes() {
    for (path, text) in sources("src/dynamics").iter().chain(&sources("src/simulated_instance")) {
        let tokens = tokens(text);
        for head in ["kube", "k8s_openapi"] {
            assert!(firsts(&tokens, &[head]).is_empty(), "{path} uses {head}");
        }
    }
}

#[test]
fn files_say_what_they_are_for_and_hold_one_subject() {
    let mut found = Vec::new();
    for folder in ["src", "tests"] {
        for (path, text) in sources(folder) {
            found.extend(misshapen(&path, &text));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_misshapen_file_is_found() {
    let long = format!("//! Much.\n{}", "x\n".repeat(LONGEST));
    assert_eq!(misshapen("src/rules/ready.rs", &long).len(), 1);
    assert_eq!(misshapen("src/rules/ready.rs", "use std::fmt;\n").len(), 1);
    for name in ["util", "utils", "helpers", "helper", "common", "misc"] {
        assert_eq!(misshapen(&format!("src/rules/{name}.rs"), "//! X.\n").len(), 1, "{name}");
        assert_eq!(misshapen(&format!("src/{name}/mod.rs"), "//! X.\n").len(), 1, "{name}");
    }
    assert_eq!(misshapen("src/rules/ready.rs", "//! X.\n"), Vec::<String>::new());
}
