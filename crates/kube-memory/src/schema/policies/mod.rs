//! `ValidatingAdmissionPolicy` without a server.
//!
//! [`Policies`] compiles any set of policies and bindings once and evaluates requests against it, in the
//! server's order and with its words.
//!
//! Left out, and treated as an error of the policy: `paramKind` and `authorizer`. kube-cel's own `vap` module
//! is not used: it knows neither variables nor match conditions, and escapes label keys as field names,
//! which the server does not do here.

mod evaluate;
mod matching;

use k8s_openapi::api::admissionregistration::v1::{
    MatchResources, ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use kube::core::cel::cel::Program;
use serde_json::{Map, Value};

use super::SchemaError;
use super::rules::compile;

/// What a request does to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A new object.
    Create,
    /// A change, whether by PUT, PATCH or apply.
    Update,
    /// A deletion.
    Delete,
}

impl Operation {
    /// The spelling of the admission API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }
}

/// Who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserInfo {
    /// Such as `jane` or `system:serviceaccount:ns:name`.
    pub name: String,
    /// Such as `system:masters`.
    pub groups: Vec<String>,
}

/// What an admission policy may know about a request besides the objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdmissionRequestInfo {
    /// What the request does.
    pub operation: Operation,
    /// Who asks.
    pub user: UserInfo,
    /// Nothing will be stored.
    pub dry_run: bool,
    /// API group; empty for the core group.
    pub group: String,
    /// API version.
    pub version: String,
    /// Kind of the object.
    pub kind: String,
    /// Plural resource name.
    pub resource: String,
    /// Such as `status`; `None` for the object's main endpoint.
    pub subresource: Option<String>,
    /// `None` for cluster-scoped objects.
    pub namespace: Option<String>,
    /// Name of the object; may be empty on a create with `generateName`.
    pub name: String,
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The policy.
    pub policy: String,
    /// The binding that makes it deny.
    pub binding: String,
    /// What the policy says.
    pub message: String,
    /// `reason` of the answer's Status: `Forbidden`, `Invalid`, …
    pub reason: String,
}

impl Denial {
    /// The server's sentence. In a Status it follows `widgets.example.com "w" is forbidden: `.
    pub fn text(&self) -> String {
        let Self { policy, binding, message, .. } = self;
        format!("ValidatingAdmissionPolicy '{policy}' with binding '{binding}' denied request: {message}")
    }

    /// HTTP status of the answer.
    pub fn code(&self) -> u16 {
        match self.reason.as_str() {
            "Unauthorized" => 401,
            "Forbidden" => 403,
            "RequestEntityTooLarge" => 413,
            _ => 422,
        }
    }
}

/// An annotation for the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Annotation key.
    pub key: String,
    /// Annotation value.
    pub value: String,
}

/// What the policies say to a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Not empty: the request is refused. The server answers with the first.
    pub denied: Vec<Denial>,
    /// Texts of `Warning` headers.
    pub warnings: Vec<String>,
    /// What the audit log would get.
    pub audits: Vec<Audit>,
}

impl Verdict {
    /// True unless a policy denies.
    pub fn is_allowed(&self) -> bool {
        self.denied.is_empty()
    }
}

/// A set of policies with their bindings, compiled.
#[derive(Debug, Default)]
pub struct Policies {
    policies: Vec<Policy>,
}

impl Policies {
    /// Reads policies and bindings from YAML manifests; other kinds are ignored.
    ///
    /// # Errors
    /// When a manifest cannot be read, an expression does not compile, or a binding has no policy.
    pub fn load(yaml: &str) -> Result<Self, SchemaError> {
        Self::from_values(&read(yaml)?)
    }

    /// As [`Policies::load`], for manifests given as values; a `List` stands for its items.
    pub fn from_values(manifests: &[Value]) -> Result<Self, SchemaError> {
        let mut bindings: Vec<ValidatingAdmissionPolicyBinding> = Vec::new();
        let mut policies = Vec::new();
        for manifest in manifests.iter().flat_map(items) {
            let kind = manifest.get("kind").and_then(Value::as_str).unwrap_or_default();
            let shape = |source| SchemaError::Shape { what: format!("a {kind}"), source };
            match kind {
                "ValidatingAdmissionPolicy" => {
                    policies.push(Policy::compile(serde_json::from_value(manifest.clone()).map_err(shape)?)?);
                }
                "ValidatingAdmissionPolicyBinding" => {
                    bindings.push(serde_json::from_value(manifest.clone()).map_err(shape)?);
                }
                _ => {}
            }
        }
        for binding in bindings {
            let name = binding.metadata.name.unwrap_or_default();
            let spec = binding.spec.unwrap_or_default();
            let wanted = spec.policy_name.unwrap_or_default();
            let Some(policy) = policies.iter_mut().find(|policy| policy.name == wanted) else {
                return Err(SchemaError::Unbound { binding: name, policy: wanted });
            };
            let actions = spec.validation_actions.unwrap_or_default();
            policy.bindings.push(Binding { name, matches: spec.match_resources, actions });
        }
        Ok(Self { policies })
    }
}

#[derive(Debug)]
struct Policy {
    name: String,
    ignore_failure: bool,
    matches: MatchResources,
    conditions: Vec<(String, Expression)>,
    variables: Vec<(String, Expression)>,
    validations: Vec<Validation>,
    audits: Vec<(String, Expression)>,
    bindings: Vec<Binding>,
}

#[derive(Debug)]
struct Binding {
    name: String,
    matches: Option<MatchResources>,
    actions: Vec<String>,
}

#[derive(Debug)]
struct Validation {
    expression: Expression,
    message: Option<String>,
    message_expression: Option<Expression>,
    reason: String,
}

struct Expression {
    text: String,
    program: Program,
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl Policy {
    fn compile(policy: ValidatingAdmissionPolicy) -> Result<Self, SchemaError> {
        let name = policy.metadata.name.unwrap_or_default();
        let spec = policy.spec.unwrap_or_default();
        let expression = |text: &str, what: &str| -> Result<Expression, SchemaError> {
            let program = compile(text, &format!("policy {name}, {what}"))?;
            Ok(Expression { text: text.trim().to_owned(), program })
        };
        let mut conditions = Vec::new();
        for condition in spec.match_conditions.unwrap_or_default() {
            let compiled = expression(&condition.expression, &format!("match condition {}", condition.name))?;
            conditions.push((condition.name, compiled));
        }
        let mut variables = Vec::new();
        for variable in spec.variables.unwrap_or_default() {
            let compiled = expression(&variable.expression, &format!("variable {}", variable.name))?;
            variables.push((variable.name, compiled));
        }
        let mut validations = Vec::new();
        for (index, validation) in spec.validations.unwrap_or_default().into_iter().enumerate() {
            let what = format!("validation {index}");
            validations.push(Validation {
                expression: expression(&validation.expression, &what)?,
                message_expression: validation
                    .message_expression
                    .map(|text| expression(&text, &what))
                    .transpose()?,
                message: validation.message,
                reason: validation.reason.unwrap_or_else(|| "Invalid".into()),
            });
        }
        let mut audits = Vec::new();
        for audit in spec.audit_annotations.unwrap_or_default() {
            let compiled = expression(&audit.value_expression, &format!("audit annotation {}", audit.key))?;
            audits.push((format!("{name}/{}", audit.key), compiled));
        }
        Ok(Self {
            ignore_failure: spec.failure_policy.as_deref() == Some("Ignore"),
            matches: spec.match_constraints.unwrap_or_default(),
            conditions,
            variables,
            validations,
            audits,
            bindings: Vec::new(),
            name,
        })
    }
}

/// The documents of a YAML text.
fn read(yaml: &str) -> Result<Vec<Value>, SchemaError> {
    serde_saphyr::from_multiple(yaml).map_err(|error| SchemaError::Yaml(error.to_string()))
}

/// A `List` as its items, anything else as itself.
fn items(manifest: &Value) -> impl Iterator<Item = &Value> {
    let fields: Option<&Map<String, Value>> = manifest.as_object();
    let list = fields
        .filter(|fields| fields.get("kind").and_then(Value::as_str) == Some("List"))
        .and_then(|fields| fields.get("items")?.as_array());
    list.map_or(std::slice::from_ref(manifest), Vec::as_slice).iter()
}
