//! Request bodies and patches: parsing them as a server does, and applying patches to an object.

use bytes::Bytes;
use http::{HeaderMap, Request, header};
use json_patch::{AddOperation, PatchOperation};
use serde_json::{Value, json};

use crate::metadata;
use crate::route::Route;
use crate::status::{ApiResult, StatusError};

/// What an update changes.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// PUT: the whole object.
    Replace(Value),
    /// `application/merge-patch+json`, and strategic merge patches, which are treated as merge patches.
    Merge(Value),
    /// `application/json-patch+json`.
    Json(Vec<PatchOperation>),
    /// `application/apply-patch+yaml`.
    Apply(Value),
}

/// Applies a JSON merge patch.
pub(crate) fn merge(mut object: Value, patch: &Value) -> Value {
    json_patch::merge(&mut object, patch);
    object
}

/// Applies a JSON patch.
///
/// # Errors
/// 422 when an operation does not apply. As on a server, the answer does not say which.
pub(crate) fn json(mut object: Value, operations: &[PatchOperation]) -> ApiResult<Value> {
    for operation in operations {
        // In the server's library a `test` for null succeeds where the value is absent.
        if let PatchOperation::Test(test) = operation
            && test.value.is_null()
            && object.pointer(test.path.as_str()).is_none()
            && test.path.parent().is_some_and(|parent| object.pointer(parent.as_str()).is_some())
        {
            continue;
        }
        let operation = match operation {
            // There `replace` also succeeds where the value is absent but its parent exists.
            PatchOperation::Replace(replace) if object.pointer(replace.path.as_str()).is_none() => {
                let parent = replace.path.parent().and_then(|parent| object.pointer(parent.as_str()));
                if !parent.is_some_and(Value::is_object) {
                    return Err(StatusError::patch_does_not_apply());
                }
                let (path, value) = (replace.path.clone(), replace.value.clone());
                PatchOperation::Add(AddOperation { path, value })
            }
            other => other.clone(),
        };
        json_patch::patch_unsafe(&mut object, &[operation])
            .map_err(|_| StatusError::patch_does_not_apply())?;
    }
    Ok(object)
}

/// Parses a JSON patch document.
///
/// # Errors
/// 400 for anything that is not a list, 422 for unknown operations, 413 for too many.
pub(crate) fn read_json_patch(body: &[u8]) -> ApiResult<Vec<PatchOperation>> {
    let undecodable = |why: &str| StatusError::bad_request(format!("error decoding patch: {why}"));
    let document: Value = serde_json::from_slice(body).map_err(|why| undecodable(&why.to_string()))?;
    let cannot = |is: &Value, what: &str| {
        let is = metadata::json_type(is);
        Err(undecodable(&format!(
            "json: cannot unmarshal {is} into Go value of type {what}handlers.jsonPatchOp"
        )))
    };
    let mut operations = match document {
        Value::Array(operations) => operations,
        Value::Null => Vec::new(),
        other => return cannot(&other, "[]"),
    };
    if let Some(other) = operations.iter().find(|operation| !operation.is_object() && !operation.is_null()) {
        return cannot(other, "");
    }
    if operations.len() > 10_000 {
        let message = format!(
            "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got {}",
            operations.len()
        );
        let mut error = StatusError::bad_request(message);
        error.code = 413;
        error.reason = "RequestEntityTooLarge";
        return Err(error);
    }
    for operation in operations.iter_mut().filter_map(Value::as_object_mut) {
        // An absent value is null.
        operation.entry("value").or_insert(Value::Null);
    }
    serde_json::from_value(Value::Array(operations)).map_err(|_| StatusError::patch_does_not_apply())
}

/// The Go type that a server decodes the type of a body into, as errors print it.
pub(crate) const TYPE_META: &str =
    r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;

/// The error of a JSON parser. For a truncated body, which is what clients meet, in Go's words.
pub(crate) fn go_error(why: &serde_json::Error) -> String {
    if why.is_eof() { "unexpected end of JSON input".to_owned() } else { why.to_string() }
}

/// Checks the media type of the body of a POST, PUT or DELETE.
///
/// # Errors
/// 415 for anything else.
pub(crate) fn check_object_type(headers: &HeaderMap) -> ApiResult<()> {
    match media_type(headers) {
        "" | "application/json" | "application/yaml" | "*/*" => Ok(()),
        _ => Err(StatusError::unsupported_media_type(&[
            "application/json",
            "application/yaml",
            "application/vnd.kubernetes.protobuf",
        ])),
    }
}

fn media_type(headers: &HeaderMap) -> &str {
    let full = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    full.split(';').next().unwrap_or_default().trim()
}

/// The beginning of a body as errors show it: JSON objects as text, anything else in hexadecimal.
pub(crate) fn summary(body: &[u8]) -> String {
    let shown = &body[..body.len().min(30)];
    let more = if shown.len() < body.len() { " ..." } else { "" };
    match body.first() {
        None => "<empty>".to_owned(),
        Some(b'{') => format!("{}{more}", String::from_utf8_lossy(shown)),
        Some(_) => shown
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .chain([more.to_owned()])
            .collect::<Vec<_>>()
            .concat(),
    }
}

/// Parses the body of a write by its media type. `None` for a delete.
///
/// # Errors
/// 415 for an unsupported media type, 400 for a body that cannot be parsed.
pub(crate) fn read(route: &Route<'_>, request: &Request<Bytes>) -> ApiResult<Option<Change>> {
    let media_type = media_type(request.headers());
    let body = request.body();
    match route.verb {
        "create" | "update" => {
            check_object_type(request.headers())?;
            let object = if media_type == "application/yaml" {
                serde_saphyr::from_slice(body).map_err(|why| why.to_string())
            } else {
                serde_json::from_slice(body)
                    .map_err(|why| format!("couldn't get version/kind; json parse error: {}", go_error(&why)))
            };
            let object = object.and_then(|object: Value| match object {
                Value::Object(_) => Ok(object),
                Value::Null => Err("Object 'Kind' is missing in 'null'".to_owned()),
                other => Err(format!(
                    "couldn't get version/kind; json parse error: {}",
                    metadata::cannot_unmarshal(&other, TYPE_META)
                )),
            });
            object.map(Change::Replace).map(Some).map_err(|why| {
                StatusError::bad_request(format!(
                    "the object provided is unrecognized (must be of type {}): {why} ({})",
                    route.resource.kind,
                    summary(body)
                ))
            })
        }
        "patch" => {
            let mut accepted = vec!["application/json-patch+json", "application/merge-patch+json"];
            if !route.resource.custom {
                accepted.push("application/strategic-merge-patch+json");
            }
            accepted.push("application/apply-patch+yaml");
            if !accepted.contains(&media_type) {
                if !route.resource.custom {
                    // A server rejects it before it knows the accepted types.
                    let mut error = StatusError::unsupported_media_type(&[]);
                    "415: Unsupported Media Type".clone_into(&mut error.message);
                    error.details = Some(json!({}));
                    return Err(error);
                }
                return Err(StatusError::unsupported_media_type(&accepted));
            }
            match media_type {
                "application/json-patch+json" => Ok(Some(Change::Json(read_json_patch(body)?))),
                "application/apply-patch+yaml" => {
                    let config: Value = serde_saphyr::from_slice(body)
                        .map_err(|why| StatusError::bad_request(format!("error decoding YAML: {why}")))?;
                    if !config.is_object() && !config.is_null() {
                        return Err(StatusError::bad_request(format!(
                            "error decoding YAML: error unmarshaling JSON: while decoding JSON: {}",
                            metadata::cannot_unmarshal(&config, "map[string]interface {}")
                        )));
                    }
                    Ok(Some(Change::Apply(config)))
                }
                _ => {
                    let patch: Value = serde_json::from_slice(body)
                        .map_err(|why| StatusError::bad_request(format!("error decoding patch: {why}")))?;
                    if patch.is_null() {
                        return Err(StatusError::bad_request("Invalid JSON Patch"));
                    }
                    if !patch.is_object() {
                        return Err(StatusError::bad_request(format!(
                            "error decoding patch: {}",
                            metadata::cannot_unmarshal(&patch, "map[string]interface {}")
                        )));
                    }
                    Ok(Some(Change::Merge(patch)))
                }
            }
        }
        _ => Ok(None),
    }
}
