//! Admission by the schemas of CRDs and by `ValidatingAdmissionPolicy` objects.

use std::collections::HashMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

use crate::admission::{Admission, AdmissionRequest, AdmissionResponse, Denial};
use crate::field_error::FieldError;
use crate::resource::Resource;
use crate::schema::policies::Policies;
use crate::schema::{Schema, SchemaError};

/// Prunes, defaults, validates and admits objects as an API server does, from the CRDs and policies that are
/// installed on a cluster.
pub struct SchemaAdmission {
    schemas: HashMap<String, Schema>,
    policies: Policies,
}

impl SchemaAdmission {
    /// Compiles the served versions of CRDs, and takes over compiled policies. `Policies::default()` has none.
    ///
    /// # Errors
    /// When a schema or a CEL rule does not compile.
    pub fn new(crds: &[CustomResourceDefinition], policies: Policies) -> Result<Self, SchemaError> {
        let mut schemas = HashMap::new();
        for crd in crds {
            for version in crd.spec.versions.iter().filter(|v| v.served) {
                schemas.insert(crd.spec.names.plural.clone(), Schema::from_crd(crd, &version.name)?);
            }
        }
        Ok(Self { schemas, policies })
    }

    /// The schema of a kind, by its plural.
    pub fn schema(&self, plural: &str) -> Option<&Schema> {
        self.schemas.get(plural)
    }
}

impl Admission for SchemaAdmission {
    fn prune(&self, resource: &Resource, object: &mut Value) -> Vec<String> {
        self.schema(&resource.plural).map(|schema| schema.prune(object)).unwrap_or_default()
    }

    fn default(&self, resource: &Resource, object: &mut Value) {
        if let Some(schema) = self.schema(&resource.plural) {
            schema.default(object);
        }
    }

    fn validate(
        &self,
        resource: &Resource,
        subresource: Option<&str>,
        object: &Value,
        old: Option<&Value>,
    ) -> Vec<FieldError> {
        let Some(schema) = self.schema(&resource.plural) else { return Vec::new() };
        let mut errors = schema.validate(object, old);
        // The API has checked the metadata already; here it only decides whether CEL rules can run.
        errors.retain(|error| !error.field.starts_with("metadata"));
        if subresource == Some("status") {
            // A server passes the status alone to the OpenAPI validator, so its texts name paths inside the status.
            for FieldError { field, detail, .. } in &mut errors {
                let inside = field.strip_prefix("status").unwrap_or(field);
                let inside = inside.strip_prefix('.').unwrap_or(inside);
                *detail = detail.replace(&format!("{field} in body"), &format!("{inside} in body"));
            }
        }
        errors
    }

    fn admit(
        &self,
        request: &AdmissionRequest,
        object: Option<&Value>,
        old_object: Option<&Value>,
        namespace_object: Option<&Value>,
    ) -> AdmissionResponse {
        let decision = self.policies.evaluate(request, object, old_object, namespace_object);
        AdmissionResponse {
            // The server answers with the first denial.
            denied: decision.denials.first().map(|denial| Denial {
                message: denial.text(),
                code: denial.code(),
                reason: match denial.code() {
                    401 => "Unauthorized",
                    403 => "Forbidden",
                    413 => "RequestEntityTooLarge",
                    _ => "Invalid",
                },
            }),
            warnings: decision.warnings,
        }
    }
}
