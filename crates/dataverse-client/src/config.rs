//! Configuration shared by all instances: hosts, trusted roots, timeouts, size limits, transport, clock.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::io::DuplexStream;

use crate::instrument::Observer;
use crate::origin::OriginError;

/// The host suffixes of Microsoft's clouds: commercial, the two of the US government, China.
pub const DEFAULT_ALLOW_HOSTS: [&str; 4] =
    [".dynamics.com", ".microsoftdynamics.us", ".appsplatform.us", ".dynamics.cn"];

/// The current time, used for token lifetimes, assertions and throttling. [`Timeouts`] are real time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Resolves a host name to addresses. Called once per connection.
pub type Resolver = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// Opens a stream to a host inside this process. An error counts as a refused connection.
pub type InMemoryDial = Arc<dyn Fn(&str) -> io::Result<DuplexStream> + Send + Sync>;

/// How connections are made.
#[derive(Clone)]
pub enum Transport {
    /// TCP and TLS.
    Network {
        /// `None` uses the operating system's resolver.
        resolve: Option<Resolver>,
    },
    /// Plain HTTP/1.1 over streams inside this process, for tests. [`Config::allow_hosts`] applies here too; there are
    /// no addresses to check.
    InMemory(InMemoryDial),
}

/// Time limits, all in real time.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// One connection: DNS, TCP and TLS together.
    pub connect: Duration,
    /// One token request.
    pub sign_in: Duration,
    /// One request to an instance in total: waiting for a slot, signing in, sending, reading the response, and the one
    /// repetition after a 401.
    pub request: Duration,
    /// As `request`, for a `$batch`, a page of the change feed or the discovery list.
    pub batch: Duration,
}

impl Timeouts {
    /// Limits derived from that of a single request.
    pub fn with_request(request: Duration) -> Self {
        Self {
            connect: request.min(Duration::from_secs(10)),
            sign_in: request.min(Duration::from_secs(20)),
            request,
            batch: request * 2,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self::with_request(Duration::from_secs(60))
    }
}

/// Limits on response bodies in bytes, enforced while reading.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
    /// An ordinary response.
    pub response: usize,
    /// A `$batch`, a page of the change feed or the discovery list.
    pub batch: usize,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self { response: 1 << 20, batch: 8 << 20 }
    }
}

/// Configuration of a [`Client`](crate::Client). Do not fill it from user input: it decides which hosts and addresses
/// may be called.
#[derive(Clone)]
pub struct Config {
    /// Host suffixes an instance may have. `.dynamics.com` matches every host below it, `crm.example.com` also itself.
    pub allow_hosts: Vec<String>,
    /// Hosts reached at a fixed address instead of through DNS, like curl's `--connect-to`. Only these may have a
    /// private address or a port other than 443.
    pub connect_to: HashMap<String, SocketAddr>,
    /// PEM certificates to trust in addition to the operating system's.
    pub extra_roots: Vec<u8>,
    /// Time limits.
    pub timeouts: Timeouts,
    /// Size limits.
    pub body_limits: BodyLimits,
    /// Maximum concurrent requests per instance and identity.
    pub concurrency: usize,
    /// The `User-Agent` of every request.
    pub user_agent: String,
    /// Network, or streams in memory.
    pub transport: Transport,
    /// Source of the current time.
    pub clock: Clock,
    /// Receives an event for every request, for metrics.
    pub observer: Observer,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            allow_hosts: DEFAULT_ALLOW_HOSTS.map(str::to_owned).to_vec(),
            connect_to: HashMap::new(),
            extra_roots: Vec::new(),
            timeouts: Timeouts::default(),
            body_limits: BodyLimits::default(),
            concurrency: 8,
            user_agent: concat!("dataverse-client/", env!("CARGO_PKG_VERSION")).to_owned(),
            transport: Transport::Network { resolve: None },
            clock: Arc::new(Timestamp::now),
            observer: Arc::new(|_| {}),
        }
    }
}

/// Why a [`Config`] cannot be used. Messages name its fields.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// An entry of [`Config::allow_hosts`] is not a host name of at least two labels.
    #[error("{entry:?} in allow_hosts is not a usable host name: {reason}")]
    AllowHosts {
        /// The entry as configured.
        entry: String,
        /// What is wrong with it.
        reason: OriginError,
    },
    /// A key of [`Config::connect_to`] is not a host name of at least two labels.
    #[error("{entry:?} in connect_to is not a usable host name: {reason}")]
    ConnectTo {
        /// The key as configured.
        entry: String,
        /// What is wrong with it.
        reason: OriginError,
    },
    /// [`Config::extra_roots`] holds something that is not a PEM certificate.
    #[error("extra_roots holds something that is not a PEM certificate")]
    ExtraRoots,
    /// [`Config::user_agent`] is not a valid header value.
    #[error("user_agent holds a character that is not allowed in an HTTP header")]
    UserAgent,
    /// Neither the operating system nor [`Config::extra_roots`] has a root certificate.
    #[error("the operating system has no root certificates; install ca-certificates or set extra_roots")]
    NoRoots,
    /// TLS could not be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] tokio_rustls::rustls::Error),
}
