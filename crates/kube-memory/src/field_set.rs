//! Sets of field paths (`FieldsV1`), and the comparison and merging of objects for server-side apply.
//!
//! Follows `sigs.k8s.io/structured-merge-diff`: the list and map types of the schema define what one field is. Not
//! covered: duplicate items in a list of type map or set.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::field_types::Type;

/// A set of field paths. Path elements are kept in their `FieldsV1` form: `f:name`, `k:{"type":"Ready"}`, `v:"x"`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FieldSet {
    own: BTreeSet<String>,
    below: BTreeMap<String, FieldSet>,
}

impl FieldSet {
    pub fn is_empty(&self) -> bool {
        self.own.is_empty() && self.below.is_empty()
    }

    pub fn insert(&mut self, path: &[String]) {
        match path {
            [] => {}
            [last] => {
                self.own.insert(last.clone());
            }
            [first, rest @ ..] => self.below.entry(first.clone()).or_default().insert(rest),
        }
    }

    /// Whether the element itself or anything below it is in the set.
    fn touches(&self, element: &str) -> bool {
        self.own.contains(element) || self.below.contains_key(element)
    }

    pub fn union(mut self, other: &Self) -> Self {
        self.own.extend(other.own.iter().cloned());
        for (element, set) in &other.below {
            let mine = self.below.remove(element).unwrap_or_default();
            self.below.insert(element.clone(), mine.union(set));
        }
        self
    }

    /// Without exactly the paths of `other`. Paths below them stay.
    pub fn difference(mut self, other: &Self) -> Self {
        self.own.retain(|element| !other.own.contains(element));
        for (element, set) in &other.below {
            if let Some(mine) = self.below.remove(element) {
                let left = mine.difference(set);
                if !left.is_empty() {
                    self.below.insert(element.clone(), left);
                }
            }
        }
        self
    }

    pub fn intersection(&self, other: &Self) -> Self {
        let below = self.below.iter().filter_map(|(element, set)| {
            let both = set.intersection(other.below.get(element)?);
            (!both.is_empty()).then(|| (element.clone(), both))
        });
        Self { own: self.own.intersection(&other.own).cloned().collect(), below: below.collect() }
    }

    /// Without the top-level fields `names` and everything below them.
    pub fn without_fields(mut self, names: &[&str]) -> Self {
        for name in names {
            let element = format!("f:{name}");
            self.own.remove(&element);
            self.below.remove(&element);
        }
        self
    }

    pub fn to_json(&self) -> Value {
        let mut map = Map::new();
        for element in &self.own {
            map.insert(element.clone(), json!({}));
        }
        for (element, set) in &self.below {
            let mut node = set.to_json();
            if self.own.contains(element) {
                node["."] = json!({});
            }
            map.insert(element.clone(), node);
        }
        Value::Object(map)
    }

    pub fn from_json(value: &Value) -> Self {
        let mut set = Self::default();
        for (element, node) in value.as_object().into_iter().flatten().filter(|(e, _)| *e != ".") {
            let below = Self::from_json(node);
            if below.is_empty() || node.get(".").is_some() {
                set.own.insert(element.clone());
            }
            if !below.is_empty() {
                set.below.insert(element.clone(), below);
            }
        }
        set
    }

    /// All paths in the spelling of messages: `.spec.conditions[type="Ready"].status`.
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect_paths("", &mut paths);
        paths
    }

    fn collect_paths(&self, prefix: &str, paths: &mut Vec<String>) {
        let elements: BTreeSet<&String> = self.own.iter().chain(self.below.keys()).collect();
        for element in elements {
            let path = format!("{prefix}{}", readable(element));
            if let Some(set) = self.below.get(element) {
                set.collect_paths(&path, paths);
            }
            if self.own.contains(element) {
                paths.push(path);
            }
        }
    }
}

fn readable(element: &str) -> String {
    match element.split_once(':') {
        Some(("f", name)) => format!(".{name}"),
        Some(("k", keys)) => {
            let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
            let keys: Vec<String> = keys.iter().map(|(k, v)| format!("{k}={v}")).collect();
            format!("[{}]", keys.join(","))
        }
        Some(("v", value)) => format!("[={value}]"),
        _ => element.to_owned(),
    }
}

/// The difference between two objects.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    pub added: FieldSet,
    pub removed: FieldSet,
    pub modified: FieldSet,
}

impl Comparison {
    pub fn of(schema: &Value, old: &Value, new: &Value) -> Self {
        let mut comparison = Self::default();
        comparison.compare(Type::root(schema), &mut Vec::new(), Some(old), Some(new));
        comparison
    }

    fn compare(&mut self, at: Type<'_>, path: &mut Vec<String>, old: Option<&Value>, new: Option<&Value>) {
        let empty = |v: Option<&Value>| v.is_none_or(is_empty);
        let same_shape = |shape: fn(&Value) -> bool| {
            [old, new].iter().flatten().all(|v| v.is_null() || shape(v))
                && [old, new].iter().flatten().any(|v| shape(v))
        };
        if empty(old) && empty(new) {
            self.leaf(path, old, new);
        } else if same_shape(Value::is_object) && !at.atomic_map() {
            let keys: BTreeSet<&String> =
                [old, new].iter().flatten().filter_map(|v| v.as_object()).flat_map(Map::keys).collect();
            for key in keys {
                path.push(format!("f:{key}"));
                let (o, n) = (old.and_then(|v| v.get(key)), new.and_then(|v| v.get(key)));
                self.compare(at.field(key), path, o, n);
                path.pop();
            }
            self.presence(path, old, new);
        } else if same_shape(Value::is_array) && at.granular_list() {
            let index = |v: Option<&Value>| -> BTreeMap<String, Value> {
                v.and_then(Value::as_array)
                    .into_iter()
                    .flatten()
                    .map(|i| (at.element(i), i.clone()))
                    .collect()
            };
            let (olds, news) = (index(old), index(new));
            let elements: BTreeSet<&String> = olds.keys().chain(news.keys()).collect();
            for element in elements {
                path.push(element.clone());
                self.compare(at.item(), path, olds.get(element), news.get(element));
                path.pop();
            }
            self.presence(path, old, new);
        } else {
            self.leaf(path, old, new);
        }
    }

    fn presence(&mut self, path: &[String], old: Option<&Value>, new: Option<&Value>) {
        match (old, new) {
            (None, Some(_)) => self.added.insert(path),
            (Some(_), None) => self.removed.insert(path),
            _ => {}
        }
    }

    fn leaf(&mut self, path: &[String], old: Option<&Value>, new: Option<&Value>) {
        self.presence(path, old, new);
        if let (Some(old), Some(new)) = (old, new)
            && old != new
        {
            self.modified.insert(path);
        }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

/// The fields that an applied configuration sets.
pub(crate) fn fields_of(schema: &Value, object: &Value) -> FieldSet {
    let mut set = FieldSet::default();
    walk(Type::root(schema), object, &mut Vec::new(), &mut set);
    set
}

fn walk(at: Type<'_>, value: &Value, path: &mut Vec<String>, set: &mut FieldSet) {
    match value {
        Value::Object(map) if !at.atomic_map() => {
            for (key, value) in map {
                path.push(format!("f:{key}"));
                walk(at.field(key), value, path, set);
                let empty_map = value.is_null() || value.as_object().is_some_and(Map::is_empty);
                if empty_map || !at.declares(key) {
                    set.insert(path);
                }
                path.pop();
            }
        }
        Value::Array(list) if at.granular_list() => {
            for item in list {
                path.push(at.element(item));
                walk(at.item(), item, path, set);
                set.insert(path);
                path.pop();
            }
        }
        _ => set.insert(path),
    }
}

/// Merges `config` into `live`: merges maps and keyed lists, replaces everything else.
pub(crate) fn merged(schema: &Value, live: &Value, config: &Value) -> Value {
    merge(Type::root(schema), live, config)
}

fn merge(at: Type<'_>, live: &Value, config: &Value) -> Value {
    match (live, config) {
        (Value::Object(live), Value::Object(config)) if !at.atomic_map() => {
            let mut out = live.clone();
            for (key, value) in config {
                let value =
                    live.get(key).map_or_else(|| value.clone(), |old| merge(at.field(key), old, value));
                out.insert(key.clone(), value);
            }
            Value::Object(out)
        }
        (Value::Array(live), Value::Array(config)) if at.granular_list() => {
            let elements: Vec<String> = config.iter().map(|i| at.element(i)).collect();
            // Items of both follow the order of the configuration; items of the live object alone keep their place.
            let mut taken = 0;
            let mut out = Vec::with_capacity(live.len() + config.len());
            for item in live {
                match elements.iter().position(|e| *e == at.element(item)) {
                    None => out.push(item.clone()),
                    Some(position) if position >= taken => {
                        for (element, new) in elements[taken..=position].iter().zip(&config[taken..=position])
                        {
                            out.push(overlay(at, live, element, new));
                        }
                        taken = position + 1;
                    }
                    Some(_) => {}
                }
            }
            for (element, new) in elements[taken..].iter().zip(&config[taken..]) {
                out.push(overlay(at, live, element, new));
            }
            Value::Array(out)
        }
        _ => config.clone(),
    }
}

fn overlay(at: Type<'_>, live: &[Value], element: &str, new: &Value) -> Value {
    live.iter()
        .find(|i| at.element(i) == element)
        .map_or_else(|| new.clone(), |old| merge(at.item(), old, new))
}

/// Removes from `object` the fields of `last` that are not in `owned`.
pub(crate) fn prune(schema: &Value, object: &mut Value, last: &FieldSet, owned: &FieldSet) {
    remove(Type::root(schema), object, last, owned);
}

fn remove(at: Type<'_>, value: &mut Value, last: &FieldSet, owned: &FieldSet) {
    let none = FieldSet::default();
    match value {
        Value::Object(map) if !at.atomic_map() => {
            map.retain(|key, _| {
                let element = format!("f:{key}");
                let was_ours =
                    last.own.contains(&element) || (last.below.contains_key(&element) && at.declares(key));
                !was_ours || owned.touches(&element)
            });
            for (key, value) in map.iter_mut() {
                let element = format!("f:{key}");
                if let Some(last) = last.below.get(&element) {
                    remove(at.field(key), value, last, owned.below.get(&element).unwrap_or(&none));
                }
            }
        }
        Value::Array(items) if at.granular_list() => {
            items.retain(|item| {
                let element = at.element(item);
                !last.own.contains(&element) || owned.touches(&element)
            });
            for item in items.iter_mut() {
                let element = at.element(item);
                if let Some(last) = last.below.get(&element) {
                    remove(at.item(), item, last, owned.below.get(&element).unwrap_or(&none));
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Value {
        json!({"properties": {"spec": {"properties": {"a": {}, "link": {"properties": {"x": {}, "y": {}}},
            "tags": {"additionalProperties": {}},
            "items": {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"], "items": {"properties": {"n": {}, "v": {}}}}}}}})
    }

    #[test]
    fn field_set_survives_json() {
        let object = json!({"spec": {"a": 1, "tags": {"k": "v"}, "items": [{"n": "1", "v": 2}]}});
        let set = fields_of(&schema(), &object);
        assert_eq!(FieldSet::from_json(&set.to_json()), set);
        assert_eq!(
            set.to_json(),
            json!({"f:spec": {"f:a": {}, "f:tags": {"f:k": {}},
                "f:items": {"k:{\"n\":\"1\"}": {".": {}, "f:n": {}, "f:v": {}}}}})
        );
        assert!(set.paths().contains(&".spec.items[n=\"1\"].v".to_owned()));
    }

    #[test]
    fn prune_removes_fields_no_longer_applied() {
        let last = fields_of(&schema(), &json!({"spec": {"a": 1, "link": {"x": 1}}}));
        let now = fields_of(&schema(), &json!({"spec": {"a": 1}}));
        let mut object = json!({"spec": {"a": 1, "link": {"x": 1}}, "status": {"z": 1}});
        prune(&schema(), &mut object, &last, &now);
        assert_eq!(object, json!({"spec": {"a": 1}, "status": {"z": 1}}));
    }

    #[test]
    fn keyed_lists_merge_by_key() {
        let live = json!({"spec": {"items": [{"n": "1", "v": 1}, {"n": "2"}]}});
        let config = json!({"spec": {"items": [{"n": "3"}, {"n": "1", "w": 2}]}});
        assert_eq!(
            merged(&schema(), &live, &config),
            json!({"spec": {"items": [{"n": "3"}, {"n": "1", "v": 1, "w": 2}, {"n": "2"}]}})
        );
    }

    #[test]
    fn new_struct_is_owned_with_its_fields() {
        let comparison = Comparison::of(&schema(), &json!({}), &json!({"spec": {"a": 1}}));
        assert_eq!(comparison.added.to_json(), json!({"f:spec": {".": {}, "f:a": {}}}));
    }
}
