//! The real kubectl and the real Helm, as any of the cluster's users.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::ControlPlane;
use super::users::User;
use super::waiting::wait_for;

/// The result of one call of kubectl or Helm.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The command line, for messages.
    pub command: String,
    /// The exit code; None when it was killed.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Answer {
    pub fn succeeded(&self) -> bool {
        self.code == Some(0)
    }

    /// Standard output of a call that must succeed.
    pub fn ok(self) -> String {
        assert!(
            self.succeeded(),
            "{} failed ({:?}):\n{}{}",
            self.command,
            self.code,
            self.stdout,
            self.stderr
        );
        self.stdout
    }

    /// Standard error of a call that must fail.
    pub fn refused(self) -> String {
        assert!(
            !self.succeeded(),
            "{} succeeded and should not have:\n{}{}",
            self.command,
            self.stdout,
            self.stderr
        );
        self.stderr
    }

    /// The output of a successful `-o json` call.
    pub fn json(self) -> Value {
        let command = self.command.clone();
        let stdout = self.ok();
        serde_json::from_str(&stdout)
            .unwrap_or_else(|error| panic!("{command} printed no JSON ({error}):\n{stdout}"))
    }
}

impl ControlPlane {
    /// `kubectl ARGS` as `user`.
    pub fn kubectl<A: AsRef<OsStr>>(&self, user: User, args: impl IntoIterator<Item = A>) -> Answer {
        self.kubectl_with_input(user, args, "")
    }

    /// The same with `input` on standard input, for `-f -`.
    pub fn kubectl_with_input<A: AsRef<OsStr>>(
        &self,
        user: User,
        args: impl IntoIterator<Item = A>,
        input: &str,
    ) -> Answer {
        let mut command = self.kubectl_command(user);
        command.args(args);
        call("kubectl", user, command, input)
    }

    /// `helm ARGS` of a major version (3 or 4) as `user`; releases are stored in the cluster.
    pub fn helm<A: AsRef<OsStr>>(&self, major: u8, user: User, args: impl IntoIterator<Item = A>) -> Answer {
        let program = match major {
            3 => &self.binaries.helm3,
            4 => &self.binaries.helm4,
            _ => panic!("there is no Helm {major}"),
        };
        let mut command = self.command_as(program, user);
        command.args(args);
        call("helm", user, command, "")
    }

    /// `kubectl apply -f PATH` as `user`; must succeed.
    pub fn kubectl_apply(&self, user: User, path: impl AsRef<Path>) -> String {
        let path = path.as_ref().to_str().expect("the repository's paths are UTF-8");
        self.kubectl(user, ["apply", "-f", path]).ok()
    }

    /// `kubectl apply -f -` of `yaml` as `user`.
    pub fn kubectl_apply_text(&self, user: User, yaml: &str) -> Answer {
        self.kubectl_with_input(user, ["apply", "-f", "-"], yaml)
    }

    /// Repeats a call until it is denied with a message that contains `because`, and returns the message. A policy
    /// takes effect about two seconds after its creation, without any signal, so `args` should include
    /// `--dry-run=server`.
    pub fn until_refused<A: AsRef<OsStr>>(
        &self,
        user: User,
        args: &[A],
        because: &str,
        limit: Duration,
    ) -> String {
        let what = format!("{} being refused because {because:?}", user.name());
        wait_for(&what, limit, || {
            let answer = self.kubectl(user, args);
            (!answer.succeeded() && answer.stderr.contains(because)).then_some(answer.stderr)
        })
    }

    /// kubectl as `user`, without arguments yet.
    pub fn kubectl_command(&self, user: User) -> Command {
        self.command_as(&self.binaries.kubectl, user)
    }

    /// Flux's kustomize-controller as `user`, without arguments yet.
    pub fn flux_command(&self, user: User) -> Command {
        let mut command = Command::new(&self.binaries.flux);
        command.env("KUBECONFIG", self.kubeconfig(user));
        command
    }

    /// The CRDs of Flux's `Kustomization` and of its sources.
    pub fn flux_definitions(&self) -> &Path {
        &self.binaries.flux_definitions
    }

    /// kubectl or Helm as `user`.
    fn command_as(&self, program: &Path, user: User) -> Command {
        let mut command = isolated(program, &self.folder.join("kubectl-home"));
        command.arg(format!("--kubeconfig={}", self.kubeconfig(user).display()));
        command
    }
}

/// kubectl or Helm, isolated from the caller's configuration and caches.
pub fn isolated(program: &Path, home: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if ["HELM_", "KUBE", "XDG_"].iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    command.env("HOME", home).env("KUBECACHEDIR", home.join("cache"));
    command
}

fn call(name: &str, user: User, mut command: Command, input: &str) -> Answer {
    let line = command.get_args().skip(1).map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program was found when the control plane started");
    let mut stdin = child.stdin.take().expect("stdin was asked to be a pipe");
    let output = thread::scope(|scope| {
        // Written while reading, because a full pipe in either direction would block both. If the program exits early
        // the write fails, which the exit code explains better.
        scope.spawn(move || drop(stdin.write_all(input.as_bytes())));
        child.wait_with_output().expect("a child of ours can be waited for")
    });
    Answer {
        command: format!("{name} {line} (as {})", user.name()),
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
