//! The chart, the kustomize base and the image: their contents, and Helm 3 and 4 on a real API server. The controller
//! does not run here.

mod image;
mod kustomize;
mod life;
mod other_charts;
mod ownership;
mod policies;
mod repositories;
mod rights;
mod snapshots;
mod templates;
mod uninstall;
mod values;
mod versions;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::cluster::repository;
use crate::harness::binaries::Binaries;
use crate::harness::kubectl::isolated;
use crate::harness::run_folder::new_folder;

/// Both major versions are supported.
const HELMS: [u8; 2] = [3, 4];

/// The namespace of the documentation.
const NAMESPACE: &str = "postlink-system";

fn chart() -> PathBuf {
    repository("charts/postlink")
}

fn path(path: &Path) -> &str {
    path.to_str().expect("paths of tests are UTF-8")
}

/// Runs a program that needs no server; returns standard output, or standard error when it fails.
fn run(program: &Path, args: &[&str]) -> Result<String, String> {
    let mut command = isolated(program, &new_folder("home"));
    command.env("KUBECONFIG", "/dev/null");
    let output = command.args(args).output().expect("the program was found a moment ago");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// `helm ARGS` without a cluster.
fn helm(major: u8, args: &[&str]) -> Result<String, String> {
    let binaries = Binaries::find().unwrap_or_else(|error| panic!("{error}"));
    run(if major == 3 { &binaries.helm3 } else { &binaries.helm4 }, args)
}

/// `helm template postlink CHART -n postlink-system --values -`, as text.
fn template(major: u8, chart: &Path, values: &Value) -> Result<String, String> {
    let file = new_folder("values").join("values.json");
    fs::write(&file, values.to_string()).expect("a folder of ours is writable");
    helm(major, &["template", "postlink", path(chart), "-n", NAMESPACE, "--values", path(&file)])
}

/// The objects of the shipped chart with `values`; both Helms must render the same.
fn render(values: &Value) -> Vec<Value> {
    render_of(&chart(), values)
}

/// The objects of `chart` with `values`; both Helms must render the same.
fn render_of(chart: &Path, values: &Value) -> Vec<Value> {
    let [three, four] =
        HELMS.map(|major| objects(&template(major, chart, values).unwrap_or_else(|error| panic!("{error}"))));
    assert_eq!(sorted(three.clone()), sorted(four), "Helm 3 and Helm 4 render different objects");
    three
}

/// The objects of a YAML stream.
fn objects(yaml: &str) -> Vec<Value> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(yaml).unwrap_or_else(|error| panic!("no YAML ({error}):\n{yaml}"));
    documents.into_iter().filter(|document| !document.is_null()).collect()
}

fn sorted(mut objects: Vec<Value>) -> Vec<Value> {
    objects.sort_by_key(id);
    objects
}

/// Kind, namespace and name.
fn id(object: &Value) -> (String, String, String) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let metadata = &object["metadata"];
    (text(&object["kind"]), text(&metadata["namespace"]), text(&metadata["name"]))
}

/// The objects of a kind.
fn of_kind<'a>(objects: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    objects.iter().filter(move |object| object["kind"] == kind)
}

/// The one object of a kind and name.
fn find<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found: Vec<_> = objects
        .iter()
        .filter(|object| object["kind"] == kind && object["metadata"]["name"] == name)
        .collect();
    assert_eq!(found.len(), 1, "{kind} {name} among {:#?}", objects.iter().map(id).collect::<Vec<_>>());
    found[0]
}

/// The container of the controller, which is the first one of the Deployment.
fn container(objects: &[Value]) -> &Value {
    let container = &find(objects, "Deployment", "postlink")["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["name"], "postlink");
    container
}

/// A copy of the shipped chart that a test may change.
pub fn copy_of_chart() -> PathBuf {
    let target = new_folder("chart").join("postlink");
    copy(&chart(), &target);
    target
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder of ours is writable");
    for entry in fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display())) {
        let entry = entry.expect("a folder of the repository can be listed");
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy(&source, &target);
        } else {
            fs::copy(&source, &target).expect("a file of the repository can be copied");
        }
    }
}

/// Replaces a text in a file; it must be there.
fn change(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    assert!(text.contains(from), "{} does not hold {from:?}", file.display());
    fs::write(file, text.replacen(from, to, 1)).expect("a copy of ours is writable");
}

/// Everything enabled, with alert rules and a dashboard for the tests; the shipped ones change independently.
fn everything() -> (PathBuf, Value) {
    let chart = copy_of_chart();
    let rules = "groups:\n- name: test\n  rules:\n  - alert: Test\n    expr: up == 0\n    annotations:\n      summary: '{{ $labels.pod }} is away'\n";
    fs::write(chart.join("files/alerts.yaml"), rules).expect("a copy of ours is writable");
    fs::write(chart.join("files/dashboard.json"), "{\"title\": \"{{ pod }}\"}\n")
        .expect("a copy of ours is writable");
    let values = fs::read_to_string(repository("tests/cluster/chart/everything.yaml"))
        .expect("the repository is complete");
    (chart, serde_saphyr::from_str(&values).expect("the values of the test are YAML"))
}
