//! One run of `postlink local`: an in-memory API, simulated instances over HTTPS, and the real controller, wired.

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

/// The time of the first commit.
pub const START: &str = "2026-01-01T00:00:00Z";
/// Commits are this far apart.
pub const APART: SignedDuration = SignedDuration::from_hours(24);
/// Keys looked at at one time.
const CONCURRENCY: usize = 32;

/// Why a session cannot start.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The in-memory API.
    #[error("the in-memory API cannot be started: {0}")]
    Api(#[from] kube_memory::SetupError),
    /// Our own definitions or policies.
    #[error("Postlink's own definitions cannot be used: {0}")]
    Schema(#[from] SchemaError),
    /// The simulated instances.
    #[error("the simulated instances cannot be served: {0}")]
    Served(#[from] dataverse_simulator::ServeError),
    /// The client of the instances.
    #[error("the client of the instances cannot be made: {0}")]
    Dynamics(#[from] dataverse_client::ConfigError),
}

/// Who applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applicant {
    /// A GitOps tool: what is refused is accepted and held.
    Tool,
    /// A person: what is refused is denied in words.
    Person,
}

impl Applicant {
    fn actor(self) -> UserInfo {
        match self {
            Self::Tool => UserInfo::new("system:serviceaccount:flux-system:kustomize-controller"),
            Self::Person => UserInfo::new("you"),
        }
    }
}

/// How the parts are wired. The default is what `postlink local` runs; tests differ.
#[derive(Clone, Debug, Default)]
pub struct Wiring {
    /// Between the controller and the API: what it can break.
    pub line: Option<FaultInjector>,
    /// Reach the simulated instances over streams in memory instead of HTTPS: a paused tokio clock would jump while
    /// sockets wait.
    pub in_memory: bool,
}

/// A running session.
pub struct Session {
    /// The in-memory API.
    pub api: MemoryApi,
    /// The simulated instances.
    pub world: Simulator,
    /// The clock of everything.
    pub clock: Clock,
    /// The definitions, for columns.
    pub schemas: Arc<SchemaAdmission>,
    /// The controller.
    pub controller: Controller,
    /// Acts as the applicant.
    pub applicant: kube::Client,
    /// Acts as the administrator, for what exists implicitly.
    pub administrator: kube::Client,
    /// What the API warned the applicant of.
    pub warnings: Warnings,
    _served: Option<Server>,
}

impl Session {
    /// Starts one. `hosts` are all hosts that simulated instances will ever have in it.
    pub async fn start(applicant: Applicant, hosts: &BTreeSet<String>) -> Result<Self, SessionError> {
        Self::wired(applicant, hosts, &Wiring::default()).await
    }

    /// Starts one whose parts are wired differently.
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
        let dynamics = dataverse_client::Client::new(&config)?;
        let actor = UserInfo::new("system:serviceaccount:postlink-system:postlink");
        let controller = Controller::start(Settings {
            client: match &wiring.line {
                Some(line) => api.client_with_faults(actor, line),
                None => api.client(actor),
            },
            dataverse: dynamics,
            clock: clock.clone(),
            namespaces: Vec::new(),
            concurrency: CONCURRENCY,
            may_create: Arc::new(|| true),
            predecessor: None,
            metrics: Metrics::new(),
        });
        let warnings = Warnings::default();
        let service = WithWarnings::new(api.service(applicant.actor()), warnings.clone());
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

    /// Ends it.
    pub async fn stop(self) {
        self.controller.stop().await;
    }
}

/// The definitions and policies that are installed on a cluster, compiled once for all sessions of a process.
fn admission() -> Result<Arc<SchemaAdmission>, SchemaError> {
    static COMPILED: OnceLock<Arc<SchemaAdmission>> = OnceLock::new();
    if let Some(compiled) = COMPILED.get() {
        return Ok(compiled.clone());
    }
    let policies = Policies::from_values(&render(Mode::Deny, &Principals::default()))?;
    let compiled = Arc::new(SchemaAdmission::new(&crds::all(), policies)?);
    Ok(COMPILED.get_or_init(|| compiled).clone())
}

/// Every host leads to the simulated instances or nowhere: `local` never talks to the outside.
fn over_https(served: &Server, hosts: &BTreeSet<String>) -> dataverse_client::Config {
    let services = services_of(hosts.iter().map(String::as_str));
    let connect_to: HashMap<String, SocketAddr> = hosts
        .iter()
        .cloned()
        .chain(services.map(str::to_owned))
        .map(|host| (host, served.address()))
        .collect();
    let nowhere: dataverse_client::Resolver =
        Arc::new(|host| Box::pin(std::future::ready(Err(no_instance(&host)))));
    dataverse_client::Config {
        connect_to,
        extra_roots: served.ca_pem().as_bytes().to_vec(),
        transport: dataverse_client::Transport::Network { resolve: Some(nowhere) },
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
    std::io::Error::other(format!("{host} is no simulated instance"))
}
