//! The harness starts, watches, signals and ends child processes.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::cluster::SOON;
use crate::harness::process::{Postlink, Process};
use crate::harness::run_folder::new_folder;
use crate::harness::waiting::wait_for;

/// Set when this binary is started a second time, as the process that will be killed.
const CHILD_ROLE: &str = "POSTLINK_TEST_PARENT_TO_BE_KILLED";

fn shell(script: &str) -> Process {
    Process::spawn(&new_folder("shell"), "sh", Command::new("sh").args(["-c", script]))
        .expect("sh can be started")
}

fn alive(id: u32) -> bool {
    // A zombie is in /proc too, but counts as dead.
    fs::read_to_string(format!("/proc/{id}/stat"))
        .is_ok_and(|stat| !stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')))
}

#[test]
fn process_output_is_awaited_and_signals_arrive() {
    // Not SIGHUP: under nohup it is ignored, and a shell cannot trap what was ignored when it started.
    let mut process = shell("trap 'echo reloaded' USR1; echo listening on 1; while :; do sleep 0.05; done");
    assert_eq!(process.wait_for_line(SOON, |line| line.starts_with("listening")), "listening on 1");
    process.signal("USR1");
    process.wait_for_line(SOON, |line| line == "reloaded");
    assert_eq!(process.terminate(SOON).signal(), Some(15));
    process.signal("USR1");
}

#[test]
fn waiting_stops_when_the_process_has_ended() {
    let ended = shell("printf 'bye'; exit 7").line_or_end(SOON, |line| line == "hello").unwrap_err();
    assert_eq!(ended.status.code(), Some(7));
    assert_eq!(shell("printf 'bye'").line_or_end(SOON, |line| line == "bye").unwrap(), "bye");
}

#[test]
fn kill_waits_for_the_exit_and_drop_kills() {
    let mut process = shell("exec sleep 600");
    assert!(alive(process.id()));
    assert_eq!(process.kill().signal(), Some(9));
    assert!(!alive(process.id()));

    let process = shell("exec sleep 600");
    let id = process.id();
    drop(process);
    assert!(!alive(id));
}

#[test]
fn killed_test_process_leaves_no_children_or_files() {
    if std::env::var_os(CHILD_ROLE).is_some() {
        let process = shell("exec sleep 600");
        let folder = new_folder("evidence");
        println!("child {} {}", process.id(), folder.display());
        loop {
            std::thread::park();
        }
    }
    let test = std::thread::current().name().expect("a test's thread is named after it").to_owned();
    let mut parent = Process::spawn(
        &new_folder("parent"),
        "test",
        Command::new(std::env::current_exe().unwrap())
            .args([&test, "--exact", "--nocapture"])
            .env(CHILD_ROLE, "1"),
    )
    .unwrap();
    let line = parent.wait_for_line(SOON, |line| line.contains("child "));
    let (_, rest) = line.split_once("child ").unwrap();
    let (id, folder) = rest.split_once(' ').unwrap();
    let id: u32 = id.parse().unwrap();
    assert!(alive(id) && Path::new(folder).is_dir());
    parent.kill();
    wait_for("the grandchild to be killed", SOON, || (!alive(id)).then_some(()));
    wait_for("the folder to be removed", SOON, || (!Path::new(folder).exists()).then_some(()));
}

#[test]
fn postlink_runs_from_this_build_without_foreign_kubeconfig() {
    let command = Postlink::command(["--help"], &[("POSTLINK_LOG_FORMAT", "json")]);
    assert_eq!(Path::new(command.get_program()), Path::new(env!("CARGO_BIN_EXE_postlink")));
    let given: Vec<_> = command.get_envs().filter(|(_, value)| value.is_some()).collect();
    assert_eq!(given, [("POSTLINK_LOG_FORMAT".as_ref(), Some("json".as_ref()))]);

    let mut help = Postlink::run(["--help"], &[]);
    assert!(help.wait_for_exit(SOON).success());
    let output = Postlink::command(["--help"], &[]).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success());
}
