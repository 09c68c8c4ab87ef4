//! One folder per test process for all files of its servers, and the guarantee that no server outlives the test
//! process, however it ends.
//!
//! A `Drop` does not run when the test process is killed, nor for a `static`. So a small shell waits at the
//! end of a pipe whose other end only this process holds: when the process is gone, for whatever reason,
//! the kernel closes the pipe and the shell kills, by process id, what is still listed, then removes the
//! folder. (`PR_SET_PDEATHSIG` would not do: it fires when the *thread* that spawned the child ends, and a
//! test is a thread.)

use std::env;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Keep the logs, and say where they are, when this variable is set.
const KEEP: &str = "POSTLINK_KEEP_LOGS";

/// In the folder: one empty file per living child, named by its process id.
const PIDS: &str = "pids";

/// In the folder: present once a test has failed, so that the logs are kept.
const FAILED: &str = "failed";

/// The script of the shell. `$1` is the folder. Stores are always removed: they are large and explain little.
const REAPER: &str = r#"
trap '' INT TERM HUP
cat >/dev/null
cd "$1" || exit 0
for pid in pids/*; do
    [ -e "$pid" ] && kill -KILL "${pid#pids/}" 2>/dev/null
done
if [ -e failed ]; then rm -rf pids ./*/etcd-data ./*/kubectl-home; else rm -rf "$1"; fi
"#;

struct RunFolder {
    path: PathBuf,
    next: AtomicU32,
    // Never written to: closing it is the signal.
    _lifeline: ChildStdin,
}

fn run_folder() -> &'static RunFolder {
    static FOLDER: OnceLock<RunFolder> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let path = tempfile::Builder::new()
            .prefix("postlink-cluster-")
            .tempdir()
            .expect("the temporary folder is writable")
            .keep();
        fs::create_dir(path.join(PIDS)).expect("a folder of ours is writable");
        if env::var_os(KEEP).is_some() {
            mark_failed_in(&path);
        }
        #[allow(clippy::zombie_processes, reason = "it outlives this process by design")]
        let mut reaper = Command::new("sh")
            .args(["-c", REAPER, "reaper"])
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // In its own process group, so that killing the test's group does not kill the cleanup.
            .process_group(0)
            .spawn()
            .expect("sh can be started");
        let lifeline = reaper.stdin.take().expect("stdin was asked to be a pipe");
        RunFolder { path, next: AtomicU32::new(1), _lifeline: lifeline }
    })
}

fn mark_failed_in(folder: &Path) {
    // Best effort: without the marker only the logs are lost.
    let _ = fs::write(folder.join(FAILED), []);
    eprintln!("logs are kept in {}", folder.display());
}

/// A new, empty sub-folder, removed after the test process unless a test failed.
pub fn new_folder(purpose: &str) -> PathBuf {
    let run = run_folder();
    let path = run.path.join(format!("{:03}-{purpose}", run.next.fetch_add(1, Ordering::Relaxed)));
    fs::create_dir(&path).expect("a folder of ours is writable");
    path
}

/// Keep the logs of this run: a test has failed.
pub fn keep_logs() {
    let folder = &run_folder().path;
    if !folder.join(FAILED).exists() {
        mark_failed_in(folder);
    }
}

/// Process `id` is killed when this test process ends before [`Registered`] is dropped.
#[derive(Debug)]
pub struct Registered(PathBuf);

impl Registered {
    pub fn new(id: u32) -> Self {
        let path = run_folder().path.join(PIDS).join(id.to_string());
        fs::write(&path, []).expect("a folder of ours is writable");
        Self(path)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        // To be dropped once the process has been waited for: its id may be reused from then on.
        let _ = fs::remove_file(&self.0);
    }
}
