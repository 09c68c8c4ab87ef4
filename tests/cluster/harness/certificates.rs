//! The keys of a test cluster: a CA, the API server's certificate, the key that signs service account tokens.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// The files, all PEM.
#[derive(Debug, Clone)]
pub struct Certificates {
    pub ca: PathBuf,
    pub server: PathBuf,
    pub server_key: PathBuf,
    pub service_account_key: PathBuf,
    pub service_account_public_key: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum CertificatesError {
    #[error("a certificate of the test cluster could not be made: {0}")]
    Generate(#[from] rcgen::Error),
    #[error("a certificate of the test cluster could not be written: {0}")]
    Write(#[from] std::io::Error),
}

impl Certificates {
    /// Generates them in `folder`. A CA per control plane also identifies the server: another server on a reused port
    /// fails the handshake instead of being tested by mistake.
    pub fn generate(folder: &Path) -> Result<Self, CertificatesError> {
        let mut ca = CertificateParams::default();
        ca.distinguished_name.push(DnType::CommonName, "postlink test cluster");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let ca_key = KeyPair::generate()?;
        let ca_certificate = ca.self_signed(&ca_key)?;
        let issuer = Issuer::new(ca, ca_key);

        let names = ["127.0.0.1", "localhost", "kubernetes.default.svc", "10.0.0.1"];
        let mut server = CertificateParams::new(names.map(str::to_owned))?;
        server.distinguished_name.push(DnType::CommonName, "kube-apiserver");
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let server_key = KeyPair::generate()?;
        let server_certificate = server.signed_by(&server_key, &issuer)?;
        // RSA, as usual in clusters and required by Entra for federated tokens; ring cannot generate RSA keys.
        let service_account =
            KeyPair::from_pem(include_str!("../../../crates/dataverse-client/tests/rsa-key-for-tests.pem"))?;

        let write = |name: &str, content: String| {
            let path = folder.join(name);
            fs::write(&path, content).map(|()| path)
        };
        Ok(Self {
            ca: write("ca.crt", ca_certificate.pem())?,
            server: write("server.crt", server_certificate.pem())?,
            server_key: write("server.key", server_key.serialize_pem())?,
            service_account_key: write("service-account.key", service_account.serialize_pem())?,
            service_account_public_key: write("service-account.pub", service_account.public_key_pem())?,
        })
    }
}
