//! A control plane with Postlink on it: definitions, policies, rights, a simulated instance and the controller,
//! each the real program. What a test then does and sees goes through kubectl.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::harness::process::Postlink;
use crate::harness::run_folder::new_folder;
use crate::harness::users::User;
use crate::harness::{ControlPlane, Settings};

/// Longest wait for what takes seconds on an idle machine; two busy cores may need a minute.
pub const SOON: Duration = Duration::from_secs(120);

/// The namespace of the quickstart.
pub const NAMESPACE: &str = "social";

/// A file of this repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The text of a file of this repository.
pub fn text_of(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// How the controller is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    /// It leads without asking, as outside of a cluster.
    None,
    /// It takes the Lease first, as in a cluster.
    Elected,
}

/// All of it. Fields in the order they have to end: whoever talks to a server ends before it.
#[derive(Debug)]
pub struct Stage {
    controller: Option<Postlink>,
    _instances: Postlink,
    pub plane: ControlPlane,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Stage {
    /// Everything but the controller, with the simulated instances of `instances`.
    pub fn set(instances: &Path, lease: Lease) -> Self {
        let plane =
            ControlPlane::start_with(&Settings { audited: vec![User::Controller], ..Settings::default() });
        for path in ["crds", "charts/postlink/policies", "tests/cluster/fixtures/controller-rights.yaml"] {
            plane.kubectl_apply(User::Admin, repository(path));
        }
        let definitions = ["dynamicsconnections", "automationrules", "postlinks"];
        let definitions = definitions.map(|plural| format!("crd/{plural}.postlink.dev"));
        let mut args = vec!["wait", "--for=condition=Established", "--timeout=60s"];
        args.extend(definitions.iter().map(String::as_str));
        plane.kubectl(User::Admin, args).ok();

        let ca = new_folder("instances").join("ca.pem");
        let (ca, instances) = (path(&ca).to_owned(), path(instances).to_owned());
        let mut simulate = Postlink::run(["simulate", &instances, "--ca-out", &ca], &[]);
        // The two hosts everybody shares come after the instances', so all lines are there with the last.
        simulate.wait_for_line(SOON, |line| line.starts_with("globaldisco."));
        simulate.wait_for_line(SOON, |line| line.starts_with("login."));
        let mut arguments = vec![
            "run".to_owned(),
            "--kubeconfig".to_owned(),
            path(&plane.kubeconfig(User::Controller)).to_owned(),
        ];
        for line in simulate.stdout().lines() {
            arguments.extend(["--connect-to".to_owned(), line.to_owned()]);
        }
        arguments.extend(["--ca-file".to_owned(), ca]);
        arguments.push(match lease {
            Lease::None => "--leader-elect=false".to_owned(),
            Lease::Elected => "--leader-elect=true".to_owned(),
        });
        arguments.extend(["--lease-namespace".to_owned(), "postlink-system".to_owned()]);
        // A controller that may follow a killed one waits this long before it disables or deletes a connection.
        arguments.extend(["--instance-timeout".to_owned(), "5".to_owned()]);
        let environment = vec![("NO_COLOR".to_owned(), "1".to_owned())];
        Self { controller: None, _instances: simulate, plane, arguments, environment }
    }

    /// The stage of the quickstart with the controller running.
    pub fn quickstart(lease: Lease) -> Self {
        let mut stage = Self::set(&repository("examples/quickstart/simulated-instance.yaml"), lease);
        stage.start_controller();
        stage
    }

    /// The same with more flags and environment for the controller.
    pub fn quickstart_with(lease: Lease, flags: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut stage = Self::set(&repository("examples/quickstart/simulated-instance.yaml"), lease);
        stage.arguments.extend(flags.iter().map(ToString::to_string));
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        stage.environment.extend(environment.iter().map(owned));
        stage.start_controller();
        stage
    }

    /// What the controller is started with, for a second one.
    pub fn arguments(&self) -> &[String] {
        &self.arguments
    }

    /// Start the controller and wait until it has listed everything.
    pub fn start_controller(&mut self) {
        self.begin_controller();
        let controller = self.controller.as_mut().expect("it was started a moment ago");
        controller.wait_for_log(SOON, |line| line.contains("ready: everything has been listed"));
    }

    /// Start the controller and do not wait.
    pub fn begin_controller(&mut self) {
        assert!(self.controller.is_none(), "two controllers would not be this stage");
        let environment: Vec<(&str, &str)> =
            self.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.controller = Some(Postlink::run(&self.arguments, &environment));
    }

    /// SIGKILL. Its log so far.
    pub fn kill_controller(&mut self) -> String {
        let mut controller = self.controller.take().expect("a controller runs");
        assert_eq!(controller.exited(), None, "it should have run until now:\n{}", controller.tail());
        controller.kill();
        controller.stderr()
    }

    /// The running controller.
    pub fn controller(&mut self) -> &mut Postlink {
        self.controller.as_mut().expect("a controller runs")
    }

    /// `kubectl wait --for=WHAT OBJECT…` in the quickstart's namespace; says how the objects are when in vain.
    pub fn wait(&self, what: &str, objects: &[&str]) {
        let (wanted, limit) = (format!("--for={what}"), format!("--timeout={}s", SOON.as_secs()));
        let mut args = vec!["wait", "-n", NAMESPACE, &wanted, &limit];
        args.extend(objects);
        let answer = self.plane.kubectl(User::Alice, &args);
        if !answer.succeeded() {
            let all = "dynamicsconnections,automationrules,postlinks";
            let seen = self.plane.kubectl(User::Alice, ["get", all, "-n", NAMESPACE, "-o", "yaml"]).stdout;
            panic!("{}\n{}\n{seen}", answer.command, answer.stderr);
        }
    }

    /// Wait for a condition's reason.
    pub fn wait_reason(&self, condition: &str, reason: &str, objects: &[&str]) {
        let at = format!(r#"jsonpath={{.status.conditions[?(@.type=="{condition}")].reason}}={reason}"#);
        self.wait(&at, objects);
    }

    /// One object of the quickstart's namespace.
    pub fn get(&self, object: &str) -> Value {
        self.plane.kubectl(User::Alice, ["get", object, "-n", NAMESPACE, "-o", "json"]).json()
    }

    /// The controller was refused nothing, and says nothing of the canary.
    pub fn controller_kept_within_its_rights(&self) {
        let forbidden = self.plane.forbidden(User::Controller);
        assert!(forbidden.is_empty(), "refused to the controller: {forbidden:#?}");
    }
}

/// A condition of an object: its status and reason. None when it is absent.
pub fn condition<'a>(object: &'a Value, type_: &str) -> Option<(&'a str, &'a str)> {
    let conditions = object["status"]["conditions"].as_array()?;
    let found = conditions.iter().find(|condition| condition["type"] == type_)?;
    Some((found["status"].as_str()?, found["reason"].as_str()?))
}

fn path(path: &Path) -> &str {
    path.to_str().expect("paths of tests are UTF-8")
}
