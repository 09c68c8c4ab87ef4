//! The published health expressions (`docs/health`), evaluated with the real libraries by `tests/cluster/health`.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::cluster::text_of;
use crate::harness::binaries::Binaries;

/// The health of one object according to one tool.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
pub struct ToolHealth {
    pub status: String,
    #[serde(default)]
    pub message: String,
}

/// The health of one object according to all three tools.
#[derive(Debug, Clone, Deserialize)]
pub struct Health {
    pub kstatus: ToolHealth,
    pub argo: ToolHealth,
    pub flux: ToolHealth,
}

/// `spec.healthCheckExprs` as published.
pub fn flux_expressions() -> Value {
    published("docs/health/flux-kustomization.yaml")["spec"]["healthCheckExprs"].clone()
}

/// The data of `argocd-cm` as published.
fn lua_scripts() -> Value {
    published("docs/health/argocd-cm.yaml")["data"].clone()
}

fn published(path: &str) -> Value {
    serde_yaml::from_str(&text_of(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub fn health_of(objects: &[Value]) -> Vec<Health> {
    let program = Binaries::find().unwrap_or_else(|error| panic!("{error}")).health;
    let question = json!({"objects": objects, "lua": lua_scripts(), "cel": flux_expressions()});
    let mut child = Command::new(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program was found a moment ago");
    let mut stdin = child.stdin.take().expect("stdin was asked to be a pipe");
    // It reads all input before it writes anything, so the pipes cannot deadlock.
    stdin.write_all(question.to_string().as_bytes()).expect("the program reads its question");
    drop(stdin);
    let output = child.wait_with_output().expect("a child of ours can be waited for");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("the program prints JSON")
}
