//! Running the CEL rules of a schema, with transition rules, ratcheting and the server's messages.

use std::sync::Arc;

use kube::core::cel::cel::objects::OptionalValue;
use kube::core::cel::cel::{Context, ExecutionError, Value as Cel};
use serde_json::Value;

use crate::field_error::{FieldError, FieldErrorKind};
use crate::schema::cel::{Rule, explain, message, with_scope};
use crate::schema::keywords::JsonType;
use crate::schema::lists;
use crate::schema::node::Node;
use crate::schema::path::Path;
use crate::schema::values;

impl Rule {
    /// The name of the rule in messages: its message, or the expression.
    fn title(&self) -> &str {
        self.message.as_deref().unwrap_or_else(|| self.expression.trim())
    }

    /// Runs in a scope where `self` and `oldSelf` are bound.
    fn run(&self, input: &Input<'_>, scope: &Context<'_>, path: &Path<'_>) -> Option<FieldError> {
        // The schema takes 1.0 for an integer, and the server's CEL does not.
        if input.node.kind == Some(JsonType::Integer) && input.value.is_f64() {
            let detail = format!("invalid data, expected int, got float64 evaluating rule: {}", self.title());
            return Some(FieldError::invalid(path, JsonType::Integer.name(), detail));
        }
        match self.program.execute(scope) {
            Ok(Cel::Bool(true)) => None,
            Ok(_) => Some(self.violation(input, scope, path)),
            Err(error) => {
                let kind = input.node.kind.map_or("", JsonType::name);
                Some(FieldError::invalid(path, kind, self.failure(&error)))
            }
        }
    }

    fn violation(&self, input: &Input<'_>, scope: &Context<'_>, path: &Path<'_>) -> FieldError {
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

/// The value a rule runs on.
struct Input<'a> {
    node: &'a Node,
    value: &'a Value,
}

fn optional(value: OptionalValue) -> Cel {
    Cel::Opaque(Arc::new(value))
}

/// The old value that a new one replaces, for transition rules and for ratcheting.
#[derive(Clone, Copy, Default)]
pub(crate) struct Old<'a> {
    /// The old value. `None` when there is none or it cannot be correlated.
    pub value: Option<&'a Value>,
    /// Whether this value or one that contains it is unchanged.
    pub unchanged: bool,
}

/// Runs the rules of `node` and below.
pub(crate) fn check(node: &Node, value: &Value, old: Old<'_>, path: &Path<'_>, errors: &mut Vec<FieldError>) {
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

/// `rules` has the rules, `shape` the type of the value. They differ inside allOf.
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
    // Ratcheting: an unchanged value may violate a rule. A transition rule always runs, but only with an old value.
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
        // Binding converts the value into the form of the interpreter: once per node, not once per rule.
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
