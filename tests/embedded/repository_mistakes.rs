//! Mistakes in repositories that a cluster accepts, or reports in a way that does not help: the check names them.
#![allow(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

use crate::program::postlink;
use rstest::rstest;
use std::{fs, process::Output};

const CONNECTION: &str = "---\napiVersion: postlink.dev/v1alpha1\nkind: DynamicsConnection\nmetadata: {name: northwind}\nspec:\n  \
                          instanceUrl: https://northwind.crm.dynamics.com\n  credentials: {secretRef: {name: northwind}}\n";
const RULE: &str = "---\napiVersion: postlink.dev/v1alpha1\nkind: AutomationRule\nmetadata: {name: r}\nspec:\n  connectionRef: {name: northwind}\n";
const POST: &str = "---\napiVersion: postlink.dev/v1alpha1\nkind: PostLink\nmetadata: {name: p}\nspec:\n  post:\n    \
                    url: https://social.example/p\n    id: p\n";
const VALUES: &str = "stringData: {tenantId: T, clientId: C, clientSecret: S}";
const STUBS: &[&str] = &["--stub-secrets"];

fn secret(name: &str, values: &str) -> String {
    format!("---\napiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\n{values}\n")
}

/// A document of any kind.
fn other(api_version: &str, kind: &str, rest: &str) -> String {
    format!("---\napiVersion: {api_version}\nkind: {kind}\n{rest}\n")
}

fn run(commits: &[&str], flags: &[&str]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    for (index, text) in commits.iter().enumerate() {
        let folder = dir.path().join(if commits.len() > 1 { format!("{index}-a") } else { String::new() });
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("a.yaml"), text).unwrap();
    }
    let path = if commits.len() > 1 { "." } else { "a.yaml" };
    postlink().current_dir(dir.path()).args(["local", path]).args(flags).output().unwrap()
}

/// Exit code and standard error.
fn check(commits: &[&str], flags: &[&str]) -> (Option<i32>, String) {
    let output = run(commits, flags);
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// The lines of one kind, such as `error`, without it.
fn lines<'a>(stderr: &'a str, begin: &str) -> Vec<&'a str> {
    stderr.lines().filter_map(|line| line.strip_prefix(begin)?.strip_prefix(": ")).collect()
}

#[track_caller]
fn one_error(text: &str, expected: &str) {
    let (code, stderr) = check(&[text], STUBS);
    assert!(
        matches!(lines(&stderr, "error")[..], [line] if line.contains(expected)),
        "{expected}:\n{stderr}"
    );
    assert_eq!(code, Some(1), "{stderr}");
}

#[rstest]
#[case::sealed(
    "bitnami.com/v1alpha1",
    "SealedSecret",
    "metadata: {name: northwind, namespace: 2026}",
    "namespace"
)]
#[case::label(
    "bitnami.com/v1alpha1",
    "SealedSecret",
    "metadata: {name: northwind, labels: {a: 5}}",
    "labels[a]"
)]
#[case::external(
    "external-secrets.io/v1",
    "ExternalSecret",
    "metadata: {name: northwind, namespace: 2026}",
    "namespace"
)]
#[case::sops("v1", "Secret", "metadata: {name: northwind, namespace: no}\nsops: {a: b}", "namespace")]
fn metadata_of_what_makes_secrets(
    #[case] version: &str,
    #[case] kind: &str,
    #[case] rest: &str,
    #[case] field: &str,
) {
    let text = CONNECTION.to_owned() + &other(version, kind, rest);
    one_error(&text, &format!("metadata.{field}: must be a string; put it in quotes"));
    let (_, stderr) = check(&[&text], STUBS);
    assert!(!stderr.contains("is a stub"), "{stderr}");
    let not_ready = lines(&stderr, "not ready").concat();
    assert!(not_ready.ends_with(" It is in a.yaml:9:1, but has been refused."), "{stderr}");
}

#[test]
fn sealed_secret_of_one_name_twice() {
    let sealed = other("bitnami.com/v1alpha1", "SealedSecret", "metadata: {name: northwind}");
    let text = CONNECTION.to_owned() + &sealed + &sealed;
    one_error(
        &text,
        "a.yaml:13:1: sealedsecret/northwind is defined twice, first at a.yaml:9:1; keep one of them",
    );
}

/// A stub would hide that kustomize does not change the reference.
#[rstest]
#[case::hash("northwind-b26b5fgm46", true)]
#[case::other_secret("northwind-production", false)]
#[case::hash_of_another("my-northwind-b26b5fgm46", false)]
fn hash_in_the_name_of_a_secret(#[case] name: &str, #[case] hashed: bool) {
    let (code, stderr) = check(&[&(CONNECTION.to_owned() + &secret(name, VALUES))], STUBS);
    assert_eq!((code, stderr.contains("is a stub")), (Some(i32::from(hashed)), !hashed), "{stderr}");
    assert_eq!(stderr.contains(&format!("Secret {name} has a hash in its name")), hashed, "{stderr}");
}

#[test]
fn hash_behind_a_name_prefix() {
    let connection = CONNECTION.replace("metadata: {name: northwind", "metadata: {name: prod-northwind-eu");
    let (code, stderr) = check(&[&(connection + &secret("prod-northwind-eu-b26b5fgm46", VALUES))], STUBS);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("Secret prod-northwind-eu-b26b5fgm46 has a hash in its name"), "{stderr}");
}

/// The API server drops a null without a word.
#[rstest]
#[case::link(
    POST,
    "  link:\n",
    "a.yaml:16:3: postlink/p: spec.link: null counts as absent; write link: {}, or remove the field"
)]
#[case::match_(
    RULE,
    "  match:\n",
    "a.yaml:14:3: automationrule/r: spec.match: null counts as absent; write match: {languages: [en]}, or remove the field"
)]
#[case::keywords(
    RULE,
    "  match:\n    languages: [en]\n    keywords:\n      # - refund\n",
    "a.yaml:16:5: automationrule/r: spec.match.keywords: null counts as absent; write keywords: [refund*, gift card], or remove the field"
)]
#[case::reach(
    RULE,
    "  match:\n    reach: {min: }\n",
    "spec.match.reach.min: null counts as absent; write a value, or remove the field"
)]
#[case::content(
    POST,
    "    content: #refund please\n",
    "a.yaml:16:5: postlink/p: spec.post.content: null counts as absent; put the text in quotes if it begins with #, or remove the field"
)]
#[case::hashtag(
    CONNECTION,
    "  displayName: #shop\n",
    "spec.displayName: null counts as absent; put the text in quotes if it begins with #"
)]
fn null_is_an_error_where_a_value_is_meant(
    #[case] object: &str,
    #[case] field: &str,
    #[case] expected: &str,
) {
    let connection = if object == CONNECTION { "" } else { CONNECTION };
    let text = format!("{connection}{object}{field}");
    one_error(&text.replace("northwind}\n---", "northwind}\n\n---"), expected);
}

#[rstest]
#[case::title(POST, "    title:\n", "spec.post.title")]
#[case::title_with_a_comment(POST, "    title: # set by the overlay\n", "spec.post.title")]
#[case::notes(POST, "  link: {connectionRef: {name: northwind}, notes: }\n", "spec.link.notes")]
#[case::link_of_a_rule(RULE, "  link:\n", "spec.link")]
fn harmless_null_is_a_warning(#[case] object: &str, #[case] field: &str, #[case] expected: &str) {
    let (code, stderr) = check(&[&format!("{CONNECTION}{object}{field}")], STUBS);
    let warnings = lines(&stderr, "warning");
    let expected = format!(": {expected}: null counts as absent; ");
    assert!(matches!(warnings[..], [line] if line.contains(&expected)), "{stderr}");
    assert_eq!(code, Some(0), "{stderr}");
}

/// A template leaves out the same values of many posts.
#[test]
fn harmless_null_is_said_once_for_each_field() {
    let post = |name: &str| {
        let named = POST.replace("{name: p}", &format!("{{name: {name}}}"));
        named.replace("id: p", &format!("id: {name}")) + "    title:\n    language:\n"
    };
    let (code, stderr) = check(&[&format!("{CONNECTION}{}{}", post("a"), post("b"))], STUBS);
    assert_eq!((code, lines(&stderr, "warning").len()), (Some(0), 2), "{stderr}");
    assert!(!stderr.contains("postlink/b"), "{stderr}");
}

#[rstest]
#[case::helm(RULE, "  match: {keywords: [late, '{{ .Values.kw }}']}\n", "spec.match.keywords[1]")]
#[case::flux(RULE, "  match: {keywords: ['${KEYWORD}']}\n", "spec.match.keywords[0]")]
#[case::notes(POST, "  link: {notes: 'See ${URL}'}\n", "spec.link.notes")]
#[case::display_name(CONNECTION, "  displayName: ${DISPLAY}\n", "spec.displayName")]
#[case::checked_by_the_server(RULE, "  since: ${SINCE}\n", "spec.since")]
fn unrendered_text(#[case] object: &str, #[case] field: &str, #[case] expected: &str) {
    let text = if object == CONNECTION {
        format!("{object}{field}")
    } else {
        format!("{CONNECTION}{object}{field}")
    };
    one_error(&text, &format!(": {expected}: "));
    one_error(&text, "it seems to be an unrendered template or variable: render it first");
}

#[test]
fn post_may_look_like_a_template() {
    let text = format!(
        "{CONNECTION}{POST}    content: 'Dear {{{{name}}}}'\n    title: '${{x}}'\n  link: {{connectionRef: {{name: northwind}}}}\n"
    );
    assert_eq!(check(&[&text], STUBS).0, Some(0));
}

#[rstest]
#[case::plain("stringData: {tenantId: 'pre-${TENANT}', clientId: C, clientSecret: S}", "stringData.tenantId")]
#[case::secret(
    "stringData: {tenantId: T, clientId: C, clientSecret: 'pre-{{ .Values.secret }}'}",
    "stringData.clientSecret"
)]
#[case::encoded("data: {tenantId: 'pre-${TENANT}', clientId: Qw==, clientSecret: Uw==}", "data.tenantId")]
fn unrendered_secret(#[case] values: &str, #[case] field: &str) {
    let text = CONNECTION.to_owned() + &secret("northwind", values);
    one_error(
        &text,
        &format!(
            "secret/northwind: {field}: it seems to be an unrendered template or variable: render it first"
        ),
    );
    let (_, stderr) = check(&[&text], STUBS);
    assert!(!stderr.contains("pre-"), "{stderr}");
}

/// A Secret that no connection uses holds what it likes.
#[test]
fn template_in_an_unused_secret() {
    let text = CONNECTION.to_owned() + &secret("other", "stringData: {tenantId: '${A}'}");
    assert_eq!(check(&[&text], STUBS).0, Some(0));
}

#[rstest]
#[case("v1", "secret", "v1 secret is not known; use Secret in v1")]
#[case("v1", "Secrets", "v1 Secrets is not known; use Secret in v1")]
#[case("V1", "Secret", "V1 Secret is not known; use Secret in v1")]
#[case("core/v1", "Secret", "core/v1 Secret is not known; use Secret in v1")]
#[case("v1", "namespace", "v1 namespace is not known; use Namespace in v1")]
#[case("v1", "serviceaccount", "v1 serviceaccount is not known; use ServiceAccount in v1")]
fn misspelled_built_in_kind(#[case] version: &str, #[case] kind: &str, #[case] expected: &str) {
    one_error(&(CONNECTION.to_owned() + &other(version, kind, "metadata: {name: a}")), expected);
}

#[test]
fn kind_of_another_group_is_ignored() {
    let text =
        CONNECTION.to_owned() + &other("cloud.example.com/v1", "ServiceAccount", "metadata: {name: a}");
    assert_eq!(check(&[&text], STUBS).0, Some(0));
}

fn instance(host: &str) -> String {
    other(
        "local.postlink.dev/v1alpha1",
        "SimulatedInstance",
        &format!(
            "metadata: {{name: sim}}\nspec:\n  host: {host}\n  organization: {{id: 5f0c9a3e-6d2b-4c57-9f0e-0d9d5a1b7c11, name: N1, uniqueName: n1}}"
        ),
    )
}

#[test]
fn instance_that_no_connection_uses() {
    let (code, stderr) = check(&[&(CONNECTION.to_owned() + &instance("nortwind.crm.dynamics.com"))], STUBS);
    assert_eq!(code, Some(0), "{stderr}");
    let expected = "a.yaml:13:3: no connection has the host of SimulatedInstance sim, nortwind.crm.dynamics.com; those of the connections are: northwind.crm.dynamics.com";
    assert_eq!(lines(&stderr, "warning"), [expected]);
    let (_, stderr) = check(&[&(CONNECTION.to_owned() + &instance("northwind.crm.dynamics.com"))], STUBS);
    assert_eq!(lines(&stderr, "warning"), [""; 0]);
}

#[rstest]
#[case(
    RULE,
    "  match: {reach: {min: 12,500}}\n",
    "spec.match.reach.500: unknown field; write a number without a comma; reach runs from 0 to 100"
)]
#[case(RULE, "  match: {keyword: [a]}\n", "spec.match.keyword: unknown field; write keywords")]
#[case(RULE, "  match: {Keywords: [a]}\n", "spec.match.Keywords: unknown field; write keywords")]
#[case(RULE, "  keywords: [a]\n", "spec.keywords: unknown field; write keywords under spec.match")]
#[case(
    POST,
    "  conectionRef: {name: a}\n",
    "spec.conectionRef: unknown field; write connectionRef under spec.link"
)]
#[case(RULE, "  enabled: true\n", "spec.enabled: unknown field; write active")]
#[case(CONNECTION, "  recordType: incident\n", "spec.recordType: unknown field; write recordTypes")]
#[case(CONNECTION, "  active: true\n", "spec.active: unknown field; write enabled")]
#[case(
    POST,
    "  link: {connectionRef: {name: northwind, namespace: a}}\n",
    "spec.link.connectionRef.namespace: unknown field; only objects of the same namespace can be referred to; remove it"
)]
#[case(
    POST,
    "    content:\n      SECRETWORD I want: refund\n",
    "spec.post.content: must be a string; put it in quotes"
)]
#[case(
    RULE,
    "  match: {keywords: {any: [x]}}\n",
    "spec.match.keywords: must be a list, such as [refund*, gift card]"
)]
#[case(
    RULE,
    "  match:\n    keywords:\n      - SECRETWORD: x\n",
    "spec.match.keywords[0]: must be a string; put it in quotes"
)]
#[case(
    CONNECTION,
    "  refresh: {interval: {seconds: 5}}\n",
    "spec.refresh.interval: must be a duration, such as 24h"
)]
fn unknown_field(#[case] object: &str, #[case] field: &str, #[case] expected: &str) {
    let (_, stderr) = check(&[&format!("{object}{field}")], STUBS);
    let errors = lines(&stderr, "error");
    assert!(matches!(errors[..], [line] if line.ends_with(expected)), "{expected}:\n{stderr}");
    assert!(!stderr.contains("SECRETWORD"), "{stderr}");
}

#[test]
fn case_of_a_reference() {
    one_error(
        &CONNECTION.replace("secretRef", "secretref"),
        "spec.credentials.secretref: unknown field; write secretRef",
    );
}

#[rstest]
#[case::joined(&format!("{CONNECTION}{}", &RULE[4..]), "a.yaml:8:1: duplicate key `apiVersion`; begin the next document with a line `---`")]
#[case::joined_below_a_colon(&format!("{CONNECTION}  displayName: a\n  b: c: d\n{}", &RULE[4..]), "put the value in quotes")]
#[case::duplicate_below_a_handle(&format!("{CONNECTION}  displayName: '@a' # b\n  displayName: @b\n"), "")]
#[case::mark(&format!("{CONNECTION}  # a: @b\n\u{feff}apiVersion: a: b\n"), "put it below a line `---`")]
#[case::indented(&format!("{CONNECTION}  displayName: a\n ---\n{}", &RULE[4..]), "begin the line `---` without spaces")]
fn documents_without_a_line_between(#[case] text: &str, #[case] expected: &str) {
    let (_, stderr) = check(&[&format!("{text}---\n{CONNECTION}")], STUBS);
    let errors = lines(&stderr, "error");
    assert!(errors.iter().any(|line| line.ends_with(expected)), "{expected}:\n{stderr}");
}

/// Its Secret may be missing, too, but that is not why it is still there.
#[test]
fn held_deletion_is_not_for_want_of_a_secret() {
    let all = format!("{CONNECTION}{RULE}{}", secret("northwind", VALUES));
    let (_, stderr) = check(&[&all, RULE], &[]);
    let not_ready = lines(&stderr, "not ready").concat();
    assert!(not_ready.contains("dynamicsconnection/northwind in default: "), "{stderr}");
    assert!(!not_ready.contains("secret"), "{stderr}");
}

#[rstest]
#[case::connection(&format!("{}{RULE}", CONNECTION.replace("{name: northwind}\nspec", "{name: northwind, labels: {a: 5}}\nspec")), 2)]
#[case::secret(&format!("{CONNECTION}{RULE}{}", secret("northwind", VALUES).replace("{name: northwind}", "{name: northwind, labels: {a: 5}}")), 15)]
fn object_with_refused_metadata(
    #[case] text: &str,
    #[case] line: usize,
    #[values(&[], STUBS)] flags: &[&str],
) {
    let (code, stderr) = check(&[text], flags);
    assert_eq!(code, Some(1));
    let expected = format!("It is in a.yaml:{line}:1, but has been refused.");
    assert!(matches!(lines(&stderr, "not ready")[..], [line] if line.contains(&expected)), "{stderr}");
}

#[test]
fn namespace_has_a_default_service_account() {
    let identity = "{workloadIdentity: {serviceAccountName: default, tenantId: 5f0c9a3e-6d2b-4c57-9f0e-0d9d5a1b7c11, clientId: 5f0c9a3e-6d2b-4c57-9f0e-0d9d5a1b7c12}}";
    let text = CONNECTION.replace("{secretRef: {name: northwind}}", identity);
    let declared = text.replace("{name: northwind}", "{name: northwind, namespace: a}")
        + &other("v1", "Namespace", "metadata: {name: a}");
    for text in [text, declared] {
        let (code, stderr) = check(&[&text], &[]);
        assert_eq!(code, Some(0), "{stderr}");
        let (_, stderr) = check(&[&text], STUBS);
        assert!(!stderr.contains("is a stub"), "{stderr}");
    }
}

#[test]
fn no_stub_for_an_invalid_name() {
    one_error(
        &CONNECTION.replace("secretRef: {name: northwind}", "secretRef: {name: '${SECRET}'}"),
        "a.yaml:7:29: ",
    );
}

/// As client-go decodes them.
#[test]
fn null_label_is_empty() {
    let metadata = "metadata:\n  name: northwind\n  annotations:\n    a:\n  labels: {b: }\nspec";
    let text = CONNECTION.replace("metadata: {name: northwind}\nspec", metadata);
    let (code, stderr) = check(&[&text], STUBS);
    assert_eq!(code, Some(0), "{stderr}");
}

/// A tool would delete the Namespace with everything in it.
#[test]
fn namespace_leaves_before_its_objects() {
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: social}\n";
    let post = POST.replace("{name: p}", "{name: p, namespace: social}");
    let output = run(&[&format!("{namespace}{post}"), &post], &[]);
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("namespace/social is no longer in the files, but objects in it are"), "{stderr}");
    assert!(!stdout.contains("deleted") && !stdout.contains("deletion"), "{stdout}");
}

/// `kubectl apply --prune` stops at the first denial, and so do the tools.
#[test]
fn nothing_is_deleted_after_a_denial() {
    let all = format!("{CONNECTION}{RULE}{POST}");
    let denied = format!("{CONNECTION}  enabled: false\n{RULE}");
    let (code, stderr) = check(&[&all, &denied], &["--as-person", "--stub-secrets"]);
    assert_eq!(code, Some(1), "{stderr}");
    let kept = "nothing is deleted, because part of this commit is denied; missing in the rest, and kept: postlink/p";
    assert!(stderr.contains(kept), "{stderr}");
}
