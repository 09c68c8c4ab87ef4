//! A control plane with Postlink, installed by Helm from the shipped chart, simulated instances, and the controller as
//! started by the chart's Deployment. Tests act and observe through kubectl.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::harness::pod::Pod;
use crate::harness::process::Postlink;
use crate::harness::run_folder::new_folder;
use crate::harness::users::User;
use crate::harness::{ControlPlane, Settings, free_ports};

/// Longest wait for what takes seconds on an idle machine and may take a minute on a busy one.
pub const SOON: Duration = Duration::from_secs(120);

/// A lease duration in seconds long enough not to be lost on a busy machine: no kubelet restarts the controller here. A
/// test that waits for a lease to expire uses [`DEFAULT_LEASE`].
pub const LONG_LEASE: u32 = 30;

/// The default lease duration in seconds.
pub const DEFAULT_LEASE: u32 = 15;

/// The namespace of the quickstart.
pub const NAMESPACE: &str = "social";

/// The namespace of the installation.
pub const SYSTEM: &str = "postlink-system";

/// A file of this repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The simulated instance of the quickstart.
pub fn quickstart_instance() -> PathBuf {
    repository("examples/quickstart/simulated/instance.yaml")
}

/// The text of a file of this repository.
pub fn text_of(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// How the controller is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    /// Without leader election, as outside of a cluster.
    None,
    /// With leader election, as in a cluster.
    Elected,
}

/// The fields are in drop order: clients end before their servers.
#[derive(Debug)]
pub struct Cluster {
    controller: Option<Pod>,
    instances: Postlink,
    pub plane: ControlPlane,
    values: Value,
    refusals_are_expected: bool,
}

impl Drop for Cluster {
    /// Any request that the shipped RBAC does not allow fails the test.
    fn drop(&mut self) {
        if !std::thread::panicking() && !self.refusals_are_expected {
            self.controller_kept_within_its_rights();
        }
    }
}

impl Cluster {
    /// The chart and the simulated instances of `instances`, without a running controller.
    pub fn installed(instances: &Path, lease: Lease) -> Self {
        let more = match lease {
            Lease::None => vec!["--leader-elect=false"],
            Lease::Elected => vec![],
        };
        Self::installed_with(instances, &more, &json!({}))
    }

    /// As [`Cluster::installed`], with further arguments of the controller and values of the chart.
    pub fn installed_with(instances: &Path, more: &[&str], values: &Value) -> Self {
        let cluster = Self::prepared(instances);
        cluster.install_with(more, values);
        cluster
    }

    /// A control plane without Postlink, and simulated instances.
    pub fn prepared(instances: &Path) -> Self {
        Self::prepared_with(instances, &[])
    }

    /// The same with further flags of kube-apiserver.
    pub fn prepared_with(instances: &Path, apiserver: &[&str]) -> Self {
        let audited = vec![User::Controller, User::Neighbor];
        let apiserver_args = apiserver.iter().map(|&flag| flag.to_owned()).collect();
        let plane = ControlPlane::start_with(&Settings { audited, apiserver_args });
        let folder = new_folder("instances");
        let (ca, instances) = (folder.join("ca.pem"), path(instances).to_owned());
        let mut simulate = Postlink::run(["simulate", &instances, "--ca-out", path(&ca)], &[]);
        // The two shared hosts are printed after the instances', so all lines are there with the last.
        simulate.wait_for_line(SOON, |line| line.starts_with("globaldisco."));
        simulate.wait_for_line(SOON, |line| line.starts_with("login."));
        let reach = simulate.stdout().lines().map(|line| format!("--connect-to={line}")).collect::<Vec<_>>();
        let [metrics, health] = free_ports().expect("there are free ports");
        let values = json!({
            "extraArgs": reach,
            "caBundle": {"configMap": "instances", "key": "ca.pem"},
            // A new leader waits this long before it disables or deletes a connection.
            "instanceTimeout": 5,
            "leaseDuration": LONG_LEASE,
            "metrics": {"port": metrics},
            "health": {"port": health},
        });
        plane.kubectl(User::Admin, ["create", "namespace", SYSTEM]).ok();
        let ca = format!("--from-file=ca.pem={}", path(&ca));
        plane.kubectl(User::Admin, ["create", "configmap", "instances", "-n", SYSTEM, &ca]).ok();
        Self { controller: None, instances: simulate, plane, values, refusals_are_expected: false }
    }

    /// `helm upgrade --install` of the chart, with further arguments of the controller and values.
    pub fn install_with(&self, more: &[&str], values: &Value) {
        self.install_chart(&repository("charts/postlink"), more, values);
    }

    /// The same with the chart in `folder`; returns once the CRDs are established.
    pub fn install_chart(&self, folder: &Path, more: &[&str], values: &Value) {
        self.install_release("postlink", SYSTEM, folder, more, values);
        let definitions = ["dynamicsconnections", "automationrules", "postlinks"];
        let definitions = definitions.map(|plural| format!("crd/{plural}.postlink.dev"));
        let mut args = vec!["wait", "--for=condition=Established", "--timeout=60s"];
        args.extend(definitions.iter().map(String::as_str));
        self.plane.kubectl(User::Admin, args).ok();
    }

    /// The same of a release in a namespace.
    pub fn install_release(
        &self,
        release: &str,
        namespace: &str,
        folder: &Path,
        more: &[&str],
        values: &Value,
    ) {
        let mut all = self.values.clone();
        json_patch::merge(&mut all, values);
        let arguments = all["extraArgs"].as_array_mut().expect("it is a list");
        arguments.extend(more.iter().map(|&argument| Value::from(argument)));
        let file = new_folder("values").join("values.json");
        fs::write(&file, all.to_string()).expect("a folder of ours is writable");
        let args = ["upgrade", "--install", release, path(folder), "-n", namespace, "--values", path(&file)];
        self.plane.helm(4, User::Admin, args).ok();
    }

    /// A cluster for the quickstart with the controller running.
    pub fn quickstart(lease: Lease) -> Self {
        let mut cluster = Self::installed(&quickstart_instance(), lease);
        cluster.start_controller();
        cluster
    }

    /// `kubectl apply` of files of the quickstart, by a person.
    pub fn apply_quickstart(&self, files: &[&str]) {
        for file in files {
            self.plane.kubectl_apply(User::Alice, repository(&format!("examples/quickstart/{file}.yaml")));
        }
    }

    /// The same in another namespace than the quickstart's.
    pub fn apply_quickstart_in(&self, namespace: &str, files: &[&str]) {
        for file in files {
            let text = text_of(&format!("examples/quickstart/{file}.yaml"));
            let text = text.replace("namespace: social", &format!("namespace: {namespace}"));
            // That of the namespace itself.
            let text = text.replace("name: social", &format!("name: {namespace}"));
            self.plane.kubectl_apply_text(User::Alice, &text).ok();
        }
    }

    /// `kubectl patch --type=merge` of the spec of one object in the quickstart's namespace, by a person.
    pub fn declare(&self, object: &str, spec: &Value) {
        let patch = json!({"spec": spec}).to_string();
        let args = ["patch", "-n", NAMESPACE, object, "--type=merge", "-p", &patch];
        self.plane.kubectl(User::Alice, args).ok();
    }

    /// Forbidden requests do not fail the test: permissions are missing on purpose, or a restarted server has not read the
    /// roles yet.
    pub fn expect_refusals(&mut self) {
        self.refusals_are_expected = true;
    }

    /// Starts another pod of the Deployment; dropping it ends it.
    pub fn pod(&self) -> Pod {
        Pod::start(&self.plane, SYSTEM, "postlink")
    }

    /// Starts the controller and waits until its caches are synced.
    pub fn start_controller(&mut self) {
        self.begin_controller();
        self.controller().wait_for_log(SOON, is_ready);
    }

    /// Start the controller and do not wait.
    pub fn begin_controller(&mut self) {
        assert!(self.controller.is_none(), "two controllers would not be this cluster");
        self.controller = Some(self.pod());
    }

    /// Sends SIGKILL and returns the log.
    pub fn kill_controller(&mut self) -> String {
        let mut controller = self.controller.take().expect("a controller runs").process;
        assert_eq!(controller.exited(), None, "it should have run until now:\n{}", controller.tail());
        controller.kill();
        controller.stderr()
    }

    /// Sends SIGTERM and waits until the lease is released and the process has ended.
    pub fn stop_controller(&mut self) {
        let mut controller = self.controller.take().expect("a controller runs").process;
        controller.terminate(SOON);
    }

    /// A pod that [`Cluster::pod`] started takes the place of the controller that was killed.
    pub fn replace_controller(&mut self, pod: Pod) {
        assert!(self.controller.is_none(), "two controllers would not be this cluster");
        self.controller = Some(pod);
    }

    /// The running controller.
    pub fn controller(&mut self) -> &mut Postlink {
        &mut self.leader().process
    }

    /// The pod it runs in.
    pub fn leader(&mut self) -> &mut Pod {
        self.controller.as_mut().expect("a controller runs")
    }

    /// The address of the metrics of the controller.
    pub fn metrics(&self) -> String {
        self.controller.as_ref().expect("a controller runs").address("metrics")
    }

    /// The process of the simulated instances.
    pub fn instances(&mut self) -> &mut Postlink {
        &mut self.instances
    }

    /// `spec` of the Lease.
    pub fn lease(&self) -> Value {
        let get = ["get", "lease", "postlink", "-n", SYSTEM, "-o", "json"];
        self.plane.kubectl(User::Admin, get).json()["spec"].clone()
    }

    /// `kubectl wait --for=WHAT OBJECT…` in the quickstart's namespace; a timeout fails with the objects.
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

    /// The controller's requests in the audit log since a time.
    pub fn requests_since(&self, since: Timestamp) -> Vec<Value> {
        let mut events = self.plane.audited(User::Controller);
        events.retain(|event| received(event) >= since);
        events
    }

    /// RBAC denied no request of the controller.
    pub fn controller_kept_within_its_rights(&self) {
        let forbidden = self.plane.forbidden(User::Controller);
        assert!(forbidden.is_empty(), "refused to the controller: {forbidden:#?}");
    }
}

/// Whether a line of the log says that the controller has listed everything.
pub fn is_ready(line: &str) -> bool {
    line.contains("ready: everything has been listed")
}

/// Whether a request of the audit log writes, whatever its verb.
pub fn is_write(event: &Value) -> bool {
    !["get", "list", "watch"].iter().any(|verb| event["verb"] == *verb)
}

/// The write requests in an audit log, as "verb address: answer". They include writes that changed nothing and so have
/// no revision.
pub fn writes(audited: Vec<Value>) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    audited
        .into_iter()
        .filter(is_write)
        .map(|event| {
            let answer = &event["responseStatus"]["code"];
            format!("{} {}: {answer}", text(&event["verb"]), text(&event["requestURI"]))
        })
        .collect()
}

/// When the API server received a request, from an event of the audit log.
pub fn received(event: &Value) -> Timestamp {
    let time = event["requestReceivedTimestamp"].as_str().expect("an event has its time");
    time.parse().expect("it is a time")
}

/// Status and reason of a condition; None when it is absent.
pub fn condition<'a>(object: &'a Value, type_: &str) -> Option<(&'a str, &'a str)> {
    let conditions = object["status"]["conditions"].as_array()?;
    let found = conditions.iter().find(|condition| condition["type"] == type_)?;
    Some((found["status"].as_str()?, found["reason"].as_str()?))
}

fn path(path: &Path) -> &str {
    path.to_str().expect("paths of tests are UTF-8")
}
