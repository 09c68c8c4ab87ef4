//! `CreateOptions`, `UpdateOptions`, `PatchOptions`, `DeleteOptions`: read from the query or the body, and checked.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, header};
use serde_json::{Value, json};

use crate::field_error::{FieldError, FieldErrorKind};
use crate::metadata;
use crate::patch;
use crate::route::Route;
use crate::status::{ApiResult, StatusError};
use crate::transaction::{FieldValidation, WriteRequest};
use crate::user_info::UserInfo;

/// The options of a write, from the path, the query and the headers.
///
/// # Errors
/// 422 for options that are not allowed.
pub(crate) fn read<'a>(
    route: &'a Route<'a>,
    headers: &HeaderMap,
    query: &HashMap<String, String>,
    user: Arc<UserInfo>,
) -> ApiResult<WriteRequest<'a>> {
    let text = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
    let kind = match route.verb {
        "create" => "CreateOptions",
        "update" => "UpdateOptions",
        "patch" => "PatchOptions",
        _ => "DeleteOptions",
    };
    let mut errors = Vec::new();
    let is_apply = route.verb == "patch"
        && headers
            .get(header::CONTENT_TYPE)
            .and_then(|v| v.to_str().ok())
            .is_some_and(|t| t.starts_with("application/apply-patch"));
    let manager = text("fieldManager");
    if is_apply && manager.is_empty() {
        errors.push(FieldError::required("fieldManager", "is required for apply patch"));
    }
    if !is_apply && query.contains_key("force") {
        errors.push(FieldError::forbidden("force", "may not be specified for non-apply patch"));
    }
    if let Some((at, c)) = manager.chars().enumerate().find(|(_, c)| c.is_control()) {
        let detail = format!("invalid character U+{:04X} (at position {at})", u32::from(c));
        errors.push(FieldError::invalid("fieldManager", manager, &detail));
    }
    if manager.len() > 128 {
        let detail = "may not be more than 128 bytes";
        errors.push(FieldError::new("fieldManager", FieldErrorKind::TooLong, None, detail));
    }
    let dry_run = text("dryRun");
    if !["", "All"].contains(&dry_run) {
        errors.push(FieldError::not_supported("dryRun", json!([dry_run]), &["All"]));
    }
    let field_validation = match text("fieldValidation") {
        "" | "Warn" => FieldValidation::Warn,
        "Ignore" => FieldValidation::Ignore,
        "Strict" => FieldValidation::Strict,
        other => {
            let known = ["", "Ignore", "Strict", "Warn"];
            errors.push(FieldError::not_supported("fieldValidation", other, &known));
            FieldValidation::Warn
        }
    };
    if !errors.is_empty() {
        return Err(StatusError::invalid_options(kind, &errors));
    }
    let force = text("force") == "true";
    Ok(WriteRequest {
        resource: route.resource,
        namespace: &route.namespace,
        name: &route.name,
        subresource: &route.subresource,
        user,
        manager: if manager.is_empty() { from_user_agent(headers) } else { manager.to_owned() },
        dry_run: dry_run == "All",
        field_validation,
        force,
    })
}

/// The default field manager: the program named by the user agent.
fn from_user_agent(headers: &HeaderMap) -> String {
    let agent = headers.get(header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let name = agent.split('/').next().unwrap_or_default();
    name.chars().filter(|c| !c.is_control()).take(128).collect()
}

/// `DeleteOptions` from the body or, without one, from the query.
///
/// # Errors
/// 400 for a body that is not `DeleteOptions`, 415 for another media type.
pub(crate) fn delete_options(request: &Request<Bytes>, query: &HashMap<String, String>) -> ApiResult<Value> {
    let body = request.body();
    if !body.is_empty() {
        patch::check_object_type(request.headers())?;
        let options: Value = serde_json::from_slice(body).map_err(|why| {
            StatusError::bad_request(format!(
                "couldn't get version/kind; json parse error: {}",
                patch::go_error(&why)
            ))
        })?;
        if !options.is_object() {
            let why = metadata::cannot_unmarshal(&options, patch::TYPE_META);
            return Err(StatusError::bad_request(format!(
                "couldn't get version/kind; json parse error: {why}"
            )));
        }
        let text = |field: &str| options[field].as_str().unwrap_or_default();
        // Reading another object as options would delete without the intended preconditions.
        if !["", "DeleteOptions"].contains(&text("kind")) {
            return Err(StatusError::bad_request(format!(
                "no kind \"{}\" is registered for version \"{}\" in scheme \"pkg/runtime/scheme.go:111\"",
                text("kind"),
                text("apiVersion")
            )));
        }
        let grace = &options["gracePeriodSeconds"];
        if !grace.is_null() && !grace.is_i64() {
            return Err(StatusError::bad_request(format!(
                "json: cannot unmarshal {} into Go struct field DeleteOptions.gracePeriodSeconds of type int64",
                metadata::json_type(grace)
            )));
        }
        return Ok(options);
    }
    let mut options = json!({});
    if let Some(policy) = query.get("propagationPolicy") {
        options["propagationPolicy"] = json!(policy);
    }
    if let Some(dry_run) = query.get("dryRun").filter(|v| !v.is_empty()) {
        options["dryRun"] = json!([dry_run]);
    }
    if let Some(orphan) = query.get("orphanDependents") {
        options["orphanDependents"] = json!(orphan == "true");
    }
    Ok(options)
}
