//! The border to the schema work: what the API asks of whoever knows the definitions and the policies.

use serde_json::Value;

use super::answer::FieldError;
use super::resource::Resource;
use super::store::Actor;

/// The operation of an admission request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// CREATE.
    Create,
    /// UPDATE, also of `/status`.
    Update,
    /// DELETE; only `old_object` is there.
    Delete,
}

impl Operation {
    /// As policies see it in `request.operation`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }
}

/// What a policy may look at.
#[derive(Clone, Copy, Debug)]
pub struct AdmissionRequest<'a> {
    /// What is about to happen.
    pub operation: Operation,
    /// The kind it happens to.
    pub resource: &'a Resource,
    /// `status` for the status endpoint.
    pub subresource: Option<&'a str>,
    /// Namespace, empty for cluster-wide kinds.
    pub namespace: &'a str,
    /// Name.
    pub name: &'a str,
    /// Who asks.
    pub actor: &'a Actor,
    /// Whether nothing will be stored.
    pub dry_run: bool,
    /// The object as it would be stored; absent on delete.
    pub object: Option<&'a Value>,
    /// The object as it is; absent on create.
    pub old_object: Option<&'a Value>,
    /// The namespace object, when the kind is namespaced and the namespace exists.
    pub namespace_object: Option<&'a Value>,
    /// `CreateOptions`, `UpdateOptions`, `PatchOptions` or `DeleteOptions` of the request.
    pub options: &'a Value,
}

/// A policy's no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// What follows `… is forbidden: `, such as
    /// `ValidatingAdmissionPolicy 'p' with binding 'b' denied request: …`.
    pub message: String,
    /// The HTTP code; a `ValidatingAdmissionPolicy` without a `reason` answers 422.
    pub code: u16,
    /// The reason that goes with the code; `Invalid` for 422.
    pub reason: &'static str,
}

impl Denial {
    /// What a `ValidatingAdmissionPolicy` without a `reason` answers: 422 `Invalid`.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 422, reason: "Invalid" }
    }

    /// 403 `Forbidden`.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 403, reason: "Forbidden" }
    }
}

/// The policies' answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Set when the request is refused.
    pub denied: Option<Denial>,
    /// Texts for `Warning: 299` headers, also given when the request is refused.
    pub warnings: Vec<String>,
}

/// Pruning, defaulting, validation and policies, done by whoever knows the definitions.
///
/// Every method runs under the store's lock and must neither block nor call the API. `prune`, `default` and
/// `validate` are called for custom resources only; `admit` for every kind. Metadata, kind and `apiVersion` are
/// checked by the API itself.
pub trait Admission: Send + Sync {
    /// Drops what the schema does not know (and nulls it does not allow). Returns the dropped paths, as
    /// `fieldValidation` names them: `spec.nope`, `spec.list[0].nope`.
    fn prune(&self, resource: &Resource, object: &mut Value) -> Vec<String>;

    /// Fills in the schema's defaults.
    fn default(&self, resource: &Resource, object: &mut Value);

    /// Schema and CEL rules. `old` is absent on create; for `subresource` `status` only the status is new.
    fn validate(
        &self,
        resource: &Resource,
        subresource: Option<&str>,
        object: &Value,
        old: Option<&Value>,
    ) -> Vec<FieldError>;

    /// Admission policies.
    fn admit(&self, request: &AdmissionRequest<'_>) -> Verdict;
}

/// Accepts everything, keeps everything: for tests of the API itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Permissive;

impl Admission for Permissive {
    fn prune(&self, _: &Resource, _: &mut Value) -> Vec<String> {
        Vec::new()
    }

    fn default(&self, _: &Resource, _: &mut Value) {}

    fn validate(&self, _: &Resource, _: Option<&str>, _: &Value, _: Option<&Value>) -> Vec<FieldError> {
        Vec::new()
    }

    fn admit(&self, _: &AdmissionRequest<'_>) -> Verdict {
        Verdict::default()
    }
}
