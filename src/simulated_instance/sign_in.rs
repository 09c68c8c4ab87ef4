//! The token endpoint: client credentials in, a bearer token bound to one host out.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use url::form_urlencoded;
use uuid::Uuid;

use super::DISCOVERY_HOST;
use super::answer::{Answer, set_header, text_answer};
use super::world::State;

/// Host of the token endpoint.
pub const SIGN_IN_HOST: &str = "login.microsoftonline.com";
const LIFETIME: SignedDuration = SignedDuration::from_secs(3600);
/// Entra tolerates this much between its clock and a client's.
const SKEW: SignedDuration = SignedDuration::from_mins(5);
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Tokens in force.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    issued: u64,
    tokens: BTreeMap<String, Token>,
}

#[derive(Debug)]
struct Token {
    host: String,
    expires: Timestamp,
}

/// What a bearer token is worth at a host.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Valid,
    Expired,
    Invalid,
}

impl Tokens {
    fn issue(&mut self, host: &str, now: Timestamp) -> String {
        self.tokens.retain(|_, token| now.duration_since(token.expires) < SignedDuration::from_hours(24));
        self.issued += 1;
        let id = Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("{host}/{}", self.issued).as_bytes());
        let text = format!("simulated.{}", id.simple());
        let expires = now.saturating_add(LIFETIME).unwrap_or(Timestamp::MAX);
        self.tokens.insert(text.clone(), Token { host: host.to_owned(), expires });
        text
    }

    /// Judges the `Authorization` header of a request to `host`.
    pub fn judge(&self, headers: &HeaderMap, host: &str, now: Timestamp) -> Verdict {
        let text = headers.get("authorization").and_then(|value| value.to_str().ok());
        let token = text.and_then(|text| text.strip_prefix("Bearer ")).and_then(|text| self.tokens.get(text));
        match token {
            Some(token) if token.host == host && now < token.expires => Verdict::Valid,
            Some(token) if token.host == host => Verdict::Expired,
            _ => Verdict::Invalid,
        }
    }

    /// Makes every token invalid, as when the application's permissions are revoked.
    pub fn revoke_all(&mut self) {
        self.tokens.clear();
    }
}

/// An OAuth error, in Entra's shape.
struct Denial {
    status: StatusCode,
    error: &'static str,
    number: u32,
    text: String,
}

fn denial(status: u16, error: &'static str, number: u32, text: impl Into<String>) -> Denial {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    Denial { status, error, number, text: text.into() }
}

/// Answers a request to the sign-in host.
pub(super) fn answer(
    state: &mut State,
    now: Timestamp,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Answer {
    let tenant = path.strip_prefix('/').and_then(|path| path.strip_suffix("/oauth2/v2.0/token"));
    let Some(tenant) = tenant.filter(|tenant| !tenant.contains('/')) else {
        return text_answer(StatusCode::NOT_FOUND, "text/html", "<h1>404 Not Found</h1>");
    };
    if method != Method::POST {
        return text_answer(StatusCode::METHOD_NOT_ALLOWED, "text/html", "<h1>405</h1>");
    }
    let outcome = grant(state, now, tenant, headers, body);
    let (status, body) = match outcome {
        Ok(host) => {
            let token = state.tokens.issue(&host, now);
            let seconds = LIFETIME.as_secs() - 1;
            let body = json!({
                "token_type": "Bearer",
                "expires_in": seconds,
                "ext_expires_in": seconds,
                "access_token": token,
            });
            (StatusCode::OK, body)
        }
        Err(denial) => {
            let trace = Uuid::new_v5(&Uuid::NAMESPACE_URL, denial.text.as_bytes());
            let body = json!({
                "error": denial.error,
                "error_description": format!(
                    "AADSTS{}: {} Trace ID: {trace} Correlation ID: {trace} Timestamp: {now}",
                    denial.number, denial.text
                ),
                "error_codes": [denial.number],
                "timestamp": now.to_string(),
                "trace_id": trace,
                "correlation_id": trace,
                "error_uri": format!("https://{SIGN_IN_HOST}/error?code={}", denial.number),
            });
            (denial.status, body)
        }
    };
    let mut answer = text_answer(status, "application/json; charset=utf-8", body.to_string());
    set_header(&mut answer, "cache-control", "no-store, no-cache");
    set_header(&mut answer, "pragma", "no-cache");
    answer
}

/// The host a token is due for.
fn grant(
    state: &State,
    now: Timestamp,
    tenant: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<String, Denial> {
    let content_type = headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !content_type.starts_with("application/x-www-form-urlencoded") {
        return Err(denial(400, "invalid_request", 900_144, "The request body must be a form."));
    }
    if matches!(tenant, "" | "common" | "organizations" | "consumers") {
        return Err(denial(400, "invalid_request", 50_059, "No tenant-identifying information found."));
    }
    let is_domain = tenant.contains('.') && url::Host::parse(tenant).is_ok();
    if Uuid::parse_str(tenant).is_err() && !is_domain {
        return Err(denial(
            400,
            "invalid_request",
            900_023,
            format!("Specified tenant identifier '{tenant}' is neither a valid DNS name, nor a valid external domain."),
        ));
    }
    let mut form: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(body) {
        if form.insert(name.to_string(), value.into_owned()).is_some() {
            return Err(denial(400, "invalid_request", 90_102, format!("'{name}' is given more than once.")));
        }
    }
    let field = |name: &str| form.get(name).map(String::as_str).filter(|value| !value.is_empty());
    let required = |name: &str| {
        field(name).ok_or_else(|| {
            denial(
                400,
                "invalid_request",
                900_144,
                format!("The request body must contain the following parameter: '{name}'."),
            )
        })
    };
    if required("grant_type")? != "client_credentials" {
        return Err(denial(400, "unsupported_grant_type", 70_003, "The grant type is not supported."));
    }
    let client = required("client_id")?;
    let host = host_of_scope(state, required("scope")?)?;
    match (field("client_secret"), field("client_assertion")) {
        (Some(_), Some(_)) => {
            Err(denial(400, "invalid_request", 90_023, "Give a client secret or an assertion, not both."))
        }
        (None, None) => Err(denial(
            401,
            "invalid_client",
            7_000_218,
            "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
        )),
        (Some(secret), None) if !secret_fits(state, &host, secret) => Err(denial(
            401,
            "invalid_client",
            7_000_215,
            format!(
                "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '{client}'."
            ),
        )),
        (Some(_), None) => Ok(host),
        (None, Some(assertion)) => {
            if field("client_assertion_type") != Some(JWT_BEARER) {
                return Err(denial(
                    400,
                    "invalid_request",
                    900_144,
                    "The request body must contain the following parameter: 'client_assertion_type'.",
                ));
            }
            check_assertion(assertion, client, tenant, now)?;
            Ok(host)
        }
    }
}

/// `https://host/.default`, one scope, of a host that is or was in the simulated world.
fn host_of_scope(state: &State, scope: &str) -> Result<String, Denial> {
    let invalid = |text: String| denial(400, "invalid_scope", 70_011, text);
    if scope.contains(' ') {
        return Err(denial(400, "invalid_request", 28_000, "Only one scope of one resource may be asked for."));
    }
    let host = scope
        .strip_prefix("https://")
        .and_then(|rest| rest.strip_suffix("/.default"))
        // `https://host//.default` is what naive joining gives; Entra treats it as another resource.
        .filter(|host| !host.is_empty() && !host.contains('/'))
        .ok_or_else(|| invalid(format!("The provided value for the input parameter 'scope' is not valid: {scope}.")))?;
    if host == DISCOVERY_HOST || state.known_hosts.contains(host) {
        return Ok(host.to_owned());
    }
    Err(denial(
        400,
        "invalid_resource",
        500_011,
        format!("The resource principal named https://{host} was not found in the tenant."),
    ))
}

/// Discovery takes the secret of any instance.
fn secret_fits(state: &State, host: &str, secret: &str) -> bool {
    let accepts = |expected: Option<&str>| expected.is_none_or(|expected| expected == secret);
    if host == DISCOVERY_HOST {
        return state.instances.is_empty()
            || state.instances.values().any(|instance| accepts(instance.spec.client_secret.as_deref()));
    }
    state.instances.get(host).is_none_or(|instance| accepts(instance.spec.client_secret.as_deref()))
}

/// A JWT signed with the application's certificate, or one a federated issuer (a cluster) made. The
/// signature is not checked: the simulated world holds no key of either.
fn check_assertion(assertion: &str, client: &str, tenant: &str, now: Timestamp) -> Result<(), Denial> {
    let malformed = || denial(401, "invalid_client", 50_027, "JWT token is invalid or malformed.");
    let parts: Vec<&str> = assertion.split('.').collect();
    let [header, claims, signature] = parts.as_slice() else { return Err(malformed()) };
    let object = |part: &str| {
        let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed())?;
        serde_json::from_slice::<Map<String, Value>>(&bytes).map_err(|_| malformed())
    };
    let (header, claims) = (object(header)?, object(claims)?);
    if URL_SAFE_NO_PAD.decode(signature).map_err(|_| malformed())?.is_empty() {
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
        let endpoint = format!("https://{SIGN_IN_HOST}/{tenant}/oauth2/v2.0/token");
        let issuer = format!("https://{SIGN_IN_HOST}/{tenant}/v2.0");
        if !audiences.iter().any(|audience| *audience == endpoint || *audience == issuer) {
            return Err(denial(
                401,
                "invalid_client",
                700_023,
                "Client assertion audience claim does not match Realm issuer.",
            ));
        }
        if text(&claims, "iss") != client || text(&claims, "sub") != client || text(&claims, "jti").is_empty() {
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
