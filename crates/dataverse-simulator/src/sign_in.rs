//! The token endpoint: client credentials in, a bearer token bound to one host out.

use std::collections::BTreeMap;

use http::{HeaderMap, Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use url::form_urlencoded;
use uuid::Uuid;

use super::answer::{Answer, set_header, text_answer};
use super::assertion::{self, Certificate};
use super::clouds::{Service, cloud_of, service_at};
use super::world::State;

const LIFETIME: SignedDuration = SignedDuration::from_secs(3600);
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
pub(super) struct Denial {
    status: StatusCode,
    error: &'static str,
    number: u32,
    text: String,
}

pub(super) fn denial(status: u16, error: &'static str, number: u32, text: impl Into<String>) -> Denial {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    Denial { status, error, number, text: text.into() }
}

/// Answers a request to the sign-in host.
pub(super) fn answer(
    state: &mut State,
    now: Timestamp,
    at: &str,
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
    let outcome = grant(state, now, at, tenant, headers, body);
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
                "error_uri": format!("https://{at}/error?code={}", denial.number),
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
    at: &str,
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
            format!(
                "Specified tenant identifier '{tenant}' is neither a valid DNS name, nor a valid external domain."
            ),
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
    let host = host_of_scope(state, at, required("scope")?)?;
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
            let certificates = certificates(state, &host);
            assertion::check(assertion, client, at, tenant, now, &certificates)?;
            Ok(host)
        }
    }
}

/// `https://host/.default`, one scope, of a host of this cloud that is or was in the simulated world.
fn host_of_scope(state: &State, at: &str, scope: &str) -> Result<String, Denial> {
    let invalid = |text: String| denial(400, "invalid_scope", 70_011, text);
    if scope.contains(' ') {
        return Err(denial(
            400,
            "invalid_request",
            28_000,
            "Only one scope of one resource may be asked for.",
        ));
    }
    let host = scope
        .strip_prefix("https://")
        .and_then(|rest| rest.strip_suffix("/.default"))
        // `https://host//.default` is what naive joining gives; Entra treats it as another resource.
        .filter(|host| !host.is_empty() && !host.contains('/'))
        .ok_or_else(|| {
            invalid(format!("The provided value for the input parameter 'scope' is not valid: {scope}."))
        })?;
    let exists = is_directory(host) || state.known_hosts.contains(host);
    if exists && cloud_of(host).sign_in == at {
        return Ok(host.to_owned());
    }
    Err(denial(
        400,
        "invalid_resource",
        500_011,
        format!("The resource principal named https://{host} was not found in the tenant."),
    ))
}

fn is_directory(host: &str) -> bool {
    service_at(host) == Some(Service::Discovery)
}

/// The certificates that are good for a host; none = any. Discovery takes that of any instance.
fn certificates(state: &State, host: &str) -> Vec<Certificate> {
    let instances = state.instances.iter().filter(|(name, _)| is_directory(host) || *name == host);
    let pems = instances.filter_map(|(_, instance)| instance.spec.client_certificate.as_deref());
    pems.filter_map(Certificate::read).collect()
}

/// Discovery takes the secret of any instance.
fn secret_fits(state: &State, host: &str, secret: &str) -> bool {
    let accepts = |expected: Option<&str>| expected.is_none_or(|expected| expected == secret);
    if is_directory(host) {
        return state.instances.is_empty()
            || state.instances.values().any(|instance| accepts(instance.spec.client_secret.as_deref()));
    }
    state.instances.get(host).is_none_or(|instance| accepts(instance.spec.client_secret.as_deref()))
}
