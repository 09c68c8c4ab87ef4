//! Linting the rules of structural schemas: types, keywords, list types, defaults, and the limits of `allOf` and the like.

use serde_json::Value;

use crate::schema::defaults;
use crate::schema::formats::Format;
use crate::schema::keywords::{flag, list, texts};
use crate::schema::node::Node;
use crate::schema::path::Path;
use crate::schema::{prune, rules, validate};

const FORBIDDEN: [&str; 8] =
    ["$ref", "id", "definitions", "dependencies", "patternProperties", "additionalItems", "$schema", "const"];
/// Not allowed inside allOf, anyOf, oneOf and not.
const STRUCTURAL: [&str; 12] = [
    "type",
    "description",
    "title",
    "default",
    "nullable",
    "additionalProperties",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
];
/// The only keywords allowed at the root when status is a subresource.
const AT_ROOT: [&str; 7] = [
    "type",
    "description",
    "title",
    "required",
    "properties",
    "x-kubernetes-validations",
    "x-kubernetes-preserve-unknown-fields",
];

pub(crate) fn check(root: &Value, status: bool, found: &mut Vec<String>) {
    if root.get("type").and_then(Value::as_str) != Some("object") {
        found.push("openAPIV3Schema: the type must be object at the root".into());
    }
    if flag(root, "nullable") {
        found.push("openAPIV3Schema: nullable cannot be true at the root".into());
    }
    if root.get("additionalProperties").is_some() {
        found.push("openAPIV3Schema: additionalProperties must not be used at the root".into());
    }
    if status {
        for name in root.as_object().into_iter().flatten().map(|(name, _)| name) {
            if !AT_ROOT.contains(&name.as_str()) {
                found.push(format!(
                    "openAPIV3Schema: {name} is not allowed at the root when status is a subresource"
                ));
            }
        }
    }
    check_metadata(root, found);
    node(root, "openAPIV3Schema", found);
}

fn check_metadata(root: &Value, found: &mut Vec<String>) {
    let Some(metadata) = root.pointer("/properties/metadata") else { return };
    let names = metadata.get("properties").and_then(Value::as_object);
    let only = names.into_iter().flatten().all(|(name, _)| matches!(name.as_str(), "name" | "generateName"));
    let fields = metadata.as_object().into_iter().flatten();
    let plain =
        fields.into_iter().all(|(name, _)| matches!(name.as_str(), "type" | "properties" | "description"));
    if !only || !plain {
        found.push(
            "openAPIV3Schema.properties[metadata]: only name and generateName may be restricted".into(),
        );
    }
}

fn node(schema: &Value, place: &str, found: &mut Vec<String>) {
    let kind = schema.get("type").and_then(Value::as_str);
    let (int_or_string, preserves) =
        (flag(schema, "x-kubernetes-int-or-string"), flag(schema, "x-kubernetes-preserve-unknown-fields"));
    let mut report = |sentence: &str| found.push(format!("{place}: {sentence}"));
    match kind {
        None if !int_or_string && !preserves => report("a type is required"),
        Some("object" | "array" | "string" | "integer" | "number" | "boolean") | None => {}
        Some(other) => report(&format!("the type {other} is not supported")),
    }
    if kind.is_some() && int_or_string {
        report("an int-or-string must not have a type");
    }
    check_keywords(schema, kind, &mut report);
    if let Some(format) = schema.get("format").and_then(Value::as_str) {
        let known = matches!(
            (kind, format),
            (Some("integer"), "int32" | "int64") | (Some("number"), "float" | "double")
        ) || (matches!(kind, None | Some("string"))
            && Format::supported(format, None, false).is_some_and(|known| known.name() != "int32"));
        if !known {
            report(&format!("the format {format} is not recognized for {}", kind.unwrap_or("this value")));
        }
    }
    check_list(schema, kind, &mut report);
    if let Some(default) = schema.get("default").filter(|value| !value.is_null()) {
        check_default(schema, default, place, found);
    }
    for name in ["allOf", "anyOf", "oneOf"] {
        for (index, branch) in list(schema, name).iter().enumerate() {
            let known = int_or_string && name == "anyOf" && is_int_or_string(list(schema, "anyOf"));
            if !known {
                nested(branch, schema, &format!("{place}.{name}[{index}]"), found);
            }
        }
    }
    if let Some(branch) = schema.get("not") {
        nested(branch, schema, &format!("{place}.not"), found);
    }
    for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        if place != "openAPIV3Schema" || name != "metadata" {
            node(property, &format!("{place}.properties[{name}]"), found);
        }
    }
    if let Some(items @ Value::Object(_)) = schema.get("items") {
        node(items, &format!("{place}.items"), found);
    }
    if let Some(values @ Value::Object(_)) = schema.get("additionalProperties") {
        node(values, &format!("{place}.additionalProperties"), found);
    }
}

fn check_keywords(schema: &Value, kind: Option<&str>, report: &mut impl FnMut(&str)) {
    for keyword in FORBIDDEN.iter().filter(|keyword| schema.get(**keyword).is_some()) {
        report(&format!("{keyword} is not supported"));
    }
    if flag(schema, "uniqueItems") {
        report("uniqueItems cannot be true; use x-kubernetes-list-type set");
    }
    let properties = schema.get("properties").and_then(Value::as_object).is_some_and(|all| !all.is_empty());
    match schema.get("additionalProperties") {
        Some(Value::Bool(false)) => report("additionalProperties cannot be false; unknown fields are pruned"),
        Some(_) if properties => report("additionalProperties and properties exclude each other"),
        _ => {}
    }
    match schema.get("items") {
        Some(Value::Array(_)) => report("items must be one schema, not a list of them"),
        None if kind == Some("array") => report("items are required for an array"),
        _ => {}
    }
    if flag(schema, "x-kubernetes-embedded-resource") && kind != Some("object") {
        report("an embedded resource must have the type object");
    }
    if schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(false)) {
        report("x-kubernetes-preserve-unknown-fields must be true or absent");
    }
    let map_type = schema.get("x-kubernetes-map-type").and_then(Value::as_str);
    if map_type.is_some_and(|it| kind != Some("object") || !matches!(it, "atomic" | "granular")) {
        report("x-kubernetes-map-type must be atomic or granular, on an object");
    }
}

fn check_list(schema: &Value, kind: Option<&str>, report: &mut impl FnMut(&str)) {
    let keys = texts(schema, "x-kubernetes-list-map-keys");
    let Some(list_type) = schema.get("x-kubernetes-list-type").and_then(Value::as_str) else {
        if !keys.is_empty() {
            report("x-kubernetes-list-map-keys needs x-kubernetes-list-type map");
        }
        return;
    };
    if kind != Some("array") {
        report("x-kubernetes-list-type is for arrays only");
    }
    let empty = Value::Null;
    let items = schema.get("items").unwrap_or(&empty);
    if list_type != "atomic" && flag(items, "nullable") {
        report(&format!("items cannot be nullable in a list of type {list_type}"));
    }
    let item_kind = items.get("type").and_then(Value::as_str);
    match list_type {
        "atomic" => {}
        "set" => {
            let atomic = |name: &str| items.get(name).and_then(Value::as_str) == Some("atomic");
            let open = item_kind == Some("object") && !atomic("x-kubernetes-map-type");
            let open_list = item_kind == Some("array")
                && items.get("x-kubernetes-list-type").is_some()
                && !atomic("x-kubernetes-list-type");
            if open || open_list {
                report("the items of a set must be scalars or atomic");
            }
        }
        "map" => {
            if keys.is_empty() || item_kind != Some("object") {
                report("a list of type map needs x-kubernetes-list-map-keys and objects as items");
            }
            let required = texts(items, "required");
            for key in keys {
                let property = items.get("properties").and_then(|all| all.get(&key));
                let kind = property.and_then(|it| it.get("type")).and_then(Value::as_str);
                if !matches!(kind, Some("string" | "integer" | "number" | "boolean")) {
                    report(&format!("the list-map key {key} must be a scalar property of the items"));
                }
                let fixed = required.contains(&key) || property.is_some_and(|it| it.get("default").is_some());
                if !fixed || property.is_some_and(|it| flag(it, "nullable")) {
                    report(&format!(
                        "the list-map key {key} must be required or have a default, and not be nullable"
                    ));
                }
            }
        }
        other => report(&format!("x-kubernetes-list-type {other} is not atomic, set or map")),
    }
}

/// Checks that a default is pruned and valid.
fn check_default(schema: &Value, default: &Value, place: &str, found: &mut Vec<String>) {
    let Ok(node) = Node::compile(schema, place) else { return };
    let mut stored = default.clone();
    defaults::fill(&node, &mut stored);
    let holder = serde_json::json!({"type": "object", "properties": {"default": schema}});
    let pruned = Node::compile(&holder, place).map(|holder| {
        let mut object = serde_json::json!({"default": stored});
        prune::prune(&holder, &mut object)
    });
    for path in pruned.unwrap_or_default() {
        found.push(format!("{place}: the default has an unknown field {path}"));
    }
    let mut errors = Vec::new();
    validate::check(&node, &stored, None, &Path::Field(&Path::Root, "default"), &mut errors);
    validate::check_lists(&node, &stored, &Path::Field(&Path::Root, "default"), &mut errors);
    rules::check(&node, &stored, rules::Old::default(), &Path::Field(&Path::Root, "default"), &mut errors);
    found.extend(errors.into_iter().map(|error| format!("{place}: the default is invalid: {error}")));
}

fn is_int_or_string(branches: &[Value]) -> bool {
    *branches == [serde_json::json!({"type": "integer"}), serde_json::json!({"type": "string"})]
}

/// Checks a branch of allOf and the like: it may only restrict fields that are declared outside of it.
fn nested(branch: &Value, declared: &Value, place: &str, found: &mut Vec<String>) {
    for keyword in STRUCTURAL.iter().filter(|keyword| branch.get(**keyword).is_some()) {
        found.push(format!("{place}: {keyword} must not be set here; set it outside of the branch"));
    }
    if branch.get("x-kubernetes-validations").is_some() {
        found.push(format!("{place}: x-kubernetes-validations must not be set here"));
    }
    for (name, property) in branch.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let here = format!("{place}.properties[{name}]");
        if name == "metadata" {
            found.push(format!("{here}: metadata must not be restricted in a branch"));
        }
        match declared.get("properties").and_then(|all| all.get(name)) {
            Some(declared) => nested(property, declared, &here, found),
            None => found.push(format!("{here}: the field is not declared outside of the branch")),
        }
    }
    if let Some(items) = branch.get("items") {
        match declared.get("items") {
            Some(declared) => nested(items, declared, &format!("{place}.items"), found),
            None => found.push(format!("{place}.items: the items are not declared outside of the branch")),
        }
    }
    for name in ["allOf", "anyOf", "oneOf"] {
        for (index, inner) in list(branch, name).iter().enumerate() {
            nested(inner, declared, &format!("{place}.{name}[{index}]"), found);
        }
    }
    if let Some(inner) = branch.get("not") {
        nested(inner, declared, &format!("{place}.not"), found);
    }
}
