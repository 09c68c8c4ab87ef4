//! One connection: admitted host, resolved once, every address checked, connected to exactly that address, TLS.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use super::config::{Config, ConfigError, InMemoryDial, Resolve, Transport};
use super::guard::{Guard, is_public};
use super::origin::Origin;

/// Why a connection was not made. Travels through hyper as a boxed error and is found again by type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum ConnectFault {
    #[error("host not allowed")]
    HostNotAllowed,
    #[error("address not allowed")]
    AddressNotAllowed,
    #[error("no address")]
    Dns,
    #[error("no connection")]
    Connect,
    #[error("no TLS")]
    Tls,
    #[error("too slow")]
    Timeout,
}

#[derive(Clone)]
enum Dial {
    Network { tls: TlsConnector, resolve: Resolve },
    InMemory(InMemoryDial),
}

/// Makes connections for the pool.
#[derive(Clone)]
pub(super) struct Connector {
    guard: Arc<Guard>,
    dial: Dial,
    deadline: Duration,
}

impl Connector {
    pub(super) fn new(config: &Config, guard: Arc<Guard>) -> Result<Self, ConfigError> {
        let dial = match &config.transport {
            Transport::InMemory(dial) => Dial::InMemory(dial.clone()),
            Transport::Network { resolve } => Dial::Network {
                tls: TlsConnector::from(Arc::new(tls(&config.extra_roots)?)),
                resolve: resolve.clone().unwrap_or_else(|| Arc::new(|host| Box::pin(system_resolver(host)))),
            },
        };
        Ok(Self { guard, dial, deadline: config.deadlines.connect })
    }

    async fn connect(self, uri: Uri) -> Result<Wire, ConnectFault> {
        // Checked when the handle was made, and again here: no way to a socket leads around the guard.
        let origin = Origin::parse(&format!(
            "{}://{}",
            uri.scheme_str().unwrap_or_default(),
            uri.authority().map_or("", |a| a.as_str())
        ))
        .map_err(|_| ConnectFault::HostNotAllowed)?;
        self.guard.admit(&origin).map_err(|_| ConnectFault::HostNotAllowed)?;
        let limit = self.deadline;
        tokio::time::timeout(limit, self.dial(&origin)).await.unwrap_or(Err(ConnectFault::Timeout))
    }

    async fn dial(self, origin: &Origin) -> Result<Wire, ConnectFault> {
        match &self.dial {
            Dial::InMemory(dial) => dial(origin.host()).map(Wire::new).map_err(|_| ConnectFault::Connect),
            Dial::Network { tls, resolve } => {
                let addresses = match self.guard.pinned(origin.host()) {
                    Some(pinned) => vec![pinned],
                    None => checked_addresses(resolve, origin).await?,
                };
                let tcp = first_connection(&addresses, self.deadline).await?;
                // Small requests and answers: waiting to fill a packet only adds latency.
                let _ = tcp.set_nodelay(true);
                let name = ServerName::try_from(origin.host().to_owned())
                    .map_err(|_| ConnectFault::HostNotAllowed)?;
                tls.connect(name, tcp).await.map(Wire::new).map_err(|_| ConnectFault::Tls)
            }
        }
    }
}

/// Resolves once and refuses the name if *any* of its addresses is not public: a name that mixes both is an attempt.
async fn checked_addresses(resolve: &Resolve, origin: &Origin) -> Result<Vec<SocketAddr>, ConnectFault> {
    let addresses = resolve(origin.host().to_owned()).await.map_err(|_| ConnectFault::Dns)?;
    if addresses.is_empty() {
        return Err(ConnectFault::Dns);
    }
    if !addresses.iter().copied().all(is_public) {
        return Err(ConnectFault::AddressNotAllowed);
    }
    Ok(addresses.into_iter().map(|ip| SocketAddr::new(ip, origin.port())).collect())
}

/// Tries the addresses in order, each with its share of the time, so that one black hole does not eat it all.
async fn first_connection(addresses: &[SocketAddr], deadline: Duration) -> Result<TcpStream, ConnectFault> {
    let shares = u32::try_from(addresses.len()).unwrap_or(u32::MAX).clamp(1, 4);
    let mut fault = ConnectFault::Connect;
    for address in addresses {
        match tokio::time::timeout(deadline / shares, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(_)) => fault = ConnectFault::Connect,
            Err(_) => fault = ConnectFault::Timeout,
        }
    }
    Err(fault)
}

async fn system_resolver(host: String) -> io::Result<Vec<IpAddr>> {
    Ok(tokio::net::lookup_host((host, 443)).await?.map(|a| a.ip()).collect())
}

/// Trusts the operating system's roots and the operator's extra ones; HTTP/1.1 only.
fn tls(extra_roots: &[u8]) -> Result<ClientConfig, ConfigError> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(extra_roots) {
        roots.add(root.map_err(|_| ConfigError::ExtraRoots)?).map_err(|_| ConfigError::ExtraRoots)?;
    }
    if roots.is_empty() && !extra_roots.iter().all(u8::is_ascii_whitespace) {
        return Err(ConfigError::ExtraRoots);
    }
    // A single odd certificate in the system's store is no reason to refuse the others.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(ConfigError::NoRoots);
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

impl tower::Service<Uri> for Connector {
    type Response = Wire;
    type Error = ConnectFault;
    type Future = BoxFuture<'static, Result<Wire, ConnectFault>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectFault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Whether a pooled connection has answered before. A connection the server closed while it was idle looks like a
/// broken one; only then is it right to try again at once.
#[derive(Clone, Default)]
pub(super) struct Served(Arc<AtomicBool>);

impl Served {
    pub(super) fn mark(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn before(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// One established connection.
pub(super) struct Wire {
    io: TokioIo<Box<dyn Stream>>,
    served: Served,
}

impl Wire {
    fn new(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self { io: TokioIo::new(Box::new(stream)), served: Served::default() }
    }
}

impl Connection for Wire {
    fn connected(&self) -> Connected {
        Connected::new().extra(self.served.clone())
    }
}

impl Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl Write for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }
}
