//! `OpenAPI` validation as in kube-openapi, with the ratcheting of Kubernetes 1.33: an update may keep an invalid value
//! that it does not change.

use serde_json::{Map, Value};

use crate::field_error::{FieldError, FieldErrorKind, quote};
use crate::schema::formats::Format;
use crate::schema::keywords::JsonType;
use crate::schema::lists;
use crate::schema::node::{Bounds, ListType, Node};
use crate::schema::path::Path;

/// Validates `value` against `node`. `old` is the stored value it replaces, where they can be correlated.
pub(crate) fn check(
    node: &Node,
    value: &Value,
    old: Option<&Value>,
    path: &Path<'_>,
    errors: &mut Vec<FieldError>,
) {
    if old == Some(value) {
        return;
    }
    let before = errors.len();
    check_type(node, value, path, errors);
    if value.is_null() {
        check_allowed(node, value, path, errors);
        return;
    }
    check_branches(node, value, old, path, errors);
    match value {
        Value::String(text) => {
            check_text(node, text, path, errors);
            check_format(node, text, path, errors);
        }
        Value::Number(_) => check_number(node, value, path, errors),
        Value::Array(items) => check_array(node, items, old, path, errors),
        _ => {}
    }
    check_allowed(node, value, path, errors);
    if let Value::Object(fields) = value {
        check_object(node, fields, old, path, errors);
    }
    // A branch of oneOf may repeat an error of the node itself. The server reports it once.
    drop_repeated(errors, before);
}

fn drop_repeated(errors: &mut Vec<FieldError>, from: usize) {
    let mut index = from;
    while index < errors.len() {
        if errors[from..index].contains(&errors[index]) {
            errors.remove(index);
        } else {
            index += 1;
        }
    }
}

/// A violation found by the `OpenAPI` validator, which spells map keys like fields.
fn open_api(
    path: &Path<'_>,
    kind: FieldErrorKind,
    bad_value: Option<Value>,
    detail: impl Into<String>,
) -> FieldError {
    let field = if path.is_root() { "<nil>".to_owned() } else { path.dotted() };
    FieldError { field, kind, bad_value, detail: detail.into() }
}

fn invalid(path: &Path<'_>, value: Value, detail: impl Into<String>) -> FieldError {
    open_api(path, FieldErrorKind::Invalid, Some(value), detail)
}

/// A violation that the server reports on the object, not on a field.
fn unplaced(detail: String) -> FieldError {
    open_api(&Path::Root, FieldErrorKind::Invalid, Some(Value::from("")), detail)
}

fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn number_format(value: &Value) -> &'static str {
    match value {
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        _ => "",
    }
}

/// True for 3 and for 3.0.
pub(crate) fn is_whole(value: &Value) -> bool {
    value.as_f64().is_some_and(|number| number.fract() == 0.0)
}

fn fits(node: &Node, value: &Value) -> bool {
    if node.int_or_string {
        return value.is_string() || is_whole(value);
    }
    match node.kind {
        None => true,
        Some(JsonType::Object) => value.is_object(),
        Some(JsonType::Array) => value.is_array(),
        Some(JsonType::String) => value.is_string(),
        Some(JsonType::Boolean) => value.is_boolean(),
        Some(JsonType::Number) => value.is_number(),
        Some(JsonType::Integer) => is_whole(value),
    }
}

fn check_type(node: &Node, value: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let fine = if value.is_null() {
        node.nullable || (node.kind.is_none() && !node.int_or_string)
    } else {
        fits(node, value)
    };
    if !fine {
        // With a declared format the server compares formats of numbers and booleans instead of types.
        let (wanted, found) = match node.format {
            Some(format) if !value.is_null() && !value.is_string() && !value.is_array() => {
                (format.name(), number_format(value))
            }
            _ => (node.type_names(), json_type(value)),
        };
        let detail = format!("{} in body must be of type {wanted}: \"{found}\"", path.dotted());
        errors.push(open_api(path, FieldErrorKind::TypeInvalid, Some(found.into()), detail));
    }
}

fn check_allowed(node: &Node, value: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let Some(allowed) = node.allowed.as_ref().filter(|all| !all.iter().any(|one| same(one, value))) else {
        return;
    };
    let names: Vec<String> = allowed
        .iter()
        .map(|value| match value {
            Value::String(text) => quote(text),
            other => format!("{:?}", other.to_string()),
        })
        .collect();
    let detail = format!("supported values: {}", names.join(", "));
    errors.push(open_api(path, FieldErrorKind::NotSupported, Some(value.clone()), detail));
}

/// Equality for which 1 is 1.0.
fn same(left: &Value, right: &Value) -> bool {
    left == right || (left.is_number() && left.as_f64() == right.as_f64())
}

fn check_text(node: &Node, text: &str, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let length = || text.chars().count() as u64;
    if let Some(most) = node.max_length.filter(|most| length() > *most) {
        let unit = if most == 1 { "byte" } else { "bytes" };
        let detail = format!("may not be more than {most} {unit}");
        errors.push(open_api(path, FieldErrorKind::TooLong, None, detail));
    } else if let Some(least) = node.min_length.filter(|least| length() < *least) {
        let detail = format!("{} in body should be at least {least} chars long", path.dotted());
        errors.push(invalid(path, text.into(), detail));
    } else if let Some((pattern, _)) = node.pattern.as_ref().filter(|(_, regex)| !regex.is_match(text)) {
        let detail = format!("{} in body should match '{pattern}'", path.dotted());
        errors.push(invalid(path, text.into(), detail));
    }
}

fn check_format(node: &Node, text: &str, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    if let Some(format) = node.format.filter(|format| !format.accepts(text)) {
        let detail = format!("{} in body must be of type {}: {}", path.dotted(), format.name(), quote(text));
        errors.push(open_api(path, FieldErrorKind::TypeInvalid, Some(text.into()), detail));
    }
}

fn check_number(node: &Node, value: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let whole = node.kind == Some(JsonType::Integer);
    let in_range = match node.format {
        Some(Format::Int32) => value.as_i64().map_or(is_whole(value), |number| i32::try_from(number).is_ok()),
        _ => {
            !whole
                || value.is_i64()
                || (is_whole(value) && value.as_f64().is_some_and(|it| it.abs() < 9.3e18))
        }
    };
    if !in_range {
        let format =
            node.format.map_or("(default format)".to_owned(), |it| format!("with format {}", it.name()));
        errors.push(unplaced(format!("Checked value must be of type integer {format} in {}", path.dotted())));
    }
    let (Some(bounds), Some(number)) = (&node.bounds, value.as_f64()) else { return };
    let Bounds { minimum, exclusive_minimum, maximum, exclusive_maximum, multiple_of } = bounds;
    let mut fail = |what: &str, bound: f64| {
        let detail = format!("{} in body should be {what} {bound}", path.dotted());
        errors.push(invalid(path, value.clone(), detail));
    };
    if let Some(factor) = multiple_of.filter(|factor| (number / factor).fract() != 0.0) {
        fail("a multiple of", factor);
    }
    match minimum {
        Some(least) if *exclusive_minimum && number <= *least => fail("greater than", *least),
        Some(least) if number < *least => fail("greater than or equal to", *least),
        _ => {}
    }
    match maximum {
        Some(most) if *exclusive_maximum && number >= *most => fail("less than", *most),
        Some(most) if number > *most => fail("less than or equal to", *most),
        _ => {}
    }
}

fn too_many(path: &Path<'_>, actual: usize, most: u64) -> FieldError {
    let items = if most == 1 { "item" } else { "items" };
    let detail = format!("must have at most {most} {items}");
    open_api(path, FieldErrorKind::TooMany, Some(actual.into()), detail)
}

fn check_array(
    node: &Node,
    items: &[Value],
    old: Option<&Value>,
    path: &Path<'_>,
    errors: &mut Vec<FieldError>,
) {
    if let Some(item_node) = &node.items {
        let old = old.and_then(Value::as_array);
        for (index, item) in items.iter().enumerate() {
            let counterpart = old.and_then(|old| lists::counterpart(node, item, old));
            check(item_node, item, counterpart, &Path::Index(path, index), errors);
        }
    }
    if let Some(least) = node.min_items.filter(|least| (items.len() as u64) < *least) {
        let detail = format!("{} in body should have at least {least} items", path.dotted());
        errors.push(invalid(path, items.len().into(), detail));
    }
    if let Some(most) = node.max_items.filter(|most| items.len() as u64 > *most) {
        errors.push(too_many(path, items.len(), most));
    }
    let repeats = || items.iter().enumerate().any(|(n, item)| items[..n].contains(item));
    if node.unique_items && repeats() {
        let detail = format!("{} in body shouldn't contain duplicates", path.dotted());
        errors.push(invalid(path, "".into(), detail));
    }
}

fn check_object(
    node: &Node,
    fields: &Map<String, Value>,
    old: Option<&Value>,
    path: &Path<'_>,
    errors: &mut Vec<FieldError>,
) {
    if let Some(least) = node.min_properties.filter(|least| (fields.len() as u64) < *least) {
        let detail = format!("{} in body should have at least {least} properties", path.dotted());
        errors.push(invalid(path, fields.len().into(), detail));
    }
    if let Some(most) = node.max_properties.filter(|most| fields.len() as u64 > *most) {
        errors.push(too_many(path, fields.len(), most));
    }
    for (name, value) in fields {
        let Some(field) = node.field(name) else { continue };
        // Ratcheting does not apply to the type of the object.
        let fixed = path.is_root() && matches!(name.as_str(), "apiVersion" | "kind");
        let old = old.filter(|_| !fixed && !node.atomic_map).and_then(|old| old.get(name));
        check(field, value, old, &Path::Field(path, name), errors);
    }
    for name in node.required.iter().filter(|name| !fields.contains_key(name.as_str())) {
        errors.push(open_api(&Path::Field(path, name), FieldErrorKind::Required, None, ""));
    }
}

fn check_branches(
    node: &Node,
    value: &Value,
    old: Option<&Value>,
    path: &Path<'_>,
    errors: &mut Vec<FieldError>,
) {
    let outcome = |branch: &Node| {
        let mut found = Vec::new();
        check(branch, value, old, path, &mut found);
        found
    };
    let quoted = || format!("{:?}", path.dotted());
    if !node.any_of.is_empty() {
        let outcomes: Vec<_> = node.any_of.iter().map(outcome).collect();
        if !outcomes.iter().any(Vec::is_empty) {
            errors.push(unplaced(format!("{} must validate at least one schema (anyOf)", quoted())));
            errors.extend(outcomes.into_iter().next().into_iter().flatten());
        }
    }
    if !node.one_of.is_empty() {
        let outcomes: Vec<_> = node.one_of.iter().map(outcome).collect();
        let valid = outcomes.iter().filter(|found| found.is_empty()).count();
        if valid != 1 {
            let how = if valid == 0 {
                "KeyedObject none valid".to_owned()
            } else {
                format!("KeyedObject {valid} valid alternatives")
            };
            errors
                .push(unplaced(format!("{} must validate one and only one schema (oneOf). {how}", quoted())));
        }
        if valid == 0 {
            errors.extend(outcomes.into_iter().next().into_iter().flatten());
        }
    }
    let mut failed = 0;
    for branch in &node.all_of {
        let found = outcome(branch);
        failed += usize::from(!found.is_empty());
        errors.extend(found);
    }
    if failed > 0 {
        let how = if failed == node.all_of.len() { ". None validated" } else { "" };
        errors.push(unplaced(format!("{} must validate all the schemas (allOf){how}", quoted())));
    }
    if node.not.as_ref().is_some_and(|not| outcome(not).is_empty()) {
        errors.push(unplaced(format!("{} must not validate the schema (not)", quoted())));
    }
}

/// Reports repeated elements of sets and repeated keys of list-maps.
pub(crate) fn check_lists(node: &Node, value: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    if !node.lists_below {
        return;
    }
    match value {
        Value::Array(items) => {
            match &node.list {
                ListType::Atomic => {}
                ListType::Set => lists::check_set(items, path, errors),
                ListType::Map(keys) => lists::check_map(keys, items, path, errors),
            }
            if let Some(item_node) = &node.items {
                for (index, item) in items.iter().enumerate() {
                    check_lists(item_node, item, &Path::Index(path, index), errors);
                }
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                if let Some(field) = node.properties.get(name) {
                    check_lists(field, value, &Path::Field(path, name), errors);
                } else if let Some(field) = &node.additional {
                    check_lists(field, value, &Path::Key(path, name), errors);
                }
            }
        }
        _ => {}
    }
}
