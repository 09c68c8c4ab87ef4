//! A child process with its output in files: start, signal, kill, wait for a line, show the tail.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::run_folder::{Registered, keep_logs, new_folder};
use super::waiting::wait_for;
use crate::program::postlink;

/// Lines of each log shown when something fails.
const TAIL: usize = 40;

/// A running (or ended) child. Dropping it kills it, and shows the tail of its log when the test is failing.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
    // None once the child has been waited for.
    registered: Option<Registered>,
}

/// A process ended without writing the expected line.
#[derive(Debug, thiserror::Error)]
#[error("{name} ended ({status}) without the line that was waited for")]
pub struct EndedFirst {
    pub name: String,
    pub status: ExitStatus,
}

impl Process {
    /// Start `command` with its output in `folder`, as `<name>.out` and `<name>.err` (appended to, so that a
    /// restarted server keeps its earlier log).
    pub fn spawn(folder: &Path, name: &str, command: &mut Command) -> io::Result<Self> {
        let stdout = folder.join(format!("{name}.out"));
        let stderr = folder.join(format!("{name}.err"));
        let append = |path: &Path| File::options().create(true).append(true).open(path);
        let child =
            command.stdin(Stdio::null()).stdout(append(&stdout)?).stderr(append(&stderr)?).spawn().map_err(
                |error| {
                    let program = Path::new(command.get_program()).display();
                    io::Error::new(error.kind(), format!("{program} cannot be started: {error}"))
                },
            )?;
        let registered = Some(Registered::new(child.id()));
        Ok(Self { name: name.to_owned(), child, stdout, stderr, registered })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The file of its standard error.
    pub fn log(&self) -> PathBuf {
        self.stderr.clone()
    }

    /// Everything written to standard output so far.
    pub fn stdout(&self) -> String {
        read_lossy(&self.stdout)
    }

    /// Everything written to standard error so far.
    pub fn stderr(&self) -> String {
        read_lossy(&self.stderr)
    }

    /// How it ended, if it has.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().expect("a child of ours can be waited for");
        if status.is_some() {
            self.registered = None;
        }
        status
    }

    /// Send a signal by its name: `TERM`, `USR1`, `STOP`, `CONT`.
    ///
    /// Does nothing once the process has ended, because its id may be reused.
    pub fn signal(&mut self, name: &str) {
        if self.exited().is_some() {
            return;
        }
        let status = Command::new("sh")
            .args(["-c", r#"kill -s "$1" "$2""#, "kill", name, &self.id().to_string()])
            .status()
            .expect("sh can be started");
        assert!(status.success(), "signal {name} could not be sent to {}", self.name);
    }

    /// SIGKILL, now; returns when the process is gone.
    pub fn kill(&mut self) -> ExitStatus {
        if let Some(status) = self.exited() {
            return status;
        }
        // Fails only for a process that has ended, which the wait reports.
        let _ = self.child.kill();
        let status = self.child.wait().expect("a child of ours can be waited for");
        self.registered = None;
        status
    }

    /// Sends SIGTERM and waits for the exit, at most `limit`.
    pub fn terminate(&mut self, limit: Duration) -> ExitStatus {
        self.signal("TERM");
        self.wait_for_exit(limit)
    }

    /// Waits for the exit; the test fails after `limit`.
    pub fn wait_for_exit(&mut self, limit: Duration) -> ExitStatus {
        let what = format!("{} to end", self.name);
        wait_for(&what, limit, || self.exited())
    }

    /// Wait for a line on standard output that `wanted` accepts and return it. The test fails after `limit`,
    /// and at once when the process ends without having written it.
    pub fn wait_for_line(&mut self, limit: Duration, wanted: impl Fn(&str) -> bool) -> String {
        let path = self.stdout.clone();
        self.line_in(&path, limit, wanted).unwrap_or_else(|error| panic!("{error}"))
    }

    /// As [`Process::wait_for_line`], on standard error (where diagnostics and logs go).
    pub fn wait_for_log(&mut self, limit: Duration, wanted: impl Fn(&str) -> bool) -> String {
        let path = self.stderr.clone();
        self.line_in(&path, limit, wanted).unwrap_or_else(|error| panic!("{error}"))
    }

    /// As [`Process::wait_for_line`], but returns an error when the process ends without that line.
    pub fn line_or_end(
        &mut self,
        limit: Duration,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<String, EndedFirst> {
        let path = self.stdout.clone();
        self.line_in(&path, limit, wanted)
    }

    fn line_in(
        &mut self,
        path: &Path,
        limit: Duration,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<String, EndedFirst> {
        let what = format!("a line of {}", self.name);
        wait_for(&what, limit, || {
            // Checked before reading, so that the last lines of an ending process are not missed.
            let ended = self.exited();
            let text = read_lossy(path);
            // Only complete lines count, unless the process has ended.
            let complete =
                if ended.is_some() { text.len() } else { text.rfind('\n').map_or(0, |end| end + 1) };
            let found = text[..complete].lines().find(|line| wanted(line)).map(str::to_owned);
            match (found, ended) {
                (Some(line), _) => Some(Ok(line)),
                (None, Some(status)) => Some(Err(EndedFirst { name: self.name.clone(), status })),
                (None, None) => None,
            }
        })
    }

    /// The most memory that it had resident at any time, in bytes; a container with a lower limit would have been killed.
    pub fn peak_memory(&self) -> u64 {
        u64::try_from(memory(self.id(), "VmHWM:")).expect("a size fits")
    }

    /// The last lines of both logs, for failure messages.
    pub fn tail(&self) -> String {
        let mut text = String::new();
        for (path, stream) in [(&self.stdout, "stdout"), (&self.stderr, "stderr")] {
            let log = read_lossy(path);
            let lines: Vec<_> = log.lines().collect();
            if lines.is_empty() {
                continue;
            }
            let from = lines.len().saturating_sub(TAIL);
            let (shown, all) = (lines.len() - from, lines.len());
            // Writing into a String cannot fail.
            let _ = writeln!(text, "--- {} {stream}, last {shown} of {all} lines", self.name);
            for line in &lines[from..] {
                text += line;
                text.push('\n');
            }
        }
        text
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            keep_logs();
            eprint!("{}", self.tail());
        }
    }
}

fn read_lossy(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// The real `postlink` program as a child. Everything of [`Process`] works on it.
#[derive(Debug)]
pub struct Postlink(Process);

impl Postlink {
    /// Starts `postlink ARGS` with `env`, isolated from the caller's environment.
    pub fn run<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>, env: &[(&str, &str)]) -> Self {
        Self::spawn(&mut Self::command(args, env))
    }

    /// The same with at most twice `memory` bytes of addresses for heap and stacks; jemalloc keeps the addresses of what it
    /// has returned. An allocation beyond it fails, which ends the process. See [`Process::peak_memory`].
    pub fn run_within<A: AsRef<OsStr>>(
        memory: u64,
        args: impl IntoIterator<Item = A>,
        env: &[(&str, &str)],
    ) -> Self {
        let program = Self::command(args, env);
        let mut command = Command::new("sh");
        command.args(["-c", r#"ulimit -d "$0" && exec "$@""#, &(memory / 512).to_string()]);
        command.arg(program.get_program()).args(program.get_args());
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        Self::spawn(&mut command)
    }

    fn spawn(command: &mut Command) -> Self {
        let folder = new_folder("postlink");
        let process = Process::spawn(&folder, "postlink", command.current_dir(&folder))
            .unwrap_or_else(|error| panic!("{error}"));
        Self(process)
    }

    /// The same command, not started; for a short-lived command call `.output()`.
    pub fn command<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>, env: &[(&str, &str)]) -> Command {
        let mut command = postlink();
        command.args(args).envs(env.iter().copied());
        command
    }
}

/// A line of `/proc/PID/status`, in bytes.
pub fn memory(pid: u32, line: &str) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("Linux says how a process is");
    let line = status.lines().find_map(|found| found.strip_prefix(line)).expect("it has this line");
    let kilobytes: usize = line.trim().trim_end_matches(" kB").trim().parse().expect("a number of kB");
    kilobytes * 1024
}

impl std::ops::Deref for Postlink {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.0
    }
}

impl std::ops::DerefMut for Postlink {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.0
    }
}
