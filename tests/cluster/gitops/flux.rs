//! The real kustomize-controller of Flux. Only the source is simulated: a tarball on loopback, named in the status of a
//! `GitRepository` that the test writes in place of the source-controller.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::cell::Cell;
use super::health::flux_expressions;
use super::tool::{Commit, SyncResult, Tool};
use super::tree::{Layout, documents};
use crate::cluster::{Cluster, SOON, quickstart_instance, text_of};
use crate::harness::process::Process;
use crate::harness::run_folder::new_folder;
use crate::harness::users::User;
use crate::harness::waiting::wait_for;

/// The namespace of Flux, and of Kustomizations that are not a tenant's.
const FLUX: &str = "flux-system";

/// The tenant's ServiceAccount.
const DEPLOYER: &str = "deployer";

/// The running controller and the tarballs it fetches.
pub struct Flux {
    _controller: Process,
    tarballs: Tarballs,
}

impl Flux {
    /// Installs Flux's CRDs and starts its controller as its usual user.
    pub fn start(cluster: &Cluster) -> Self {
        cluster.plane.kubectl_apply(User::Admin, cluster.plane.flux_definitions());
        let wait = ["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"];
        cluster.plane.kubectl(User::Admin, wait).ok();
        cluster.plane.kubectl(User::Admin, ["create", "namespace", FLUX]).ok();
        let folder = new_folder("flux");
        let mut command = cluster.plane.flux_command(User::FluxKustomize);
        command.current_dir(&folder).env("RUNTIME_NAMESPACE", FLUX).env("TMPDIR", &folder).args([
            "--watch-all-namespaces=true",
            "--enable-leader-election=false",
            "--metrics-addr=127.0.0.1:0",
            "--health-addr=127.0.0.1:0",
            "--concurrent=8",
            "--interval-jitter-percentage=0",
            "--log-level=info",
        ]);
        let mut controller = Process::spawn(&folder, "kustomize-controller", &mut command)
            .unwrap_or_else(|error| panic!("{error}"));
        controller.wait_for_log(SOON, |line| line.contains("Starting workers"));
        Self { _controller: controller, tarballs: Tarballs::serve() }
    }
}

/// The served files, by path.
struct Tarballs {
    address: String,
    files: Arc<Mutex<HashMap<String, Vec<u8>>>>,
}

impl Tarballs {
    /// Serves on a free port until the test process ends.
    fn serve() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address").to_string();
        let files = Arc::new(Mutex::new(HashMap::new()));
        let served = Arc::clone(&files);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that disconnects retries.
                let _ = answer(stream, &served);
            }
        });
        Self { address, files }
    }

    /// Publishes a file and returns its URL.
    fn publish(&self, path: String, content: Vec<u8>) -> String {
        let url = format!("http://{}/{path}", self.address);
        self.files.lock().expect("no thread panics while holding the lock").insert(path, content);
        url
    }
}

fn answer(mut stream: TcpStream, files: &Mutex<HashMap<String, Vec<u8>>>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    // The remaining headers.
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let path = first.split(' ').nth(1).unwrap_or_default().trim_start_matches('/');
    let found = files.lock().expect("no thread panics while holding the lock").get(path).cloned();
    let status = if found.is_some() { "200 OK" } else { "404 Not Found" };
    let body = found.unwrap_or_default();
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
    stream.write_all(&body)
}

pub struct Kustomization<'a> {
    flux: &'a Flux,
    /// Whether it is in the cell's namespace and applies as a ServiceAccount there.
    tenant: bool,
}

impl<'a> Kustomization<'a> {
    pub fn of_the_cluster(flux: &'a Flux) -> Self {
        Self { flux, tenant: false }
    }

    pub fn of_a_tenant(flux: &'a Flux) -> Self {
        Self { flux, tenant: true }
    }

    /// The namespace of the Kustomization and its source.
    fn home<'b>(&self, cell: &'b Cell<'_>) -> &'b str {
        if self.tenant { &cell.namespace } else { FLUX }
    }

    /// The one-time setup by a platform team: the source, the Kustomization, and a tenant's namespace and account.
    fn set_up(&self, cell: &Cell<'_>) {
        let (home, name) = (self.home(cell), &cell.namespace);
        let mut objects = Vec::new();
        if self.tenant {
            objects.push(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": home}}));
            objects.push(json!({
                "apiVersion": "v1", "kind": "ServiceAccount",
                "metadata": {"name": DEPLOYER, "namespace": home},
            }));
            objects.push(json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                "metadata": {"name": DEPLOYER, "namespace": home},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
                "subjects": [{"kind": "ServiceAccount", "name": DEPLOYER, "namespace": home}],
            }));
        }
        objects.push(json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
            "metadata": {"name": name, "namespace": home},
            "spec": {"interval": "1h", "url": "https://git.example/customer-care.git"},
        }));
        let mut kustomization = json!({
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
            "metadata": {"name": name, "namespace": home},
            "spec": {
                "interval": "1h", "retryInterval": "5s", "timeout": "90s", "path": "./", "prune": true, "wait": true,
                "sourceRef": {"kind": "GitRepository", "name": name},
                "healthCheckExprs": flux_expressions(),
            },
        });
        if self.tenant {
            kustomization["spec"]["serviceAccountName"] = json!(DEPLOYER);
        }
        objects.push(kustomization);
        cell.cluster.plane.kubectl_apply_text(User::Admin, &documents(&objects)).ok();
    }

    /// Publishes the tree as a revision, as source-controller does after a push.
    fn publish(&self, cell: &Cell<'_>, number: u8, text: &str) -> String {
        let folder = new_folder(&format!("{}-{number}", cell.namespace));
        let tarball = tarball_of(&folder, text);
        let digest = format!("sha256:{:x}", Sha256::digest(&tarball));
        let revision = format!("main@sha1:{number:040x}");
        let (home, name) = (self.home(cell), &cell.namespace);
        let path = format!("gitrepository/{home}/{name}/{number}.tar.gz");
        let size = tarball.len();
        let url = self.flux.tarballs.publish(path.clone(), tarball);
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        cell.write_status(
            "GitRepository",
            home,
            name,
            &json!({
                "observedGeneration": 1,
                "artifact": {
                    "path": path, "url": url, "revision": revision, "digest": digest, "size": size,
                    "lastUpdateTime": now,
                },
                "conditions": [{
                    "type": "Ready", "status": "True", "observedGeneration": 1, "lastTransitionTime": now,
                    "reason": "Succeeded", "message": format!("stored artifact for revision '{revision}'"),
                }],
            }),
        );
        revision
    }

    /// The result of `revision` in the Kustomization's status, once there is one.
    fn reported(&self, cell: &Cell<'_>, revision: &str) -> Option<SyncResult> {
        let object = cell.get("Kustomization", self.home(cell), &cell.namespace)?;
        let status = &object["status"];
        if status["lastAttemptedRevision"] != revision {
            return None;
        }
        let conditions = status["conditions"].as_array()?;
        let ready: &Value = conditions.iter().find(|condition| condition["type"] == "Ready")?;
        let words = ready["message"].as_str().unwrap_or_default().to_owned();
        match ready["status"].as_str()? {
            "True" if status["lastAppliedRevision"] == revision => Some(SyncResult::Synced),
            "False" if ready["reason"] == "HealthCheckFailed" => Some(SyncResult::Unhealthy(words)),
            "False" => Some(SyncResult::Refused(words)),
            _ => None,
        }
    }

    fn wait(&self, cell: &Cell<'_>, revision: &str, done: bool) -> SyncResult {
        let mut result = None;
        cell.wait_until(&format!("Flux to say something of {revision}"), || {
            result = self.reported(cell, revision).filter(|result| !done || *result == SyncResult::Synced);
            result.is_some()
        });
        result.expect("that is what was waited for")
    }
}

impl Tool for Kustomization<'_> {
    fn layout(&self) -> Layout {
        Layout { without_namespace: self.tenant, ..Layout::default() }
    }

    fn sync(&mut self, cell: &Cell<'_>, commit: &Commit<'_>) -> SyncResult {
        if self.tenant && commit.tree.objects.is_empty() {
            // A tenant cannot delete its namespace; the platform team does, and the Kustomization goes with it.
            let args = ["delete", "namespace", &cell.namespace, "--wait=false"];
            cell.cluster.plane.kubectl(User::Admin, args).ok();
            return SyncResult::Synced;
        }
        if commit.number == 1 {
            self.set_up(cell);
        }
        let revision = self.publish(cell, commit.number, &commit.tree.text());
        self.wait(cell, &revision, false)
    }

    fn looks_at_health(&self) -> bool {
        true
    }

    /// It retries every `retryInterval`.
    fn final_result(&mut self, cell: &Cell<'_>, result: SyncResult) -> SyncResult {
        let object = cell.get("Kustomization", self.home(cell), &cell.namespace);
        let revision = object.map(|object| object["status"]["lastAttemptedRevision"].clone());
        match revision.as_ref().and_then(Value::as_str) {
            Some(revision) => self.wait(cell, revision, true),
            None => result,
        }
    }
}

/// A tarball of one file, `tree.yaml`.
fn tarball_of(folder: &Path, text: &str) -> Vec<u8> {
    fs::write(folder.join("tree.yaml"), text).expect("a folder of ours is writable");
    let packed = Command::new("tar")
        .args(["--create", "--gzip", "--file=-", "tree.yaml"])
        .current_dir(folder)
        .output()
        .expect("tar can be started");
    assert!(packed.status.success(), "tar: {}", String::from_utf8_lossy(&packed.stderr));
    packed.stdout
}

/// Deleting a CRD deletes every object of its kind, so it stays when it is removed from the tree, and when the
/// Kustomization is deleted.
#[test]
fn definitions_outlive_their_kustomization() {
    let cluster = Cluster::prepared(&quickstart_instance());
    let flux = Flux::start(&cluster);
    let cell = Cell::new(&cluster, "definitions".to_owned());
    let tool = Kustomization::of_the_cluster(&flux);
    let marker = |name: &str| {
        let metadata = json!({"name": name, "namespace": FLUX});
        documents(&[json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})])
    };
    let mut tree = marker("leaves-first");
    for kind in ["dynamicsconnections", "automationrules", "postlinks"] {
        tree += "\n---\n";
        tree += &text_of(&format!("crds/postlink.dev_{kind}.yaml"));
    }
    tool.set_up(&cell);
    let commit = |number, tree: &str| {
        let revision = tool.publish(&cell, number, tree);
        wait_for("Flux to be done", SOON, || {
            tool.reported(&cell, &revision).filter(|result| *result == SyncResult::Synced)
        });
    };
    commit(1, &tree);
    let definitions = || {
        let names =
            "jsonpath={range .items[*]}{.metadata.name} {.metadata.uid} {.metadata.deletionTimestamp},{end}";
        let all = cluster.plane.kubectl(User::Admin, ["get", "crd", "-o", names]).ok();
        let ours = all.split(',').filter(|line| line.contains(".postlink.dev ")).map(str::to_owned);
        ours.collect::<Vec<_>>()
    };
    let applied = definitions();
    assert_eq!(applied.len(), 3, "{applied:?}");

    // Other removed objects are gone, so Flux did prune.
    commit(2, &marker("leaves-last"));
    assert!(cell.get("ConfigMap", FLUX, "leaves-first").is_none());
    assert_eq!(definitions(), applied);

    let kustomization = ["delete", "kustomizations.kustomize.toolkit.fluxcd.io", &cell.namespace, "-n", FLUX];
    cluster.plane.kubectl(User::Admin, kustomization).ok();
    assert!(cell.get("ConfigMap", FLUX, "leaves-last").is_none());
    assert_eq!(definitions(), applied);
}
