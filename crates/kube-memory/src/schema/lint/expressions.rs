//! Linting the CEL rules of a CRD: syntax, the use of `oldSelf`, and the bounds that the cost estimate of a server needs.

use serde_json::Value;

use crate::schema::cel::compile;
use crate::schema::keywords::{flag, list};
use crate::schema::values::escape;

pub(crate) fn check(root: &Value, found: &mut Vec<String>) {
    walk(root, "openAPIV3Schema", None, found);
}

/// `uncorrelated` is the path of the enclosing list or map whose elements cannot be correlated.
fn walk(schema: &Value, place: &str, uncorrelated: Option<&str>, found: &mut Vec<String>) {
    for (index, rule) in list(schema, "x-kubernetes-validations").iter().enumerate() {
        check_rule(schema, rule, &format!("{place}.x-kubernetes-validations[{index}]"), uncorrelated, found);
    }
    let inside = |name: &str| schema.get(name).and_then(Value::as_str);
    let atomic =
        uncorrelated.or_else(|| (inside("x-kubernetes-map-type") == Some("atomic")).then_some(place));
    for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        walk(property, &format!("{place}.properties[{name}]"), atomic, found);
    }
    if let Some(values @ Value::Object(_)) = schema.get("additionalProperties") {
        walk(values, &format!("{place}.additionalProperties"), uncorrelated, found);
    }
    if let Some(items @ Value::Object(_)) = schema.get("items") {
        let keyed = inside("x-kubernetes-list-type") == Some("map");
        walk(items, &format!("{place}.items"), uncorrelated.or_else(|| (!keyed).then_some(place)), found);
    }
}

fn check_rule(
    schema: &Value,
    rule: &Value,
    place: &str,
    uncorrelated: Option<&str>,
    found: &mut Vec<String>,
) {
    let text = |name: &str| rule.get(name).and_then(Value::as_str).unwrap_or_default();
    let mut report = |sentence: String| found.push(format!("{place}: {sentence}"));
    let (expression, message) = (text("rule").trim(), text("message").trim());
    if expression.is_empty() {
        return report("a rule is required".into());
    }
    if message.contains('\n') {
        report("the message must not contain line breaks".into());
    }
    if expression.contains('\n') && message.is_empty() {
        report("a rule with line breaks needs a message".into());
    }
    let reason = text("reason");
    let reasons =
        ["", "FieldValueInvalid", "FieldValueForbidden", "FieldValueRequired", "FieldValueDuplicate"];
    if !reasons.contains(&reason) {
        report(format!("the reason {reason} is not supported"));
    }
    let field = text("fieldPath");
    if !field.is_empty() && !points_to_a_field(schema, field) {
        report(format!("the fieldPath {field} does not name a declared field"));
    }
    let mut uses_old = false;
    for source in [expression, text("messageExpression").trim()].into_iter().filter(|it| !it.is_empty()) {
        match compile(source, place) {
            Ok(program) => {
                uses_old |= program.references().has_variable("oldSelf");
                let mut unbounded = Vec::new();
                sizes(schema, "self", source, &mut unbounded);
                for name in unbounded {
                    report(format!(
                        "{name} is read by CEL and needs a maximum size, or the cost estimate is unbounded"
                    ));
                }
            }
            Err(error) => report(error.to_string()),
        }
    }
    if let Some(list) = uncorrelated.filter(|_| uses_old) {
        report(format!(
            "oldSelf cannot be used inside {list}, whose elements cannot be matched with old ones"
        ));
    }
    if !uses_old && rule.get("optionalOldSelf").is_some_and(|value| !value.is_null()) {
        report("optionalOldSelf may not be set if oldSelf is not used".into());
    }
}

fn points_to_a_field(schema: &Value, path: &str) -> bool {
    let path = path.replace("['", ".").replace("']", "");
    let Some(names) = path.strip_prefix('.') else { return false };
    let mut schema = Some(schema);
    for name in names.split('.') {
        schema = schema.and_then(|schema| {
            let property = schema.get("properties").and_then(|all| all.get(name));
            property.or_else(|| schema.get("additionalProperties").filter(|values| values.is_object()))
        });
    }
    schema.is_some()
}

/// Collects the names of unbounded values below `schema` that `expression` reads. A name counts as read when it occurs
/// in the expression after a dot.
fn sizes(schema: &Value, name: &str, expression: &str, unbounded: &mut Vec<String>) {
    let has = |keyword: &str| schema.get(keyword).is_some_and(|value| !value.is_null());
    let bounded = match schema.get("type").and_then(Value::as_str) {
        Some("string") => has("maxLength") || has("enum") || has("format"),
        Some("array") => has("maxItems"),
        Some("object") => !has("additionalProperties") || has("maxProperties"),
        None => !flag(schema, "x-kubernetes-int-or-string") || has("maxLength"),
        Some(_) => true,
    };
    if !bounded {
        unbounded.push(name.to_owned());
    }
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    let inner = [schema.get("items"), schema.get("additionalProperties")];
    for (property, schema) in properties {
        let reads = escape(property).is_some_and(|escaped| mentions(expression, &escaped));
        if reads && !(name == "self" && property == "metadata") {
            sizes(schema, &format!("{name}.{property}"), expression, unbounded);
        }
    }
    for schema in inner.into_iter().flatten().filter(|schema| schema.is_object()) {
        // Elements count only if a macro or an index reaches them.
        if expression.contains('[') || expression.contains(", ") {
            sizes(schema, &format!("{name}[]"), expression, unbounded);
        }
    }
}

fn mentions(expression: &str, name: &str) -> bool {
    expression.match_indices(name).any(|(start, _)| {
        let before = expression[..start].chars().next_back();
        let after = expression[start + name.len()..].chars().next();
        let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        before == Some('.') && !after.is_some_and(part)
    })
}
