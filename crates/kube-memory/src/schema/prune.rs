//! Pruning: removal of fields that the schema does not declare.

use serde_json::Value;

use crate::metadata;
use crate::schema::node::Node;
use crate::schema::path::Path;

const TYPE_AND_METADATA: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// Removes undeclared fields of an object. Returns their paths, sorted.
pub(crate) fn prune(root: &Node, object: &mut Value) -> Vec<String> {
    let mut removed = Vec::new();
    walk(Some(root), object, &Path::Root, true, &mut removed);
    prune_metadata(object, &Path::Root, &mut removed);
    removed.sort();
    removed
}

fn prune_metadata(object: &mut Value, path: &Path<'_>, removed: &mut Vec<String>) {
    let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    meta.retain(|name, _| {
        let known = metadata::FIELDS.contains(&name.as_str());
        if !known {
            removed.push(Path::Field(&Path::Field(path, "metadata"), name).dotted());
        }
        known
    });
}

fn walk(node: Option<&Node>, value: &mut Value, path: &Path<'_>, object: bool, removed: &mut Vec<String>) {
    let keeps = node.is_some_and(|node| node.preserve_unknown);
    match value {
        Value::Object(fields) => {
            let spared = object || node.is_some_and(|node| node.embedded);
            fields.retain(|name, value| {
                if spared && TYPE_AND_METADATA.contains(&name.as_str()) {
                    return true;
                }
                let here = Path::Field(path, name);
                if let Some(property) = node.and_then(|node| node.properties.get(name)) {
                    walk(Some(property), value, &here, false, removed);
                    return true;
                }
                if let Some(schema) = node.and_then(|node| node.additional.as_deref()) {
                    walk(Some(schema), value, &here, false, removed);
                    return true;
                }
                let known = keeps || node.is_some_and(|node| node.map_of_anything);
                if !known {
                    removed.push(here.dotted());
                }
                known
            });
        }
        Value::Array(items) => {
            let item_node = node.and_then(|node| node.items.as_deref());
            if keeps && item_node.is_none() {
                return;
            }
            for (index, item) in items.iter_mut().enumerate() {
                walk(item_node, item, &Path::Index(path, index), false, removed);
            }
        }
        _ => {}
    }
}
