//! `ValidatingAdmissionPolicy` without a server.
//!
//! [`Policies`] compiles a set of policies and bindings once, and evaluates requests in the server's order and with the
//! server's messages.
//!
//! Not supported, and treated as an error of the policy: `paramKind` and `authorizer`.

// kube-cel's `vap` module is not used: it has neither variables nor match conditions, and escapes label keys like field
// names, which a server does not do here.

mod compiled;
mod decision;
mod evaluate;
mod matching;

use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding;
use serde_json::{Map, Value, json};

pub use decision::{AuditAnnotation, PolicyDecision, PolicyDenial};

use crate::admission::{AdmissionRequest, Operation};
use crate::schema::error::SchemaError;
use crate::schema::policies::compiled::{Binding, Policy};
use crate::schema::policies::evaluate::evaluate;
use crate::schema::policies::matching::Subject;

/// A set of policies with their bindings, compiled. The default is the empty set.
#[derive(Debug, Default)]
pub struct Policies {
    policies: Vec<Policy>,
}

impl Policies {
    /// Compiles the policies and bindings of YAML manifests. Other kinds are ignored.
    ///
    /// # Errors
    /// When a manifest is invalid, an expression does not compile, or a binding refers to an unknown policy.
    pub fn load(yaml: &str) -> Result<Self, SchemaError> {
        Self::from_values(&read(yaml)?)
    }

    /// As [`Policies::load`], for manifests given as values. A `List` stands for its items.
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

    /// Evaluates a request.
    ///
    /// `object` is `None` on a delete, `old_object` on a create. `namespace_object` is the namespace of the request. If it
    /// is `None`, a namespace of that name that is not being deleted is assumed, because on a server there always is one.
    pub fn evaluate(
        &self,
        request: &AdmissionRequest,
        object: Option<&Value>,
        old_object: Option<&Value>,
        namespace_object: Option<&Value>,
    ) -> PolicyDecision {
        let assumed = request.namespace.as_ref().map(|name| json!({"metadata": {"name": name}}));
        let namespace = request.namespace.as_ref().and(namespace_object.or(assumed.as_ref()));
        let object = object.filter(|_| request.operation != Operation::Delete);
        evaluate(&self.policies, &Subject { request, object, old_object, namespace })
    }
}

/// The documents of a YAML stream.
fn read(yaml: &str) -> Result<Vec<Value>, SchemaError> {
    serde_saphyr::from_multiple(yaml).map_err(|error| SchemaError::Yaml(error.to_string()))
}

/// The items of a `List`; any other manifest alone.
fn items(manifest: &Value) -> impl Iterator<Item = &Value> {
    let fields: Option<&Map<String, Value>> = manifest.as_object();
    let list = fields
        .filter(|fields| fields.get("kind").and_then(Value::as_str) == Some("List"))
        .and_then(|fields| fields.get("items")?.as_array());
    list.map_or(std::slice::from_ref(manifest), Vec::as_slice).iter()
}
