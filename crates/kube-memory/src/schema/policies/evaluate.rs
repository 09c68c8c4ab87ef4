//! Evaluation of a request against all policies, in the server's order: constraints, match conditions, variables,
//! validations, audit annotations, and the actions of each binding for a failed validation.

use std::collections::HashMap;

use kube::core::cel::cel::objects::Key;
use kube::core::cel::cel::{Context, ExecutionError, Value as Cel};
use serde_json::{Value, json};

use crate::admission::AdmissionRequest;
use crate::schema::cel::{explain, message, with_scope};
use crate::schema::policies::compiled::{Expression, Policy, Validation};
use crate::schema::policies::decision::{AuditAnnotation, PolicyDecision, PolicyDenial};
use crate::schema::policies::matching::{Subject, matches};
use crate::schema::values::{cel_map, plain};

/// A failed validation, or an error that counts as one.
struct Failure {
    index: usize,
    message: String,
    reason: String,
}

/// Evaluates a request against all policies.
pub(crate) fn evaluate(policies: &[Policy], subject: &Subject<'_>) -> PolicyDecision {
    let mut decision = PolicyDecision::default();
    let mut inputs = None;
    for policy in policies.iter().filter(|policy| matches(&policy.matches, subject)) {
        let mut bound = policy
            .bindings
            .iter()
            .filter(|binding| binding.matches.as_ref().is_none_or(|criteria| matches(criteria, subject)));
        let Some(first) = bound.next() else { continue };
        let inputs = inputs.get_or_insert_with(|| Inputs::new(subject));
        let failures = policy.run(inputs, &mut decision);
        for binding in std::iter::once(first).chain(bound) {
            for failure in &failures {
                for action in &binding.actions {
                    act(policy, &binding.name, action, failure, &binding.actions, &mut decision);
                }
            }
        }
    }
    decision
}

fn act(
    policy: &Policy,
    binding: &str,
    action: &str,
    failure: &Failure,
    actions: &[String],
    decision: &mut PolicyDecision,
) {
    match action {
        "Deny" => decision.denials.push(PolicyDenial {
            policy: policy.name.clone(),
            binding: binding.to_owned(),
            message: failure.message.clone(),
            reason: failure.reason.clone(),
        }),
        "Warn" => decision.warnings.push(format!(
            "Validation failed for ValidatingAdmissionPolicy '{}' with binding '{binding}': {}",
            policy.name, failure.message
        )),
        "Audit" => {
            let value = json!([{
                "message": failure.message,
                "policy": policy.name,
                "binding": binding,
                "expressionIndex": failure.index,
                "validationActions": actions,
            }]);
            decision.audit_annotations.push(AuditAnnotation {
                key: "validation.policy.admission.k8s.io/validation_failure".into(),
                value: value.to_string(),
            });
        }
        _ => {}
    }
}

/// The CEL values of a request, shared by all policies.
struct Inputs {
    object: Cel,
    old_object: Cel,
    namespace: Cel,
    request: Cel,
}

impl Inputs {
    fn new(subject: &Subject<'_>) -> Self {
        let value = |value: Option<&Value>| value.map_or(Cel::Null, plain);
        Self {
            object: value(subject.object),
            old_object: value(subject.old_object),
            namespace: value(subject.namespace),
            request: plain(&request_value(subject.request)),
        }
    }

    fn bind(&self, scope: &mut Context<'_>) {
        scope.add_variable_from_value("object", self.object.clone());
        scope.add_variable_from_value("oldObject", self.old_object.clone());
        scope.add_variable_from_value("request", self.request.clone());
    }
}

fn request_value(request: &AdmissionRequest) -> Value {
    let AdmissionRequest {
        operation,
        user,
        dry_run,
        group,
        version,
        kind,
        resource,
        subresource,
        namespace,
        name,
    } = request;
    let kind = json!({"group": group, "version": version, "kind": kind});
    let resource = json!({"group": group, "version": version, "resource": resource});
    let mut value = json!({
        "operation": operation.as_str(),
        "dryRun": dry_run,
        "name": name,
        "kind": kind,
        "requestKind": kind,
        "resource": resource,
        "requestResource": resource,
        "userInfo": {"username": user.username, "groups": user.groups},
    });
    if let Some(subresource) = subresource {
        value["subResource"] = json!(subresource);
        value["requestSubResource"] = json!(subresource);
    }
    if let Some(namespace) = namespace {
        value["namespace"] = json!(namespace);
    }
    value
}

impl Policy {
    /// The failed validations. With `failurePolicy: Fail`, errors count as failed validations.
    fn run(&self, inputs: &Inputs, decision: &mut PolicyDecision) -> Vec<Failure> {
        with_scope(|scope| {
            inputs.bind(scope);
            match self.applies(scope) {
                Ok(true) => {}
                Ok(false) => return Vec::new(),
                Err(error) => return self.failed(0, error).into_iter().collect(),
            }
            // As on the server, match conditions do not see the namespace.
            scope.add_variable_from_value("namespaceObject", inputs.namespace.clone());
            self.bind_variables(scope);
            let mut failures = Vec::new();
            for (index, validation) in self.validations.iter().enumerate() {
                match validation.expression.truth(scope) {
                    Ok(true) => {}
                    Ok(false) => failures.push(validation.failure(index, scope)),
                    Err(error) => failures.extend(self.failed(index, error)),
                }
            }
            for (key, expression) in &self.audit_annotations {
                match expression.program.execute(scope) {
                    Ok(Cel::String(value)) if !value.trim().is_empty() => {
                        decision
                            .audit_annotations
                            .push(AuditAnnotation { key: key.clone(), value: value.trim().to_owned() });
                    }
                    Ok(_) => {}
                    Err(error) => failures.extend(self.failed(0, expression.error(&error))),
                }
            }
            failures
        })
    }

    /// Whether all match conditions are true. As on the server, one that is false outweighs another's error.
    fn applies(&self, scope: &Context<'_>) -> Result<bool, String> {
        let mut error = None;
        for (_, condition) in &self.conditions {
            match condition.truth(scope) {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(text) => error = error.or(Some(text)),
            }
        }
        error.map_or(Ok(true), Err)
    }

    fn failed(&self, index: usize, message: String) -> Option<Failure> {
        (!self.ignore_failure).then(|| Failure { index, message, reason: "Invalid".into() })
    }

    /// Binds the variables in order. One that fails is left out, so that reading it is the error: a server evaluates
    /// variables when they are read.
    fn bind_variables(&self, scope: &mut Context<'_>) {
        let mut known: HashMap<Key, Cel> = HashMap::new();
        scope.add_variable_from_value("variables", cel_map(known.clone()));
        for (name, expression) in &self.variables {
            if let Ok(value) = expression.program.execute(scope) {
                known.insert(name.as_str().into(), value);
                scope.add_variable_from_value("variables", cel_map(known.clone()));
            }
        }
    }
}

impl Validation {
    fn failure(&self, index: usize, scope: &Context<'_>) -> Failure {
        let message = self
            .message_expression
            .as_ref()
            .and_then(|expression| message(&expression.program, scope))
            .or_else(|| {
                self.message.as_ref().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
            })
            .unwrap_or_else(|| format!("failed expression: {}", self.expression.text));
        Failure { index, message, reason: self.reason.clone() }
    }
}

impl Expression {
    fn truth(&self, scope: &Context<'_>) -> Result<bool, String> {
        match self.program.execute(scope) {
            Ok(Cel::Bool(truth)) => Ok(truth),
            Ok(_) => Err(format!("expression '{}' does not give a boolean", self.text)),
            Err(error) => Err(self.error(&error)),
        }
    }

    fn error(&self, error: &ExecutionError) -> String {
        format!("expression '{}' resulted in error: {}", self.text, explain(error))
    }
}
