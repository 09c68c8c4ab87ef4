//! Bad input through the program as a user runs it: a good tree with one bad document. The error names its place,
//! everything else is applied, and no secret is printed.
#![allow(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

use crate::program::postlink;
use rstest::rstest;
use serde_json::Value;
use std::{
    fs,
    path::Path,
    process::{Command, Output},
};
use tempfile::TempDir;

/// The client secret; it must not appear in any output.
const CANARY: &str = "canary-7f3a9";

/// One connection with its instance, one post linked by hand.
const GOOD: &str = r"
apiVersion: local.postlink.dev/v1alpha1
kind: SimulatedInstance
metadata: {name: contoso}
spec:
  host: contoso.crm.dynamics.com
  organization: {id: 5f0c9a3e-6d2b-4c57-9f0e-0d9d5a1b7c11, name: Contoso Ltd, uniqueName: contoso}
  clientSecret: canary-7f3a9
---
apiVersion: v1
kind: Secret
metadata: {name: contoso}
stringData:
  tenantId: 3b7d0c52-1f6e-4a98-bd14-60c2e9a7f813
  clientId: d1f4a6b0-7c25-4e39-9a8b-5e03c7d2b614
  clientSecret: canary-7f3a9
---
apiVersion: postlink.dev/v1alpha1
kind: DynamicsConnection
metadata: {name: contoso}
spec:
  instanceUrl: https://contoso.crm.dynamics.com
  default: true
  credentials: {secretRef: {name: contoso}}
---
apiVersion: postlink.dev/v1alpha1
kind: PostLink
metadata: {name: good}
spec:
  post: {url: 'https://social.example/good', id: good}
  link: {}
";

/// Strict: no instance is made up.
pub fn local(dir: &Path) -> Output {
    let mut command = postlink();
    command.args(["local", "tree", "-o", "json", "--no-simulated-defaults"]);
    command.current_dir(dir).output().unwrap()
}

/// The good tree, plus these files (path, text).
pub fn tree(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in [("tree/good.yaml", GOOD)].iter().chain(files) {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

/// Standard error, after checking that no output contains the secret.
pub fn stderr_of(output: &Output) -> String {
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    let printed = String::from_utf8(output.stdout.clone()).unwrap();
    for text in [&stderr, &printed] {
        assert!(
            !text.contains(CANARY) && !text.contains("Y2FuYXJ5LTdmM2E5"),
            "the output contains the secret:\n{text}"
        );
    }
    stderr
}

fn object(output: &Output, kind: &str, name: &str) -> Option<Value> {
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = |o: &&Value| o["kind"] == kind && o["metadata"]["name"] == name;
    list["items"].as_array().unwrap().iter().find(found).cloned()
}

fn condition(object: &Value, type_: &str) -> (String, String, String) {
    let conditions = object["status"]["conditions"].as_array().unwrap();
    let found = conditions.iter().find(|c| c["type"] == type_).unwrap();
    let text = |field: &str| found[field].as_str().unwrap().to_owned();
    (text("status"), text("reason"), text("message"))
}

/// The good post is linked.
pub fn all_else_went_on(output: &Output) {
    let good = object(output, "PostLink", "good").expect("the good post is there");
    assert_eq!(condition(&good, "Linked").1, "LinkedByHand");
    assert_eq!(condition(&good, "Ready").0, "True");
}

#[test]
fn a_folder_without_documents_is_a_usage_error() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("tree")).unwrap();
    fs::write(dir.path().join("tree/notes.txt"), "nothing to apply").unwrap();
    let output = local(dir.path());
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr_of(&output).contains("no YAML documents in tree;"));
}

/// Everything that the commits before it hold would be deleted.
#[test]
fn commit_without_documents_is_a_usage_error() {
    let post = format!("{POST}spec:\n  post: {{url: 'https://a.example/b', id: b}}\n");
    let dir = tree(&[("tree/1-a/post.yaml", &post)]);
    fs::create_dir(dir.path().join("tree/2-b")).unwrap();
    let output = local(dir.path());
    assert_eq!(output.status.code(), Some(2), "{}", stderr_of(&output));
    assert!(stderr_of(&output).contains("no YAML documents in commit 2-b"), "{}", stderr_of(&output));
}

pub const POST: &str = "apiVersion: postlink.dev/v1alpha1\nkind: PostLink\nmetadata:\n  name: bad\n";

/// A document that cannot be applied, and the error on stderr with its place.
#[rstest]
#[case::not_yaml("kind: [1, 2\nb: 3\n", "not-good.yaml:2:2: ")]
#[case::tab("kind:\n\tb: 1\n", "not-good.yaml:2:2: a tab is not allowed here; indent with spaces")]
#[case::template(
    "apiVersion: v1\nkind: {{ .Values.kind }}\n",
    "a key must be a string, a number or a boolean; if this is a Helm template, render it first: helm template"
)]
#[case::indentation("kind:\n  b: 1\n c: 2\n", "check the indentation of this line and of the one before it")]
#[case::duplicate_key("kind: 1\nkind: 2\n", "not-good.yaml:2:1: ")]
#[case::no_object(
    "- kind: a\n- b\n",
    "not-good.yaml:1:1: not a Kubernetes object: expected a mapping with apiVersion, kind and metadata"
)]
#[case::numeric_namespace(
    "apiVersion: postlink.dev/v1alpha1\nkind: PostLink\nmetadata:\n  name: bad\n  namespace: 2026\n",
    "not-good.yaml:5:3: metadata.namespace: must be a string; put it in quotes"
)]
#[case::boolean_namespace(
    "apiVersion: v1\nkind: Secret\nmetadata:\n  name: bad\n  namespace: no\n",
    "not-good.yaml:5:3: metadata.namespace: must be a string; put it in quotes"
)]
#[case::numeric_annotation(
    "apiVersion: postlink.dev/v1alpha1\nkind: PostLink\nmetadata:\n  name: bad\n  annotations:\n    argocd.argoproj.io/sync-wave: 5\n",
    "not-good.yaml:6:5: metadata.annotations[argocd.argoproj.io/sync-wave]: must be a string; put it in quotes"
)]
#[case::no_kind("apiVersion: v1\nmetadata: {name: a}\n", "not-good.yaml:1:1: the object has no kind")]
#[case::unknown_kind(
    "apiVersion: postlink.dev/v1alpha1\nkind: PostLinc\nmetadata: {name: a}\n",
    "not-good.yaml:2:1: postlink.dev/v1alpha1 PostLinc is not a kind of Postlink"
)]
#[case::unknown_version(
    "apiVersion: postlink.dev/v9\nkind: PostLink\nmetadata: {name: a}\n",
    "not-good.yaml:2:1: postlink.dev/v9 PostLink is not a kind of Postlink"
)]
#[case::no_name(
    "apiVersion: postlink.dev/v1alpha1\nkind: PostLink\nmetadata: {}\n",
    "metadata.name: must be set"
)]
#[case::number_as_name(
    "apiVersion: postlink.dev/v1alpha1\nkind: PostLink\nmetadata: {name: 5}\n",
    "not-good.yaml:3:12: metadata.name: must be a string; put it in quotes"
)]
#[case::bad_name(
    "apiVersion: postlink.dev/v1alpha1\nkind: PostLink\nmetadata: {name: a/b}\n",
    "not-good.yaml:3:12: metadata.name: a lowercase RFC 1123 subdomain must consist of"
)]
#[case::unknown_field(
    &format!("{POST}spec:\n  post: {{url: 'https://a.example/b', id: b}}\n  lnik: {{}}\n"),
    "not-good.yaml:7:3: postlink/bad: spec.lnik: unknown field"
)]
#[case::bound(
    &format!("{POST}spec:\n  post:\n    url: https://a.example/b\n    id: b\n    reach: 101\n"),
    "not-good.yaml:9:5: postlink/bad: spec.post.reach: Invalid value: 101: must be from 0 to 100: reach is a score, not a number of followers"
)]
#[case::wrong_type(
    &format!("{POST}spec:\n  post: {{url: 'https://a.example/b', id: 7}}\n"),
    "not-good.yaml:6:38: postlink/bad: spec.post.id: Invalid value: \"integer\""
)]
#[case::missing_field(
    &format!("{POST}spec:\n  post: {{url: 'https://a.example/b'}}\n"),
    "not-good.yaml:6:3: postlink/bad: spec.post.id: Required value"
)]
#[case::no_such_word(
    &format!("{POST}spec:\n  post: {{url: 'https://a.example/b', id: b, sentiment: Sad}}\n"),
    "spec.post.sentiment: Unsupported value: \"Sad\": supported values: \"Positive\", \"Neutral\", \"Negative\""
)]
#[case::cel(
    &format!("{POST}spec:\n  post: {{url: 'https://a.example/b', id: b}}\n  link: {{}}\n  unlink: true\n"),
    "not-good.yaml:5:1: postlink/bad: spec: Invalid value: link must not be set if unlink is true; remove one of them"
)]
#[case::hostile_url(
    "apiVersion: postlink.dev/v1alpha1\nkind: DynamicsConnection\nmetadata: {name: bad}\nspec:\n  instanceUrl: http://169.254.169.254/\n  credentials: {secretRef: {name: contoso}}\n",
    "not-good.yaml:5:3: dynamicsconnection/bad: spec.instanceUrl: Invalid value: "
)]
#[case::address_with_a_path(
    "apiVersion: postlink.dev/v1alpha1\nkind: DynamicsConnection\nmetadata: {name: bad}\nspec:\n  instanceUrl: https://contoso.crm.dynamics.com/main.aspx\n  credentials: {secretRef: {name: contoso}}\n",
    "must be the address of the instance, with https:// and without a path, such as https://contoso.crm.dynamics.com"
)]
#[case::display_name_of_a_table(
    "apiVersion: postlink.dev/v1alpha1\nkind: DynamicsConnection\nmetadata: {name: bad}\nspec:\n  instanceUrl: https://contoso.crm.dynamics.com\n  recordTypes: [Case]\n  credentials: {secretRef: {name: contoso}}\n",
    "must be the logical name of a table, in lowercase and singular, such as incident (Case) or lead (Lead)"
)]
#[case::date_without_time(
    "apiVersion: postlink.dev/v1alpha1\nkind: AutomationRule\nmetadata: {name: bad}\nspec:\n  connectionRef: {name: contoso}\n  since: 2025-12-01\n",
    "spec.since: Invalid value: \"2025-12-01\": must be a date and time with a time zone, such as 2025-12-01T00:00:00Z"
)]
#[case::word_as_boolean(
    "apiVersion: postlink.dev/v1alpha1\nkind: AutomationRule\nmetadata: {name: bad}\nspec:\n  connectionRef: {name: contoso}\n  active: 'no'\n",
    "; write true or false, without quotes"
)]
#[case::duration_in_words(
    "apiVersion: postlink.dev/v1alpha1\nkind: DynamicsConnection\nmetadata: {name: bad}\nspec:\n  instanceUrl: https://contoso.crm.dynamics.com\n  probe:\n    interval: 5 minutes\n  credentials: {secretRef: {name: contoso}}\n",
    "not-good.yaml:7:5: dynamicsconnection/bad: spec.probe.interval: Invalid value: \"5 minutes\": must be a duration in hours, minutes and seconds, such as 24h, 90m or 1h30m"
)]
#[case::word_as_language(
    &format!("{POST}spec:\n  post: {{url: 'https://a.example/b', id: b, language: no}}\n"),
    "must be of type string: \"boolean\"; put it in quotes"
)]
#[case::number_as_id(
    &format!("{POST}spec:\n  post: {{url: 'https://a.example/b', id: 12345}}\n"),
    "must be of type string: \"integer\"; put it in quotes"
)]
#[case::followers_as_reach(
    &format!("{POST}spec:\n  post: {{url: 'https://a.example/b', id: b, reach: '12,500'}}\n"),
    "must be of type integer: \"string\"; write a whole number, without quotes or separators"
)]
#[case::template_of_a_document(
    "{{- if .Values.enabled }}\napiVersion: postlink.dev/v1alpha1\nkind: PostLink\n{{- end }}\n",
    "if this is a Helm template, render it first: helm template"
)]
#[case::template_of_a_value(
    &format!("{POST}spec:\n  post: {{url: 'https://a.example/b', id: b, publishedAt: '{{{{ .Values.at }}}}'}}\n"),
    "Invalid value: \"{{ .Values.at }}\": must be a date and time with a time zone, such as 2025-12-01T00:00:00Z"
)]
#[case::second_of_a_name(
    "apiVersion: postlink.dev/v1alpha1\nkind: PostLink\nmetadata: {name: good}\nspec: {post: {url: 'https://a.example/b', id: b}}\n",
    "postlink/good is defined twice, first at tree/"
)]
#[case::secret_that_is_not_base64(
    "apiVersion: v1\nkind: Secret\nmetadata: {name: bad}\ndata:\n  clientSecret: canary-7f3a9\n",
    "not-good.yaml:5:3: secret/bad: data.clientSecret: must be base64; use stringData for plain text"
)]
#[case::secret_with_a_number(
    "apiVersion: v1\nkind: Secret\nmetadata: {name: bad}\nstringData:\n  clientSecret: 12345678\n",
    "not-good.yaml:5:3: secret/bad: stringData.clientSecret: expected string; put the value in quotes"
)]
#[case::simulated_field(
    "apiVersion: local.postlink.dev/v1alpha1\nkind: SimulatedInstance\nmetadata: {name: bad}\nspec:\n  hots: a.crm.dynamics.com\n",
    "not-good.yaml:5:3: spec.hots: unknown field `hots`"
)]
#[case::simulated_secret(
    "apiVersion: local.postlink.dev/v1alpha1\nkind: SimulatedInstance\nmetadata: {name: bad}\nspec:\n  clientSecret: 12345678\n",
    "not-good.yaml:5:3: spec.clientSecret: must be a string; put it in quotes"
)]
#[case::simulated_group(
    "apiVersion: simulator.postlink.dev/v1alpha1\nkind: SimulatedInstance\nmetadata: {name: bad}\n",
    "not-good.yaml:1:1: simulator.postlink.dev/v1alpha1 SimulatedInstance is not known; use SimulatedInstance in local.postlink.dev/v1alpha1"
)]
fn bad_document_is_reported_with_its_place(#[case] bad: &str, #[case] expected: &str) {
    // Sorted after the good file: of two objects with one name the first counts.
    let dir = tree(&[("tree/not-good.yaml", bad)]);
    let output = local(dir.path());
    let stderr = stderr_of(&output);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains(expected), "expected {expected:?} in:\n{stderr}");
    let lines = stderr.lines().filter(|line| line.starts_with("error: "));
    for line in lines {
        assert!(line.starts_with("error: tree/"), "no place: {line}");
        assert!(!line.contains("12345678"), "a value of a secret: {line}");
    }
    all_else_went_on(&output);
}

/// An unusable connection: its reason, and the advice in its message.
#[rstest]
#[case::no_secret(
    "northwind",
    "https://contoso.crm.dynamics.com",
    "SecretNotFound",
    "Create it with the keys tenantId, clientId, and clientSecret"
)]
#[case::wrong_secret(
    "wrong",
    "https://contoso.crm.dynamics.com",
    "CredentialsRejected",
    "Check the tenant ID, the client ID"
)]
#[case::half_a_secret(
    "half",
    "https://contoso.crm.dynamics.com",
    "SecretInvalid",
    "has no key clientId; add it"
)]
#[case::bound_elsewhere(
    "bound",
    "https://contoso.crm.dynamics.com",
    "SecretInvalid",
    "the key instanceUrl of Secret bound names another instance"
)]
#[case::foreign_host("contoso", "https://dynamics.com.evil.example", "HostNotAllowed", "--allow-host")]
#[case::nothing_there(
    "contoso",
    "https://nobody.crm.dynamics.com",
    "InstanceDowntime",
    "recovers automatically"
)]
fn unusable_connection_says_why_and_what_to_do(
    #[case] secret: &str,
    #[case] url: &str,
    #[case] reason: &str,
    #[case] advice: &str,
) {
    let bad = format!(
        "apiVersion: postlink.dev/v1alpha1\nkind: DynamicsConnection\nmetadata: {{name: bad}}\nspec:\n  instanceUrl: {url}\n  credentials: {{secretRef: {{name: {secret}}}}}\n---\n\
         apiVersion: v1\nkind: Secret\nmetadata: {{name: wrong}}\nstringData: {{tenantId: 3b7d0c52-1f6e-4a98-bd14-60c2e9a7f813, clientId: d1f4a6b0-7c25-4e39-9a8b-5e03c7d2b614, clientSecret: not-this-one}}\n---\n\
         apiVersion: v1\nkind: Secret\nmetadata: {{name: half}}\nstringData: {{tenantId: 3b7d0c52-1f6e-4a98-bd14-60c2e9a7f813, clientSecret: {CANARY}}}\n---\n\
         apiVersion: v1\nkind: Secret\nmetadata: {{name: bound}}\nstringData: {{tenantId: 3b7d0c52-1f6e-4a98-bd14-60c2e9a7f813, clientId: d1f4a6b0-7c25-4e39-9a8b-5e03c7d2b614, clientSecret: {CANARY}, instanceUrl: 'https://fabrikam.crm.dynamics.com'}}\n---\n\
         {POST}spec:\n  post: {{url: 'https://social.example/bad', id: bad}}\n  link: {{connectionRef: {{name: bad}}}}\n"
    );
    let dir = tree(&[("tree/bad.yaml", &bad)]);
    let output = local(dir.path());
    let stderr = stderr_of(&output);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let connection = object(&output, "DynamicsConnection", "bad").expect("it is stored");
    let (status, shown, message) = condition(&connection, "Ready");
    assert_eq!((status.as_str(), shown.as_str()), ("False", reason), "{message}");
    assert!(message.contains(advice), "{message}");
    assert!(!message.contains("not-this-one"), "{message}");
    let link = object(&output, "PostLink", "bad").expect("it is stored");
    let waits = if reason == "InstanceDowntime" { reason } else { "ConnectionNotReady" };
    assert_eq!(condition(&link, "Linked").1, waits, "nothing is lost: it waits");
    assert!(stderr.contains(": dynamicsconnection/bad in default: "), "{stderr}");
    let simulated = url == "https://contoso.crm.dynamics.com" || reason == "HostNotAllowed";
    assert_eq!(stderr.contains("no SimulatedInstance has the host "), !simulated, "{stderr}");
    all_else_went_on(&output);
}

#[test]
fn r21_missing_references_are_named_and_waited_for() {
    let rule = "apiVersion: postlink.dev/v1alpha1\nkind: AutomationRule\nmetadata: {name: bad}\nspec: {connectionRef: {name: nowhere}}\n---\n";
    let post = format!(
        "{rule}{POST}spec:\n  post: {{url: 'https://a.example/b', id: b}}\n  link: {{connectionRef: {{name: nowhere}}}}\n"
    );
    let dir = tree(&[("tree/bad.yaml", &post)]);
    let output = local(dir.path());
    stderr_of(&output);
    for (kind, type_) in [("AutomationRule", "Active"), ("PostLink", "Linked")] {
        let (_, reason, message) = condition(&object(&output, kind, "bad").unwrap(), type_);
        assert_eq!(reason, "ConnectionNotFound");
        assert!(message.contains("Connection nowhere does not exist"), "{message}");
    }
    all_else_went_on(&output);
}

#[test]
fn r03_younger_default_reports_conflict_both_stay_ready() {
    let second = "apiVersion: postlink.dev/v1alpha1\nkind: DynamicsConnection\nmetadata: {name: zweite}\nspec: {instanceUrl: 'https://contoso.crm.dynamics.com', default: true, credentials: {secretRef: {name: contoso}}}\n";
    let dir = tree(&[("tree/second.yaml", second)]);
    let output = local(dir.path());
    assert_eq!(output.status.code(), Some(0), "{}", stderr_of(&output));
    let (status, reason, message) =
        condition(&object(&output, "DynamicsConnection", "zweite").unwrap(), "Default");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "DefaultConflict"));
    assert!(message.contains("Connection contoso is older and already the default"), "{message}");
    all_else_went_on(&output);
}

/// The instance would reject control characters; they are removed from the text that is sent.
#[test]
fn r28_control_characters_are_stripped_before_sending() {
    let post = format!(
        "{POST}spec:\n  post: {{url: 'https://a.example/b', id: b, title: \"a\\0b\", content: \"ring \\a the bell\\nplease\"}}\n  link: {{}}\n"
    );
    let dir = tree(&[("tree/post.yaml", &post)]);
    let output = local(dir.path());
    assert_eq!(output.status.code(), Some(0), "{}", stderr_of(&output));
    assert_eq!(condition(&object(&output, "PostLink", "bad").unwrap(), "Linked").1, "LinkedByHand");
}

/// What `kubectl get -o yaml` prints: a list without the items' kind, with what the server of another object has set.
#[test]
fn exported_objects_are_created_as_new_ones() {
    let list = "apiVersion: postlink.dev/v1alpha1\nkind: PostLinkList\nmetadata: {resourceVersion: '9'}\nitems:\n\
        - metadata:\n    name: bad\n    uid: 0b9a3c5e-2f4d-4f0e-9d3a-6c1b8e7f5a42\n    resourceVersion: '812'\n    generation: 4\n    \
        creationTimestamp: '2025-01-01T00:00:00Z'\n    managedFields: [{manager: kubectl, operation: Update, apiVersion: postlink.dev/v1alpha1}]\n  \
        spec: {post: {url: 'https://a.example/b', id: b}, link: {}}\n  status: {observedGeneration: 4}\n";
    let dir = tree(&[("tree/list.yaml", list)]);
    let output = local(dir.path());
    assert_eq!(output.status.code(), Some(0), "{}", stderr_of(&output));
    let post = object(&output, "PostLink", "bad").unwrap();
    assert_eq!(condition(&post, "Linked").1, "LinkedByHand");
    assert_ne!(post["metadata"]["uid"], "0b9a3c5e-2f4d-4f0e-9d3a-6c1b8e7f5a42");
}

/// A typo in the second commit deletes nothing: no tool prunes what it could not render.
#[rstest]
#[case::post(
    "kind: PostLink\nmetadata: {name: good}",
    "kind: PostLink\nmetadata: {name: good",
    "PostLink",
    "good"
)]
#[case::connection("kind: DynamicsConnection", "kind: DynamicConnection", "DynamicsConnection", "contoso")]
#[case::instance("  host: contoso", "  hots: contoso", "PostLink", "good")]
fn broken_later_commit_prunes_nothing(
    #[case] right: &str,
    #[case] wrong: &str,
    #[case] kind: &str,
    #[case] name: &str,
) {
    assert!(GOOD.contains(right));
    let dir = tempfile::tempdir().unwrap();
    for (commit, text) in [("1-good", GOOD.to_owned()), ("2-slip", GOOD.replace(right, wrong))] {
        fs::create_dir_all(dir.path().join("tree").join(commit)).unwrap();
        fs::write(dir.path().join("tree").join(commit).join("all.yaml"), text).unwrap();
    }
    let output = local(dir.path());
    let stderr = stderr_of(&output);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("error: tree/2-slip/all.yaml:"), "{stderr}");
    let kept = object(&output, kind, name).expect("it is still there");
    assert_eq!(condition(&kept, "Ready").0, "True", "{stderr}");
    all_else_went_on(&output);
}

#[test]
fn not_a_manifest_folder_exits_with_2() {
    let dir = tempfile::tempdir().unwrap();
    let output = local(dir.path());
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(output.stdout, b"");
    assert!(stderr_of(&output).starts_with("error: tree: cannot be read: "), "{}", stderr_of(&output));
}

#[test]
fn named_pipe_in_the_tree_is_reported() {
    let dir = tree(&[]);
    let made = Command::new("mkfifo").arg(dir.path().join("tree/pipe.yaml")).status().unwrap();
    assert!(made.success());
    let output = local(dir.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr_of(&output).contains("tree/pipe.yaml: cannot be read: not a regular file"));
    all_else_went_on(&output);
}
