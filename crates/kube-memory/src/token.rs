//! `serviceaccounts/token`: tokens of the right form, whose signature is none. No real service accepts them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use jiff::ToSpan as _;
use serde_json::{Value, json};

use crate::field_error::FieldError;
use crate::metadata;
use crate::route::Route;
use crate::server::Server;
use crate::status::{ApiResult, StatusError};
use crate::store::to_bytes;

/// Answers a `TokenRequest`.
///
/// # Errors
/// 404 for an unknown service account, 422 for a lifetime below ten minutes.
pub(crate) fn issue(server: &Server, route: &Route<'_>, body: &Bytes) -> ApiResult<Bytes> {
    let mut request: Value =
        serde_json::from_slice(body).map_err(|why| StatusError::bad_request(why.to_string()))?;
    let key = route.resource.key(&route.namespace, &route.name);
    let account = server
        .state()
        .store
        .get(route.resource.store, &key)
        .map(|stored| stored.value())
        .ok_or_else(|| StatusError::not_found(route.resource, &route.name))?;
    let seconds = request["spec"]["expirationSeconds"].as_i64().unwrap_or(3600);
    if seconds < 600 {
        let detail = "may not specify a duration less than 10 minutes";
        let error = FieldError::invalid("spec.expirationSeconds", seconds, detail);
        return Err(StatusError::invalid("authentication.k8s.io", "TokenRequest", "", &[error]));
    }
    let audiences = match &request["spec"]["audiences"] {
        Value::Array(list) if !list.is_empty() => json!(list),
        _ => json!(["https://kubernetes.default.svc"]),
    };
    let now = server.now();
    let expires = now.checked_add(seconds.seconds()).unwrap_or(jiff::Timestamp::MAX);
    let claims = json!({
        "aud": audiences, "iss": "https://kubernetes.default.svc",
        "sub": format!("system:serviceaccount:{}:{}", route.namespace, route.name),
        "iat": now.as_second(), "exp": expires.as_second(),
        "kubernetes.io": {"namespace": route.namespace,
            "serviceaccount": {"name": route.name, "uid": metadata::text(&account, "uid")}},
    });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    // A simulated sign-in service refuses a token that is not signed at all, as a real one does.
    let signature = URL_SAFE_NO_PAD.encode("not a signature");
    let token = format!("{}.{}.{signature}", part(&json!({"alg": "RS256"})), part(&claims));
    request["kind"] = json!("TokenRequest");
    request["apiVersion"] = json!("authentication.k8s.io/v1");
    request["metadata"] = json!({
        "name": route.name, "namespace": route.namespace, "uid": metadata::text(&account, "uid"), "creationTimestamp": metadata::rfc3339_seconds(now),
    });
    request["spec"]["audiences"] = audiences;
    request["spec"]["expirationSeconds"] = json!(seconds);
    if request["spec"].get("boundObjectRef").is_none() {
        request["spec"]["boundObjectRef"] = Value::Null;
    }
    request["status"] = json!({"token": token, "expirationTimestamp": metadata::rfc3339_seconds(expires)});
    Ok(to_bytes(&request))
}
