//! Real HTTPS on loopback: one listener, a certificate per host made on demand, chosen by SNI.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls_pki_types::PrivateKeyDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::server::Acceptor;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::connection;
use super::world::World;

/// Why the simulated world cannot be served over TLS.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; choose another address or port 0")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The address is not a loopback address.
    #[error(
        "{address} is not a loopback address; simulated instances accept any caller and stay on this machine"
    )]
    NotLoopback {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The certificate authority could not be made.
    #[error("cannot make a certificate authority: {0}")]
    Authority(#[from] rcgen::Error),
}

/// The world's certificate authority, made at first use.
#[derive(Default)]
pub(super) struct Authority {
    issuer: OnceLock<CertifiedIssuer<'static, KeyPair>>,
    configs: Mutex<BTreeMap<String, Arc<ServerConfig>>>,
}

impl Authority {
    fn issuer(&self) -> Result<&CertifiedIssuer<'static, KeyPair>, rcgen::Error> {
        if let Some(issuer) = self.issuer.get() {
            return Ok(issuer);
        }
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, "Simulated Dataverse instances");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let made = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        // Two callers at once: the first one's authority stands.
        Ok(self.issuer.get_or_init(|| made))
    }

    fn config(&self, host: &str) -> Result<Arc<ServerConfig>, ConfigError> {
        let mut configs = self.configs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = configs.get(host) {
            return Ok(config.clone());
        }
        let issuer = self.issuer()?;
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![host.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, host);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, issuer)?;
        let private = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let config = Arc::new(config);
        configs.insert(host.to_owned(), config.clone());
        Ok(config)
    }
}

#[derive(Debug, thiserror::Error)]
enum ConfigError {
    #[error(transparent)]
    Certificate(#[from] rcgen::Error),
    #[error(transparent)]
    Tls(#[from] tokio_rustls::rustls::Error),
}

/// A running listener. Dropping it stops it and closes its connections.
pub struct Served {
    world: World,
    address: SocketAddr,
    ca_pem: String,
    stop: DropGuard,
}

impl Served {
    /// Where each host is served: the instances' own hosts, sign-in and discovery. Hosts that a later
    /// `apply` brings are in the next call's answer.
    pub fn addresses(&self) -> BTreeMap<String, SocketAddr> {
        self.world.hosts().into_iter().map(|host| (host, self.address)).collect()
    }

    /// The address listened on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate to trust, as PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Stops listening and closes every connection.
    pub fn shutdown(self) {
        drop(self.stop);
    }
}

impl World {
    /// Serves the world over HTTPS on a loopback address; port 0 picks a free one.
    ///
    /// # Errors
    /// When the address is not loopback or cannot be listened on.
    pub async fn serve_tls(&self, listen: SocketAddr) -> Result<Served, ServeError> {
        if !listen.ip().is_loopback() {
            return Err(ServeError::NotLoopback { address: listen });
        }
        let ca_pem = self.inner.authority.issuer()?.pem();
        let failed = |source| ServeError::Listen { address: listen, source };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let token = CancellationToken::new();
        tokio::spawn(token.clone().run_until_cancelled_owned(accept_all(self.clone(), listener)));
        Ok(Served { world: self.clone(), address, ca_pem, stop: token.drop_guard() })
    }
}

async fn accept_all(world: World, listener: TcpListener) {
    // Dropping the set (when cancelled) aborts the connections in it.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(greet(world.clone(), stream));
                }
                // Out of file descriptors, for example: let other tasks close theirs, then go on.
                Err(_) => tokio::task::yield_now().await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Reads the `ClientHello`, then serves the host it names, or resets the connection.
async fn greet(world: World, stream: TcpStream) {
    let mut acceptor = LazyConfigAcceptor::new(Acceptor::default(), stream);
    let Ok(start) = (&mut acceptor).await else { return };
    let host = start.client_hello().server_name().map(str::to_ascii_lowercase);
    let host = host.filter(|host| world.is_reachable(host));
    let config = host.as_ref().and_then(|host| world.inner.authority.config(host).ok());
    let (Some(host), Some(config)) = (host, config) else {
        // One listener cannot refuse a host before it has heard its name; a reset is the next best.
        reset(&start);
        return;
    };
    if let Ok(stream) = start.into_stream(config).await {
        connection::serve(world, host, stream).await;
    }
}

fn reset(start: &tokio_rustls::StartHandshake<TcpStream>) {
    // Without linger, closing sends RST instead of FIN.
    let _unimportant = start.io.set_zero_linger();
}
