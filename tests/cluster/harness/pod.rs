//! Stands in for the kubelet: starts the container of a stored Deployment as a process. Command, arguments,
//! environment, ports and mounted files come from the Deployment, the identity from a token of its ServiceAccount.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine as _;
use serde_json::{Value, json};

use super::ControlPlane;
use super::process::Postlink;
use super::run_folder::new_folder;
use super::users::User;

/// A kubelet renews tokens within the hour; these are renewed only by [`Pod::renew_token`], and a test may last for hours.
const LIFE: &str = "--duration=24h";

/// A pod with one running container.
#[derive(Debug)]
pub struct Pod {
    pub process: Postlink,
    pub name: String,
    /// A loopback address of its own, so that pods of one Deployment can share a port number as in a cluster.
    pub ip: String,
    /// The ids of its tokens in the audit log.
    credentials: Vec<String>,
    token_file: PathBuf,
    /// Its ServiceAccount and the namespace of that.
    account: [String; 2],
    container: Value,
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
}

impl Pod {
    /// Starts the first container of a Deployment in `namespace`.
    pub fn start(plane: &ControlPlane, namespace: &str, deployment: &str) -> Self {
        Self::start_at(&plane.url(), plane, namespace, deployment)
    }

    /// The same, with another address of the API server.
    pub fn start_at(server: &str, plane: &ControlPlane, namespace: &str, deployment: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let get = ["get", "deployment", deployment, "-n", namespace, "-o", "json"];
        let template = plane.kubectl(User::Admin, get).json()["spec"]["template"].clone();
        let (spec, name) = (&template["spec"], format!("{deployment}-{number}"));
        // 127.0.1.0 to 127.127.255.255: all loopback.
        let ip = format!("127.{}.{}.{}", number / 65_025, number / 255 % 255 + 1, number % 255);
        let container = spec["containers"][0].clone();
        assert_ne!(spec["automountServiceAccountToken"], false, "the container would have no identity");
        let account = text(&spec["serviceAccountName"]);
        let folder = new_folder(&name);

        let known = |path: &str| match path {
            "metadata.name" => name.clone(),
            "metadata.namespace" => namespace.to_owned(),
            "status.podIP" => ip.clone(),
            other => panic!("{other}: the kubelet of the tests does not know this field"),
        };
        let mut environment = BTreeMap::new();
        for variable in list(&container["env"]) {
            let value = match variable["valueFrom"]["fieldRef"]["fieldPath"].as_str() {
                Some(path) => known(path),
                None => expand(text(&variable["value"]), &environment),
            };
            environment.insert(text(&variable["name"]).to_owned(), value);
        }
        let mounts = mounted(plane, namespace, spec, &container, &folder);
        let arguments: Vec<String> = list(&container["command"])
            .iter()
            .skip(1)
            .chain(list(&container["args"]))
            .map(|argument| expand(text(argument), &environment))
            .map(|argument| mounts.iter().fold(argument, |text, (at, to)| text.replace(at.as_str(), to)))
            .collect();

        let kubeconfig = folder.join("kubeconfig");
        let token_file = folder.join("token");
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "pod",
            "clusters": [{"name": "pod", "cluster": {"server": server, "certificate-authority": plane.ca_file()}}],
            "users": [{"name": "pod", "user": {"tokenFile": token_file}}],
            "contexts": [{"name": "pod", "context": {"cluster": "pod", "user": "pod", "namespace": namespace}}],
        });
        fs::write(&kubeconfig, config.to_string()).expect("a folder of ours is writable");
        // In place of the files that the kubelet mounts and the variables that it sets.
        environment.insert("KUBECONFIG".to_owned(), kubeconfig.display().to_string());
        let account = [account, namespace].map(str::to_owned);
        let credential = write_token(plane, &account, &name, &token_file);
        let process = run(&container, &arguments, &environment);
        let credentials = vec![credential];
        Self { process, name, ip, credentials, token_file, account, container, arguments, environment }
    }

    /// Replaces its token by a new one, as the kubelet does. Returns the old one, valid until
    /// [`Pod::revoke_old_token`].
    pub fn renew_token(&mut self, plane: &ControlPlane) -> String {
        let old = fs::read_to_string(&self.token_file).expect("a file of ours can be read");
        let bound = format!("{}-renewed", self.name);
        self.credentials.push(write_token(plane, &self.account, &bound, &self.token_file));
        old
    }

    /// Invalidates its first token, as if it had expired.
    pub fn revoke_old_token(&self, plane: &ControlPlane) {
        plane.kubectl(User::Admin, ["delete", "secret", &self.name, "-n", &self.account[1]]).ok();
    }

    /// Whether an event of the audit log is a request of this pod with its newest token.
    pub fn sent_with_new_token(&self, event: &Value) -> bool {
        self.credentials.last().is_some_and(|credential| has_credential(event, credential))
    }

    /// Restarts an ended container, as the kubelet does, with a new log.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process = run(&self.container, &self.arguments, &self.environment);
    }

    /// Whether an event of the audit log is a request of this pod.
    pub fn sent(&self, event: &Value) -> bool {
        self.credentials.iter().any(|credential| has_credential(event, credential))
    }

    /// The address of a port by the name it has in the container.
    pub fn address(&self, port: &str) -> String {
        let ports = list(&self.container["ports"]);
        let found = ports.iter().find(|p| p["name"] == port);
        let number = &found.unwrap_or_else(|| panic!("there is no port {port}: {ports:?}"))["containerPort"];
        format!("{}:{number}", self.ip)
    }

    /// The most memory it has had, and the limit of the container, in bytes.
    pub fn peak_and_limit(&self) -> (u64, u64) {
        (self.process.peak_memory(), memory_limit(&self.container))
    }

    /// Address and path of a probe of the container.
    pub fn probe(&self, probe: &str) -> (String, String) {
        let get = &self.container[probe]["httpGet"];
        (self.address(text(&get["port"])), text(&get["path"]).to_owned())
    }
}

/// Within the memory limit of the container.
fn run(container: &Value, arguments: &[String], environment: &BTreeMap<String, String>) -> Postlink {
    let environment: Vec<_> = environment.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    Postlink::run_within(memory_limit(container), arguments, &environment)
}

/// In bytes.
fn memory_limit(container: &Value) -> u64 {
    let limit = text(&container["resources"]["limits"]["memory"]);
    let mebibytes: u64 = limit.trim_end_matches("Mi").parse().expect("the chart's limit is in Mi");
    mebibytes << 20
}

/// The mounted ConfigMaps as files: the path in the container, and the folder here.
fn mounted(
    plane: &ControlPlane,
    namespace: &str,
    spec: &Value,
    container: &Value,
    folder: &Path,
) -> Vec<(String, String)> {
    let mount = |mount: &Value| {
        let volume = list(&spec["volumes"]).iter().find(|volume| volume["name"] == mount["name"]);
        let volume = volume.unwrap_or_else(|| panic!("{mount}: there is no such volume"));
        let map = text(&volume["configMap"]["name"]);
        let stored =
            plane.kubectl(User::Admin, ["get", "configmap", map, "-n", namespace, "-o", "json"]).json();
        let here: PathBuf = folder.join(text(&mount["name"]));
        fs::create_dir_all(&here).expect("a folder of ours is writable");
        for item in list(&volume["configMap"]["items"]) {
            let content = text(&stored["data"][text(&item["key"])]);
            fs::write(here.join(text(&item["path"])), content).expect("a folder of ours is writable");
        }
        (text(&mount["mountPath"]).to_owned(), here.display().to_string())
    };
    list(&container["volumeMounts"]).iter().map(mount).collect()
}

/// Expands `$(NAME)` as the kubelet does: from variables defined before it, otherwise not at all.
fn expand(text: &str, environment: &BTreeMap<String, String>) -> String {
    environment.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("$({name})"), value))
}

/// Writes a token that is valid until the Secret `bound` is deleted. Returns its id.
fn write_token(plane: &ControlPlane, [account, namespace]: &[String; 2], bound: &str, file: &Path) -> String {
    plane.kubectl(User::Admin, ["create", "secret", "generic", bound, "-n", namespace]).ok();
    let (kind, name) = ("--bound-object-kind=Secret", format!("--bound-object-name={bound}"));
    let args = ["create", "token", account, "-n", namespace, LIFE, kind, &name];
    let token = plane.kubectl(User::Admin, args).ok();
    fs::write(file, token.trim()).expect("a folder of ours is writable");
    credential(token.trim())
}

fn has_credential(event: &Value, credential: &str) -> bool {
    let ids = &event["user"]["extra"]["authentication.kubernetes.io/credential-id"];
    list(ids).iter().any(|id| *id == *credential)
}

/// The `authentication.kubernetes.io/credential-id` of this token.
fn credential(token: &str) -> String {
    let claims = token.split('.').nth(1).expect("a token has three parts");
    let claims =
        base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims).expect("its claims are base64");
    let claims: Value = serde_json::from_slice(&claims).expect("its claims are JSON");
    format!("JTI={}", text(&claims["jti"]))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}
