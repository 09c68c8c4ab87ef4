//! The real network: TLS against a loopback server through `connect_to`, and the addresses that are refused (T1).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dataverse_client::{Client, Config, ConfigError, Kind, Meaning, Peer, Transport, Unreachable};
use rstest::rstest;
use rustls_pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{ServerConfig, crypto};

use super::server::{HOST, LOGIN, Seen, World, instance_at};
use super::sign_in::healthy;

/// A server with a certificate for these hosts; its address and the PEM to trust.
async fn tls_server(world: Arc<World>, hosts: &[&str]) -> (SocketAddr, String) {
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
            let (acceptor, world) = (acceptor.clone(), world.clone());
            tokio::spawn(async move {
                if let Ok(tls) = acceptor.accept(tcp).await {
                    world.serve(tls).await;
                }
            });
        }
    });
    (address, made.cert.pem())
}

fn config(world: &Arc<World>, roots: &str, pinned: &[(&str, SocketAddr)]) -> Config {
    Config {
        transport: Transport::Network { resolve: None },
        extra_roots: roots.into(),
        connect_to: pinned.iter().map(|(h, a)| ((*h).to_owned(), *a)).collect(),
        ..world.config()
    }
}

#[tokio::test]
async fn real_tls_through_connect_to() {
    let world = World::new(healthy);
    let (address, roots) = tls_server(world.clone(), &[HOST, LOGIN]).await;
    let client = Client::new(&config(&world, &roots, &[(HOST, address), (LOGIN, address)])).unwrap();
    instance_at(&client, HOST).health().await.unwrap();
    let hosts: Vec<String> = world.seen().into_iter().map(|s: Seen| s.host).collect();
    assert_eq!(hosts, [LOGIN, HOST, HOST]);
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_or_for_another_name_ends_the_handshake() {
    let world = World::new(healthy);
    let (login, login_roots) = tls_server(world.clone(), &[LOGIN]).await;
    let (trusted_for_another, other_roots) = tls_server(world.clone(), &["evil.net"]).await;
    let (not_trusted, _) = tls_server(world.clone(), &[HOST]).await;
    let roots = format!("{login_roots}{other_roots}");
    for address in [trusted_for_another, not_trusted] {
        let client = Client::new(&config(&world, &roots, &[(HOST, address), (LOGIN, login)])).unwrap();
        let error = instance_at(&client, HOST).health().await.unwrap_err();
        assert_eq!((error.peer, &error.kind), (Peer::Instance, &Kind::Unreachable(Unreachable::Tls)));
        assert_eq!(error.meaning(), Meaning::InstanceDown);
    }
    assert!(world.seen_by(HOST).is_empty(), "no token may leave before the name is proved");
}

#[tokio::test]
async fn a_port_nobody_listens_on_is_a_refused_connection() {
    let world = World::new(healthy);
    let (login, roots) = tls_server(world.clone(), &[LOGIN]).await;
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let client = Client::new(&config(&world, &roots, &[(HOST, free), (LOGIN, login)])).unwrap();
    let error = instance_at(&client, HOST).health().await.unwrap_err();
    assert_eq!(error.kind, Kind::Unreachable(Unreachable::Connect));
}

/// A client for which every name but the login's has these addresses; counts the look-ups.
async fn resolving(addresses: Vec<IpAddr>) -> (Client, Arc<AtomicUsize>) {
    let world = World::new(healthy);
    let (login, roots) = tls_server(world.clone(), &[LOGIN]).await;
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
        ..config(&world, &roots, &[(LOGIN, login)])
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
// A name that mixes a public and a private address is an attempt at rebinding.
#[case(&["20.190.160.1", "127.0.0.1"])]
#[tokio::test]
async fn t1_a_name_that_leads_inside_is_refused_after_one_look_up(#[case] addresses: &[&str]) {
    let addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
    let (client, lookups) = resolving(addresses).await;
    let error = instance_at(&client, HOST).health().await.unwrap_err();
    assert_eq!((&error.kind, error.meaning()), (&Kind::AddressNotAllowed, Meaning::HostUnusable));
    assert_eq!(lookups.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_name_without_address_is_named() {
    let (client, _) = resolving(Vec::new()).await;
    let error = instance_at(&client, HOST).health().await.unwrap_err();
    assert_eq!(error.kind, Kind::Unreachable(Unreachable::Dns));
}

#[test]
fn extra_roots_that_are_none_are_refused() {
    for roots in ["rubbish", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let world = World::new(|_| None);
        let error = Client::new(&config(&world, roots, &[])).unwrap_err();
        assert!(matches!(error, ConfigError::ExtraRoots), "{error}");
    }
}
