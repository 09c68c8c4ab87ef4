//! The schema work and the policies of our own CRDs, as the in-memory API asks for them. No second copy of anything:
//! definitions and policies are the ones that are installed on a cluster.

use super::{
    admission::{Admission, AdmissionRequest, Denial, Operation, Verdict},
    answer::{Cause, FieldError},
    resource::Resource,
};
use crate::schema::{
    FieldErrorKind, Schema, SchemaError,
    policies::{self, AdmissionRequestInfo, Policies, UserInfo},
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;
use std::collections::HashMap;

/// Validation, defaulting, pruning, CEL and admission policies by `schema`.
pub struct SchemaAdmission {
    schemas: HashMap<String, Schema>,
    policies: Policies,
}

impl SchemaAdmission {
    /// Compiles definitions (the one version each serves) and policies.
    ///
    /// # Errors
    /// A schema, rule or policy that does not compile.
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

fn cause(kind: FieldErrorKind) -> Cause {
    match kind {
        FieldErrorKind::Required => Cause::Required,
        FieldErrorKind::Invalid => Cause::Invalid,
        FieldErrorKind::TypeInvalid => Cause::TypeInvalid,
        FieldErrorKind::NotSupported => Cause::NotSupported,
        FieldErrorKind::TooLong => Cause::TooLong,
        FieldErrorKind::TooMany => Cause::TooMany,
        FieldErrorKind::Duplicate => Cause::Duplicate,
        FieldErrorKind::Forbidden => Cause::Forbidden,
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
        schema
            .validate(object, old)
            .into_iter()
            // The API has judged the metadata itself; here it only decides whether rules can run.
            .filter(|error| !error.path.starts_with("metadata"))
            .map(|error| {
                let mut body = error.body();
                if subresource == Some("status") {
                    // A server hands the validator the status alone, which then knows no longer path.
                    let inside = error.path.strip_prefix("status").unwrap_or(&error.path);
                    let inside = inside.strip_prefix('.').unwrap_or(inside);
                    body = body.replace(&format!("{} in body", error.path), &format!("{inside} in body"));
                }
                FieldError { cause: cause(error.kind), body, field: error.path }
            })
            .collect()
    }

    fn admit(&self, request: &AdmissionRequest<'_>) -> Verdict {
        let info = AdmissionRequestInfo {
            operation: match request.operation {
                Operation::Create => policies::Operation::Create,
                Operation::Update => policies::Operation::Update,
                Operation::Delete => policies::Operation::Delete,
            },
            user: UserInfo { name: request.actor.user.clone(), groups: request.actor.groups.clone() },
            dry_run: request.dry_run,
            group: request.resource.group.clone(),
            version: request.resource.version.clone(),
            kind: request.resource.kind.clone(),
            resource: request.resource.plural.clone(),
            subresource: request.subresource.map(str::to_owned),
            namespace: (!request.namespace.is_empty()).then(|| request.namespace.to_owned()),
            name: request.name.to_owned(),
        };
        let verdict =
            self.policies.evaluate(&info, request.object, request.old_object, request.namespace_object);
        Verdict {
            denied: verdict.denied.first().map(|denial| Denial {
                message: denial.text(),
                code: denial.code(),
                reason: match denial.code() {
                    401 => "Unauthorized",
                    403 => "Forbidden",
                    413 => "RequestEntityTooLarge",
                    _ => "Invalid",
                },
            }),
            warnings: verdict.warnings,
        }
    }
}
