//! Tests of `postlink::manifests`.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Instant;

use postlink::manifests::{Loaded, Location, ManifestError, documents, load, load_commits, parse, to_yaml};
use serde_json::{Value, json};

fn yaml(text: &str) -> Loaded {
    parse(Path::new("a.yaml"), text)
}

fn only(text: &str) -> Value {
    let loaded = yaml(text);
    assert!(loaded.errors.is_empty(), "{:?}", loaded.errors);
    assert_eq!(loaded.documents.len(), 1);
    loaded.documents[0].value.clone()
}

fn messages(loaded: &Loaded) -> Vec<String> {
    loaded.errors.iter().map(ToString::to_string).collect()
}

const TREE: &str = "\
# a comment first
---
apiVersion: postlink.dev/v1alpha1
kind: AutomationRule
metadata:
  name: rumors
  annotations:
    argocd.argoproj.io/sync-options: PruneLast=true
spec:
  match:
    keywords:
    - leak
    - \"on fire\"
    authors: {include: [a, {name: b}]}
---
# nothing here
---
apiVersion: v1
kind: List
items:
- kind: One
  metadata: {name: one}
- kind: Two
  spec:
    deep: [1, 2]
";

#[test]
fn fields_are_located_by_line_and_column() {
    let loaded = yaml(TREE);
    assert!(loaded.errors.is_empty(), "{:?}", loaded.errors);
    let [rule, one, two] = &loaded.documents[..] else { panic!("{} documents", loaded.documents.len()) };
    assert_eq!([rule.line, one.line, two.line], [3, 21, 23]);
    assert_eq!(two.value, json!({"kind": "Two", "spec": {"deep": [1, 2]}}));
    for (document, path, line, column) in [
        (rule, "spec.match.keywords[0]", 12, 7),
        (rule, ".spec.match.keywords[1]", 13, 7),
        (rule, "spec.match.keywords", 11, 5),
        (rule, "spec.match.authors.include[1].name", 14, 29),
        (rule, "metadata.annotations[argocd.argoproj.io/sync-options]", 8, 5),
        (rule, "metadata.annotations.argocd.argoproj.io/sync-options", 8, 5),
        // Not written: the nearest written parent.
        (rule, "spec.link.recordType", 9, 1),
        (rule, "spec.match.keywords[7]", 11, 5),
        (one, "metadata.name", 22, 14),
        (two, "spec.deep[1]", 25, 15),
        (two, "", 23, 3),
    ] {
        assert_eq!(document.locate(path), Location { line, column }, "{path}");
    }
    assert_eq!(rule.place("spec.match"), "a.yaml:10:3");
}

#[test]
fn values_are_typed_as_kubectl_types_them() {
    let value = only(
        "a: yes\nb: 'yes'\nc: 010\nd: 1.0\ne: 2020-01-01\nf: ~\ng: !!str 12\nh: \"n\"\n1: one\ntrue: t\ni: 1e2\nj: off\n",
    );
    let expected = json!({
        "a": true, "b": "yes", "c": 8, "d": 1, "e": "2020-01-01", "f": null, "g": "12", "h": "n",
        "1": "one", "true": "t", "i": 100, "j": false
    });
    assert_eq!(value, expected);
}

#[test]
fn anchors_and_merge_keys_are_expanded() {
    let value = only("base: &b {x: 1, z: 2}\nown: {<<: *b, z: 3}\nsame: *b\n");
    assert_eq!(value["own"], json!({"x": 1, "z": 3}));
    assert_eq!(value["same"], json!({"x": 1, "z": 2}));
}

#[test]
fn alias_bomb_is_refused() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let inner = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(bomb, "a{level}: &a{level} [{inner}]").unwrap();
    }
    let loaded = yaml(&bomb);
    assert!(loaded.documents.is_empty());
    assert!(messages(&loaded)[0].contains("aliases add more than"), "{:?}", loaded.errors);
}

#[test]
fn duplicate_key_is_an_error_with_its_place() {
    let loaded = yaml("kind: A\nspec:\n  a: 1\n  b: 2\n  a: 3\n");
    assert_eq!(messages(&loaded), ["a.yaml:5:3: duplicate key `a`; keep one of them"]);
}

#[test]
fn one_bad_document_does_not_hide_the_others() {
    let loaded =
        yaml("kind: A\n---\nkind: [B\n---\nkind: C\nspec: {x: 1}\n---\n- not\n- an object\n---\nkind: D\n");
    let kinds: Vec<_> = loaded.documents.iter().map(|it| it.value["kind"].clone()).collect();
    assert_eq!(kinds, ["A", "C", "D"]);
    assert_eq!(loaded.errors.len(), 2, "{:?}", loaded.errors);
    assert_eq!(loaded.documents[1].locate("spec.x"), Location { line: 6, column: 8 });
    assert_eq!(loaded.documents[2].locate("kind"), Location { line: 11, column: 1 });
    assert!(messages(&loaded)[1].starts_with("a.yaml:8:1: not a Kubernetes object: expected a mapping"));
}

#[test]
fn json_files_are_json() {
    let text = "{\n\t\"kind\": \"A\",\n\t\"spec\": {\"smile\": \"\\ud83d\\ude00\", \"n\": 1.5}\n}\n{\"kind\": \"B\"}\n";
    let loaded = parse(Path::new("a.json"), text);
    assert!(loaded.errors.is_empty(), "{:?}", loaded.errors);
    assert_eq!(loaded.documents[0].value, json!({"kind": "A", "spec": {"smile": "😀", "n": 1.5}}));
    assert_eq!(loaded.documents[1].line, 5);
    let twice = parse(Path::new("a.json"), "{\"a\": 1,\n \"a\": 2}");
    assert_eq!(messages(&twice)[0], "a.json:2:4: duplicate key `a`; keep one of them");
}

#[test]
fn folders_are_read_in_order_without_hidden_files() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("b.yaml", "kind: B\n");
    write("a/z.yml", "kind: A\n");
    write("c.json", "{\"kind\": \"C\"}");
    write(".hidden.yaml", "kind: X\n");
    write(".git/x.yaml", "kind: X\n");
    write("README.md", "kind: X\n");
    write("bad.yaml", "kind: [\n");
    let loaded = load(dir.path()).unwrap();
    let kinds: Vec<_> = loaded.documents.iter().map(|it| it.value["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["A", "B", "C"]);
    assert_eq!(loaded.errors.len(), 1);
    assert!(loaded.errors[0].file().ends_with("bad.yaml"));
    assert!(matches!(load(&dir.path().join("nowhere")), Err(ManifestError::Read { .. })));
}

#[test]
fn numbered_folders_are_commits_in_numeric_order() {
    let dir = tempfile::tempdir().unwrap();
    for (folder, kind) in [("10-last", "C"), ("2-middle", "B"), ("01-first", "A")] {
        fs::create_dir(dir.path().join(folder)).unwrap();
        fs::write(dir.path().join(folder).join("x.yaml"), format!("kind: {kind}\n")).unwrap();
    }
    fs::write(dir.path().join("stray.yaml"), "kind: S\n").unwrap();
    let commits = load_commits(dir.path()).unwrap();
    let names: Vec<_> = commits.iter().map(|commit| commit.name.as_str()).collect();
    assert_eq!(names, ["01-first", "2-middle", "10-last"]);
    assert_eq!(commits[2].documents[0].value["kind"], "C");
    assert!(
        matches!(&commits[0].errors[..], [ManifestError::OutsideCommits { path }] if path.ends_with("stray.yaml"))
    );

    let single = load_commits(&dir.path().join("2-middle")).unwrap();
    assert_eq!((single.len(), single[0].name.as_str()), (1, "2-middle"));

    fs::create_dir(dir.path().join("notes")).unwrap();
    assert_eq!(load_commits(dir.path()).unwrap().len(), 3, "a folder without manifests");
    fs::write(dir.path().join("notes/x.yaml"), "kind: X\n").unwrap();
    let mixed = load_commits(dir.path()).unwrap_err();
    assert!(matches!(&mixed, ManifestError::SomeNumbered { others, .. } if others == "notes"), "{mixed}");
}

/// Scalars that YAML 1.1 and 1.2 type differently.
#[rustfmt::skip]
const TRICKY: &[&str] = &[
    "yes", "no", "on", "off", "y", "n", "Y", "N", "true", "null", "~", "", "010", "0x1F", "0o17", "0b1",
    "1_000", "1e3", ".5", "+1", "-1", "12:30:45", "2020-01-01", "2001-12-14t21:59:43.10-05:00", ".inf",
    "-.INF", ".nan", "<<", "=", "- a", "a: b", "a #b", "#a", "*a", "&a", "!a", "%a", "@a", "`a`", "{a",
    "[a", "a\nb", "a\n", " a", "a ", "\ta", "'", "\"", "?", "? a", "|", ">", "---", "...", "ä", "\u{7f}",
    "\u{85}", "1.0", "1", "No", "OFF", "Null", "NULL", "0.0", "1.", "08", "0", "-0", "e", "1e", "0x", "_1",
    "1_", "null ", "multi\n\nline\n\n",
];

#[test]
fn emitted_yaml_reads_back_unchanged() {
    for text in TRICKY {
        let value = json!({"v": text, "list": [text, {"k": text}]});
        let emitted = to_yaml(&value);
        assert_eq!(only(&emitted), value, "{text:?} as\n{emitted}");
    }
    for text in [
        "yes",
        "no",
        "on",
        "off",
        "y",
        "n",
        "~",
        "null",
        "010",
        "1_000",
        "2020-01-01",
        "12:30:45",
        "1e3",
        "=",
        "0o17",
    ] {
        let emitted = to_yaml(&json!({"v": text}));
        assert!(
            emitted.contains(&format!("\"{text}\"")) || emitted.contains(&format!("'{text}'")),
            "{emitted}"
        );
    }
    for text in TRICKY {
        let value = json!({ *text: 1 });
        assert_eq!(only(&to_yaml(&value)), value, "the key {text:?} as\n{}", to_yaml(&value));
    }
    let value = json!({"n": [1, -1, 1.5, u64::MAX, i64::MIN], "e": {}, "l": [], "b": [true, false, null]});
    assert_eq!(only(&to_yaml(&value)), value);
}

#[test]
fn a_long_list_is_expanded_in_one_pass() {
    // Each item's line is recorded while reading; searching for it again would be quadratic.
    let mut text = "apiVersion: v1\nkind: List\nitems:\n".to_owned();
    for n in 0..20_000 {
        writeln!(text, "- kind: A\n  metadata: {{name: a{n}}}").unwrap();
    }
    let loaded = yaml(&text);
    assert_eq!(loaded.documents.len(), 20_000);
    assert_eq!(loaded.documents[19_999].line, 4 + 2 * 19_999);
}

/// Prints a rate; asserts nothing about time.
#[test]
fn a_stream_of_many_documents_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let mut text = String::new();
    for n in 0..2_000 {
        write!(
            text,
            "---\napiVersion: postlink.dev/v1alpha1\nkind: PostLink\nmetadata:\n  name: post-{n}\n  namespace: social\n\
             spec:\n  post:\n    id: \"{n}\"\n    url: https://social.example/posts/{n}\n    source: Twitter\n    \
             author: {{name: Jane, handle: jane}}\n    publishedAt: 2026-01-01T00:00:00Z\n    content: some text here\n"
        )
        .unwrap();
    }
    for n in 0..5 {
        fs::write(dir.path().join(format!("{n}.yaml")), &text).unwrap();
    }
    let start = Instant::now();
    let count = documents(dir.path()).unwrap().map(Result::unwrap).count();
    println!("{count} documents in {:?}", start.elapsed());
    assert_eq!(count, 10_000);
}
