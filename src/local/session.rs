//! One run of `postlink local`: starts the in-memory API server, the simulated instances and the controller.

use super::policies::{Mode, Principals, render};
use super::warnings::{Warnings, WithWarnings};
use crate::{
    api::crds,
    controller::{Controller, Settings, clock::Clock},
    telemetry::Metrics,
};
use dataverse_simulator::{Server, Simulator, service_at, services_of};
use jiff::{SignedDuration, Timestamp};
use kube_memory::schema::{SchemaError, policies::Policies};
use kube_memory::{FaultInjector, MemoryApi, Options, SchemaAdmission, UserInfo};
use std::{
    collections::{BTreeSet, HashMap},
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, OnceLock},
};

/// Time of the first commit.
pub const START: &str = "2026-01-01T00:00:00Z";
/// Time between commits.
pub const APART: SignedDuration = SignedDuration::from_hours(24);
/// Maximum concurrent reconciles.
const CONCURRENCY: usize = 32;

/// Why a session cannot start.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    #[error("cannot start the in-memory API server: {0}")]
    Api(#[from] kube_memory::SetupError),
    #[error("cannot load Postlink's own CRDs and policies; this is a bug in Postlink: {0}")]
    Schema(#[from] SchemaError),
    #[error("cannot serve the simulated instances: {0}")]
    Served(#[from] dataverse_simulator::ServeError),
    #[error("cannot create the client of the instances: {0}")]
    Client(#[from] dataverse_client::ConfigError),
}

/// Who applies the manifests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applicant {
    /// A GitOps tool: changes that active rules block are held.
    Tool,
    /// A person: requests for such changes are denied.
    Person,
}

impl Applicant {
    fn user(self) -> UserInfo {
        match self {
            Self::Tool => UserInfo::new("system:serviceaccount:flux-system:kustomize-controller"),
            Self::Person => UserInfo::new("you"),
        }
    }
}

/// How the parts are connected. The default is that of `postlink local`.
#[derive(Clone, Debug, Default)]
pub struct Wiring {
    /// Injects faults between the controller and the API server.
    pub line: Option<FaultInjector>,
    /// Connect to the simulated instances in memory instead of over HTTPS: while sockets wait, a paused tokio clock would
    /// jump.
    pub in_memory: bool,
}

/// A running session.
pub struct Session {
    pub api: MemoryApi,
    /// The simulated instances.
    pub world: Simulator,
    /// Shared by all parts.
    pub clock: Clock,
    /// The CRDs, for their printer columns.
    pub schemas: Arc<SchemaAdmission>,
    pub controller: Controller,
    /// Client of the user who applies.
    pub applicant: kube::Client,
    /// Client of an administrator, who creates undeclared namespaces.
    pub administrator: kube::Client,
    /// Warnings of the API server to the applicant.
    pub warnings: Warnings,
    _served: Option<Server>,
}

impl Session {
    /// Starts a session. `hosts` are the hosts of the simulated instances of all commits.
    pub async fn start(applicant: Applicant, hosts: &BTreeSet<String>) -> Result<Self, SessionError> {
        Self::wired(applicant, hosts, &Wiring::default()).await
    }

    pub async fn wired(
        applicant: Applicant,
        hosts: &BTreeSet<String>,
        wiring: &Wiring,
    ) -> Result<Self, SessionError> {
        let start: Timestamp = START.parse().unwrap_or(Timestamp::UNIX_EPOCH);
        let clock = Clock::standing_at(start);
        let now = {
            let clock = clock.clone();
            Arc::new(move || clock.now()) as Arc<dyn Fn() -> Timestamp + Send + Sync>
        };
        let schemas = admission()?;
        let options =
            Options { clock: now.clone(), admission: schemas.clone(), seed: 1, ..Options::default() };
        let api = MemoryApi::new(&crds::all(), options)?;
        let world = Simulator::with_clock(now.clone());
        let served = if wiring.in_memory {
            None
        } else {
            Some(world.serve_tls(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?)
        };
        let mut config = match &served {
            Some(served) => over_https(served, hosts),
            None => in_memory(&world, hosts),
        };
        config.clock = now;
        config.allow_hosts.extend(hosts.iter().cloned());
        let dataverse = dataverse_client::Client::new(&config)?;
        let user = UserInfo::new("system:serviceaccount:postlink-system:postlink");
        let controller = Controller::start(Settings {
            client: match &wiring.line {
                Some(line) => api.client_with_faults(user, line),
                None => api.client(user),
            },
            dataverse,
            clock: clock.clone(),
            namespaces: Vec::new(),
            concurrency: CONCURRENCY,
            may_create: Arc::new(|| true),
            predecessor: None,
            metrics: Metrics::new(),
        });
        let warnings = Warnings::default();
        let service = WithWarnings::new(api.service(applicant.user()), warnings.clone());
        Ok(Self {
            applicant: kube::Client::new(service, "default"),
            administrator: api.client(UserInfo::admin()),
            api,
            world,
            clock,
            schemas,
            controller,
            warnings,
            _served: served,
        })
    }

    pub async fn stop(self) {
        self.controller.stop().await;
    }
}

/// The CRDs and policies, as on a cluster. Compiled once for all sessions of a process.
fn admission() -> Result<Arc<SchemaAdmission>, SchemaError> {
    static COMPILED: OnceLock<Arc<SchemaAdmission>> = OnceLock::new();
    if let Some(compiled) = COMPILED.get() {
        return Ok(compiled.clone());
    }
    let policies = Policies::from_values(&render(Mode::Deny, &Principals::default()))?;
    let compiled = Arc::new(SchemaAdmission::new(&crds::all(), policies)?);
    Ok(COMPILED.get_or_init(|| compiled).clone())
}

/// Every host is a simulated instance or fails to resolve: `local` never contacts the network.
fn over_https(served: &Server, hosts: &BTreeSet<String>) -> dataverse_client::Config {
    let services = services_of(hosts.iter().map(String::as_str));
    let connect_to: HashMap<String, SocketAddr> = hosts
        .iter()
        .cloned()
        .chain(services.map(str::to_owned))
        .map(|host| (host, served.address()))
        .collect();
    let fail: dataverse_client::Resolver =
        Arc::new(|host| Box::pin(std::future::ready(Err(no_instance(&host)))));
    dataverse_client::Config {
        connect_to,
        extra_roots: served.ca_pem().as_bytes().to_vec(),
        transport: dataverse_client::Transport::Network { resolve: Some(fail) },
        ..dataverse_client::Config::default()
    }
}

fn in_memory(world: &Simulator, hosts: &BTreeSet<String>) -> dataverse_client::Config {
    let (connect, hosts) = (world.connector(), hosts.clone());
    let dial: dataverse_client::InMemoryDial = Arc::new(move |host| {
        if hosts.contains(host) || service_at(host).is_some() {
            Ok(connect(host))
        } else {
            Err(no_instance(host))
        }
    });
    dataverse_client::Config {
        transport: dataverse_client::Transport::InMemory(dial),
        ..dataverse_client::Config::default()
    }
}

fn no_instance(host: &str) -> std::io::Error {
    std::io::Error::other(format!("{host} is not a simulated instance"))
}
