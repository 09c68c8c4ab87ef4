//! Client assertions: what Entra checks of a JWT that is sent instead of a client secret.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use crate::sign_in::client_certificate::ClientCertificate;
use crate::sign_in::oauth_error::OAuthError;

/// The clock skew between a client and Entra that Entra tolerates.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// Checks a JWT that is signed with a certificate of the application, or that comes from a federated issuer (e.g. a
/// Kubernetes cluster). The signature of a federated issuer is not verified, because its key is unknown here; nor is
/// any signature if `certificates` is empty.
pub(crate) fn check(
    assertion: &str,
    client: &str,
    host: &str,
    tenant: &str,
    now: Timestamp,
    certificates: &[ClientCertificate],
) -> Result<(), OAuthError> {
    let malformed = || OAuthError::invalid_client(50_027, "JWT token is invalid or malformed.");
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
        return Err(OAuthError::invalid_client(
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
        let signed = |certificate: &ClientCertificate| certificate.has_signed(&header, message, &signature);
        if !certificates.is_empty() && !certificates.iter().any(signed) {
            return Err(OAuthError::invalid_client(
                700_027,
                "The certificate used to sign the client assertion is not registered on the application, or the signature is wrong.",
            ));
        }
        let endpoint = format!("https://{host}/{tenant}/oauth2/v2.0/token");
        let issuer = format!("https://{host}/{tenant}/v2.0");
        if !audiences.iter().any(|audience| *audience == endpoint || *audience == issuer) {
            return Err(OAuthError::invalid_client(
                700_023,
                "Client assertion audience claim does not match Realm issuer.",
            ));
        }
        if text(&claims, "iss") != client || text(&claims, "sub") != client || text(&claims, "jti").is_empty()
        {
            return Err(OAuthError::invalid_client(
                700_021,
                "Client assertion application identifier doesn't match 'client_id' parameter, or jti is missing.",
            ));
        }
        return Ok(());
    }
    if audiences != ["api://AzureADTokenExchange"] {
        return Err(OAuthError::invalid_request(
            700_212,
            "No matching federated identity record found for presented assertion audience.",
        ));
    }
    if text(&claims, "iss").is_empty() || text(&claims, "sub").is_empty() {
        return Err(OAuthError::invalid_request(
            70_021,
            "No matching federated identity record found for presented assertion.",
        ));
    }
    Ok(())
}
