//! CRD schemas without a server: defaulting, pruning, validation, CEL rules, printer columns, selectable fields, and
//! admission policies in [`policies`].
//!
//! A [`Schema`] is compiled once (patterns, CEL, paths) and used for any number of objects, from any thread. Errors have
//! the texts of apiextensions-apiserver. Nothing here reads a file or a clock.
//!
//! [`lint`] checks a CRD as an API server would.

mod cel;
mod columns;
mod defaults;
mod error;
mod formats;
mod keywords;
mod lint;
mod lists;
mod node;
mod object_meta;
mod path;
pub mod policies;
mod prune;
mod rules;
mod validate;
mod values;

use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

pub use columns::{Column, age};
pub use error::SchemaError;
pub use lint::{lint, lint_json};

use crate::field_error::FieldError;
use crate::schema::columns::JsonPath;
use crate::schema::node::Node;
use crate::schema::path::Path;
use crate::schema::rules::Old;

/// A version of a CRD, compiled.
#[derive(Debug)]
pub struct Schema {
    group: String,
    version: String,
    kind: String,
    plural: String,
    status: bool,
    root: Node,
    columns: Vec<Column>,
    selectable: Vec<(String, JsonPath)>,
}

impl Schema {
    /// Compiles a version of a CRD.
    ///
    /// # Errors
    /// When the version does not exist, or a pattern, a CEL expression or a `JSONPath` does not compile.
    pub fn from_crd(crd: &CustomResourceDefinition, version: &str) -> Result<Self, SchemaError> {
        let what = || format!("the CRD {}", crd.metadata.name.as_deref().unwrap_or("without a name"));
        let json = serde_json::to_value(crd).map_err(|source| SchemaError::Shape { what: what(), source })?;
        Self::from_json(&json, version)
    }

    /// As [`Schema::from_crd`], for a CRD given as JSON.
    pub fn from_json(crd: &Value, version: &str) -> Result<Self, SchemaError> {
        let text =
            |pointer: &str| crd.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let versions = crd.pointer("/spec/versions").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let named = |it: &&Value| it.get("name").and_then(Value::as_str) == Some(version);
        let Some(found) = versions.iter().find(named) else {
            let known =
                versions.iter().filter_map(|it| it.get("name")?.as_str()).map(ToOwned::to_owned).collect();
            return Err(SchemaError::NoVersion {
                crd: text("/metadata/name"),
                version: version.to_owned(),
                known,
            });
        };
        let empty = Value::Object(serde_json::Map::new());
        let mut root =
            Node::compile(found.pointer("/schema/openAPIV3Schema").unwrap_or(&empty), "openAPIV3Schema")?;
        complete_root(&mut root)?;
        let mut columns = vec![Column::of_names()?];
        match keywords::list(found, "additionalPrinterColumns") {
            [] => columns.push(Column::of_ages()?),
            given => {
                for column in given {
                    columns.push(Column::from_crd(column)?);
                }
            }
        }
        let mut selectable = Vec::new();
        for field in keywords::list(found, "selectableFields") {
            let path = field.get("jsonPath").and_then(Value::as_str).unwrap_or_default();
            selectable.push((path.trim_start_matches('.').to_owned(), JsonPath::parse(path)?));
        }
        Ok(Self {
            group: text("/spec/group"),
            version: version.to_owned(),
            kind: text("/spec/names/kind"),
            plural: text("/spec/names/plural"),
            status: found.pointer("/subresources/status").is_some(),
            root,
            columns,
            selectable,
        })
    }

    /// `apiVersion` of the objects.
    pub fn api_version(&self) -> String {
        format!("{}/{}", self.group, self.version)
    }

    /// API group of the objects.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// Name of the version, such as `v1`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// `kind` of the objects.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Plural name, as in URLs.
    pub fn plural(&self) -> &str {
        &self.plural
    }

    /// Whether the version has the `status` subresource.
    pub fn has_status(&self) -> bool {
        self.status
    }

    /// Removes nulls that are not allowed and fills in defaults, as the server does on every write and read.
    ///
    /// On a create a server drops `status` *after* defaulting, and defaults it again on reads. To do the same: default,
    /// drop, default.
    pub fn default(&self, object: &mut Value) {
        defaults::prune_nulls(Some(&self.root), object);
        defaults::fill(&self.root, object);
    }

    /// Removes fields that the schema does not declare. Returns their paths, sorted. [`unknown_field`] gives the message
    /// for `fieldValidation=Strict` or `Warn`.
    pub fn prune(&self, object: &mut Value) -> Vec<String> {
        prune::prune(&self.root, object)
    }

    /// Validates an object. The errors have a fixed order. `old` is the stored object on an update: then transition
    /// rules run, and unchanged values may stay invalid (ratcheting).
    ///
    /// Default and prune first, as the server does. A missing `metadata.namespace` is not an error: it comes from the
    /// URL.
    pub fn validate(&self, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let mut errors = self.check_type(object);
        if !errors.is_empty() {
            return errors;
        }
        errors.extend(object_meta::check(object, old));
        validate::check(&self.root, object, old, &Path::Root, &mut errors);
        let mut repeated = Vec::new();
        if let Some(old) = old {
            validate::check_lists(&self.root, old, &Path::Root, &mut repeated);
        }
        if repeated.is_empty() {
            validate::check_lists(&self.root, object, &Path::Root, &mut errors);
        }
        if !self.root.rules_below {
            return errors;
        }
        if errors.iter().any(FieldError::blocks_rules) {
            let detail = "some validation rules were not checked because the object was invalid; \
                          correct the existing errors to complete validation";
            errors.push(FieldError::invalid(Path::Root, Value::Null, detail));
            return errors;
        }
        let old = Old { value: old, unchanged: old == Some(object) };
        rules::check(&self.root, object, old, &Path::Root, &mut errors);
        errors
    }

    fn check_type(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        for (field, expected) in [("kind", self.kind.clone()), ("apiVersion", self.api_version())] {
            let given = object.get(field).and_then(Value::as_str).unwrap_or_default();
            if given != expected {
                errors.push(FieldError::invalid(field, given, format!("must be {expected}")));
            }
        }
        errors
    }

    /// The printer columns: the name, and then those of the CRD, or the age if it has none.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The cells of an object as kubectl prints them, one per column. Empty cells are empty strings.
    pub fn row(&self, object: &Value, now: Timestamp) -> Vec<String> {
        let print = |cell| match cell {
            Value::Null => String::new(),
            Value::String(text) => text,
            other => other.to_string(),
        };
        self.columns.iter().map(|column| print(column.cell(object, now))).collect()
    }

    /// The fields that a field selector can use besides `metadata.name` and `metadata.namespace`.
    pub fn selectable_fields(&self) -> impl Iterator<Item = &str> {
        self.selectable.iter().map(|(name, _)| name.as_str())
    }

    /// The value of a field for field selectors: empty if the field is absent, `None` if it is not selectable.
    pub fn selectable_value(&self, object: &Value, field: &str) -> Option<String> {
        let text = |value: Option<&Value>| match value {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        match field {
            "metadata.name" => Some(text(object.pointer("/metadata/name"))),
            "metadata.namespace" => Some(text(object.pointer("/metadata/namespace"))),
            _ => {
                let (_, path) = self.selectable.iter().find(|(name, _)| name == field)?;
                Some(text(path.first(object)))
            }
        }
    }
}

/// The message about a pruned field, in a warning or after `strict decoding error: `.
pub fn unknown_field(path: &str) -> String {
    format!("unknown field \"{path}\"")
}

/// Declares type and name at the root: root rules can read those, and no other metadata.
fn complete_root(root: &mut Node) -> Result<(), SchemaError> {
    let text = || Node::compile(&serde_json::json!({"type": "string"}), "openAPIV3Schema");
    for name in ["apiVersion", "kind"] {
        root.properties.insert(name.to_owned(), text()?);
    }
    let metadata = root.properties.entry("metadata".to_owned()).or_default();
    for name in ["name", "generateName"] {
        if !metadata.properties.contains_key(name) {
            metadata.properties.insert(name.to_owned(), text()?);
        }
    }
    Ok(())
}
