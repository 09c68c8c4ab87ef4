//! Whole repositories, laid out as the documentation of kustomize, Helm, Flux and Argo CD shows, checked as in CI: each is
//! fine as it is, and with one mistake, the error names its place. `--test cluster` checks that the rendered files are
//! current.
#![allow(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

use crate::program::postlink;
use rstest::rstest;
use std::{
    fs::{self, File},
    path::Path,
};
use tempfile::TempDir;

const KUSTOMIZE: &str = "kustomize/rendered/production.yaml";
/// Its Secret is in the files.
const STAGING: &str = "kustomize/rendered/staging.yaml";
const HELM: &str = "helm/rendered/social.yaml";
const FLUX: &str = "flux";
const ARGO_CD: &str = "argocd";

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

/// A copy of all repositories.
fn repositories() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/embedded/repositories"), dir.path());
    dir
}

/// Replaces a text that the file holds exactly once.
fn replace(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert_eq!(text.matches(from).count(), 1, "{from:?} in {}", file.display());
    fs::write(file, text.replace(from, to)).unwrap();
}

/// Exit code and standard error of the check: a folder is read as such, a rendered file from standard input.
fn check(dir: &TempDir, input: &str, flags: &[&str]) -> (Option<i32>, String) {
    let mut command = postlink();
    command.current_dir(dir.path()).arg("local").args(flags);
    if dir.path().join(input).is_dir() {
        command.arg(input);
    } else {
        command.arg("-").stdin(File::open(dir.path().join(input)).unwrap());
    }
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[rstest]
#[case::kustomize(KUSTOMIZE, &["--stub-secrets"])]
#[case::kustomize_with_a_secret(STAGING, &[])]
#[case::helm(HELM, &["--stub-secrets"])]
#[case::flux(FLUX, &["--stub-secrets"])]
#[case::argo_cd(ARGO_CD, &["--stub-secrets"])]
fn repository_is_fine(#[case] input: &str, #[case] flags: &[&str]) {
    let (code, stderr) = check(&repositories(), input, flags);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.lines().all(|line| line.starts_with("note: ")), "{stderr}");
    assert!(
        stderr.contains(".crm4.dynamics.com has no SimulatedInstance, so a healthy instance is simulated")
    );
}

/// `file` is below the repositories; the text `from` becomes `to`, and the check says all of `expected` in one line.
#[rstest]
#[case::table_in_kustomize(
    KUSTOMIZE, KUSTOMIZE, "  - incident\n", "  - incidnt\n",
    &["error: stdin:49:5: dynamicsconnection/tailspin in social: spec.recordTypes[0]: Dynamics 365 has no table incidnt"]
)]
#[case::table_in_helm(
    HELM, HELM, "recordType: new_feedback", "recordType: new_feedbak",
    &["not ready: stdin:35:5 (from social/templates/rules.yaml): automationrule/praise in social: ", " does not offer record type new_feedbak, because it is not in the connection's spec.recordTypes."]
)]
#[case::table_in_flux(
    FLUX, "flux/infrastructure/connections/connection.yaml", "opportunity", "oportunity",
    &["error: flux/infrastructure/connections/connection.yaml:8:27: ", "Dynamics 365 has no table oportunity"]
)]
#[case::table_in_argo_cd(
    ARGO_CD, "argocd/social/posts.yaml", "recordType: lead", "recordType: leed",
    &["not ready: argocd/social/posts.yaml:14:5: postlink/twenty-kites in social: ", "record type leed"]
)]
#[case::namespace_in_kustomize(
    KUSTOMIZE, KUSTOMIZE, "  name: tailspin\n  namespace: social", "  name: tailspin\n  namespace: crm",
    &["not ready: stdin:24:5: automationrule/complaints in social: ", "is in namespace crm (stdin:41:3)"]
)]
#[case::namespace_in_helm(
    HELM, HELM, "  name: tailspin\n  namespace: social", "  name: tailspin\n  namespace: crm",
    &["not ready: stdin:12:5 (from social/templates/rules.yaml): automationrule/complaints in social: ", "is in namespace crm (stdin:43:3 (from "]
)]
#[case::namespace_in_flux(
    FLUX, "flux/infrastructure/connections/connection.yaml", "namespace: social", "namespace: crm",
    &[
        "not ready: flux/apps/base/social/rules.yaml:8:5: automationrule/complaints in social: ",
        "is in namespace crm (flux/infrastructure/connections/connection.yaml:5:3)",
        "postlink/twenty-kites waits for it."
    ]
)]
#[case::namespace_in_argo_cd(
    ARGO_CD, "argocd/connections/connection.yaml", "namespace: social", "namespace: crm",
    &["not ready: argocd/social/rules.yaml:10:5: ", "is in namespace crm (argocd/connections/connection.yaml:5:3)"]
)]
#[case::secret_in_kustomize(
    STAGING, STAGING, "  name: tailspin-api\n  namespace", "  name: tailspin-app\n  namespace",
    &["not ready: stdin:38:7: dynamicsconnection/tailspin in social-staging: Secret tailspin-api does not exist"]
)]
#[case::secret_in_flux(
    FLUX, "flux/infrastructure/connections/secret.yaml", "    clientId:", "    clientID:",
    &[
        "not ready: flux/infrastructure/connections/connection.yaml:11:7: ",
        "Secret tailspin-api has no key clientId; add it",
        "It is in flux/infrastructure/connections/secret.yaml:1:1, encrypted with SOPS."
    ]
)]
#[case::secret_in_argo_cd(
    ARGO_CD, "argocd/connections/external-secret.yaml", "secretKey: tenantId", "secretKey: tenant",
    &["Secret tailspin-api has no key tenantId", "the ExternalSecret in argocd/connections/external-secret.yaml:1:1."]
)]
#[case::field_in_kustomize(
    KUSTOMIZE, KUSTOMIZE, "    sentiment: Negative\n", "    sentimnt: Negative\n",
    &["error: stdin:62:5: postlink/broken-kite in social: spec.post.sentimnt: unknown field"]
)]
#[case::field_in_helm(
    HELM, HELM, "keywords: [\"love\"", "keyword: [\"love\"",
    &["error: stdin:33:5 (from social/templates/rules.yaml): automationrule/praise in social: spec.match.keyword: unknown field"]
)]
#[case::field_in_flux(
    FLUX, "flux/apps/base/social/rules.yaml", "link:", "lnk:",
    &["error: flux/apps/base/social/rules.yaml:12:3: automationrule/complaints in social: spec.lnk: unknown field"]
)]
#[case::field_in_argo_cd(
    ARGO_CD, "argocd/connections/connection.yaml", "default: true", "default: 'yes'",
    &["error: argocd/connections/connection.yaml:10:3: dynamicsconnection/tailspin in social: spec.default: "]
)]
fn mistake_is_named_with_its_place(
    #[case] input: &str,
    #[case] file: &str,
    #[case] from: &str,
    #[case] to: &str,
    #[case] expected: &[&str],
) {
    let dir = repositories();
    replace(&dir.path().join(file), from, to);
    let flags: &[&str] = if input == STAGING { &[] } else { &["--stub-secrets"] };
    let (code, stderr) = check(&dir, input, flags);
    assert_eq!(code, Some(1), "{stderr}");
    let says = |line: &str| expected.iter().all(|part| line.contains(part));
    assert!(stderr.lines().any(says), "expected {expected:?} in:\n{stderr}");
}

/// docs/local.md shows what is printed.
#[test]
fn documented_mistake_is_what_is_printed() {
    let dir = repositories();
    replace(
        &dir.path().join(KUSTOMIZE),
        "  name: tailspin\n  namespace: social",
        "  name: tailspin\n  namespace: crm",
    );
    let (_, stderr) = check(&dir, KUSTOMIZE, &["--stub-secrets"]);
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/local.md")).unwrap();
    assert!(page.contains(&format!("```text\n{stderr}```\n")), "docs/local.md does not show\n{stderr}");
}

/// Without the flag, the check says what would make the Secret.
#[rstest]
#[case::kustomize(
    KUSTOMIZE,
    "On a cluster, it comes from the SealedSecret in stdin:6:1; to check without it, use --stub-secrets."
)]
#[case::helm(HELM, "If something else makes it, use --stub-secrets.")]
#[case::flux(
    FLUX,
    "It is in flux/infrastructure/connections/secret.yaml:1:1, encrypted with SOPS; to check without it, use --stub-secrets."
)]
#[case::argo_cd(
    ARGO_CD,
    "On a cluster, it comes from the ExternalSecret in argocd/connections/external-secret.yaml:1:1; to check without it, use --stub-secrets."
)]
fn missing_secret_is_explained(#[case] input: &str, #[case] expected: &str) {
    let (code, stderr) = check(&repositories(), input, &[]);
    assert_eq!(code, Some(1), "{stderr}");
    assert_eq!(stderr.matches("not ready: ").count(), 1, "{stderr}");
    assert!(stderr.contains(expected), "{stderr}");
}
