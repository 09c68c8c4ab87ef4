//! The token endpoint: client credentials in, a bearer token for one host out.

use std::collections::BTreeMap;

use http::{HeaderMap, Method, StatusCode};
use jiff::Timestamp;
use serde_json::json;
use url::form_urlencoded;
use uuid::Uuid;

use crate::access_tokens::LIFETIME;
use crate::clouds::{CloudService, cloud_of, service_at};
use crate::response::{HttpResponse, set_header, text_response};
use crate::sign_in::assertion;
use crate::sign_in::client_certificate::ClientCertificate;
use crate::sign_in::oauth_error::OAuthError;
use crate::state::SimulatorState;

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Answers a request to the sign-in host.
pub(crate) fn answer(
    state: &mut SimulatorState,
    now: Timestamp,
    sign_in: &str,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> HttpResponse {
    let tenant = path.strip_prefix('/').and_then(|path| path.strip_suffix("/oauth2/v2.0/token"));
    let Some(tenant) = tenant.filter(|tenant| !tenant.contains('/')) else {
        return text_response(StatusCode::NOT_FOUND, "text/html", "<h1>404 Not Found</h1>");
    };
    if method != Method::POST {
        return text_response(StatusCode::METHOD_NOT_ALLOWED, "text/html", "<h1>405</h1>");
    }
    let granted = grant(state, now, sign_in, tenant, headers, body);
    let (status, body) = match granted {
        Ok(host) => {
            let token = state.access_tokens.issue(&host, now);
            let seconds = LIFETIME.as_secs() - 1;
            let body = json!({
                "token_type": "Bearer",
                "expires_in": seconds,
                "ext_expires_in": seconds,
                "access_token": token,
            });
            (StatusCode::OK, body)
        }
        Err(error) => (error.status, error.body(sign_in, now)),
    };
    let mut response = text_response(status, "application/json; charset=utf-8", body.to_string());
    set_header(&mut response, "cache-control", "no-store, no-cache");
    set_header(&mut response, "pragma", "no-cache");
    response
}

/// The host that the token is issued for.
fn grant(
    state: &SimulatorState,
    now: Timestamp,
    sign_in: &str,
    tenant: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<String, OAuthError> {
    let content_type = headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !content_type.starts_with("application/x-www-form-urlencoded") {
        return Err(OAuthError::invalid_request(900_144, "The request body must be a form."));
    }
    if matches!(tenant, "" | "common" | "organizations" | "consumers") {
        return Err(OAuthError::invalid_request(50_059, "No tenant-identifying information found."));
    }
    let is_domain = tenant.contains('.') && url::Host::parse(tenant).is_ok();
    if Uuid::parse_str(tenant).is_err() && !is_domain {
        return Err(OAuthError::invalid_request(
            900_023,
            format!(
                "Specified tenant identifier '{tenant}' is neither a valid DNS name, nor a valid external domain."
            ),
        ));
    }
    let mut form: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(body) {
        if form.insert(name.to_string(), value.into_owned()).is_some() {
            return Err(OAuthError::invalid_request(90_102, format!("'{name}' is given more than once.")));
        }
    }
    let field = |name: &str| form.get(name).map(String::as_str).filter(|value| !value.is_empty());
    let required = |name: &str| {
        field(name).ok_or_else(|| {
            OAuthError::invalid_request(
                900_144,
                format!("The request body must contain the following parameter: '{name}'."),
            )
        })
    };
    if required("grant_type")? != "client_credentials" {
        return Err(OAuthError::new(
            StatusCode::BAD_REQUEST,
            "unsupported_grant_type",
            70_003,
            "The grant type is not supported.",
        ));
    }
    let client = required("client_id")?;
    let host = host_of_scope(state, sign_in, required("scope")?)?;
    match (field("client_secret"), field("client_assertion")) {
        (Some(_), Some(_)) => {
            Err(OAuthError::invalid_request(90_023, "Give a client secret or an assertion, not both."))
        }
        (None, None) => Err(OAuthError::invalid_client(
            7_000_218,
            "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
        )),
        (Some(secret), None) if !accepts_secret(state, &host, secret) => Err(OAuthError::invalid_client(
            7_000_215,
            format!(
                "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '{client}'."
            ),
        )),
        (Some(_), None) => Ok(host),
        (None, Some(assertion)) => {
            if field("client_assertion_type") != Some(JWT_BEARER) {
                return Err(OAuthError::invalid_request(
                    900_144,
                    "The request body must contain the following parameter: 'client_assertion_type'.",
                ));
            }
            let certificates = certificates(state, &host);
            assertion::check(assertion, client, sign_in, tenant, now, &certificates)?;
            Ok(host)
        }
    }
}

/// One scope, `https://host/.default`, of an instance of this cloud that is or was applied.
fn host_of_scope(state: &SimulatorState, sign_in: &str, scope: &str) -> Result<String, OAuthError> {
    let invalid = |text: String| OAuthError::new(StatusCode::BAD_REQUEST, "invalid_scope", 70_011, text);
    if scope.contains(' ') {
        return Err(OAuthError::invalid_request(28_000, "Only one scope of one resource may be asked for."));
    }
    let host = scope
        .strip_prefix("https://")
        .and_then(|rest| rest.strip_suffix("/.default"))
        // `https://host//.default` results from joining carelessly; Entra treats it as a different resource.
        .filter(|host| !host.is_empty() && !host.contains('/'))
        .ok_or_else(|| {
            invalid(format!("The provided value for the input parameter 'scope' is not valid: {scope}."))
        })?;
    let exists = is_discovery(host) || state.known_hosts.contains(host);
    if exists && cloud_of(host).sign_in == sign_in {
        return Ok(host.to_owned());
    }
    Err(OAuthError::new(
        StatusCode::BAD_REQUEST,
        "invalid_resource",
        500_011,
        format!("The resource principal named https://{host} was not found in the tenant."),
    ))
}

fn is_discovery(host: &str) -> bool {
    service_at(host) == Some(CloudService::Discovery)
}

/// The certificates accepted for a host; empty = any. Discovery accepts that of any instance.
fn certificates(state: &SimulatorState, host: &str) -> Vec<ClientCertificate> {
    let instances = state.instances.iter().filter(|(name, _)| is_discovery(host) || *name == host);
    let pems = instances.filter_map(|(_, instance)| instance.spec.client_certificate.as_deref());
    pems.filter_map(ClientCertificate::read).collect()
}

/// Whether a secret is accepted for a host. Discovery accepts that of any instance.
fn accepts_secret(state: &SimulatorState, host: &str, secret: &str) -> bool {
    let accepts = |expected: Option<&str>| expected.is_none_or(|expected| expected == secret);
    if is_discovery(host) {
        return state.instances.is_empty()
            || state.instances.values().any(|instance| accepts(instance.spec.client_secret.as_deref()));
    }
    state.instances.get(host).is_none_or(|instance| accepts(instance.spec.client_secret.as_deref()))
}
