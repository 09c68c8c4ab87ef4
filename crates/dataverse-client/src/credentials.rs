//! Credentials: a client secret, a certificate or a federated token, validated before anything is sent.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::ExposeSecret;
pub use secrecy::SecretString;
use sha2::{Digest, Sha256};
use tokio_rustls::rustls::{crypto, sign::CertifiedKey};
use url::form_urlencoded;
use uuid::Uuid;

/// Credentials of an application (Microsoft Entra ID). `Debug` shows the ids and redacts the secret; there is no
/// `Display` or `Serialize`.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// A client secret.
    ClientSecret {
        /// Tenant id: a GUID or a domain name of the tenant.
        tenant_id: String,
        /// Application (client) id: a GUID.
        client_id: String,
        /// The secret.
        secret: SecretString,
    },
    /// A certificate registered with the application. Signs a new assertion for each token request.
    Certificate {
        /// Tenant id: a GUID or a domain name of the tenant.
        tenant_id: String,
        /// Application (client) id: a GUID.
        client_id: String,
        /// Certificate(s) and their RSA private key, PEM, in any order.
        pem: SecretString,
    },
    /// A token of another issuer the application trusts (workload identity federation).
    FederatedToken {
        /// Tenant id: a GUID or a domain name of the tenant.
        tenant_id: String,
        /// Application (client) id: a GUID.
        client_id: String,
        /// The token, sent as a client assertion.
        token: SecretString,
    },
}

/// Why credentials are not well formed. Names the field, never its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum CredentialError {
    /// The tenant id is neither a GUID nor a domain name.
    #[error("the tenant id must be a GUID or a domain name of the tenant")]
    TenantId,
    /// The client id is not a GUID.
    #[error("the client id must be a GUID")]
    ClientId,
    /// The secret, certificate or token is empty.
    #[error("the client secret or federated token is empty")]
    Empty,
    /// The PEM has no certificate, or one that cannot be read.
    #[error("the PEM holds no readable certificate")]
    NoCertificate,
    /// The PEM has no private key, or one that cannot be read.
    #[error("the PEM holds no readable private key")]
    NoKey,
    /// The private key cannot sign RS256.
    #[error("the private key must be RSA with at least 2048 bits")]
    NotRsa,
    /// The private key belongs to none of the certificates.
    #[error("the private key belongs to none of the certificates in the PEM")]
    KeyMismatch,
}

/// Identifies credentials without holding them: a SHA-256 over every field.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl std::fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A weak secret could be guessed from a logged hash.
        f.write_str("Fingerprint")
    }
}

impl Credentials {
    fn parts(&self) -> (&'static str, &str, &str, &SecretString) {
        match self {
            Self::ClientSecret { tenant_id, client_id, secret } => ("secret", tenant_id, client_id, secret),
            Self::Certificate { tenant_id, client_id, pem } => ("certificate", tenant_id, client_id, pem),
            Self::FederatedToken { tenant_id, client_id, token } => ("token", tenant_id, client_id, token),
        }
    }

    /// The fingerprint of all fields, the secret included.
    pub fn fingerprint(&self) -> Fingerprint {
        let (kind, tenant, client, secret) = self.parts();
        let mut hash = Sha256::new();
        for field in [kind, tenant, client, secret.expose_secret()] {
            // Prefixed with its length, so that moving text between fields changes the hash.
            hash.update((field.len() as u64).to_be_bytes());
            hash.update(field);
        }
        Fingerprint(hash.finalize().into())
    }
}

enum Proof {
    Secret(SecretString),
    Certificate { key: Box<RsaKeyPair>, thumbprint: String },
    Token(SecretString),
}

/// Validated credentials, ready to sign in with. No `Debug`.
pub(crate) struct Signer {
    pub(crate) tenant: String,
    pub(crate) client: String,
    pub(crate) fingerprint: Fingerprint,
    proof: Proof,
}

impl Signer {
    pub(crate) fn new(credentials: &Credentials) -> Result<Self, CredentialError> {
        let (_, tenant, client, secret) = credentials.parts();
        if !is_tenant(tenant) {
            return Err(CredentialError::TenantId);
        }
        let client: Uuid = client.parse().map_err(|_| CredentialError::ClientId)?;
        if secret.expose_secret().trim().is_empty() {
            return Err(CredentialError::Empty);
        }
        let proof = match credentials {
            Credentials::ClientSecret { secret, .. } => Proof::Secret(secret.clone()),
            Credentials::FederatedToken { token, .. } => Proof::Token(token.clone()),
            Credentials::Certificate { pem, .. } => certificate(pem.expose_secret().as_bytes())?,
        };
        Ok(Self {
            tenant: tenant.to_ascii_lowercase(),
            client: client.to_string(),
            fingerprint: credentials.fingerprint(),
            proof,
        })
    }

    /// The form body of a token request to the URL `audience`.
    pub(crate) fn form(
        &self,
        scope: &str,
        audience: &str,
        now: Timestamp,
    ) -> Result<String, CredentialError> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        form.append_pair("client_id", &self.client);
        form.append_pair("scope", scope);
        match &self.proof {
            Proof::Secret(secret) => {
                form.append_pair("client_secret", secret.expose_secret());
            }
            Proof::Token(token) => {
                form.append_pair("client_assertion_type", ASSERTION_TYPE);
                form.append_pair("client_assertion", token.expose_secret().trim());
            }
            Proof::Certificate { key, thumbprint } => {
                form.append_pair("client_assertion_type", ASSERTION_TYPE);
                form.append_pair("client_assertion", &self.assertion(key, thumbprint, audience, now)?);
            }
        }
        Ok(form.finish())
    }

    /// A JWT signed with the certificate's key, valid for ten minutes (RFC 7523).
    fn assertion(
        &self,
        key: &RsaKeyPair,
        thumbprint: &str,
        audience: &str,
        now: Timestamp,
    ) -> Result<String, CredentialError> {
        let now = now.as_second();
        let header = serde_json::json!({"alg": "RS256", "typ": "JWT", "x5t#S256": thumbprint});
        let claims = serde_json::json!({
            "aud": audience, "iss": self.client, "sub": self.client, "jti": Uuid::new_v4(),
            // One minute in the past, since the authority's clock may be behind.
            "nbf": now - 60, "iat": now, "exp": now + 600,
        });
        let encode = |v: &serde_json::Value| URL_SAFE_NO_PAD.encode(v.to_string());
        let mut token = format!("{}.{}", encode(&header), encode(&claims));
        let mut signature = vec![0; key.public().modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), token.as_bytes(), &mut signature)
            .map_err(|_| CredentialError::NotRsa)?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(&signature, &mut token);
        Ok(token)
    }
}

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Parses certificates and key, and finds the certificate the key belongs to.
fn certificate(pem: &[u8]) -> Result<Proof, CredentialError> {
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|_| CredentialError::NoCertificate)?;
    if certificates.is_empty() {
        return Err(CredentialError::NoCertificate);
    }
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| CredentialError::NoKey)?;
    let rsa = match &key {
        PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
        PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
        _ => return Err(CredentialError::NotRsa),
    }
    .map_err(|_| CredentialError::NotRsa)?;
    let provider = crypto::ring::default_provider();
    let matching = certificates
        .into_iter()
        .find(|c| CertifiedKey::from_der(vec![c.clone()], key.clone_key(), &provider).is_ok())
        .ok_or(CredentialError::KeyMismatch)?;
    Ok(Proof::Certificate {
        key: Box::new(rsa),
        thumbprint: URL_SAFE_NO_PAD.encode(Sha256::digest(&matching)),
    })
}

/// Whether a text is a GUID or a domain name: one path segment that names one tenant, unlike `common`.
fn is_tenant(text: &str) -> bool {
    let domain = |text: &str| {
        text.len() <= 253
            && text.contains('.')
            && text.split('.').all(|label| {
                (1..=63).contains(&label.len())
                    && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                    && !label.starts_with('-')
            })
    };
    (text.len() == 36 && text.parse::<Uuid>().is_ok()) || domain(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenant_id_is_one_path_segment() {
        for tenant in ["5f0c9a3e-6d2b-4c57-9f0e-0d9d5a1b7c11", "contoso.onmicrosoft.com", "contoso.com"] {
            assert!(is_tenant(tenant), "{tenant}");
        }
        for tenant in [
            "",
            "common",
            "organizations",
            "..",
            ".",
            "a/b.com",
            "a.com/x",
            "a.com?x",
            "a.com#",
            "a b.com",
            "a%2f.com",
        ] {
            assert!(!is_tenant(tenant), "{tenant}");
        }
    }

    #[test]
    fn fingerprint_covers_every_field() {
        let with = |tenant: &str, client: &str, secret: &str| {
            Credentials::ClientSecret {
                tenant_id: tenant.into(),
                client_id: client.into(),
                secret: secret.into(),
            }
            .fingerprint()
        };
        assert!(with("a", "b", "c") == with("a", "b", "c"));
        assert!(with("a", "b", "c") != with("a", "b", "d"));
        assert!(with("a", "bc", "d") != with("ab", "c", "d"));
        let token =
            Credentials::FederatedToken { tenant_id: "a".into(), client_id: "b".into(), token: "c".into() };
        assert!(token.fingerprint() != with("a", "b", "c"));
    }
}
