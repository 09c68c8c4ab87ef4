//! Decoding of request bodies and of patched objects: type, metadata, unknown fields, defaults.

use serde_json::{Value, json};

use crate::built_in;
use crate::built_in_schemas;
use crate::field_error::FieldError;
use crate::metadata;
use crate::patch::summary;
use crate::resource;
use crate::status::{ApiResult, StatusError};
use crate::transaction::{FieldValidation, Transaction};

impl Transaction<'_> {
    /// Decodes the body of a POST or PUT.
    pub(crate) fn decode_body(&mut self, object: &mut Value) -> ApiResult<()> {
        let resource = self.request.resource;
        let kind = object["kind"].as_str().unwrap_or_default().to_owned();
        if kind.is_empty() {
            if resource.custom {
                return Err(StatusError::bad_request(format!(
                    "the object provided is unrecognized (must be of type {}): Object 'Kind' is missing in '{object}' ({})",
                    resource.kind,
                    summary(object.to_string().as_bytes())
                )));
            }
            // Built-in kinds take the type from the path if the body omits it.
            object["kind"] = json!(resource.kind);
        }
        let expected = resource.api_version();
        let stated = object["apiVersion"].as_str().unwrap_or_default();
        if stated.is_empty() && !resource.custom {
            object["apiVersion"] = json!(expected);
        } else if stated != expected {
            return Err(StatusError::bad_request(format!(
                "the API version in the data ({stated}) does not match the expected API version ({expected})"
            )));
        }
        if resource.core_event {
            resource::event_from_core(object);
        }
        whole_numbers(object);
        let kind = object["kind"].as_str().unwrap_or_default().to_owned();
        let cannot = |why: &str| {
            StatusError::bad_request(format!(
                "{kind} in version \"{}\" cannot be handled as a {}: {why}",
                resource.version, resource.kind
            ))
        };
        let unknown = metadata::normalize(object, resource).map_err(|why| cannot(&why))?;
        let unknown = self.pruned(object, unknown);
        if let Some(problems) = self.unknown_fields(&unknown) {
            return Err(cannot(&problems));
        }
        self.fill_defaults(object).map_err(|why| cannot(&why))
    }

    /// Decodes the result of a patch. As [`Self::decode_body`], with the errors of a patch.
    pub(crate) fn decode_patched(&mut self, object: &mut Value) -> ApiResult<()> {
        let shown = object.to_string();
        let invalid = |why: &str| {
            StatusError::invalid("", "", "", &[FieldError::invalid("patch", shown.as_str(), why)])
        };
        if !object.is_object() {
            return Err(invalid("json: cannot unmarshal into Go value of type map[string]interface {}"));
        }
        whole_numbers(object);
        if object["kind"].as_str().unwrap_or_default().is_empty() {
            return Err(invalid(&format!("Object 'Kind' is missing in '{shown}'")));
        }
        let unknown = metadata::normalize(object, self.request.resource).map_err(|why| invalid(&why))?;
        let unknown = self.pruned(object, unknown);
        if let Some(problems) = self.unknown_fields(&unknown) {
            return Err(invalid(&problems));
        }
        self.fill_defaults(object).map_err(|why| invalid(&why))
    }

    fn pruned(&self, object: &mut Value, mut unknown: Vec<String>) -> Vec<String> {
        unknown.extend(if self.request.resource.custom {
            self.server.admission.prune(self.request.resource, object)
        } else {
            // By now an event has the shape it is stored in.
            let stored = self.server.registry.of_store(self.request.resource.store);
            built_in_schemas::prune(&stored.schema, object)
        });
        unknown
    }

    fn fill_defaults(&self, object: &mut Value) -> Result<(), String> {
        if self.request.resource.custom {
            self.server.admission.default(self.request.resource, object);
            return Ok(());
        }
        built_in::decode(self.request.resource, object)
    }

    /// Warns of unknown fields. With `Strict`, returns the text of the error instead.
    fn unknown_fields(&mut self, unknown: &[String]) -> Option<String> {
        if unknown.is_empty() {
            return None;
        }
        let problems: Vec<String> = unknown.iter().map(|f| format!("unknown field \"{f}\"")).collect();
        match self.request.field_validation {
            FieldValidation::Ignore => None,
            FieldValidation::Warn => {
                self.warnings.extend(problems);
                None
            }
            FieldValidation::Strict => Some(format!("strict decoding error: {}", problems.join(", "))),
        }
    }
}

/// Replaces 5.0 by 5: Go writes a whole float without a point.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => {
            // Every whole float below 2^53 is an exact integer.
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
