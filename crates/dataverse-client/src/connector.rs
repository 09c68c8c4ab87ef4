//! Opens one connection: checks the host, resolves it once, checks every address, connects to it, starts TLS.
//!
//! hyper-util's `HttpConnector` does not fit: an explicit port in the URL would replace the port of `connect_to`, and
//! its errors do not tell name, address and timeout apart.

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
use tokio_rustls::rustls::{ClientConfig, Error, RootCertStore, crypto};

use crate::config::{Config, ConfigError, InMemoryDial, Resolver, Transport};
use crate::guard::{Guard, is_public};
use crate::origin::Origin;

/// Why a connection was not made. hyper boxes it; `transport` finds it again by type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("the host is not allowed")]
    HostNotAllowed,
    #[error("the address is not allowed")]
    AddressNotAllowed,
    #[error("the host name has no address")]
    Dns,
    #[error("no address accepts a connection, or it is closed at once")]
    Connect,
    #[error("the TLS handshake failed")]
    Tls,
    #[error("the connection was not made in time")]
    Timeout,
}

#[derive(Clone)]
enum Dial {
    Network { tls: TlsConnector, resolve: Resolver },
    InMemory(InMemoryDial),
}

/// Opens connections for hyper's pool.
#[derive(Clone)]
pub(crate) struct Connector {
    guard: Arc<Guard>,
    dial: Dial,
    timeout: Duration,
}

impl Connector {
    pub(crate) fn new(config: &Config, guard: Arc<Guard>) -> Result<Self, ConfigError> {
        let dial = match &config.transport {
            Transport::InMemory(dial) => Dial::InMemory(dial.clone()),
            Transport::Network { resolve } => Dial::Network {
                tls: TlsConnector::from(Arc::new(tls(&config.extra_roots)?)),
                resolve: resolve.clone().unwrap_or_else(|| Arc::new(|host| Box::pin(system_resolver(host)))),
            },
        };
        Ok(Self { guard, dial, timeout: config.timeouts.connect })
    }

    async fn connect(&self, uri: Uri) -> Result<HostStream, ConnectError> {
        // `Client::instance` has checked the host already; checked again here so that no socket bypasses the guard.
        let origin = Origin::parse(&format!(
            "{}://{}",
            uri.scheme_str().unwrap_or_default(),
            uri.authority().map_or("", |a| a.as_str())
        ))
        .map_err(|_| ConnectError::HostNotAllowed)?;
        self.guard.admit(&origin).map_err(|_| ConnectError::HostNotAllowed)?;
        tokio::time::timeout(self.timeout, self.dial(&origin)).await.unwrap_or(Err(ConnectError::Timeout))
    }

    async fn dial(&self, origin: &Origin) -> Result<HostStream, ConnectError> {
        match &self.dial {
            Dial::InMemory(dial) => {
                dial(origin.host()).map(HostStream::new).map_err(|_| ConnectError::Connect)
            }
            Dial::Network { tls, resolve } => {
                let addresses = match self.guard.pinned(origin.host()) {
                    Some(pinned) => vec![pinned],
                    None => checked_addresses(resolve, origin).await?,
                };
                let tcp = first_connection(&addresses, self.timeout).await?;
                let _ = tcp.set_nodelay(true);
                let name = ServerName::try_from(origin.host().to_owned())
                    .map_err(|_| ConnectError::HostNotAllowed)?;
                tls.connect(name, tcp).await.map(HostStream::new).map_err(|error| of_handshake(&error))
            }
        }
    }
}

/// A server that ends the connection during the handshake says nothing about its certificate.
fn of_handshake(error: &io::Error) -> ConnectError {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(_) => ConnectError::Tls,
        None => ConnectError::Connect,
    }
}

/// Resolves the name once and refuses it if *any* address is not public: a name with public and private addresses
/// is a sign of DNS rebinding.
async fn checked_addresses(resolve: &Resolver, origin: &Origin) -> Result<Vec<SocketAddr>, ConnectError> {
    let addresses = resolve(origin.host().to_owned()).await.map_err(|_| ConnectError::Dns)?;
    if addresses.is_empty() {
        return Err(ConnectError::Dns);
    }
    if !addresses.iter().copied().all(is_public) {
        return Err(ConnectError::AddressNotAllowed);
    }
    Ok(addresses.into_iter().map(|ip| SocketAddr::new(ip, origin.port())).collect())
}

/// Tries the addresses in order, each with a share of the time, so that one that drops packets does not use it all.
async fn first_connection(addresses: &[SocketAddr], timeout: Duration) -> Result<TcpStream, ConnectError> {
    let shares = u32::try_from(addresses.len()).unwrap_or(u32::MAX).clamp(1, 4);
    let mut error = ConnectError::Connect;
    for address in addresses {
        match tokio::time::timeout(timeout / shares, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(_)) => error = ConnectError::Connect,
            Err(_) => error = ConnectError::Timeout,
        }
    }
    Err(error)
}

async fn system_resolver(host: String) -> io::Result<Vec<IpAddr>> {
    Ok(tokio::net::lookup_host((host, 443)).await?.map(|a| a.ip()).collect())
}

/// Trusts the operating system's roots and `extra_roots`; HTTP/1.1 only.
fn tls(extra_roots: &[u8]) -> Result<ClientConfig, ConfigError> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(extra_roots) {
        roots.add(root.map_err(|_| ConfigError::ExtraRoots)?).map_err(|_| ConfigError::ExtraRoots)?;
    }
    if roots.is_empty() && !extra_roots.iter().all(u8::is_ascii_whitespace) {
        return Err(ConfigError::ExtraRoots);
    }
    // One certificate of the system's store that cannot be parsed must not make all others unusable.
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
    type Response = HostStream;
    type Error = ConnectError;
    type Future = BoxFuture<'static, Result<HostStream, ConnectError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { connector.connect(uri).await })
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Whether a pooled connection has carried a response. A failure on one that has may only mean that the server closed
/// it while idle, so the request is repeated once on a new connection.
#[derive(Clone, Default)]
pub(crate) struct Used(Arc<AtomicBool>);

impl Used {
    pub(crate) fn mark(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_used(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// An established connection: TLS, or a stream in memory.
pub(crate) struct HostStream {
    io: TokioIo<Box<dyn Stream>>,
    used: Used,
}

impl HostStream {
    fn new(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self { io: TokioIo::new(Box::new(stream)), used: Used::default() }
    }
}

impl Connection for HostStream {
    fn connected(&self) -> Connected {
        Connected::new().extra(self.used.clone())
    }
}

impl Read for HostStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl Write for HostStream {
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
