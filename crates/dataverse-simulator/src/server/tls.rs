//! HTTPS on loopback: one listener, and a certificate per host, selected by SNI.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls::server::Acceptor;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::server::certificates::CertificateAuthority;
use crate::server::connection;
use crate::state::Shared;

/// Why a simulator cannot be served over TLS.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; choose another address or port 0")]
    Listen {
        /// The requested address.
        address: SocketAddr,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The address is not a loopback address.
    #[error(
        "{address} is not a loopback address; simulated instances accept any caller and stay on this machine"
    )]
    NotLoopback {
        /// The requested address.
        address: SocketAddr,
    },
    /// The certificate authority could not be created.
    #[error("cannot create a certificate authority: {0}")]
    Authority(#[from] rcgen::Error),
}

/// A running HTTPS listener. Dropping it stops it and closes its connections.
pub struct Server {
    shared: Arc<Shared>,
    address: SocketAddr,
    ca_pem: String,
    stop: DropGuard,
}

impl Server {
    /// Where each host is served: all have the listener's address. A host that is applied later is in the result of
    /// a later call.
    pub fn addresses(&self) -> BTreeMap<String, SocketAddr> {
        self.shared.hosts().into_iter().map(|host| (host, self.address)).collect()
    }

    /// The address listened on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate to trust, as PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Stops listening and closes all connections.
    pub fn shutdown(self) {
        drop(self.stop);
    }
}

/// Starts a listener on a loopback address.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    authority: Arc<CertificateAuthority>,
    listen: SocketAddr,
) -> Result<Server, ServeError> {
    if !listen.ip().is_loopback() {
        return Err(ServeError::NotLoopback { address: listen });
    }
    let ca_pem = authority.pem()?;
    let failed = |source| ServeError::Listen { address: listen, source };
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let token = CancellationToken::new();
    let accept = accept_all(shared.clone(), authority, listener);
    tokio::spawn(token.clone().run_until_cancelled_owned(accept));
    Ok(Server { shared, address, ca_pem, stop: token.drop_guard() })
}

async fn accept_all(shared: Arc<Shared>, authority: Arc<CertificateAuthority>, listener: TcpListener) {
    // Dropping the set (when canceled) aborts the connections in it.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(accept(shared.clone(), authority.clone(), stream));
                }
                // Out of file descriptors, for example: yield, so that other tasks can close theirs.
                Err(_) => tokio::task::yield_now().await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Reads the `ClientHello`, then serves the host it names, or resets the connection.
async fn accept(shared: Arc<Shared>, authority: Arc<CertificateAuthority>, stream: TcpStream) {
    let mut acceptor = LazyConfigAcceptor::new(Acceptor::default(), stream);
    let Ok(start) = (&mut acceptor).await else { return };
    let host = start.client_hello().server_name().map(str::to_ascii_lowercase);
    let host = host.filter(|host| shared.is_reachable(host));
    let config = host.as_ref().and_then(|host| authority.config(host).ok());
    let (Some(host), Some(config)) = (host, config) else {
        // All hosts share one listener, so a connection cannot be refused before its host is known. A reset comes
        // closest.
        reset(&start);
        return;
    };
    if let Ok(stream) = start.into_stream(config).await {
        connection::serve(shared, host, stream).await;
    }
}

fn reset(start: &tokio_rustls::StartHandshake<TcpStream>) {
    // Without linger, closing sends RST instead of FIN.
    let _ = start.io.set_zero_linger();
}
