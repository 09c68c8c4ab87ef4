//! `postlink::manifests` and kubectl read the same objects from a stream, or both refuse it. The table says where we refuse
//! what kubectl reads, and why.
//!
//! `kubectl label --local` reads files as `kubectl apply -f` does, needs no server, and prints what it has read.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use postlink::manifests::{Loaded, load};
use serde_json::Value;

use crate::harness::binaries::Binaries;
use crate::harness::kubectl::isolated;

const A: &str = "apiVersion: v1\nkind: A\nmetadata: {name: a}\n";
const B: &str = "apiVersion: v1\nkind: B\nmetadata: {name: b}\n";
const JSON_A: &str = r#"{"apiVersion": "v1", "kind": "A", "metadata": {"name": "a"}}"#;
const JSON_B: &str = r#"{"apiVersion": "v1", "kind": "B", "metadata": {"name": "b"}}"#;

/// Read by neither or, alike, by both. `A`, `B` stand for YAML documents, `JA`, `JB` for JSON.
#[rustfmt::skip]
const ALIKE: &[&str] = &[
    // Streams.
    "\u{feff}A", "\u{feff}\u{feff}A", "A---\n\u{feff}B", "A\u{feff}---\nB", "\u{feff}JA", "JA\u{feff}JB",
    "A--- # c\nB", "A---  \nB", "A---\n---\n# c\n---\n~\n---\nB---", "---\nA", "A...\n", "A...\n---\nB", "A...\n# c\n",
    "A--- {x: 1}\n", "--- !x\nA", "---x: 1\nA", "A----\nB", "%YAML 1.1\n---\nA", "A---\n%YAML 1.1\n---\nB", "%TAG ! x:\n---\nA",
    "", "# c\n", "hello\n", "5\n", "- a\n", "[{}]", "{}", "A---\nhello\n", "A---\n   ",
    "<!DOCTYPE html>\n<p>404</p>\n", "Ax:\n<<<<<<< a\n  a: 1\n=======\n  a: 2\n>>>>>>> b\n", "{{- if .x }}\nA{{- end }}\n", "Ax: {{ .y }}\n",
    // JSON.
    "JA", "JAJB", "JA\nJB\nJA\n", "JA\n---\nJB", "JA\n---\nB", "JAJB\n---\nJA", "A---\nJB", "---\n{\n\t\"kind\": \"A\"}\n", "---\nJA",
    "JA,\nJB", "{apiVersion: v1, kind: A,}", "{'kind': 'A'}", "{\n# c\n\"kind\": \"A\"}", "{\"kind\": \"A\", \"x\": NaN}",
    "{\"kind\": \"A\", \"x\": 1E400}", "{\"kind\": \"A\", \"x\": [1.0, 1e3, -0, 18446744073709551615, \"\\ud83d\\ude00\\/\"]}",
    // Lists.
    "kind: List\napiVersion: v1\nitems:\n- {kind: A, apiVersion: v1}\n", "kind: AList\napiVersion: v1\nitems:\n- metadata: {name: a}\n",
    "kind: List\napiVersion: x.dev/v1\nitems: [{kind: A, apiVersion: v1}]\n", "kind: List\napiVersion: v1\nitems:\n- kind: List\n  apiVersion: v1\n  items: []\n",
    "kind: List\napiVersion: v1\nitems: [{metadata: {name: a}}]\n", "kind: List\napiVersion: v1\nitems:\n", "kind: List\napiVersion: v1\nitems: []\n",
    "kind: List\napiVersion: v1\nitems: {}\n", "kind: List\napiVersion: v1\nitems: [5]\n", "kind: List\napiVersion: v1\nitems: [~]\n", "Aitems: [{kind: B, apiVersion: v1}]\n",
    "metadata: {name: a}\n", "AItems: []\n",
    // Keys, anchors, merges.
    "Ab: &b {x: 1, z: 2}\no: {<<: *b, z: 3}\n", "Ab: &b {x: 1}\nc: &c {x: 2, z: 3}\no: {<<: [*b, *c]}\n", "Ao: {\"<<\": {x: 1}}\n",
    "Ao: {<<: 1}\n", "Ao: {<<: ~}\n", "Ab: &b [{x: 1}]\no: {<<: *b}\n", "Ao: {!!merge <<: {x: 1}}\n", "Ax: &a 1\n---\nBz: *a\n",
    "Az: *a\n", "Az: &a [*a]\n", "Ax: &a 1\nz: &a 2\nw: *a\n", "Ax: &a k\n*a : v\n", "Ao: {~: 1}\n", "Ao: {{a: b}: 1}\n",
    "Ao: {18446744073709551615: k}\n", "Ao: {y: 1, n: 2, 0777: a, 1_0: b, 2025-12-01: c}\n",
    // Scalars.
    "Ax: [no, yes, on, off, y, N, nO, Null, nUll, ~, TRUE, tRUE, =, <<x]\n",
    "Ax: [0777, 0o17, 0x1F, 0b11, -0b11, 1_000, +5, 08, 0o8, -0, 0x, 1_, _1, 1__0, -_1, 0_, 0X1F, 0B1]\n",
    "Ax: [1.0, 1.5, .5, 1e3, 1., 1e400, 1e, ., .e1, ._5, .1_0, +.5, 1e21, 0x1p-2, .1p2, .infinity, 9223372036854775808, 123456789.5]\n",
    "Ax: [12:30:45, 2025-12-01, 2001-12-14t21:59:43.10-05:00]\n", "Ax: .inf\n", "Ax: -.Inf\n", "Ax: .NaN\n",
    "Ax: [!!str 12, !!str yes, !!int \"12\", !!int \"010\", !!float 1, !!bool \"yes\", !!null \"\", !foo 12, !!foo 12, ! 12, !<tag:x> 12]\n",
    "Ax: !!int ten\n", "Ax: !!int 1.0\n", "Ax: !!bool maybe\n", "Ax: !!null x\n", "Ax: !!timestamp x\n", "Ax: !!binary aGVsbG8=\n",
    "Ax: !!binary |\n  aGVs\n  bG8=\n", "Ax: !!binary \"?\"\n", "Ax: !!binary \"aGVs bG8=\"\n", "Ax: !!set {a, b}\nz: !!omap [a: 1]\n",
    "Ax: \"\\x41 \\u00e4 \\U0001F600 \\e \\0 \\_ \\N \\L \\P\"\n", "Ax: \"\\/\"\n", "Ax: \"\\ud83d\\ude00\"\n", "Ax: \"\\q\"\n", "Ax: \"a\u{7}b\"\n",
    "Ax: \"a\u{7f}b\"\n", "Ax: \"😀 \u{a0}\"\n", "Ax: |\n  a\n\n  b\nz: >-\n  a\n  b\n\n   c\nw: |+\n  a\n\n\n", "Ax: a\n  b\n\n  c\n",
    // Layout.
    "Ax:\n\ty: 1\n", "Ax:\ta\n", "Ax: a\t# c\n", "A\t\nx: 1\n", "Ax:\n  a: 1\n\t\n  b: 2\n", "Ax:\n-\ta\n", "Ax: |\n  a\n\tb\n",
    "Ax: |\n  \ta\n", "A\t# c\nx: 1\n", "a:\n  b: 1\n c: 2\n", "Ax: [1\n", "Ax: \"a\n", "Ax: a: b\n", "Ax: @a\n", "Ax: `a`\n", "Ax: %a\n",
    "Ax: a#b\n", "Ax:\n- a\nz:\n- - b\n", "Ax: {a:b, c: d}\n", "Ax: [1, 2,]\n", "Ax: [1,,2]\n", "Ax: [\n1,\n2\n]\n", "Ax: a\nb\n",
    "? apiVersion\n: v1\n? kind\n: A\n",
];

/// Read by kubectl and refused by us.
const STRICTER: &[(&str, &str)] = &[
    ("A\u{feff}x: 1\n", "kubectl reads the mark as a part of the key"),
    ("A...\nB", "kubectl drops what follows the end of the document"),
    ("A---\nJA\nJB", "kubectl drops the second value"),
    ("Ax: 1\nx: 2\n", "kubectl takes the last one"),
    ("{\"kind\": \"A\", \"apiVersion\": \"v1\", \"x\": 1, \"x\": 2}", "kubectl takes the last one"),
    ("Ab: &b {x: 1}\no: {x: 5, <<: *b}\n", "kubectl takes the merged value, other tools the other one"),
    ("Ab: &b {x: 1}\no: {<<: *b, <<: {x: 2}}\n", "a duplicate key"),
    ("Ao: {1e3: a}\n", "kubectl rounds the key to 32 bits"),
    (
        "{\n// c\n\"x\":1,\"apiVersion\":\"v1\",\"kind\":\"A\"}",
        "kubectl reads the comment as a part of the key",
    ),
    ("Ax: \"a\u{2028}b\"\n", "kubectl reads the character as the end of a line"),
    ("Ax: \"a\u{85}b\"\n", "kubectl reads the character as the end of a line"),
    (
        "{\"apiVersion\": \"v1\", \"kind\": \"A\", \"x\": \"\\ud83d\"}",
        "kubectl replaces the half of a character",
    ),
    ("Ax: !!binary /w==\n", "kubectl replaces the byte"),
    ("kind: List\napiVersion: v1\n", "the API server refuses it"),
    ("Ax: {\n\ta: 1}\n", "tabs as indentation"),
    ("Ax: \"a\"#b\n", "a comment needs a space before it"),
    ("Ax: [-, a]\n", "a dash needs quotes"),
];

fn text(template: &str) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some(next) = rest.chars().next() {
        let begins_line = text.is_empty() || text.ends_with(['\n', '\u{feff}', '}']);
        let document = [("JA", JSON_A), ("JB", JSON_B), ("A", A), ("B", B)].into_iter();
        match document.clone().find(|(name, _)| begins_line && rest.starts_with(name)) {
            Some((name, document)) => {
                text.push_str(document);
                rest = &rest[name.len()..];
            }
            None => {
                text.push(next);
                rest = &rest[next.len_utf8()..];
            }
        }
    }
    text
}

/// The objects that kubectl reads; `None` if it refuses a part of the file.
fn by_kubectl(binaries: &Binaries, folder: &Path, file: &Path) -> Option<Vec<Value>> {
    let mut command = isolated(&binaries.kubectl, folder);
    command.args(["label", "--local", "-o", "json", "none-", "-f"]).arg(file);
    let output = command.output().unwrap();
    if !output.status.success() {
        return None;
    }
    let objects =
        serde_json::Deserializer::from_slice(&output.stdout).into_iter().collect::<Result<Vec<Value>, _>>();
    Some(objects.unwrap().into_iter().map(normal).collect())
}

fn by_us(file: &Path) -> Option<Vec<Value>> {
    let Loaded { documents, errors, .. } = load(file).unwrap();
    let objects: Vec<Value> = documents.into_iter().map(|document| normal(document.value)).collect();
    // `local` reports an object without a kind later, when it sorts them.
    (errors.is_empty() && objects.iter().all(|object| object["kind"].is_string())).then_some(objects)
}

/// Without the empty labels that `kubectl label` leaves; numbers as doubles, as kubectl reads them.
fn normal(mut object: Value) -> Value {
    if let Some(fields) = object.as_object_mut() {
        fields.entry("metadata").or_insert_with(|| Value::Object(serde_json::Map::new()));
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("labels");
    }
    doubles(&mut object);
    object
}

fn doubles(value: &mut Value) {
    match value {
        Value::Number(number) => *value = number.as_f64().into(),
        Value::Array(items) => items.iter_mut().for_each(doubles),
        Value::Object(fields) => fields.values_mut().for_each(doubles),
        _ => {}
    }
}

#[test]
fn streams_are_read_as_kubectl_reads_them() {
    let binaries = Binaries::find().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stream.yaml");
    let mut report = String::new();
    let stricter = STRICTER.iter().map(|(template, _)| (*template, true));
    let carriage_returns = ALIKE.iter().map(|template| (template.replace('\n', "\r\n"), false));
    let plain = ALIKE.iter().map(|template| (*template, false)).chain(stricter);
    for (template, stricter) in
        plain.map(|(template, stricter)| (template.to_owned(), stricter)).chain(carriage_returns)
    {
        fs::write(&file, text(&template)).unwrap();
        let (ours, theirs) = (by_us(&file), by_kubectl(&binaries, folder.path(), &file));
        let expected = if stricter { ours.is_none() && theirs.is_some() } else { ours == theirs };
        if !expected {
            let _ = writeln!(report, "\n{template:?}\n  ours:    {ours:?}\n  kubectl: {theirs:?}");
        }
    }
    assert!(report.is_empty(), "{report}");
}

#[test]
fn encodings_are_read_as_kubectl_reads_them() {
    let binaries = Binaries::find().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stream.yaml");
    let utf16 = |bytes: fn(u16) -> [u8; 2], mark: &str| {
        format!("{mark}{A}x: Gepäck 😀\n---\n{B}").encode_utf16().flat_map(bytes).collect::<Vec<u8>>()
    };
    let latin1 = [A.as_bytes(), b"x: Gep\xe4ck\n"].concat();
    for (bytes, kubectl, ours) in [
        (utf16(u16::to_le_bytes, "\u{feff}"), Some(2), Some(2)),
        (utf16(u16::to_be_bytes, "\u{feff}"), Some(2), Some(2)),
        (utf16(u16::to_le_bytes, ""), None, None),
        // kubectl replaces the byte.
        (latin1, Some(1), None),
    ] {
        fs::write(&file, &bytes).unwrap();
        let (read, theirs) = (by_us(&file), by_kubectl(&binaries, folder.path(), &file));
        assert_eq!(
            (theirs.as_ref().map(Vec::len), read.as_ref().map(Vec::len)),
            (kubectl, ours),
            "{bytes:?}"
        );
        assert!(ours.is_none() || read == theirs, "{read:?}");
    }
}
