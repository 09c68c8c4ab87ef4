//! Field ownership by schema: which maps and lists are one field and which are many, and the path elements of items.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

/// The list and map types of `metadata`, the same for every kind.
static METADATA: LazyLock<Value> = LazyLock::new(|| {
    let map = json!({"additionalProperties": {"type": "string"}});
    json!({"properties": {
        "labels": map, "annotations": map,
        "finalizers": {"x-kubernetes-list-type": "set"},
        "ownerReferences": {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["uid"],
            "items": {"x-kubernetes-map-type": "atomic"}},
        "managedFields": {}, "name": {}, "namespace": {}, "uid": {}, "resourceVersion": {}, "generation": {},
        "generateName": {}, "creationTimestamp": {}, "deletionTimestamp": {}, "deletionGracePeriodSeconds": {},
    }})
});

/// The schema at a path. `None` where the schema declares nothing.
#[derive(Clone, Copy)]
pub(crate) struct Type<'a> {
    schema: Option<&'a Value>,
    root: bool,
}

impl<'a> Type<'a> {
    pub fn root(schema: &'a Value) -> Self {
        Self { schema: Some(schema), root: true }
    }

    fn says(&self, keyword: &str) -> Option<&'a Value> {
        self.schema.and_then(|s| s.get(keyword))
    }

    pub fn declares(&self, field: &str) -> bool {
        (self.root && ["metadata", "apiVersion", "kind"].contains(&field))
            || self.says("properties").is_some_and(|p| p.get(field).is_some())
    }

    pub fn field(&self, field: &str) -> Self {
        if self.root && field == "metadata" {
            return Self { schema: Some(&METADATA), root: false };
        }
        let declared = self.says("properties").and_then(|p| p.get(field));
        let schema = declared.or_else(|| self.says("additionalProperties").filter(|s| s.is_object()));
        Self { schema, root: false }
    }

    pub fn item(&self) -> Self {
        Self { schema: self.says("items"), root: false }
    }

    pub fn atomic_map(&self) -> bool {
        self.says("x-kubernetes-map-type").is_some_and(|t| t == "atomic")
    }

    fn list_type(&self) -> &'a str {
        self.says("x-kubernetes-list-type").and_then(Value::as_str).unwrap_or("atomic")
    }

    /// The path element of an item of a list of type map or set.
    pub fn element(&self, item: &Value) -> String {
        if self.list_type() == "set" {
            return format!("v:{item}");
        }
        let mut keys = Map::new();
        for key in self.says("x-kubernetes-list-map-keys").and_then(Value::as_array).into_iter().flatten() {
            let key = key.as_str().unwrap_or_default();
            let default = self.item().field(key).says("default").cloned();
            if let Some(value) = item.get(key).cloned().or(default) {
                keys.insert(key.to_owned(), value);
            }
        }
        format!("k:{}", Value::Object(keys))
    }

    pub fn granular_list(&self) -> bool {
        matches!(self.list_type(), "map" | "set")
    }
}
