//! Structural defaulting, and the pruning of nulls before it.

use serde_json::Value;

use crate::schema::node::Node;

/// Removes nulls where the schema has neither `nullable` nor a default: the server treats them as absent.
pub(crate) fn prune_nulls(node: Option<&Node>, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, value| {
                let field = node.and_then(|node| node.field(name));
                !(value.is_null() && field.is_some_and(|field| !field.nullable && field.default.is_none()))
            });
            for (name, value) in fields {
                prune_nulls(node.and_then(|node| node.field(name)), value);
            }
        }
        Value::Array(items) => {
            let item_node = node.and_then(|node| node.items.as_deref());
            for item in items {
                prune_nulls(item_node, item);
            }
        }
        _ => {}
    }
}

/// Fills in defaults, outer before inner, so that the fields of a default are defaulted too.
pub(crate) fn fill(node: &Node, value: &mut Value) {
    let replaces = |node: &Node, value: &Value| value.is_null() && !node.nullable;
    match value {
        Value::Object(fields) => {
            for (name, property) in &node.properties {
                let Some(default) = &property.default else { continue };
                if fields.get(name).is_none_or(|value| replaces(property, value)) {
                    fields.insert(name.clone(), default.clone());
                }
            }
            for (name, value) in fields {
                let Some(field) = node.field(name) else { continue };
                if let Some(default) = field.default.as_ref().filter(|_| replaces(field, value)) {
                    *value = default.clone();
                }
                fill(field, value);
            }
        }
        Value::Array(items) => {
            let Some(item_node) = node.items.as_deref() else { return };
            for item in items {
                if let Some(default) = item_node.default.as_ref().filter(|_| replaces(item_node, item)) {
                    *item = default.clone();
                }
                fill(item_node, item);
            }
        }
        _ => {}
    }
}
