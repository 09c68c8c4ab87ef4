//! Over real TLS on loopback.

use std::sync::Arc;

use dataverse_simulator::{ServeError, Served};
use http_body_util::Full;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use super::wire::{DISCOVERY_HOST, HOST, SIGN_IN_HOST, Wire, contoso, send_on};

async fn connect(served: &Served, host: &'static str) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(served.ca_pem().as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(served.address()).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(host).unwrap(), stream).await
}

async fn who_am_i(wire: &Wire, served: &Served, host: &'static str) -> u16 {
    let mut request = wire.request("GET", "WhoAmI", None).body(Full::default()).unwrap();
    request.headers_mut().insert("host", host.parse().unwrap());
    send_on(connect(served, host).await.unwrap(), request).await.unwrap().status.as_u16()
}

#[tokio::test]
async fn every_host_is_served_under_its_own_certificate_and_others_are_reset() {
    let wire = Wire::to(&json!({})).await;
    let served = wire.world.serve_tls("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let hosts: Vec<String> = served.addresses().into_keys().collect();
    assert_eq!(hosts, [HOST, DISCOVERY_HOST, SIGN_IN_HOST]);
    assert_eq!(who_am_i(&wire, &served, HOST).await, 200);
    assert_eq!(who_am_i(&wire, &served, DISCOVERY_HOST).await, 401);
    assert!(connect(&served, "unknown.crm.dynamics.com").await.is_err());

    // A later document brings a host, and takes one away.
    let mut fabrikam = contoso(&json!({"host": "fabrikam.crm.dynamics.com"}));
    fabrikam.metadata.name = "fabrikam".to_owned();
    wire.world.apply(&[fabrikam, contoso(&json!({"state": "Unreachable"}))]).unwrap();
    assert!(served.addresses().contains_key("fabrikam.crm.dynamics.com"));
    assert_eq!(who_am_i(&wire, &served, "fabrikam.crm.dynamics.com").await, 401);
    let error = connect(&served, HOST).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);

    let address = served.address();
    served.shutdown();
    // The listener is gone once its task has been dropped.
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn only_loopback_addresses_are_served() {
    let wire = Wire::to(&json!({})).await;
    let refused = wire.world.serve_tls("0.0.0.0:0".parse().unwrap()).await;
    assert!(matches!(refused, Err(ServeError::NotLoopback { .. })));
}
