//! The changes, notes and warnings that `postlink local` prints for each commit.
#![allow(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

use crate::program::postlink;
use std::{fs, path::Path};
use tempfile::TempDir;

const RULE: &str = "\
---
apiVersion: postlink.dev/v1alpha1
kind: AutomationRule
metadata: {name: complaints, namespace: social}
spec: {connectionRef: {name: contoso}}
";

/// A namespace, a connection without an instance, and an active rule.
fn objects(connection: bool) -> String {
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: social}\n";
    let contoso = "\
---
apiVersion: postlink.dev/v1alpha1
kind: DynamicsConnection
metadata: {name: contoso, namespace: social}
spec:
  instanceUrl: https://Contoso.crm.dynamics.com/
  credentials: {secretRef: {name: contoso}}
";
    format!("{namespace}{RULE}{}", if connection { contoso } else { "" })
}

fn write(dir: &Path, commit: &str, text: &str) {
    fs::create_dir_all(dir.join(commit)).unwrap();
    fs::write(dir.join(commit).join("all.yaml"), text).unwrap();
}

/// Standard output and standard error.
fn printed(dir: &TempDir) -> (String, String) {
    printed_with(dir, &[])
}

fn printed_with(dir: &TempDir, flags: &[&str]) -> (String, String) {
    let output = postlink().args(["local", "."]).args(flags).current_dir(dir.path()).output().unwrap();
    (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn held_deletion_is_shown_as_requested() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "1-used", &objects(true));
    write(dir.path(), "2-removed", &objects(false));
    write(dir.path(), "3-rule-removed", "apiVersion: v1\nkind: Namespace\nmetadata: {name: social}\n");
    let (stdout, stderr) = printed(&dir);
    assert!(stdout.contains("\n- dynamicsconnection/contoso in social deletion requested\n"), "{stdout}");
    assert!(stdout.contains("\n- automationrule/complaints in social deleted\n"), "{stdout}");
    let warning = "warning: commit 2-removed: dynamicsconnection/contoso in social: Validation failed for ValidatingAdmissionPolicy \
                   'postlink-refusal-tools' with binding 'postlink-refusal-tools': connection contoso is used by 1 active rule: \
                   complaints; the change is accepted, and held until the rule is deactivated or deleted\n";
    assert!(stderr.contains(warning), "{stderr}");
}

#[test]
fn an_equal_commit_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "1-used", &objects(true));
    write(dir.path(), "2-same", &objects(true));
    let (stdout, _) = printed(&dir);
    let second = stdout.split("commit 2-same at").nth(1).unwrap();
    assert!(second.contains("\n= 3 unchanged\n") && !second.contains("\n~ "), "{stdout}");
    assert!(!second.contains("\nevents\n"), "{stdout}");
}

#[test]
fn missing_instance_is_named_once() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "1-used", &objects(true));
    write(dir.path(), "2-same", &objects(true));
    let (_, stderr) = printed_with(&dir, &["--no-simulated-defaults"]);
    let warning = "warning: commit 1-used: ./1-used/all.yaml:14:3: dynamicsconnection/contoso in social: no SimulatedInstance has the host \
                   contoso.crm.dynamics.com, so it cannot be reached; ";
    assert_eq!(stderr.matches(warning).count(), 1, "{stderr}");
    assert_eq!(stderr.matches("no SimulatedInstance").count(), 1, "{stderr}");
    let (_, stderr) = printed(&dir);
    let note =
        "note: contoso.crm.dynamics.com has no SimulatedInstance, so a healthy instance is simulated\n";
    assert_eq!(stderr.matches(note).count(), 1, "{stderr}");
    assert_eq!(stderr.matches("SimulatedInstance").count(), 1, "{stderr}");
}

/// Flux notices it in a dry run of the whole commit, and then changes nothing.
#[test]
fn invalid_object_prunes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let second = RULE.replace("name: complaints", "name: second");
    write(dir.path(), "1-two-rules", &format!("{}{second}", objects(true)));
    write(
        dir.path(),
        "2-one-is-invalid",
        &objects(true).replace("spec: {connectionRef", "spec: {since: 2025, connectionRef"),
    );
    let (stdout, stderr) = printed(&dir);
    assert!(!stdout.contains("deleted"), "{stdout}");
    let kept = "warning: commit 2-one-is-invalid: nothing is deleted, because part of this commit is not valid; missing in the rest, and kept: automationrule/second in social\n";
    assert!(stderr.contains(kept), "{stderr}");
}
