//! What the operator decides once for all instances: hosts, roots, deadlines, caps, transport, clock.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::io::DuplexStream;

use super::observed::Observe;
use super::origin::OriginError;

/// The host suffixes of the public clouds: commercial, the two of the US government, China.
pub const DEFAULT_ALLOW_HOSTS: [&str; 4] =
    [".dynamics.com", ".microsoftdynamics.us", ".appsplatform.us", ".dynamics.cn"];

/// Tells the time, for token lifetimes, assertions and the throttling gate. Deadlines on I/O do not use it.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Resolves a host name to addresses; called once per connection.
pub type Resolve = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// Opens a stream to a host inside this process; an error counts as a refused connection.
pub type InMemoryDial = Arc<dyn Fn(&str) -> io::Result<DuplexStream> + Send + Sync>;

/// How bytes travel.
#[derive(Clone)]
pub enum Transport {
    /// TCP and TLS. Names are resolved by the operating system unless a resolver is given.
    Network {
        /// `None`: the operating system's.
        resolve: Option<Resolve>,
    },
    /// Plain HTTP/1.1 over streams inside this process, for tests that pause the clock. The allow-list holds
    /// here too; there are no addresses to check.
    InMemory(InMemoryDial),
}

/// Time limits, all in real time.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// Name, TCP and TLS together, for one connection.
    pub connect: Duration,
    /// One token request.
    pub sign_in: Duration,
    /// One request to an instance in total: waiting for a slot, a token, sending, the whole answer, and the one
    /// repetition after a 401. When it has passed, the request is over.
    pub request: Duration,
    /// The same for one `$batch`.
    pub batch: Duration,
}

impl Deadlines {
    /// With this limit for one request, and the others to match: none within a request is longer than the request.
    pub fn with_request(request: Duration) -> Self {
        Self {
            connect: request.min(Duration::from_secs(10)),
            sign_in: request.min(Duration::from_secs(20)),
            request,
            batch: request * 2,
        }
    }
}

impl Default for Deadlines {
    fn default() -> Self {
        Self::with_request(Duration::from_secs(60))
    }
}

/// Caps on answer bodies, in bytes, enforced while they stream in.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
    /// An ordinary answer.
    pub answer: usize,
    /// A `$batch`, a page of the change feed, a discovery list.
    pub batch: usize,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self { answer: 1 << 20, batch: 8 << 20 }
    }
}

/// Operator-level configuration of the [`super::Client`]. Nothing here may come from a resource of the cluster.
#[derive(Clone)]
pub struct Config {
    /// Host suffixes an instance may have: `.dynamics.com` is everything below it, `crm.example.com` itself too.
    pub allow_hosts: Vec<String>,
    /// Hosts reached at a fixed address, like curl's `--connect-to`: the only way past the address guard, and the
    /// only way to a port other than 443.
    pub connect_to: HashMap<String, SocketAddr>,
    /// PEM certificates (any number, one after the other) trusted besides the operating system's.
    pub extra_roots: Vec<u8>,
    /// Time limits.
    pub deadlines: Deadlines,
    /// Size limits.
    pub body_limits: BodyLimits,
    /// Requests under way at one time per instance and identity.
    pub concurrency: usize,
    /// The `User-Agent` of every request.
    pub user_agent: String,
    /// Real network or streams in memory.
    pub transport: Transport,
    /// The time.
    pub clock: Clock,
    /// Is told of every request.
    pub observe: Observe,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            allow_hosts: DEFAULT_ALLOW_HOSTS.map(str::to_owned).to_vec(),
            connect_to: HashMap::new(),
            extra_roots: Vec::new(),
            deadlines: Deadlines::default(),
            body_limits: BodyLimits::default(),
            concurrency: 8,
            user_agent: concat!("dataverse-client/", env!("CARGO_PKG_VERSION")).to_owned(),
            transport: Transport::Network { resolve: None },
            clock: Arc::new(Timestamp::now),
            observe: Arc::new(|_| {}),
        }
    }
}

/// Why a [`Config`] cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// An entry of the allow-list or of `connect_to` is not a host name of at least two labels.
    #[error("{entry:?} in --allow-host or --connect-to is not a usable host name: {why}")]
    Host {
        /// The entry.
        entry: String,
        /// What is wrong with it.
        why: OriginError,
    },
    /// The extra roots are not PEM certificates.
    #[error("the file of --ca-file holds something that is not a PEM certificate")]
    ExtraRoots,
    /// The `User-Agent` is not a header value.
    #[error("user_agent holds a character that no HTTP header may have")]
    UserAgent,
    /// Nothing to trust.
    #[error("the operating system has no root certificates; install ca-certificates or give --ca-file")]
    NoRoots,
    /// TLS could not be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] tokio_rustls::rustls::Error),
}
