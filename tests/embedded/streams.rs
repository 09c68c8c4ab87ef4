//! Streams of documents: `postlink local` reads what kubectl reads, and what it does not read is refused in one line that
//! names the place and what to do. `tests/cluster/streams.rs` compares with kubectl itself.
#![allow(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use postlink::manifests::{Loaded, Location, load, parse};
use rstest::rstest;
use serde_json::{Value, json};

const A: &str = "kind: A\napiVersion: v1\n";
const B: &str = "kind: B\napiVersion: v1\n";

fn read(text: &str) -> Loaded {
    parse(Path::new("a.yaml"), text)
}

fn kinds(loaded: &Loaded) -> Vec<&str> {
    loaded.documents.iter().map(|document| document.value["kind"].as_str().unwrap_or("none")).collect()
}

fn messages(loaded: &Loaded) -> Vec<String> {
    loaded.errors.iter().map(ToString::to_string).collect()
}

fn read_bytes(bytes: &[u8]) -> Loaded {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.yaml"), bytes).unwrap();
    load(dir.path()).unwrap()
}

fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes).collect()
}

#[rstest]
#[case::byte_order_mark(format!("\u{feff}{A}---\n\u{feff}{B}"))]
#[case::byte_order_mark_twice(format!("\u{feff}\u{feff}{A}---\n{B}"))]
#[case::carriage_returns(format!("{A}---\n{B}").replace('\n', "\r\n"))]
#[case::comment_behind_the_separator(format!("--- # first\n{A}---  # second\n{B}"))]
#[case::end_markers(format!("{A}...\n---\n{B}...\n"))]
#[case::nothing_in_between(format!("---\n---\n# nothing\n---\n{A}---\n~\n---\n---\n{B}---"))]
#[case::json(r#"{"kind": "A", "apiVersion": "v1"}{"kind": "B", "apiVersion": "v1"}"#.to_owned())]
#[case::json_lines("{\"kind\": \"A\", \"apiVersion\": \"v1\"}\n\n{\"kind\": \"B\", \"apiVersion\": \"v1\"}\n".to_owned())]
#[case::json_after_a_mark("\u{feff}{\"kind\": \"A\", \"apiVersion\": \"v1\"}\n\u{feff}{\"kind\": \"B\", \"apiVersion\": \"v1\"}".to_owned())]
#[case::json_and_yaml(format!("{{\"kind\": \"A\", \"apiVersion\": \"v1\"}}\n---\n{B}"))]
#[case::yaml_and_json(format!("{A}---\n{{\n\t\"kind\": \"B\", \"apiVersion\": \"v1\"}}"))]
#[case::flow(format!("{{kind: A, apiVersion: v1,}}\n---\n{B}"))]
#[case::list("kind: List\napiVersion: v1\nitems:\n- {kind: A, apiVersion: v1}\n- {kind: B, apiVersion: v1}\n".to_owned())]
#[case::list_of_another_group("kind: List\napiVersion: a.dev/v1\nitems: [{kind: A}, {kind: B}]\n".to_owned())]
#[case::json_list("{\"kind\": \"List\", \"apiVersion\": \"v1\", \"items\": [{\"kind\": \"A\"}, {\"kind\": \"B\"}]}".to_owned())]
fn two_documents_are_read(#[case] text: String) {
    let loaded = read(&text);
    assert_eq!((messages(&loaded), kinds(&loaded)), (vec![], vec!["A", "B"]));
}

#[rstest]
#[case::little_endian(0xfeff, u16::to_le_bytes)]
#[case::big_endian(0xfeff, u16::to_be_bytes)]
fn utf16_with_a_byte_order_mark_is_read(#[case] mark: u16, #[case] unit: fn(u16) -> [u8; 2]) {
    let text = format!("{A}text: Gepäck 🧳\r\n---\n{B}");
    let loaded = read_bytes(&[unit(mark).to_vec(), utf16(&text, unit)].concat());
    assert_eq!((messages(&loaded), kinds(&loaded)), (vec![], vec!["A", "B"]));
    assert_eq!(loaded.documents[0].value["text"], "Gepäck 🧳");
}

#[rstest]
#[case::latin1(b"kind: A\ntext: Gep\xe4ck\n".to_vec(), "a.yaml:2:10: the byte 0xE4 is not UTF-8; save the file as UTF-8")]
#[case::no_mark(
    utf16(A, u16::to_le_bytes),
    "a.yaml:1:1: the file looks like UTF-16 without a byte-order mark; save it as UTF-8"
)]
#[case::utf32(b"\xff\xfe\0\0a\0\0\0".to_vec(), "a.yaml:1:1: the file is UTF-32, which kubectl does not read; save it as UTF-8")]
#[case::utf32_big_endian(b"\0\0\xfe\xff\0\0\0a".to_vec(), "a.yaml:1:1: the file is UTF-32, which kubectl does not read; save it as UTF-8")]
#[case::half_a_unit(b"\xff\xfea".to_vec(), "a.yaml:1:1: the file begins like UTF-16, and is not; save it as UTF-8")]
#[case::gzip(b"\x1f\x8b\x08\x00".to_vec(), "a.yaml:1:1: the file is compressed (gzip); decompress it")]
fn other_encodings_are_refused(#[case] bytes: Vec<u8>, #[case] expected: &str) {
    let loaded = read_bytes(&bytes);
    assert_eq!(loaded.documents.len(), 0);
    let shown = messages(&loaded);
    assert!(shown.len() == 1 && shown[0].contains(expected), "{shown:?}");
}

/// One error, and where the documents around it can still be read, they are.
#[rstest]
#[case::mark_before_a_separator(format!("{A}\u{feff}---\n{A}---\n{B}"), "3:1: a byte-order mark inside a document (were files joined?)")]
#[case::glued_separator(format!("---kind: A\n---\n{B}"), "1:1: kubectl reads nothing but a comment in the line `---`")]
#[case::document_in_the_separator(format!("{B}--- {{kind: A}}\n"), "3:1: kubectl reads nothing but a comment in the line `---`")]
#[case::directive(format!("%YAML 1.2\n---\n{B}"), "1:1: kubectl does not read directives such as %YAML; remove this line")]
#[case::after_the_end(format!("{A}...\n{A}---\n{B}"), "4:1: kubectl does not read what follows the end of a document")]
#[case::html("<!DOCTYPE html>\n<html><body>404</body></html>\n".to_owned(), "1:1: an HTML or XML page, not a manifest")]
#[case::conflict(format!("{A}x:\n<<<<<<< HEAD\n  a: 1\n=======\n  a: 2\n>>>>>>> b\n"), "4:1: a git merge conflict; resolve it")]
#[case::lfs("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n".to_owned(), "1:1: a pointer of Git LFS, not the file itself; run git lfs pull")]
#[case::template(format!("{{{{- if .Values.x }}}}\n{A}{{{{- end }}}}\n"), "render it first: helm template")]
#[case::text("hello\n".to_owned(), "1:1: not a Kubernetes object: expected a mapping")]
#[case::control_character(format!("{A}x: \"a\u{7}b\"\n"), "3:6: kubectl does not read the control character U+0007; write \\u0007 in double quotes")]
#[case::line_separator(format!("{A}x: a\u{2028}b\n"), "3:5: kubectl reads the character U+2028 as the end of a line; write \\u2028 in double quotes")]
#[case::slash_escape(format!("{A}x: \"a\\/b\"\n"), "3:4: kubectl does not know the escape `\\/`; write `/`")]
#[case::surrogates(format!("{A}x: \"\\ud83d\\ude00\"\n"), "3:4: kubectl does not read surrogates such as \\ud83d in YAML")]
#[case::tab_on_a_blank_line(format!("{A}\t\nx: 1\n"), "3:1: a tab is not allowed here; indent with spaces")]
#[case::tab_before_a_comment(format!("{A}  \t# c\nx: 1\n"), "3:3: a tab is not allowed here; indent with spaces")]
#[case::tab_after_a_dash(format!("{A}x:\n-\ta\n"), "4:1: a tab is not allowed here; indent with spaces")]
#[case::tab_in_a_text(format!("{A}x: |\n  \ta\n"), "the text begins with a tab; indent with spaces, or write the text in double quotes")]
#[case::late_merge(format!("{A}b: &b {{x: 1}}\no: {{x: 5, <<: *b}}\n"), "`<<` also has the key `x`, and tools differ in which one they take; write `<<` first")]
#[case::merge_of_a_list(format!("{A}b: &b [{{x: 1}}]\no: {{<<: *b}}\n"), "`<<` needs a mapping or a list of mappings")]
#[case::float_key(format!("{A}o: {{1e3: a}}\n"), "3:5: kubectl writes a number of this form differently as a key; put it in quotes")]
#[case::infinity(format!("{A}x: .inf\n"), "3:4: `.inf` is not a JSON number")]
#[case::wrong_tag(format!("{A}x: !!int 1.0\n"), "`1.0` cannot be read as !!int")]
#[case::json_comment("{\n  // c\n  \"kind\": \"A\"}\n".to_owned(), "2:3: JSON has no comments; remove this one")]
#[case::json_comment_below("---\n{\n  // c\n  \"kind\": \"A\"}\n".to_owned(), "3:3: JSON has no comments, and kubectl reads this one as a key; remove it")]
#[case::json_number("{\"kind\": \"A\", \"x\": 1E400}".to_owned(), "number out of range")]
#[case::json_then_a_separator("{\"kind\": \"B\"}\n{\"kind\": \"B\"}\n---\n".to_owned(), "3:")]
#[case::nested_list("kind: List\napiVersion: v1\nitems:\n- kind: List\n  items: []\n".to_owned(), "4:3: kubectl does not read a list inside a list; move its items to the outer list")]
#[case::list_without_items("kind: List\napiVersion: v1\n".to_owned(), "1:1: the List has no items")]
#[case::items_of_no_list(format!("{A}items: {{}}\n"), "3:1: the items of a List must be a sequence")]
#[case::deep(format!("{A}x: {}{}\n", "[".repeat(100_000), "]".repeat(100_000)), "mappings and sequences are nested more than 127 levels deep")]
#[case::deep_json(format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000)), "mappings and sequences are nested more than 127 levels deep")]
fn a_bad_document_is_refused_in_one_line(#[case] text: String, #[case] expected: &str) {
    let loaded = read(&text);
    let shown = messages(&loaded);
    assert!(shown.len() == 1 && shown[0].contains(expected), "{shown:?}");
    assert!(kinds(&loaded).iter().all(|kind| *kind == "B"), "{:?}", loaded.documents);
    let others = text.contains(B) || expected == "3:";
    assert_eq!(!loaded.documents.is_empty(), others, "{text}");
}

#[test]
fn messages_stay_short() {
    let key = "long\u{1b}[2J".repeat(400);
    let shown = messages(&parse(
        Path::new("a.json"),
        &json!({ &key: 1 }).to_string().replace('}', &format!(", {}: 2}}", json!(key))),
    ));
    assert!(shown[0].contains("duplicate key `long\\u{1b}[2J"), "{shown:?}");
    assert!(shown[0].ends_with('…') && !shown[0].contains('\u{1b}'), "{shown:?}");
}

/// As `kubectl get -o yaml` of one kind may print them.
#[test]
fn items_of_a_typed_list_get_its_kind() {
    let list = "kind: PostLinkList\napiVersion: postlink.dev/v1alpha1\nmetadata: {resourceVersion: '7'}\nitems:\n\
                - metadata: {name: a}\n- {kind: Other, metadata: {name: b}}\n";
    let values: Vec<Value> = read(list).documents.into_iter().map(|document| document.value).collect();
    let first = json!({"kind": "PostLink", "apiVersion": "postlink.dev/v1alpha1", "metadata": {"name": "a"}});
    assert_eq!(values, [first, json!({"kind": "Other", "metadata": {"name": "b"}})]);
}

#[test]
fn fields_of_items_are_located() {
    let text = "kind: List\napiVersion: v1\nitems:\n- kind: A\n  spec: {a: 1}\n-   kind: B\n    spec:\n      b: [1, 2]\n";
    for (text, b) in
        [(text, (8, 14)), (&text.replace('\n', "\r\n"), (8, 14)), (&format!("{A}---\n{text}"), (11, 14))]
    {
        let loaded = read(text);
        let found = loaded.documents.last().unwrap().locate("spec.b[1]");
        assert_eq!(found, Location { line: b.0, column: b.1 }, "{text}");
    }
    let flow = read("kind: List\napiVersion: v1\nitems: [{kind: A}, {kind: B, spec: {b: 1}}]\n");
    assert_eq!(flow.documents[1].locate("spec.b"), Location { line: 3, column: 37 });
    let json =
        read("{\"kind\": \"List\", \"apiVersion\": \"v1\", \"items\": [{},\n {\"spec\": {\"b\": 1}}]}");
    assert_eq!(json.documents[1].locate("spec.b"), Location { line: 2, column: 12 });
}

/// Locating each item by reading the list from its beginning would take hours.
#[test]
fn each_item_of_a_long_list_is_located_alone() {
    let mut text = "kind: List\napiVersion: v1\nitems:\n".to_owned();
    for n in 0..30_000 {
        writeln!(text, "- kind: A\n  metadata: {{name: a{n}}}\n- 5").unwrap();
    }
    let loaded = read(&text);
    assert_eq!((loaded.documents.len(), loaded.errors.len()), (30_000, 30_000));
    for (n, document) in loaded.documents.iter().enumerate() {
        assert_eq!(document.place("metadata.name"), format!("a.yaml:{}:14", 5 + 3 * n));
    }
}
