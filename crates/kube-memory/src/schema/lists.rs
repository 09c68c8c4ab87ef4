//! Lists of type set and map: duplicate elements, and the correlation of old and new elements.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::field_error::{FieldError, FieldErrorKind};
use crate::schema::node::{ListType, Node};
use crate::schema::path::Path;

/// The old element with the keys of `item`. Only lists of type map can be correlated.
pub(crate) fn counterpart<'old>(node: &Node, item: &Value, old: &'old [Value]) -> Option<&'old Value> {
    let ListType::Map(keys) = &node.list else { return None };
    let fields = item.as_object()?;
    old.iter().find(|candidate| {
        candidate.as_object().is_some_and(|other| keys.iter().all(|key| other.get(key) == fields.get(key)))
    })
}

pub(crate) fn check_set(items: &[Value], path: &Path<'_>, errors: &mut Vec<FieldError>) {
    for index in second_occurrences(items.iter().map(Value::to_string)) {
        errors.push(duplicate(&Path::Index(path, index), items[index].clone()));
    }
}

pub(crate) fn check_map(keys: &[String], items: &[Value], path: &Path<'_>, errors: &mut Vec<FieldError>) {
    if let Some(index) = items.iter().position(|item| !item.is_object() && !item.is_null()) {
        let detail = "must be an object for an array of list-type map";
        errors.push(FieldError::invalid(Path::Index(path, index), items[index].clone(), detail));
        return;
    }
    let identities: Vec<Value> = items
        .iter()
        .map(|item| {
            let identity: Map<String, Value> =
                keys.iter().filter_map(|key| Some((key.clone(), item.get(key)?.clone()))).collect();
            Value::Object(identity)
        })
        .collect();
    for index in second_occurrences(identities.iter().map(Value::to_string)) {
        errors.push(duplicate(&Path::Index(path, index), identities[index].clone()));
    }
}

fn duplicate(path: &Path<'_>, value: Value) -> FieldError {
    FieldError::new(path, FieldErrorKind::Duplicate, Some(value), "")
}

/// The indexes of the second occurrence of each repeated value: the server reports each value once.
fn second_occurrences(identities: impl Iterator<Item = String>) -> Vec<usize> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut found = Vec::new();
    for (index, identity) in identities.enumerate() {
        let times = seen.entry(identity).or_default();
        *times += 1;
        if *times == 2 {
            found.push(index);
        }
    }
    found
}
