//! Bodies and patches: decoding them as a server does, and laying them over the object.

use bytes::Bytes;
use http::{HeaderMap, Request, header};
use json_patch::{AddOperation, PatchOperation};
use serde_json::{Value, json};

use super::answer::{FieldError, Outcome, Refusal};
use super::built_in;
use super::built_in_schemas;
use super::metadata;
use super::resource;
use super::route::Route;
use super::write::{Call, FieldValidation, Transaction};

/// What an update changes.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// PUT: the whole object.
    Replace(Value),
    /// `application/merge-patch+json`, and strategic merge patches, which are read as one.
    Merge(Value),
    /// `application/json-patch+json`.
    Json(Vec<PatchOperation>),
    /// `application/apply-patch+yaml`.
    Apply(Value),
}

/// A JSON merge patch laid over an object.
pub(crate) fn merge(mut object: Value, patch: &Value) -> Value {
    json_patch::merge(&mut object, patch);
    object
}

/// A JSON patch laid over an object.
///
/// # Errors
/// 422 when an operation does not apply; like a server's, the answer does not tell which.
pub(crate) fn json(mut object: Value, operations: &[PatchOperation]) -> Outcome<Value> {
    for operation in operations {
        // The server's library lets `test` for null pass where there is nothing.
        if let PatchOperation::Test(test) = operation
            && test.value.is_null()
            && object.pointer(test.path.as_str()).is_none()
            && test.path.parent().is_some_and(|parent| object.pointer(parent.as_str()).is_some())
        {
            continue;
        }
        let operation = match operation {
            // Nor does it ask that a field to be replaced is there, as long as its parent is.
            PatchOperation::Replace(replace) if object.pointer(replace.path.as_str()).is_none() => {
                let parent = replace.path.parent().and_then(|parent| object.pointer(parent.as_str()));
                if !parent.is_some_and(Value::is_object) {
                    return Err(Refusal::patch_does_not_apply());
                }
                let (path, value) = (replace.path.clone(), replace.value.clone());
                PatchOperation::Add(AddOperation { path, value })
            }
            other => other.clone(),
        };
        json_patch::patch_unsafe(&mut object, &[operation]).map_err(|_| Refusal::patch_does_not_apply())?;
    }
    Ok(object)
}

/// Reads a JSON patch document.
///
/// # Errors
/// 400 for anything that is not a list, 422 for unknown operations, 413 for too many.
pub(crate) fn read_json_patch(body: &[u8]) -> Outcome<Vec<PatchOperation>> {
    let undecodable = |why: &str| Refusal::bad_request(format!("error decoding patch: {why}"));
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
        let mut refusal = Refusal::bad_request(message);
        refusal.code = 413;
        refusal.reason = "RequestEntityTooLarge";
        return Err(refusal);
    }
    for operation in operations.iter_mut().filter_map(Value::as_object_mut) {
        // A value left out is null.
        operation.entry("value").or_insert(Value::Null);
    }
    serde_json::from_value(Value::Array(operations)).map_err(|_| Refusal::patch_does_not_apply())
}

/// The Go type a body's kind is read with, as errors print it.
pub(crate) const TYPE_META: &str =
    r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;

/// A JSON parser's error; the one a client meets, a body cut short, in Go's words.
pub(crate) fn go_error(why: &serde_json::Error) -> String {
    if why.is_eof() { "unexpected end of JSON input".to_owned() } else { why.to_string() }
}

/// What a body of POST, PUT or DELETE may be.
///
/// # Errors
/// 415 for anything else.
pub(crate) fn check_object_type(headers: &HeaderMap) -> Outcome<()> {
    match media_type(headers) {
        "" | "application/json" | "application/yaml" | "*/*" => Ok(()),
        _ => Err(Refusal::unsupported_media_type(&[
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

/// The beginning of a body, as errors show it: JSON objects as text, anything else in hexadecimal.
fn summary(body: &[u8]) -> String {
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

/// The body of a write, by its media type; `None` for a delete.
///
/// # Errors
/// 415 for a type that is not served, 400 for a body that cannot be read.
pub(crate) fn read(route: &Route<'_>, request: &Request<Bytes>) -> Outcome<Option<Change>> {
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
                Refusal::bad_request(format!(
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
                    // Refused before anybody looks at what would be accepted.
                    let mut refusal = Refusal::unsupported_media_type(&[]);
                    "415: Unsupported Media Type".clone_into(&mut refusal.message);
                    refusal.details = Some(json!({}));
                    return Err(refusal);
                }
                return Err(Refusal::unsupported_media_type(&accepted));
            }
            match media_type {
                "application/json-patch+json" => Ok(Some(Change::Json(read_json_patch(body)?))),
                "application/apply-patch+yaml" => {
                    let config: Value = serde_saphyr::from_slice(body)
                        .map_err(|why| Refusal::bad_request(format!("error decoding YAML: {why}")))?;
                    if !config.is_object() && !config.is_null() {
                        return Err(Refusal::bad_request(format!(
                            "error decoding YAML: error unmarshaling JSON: while decoding JSON: {}",
                            metadata::cannot_unmarshal(&config, "map[string]interface {}")
                        )));
                    }
                    Ok(Some(Change::Apply(config)))
                }
                _ => {
                    let patch: Value = serde_json::from_slice(body)
                        .map_err(|why| Refusal::bad_request(format!("error decoding patch: {why}")))?;
                    if patch.is_null() {
                        return Err(Refusal::bad_request("Invalid JSON Patch"));
                    }
                    if !patch.is_object() {
                        return Err(Refusal::bad_request(format!(
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

/// An apply patch that its type cannot take: where, and why. A server stops at the first such place.
pub(crate) fn check_typed(call: &Call<'_>, config: &Value, fault: Option<(String, String)>) -> Outcome<()> {
    let Some((field, why)) = fault else { return Ok(()) };
    let version = call.resource.api_version();
    // A group without a name still ends with its slash.
    let slash = if version.contains('/') { "" } else { "/" };
    // 500 without a reason is what a real server answers here.
    Err(Refusal::unknown(format!(
        "failed to create typed patch object ({}/{}; {slash}{version}, Kind={}): .{field}: {why}",
        metadata::text(config, "namespace"),
        metadata::text(config, "name"),
        call.resource.kind
    )))
}

impl Transaction<'_> {
    /// A body of POST or PUT: type, metadata, unknown fields, defaults.
    pub(crate) fn decode_body(&mut self, object: &mut Value) -> Outcome<()> {
        let resource = self.call.resource;
        let kind = object["kind"].as_str().unwrap_or_default().to_owned();
        if kind.is_empty() {
            if resource.custom {
                return Err(Refusal::bad_request(format!(
                    "the object provided is unrecognized (must be of type {}): Object 'Kind' is missing in '{object}' ({})",
                    resource.kind,
                    summary(object.to_string().as_bytes())
                )));
            }
            // Built-in kinds take the type from the path when the body leaves it out.
            object["kind"] = json!(resource.kind);
        }
        let expected = resource.api_version();
        let stated = object["apiVersion"].as_str().unwrap_or_default();
        if stated.is_empty() && !resource.custom {
            object["apiVersion"] = json!(expected);
        } else if stated != expected {
            return Err(Refusal::bad_request(format!(
                "the API version in the data ({stated}) does not match the expected API version ({expected})"
            )));
        }
        if resource.core_event {
            resource::event_from_core(object);
        }
        whole_numbers(object);
        let kind = object["kind"].as_str().unwrap_or_default().to_owned();
        let cannot = |why: &str| {
            Refusal::bad_request(format!(
                "{kind} in version \"{}\" cannot be handled as a {}: {why}",
                resource.version, resource.kind
            ))
        };
        let unknown = metadata::normalise(object, resource).map_err(|why| cannot(&why))?;
        let unknown = self.pruned(object, unknown);
        if let Some(faults) = self.unknown_fields(&unknown) {
            return Err(cannot(&faults));
        }
        self.fill_defaults(object).map_err(|why| cannot(&why))
    }

    /// The result of a patch: as a body, with the errors a patch gives.
    pub(crate) fn decode_patched(&mut self, object: &mut Value) -> Outcome<()> {
        let shown = object.to_string();
        let invalid =
            |why: &str| Refusal::invalid("", "", "", &[FieldError::invalid("patch", shown.as_str(), why)]);
        if !object.is_object() {
            return Err(invalid("json: cannot unmarshal into Go value of type map[string]interface {}"));
        }
        whole_numbers(object);
        if object["kind"].as_str().unwrap_or_default().is_empty() {
            return Err(invalid(&format!("Object 'Kind' is missing in '{shown}'")));
        }
        let unknown = metadata::normalise(object, self.call.resource).map_err(|why| invalid(&why))?;
        let unknown = self.pruned(object, unknown);
        if let Some(faults) = self.unknown_fields(&unknown) {
            return Err(invalid(&faults));
        }
        self.fill_defaults(object).map_err(|why| invalid(&why))
    }

    fn pruned(&self, object: &mut Value, mut unknown: Vec<String>) -> Vec<String> {
        unknown.extend(if self.call.resource.custom {
            self.core.admission.prune(self.call.resource, object)
        } else {
            // An event has the shape it is stored in by now.
            let stored = self.core.catalogue.of_store(self.call.resource.store);
            built_in_schemas::prune(&stored.schema, object)
        });
        unknown
    }

    fn fill_defaults(&self, object: &mut Value) -> Result<(), String> {
        if self.call.resource.custom {
            self.core.admission.default(self.call.resource, object);
            return Ok(());
        }
        built_in::decode(self.call.resource, object)
    }

    /// Warns of unknown fields, or with `Strict` gives the text of the error.
    fn unknown_fields(&mut self, unknown: &[String]) -> Option<String> {
        if unknown.is_empty() {
            return None;
        }
        let faults: Vec<String> = unknown.iter().map(|f| format!("unknown field \"{f}\"")).collect();
        match self.call.field_validation {
            FieldValidation::Ignore => None,
            FieldValidation::Warn => {
                self.warnings.extend(faults);
                None
            }
            FieldValidation::Strict => Some(format!("strict decoding error: {}", faults.join(", "))),
        }
    }
}

/// 5.0 is stored as 5: Go writes a whole float without its point.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => {
            // Every whole float below 2^53 is exactly one integer.
            let whole = number.as_f64().filter(|n| n.fract() == 0.0 && n.abs() < 9e15);
            if let Some(integer) = whole.and_then(|n| format!("{n:.0}").parse::<i64>().ok()) {
                *value = json!(integer);
            }
        }
        Value::Array(list) => list.iter_mut().for_each(whole_numbers),
        Value::Object(map) => map.values_mut().for_each(whole_numbers),
        _ => {}
    }
}
