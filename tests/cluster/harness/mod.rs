//! A real control plane for tests, made of real processes: etcd, kube-apiserver, kube-controller-manager.
//!
//! [`shared`] returns the one that the tests of this binary share, each in its own namespaces; [`ControlPlane::start`]
//! a private one for a test that kills servers or needs other flags. Everything here blocks the calling thread unless
//! it is `async`.

pub mod audit;
pub mod backup;
pub mod bare_loop;
pub mod binaries;
pub mod certificates;
pub mod etcd;
pub mod history;
pub mod kubectl;
pub mod pod;
pub mod process;
pub mod relay;
pub mod run_folder;
pub mod servers;
pub mod users;
pub mod waiting;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::{Value, json};
use tokio::net::TcpSocket;

use self::binaries::{Binaries, BinariesError};
use self::certificates::{Certificates, CertificatesError};
use self::etcd::{Etcd, Gateway, GatewayError};
use self::history::Revision;
use self::process::Process;
use self::servers::{Apiserver, spawn_controller_manager};
use self::users::User;
use self::waiting::block_on;

/// Usually 3 s; this allows for a cold disk and busy cores.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// Timeout of one request to a starting server; kube's client has none.
const ONE_ANSWER: Duration = Duration::from_secs(5);

/// Poll interval while a server starts.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Another process can take a free port before the server binds it, so starting is retried.
const ATTEMPTS: usize = 4;

/// Settings of a private control plane.
#[derive(Debug, Default, Clone)]
pub struct Settings {
    /// Users whose every request is in the audit log, see [`ControlPlane::forbidden`].
    pub audited: Vec<User>,
    /// Further flags of kube-apiserver.
    pub apiserver_args: Vec<String>,
}

/// Why there is no control plane.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Binaries(#[from] BinariesError),
    #[error(transparent)]
    Certificates(#[from] CertificatesError),
    #[error("a file of the control plane could not be written: {0}")]
    Write(std::io::Error),
    #[error("no free port on 127.0.0.1: {0}")]
    Port(std::io::Error),
    #[error("{program}: {source}")]
    Spawn { program: &'static str, source: std::io::Error },
    #[error("{program} ended while starting:\n{log}")]
    Ended { program: &'static str, log: String },
    #[error("{program} was not ready within {READY_WITHIN:?} ({last}):\n{log}")]
    Late { program: &'static str, last: String, log: String },
    #[error("the new control plane refused what every test needs: {0}")]
    Kube(#[from] kube::Error),
    #[error("the kubeconfig just written cannot be used: {0}")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
}

/// A running control plane; dropping it kills its processes, by id.
#[derive(Debug)]
pub struct ControlPlane {
    // Clients are dropped before their servers, so that the logs do not fill with connection errors.
    controller_manager: Process,
    apiserver_process: Process,
    etcd: Etcd,
    etcd_ports: [u16; 2],
    apiserver: Apiserver,
    /// Reserves the port of a killed API server.
    port: Option<TcpSocket>,
    binaries: Binaries,
    folder: PathBuf,
}

impl ControlPlane {
    /// Starts one with the default settings; a failure fails the test with the server's log.
    pub fn start() -> Self {
        Self::start_with(&Settings::default())
    }

    pub fn start_with(settings: &Settings) -> Self {
        Self::try_start(settings).unwrap_or_else(|error| {
            run_folder::keep_logs();
            panic!("{error}")
        })
    }

    pub fn try_start(settings: &Settings) -> Result<Self, StartError> {
        // An error only means that another test has installed it already.
        let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
        let binaries = Binaries::find()?;
        let mut attempt = 1;
        loop {
            match Self::attempt(&binaries, settings) {
                Err(StartError::Ended { log, .. })
                    if log.contains("address already in use") && attempt < ATTEMPTS =>
                {
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    fn attempt(binaries: &Binaries, settings: &Settings) -> Result<Self, StartError> {
        let folder = run_folder::new_folder("control-plane");
        let [client_port, peer_port, secure_port] = free_ports().map_err(StartError::Port)?;
        let certificates = Certificates::generate(&folder)?;
        let tokens = folder.join("tokens.csv");
        users::write_tokens(&tokens).map_err(StartError::Write)?;

        let etcd_ports = [client_port, peer_port];
        let etcd = start_etcd(binaries, &folder, etcd_ports)?;

        let apiserver = Apiserver {
            program: binaries.apiserver.clone(),
            folder: folder.clone(),
            port: secure_port,
            etcd: etcd.url.clone(),
            tokens,
            certificates,
            audited: settings.audited.clone(),
            extra: settings.apiserver_args.clone(),
        };
        users::write_kubeconfigs(&folder, &apiserver.url(), &apiserver.certificates.ca)
            .map_err(StartError::Write)?;
        let apiserver_process = start_apiserver(&apiserver)?;

        let kubeconfig = users::kubeconfig_path(&folder, User::ControllerManager);
        let mut controller_manager =
            spawn_controller_manager(&binaries.controller_manager, &folder, &kubeconfig)?;
        block_on(bind_cluster_admins(&folder))?;
        until_ready("kube-controller-manager", &mut controller_manager, || {
            // Created by the serviceaccount controller: the first sign that the controllers run.
            ask(&folder, "/api/v1/namespaces/default/serviceaccounts/default")
        })?;
        Ok(Self {
            controller_manager,
            apiserver_process,
            etcd,
            etcd_ports,
            apiserver,
            port: None,
            binaries: binaries.clone(),
            folder,
        })
    }

    /// The address of the API server, `https://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        self.apiserver.url()
    }

    /// PEM of the CA that signed the API server's certificate (a proxy in between needs it).
    pub fn ca_file(&self) -> &Path {
        &self.apiserver.certificates.ca
    }

    pub fn kubeconfig(&self, user: User) -> PathBuf {
        users::kubeconfig_path(&self.folder, user)
    }

    /// The API server, for its process id.
    pub fn apiserver(&self) -> &Process {
        &self.apiserver_process
    }

    /// etcd, for its process id and for [`Etcd::gateway`].
    pub fn etcd(&self) -> &Etcd {
        &self.etcd
    }

    /// Size of etcd's database, in bytes.
    pub fn database_size(&self) -> u64 {
        let file = Etcd::data(&self.folder).join("member/snap/db");
        file.metadata().expect("a running etcd has its database").len()
    }

    /// From here on, no owned object is deleted with its owner, and no namespace goes.
    pub fn kill_controller_manager(&mut self) {
        self.controller_manager.kill();
    }

    /// A client acting as `user`. Not shared: its connections live and die with the calling test's runtime.
    pub async fn client(&self, user: User) -> Client {
        client_of(&self.kubeconfig(user)).await.expect("a kubeconfig of ours makes a client")
    }

    /// A new namespace whose name begins with `purpose`, so that tests do not see each other.
    pub fn namespace(&self, purpose: &str) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("{purpose}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let namespace: Namespace = object(json!({"metadata": {"name": name}}));
        block_on(async {
            let namespaces = Api::<Namespace>::all(self.client(User::Admin).await);
            namespaces.create(&kube::api::PostParams::default(), &namespace).await
        })
        .unwrap_or_else(|error| panic!("namespace {name} could not be created: {error}"));
        name
    }

    /// Every revision of the store, from the first to this moment, whose key begins with `prefix`; custom
    /// resources are under `/registry/<group>/<resource>/<namespace>/<name>`.
    pub fn history(&self, prefix: &str) -> Vec<Revision> {
        let mut revisions = Vec::new();
        self.each_revision(1, prefix, |revision| revisions.push(revision))
            .unwrap_or_else(|error| panic!("the history could not be read: {error}"));
        revisions
    }

    /// As [`ControlPlane::history`] from revision `first` on, one at a time, for histories too long to hold.
    pub fn each_revision(
        &self,
        first: u64,
        prefix: &str,
        each: impl FnMut(Revision) + Send,
    ) -> Result<(), GatewayError> {
        block_on(async { self.etcd.gateway().each_revision(first, prefix, each).await })
    }

    /// SIGKILL the API server; etcd and the controllers stay.
    pub fn kill_apiserver(&mut self) {
        self.apiserver_process.kill();
        self.port = held(self.apiserver.port).ok();
    }

    /// Start the API server again at the same address, after [`ControlPlane::kill_apiserver`].
    pub fn restart_apiserver(&mut self) {
        self.apiserver_process.kill();
        let begin = Instant::now();
        self.apiserver_process = loop {
            match start_apiserver(&self.apiserver) {
                Ok(process) => break process,
                // Another process has taken the port for now.
                Err(StartError::Ended { log, .. })
                    if log.contains("address already in use") && begin.elapsed() < READY_WITHIN => {}
                Err(error) => panic!("{error}"),
            }
        };
        self.port = None;
    }

    /// The last lines of each server's log.
    pub fn tail(&self) -> String {
        [&self.etcd.process, &self.apiserver_process, &self.controller_manager].map(Process::tail).concat()
    }
}

/// The shared control plane as used by one test: shows the logs when that test fails.
#[derive(Debug)]
pub struct Shared(&'static ControlPlane);

/// The control plane of this test binary, started by the first test that asks. A failed start fails every
/// test with the same sentence.
pub fn shared() -> Shared {
    static SHARED: OnceLock<Result<ControlPlane, String>> = OnceLock::new();
    let settings = Settings { audited: vec![User::Controller], ..Settings::default() };
    match SHARED.get_or_init(|| ControlPlane::try_start(&settings).map_err(|error| error.to_string())) {
        Ok(plane) => Shared(plane),
        Err(error) => panic!("{error}"),
    }
}

impl Deref for Shared {
    type Target = ControlPlane;

    fn deref(&self) -> &ControlPlane {
        self.0
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if std::thread::panicking() {
            run_folder::keep_logs();
            eprint!("{}", self.0.tail());
        }
    }
}

/// Reserves a port while its API server is down: bound, so that no other test gets it, and without a listener, so that
/// connections are refused. The restarted server can still listen on it.
fn held(port: u16) -> std::io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    // The port may still have connections of the killed server, and the next server binds it while it is reserved.
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    Ok(socket)
}

/// Bound at the same time, so that they differ.
pub fn free_ports<const N: usize>() -> std::io::Result<[u16; N]> {
    let mut listeners = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        *port = listener.local_addr()?.port();
        listeners.push(listener);
    }
    Ok(ports)
}

fn start_etcd(binaries: &Binaries, folder: &Path, ports: [u16; 2]) -> Result<Etcd, StartError> {
    let mut etcd = Etcd::spawn(&binaries.etcd, folder, ports)?;
    let url = etcd.url.clone();
    until_ready("etcd", &mut etcd.process, || {
        // A new client each time: its connections are bound to the runtime of the call.
        let healthy = block_on(async { Gateway::new(&url).healthy().await });
        if healthy { Ok(()) } else { Err("not healthy".to_owned()) }
    })?;
    Ok(etcd)
}

fn start_apiserver(apiserver: &Apiserver) -> Result<Process, StartError> {
    let mut process = apiserver.spawn()?;
    until_ready("kube-apiserver", &mut process, || ask(&apiserver.folder, "/readyz"))?;
    Ok(process)
}

/// Polls `probe` until it succeeds, the process ends or the time is up.
fn until_ready(
    program: &'static str,
    process: &mut Process,
    probe: impl Fn() -> Result<(), String>,
) -> Result<(), StartError> {
    let begin = Instant::now();
    loop {
        if process.exited().is_some() {
            return Err(StartError::Ended { program, log: process.tail() });
        }
        let last = match probe() {
            Ok(()) => return Ok(()),
            Err(last) => last,
        };
        if begin.elapsed() > READY_WITHIN {
            return Err(StartError::Late { program, last, log: process.tail() });
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// GET `path` as the admin; Ok when it is there.
fn ask(folder: &Path, path: &str) -> Result<(), String> {
    block_on(async {
        let client = client_of(&users::kubeconfig_path(folder, User::Admin))
            .await
            .map_err(|error| error.to_string())?;
        let request = http::Request::get(path).body(Vec::new()).map_err(|error| error.to_string())?;
        match tokio::time::timeout(ONE_ANSWER, client.request_text(request)).await {
            Ok(answer) => answer.map(drop).map_err(|error| error.to_string()),
            Err(_) => Err(format!("no answer within {ONE_ANSWER:?}")),
        }
    })
}

async fn client_of(kubeconfig: &Path) -> Result<Client, StartError> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    // It comes from the environment, also for a loopback address.
    config.proxy_url = None;
    Ok(Client::try_from(config)?)
}

/// Flux, Argo CD and `alice` are cluster admins.
async fn bind_cluster_admins(folder: &Path) -> Result<(), StartError> {
    let subjects: Vec<_> = User::CLUSTER_ADMINS
        .iter()
        .map(|user| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user.name()}))
        .collect();
    let binding: ClusterRoleBinding = object(json!({
        "metadata": {"name": "test-cluster-admins"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": subjects,
    }));
    let client = client_of(&users::kubeconfig_path(folder, User::Admin)).await?;
    Api::all(client).create(&kube::api::PostParams::default(), &binding).await?;
    Ok(())
}

fn object<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("a literal of ours has the right shape")
}
