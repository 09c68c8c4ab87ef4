//! Values of another type than their author meant: the error says what to write.

use crate::bad_input::{POST, all_else_went_on, local, stderr_of, tree};
use rstest::rstest;

const CONNECTION: &str = "apiVersion: postlink.dev/v1alpha1\nkind: DynamicsConnection\nmetadata: {name: bad}\nspec:\n  instanceUrl: https://contoso.crm.dynamics.com\n  credentials: {secretRef: {name: contoso}}\n";
const RULE: &str = "apiVersion: postlink.dev/v1alpha1\nkind: AutomationRule\nmetadata: {name: bad}\nspec:\n  connectionRef: {name: contoso}\n";

#[rstest]
#[case::number_as_interval(
    &format!("{CONNECTION}  refresh: {{interval: 24}}\n"),
    "write a duration, such as 24h"
)]
#[case::number_as_since(
    &format!("{RULE}  since: 1764547200\n"),
    "write a date and time, such as 2025-12-01T00:00:00Z"
)]
#[case::number_as_record(
    &format!("{POST}spec:\n  post: {{url: 'https://a.example/b', id: b}}\n  link: {{recordId: 12345}}\n"),
    "write the GUID of the record, such as 0f8fad5b-d9cb-469f-a165-70867728950e"
)]
#[case::number_as_record_type(
    &format!("{POST}spec:\n  post: {{url: 'https://a.example/b', id: b}}\n  link: {{recordType: 112}}\n"),
    "write the logical name of the table, such as incident"
)]
#[case::text_as_list(
    &format!("{RULE}  match: {{languages: en}}\n"),
    "write a list, such as [en]"
)]
#[case::text_as_connection(
    "apiVersion: postlink.dev/v1alpha1\nkind: AutomationRule\nmetadata: {name: bad}\nspec: {connectionRef: contoso}\n",
    "write an object, such as {name: contoso}"
)]
#[case::boolean_as_link(
    &format!("{POST}spec:\n  post: {{url: 'https://a.example/b', id: b}}\n  link: true\n"),
    "write an object, such as {}"
)]
#[case::text_as_probe(
    &format!("{CONNECTION}  probe: 5m\n"),
    "write an object, such as {interval: 5m}"
)]
#[case::number_as_reach(
    &format!("{RULE}  match: {{reach: 10}}\n"),
    "write an object, such as {min: 10}"
)]
#[case::list_as_authors(
    &format!("{RULE}  match: {{authors: [anna]}}\n"),
    "write an object, such as {include: ['@anna']}"
)]
#[case::fraction_as_reach(
    &format!("{POST}spec:\n  post:\n    url: https://a.example/b\n    id: b\n    reach: 12.5\n"),
    "write a whole number"
)]
#[case::no_record_types(
    &format!("{CONNECTION}  recordTypes: []\n"),
    "name at least one, such as [incident]"
)]
#[case::comment_as_item(
    &format!("{RULE}  match:\n    languages:\n      - #late\n"),
    "write a value, in quotes if it begins with #"
)]
#[case::handle_without_quotes(
    &format!("{RULE}  match: {{keywords: [@contoso]}}\n"),
    "; put the value in quotes"
)]
#[case::hashtag_without_quotes(
    &format!("{RULE}  match:\n    keywords: [#late]\n"),
    "; put the value in quotes"
)]
#[case::star_without_quotes(
    &format!("{RULE}  match: {{keywords: [*late]}}\n"),
    "; put the value in quotes"
)]
#[case::handle_at_the_beginning(
    &format!("{POST}spec:\n  post:\n    url: https://a.example/b\n    id: b\n    content: @contoso help\n"),
    "; put the value in quotes"
)]
#[case::colon_in_a_text(
    &format!("{POST}spec:\n  post:\n    url: https://a.example/b\n    id: b\n    content: Late again: where is it\n"),
    "; put the value in quotes"
)]
#[case::text_after_quotes(
    &format!("{POST}spec:\n  post:\n    url: https://a.example/b\n    id: b\n    content: \"Great\" service\n"),
    "; put the value in quotes"
)]
#[case::percent_at_the_beginning(
    &format!("{POST}spec:\n  post:\n    url: https://a.example/b\n    id: b\n    content: %50 off\n"),
    "; put the value in quotes"
)]
#[case::unrendered_helm(
    "apiVersion: postlink.dev/v1alpha1\nkind: DynamicsConnection\nmetadata: {name: bad}\nspec:\n  instanceUrl: '{{ .Values.url }}'\n  credentials: {secretRef: {name: contoso}}\n",
    "it seems to be an unrendered template or variable: render it first"
)]
#[case::unrendered_flux(
    "apiVersion: postlink.dev/v1alpha1\nkind: DynamicsConnection\nmetadata: {name: bad}\nspec:\n  instanceUrl: '${INSTANCE_URL}'\n  credentials: {secretRef: {name: contoso}}\n",
    "it seems to be an unrendered template or variable: render it first"
)]
#[case::unrendered_kustomize(
    "apiVersion: postlink.dev/v1alpha1\nkind: DynamicsConnection\nmetadata: {name: bad}\nspec:\n  instanceUrl: '$(INSTANCE_URL)'\n  credentials: {secretRef: {name: contoso}}\n",
    "it seems to be an unrendered template or variable: render it first"
)]
#[case::unrendered_jinja(
    "apiVersion: postlink.dev/v1alpha1\nkind: DynamicsConnection\nmetadata: {name: bad}\nspec:\n  instanceUrl: '{% if a %}'\n  credentials: {secretRef: {name: contoso}}\n",
    "it seems to be an unrendered template or variable: render it first"
)]
#[case::unrendered_name(
    "apiVersion: postlink.dev/v1alpha1\nkind: PostLink\nmetadata: {name: '$(NAMESPACE)'}\n",
    "metadata.name: seems to be an unrendered template or variable: render it first"
)]
#[case::unrendered_namespace(
    "apiVersion: postlink.dev/v1alpha1\nkind: PostLink\nmetadata: {name: bad, namespace: '$(NAMESPACE)'}\n",
    "metadata.namespace: seems to be an unrendered template or variable: render it first"
)]
fn says_what_to_write(#[case] bad: &str, #[case] expected: &str) {
    let dir = tree(&[("tree/not-good.yaml", bad)]);
    let output = local(dir.path());
    let stderr = stderr_of(&output);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let lines: Vec<&str> =
        stderr.lines().filter(|line| line.starts_with("error: tree/not-good.yaml:")).collect();
    assert!(matches!(lines[..], [line] if line.ends_with(expected)), "expected {expected:?} in:\n{stderr}");
    all_else_went_on(&output);
}
