//! `postlink run` that cannot begin, and a task that panics: what the process says, and its exit code.

use crate::program::postlink;
use rstest::rstest;
use std::{
    fs,
    process::{Command, Output},
};

const TOKEN: &str = "eyJhbGciOi-not-this-one";

fn kubeconfig(user: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters:\n- name: c\n  cluster: {{server: 'http://127.0.0.1:9'}}\ncontexts:\n- name: c\n  context: {{cluster: c, user: u}}\nusers:\n- name: u\n  user:\n{user}"
    )
}

fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|stream| String::from_utf8_lossy(stream).into_owned()).concat()
}

/// A parser quotes lines of the kubeconfig, and kube quotes what an exec plugin has printed.
#[rstest]
#[case::indentation(format!("    token: {TOKEN}\n   namespace: typo\n"), "is not valid")]
#[case::exec_plugin(
    format!("    exec: {{apiVersion: client.authentication.k8s.io/v1, command: sh, args: [-c, 'echo {TOKEN}; exit 1'], interactiveMode: Never}}\n"),
    "the credentials in the kubeconfig cannot be used"
)]
fn kubeconfig_errors_quote_no_token(#[case] user: String, #[case] expected: &str) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("kubeconfig");
    fs::write(&file, kubeconfig(&user)).unwrap();
    let by_flag = postlink().args(["run", "--kubeconfig"]).arg(&file).output().unwrap();
    let by_variable = postlink().arg("run").env("KUBECONFIG", &file).output().unwrap();
    for output in [by_flag, by_variable] {
        let text = text(&output);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(expected) || text.contains("is not a valid kubeconfig"), "{text}");
        assert!(!text.contains(TOKEN), "{text}");
    }
}

#[test]
fn unusable_kubeconfig_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("kubeconfig");
    fs::write(&file, "apiVersion: v1\nkind: Config\n").unwrap();
    let output = postlink().args(["run", "--kubeconfig"]).arg(&file).output().unwrap();
    let expected = format!("--kubeconfig: {}: current-context is not set", file.display());
    assert!(text(&output).contains(&expected), "{}", text(&output));
    let output = postlink().arg("run").env("HOME", dir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("no cluster is configured: cannot read "), "{}", text(&output));
}

/// A panic in a background task must not leave a process that looks healthy and does nothing.
#[test]
fn panic_in_a_task_ends_the_process() {
    const CHILD: &str = "POSTLINK_TEST_PANICS";
    if std::env::var_os(CHILD).is_some() {
        postlink::commands::panics::end_on_panic();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let _ = tokio::spawn(async { panic!("in a task") }).await;
        });
        std::process::exit(0);
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    let output = child
        .args(["--exact", "startup::panic_in_a_task_ends_the_process"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}
