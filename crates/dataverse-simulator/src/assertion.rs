//! Client assertions: what Entra checks of a JWT that stands in for a client secret.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use ring::digest;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm};
use serde_json::{Map, Value};
use webpki::EndEntityCert;
use webpki::ring::{RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256_LEGACY_KEY};

use super::sign_in::{Denial, denial};

/// Entra tolerates this much between its clock and a client's.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// A certificate registered for an application.
pub(super) struct Certificate(CertificateDer<'static>);

impl Certificate {
    /// Reads one certificate; `None` if the PEM holds none that can be used.
    pub fn read(pem: &str) -> Option<Self> {
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
        EndEntityCert::try_from(&der).ok()?;
        Some(Self(der))
    }

    /// Whether a header names this certificate and the signature was made with its key.
    fn signed(&self, header: &Map<String, Value>, message: &str, signature: &[u8]) -> bool {
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

/// Checks a JWT signed with one of the application's certificates, or one a federated issuer (a
/// cluster) made. Without certificates, and for federated issuers, the signature goes unchecked: the
/// simulated world holds no key for it.
pub(super) fn check(
    assertion: &str,
    client: &str,
    at: &str,
    tenant: &str,
    now: Timestamp,
    certificates: &[Certificate],
) -> Result<(), Denial> {
    let malformed = || denial(401, "invalid_client", 50_027, "JWT token is invalid or malformed.");
    let parts: Vec<&str> = assertion.split('.').collect();
    let [header, claims, signature] = parts.as_slice() else { return Err(malformed()) };
    let object = |part: &str| {
        let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed())?;
        serde_json::from_slice::<Map<String, Value>>(&bytes).map_err(|_| malformed())
    };
    let (header, claims) = (object(header)?, object(claims)?);
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| malformed())?;
    if signature.is_empty() {
        return Err(malformed());
    }
    let text = |object: &Map<String, Value>, name: &str| {
        object.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    if !matches!(text(&header, "alg").as_str(), "RS256" | "PS256") {
        return Err(malformed());
    }
    let seconds = |name: &str| claims.get(name).and_then(Value::as_i64);
    let expires = seconds("exp").ok_or_else(malformed)?;
    let too_early = seconds("nbf").is_some_and(|from| from > now.as_second() + SKEW.as_secs());
    if expires + SKEW.as_secs() <= now.as_second() || too_early {
        return Err(denial(
            401,
            "invalid_client",
            700_024,
            "Client assertion is not within its valid time range.",
        ));
    }
    let audiences: Vec<String> = match claims.get("aud") {
        Some(Value::String(audience)) => vec![audience.clone()],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    let has_certificate = ["x5t", "x5t#S256"].iter().any(|name| !text(&header, name).is_empty());
    if has_certificate {
        let message = assertion.rsplit_once('.').map_or("", |(message, _)| message);
        let signed = |certificate: &Certificate| certificate.signed(&header, message, &signature);
        if !certificates.is_empty() && !certificates.iter().any(signed) {
            return Err(denial(
                401,
                "invalid_client",
                700_027,
                "The certificate used to sign the client assertion is not registered on the application, or the signature is wrong.",
            ));
        }
        let endpoint = format!("https://{at}/{tenant}/oauth2/v2.0/token");
        let issuer = format!("https://{at}/{tenant}/v2.0");
        if !audiences.iter().any(|audience| *audience == endpoint || *audience == issuer) {
            return Err(denial(
                401,
                "invalid_client",
                700_023,
                "Client assertion audience claim does not match Realm issuer.",
            ));
        }
        if text(&claims, "iss") != client || text(&claims, "sub") != client || text(&claims, "jti").is_empty()
        {
            return Err(denial(
                401,
                "invalid_client",
                700_021,
                "Client assertion application identifier doesn't match 'client_id' parameter, or jti is missing.",
            ));
        }
        return Ok(());
    }
    if audiences != ["api://AzureADTokenExchange"] {
        return Err(denial(
            400,
            "invalid_request",
            700_212,
            "No matching federated identity record found for presented assertion audience.",
        ));
    }
    if text(&claims, "iss").is_empty() || text(&claims, "sub").is_empty() {
        return Err(denial(
            400,
            "invalid_request",
            70_021,
            "No matching federated identity record found for presented assertion.",
        ));
    }
    Ok(())
}
