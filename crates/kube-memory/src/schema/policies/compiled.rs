//! A `ValidatingAdmissionPolicy` with its bindings, compiled.

use k8s_openapi::api::admissionregistration::v1::{MatchResources, ValidatingAdmissionPolicy};
use kube::core::cel::cel::Program;

use crate::schema::cel::compile;
use crate::schema::error::SchemaError;

#[derive(Debug)]
pub(crate) struct Policy {
    pub name: String,
    pub ignore_failure: bool,
    pub matches: MatchResources,
    pub conditions: Vec<(String, Expression)>,
    pub variables: Vec<(String, Expression)>,
    pub validations: Vec<Validation>,
    pub audit_annotations: Vec<(String, Expression)>,
    pub bindings: Vec<Binding>,
}

#[derive(Debug)]
pub(crate) struct Binding {
    pub name: String,
    pub matches: Option<MatchResources>,
    pub actions: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Validation {
    pub expression: Expression,
    pub message: Option<String>,
    pub message_expression: Option<Expression>,
    pub reason: String,
}

pub(crate) struct Expression {
    pub text: String,
    pub program: Program,
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl Policy {
    /// Compiles a policy, without bindings.
    pub fn compile(policy: ValidatingAdmissionPolicy) -> Result<Self, SchemaError> {
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
        let mut audit_annotations = Vec::new();
        for audit in spec.audit_annotations.unwrap_or_default() {
            let compiled = expression(&audit.value_expression, &format!("audit annotation {}", audit.key))?;
            audit_annotations.push((format!("{name}/{}", audit.key), compiled));
        }
        Ok(Self {
            ignore_failure: spec.failure_policy.as_deref() == Some("Ignore"),
            matches: spec.match_constraints.unwrap_or_default(),
            conditions,
            variables,
            validations,
            audit_annotations,
            bindings: Vec::new(),
            name,
        })
    }
}
