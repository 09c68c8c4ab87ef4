//! The network transport: TLS to a loopback server through `connect_to`, and refused addresses.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dataverse_client::{
    Client, Config, ConfigError, Endpoint, ErrorClass, ErrorKind, Transport, Unreachable,
};
use rstest::rstest;
use rustls_pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{ServerConfig, crypto};

use super::server::{HOST, LOGIN, Recorded, Server, instance_at};
use super::sign_in::healthy;

/// Starts a TLS server for these hosts; returns its address and its certificate.
async fn tls_server(server: Arc<Server>, hosts: &[&str]) -> (SocketAddr, String) {
    let made = rcgen::generate_simple_self_signed(hosts.iter().map(ToString::to_string).collect::<Vec<_>>())
        .unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let (acceptor, server) = (acceptor.clone(), server.clone());
            tokio::spawn(async move {
                if let Ok(tls) = acceptor.accept(tcp).await {
                    server.serve(tls).await;
                }
            });
        }
    });
    (address, made.cert.pem())
}

fn config(server: &Arc<Server>, roots: &str, pinned: &[(&str, SocketAddr)]) -> Config {
    Config {
        transport: Transport::Network { resolve: None },
        extra_roots: roots.into(),
        connect_to: pinned.iter().map(|(h, a)| ((*h).to_owned(), *a)).collect(),
        ..server.config()
    }
}

#[tokio::test]
async fn tls_through_connect_to() {
    let server = Server::new(healthy);
    let (address, roots) = tls_server(server.clone(), &[HOST, LOGIN]).await;
    let client = Client::new(&config(&server, &roots, &[(HOST, address), (LOGIN, address)])).unwrap();
    instance_at(&client, HOST).health().await.unwrap();
    let hosts: Vec<String> = server.requests().into_iter().map(|s: Recorded| s.host).collect();
    assert_eq!(hosts, [LOGIN, HOST, HOST]);
}

#[tokio::test]
async fn untrusted_or_wrong_certificate_fails_the_handshake() {
    let server = Server::new(healthy);
    let (login, login_roots) = tls_server(server.clone(), &[LOGIN]).await;
    let (trusted_for_another, other_roots) = tls_server(server.clone(), &["evil.net"]).await;
    let (not_trusted, _) = tls_server(server.clone(), &[HOST]).await;
    let roots = format!("{login_roots}{other_roots}");
    for address in [trusted_for_another, not_trusted] {
        let client = Client::new(&config(&server, &roots, &[(HOST, address), (LOGIN, login)])).unwrap();
        let error = instance_at(&client, HOST).health().await.unwrap_err();
        assert_eq!(
            (error.endpoint, &error.kind),
            (Endpoint::Instance, &ErrorKind::Unreachable(Unreachable::Tls))
        );
        assert_eq!(error.class(), ErrorClass::InstanceDown);
    }
    assert!(server.requests_to(HOST).is_empty(), "no token may be sent before the handshake");
}

#[tokio::test]
async fn closed_port_is_unreachable() {
    let server = Server::new(healthy);
    let (login, roots) = tls_server(server.clone(), &[LOGIN]).await;
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let client = Client::new(&config(&server, &roots, &[(HOST, free), (LOGIN, login)])).unwrap();
    let error = instance_at(&client, HOST).health().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable(Unreachable::Connect));
}

/// A gateway that refuses everybody closes the connection. Its certificate was never seen.
#[tokio::test]
async fn connection_closed_before_the_handshake_is_no_fault_of_the_certificate() {
    let server = Server::new(healthy);
    let (login, roots) = tls_server(server.clone(), &[LOGIN]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closing = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            drop(tcp);
        }
    });
    let client = Client::new(&config(&server, &roots, &[(HOST, closing), (LOGIN, login)])).unwrap();
    let error = instance_at(&client, HOST).health().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable(Unreachable::Connect));
}

/// A client that resolves every name but that of the sign-in service to these addresses, and the number of lookups.
async fn resolving(addresses: Vec<IpAddr>) -> (Client, Arc<AtomicUsize>) {
    let server = Server::new(healthy);
    let (login, roots) = tls_server(server.clone(), &[LOGIN]).await;
    let lookups = Arc::new(AtomicUsize::new(0));
    let count = lookups.clone();
    let config = Config {
        transport: Transport::Network {
            resolve: Some(Arc::new(move |_| {
                count.fetch_add(1, Ordering::Relaxed);
                let addresses = addresses.clone();
                Box::pin(async move { Ok(addresses) })
            })),
        },
        ..config(&server, &roots, &[(LOGIN, login)])
    };
    (Client::new(&config).unwrap(), lookups)
}

#[rstest]
#[case(&["127.0.0.1"])]
#[case(&["10.0.0.1"])]
#[case(&["169.254.169.254"])]
#[case(&["::1"])]
#[case(&["::ffff:127.0.0.1"])]
#[case(&["fd00:ec2::254"])]
// Public and private addresses together, as in DNS rebinding.
#[case(&["20.190.160.1", "127.0.0.1"])]
#[tokio::test]
async fn private_address_is_refused_after_one_lookup(#[case] addresses: &[&str]) {
    let addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
    let (client, lookups) = resolving(addresses).await;
    let error = instance_at(&client, HOST).health().await.unwrap_err();
    assert_eq!((&error.kind, error.class()), (&ErrorKind::AddressNotAllowed, ErrorClass::HostNotAllowed));
    assert_eq!(lookups.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn name_without_address_is_a_dns_error() {
    let (client, _) = resolving(Vec::new()).await;
    let error = instance_at(&client, HOST).health().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable(Unreachable::Dns));
}

#[test]
fn invalid_extra_roots_are_refused() {
    for roots in ["rubbish", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let server = Server::new(|_| None);
        let error = Client::new(&config(&server, roots, &[])).unwrap_err();
        assert!(matches!(error, ConfigError::ExtraRoots), "{error}");
    }
}
