//! A certificate authority that issues one certificate per host on demand.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls_pki_types::PrivateKeyDer;
use tokio_rustls::rustls::ServerConfig;

/// The certificate authority of a simulator, created at first use.
#[derive(Default)]
pub(crate) struct CertificateAuthority {
    issuer: OnceLock<CertifiedIssuer<'static, KeyPair>>,
    configs: Mutex<BTreeMap<String, Arc<ServerConfig>>>,
}

impl CertificateAuthority {
    /// The certificate to trust, as PEM.
    pub fn pem(&self) -> Result<String, rcgen::Error> {
        Ok(self.issuer()?.pem())
    }

    fn issuer(&self) -> Result<&CertifiedIssuer<'static, KeyPair>, rcgen::Error> {
        if let Some(issuer) = self.issuer.get() {
            return Ok(issuer);
        }
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, "Simulated Dataverse instances");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let created = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        // Of two concurrent callers, the first one's issuer is kept.
        Ok(self.issuer.get_or_init(|| created))
    }

    /// The TLS configuration of a host, with a certificate created at its first connection.
    pub fn config(&self, host: &str) -> Result<Arc<ServerConfig>, ConfigError> {
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

/// Why a host has no certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error(transparent)]
    Certificate(#[from] rcgen::Error),
    #[error(transparent)]
    Tls(#[from] tokio_rustls::rustls::Error),
}
