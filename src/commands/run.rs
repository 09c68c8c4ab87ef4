//! `postlink run`: the controller against a cluster.

use super::{
    arguments::{host_and_address, listen_address, namespace},
    cluster::{self, Stop},
    definitions::{self, CheckError},
    endpoints::Endpoints,
    outcome::Outcome,
    output::tell,
    panics::end_on_panic,
    stop_requests::{CaFile, StopRequests},
};
use crate::{
    controller::{
        Controller, Settings,
        clock::Clock,
        lease::{MAX_LEASE_SECONDS, MIN_LEASE_SECONDS},
        observe,
        page_size::PageSize,
    },
    leader::{
        election::{Acquired, Election, Timing},
        run::{self as leader, RunError, guarded_client, may_create},
        thread::{LeaseThread, StartError},
    },
    telemetry::{api_requests::ApiMetricsLayer, logs, process::watch_memory},
};
use dataverse_client::ConfigError;
use kube::client::ClientBuilder;
use std::{collections::HashMap, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};
use tower::buffer::BufferLayer;
use tracing::{error, info};

/// Run the controller against a cluster.
#[derive(Debug, clap::Args)]
#[command(
    args_override_self = true,
    after_help = "\
Environment:
  POSTLINK_LOG (or RUST_LOG) sets the log level per module, such as postlink=debug

Examples:
  postlink run
  postlink run --kubeconfig ~/.kube/config --watch-namespace social --leader-elect=false"
)]
pub struct RunArgs {
    /// Path to the kubeconfig file. If not set: `KUBECONFIG`, then `~/.kube/config`, then the in-cluster configuration.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Namespaces to watch; all if not set. Can be repeated.
    #[arg(
        long = "watch-namespace",
        env = "POSTLINK_WATCH_NAMESPACE",
        value_delimiter = ',',
        value_name = "NAME",
        value_parser = namespace
    )]
    watch_namespaces: Vec<String>,
    /// Reconcile only while holding the leader lease. Defaults to true in a cluster, otherwise to false.
    #[arg(long, env = "POSTLINK_LEADER_ELECT", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    leader_elect: Option<bool>,
    /// Namespace of the leader lease. Defaults to the namespace of the kubeconfig context or of the pod.
    #[arg(long, env = "POSTLINK_LEASE_NAMESPACE", value_name = "NAME")]
    lease_namespace: Option<String>,
    /// Duration of the leader lease, in seconds: a standby can acquire a lease that was not renewed for this long. A leader
    /// that cannot renew it for two thirds of this time exits.
    #[arg(long, env = "POSTLINK_LEASE_DURATION", default_value_t = 15, value_name = "SECONDS", value_parser = clap::value_parser!(u16).range(i64::from(MIN_LEASE_SECONDS)..=i64::from(MAX_LEASE_SECONDS)))]
    lease_duration: u16,
    /// Allowed hosts of instances; a suffix such as `.example.com` allows every host below it. Defaults to the public
    /// Dynamics 365 hosts. Can be repeated.
    #[arg(long = "allow-host", env = "POSTLINK_ALLOW_HOST", value_delimiter = ',', value_name = "SUFFIX")]
    allow_hosts: Vec<String>,
    /// Connect to the address ADDR (IP:PORT) for HOST, even if it is private. For tests and gateways. Can be repeated.
    #[arg(long = "connect-to", env = "POSTLINK_CONNECT_TO", value_delimiter = ',', value_name = "HOST=ADDR", value_parser = host_and_address)]
    connect_to: Vec<(String, SocketAddr)>,
    /// File with certificates (PEM) to trust in addition to those of the operating system.
    #[arg(long, env = "POSTLINK_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Timeout of one request to an instance, in seconds. After an unclean stop of the previous leader, no connection is
    /// disabled or deleted for this long.
    #[arg(long, env = "POSTLINK_INSTANCE_TIMEOUT", default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u16).range(1..=600))]
    instance_timeout: u16,
    /// Address to serve `/metrics` on, such as 127.0.0.1:8080. Not served if not set.
    #[arg(long, env = "POSTLINK_METRICS_ADDR", value_name = "ADDR", value_parser = listen_address)]
    metrics_addr: Option<SocketAddr>,
    /// Address to serve `/livez` and `/readyz` on, such as 127.0.0.1:8081. Not served if not set.
    #[arg(long, env = "POSTLINK_HEALTH_ADDR", value_name = "ADDR", value_parser = listen_address)]
    health_addr: Option<SocketAddr>,
    /// Mode in which the admission policies were installed. With Deny or Warn, absent refusal policies are reported.
    #[arg(long, env = "POSTLINK_ADMISSION_MODE", value_enum, default_value = "Off", value_name = "MODE")]
    admission_mode: AdmissionMode,
    /// Log format.
    #[arg(long, env = "POSTLINK_LOG_FORMAT", value_enum, default_value = "text")]
    log_format: logs::Format,
    /// Maximum concurrent reconciles.
    #[arg(long, env = "POSTLINK_CONCURRENCY", default_value_t = 32, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=512))]
    concurrency: u16,
}

/// The chart's `admission.mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "PascalCase")]
enum AdmissionMode {
    /// A person's request is rejected.
    Deny,
    /// A person is warned.
    Warn,
    /// There are no refusal policies, or it is not known.
    Off,
}

/// Each thread has a stack and a heap arena of its own: one for each CPU of a large node would take more than the memory
/// limit of the chart.
const MAX_THREADS: usize = 4;

pub fn run(args: &RunArgs) -> Outcome {
    logs::start(args.log_format, "info,kube=warn,kube_runtime::watcher=off,hyper=warn");
    end_on_panic();
    let threads = std::thread::available_parallelism().map_or(1, |cpus| cpus.get().min(MAX_THREADS));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            tell(format_args!("error: cannot start the async runtime: {error}"));
            return Outcome::Usage;
        }
    };
    match runtime.block_on(serve(args)) {
        Ok(()) => Outcome::Done,
        Err(stop) => {
            error!("{}", stop.message);
            stop.outcome
        }
    }
}

impl From<CheckError> for Stop {
    fn from(error: CheckError) -> Self {
        let outcome = if error.is_unreachable() { Outcome::Unreachable } else { Outcome::No };
        Self { outcome, message: error.to_string() }
    }
}

impl From<RunError> for Stop {
    fn from(error: RunError) -> Self {
        Self { outcome: Outcome::No, message: error.to_string() }
    }
}

impl From<StartError> for Stop {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Client(error) => cluster::client_error(&error),
            error @ StartError::Thread(_) => Self::usage(error),
        }
    }
}

async fn serve(args: &RunArgs) -> Result<(), Stop> {
    // Before the client reads it.
    let ca = cluster::ca_file(args.kubeconfig.as_deref()).and_then(CaFile::read);
    let config = cluster::config(args.kubeconfig.as_deref()).await?;
    let (own_namespace, server) = (config.default_namespace.clone(), config.cluster_url.clone());
    let mut without_retries = config.clone();
    without_retries.default_retry = false;
    let endpoints = Endpoints::new();
    let counted = ApiMetricsLayer(endpoints.metrics.clone());
    let mut client = ClientBuilder::try_from(config)
        .map_err(|error| cluster::client_error(&error))?
        .with_layer(&counted)
        .with_layer(&BufferLayer::new(1024))
        .with_layer(&PageSize::default())
        .build();
    let dataverse = dataverse_client(args, &endpoints)?;

    endpoints
        .serve(args.health_addr, args.metrics_addr)
        .await
        .map_err(|(address, error)| Stop::usage(format!("cannot listen on {address}: {error}")))?;
    tokio::spawn(watch_memory());
    // Before any wait: process 1 of a container ignores SIGTERM until it has a handler.
    let mut stop_requests = StopRequests::listen(ca).map_err(Stop::usage)?;
    let elect = args.leader_elect.unwrap_or_else(|| cluster::is_in_cluster(args.kubeconfig.as_deref()));
    let differences = tokio::select! {
        differences = definitions::wait(&client, &server, elect) => differences?,
        () = stop_requests.received() => {
            info!("stopped");
            return stop_requests.outcome();
        }
    };
    endpoints.metrics.schema_differences(differences);

    // An environment variable that is set to nothing is not set.
    let namespaces: Vec<String> =
        args.watch_namespaces.iter().filter(|name| !name.is_empty()).cloned().collect();
    let namespace = args.lease_namespace.as_deref().unwrap_or(&own_namespace);
    let timing = Timing::of(Duration::from_secs(args.lease_duration.into()));
    let mut lease = None;
    let mut leadership = None;
    let mut acquired = Acquired::Taken;
    if elect {
        let candidate = LeaseThread::start(candidate(
            without_retries.clone(),
            counted.clone(),
            namespace.to_owned(),
            timing,
            namespaces.clone(),
        ))
        .await?;
        let held = candidate.leadership();
        endpoints.stands_by(&held);
        let Some((leader, how)) = leader::acquire(candidate, stop_requests.received()).await? else {
            info!("stopped");
            return stop_requests.outcome();
        };
        acquired = how;
        client = guarded_client(without_retries, held.clone(), &counted)
            .map_err(|error| cluster::client_error(&error))?;
        leadership = Some(held);
        lease = Some(leader);
    }
    let predecessor = match acquired {
        Acquired::Taken => Some(dataverse.request_timeout()),
        Acquired::HandedOver => None,
    };
    let mut controller = Controller::start(Settings {
        client,
        dataverse,
        clock: Clock::System,
        namespaces,
        concurrency: usize::from(args.concurrency),
        may_create: may_create(leadership.clone(), timing),
        predecessor,
        metrics: endpoints.metrics.clone(),
    });
    if elect {
        controller.warn_on_uninstall(namespace);
    }
    let refusal_expected = args.admission_mode != AdmissionMode::Off;
    controller.check_installation(elect.then_some(namespace), refusal_expected);
    endpoints.works(&controller, leadership);
    info!("started");
    let stop = async {
        stop_requests.received().await;
        endpoints.stops();
    };
    let ended = leader::run(controller, lease, stop).await;
    if let Err(RunError::Controller(error)) = &ended {
        endpoints.failed(&error.to_string());
    }
    ended?;
    stop_requests.outcome()
}

/// Makes the candidate for the lease, with a client of its own that does not retry.
fn candidate(
    config: kube::Config,
    counted: ApiMetricsLayer,
    namespace: String,
    timing: Timing,
    watched: Vec<String>,
) -> impl FnOnce() -> Result<Election, kube::Error> + Send {
    move || {
        let client = ClientBuilder::try_from(config)?.with_layer(&counted).build();
        Ok(Election::new(client, &namespace, identity(), timing, &watched))
    }
}

fn identity() -> String {
    let host = std::env::var("POD_NAME").or_else(|_| std::env::var("HOSTNAME"));
    format!("{}_{}", host.unwrap_or_else(|_| "postlink".to_owned()), uuid::Uuid::new_v4())
}

fn dataverse_client(args: &RunArgs, endpoints: &Endpoints) -> Result<dataverse_client::Client, Stop> {
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
            .map_err(|e| Stop::usage(format!("--ca-file: cannot read {}: {e}", path.display())))?;
    }
    dataverse_client::Client::new(&config).map_err(|error| Stop::usage(with_flag(&error, args)))
}

/// The error in terms of the flags: the client knows only the fields of its configuration.
fn with_flag(error: &ConfigError, args: &RunArgs) -> String {
    match error {
        ConfigError::AllowHosts { entry, .. } => format!("--allow-host: {entry:?} is not a valid host name"),
        ConfigError::ConnectTo { entry, .. } => format!("--connect-to: {entry:?} is not a valid host name"),
        ConfigError::ExtraRoots => {
            let file = args.ca_file.as_deref().unwrap_or(std::path::Path::new("the file"));
            format!("--ca-file: {} contains something that is not a PEM certificate", file.display())
        }
        ConfigError::NoRoots => {
            "the operating system has no root certificates; install ca-certificates or set --ca-file"
                .to_owned()
        }
        ConfigError::UserAgent | ConfigError::Tls(_) => error.to_string(),
    }
}
