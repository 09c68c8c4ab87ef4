//! How `postlink local` reads its arguments: commits or one tree, standard input, and what of a repository is left out.
#![allow(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

use crate::program::postlink;
use rstest::rstest;
use std::{
    fs,
    io::Write,
    path::Path,
    process::{Output, Stdio},
};
use tempfile::TempDir;

const CONNECTION: &str = "\
apiVersion: postlink.dev/v1alpha1
kind: DynamicsConnection
metadata: {name: contoso}
spec: {instanceUrl: 'https://contoso.crm.dynamics.com', default: true, credentials: {secretRef: {name: contoso}}}
";
const POST: &str = "\
apiVersion: postlink.dev/v1alpha1
kind: PostLink
metadata: {name: good}
spec: {post: {url: 'https://social.example/good', id: good}, link: {}}
";

fn tree(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

fn local(dir: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = postlink();
    command.current_dir(dir).args(["local", "--stub-secrets"]).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that does not read its input may have closed it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

#[rstest]
#[case::commits(&[("1-a/x.yaml", CONNECTION), ("02-b/x.yaml", CONNECTION)], &["."], "2 commits: 1-a, 02-b\n")]
#[case::one_commit(&[("1-a/x.yaml", CONNECTION), (".git/x.yaml", "kind: [")], &["."], "1 commit: 1-a\n")]
#[case::no_commits(&[("1-a/x.yaml", CONNECTION), ("2-b/y.yaml", POST)], &[".", "--no-commits"], "one tree of 2 files\n")]
#[case::other_folders(&[("a/x.yaml", CONNECTION), ("b/y.yaml", POST)], &["."], "one tree of 2 files\n")]
#[case::folder_without_manifests(&[("1-a/x.yaml", CONNECTION), ("doc/a.json", "{\"b\": 1}")], &["."], "1 commit: 1-a\n")]
#[case::file(&[("x.yaml", CONNECTION)], &["x.yaml"], "one tree of 1 file\n")]
#[case::several(&[("x.yaml", CONNECTION), ("1-a/y.yaml", POST)], &["x.yaml", "1-a"], "one tree of 2 files\n")]
#[case::stream(&[], &["-"], "one tree of 2 documents on standard input\n")]
#[case::stream_and_file(&[("x.yaml", POST)], &["-", "x.yaml"], "one tree of 1 file and 2 documents on standard input\n")]
fn first_line_says_how_the_input_was_read(
    #[case] files: &[(&str, &str)],
    #[case] arguments: &[&str],
    #[case] expected: &str,
) {
    let dir = tree(files);
    let stream = format!(
        "{CONNECTION}---\n{}",
        POST.replace("name: good", "name: other").replace("id: good", "id: other")
    );
    let output = local(dir.path(), arguments, &stream);
    let (stdout, stderr) = texts(&output);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stdout.starts_with(expected), "{stdout}");

    let json = local(dir.path(), &[arguments, &["-o", "json"]].concat(), &stream);
    let (stdout, stderr) = texts(&json);
    assert!(stdout.starts_with('{') && stderr.contains(expected), "{stdout}{stderr}");
}

#[rstest]
#[case::empty_input(&[], &["-"], "error: standard input is empty; check the command that writes to it\n")]
#[case::no_objects(&[("x.yaml", "a: 1\n")], &["x.yaml"], "error: no objects of Postlink in x.yaml; ")]
#[case::folders_beside_commits(
    &[("2025-archive/x.yaml", POST), ("connections/x.yaml", CONNECTION), ("rules/x.yaml", POST)],
    &["."],
    "error: .: 2025-archive would be commits because of the number, but connections, rules would be left out; use --no-commits to \
     read all folders as one tree, or number all of them\n"
)]
#[case::chart_only(
    &[("Chart.yaml", "apiVersion: v2\nname: a\n"), ("templates/x.yaml", "kind: {{ .Values.kind }}\n")],
    &["."],
    "note: 1 Helm chart (.) is not rendered; to check what it makes: helm template . | postlink local -\n"
)]
#[case::nothing_of_postlink(
    &[("x.yaml", "apiVersion: apps/v1\nkind: Deployment\n")],
    &["."],
    "note: 1 document is ignored: Deployment (apps/v1)\nerror: no objects of Postlink in .; "
)]
fn unreadable_input_exits_with_2(
    #[case] files: &[(&str, &str)],
    #[case] arguments: &[&str],
    #[case] expected: &str,
) {
    let output = local(tree(files).path(), arguments, " \n");
    let (stdout, stderr) = texts(&output);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert_eq!(stdout, "");
    assert!(stderr.contains(expected), "{stderr}");
}

#[test]
fn file_beside_commits_is_an_error() {
    let dir = tree(&[("1-a/x.yaml", CONNECTION), ("y.yaml", POST), ("package.json", "{}")]);
    let output = local(dir.path(), &["."], "");
    let (_, stderr) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let expected = "error: ./y.yaml is next to commit folders (such as 1-…) and belongs to none; move it into one of them, or use --no-commits";
    assert!(stderr.contains(expected) && !stderr.contains("package.json"), "{stderr}");
}

/// What is in a repository beside manifests is no error, and not silently left out either.
#[test]
fn other_files_of_a_repository_are_noted() {
    let dir = tree(&[
        ("social/connection.yaml", CONNECTION),
        ("social/post.yaml", POST),
        ("package.json", "{\"name\": \"a\", // a comment\n}"),
        ("values.yaml", "autoscaling:\n  kind: none\n"),
        ("node_modules/a/b.yaml", "kind: [\n"),
        (".github/workflows/ci.yaml", "on: push\n"),
        ("charts/a/Chart.yaml", "apiVersion: v2\nname: a\n"),
        ("charts/a/templates/a.yaml", "kind: {{ .Values.kind }}\n"),
        ("overlay/kustomization.yaml", "resources: [../social]\npatches:\n- path: patches/a.yaml\n"),
        ("overlay/patches/a.yaml", CONNECTION),
        ("more.yaml", "apiVersion: apps/v1\nkind: Deployment\n---\napiVersion: apps/v1\nkind: Deployment\n"),
        ("empty.yaml", "# nothing\n"),
        ("all.enc.yaml", "apiVersion: ENC[a]\nkind: ENC[b]\nsops: {version: 3.9.4}\n"),
    ]);
    std::os::unix::fs::symlink(dir.path().join("social"), dir.path().join("linked")).unwrap();
    let output = local(dir.path(), &["."], "");
    let (_, stderr) = texts(&output);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let mut notes: Vec<&str> = stderr.lines().collect();
    notes.truncate(6);
    let expected = [
        "note: 1 Helm chart (./charts/a) is not rendered; to check what it makes: helm template ./charts/a | postlink local -",
        "note: 1 kustomization (./overlay/kustomization.yaml) is not applied, and neither are patches; to check what kustomize makes: kustomize build ./overlay | postlink local -",
        "note: 1 link to a folder (./linked) is not followed",
        "note: 3 files (./empty.yaml, ./package.json, ./values.yaml) without apiVersion and kind are ignored",
        "note: 2 documents are ignored: Deployment (apps/v1)",
        "note: 1 document is ignored: encrypted with SOPS, unknown kind",
    ];
    assert_eq!(notes, expected);
}

#[test]
fn commit_that_replaces_the_one_before_is_questioned() {
    let post = POST.replace("name: good", "name: other").replace("id: good", "id: other");
    let dir =
        tree(&[("01-infra/x.yaml", CONNECTION), ("02-social/x.yaml", &post), ("03-same/x.yaml", &post)]);
    let (_, stderr) = texts(&local(dir.path(), &["."], ""));
    let warning = "warning: 02-social deletes the DynamicsConnection of 01-infra and keeps none of its objects; if the folders belong together, use --no-commits\n";
    assert!(stderr.contains(warning), "{stderr}");
    assert_eq!(stderr.matches("--no-commits").count(), 1, "{stderr}");
}

/// A group that is mistyped must not make the object vanish.
#[test]
fn kind_of_ours_in_another_group_is_an_error() {
    let output = local(Path::new("."), &["-"], &CONNECTION.replace("postlink.dev", "postlnk.dev"));
    let (_, stderr) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let expected =
        "error: stdin:1:1: postlnk.dev/v1alpha1 DynamicsConnection is not a kind of Postlink; use one of";
    assert!(stderr.contains(expected), "{stderr}");
}

/// A file that was meant to be a manifest.
#[rstest]
#[case::key(
    "knd: PostLink\nmetadata: {name: a}\nspec: {}\n",
    "x.yaml:1:1: the object has no apiVersion and no kind; correct knd"
)]
#[case::upper_case(
    "ApiVersion: postlink.dev/v1alpha1\nKind: PostLink\nmetadata: {name: a}\n",
    "x.yaml:1:1: ApiVersion: unknown field; write apiVersion\nerror: x.yaml:2:1: Kind: unknown field; write kind\n"
)]
#[case::lower_case(
    "apiversion: postlink.dev/v1alpha1\nkind: PostLink\nmetadata: {name: a}\n",
    "x.yaml:1:1: apiversion: unknown field; write apiVersion\n"
)]
#[case::neither("metadata: {name: a}\nspec: {}\n", "x.yaml:1:1: the object has no apiVersion and no kind\n")]
#[case::number(
    "apiVersion: postlink.dev/v1alpha1\nkind: 5\nmetadata: {name: a}\n",
    "x.yaml:2:1: kind must be a string\n"
)]
fn broken_head_of_a_manifest_is_an_error(#[case] text: &str, #[case] expected: &str) {
    let dir = tree(&[("x.yaml", text), ("y.yaml", CONNECTION)]);
    let (_, stderr) = texts(&local(dir.path(), &["x.yaml", "y.yaml"], ""));
    assert!(stderr.contains(&format!("error: {expected}")), "{stderr}");
    let output = local(dir.path(), &["."], "");
    let (_, stderr) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains(&format!("error: ./{}", expected.replace("error: x", "error: ./x"))), "{stderr}");
}

#[test]
fn objects_without_a_namespace_are_counted() {
    let social = POST.replace("name: good}", "name: good, namespace: social}");
    let empty = POST.replace("name: good}", "name: empty, namespace: ''}").replace("id: good", "id: empty");
    let warning =
        "warning: 2 objects have no metadata.namespace and are in namespace default, first x.yaml:3:1\n";
    let dir = tree(&[("x.yaml", CONNECTION), ("y.yaml", &empty), ("z.yaml", &social)]);
    let (_, stderr) = texts(&local(dir.path(), &["x.yaml", "y.yaml", "z.yaml"], ""));
    assert_eq!(stderr.matches(warning).count(), 1, "{stderr}");
    let (_, stderr) = texts(&local(dir.path(), &["x.yaml", "y.yaml"], ""));
    assert!(!stderr.contains("metadata.namespace"), "{stderr}");
}

#[test]
fn extensions_in_upper_case_are_read() {
    let dir = tree(&[
        ("x.YAML", CONNECTION),
        ("y.Yml", POST),
        ("z.JSON", "{\"kind\": \"A\", \"apiVersion\": \"b/v1\"}"),
    ]);
    let (stdout, stderr) = texts(&local(dir.path(), &["."], ""));
    assert!(stdout.starts_with("one tree of 3 files\n"), "{stdout}{stderr}");
}

#[rstest]
#[case::folder_twice(&["t", "./t"])]
#[case::file_twice(&["t/x.yaml", "t/x.yaml", "t/y.yaml"])]
#[case::folder_and_file(&["t", "t/x.yaml"])]
#[case::file_and_folder(&["t/x.yaml", "t"])]
fn a_file_is_read_once(#[case] arguments: &[&str]) {
    let dir = tree(&[("t/x.yaml", CONNECTION), ("t/y.yaml", POST), ("t/package.json", "{}")]);
    let output = local(dir.path(), arguments, "");
    let (stdout, stderr) = texts(&output);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stdout.starts_with("one tree of 2 files\n"), "{stdout}");
    assert!(stderr.matches("package.json").count() < 2, "{stderr}");
}

#[rstest]
#[case::standard_input(&[("x.yaml", POST)], &["-", "-"], "error: standard input (-) is given twice; give it once\n")]
#[case::equal_numbers(
    &[("1-a/x.yaml", CONNECTION), ("01-b/x.yaml", CONNECTION)],
    &["."],
    "error: .: 01-b and 1-a have the same number, so neither comes first; number them differently, or use --no-commits to read all \
     folders as one tree\n"
)]
#[case::kustomizations_only(
    &[("base/kustomization.yaml", "resources: []\n")],
    &["base"],
    "error: no YAML documents in base; kustomizations must be rendered, as the note says\n"
)]
fn ambiguous_input_exits_with_2(
    #[case] files: &[(&str, &str)],
    #[case] arguments: &[&str],
    #[case] expected: &str,
) {
    let output = local(tree(files).path(), arguments, CONNECTION);
    let (_, stderr) = texts(&output);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains(expected), "{stderr}");
}

/// As the shell passes the output of `<(kustomize build …)`.
#[rstest]
#[case::full(CONNECTION, Some(0), "Secret contoso in default is a stub")]
#[case::empty(
    "",
    Some(1),
    "error: /dev/stdin: cannot be read: it is empty; check the command that writes to it\n"
)]
fn pipe_is_read(#[case] text: &str, #[case] code: Option<i32>, #[case] expected: &str) {
    let dir = tree(&[]);
    let output = local(dir.path(), &["/dev/stdin"], text);
    let (_, stderr) = texts(&output);
    assert_eq!(output.status.code(), code, "{stderr}");
    assert!(stderr.contains(expected), "{stderr}");
}

#[test]
fn device_is_not_read() {
    let dir = tree(&[("x.yaml", CONNECTION)]);
    std::os::unix::fs::symlink("/nowhere", dir.path().join("y.yaml")).unwrap();
    let output = local(dir.path(), &[".", "/dev/null"], "");
    let (_, stderr) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("error: /dev/null: cannot be read: not a regular file or a pipe\n"), "{stderr}");
    assert!(stderr.contains("error: ./y.yaml: cannot be read: "), "{stderr}");
}

/// A base alone is not what is applied.
#[test]
fn overlays_are_proposed_and_bases_are_not() {
    let overlay = "resources: [../../base]\n";
    let dir = tree(&[
        ("x.yaml", CONNECTION),
        ("base/kustomization.yaml", "resources: []\n"),
        ("overlays/a/kustomization.yaml", overlay),
        ("overlays/b/kustomization.yaml", overlay),
    ]);
    let (_, stderr) = texts(&local(dir.path(), &["."], ""));
    let expected = "to check what kustomize makes: kustomize build ./overlays/a | postlink local - (likewise ./overlays/b)\n";
    assert!(stderr.contains(expected), "{stderr}");
}
