//! HTTPS on loopback.

use std::sync::Arc;

use dataverse_simulator::{ServeError, Server};
use http_body_util::Full;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use super::client::{DISCOVERY_HOST, HOST, SIGN_IN_HOST, TestClient, contoso, send_on};

async fn connect(server: &Server, host: &'static str) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(server.ca_pem().as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(server.address()).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(host).unwrap(), stream).await
}

async fn who_am_i(client: &TestClient, server: &Server, host: &'static str) -> u16 {
    let mut request = client.request("GET", "WhoAmI", None).body(Full::default()).unwrap();
    request.headers_mut().insert("host", host.parse().unwrap());
    send_on(connect(server, host).await.unwrap(), request).await.unwrap().status.as_u16()
}

#[tokio::test]
async fn each_host_has_its_own_certificate() {
    let client = TestClient::new(&json!({})).await;
    let server = client.simulator.serve_tls("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let hosts: Vec<String> = server.addresses().into_keys().collect();
    assert_eq!(hosts, [HOST, DISCOVERY_HOST, SIGN_IN_HOST]);
    assert_eq!(who_am_i(&client, &server, HOST).await, 200);
    assert_eq!(who_am_i(&client, &server, DISCOVERY_HOST).await, 401);
    assert!(connect(&server, "unknown.crm.dynamics.com").await.is_err());

    // Another call of `apply` adds a host and makes one unreachable.
    let mut fabrikam = contoso(&json!({"host": "fabrikam.crm.dynamics.com"}));
    fabrikam.name = "fabrikam".to_owned();
    client.simulator.apply(&[fabrikam, contoso(&json!({"state": "Unreachable"}))]).unwrap();
    assert!(server.addresses().contains_key("fabrikam.crm.dynamics.com"));
    assert_eq!(who_am_i(&client, &server, "fabrikam.crm.dynamics.com").await, 401);
    let error = connect(&server, HOST).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);

    let address = server.address();
    server.shutdown();
    // The listener is closed when its task is dropped.
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn only_loopback_addresses_are_served() {
    let client = TestClient::new(&json!({})).await;
    let refused = client.simulator.serve_tls("0.0.0.0:0".parse().unwrap()).await;
    assert!(matches!(refused, Err(ServeError::NotLoopback { .. })));
}
