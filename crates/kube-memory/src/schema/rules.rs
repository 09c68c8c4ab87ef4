//! CEL rules of a schema: compiled once, run on every level, with transition rules, ratcheting and the
//! server's messages.

use std::sync::Arc;

use kube::core::cel::KubeCelExt as _;
use kube::core::cel::cel::objects::OptionalValue;
use kube::core::cel::cel::{Context, ExecutionError, Program, Value as Cel};
use serde_json::Value;

use super::SchemaError;
use super::error::{FieldError, FieldErrorKind};
use super::lists;
use super::node::{Node, flag};
use super::path::Path;
use super::values;

/// The server's limit for a message made by a rule, in bytes.
pub(super) const MESSAGE_BYTES: usize = 5 * 1024;

thread_local! {
    /// The functions of Kubernetes' CEL, registered once per thread: a context is `Send` but costs a
    /// hundred insertions, too much for every object.
    static FUNCTIONS: Context<'static> = Context::default().with_all();
}

/// Runs `body` with a fresh scope over all functions.
pub(super) fn with_scope<T>(body: impl FnOnce(&mut Context<'_>) -> T) -> T {
    FUNCTIONS.with(|functions| body(&mut functions.new_inner_scope()))
}

/// Parses an expression. `place` says where it stands.
pub(super) fn compile(expression: &str, place: &str) -> Result<Program, SchemaError> {
    Program::compile(expression).map_err(|source| SchemaError::Expression {
        place: place.to_owned(),
        expression: expression.to_owned(),
        source: Box::new(source),
    })
}

/// One entry of `x-kubernetes-validations`.
pub(super) struct Rule {
    pub expression: String,
    pub uses_old: bool,
    program: Program,
    message: Option<String>,
    message_program: Option<Program>,
    reason: FieldErrorKind,
    field_path: Option<String>,
    optional_old: bool,
}

impl std::fmt::Debug for Rule {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Rule").field("expression", &self.expression).finish_non_exhaustive()
    }
}

impl Rule {
    pub(super) fn compile(rule: &Value, place: &str) -> Result<Self, SchemaError> {
        let text = |name: &str| rule.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let expression = text("rule").unwrap_or_default();
        let program = compile(expression, place)?;
        let message_program = text("messageExpression").map(|it| compile(it, place)).transpose()?;
        let uses = |program: &Program| program.references().has_variable("oldSelf");
        Ok(Self {
            uses_old: uses(&program) || message_program.as_ref().is_some_and(uses),
            expression: expression.to_owned(),
            program,
            message: text("message").map(|text| text.trim().to_owned()),
            message_program,
            reason: match text("reason") {
                Some("FieldValueForbidden") => FieldErrorKind::Forbidden,
                Some("FieldValueRequired") => FieldErrorKind::Required,
                Some("FieldValueDuplicate") => FieldErrorKind::Duplicate,
                _ => FieldErrorKind::Invalid,
            },
            field_path: text("fieldPath").map(normal_field_path),
            optional_old: flag(rule, "optionalOldSelf"),
        })
    }

    /// How messages without one of their own name the rule.
    fn title(&self) -> &str {
        self.message.as_deref().unwrap_or_else(|| self.expression.trim())
    }

    /// Runs in a scope where `self` and `oldSelf` are bound.
    fn run(&self, input: &Input<'_>, scope: &Context<'_>, path: &Path<'_>) -> Option<FieldError> {
        match self.program.execute(scope) {
            Ok(Cel::Bool(true)) => None,
            Ok(_) => Some(self.refusal(input, scope, path)),
            Err(error) => {
                let kind = input.node.kind.map_or("", super::node::Type::name);
                Some(FieldError::invalid(path, kind.into(), self.failure(&error)))
            }
        }
    }

    fn refusal(&self, input: &Input<'_>, scope: &Context<'_>, path: &Path<'_>) -> FieldError {
        let detail = self
            .message_program
            .as_ref()
            .and_then(|program| message(program, scope))
            .or_else(|| self.message.clone())
            .unwrap_or_else(|| format!("failed rule: {}", self.title()));
        let path = match &self.field_path {
            Some(field) if path.is_root() => field.clone(),
            Some(field) => format!("{path}.{field}"),
            None => path.to_string(),
        };
        let bad_value = match input.value {
            Value::Object(_) | Value::Array(_) => None,
            value => Some(value.clone()),
        };
        match self.reason {
            FieldErrorKind::Duplicate => FieldError::new(path, self.reason, bad_value, ""),
            kind => FieldError::new(path, kind, bad_value, detail),
        }
    }

    fn failure(&self, error: &ExecutionError) -> String {
        match error {
            ExecutionError::NoSuchOverload => format!(
                "'no such overload': call arguments did not match a supported operator, function or macro \
                 signature for rule: {}",
                self.title()
            ),
            other => format!("{} evaluating rule: {}", explain(other), self.title()),
        }
    }
}

/// What a rule is run on.
struct Input<'a> {
    node: &'a Node,
    value: &'a Value,
}

fn optional(value: OptionalValue) -> Cel {
    Cel::Opaque(Arc::new(value))
}

/// An execution error in the words of the server's CEL where they are known.
pub(super) fn explain(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(key) => format!("no such key: {key}"),
        ExecutionError::NoSuchOverload => "no such overload".to_owned(),
        ExecutionError::IndexOutOfBounds(index) => format!("index out of bounds: {index:?}"),
        ExecutionError::DivisionByZero(_) => "division by zero".to_owned(),
        ExecutionError::FunctionError { function, .. } if function == "duration" => {
            "type conversion error from 'string' to 'google.protobuf.Duration'".to_owned()
        }
        other => other.to_string(),
    }
}

/// The text a message expression gives, or `None` if the server would not use it.
pub(super) fn message(program: &Program, scope: &Context<'_>) -> Option<String> {
    let Ok(Cel::String(text)) = program.execute(scope) else { return None };
    let text = text.trim();
    let usable = !text.is_empty() && text.len() <= MESSAGE_BYTES && !text.contains('\n');
    usable.then(|| text.to_owned())
}

/// `.a.b` and `['a'].b` as `a.b`.
fn normal_field_path(path: &str) -> String {
    path.replace("['", ".").replace("']", "").trim_start_matches('.').to_owned()
}

/// Old values as far as they can be found: for transition rules, and for excusing what did not change.
#[derive(Clone, Copy, Default)]
pub(super) struct Old<'a> {
    /// The value this one replaces.
    pub value: Option<&'a Value>,
    /// True if this value or one around it is what it was.
    pub unchanged: bool,
}

/// Runs the rules of `node` and below.
pub(super) fn check(node: &Node, value: &Value, old: Old<'_>, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    if !node.rules_below || value.is_null() {
        return;
    }
    run_all(node, node, value, old, path, errors);
    for branch in node.all_of.iter().filter(|branch| branch.rules_below) {
        run_all(branch, node, value, old, path, errors);
    }
    let correlates = |value: Option<&Value>, new: &Value| value == Some(new);
    match value {
        Value::Array(items) => {
            let Some(item_node) = node.items.as_deref() else { return };
            let old_items = old.value.and_then(Value::as_array);
            for (index, item) in items.iter().enumerate() {
                let counterpart = old_items.and_then(|old| lists::counterpart(node, item, old));
                let unchanged = old.unchanged || correlates(counterpart, item);
                check(
                    item_node,
                    item,
                    Old { value: counterpart, unchanged },
                    &Path::Index(path, index),
                    errors,
                );
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                let counterpart = old.value.and_then(|old| old.get(name)).filter(|value| !value.is_null());
                let unchanged = old.unchanged || correlates(counterpart, value);
                let old = Old { value: counterpart, unchanged };
                if let Some(property) = node.properties.get(name) {
                    check(property, value, old, &Path::Field(path, name), errors);
                } else if let Some(schema) = &node.additional {
                    check(schema, value, old, &Path::Key(path, name), errors);
                }
            }
        }
        _ => {}
    }
}

/// `rules` holds the rules, `shape` says how the value is typed: they differ inside allOf.
fn run_all(
    rules: &Node,
    shape: &Node,
    value: &Value,
    old: Old<'_>,
    path: &Path<'_>,
    errors: &mut Vec<FieldError>,
) {
    if rules.rules.is_empty() {
        return;
    }
    // An unchanged value may go on breaking a rule that came later; a transition rule always speaks, but
    // only where there is something to compare with.
    let due = |rule: &&Rule| match (rule.uses_old, old.value) {
        (false, _) => !old.unchanged,
        (true, None) => rule.optional_old,
        (true, Some(_)) => true,
    };
    let mut due = rules.rules.iter().filter(due).peekable();
    if due.peek().is_none() {
        return;
    }
    let input = Input { node: shape, value };
    with_scope(|scope| {
        // Binding copies the value into the interpreter's form: once per node, not once per rule.
        scope.add_variable_from_value("self", values::typed(shape, value));
        let mut bound = None;
        for rule in due {
            if rule.uses_old && bound != Some(rule.optional_old) {
                let old = old.value.map(|old| values::typed(shape, old));
                let old = match (rule.optional_old, old) {
                    (true, old) => optional(old.map_or_else(OptionalValue::none, OptionalValue::of)),
                    (false, old) => old.unwrap_or(Cel::Null),
                };
                scope.add_variable_from_value("oldSelf", old);
                bound = Some(rule.optional_old);
            }
            errors.extend(rule.run(&input, scope, path));
        }
    });
}
