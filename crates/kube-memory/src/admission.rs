//! Admission: what the API asks of the code that knows the schemas and the policies.

use serde_json::Value;

use crate::field_error::FieldError;
use crate::resource::Resource;
use crate::user_info::UserInfo;

/// The operation of an admission request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// An object is created, by POST or by applying one that does not exist.
    Create,
    /// A change of the object or of its status, by PUT, PATCH or apply.
    Update,
    /// A request to delete an object, alone or with its collection.
    Delete,
}

impl Operation {
    /// The spelling of the admission API, such as `CREATE`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }
}

/// What an admission policy sees of a request besides the objects: `request` in CEL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdmissionRequest {
    /// What the request does.
    pub operation: Operation,
    /// Who makes the request.
    pub user: UserInfo,
    /// Whether the result is not stored.
    pub dry_run: bool,
    /// API group. Empty for the core group.
    pub group: String,
    /// API version, such as `v1`.
    pub version: String,
    /// Kind of the object.
    pub kind: String,
    /// Plural name of the resource.
    pub resource: String,
    /// Subresource, such as `status`. `None` for the object's main endpoint.
    pub subresource: Option<String>,
    /// Namespace of the object. `None` for cluster-scoped objects.
    pub namespace: Option<String>,
    /// Name of the object. May be empty on a create with `generateName`.
    pub name: String,
}

/// Why admission denies a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// What follows `… is forbidden: ` in the answer, such as
    /// `ValidatingAdmissionPolicy 'p' with binding 'b' denied request: …`.
    pub message: String,
    /// HTTP status of the answer. A `ValidatingAdmissionPolicy` without a `reason` answers 422.
    pub code: u16,
    /// `reason` of the answer, such as `Invalid` for 422.
    pub reason: &'static str,
}

impl Denial {
    /// 422 `Invalid`: the answer of a `ValidatingAdmissionPolicy` without a `reason`.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 422, reason: "Invalid" }
    }

    /// 403 `Forbidden`.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 403, reason: "Forbidden" }
    }
}

/// The result of admission.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdmissionResponse {
    /// Why the request is denied. `None` admits it.
    pub denied: Option<Denial>,
    /// Texts for `Warning: 299` headers, sent whether or not the request is denied.
    pub warnings: Vec<String>,
}

/// Schemas and policies: prunes, defaults, validates and admits objects.
///
/// [`SchemaAdmission`](crate::SchemaAdmission) does what an API server does with a CRD's schema and with
/// `ValidatingAdmissionPolicy` objects. Implement the trait to replace it, for instance by a policy written in Rust.
///
/// Every method runs under the store's lock: it must neither block nor call the API. `prune`, `default` and
/// `validate` are called for custom resources only, `admit` for every kind. The API itself checks metadata, `kind`
/// and `apiVersion`.
pub trait Admission: Send + Sync {
    /// Removes fields that the schema does not declare. Returns their paths in the spelling of `fieldValidation`:
    /// `spec.nope`, `spec.list[0].nope`.
    fn prune(&self, resource: &Resource, object: &mut Value) -> Vec<String>;

    /// Fills in the schema's defaults.
    fn default(&self, resource: &Resource, object: &mut Value);

    /// Checks an object against the schema and its CEL rules. `old` is `None` on a create. With the subresource
    /// `status`, only the status differs from `old`.
    fn validate(
        &self,
        resource: &Resource,
        subresource: Option<&str>,
        object: &Value,
        old: Option<&Value>,
    ) -> Vec<FieldError>;

    /// Evaluates admission policies. `object` is `None` on a delete, `old_object` on a create. `namespace_object` is
    /// the object's namespace, where there is one.
    fn admit(
        &self,
        request: &AdmissionRequest,
        object: Option<&Value>,
        old_object: Option<&Value>,
        namespace_object: Option<&Value>,
    ) -> AdmissionResponse;
}

/// Admits every object unchanged. The default of [`Options`](crate::Options).
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

    fn admit(
        &self,
        _: &AdmissionRequest,
        _: Option<&Value>,
        _: Option<&Value>,
        _: Option<&Value>,
    ) -> AdmissionResponse {
        AdmissionResponse::default()
    }
}
