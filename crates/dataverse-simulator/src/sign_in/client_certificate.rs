//! The certificate of an application, and the signatures made with its key.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm};
use serde_json::{Map, Value};
use webpki::EndEntityCert;
use webpki::ring::{RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256_LEGACY_KEY};

/// A certificate registered for an application.
pub(crate) struct ClientCertificate(CertificateDer<'static>);

impl ClientCertificate {
    /// Reads one certificate; `None` if the PEM contains no usable one.
    pub fn read(pem: &str) -> Option<Self> {
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
        EndEntityCert::try_from(&der).ok()?;
        Some(Self(der))
    }

    /// Whether the header of a JWT names this certificate and the signature was made with its key.
    pub fn has_signed(&self, header: &Map<String, Value>, message: &str, signature: &[u8]) -> bool {
        let text = |name: &str| header.get(name).and_then(Value::as_str);
        let thumbprint = |algorithm| URL_SAFE_NO_PAD.encode(digest::digest(algorithm, &self.0));
        let named = match (text("x5t#S256"), text("x5t")) {
            (Some(named), _) => named == thumbprint(&digest::SHA256),
            (None, Some(named)) => named == thumbprint(&digest::SHA1_FOR_LEGACY_USE_ONLY),
            (None, None) => false,
        };
        let algorithm: &dyn SignatureVerificationAlgorithm = match text("alg") {
            Some("PS256") => RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
            _ => RSA_PKCS1_2048_8192_SHA256,
        };
        let certificate = EndEntityCert::try_from(&self.0);
        named
            && certificate.is_ok_and(|certificate| {
                certificate.verify_signature(algorithm, message.as_bytes(), signature).is_ok()
            })
    }
}
