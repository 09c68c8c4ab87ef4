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
