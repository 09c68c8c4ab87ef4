//! `postlink run`: the controller against a cluster.

use super::{
    Outcome,
    addresses::{host_and_address, listen_address},
    definitions,
    endpoints::Endpoints,
    output::tell,
};
use crate::{
    controller::{
        Controller, Settings,
        clock::Clock,
        leader::{
            election::{Acquired, Election, Leadership, Timing},
            write_guard::WriteGuard,
        },
        observe,
    },
    telemetry::{api_requests::ApiMetricsLayer, logs},
};
use dataverse_client::ConfigError;
use kube::{
    client::{ClientBuilder, retry::RetryPolicy},
    config::{KubeConfigOptions, Kubeconfig},
};
use std::{
    collections::HashMap,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tower::{buffer::BufferLayer, retry::RetryLayer};
use tracing::{error, info, warn};

/// Runs the controller against a cluster, until it is told to stop.
#[derive(Debug, clap::Args)]
#[command(
    args_override_self = true,
    after_help = "Examples:\n  postlink run\n  postlink run --kubeconfig ~/.kube/config --namespace social --leader-elect=false"
)]
#[allow(clippy::struct_excessive_bools)] // Flags of a command line.
pub struct Args {
    /// The kubeconfig to use; else `KUBECONFIG`, `~/.kube/config`, or the cluster the process runs in.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The namespaces to look after; repeatable. None = all.
    #[arg(long = "namespace", env = "POSTLINK_NAMESPACE", value_delimiter = ',', value_name = "NAME")]
    namespaces: Vec<String>,
    /// Lead only while holding a Lease; on by default in a cluster.
    #[arg(long, env = "POSTLINK_LEADER_ELECT", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    leader_elect: Option<bool>,
    /// The namespace of the Lease; the process's own by default.
    #[arg(long, env = "POSTLINK_LEASE_NAMESPACE", value_name = "NAME")]
    lease_namespace: Option<String>,
    /// Seconds without a renewal after which another process may lead. The holder gives up after two thirds of it.
    #[arg(long, env = "POSTLINK_LEASE_DURATION", default_value_t = 15, value_name = "SECONDS", value_parser = clap::value_parser!(u16).range(5..=300))]
    lease_duration: u16,
    /// Host suffixes that instances may have; repeatable. Default: the public Dynamics ones.
    #[arg(long = "allow-host", env = "POSTLINK_ALLOW_HOST", value_delimiter = ',', value_name = "SUFFIX")]
    allow_hosts: Vec<String>,
    /// Reach a host at a fixed address, like curl's option of this name; repeatable.
    #[arg(long = "connect-to", env = "POSTLINK_CONNECT_TO", value_delimiter = ',', value_name = "HOST=ADDR", value_parser = host_and_address)]
    connect_to: Vec<(String, SocketAddr)>,
    /// Certificates to trust besides the operating system's, as PEM.
    #[arg(long, env = "POSTLINK_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Seconds that one request to an instance may take, all included. After a start that may follow a crash, no
    /// connection is disabled or deleted for as long.
    #[arg(long, env = "POSTLINK_INSTANCE_TIMEOUT", default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u16).range(1..=600))]
    instance_timeout: u16,
    /// Where to serve `/metrics`.
    #[arg(long, env = "POSTLINK_METRICS_ADDR", value_name = "ADDR", value_parser = listen_address)]
    metrics_addr: Option<SocketAddr>,
    /// Where to serve `/livez` and `/readyz`.
    #[arg(long, env = "POSTLINK_HEALTH_ADDR", value_name = "ADDR", value_parser = listen_address)]
    health_addr: Option<SocketAddr>,
    /// How log lines are written.
    #[arg(long, env = "POSTLINK_LOG_FORMAT", value_enum, default_value = "text")]
    log_format: logs::Format,
    /// Objects looked at at one time.
    #[arg(long, env = "POSTLINK_CONCURRENCY", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=512))]
    concurrency: u16,
}

/// Between two looks at definitions that are not there.
const DEFINITIONS_AGAIN: Duration = Duration::from_secs(2);

/// Definitions that have just been applied are not served at once.
const DEFINITIONS_APPEAR: Duration = Duration::from_secs(10);

/// How long the API server may say nothing on a connection in use. Watches are renewed more often; a list whose
/// connection died would be waited for for ever.
const SILENCE: Duration = Duration::from_secs(45);

/// How long what is under way may take after SIGTERM; the kubelet gives a pod thirty seconds.
const DRAIN: Duration = Duration::from_secs(20);

/// Runs it.
pub fn run(args: &Args) -> Outcome {
    logs::start(args.log_format, "info,kube=warn,kube_runtime::watcher=off,hyper=warn");
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tell(format_args!("error: the runtime cannot be started: {error}"));
            return Outcome::Usage;
        }
    };
    match runtime.block_on(lead(args)) {
        Ok(()) => Outcome::Done,
        Err(stop) => {
            error!("{}", stop.message);
            stop.outcome
        }
    }
}

/// Why it ended.
struct Stop {
    outcome: Outcome,
    message: String,
}

impl Stop {
    #[allow(clippy::needless_pass_by_value)] // Handed to `map_err` as it is.
    fn usage(message: impl std::fmt::Display) -> Self {
        Self { outcome: Outcome::Usage, message: message.to_string() }
    }
}

async fn lead(args: &Args) -> Result<(), Stop> {
    let in_cluster = args.kubeconfig.is_none() && std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    let mut config = match &args.kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path).map_err(|error| unreadable(path, &error))?;
            kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
                .await
                .map_err(Stop::usage)?
        }
        None => kube::Config::infer().await.map_err(Stop::usage)?,
    };
    config.read_timeout = Some(SILENCE);
    config.reset_reader_on_write = true;
    let (own_namespace, server) = (config.default_namespace.clone(), config.cluster_url.clone());
    let mut without_retries = config.clone();
    without_retries.default_retry = false;
    let endpoints = Endpoints::new();
    let counted = ApiMetricsLayer(endpoints.metrics.clone());
    let mut client = ClientBuilder::try_from(config).map_err(Stop::usage)?.with_layer(&counted).build();
    let dynamics = dynamics_client(args, &endpoints)?;

    endpoints
        .serve(args.health_addr, args.metrics_addr)
        .await
        .map_err(|(address, error)| Stop::usage(format!("{address}: {error}")))?;
    // Before anything that takes long: without a handler a process that is the first of its container is not ended by it.
    let mut signals = Signals::listen().map_err(Stop::usage)?;
    let elect = args.leader_elect.unwrap_or(in_cluster);
    let differences = tokio::select! {
        differences = definitions(&client, &server, elect) => differences?,
        () = signals.asked_to_end() => {
            info!("stopped");
            return Ok(());
        }
    };
    endpoints.metrics.schema_differences(differences);

    let namespace = args.lease_namespace.as_deref().unwrap_or(&own_namespace);
    let timing = Timing::of(Duration::from_secs(args.lease_duration.into()));
    let mut election = None;
    let mut held = None;
    let mut acquired = Acquired::Taken;
    if elect {
        let own = ClientBuilder::try_from(without_retries.clone()).map_err(Stop::usage)?;
        let mut candidate = Election::new(own.with_layer(&counted).build(), namespace, identity(), timing);
        endpoints.stands_by(&candidate.leadership());
        let how = tokio::select! {
            how = candidate.acquire() => Some(how),
            () = signals.asked_to_end() => None,
        };
        let Some(how) = how else {
            // It may have been ours a moment ago, without our knowing.
            candidate.release().await;
            info!("stopped");
            return Ok(());
        };
        acquired = how;
        client = leading_client(without_retries, candidate.leadership(), &counted)?;
        held = Some(candidate.leadership());
        election = Some(candidate);
    }
    let longest = dynamics.request_timeout();
    let predecessor = match acquired {
        Acquired::Taken => Some(longest),
        Acquired::HandedOver => None,
    };
    let mut controller = Controller::start(Settings {
        client,
        dataverse: dynamics,
        clock: Clock::System,
        namespaces: args.namespaces.clone(),
        concurrency: usize::from(args.concurrency),
        may_create: may_create(held.clone(), timing),
        predecessor,
        metrics: endpoints.metrics.clone(),
    });
    if elect {
        controller.warn_on_uninstall(namespace);
    }
    endpoints.works(&controller, held);
    info!("started");
    end(controller, election, signals, &endpoints).await
}

/// What asks a process to end.
struct Signals {
    terminate: Signal,
    /// The terminal it was started from is gone.
    hang_up: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, hang_up: signal(SignalKind::hangup())? })
    }

    /// SIGTERM, SIGHUP, or a person's Ctrl-C.
    async fn asked_to_end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    }
}

/// How many differences there are between the installed definitions and ours. A process that takes part in an election
/// is there to stay, so it waits for a cluster that is away and for definitions that are to come: were it to end, the
/// kubelet would start it again later and later. To a person who tries it once the answer is worth more, and comes when
/// definitions that were applied a moment ago would be there.
async fn definitions(client: &kube::Client, server: &http::Uri, waits: bool) -> Result<usize, Stop> {
    let (mut told, begin) = (String::new(), Instant::now());
    loop {
        let error = match definitions::check(client, server).await {
            Ok(differences) => return Ok(differences),
            Err(error) => error,
        };
        let outcome = if error.is_unreachable() { Outcome::Unreachable } else { Outcome::No };
        let message = error.to_string();
        if !waits && (error.is_unreachable() || begin.elapsed() >= DEFINITIONS_APPEAR) {
            return Err(Stop { outcome, message });
        }
        if message != told {
            warn!("{message}; trying again");
            told = message;
        }
        tokio::time::sleep(DEFINITIONS_AGAIN).await;
    }
}

/// A client that retries as kube's own does and begins no write once the lease is lost, a retry included.
fn leading_client(
    without_retries: kube::Config,
    held: Leadership,
    counted: &ApiMetricsLayer,
) -> Result<kube::Client, Stop> {
    let builder = ClientBuilder::try_from(without_retries).map_err(Stop::usage)?;
    let builder = builder.with_layer(counted).with_layer(&WriteGuard(held));
    let retries = RetryLayer::new(RetryPolicy::server_retry());
    Ok(builder.with_layer(&BufferLayer::new(1024)).with_layer(&retries).build())
}

/// Nothing is begun in an instance when the lease is about to end (§4.7).
fn may_create(held: Option<Leadership>, timing: Timing) -> crate::controller::MayCreate {
    Arc::new(move || held.as_ref().is_none_or(|held| held.remaining() > timing.margin()))
}

async fn end(
    mut controller: Controller,
    election: Option<Election>,
    mut signals: Signals,
    endpoints: &Endpoints,
) -> Result<(), Stop> {
    let progress = controller.observer();
    let watching = tokio::spawn(async move {
        while !progress.not_listed().is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        info!("ready: everything has been listed");
    });
    let (stop_leading, told_to_stop) = tokio::sync::oneshot::channel::<()>();
    let leading = async {
        match election {
            Some(mut election) => {
                let stopped = tokio::select! {
                    () = election.keep() => false,
                    _ = told_to_stop => true,
                };
                if stopped {
                    election.release().await;
                }
                stopped
            }
            None => {
                let _ = told_to_stop.await;
                true
            }
        }
    };
    tokio::pin!(leading);
    let lost =
        Stop { outcome: Outcome::No, message: "the lease is lost; whoever takes it goes on".to_owned() };
    tokio::select! {
        stopped = controller.run() => {
            endpoints.failed(&stopped.to_string());
            return Err(Stop { outcome: Outcome::No, message: stopped.to_string() });
        }
        _ = &mut leading => return Err(lost),
        () = signals.asked_to_end() => {}
    }
    endpoints.stops();
    info!("stopping: what is under way ends");
    watching.abort();
    let drained = tokio::time::timeout(DRAIN, controller.stop());
    // The lease is kept until nothing is under way any more.
    tokio::select! {
        ended = drained => if ended.is_err() {
            // The lease runs out by itself, and the next one waits for what may be under way.
            warn!("something is still under way after {} s; the lease is not handed over", DRAIN.as_secs());
            return Ok(());
        },
        _ = &mut leading => return Err(lost),
    }
    let _ = stop_leading.send(());
    leading.await;
    info!("stopped");
    Ok(())
}

fn identity() -> String {
    let host = std::env::var("POD_NAME").or_else(|_| std::env::var("HOSTNAME"));
    format!("{}_{}", host.unwrap_or_else(|_| "postlink".to_owned()), uuid::Uuid::new_v4())
}

fn dynamics_client(args: &Args, endpoints: &Endpoints) -> Result<dataverse_client::Client, Stop> {
    let user_agent = concat!("postlink/", env!("CARGO_PKG_VERSION")).to_owned();
    let mut config = dataverse_client::Config { user_agent, ..dataverse_client::Config::default() };
    if !args.allow_hosts.is_empty() {
        config.allow_hosts.clone_from(&args.allow_hosts);
    }
    config.timeouts =
        dataverse_client::Timeouts::with_request(Duration::from_secs(args.instance_timeout.into()));
    let metrics = endpoints.metrics.clone();
    config.observer = Arc::new(move |observed| observe(&metrics, observed));
    config.connect_to = args.connect_to.iter().cloned().collect::<HashMap<_, _>>();
    if let Some(path) = &args.ca_file {
        config.extra_roots = std::fs::read(path)
            .map_err(|e| Stop::usage(format!("{} cannot be read: {e}", path.display())))?;
    }
    dataverse_client::Client::new(&config).map_err(|error| Stop::usage(with_flag(&error)))
}

/// The client names the fields of its configuration; this adds the flag behind the field.
fn with_flag(error: &ConfigError) -> String {
    let flag = match error {
        ConfigError::AllowHosts { .. } => "--allow-host",
        ConfigError::ConnectTo { .. } => "--connect-to",
        ConfigError::ExtraRoots | ConfigError::NoRoots => "--ca-file",
        ConfigError::UserAgent | ConfigError::Tls(_) => return error.to_string(),
    };
    format!("{flag}: {error}")
}

/// A parser's complaint shows the lines around the fault, and in a kubeconfig these hold tokens.
fn unreadable(path: &std::path::Path, error: &kube::config::KubeconfigError) -> Stop {
    let path = path.display();
    match error {
        kube::config::KubeconfigError::ReadConfig(error, _) => {
            Stop::usage(format!("{path} cannot be read: {error}"))
        }
        _ => Stop::usage(format!(
            "{path} is not a valid kubeconfig; `kubectl config view --kubeconfig {path}` says where it is wrong"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube_memory::{MemoryApi, Options, UserInfo};

    /// §4.7.
    #[tokio::test]
    async fn something_is_begun_only_while_the_lease_is_held_for_long_enough() {
        let api = MemoryApi::new(&[], Options::default()).unwrap();
        let timing = |seconds| Timing::of(Duration::from_secs(seconds));
        let mut election =
            Election::new(api.client(UserInfo::admin()), "default", "us".to_owned(), timing(300));
        let held = election.leadership();
        assert!(!may_create(Some(held.clone()), timing(300))(), "it is not held yet");
        election.acquire().await;
        assert!(may_create(Some(held.clone()), timing(300))());
        // As much is left of it as a holder of a longer lease has left that failed to renew it for a while.
        assert!(held.remaining() < timing(1200).margin());
        assert!(!may_create(Some(held), timing(1200))());
        assert!(may_create(None, timing(300))(), "nobody else can lead");
    }
}
