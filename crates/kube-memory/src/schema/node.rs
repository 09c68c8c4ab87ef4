//! A structural schema, compiled: patterns and CEL rules parsed, properties in order of name.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::Value;

use crate::schema::cel::Rule;
use crate::schema::error::SchemaError;
use crate::schema::formats::Format;
use crate::schema::keywords::{JsonType, flag, list, texts};

/// `x-kubernetes-list-type`: how the elements of a list are identified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum ListType {
    #[default]
    Atomic,
    Set,
    Map(Vec<String>),
}

/// Bounds of a number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bounds {
    pub minimum: Option<f64>,
    pub exclusive_minimum: bool,
    pub maximum: Option<f64>,
    pub exclusive_maximum: bool,
    pub multiple_of: Option<f64>,
}

/// One node of the schema.
#[allow(clippy::struct_excessive_bools, reason = "the flags are OpenAPI's own and independent of each other")]
#[derive(Debug, Default)]
pub(crate) struct Node {
    pub kind: Option<JsonType>,
    pub int_or_string: bool,
    pub nullable: bool,
    pub preserve_unknown: bool,
    pub embedded: bool,
    pub format: Option<Format>,
    pub default: Option<Value>,
    pub allowed: Option<Vec<Value>>,
    pub pattern: Option<(String, Regex)>,
    pub bounds: Option<Bounds>,
    pub min_length: Option<u64>,
    pub max_length: Option<u64>,
    pub min_items: Option<u64>,
    pub max_items: Option<u64>,
    pub min_properties: Option<u64>,
    pub max_properties: Option<u64>,
    pub unique_items: bool,
    pub list: ListType,
    pub atomic_map: bool,
    pub required: Vec<String>,
    pub properties: BTreeMap<String, Node>,
    /// The schema of map values.
    pub additional: Option<Box<Node>>,
    /// `additionalProperties: true`.
    pub map_of_anything: bool,
    pub items: Option<Box<Node>>,
    pub all_of: Vec<Node>,
    pub any_of: Vec<Node>,
    pub one_of: Vec<Node>,
    pub not: Option<Box<Node>>,
    pub rules: Vec<Rule>,
    /// Whether this node or one below it has CEL rules.
    pub rules_below: bool,
    /// Whether this node or one below it is a list of type map or set.
    pub lists_below: bool,
}

impl Node {
    /// Compiles a JSON schema. `place` is the path of the schema, for errors.
    pub(crate) fn compile(schema: &Value, place: &str) -> Result<Self, SchemaError> {
        let child = |name: &str, schema: &Value| Node::compile(schema, &format!("{place}.{name}"));
        let branch = |name: &str| -> Result<Vec<Node>, SchemaError> {
            let branches = schema.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            branches.iter().enumerate().map(|(n, it)| child(&format!("{name}[{n}]"), it)).collect()
        };
        let kind = schema.get("type").and_then(Value::as_str).and_then(JsonType::parse);
        let int_or_string = flag(schema, "x-kubernetes-int-or-string");
        let mut properties = BTreeMap::new();
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            properties.insert(name.clone(), child(&format!("properties[{name}]"), property)?);
        }
        let additional = match schema.get("additionalProperties") {
            Some(schema @ Value::Object(_)) => Some(Box::new(child("additionalProperties", schema)?)),
            _ => None,
        };
        let items = match schema.get("items") {
            Some(schema @ Value::Object(_)) => Some(Box::new(child("items", schema)?)),
            _ => None,
        };
        let not = match schema.get("not") {
            Some(schema @ Value::Object(_)) => Some(Box::new(child("not", schema)?)),
            _ => None,
        };
        let mut rules = Vec::new();
        for rule in list(schema, "x-kubernetes-validations") {
            rules.push(Rule::compile(rule, place)?);
        }
        let list_type = match schema.get("x-kubernetes-list-type").and_then(Value::as_str) {
            Some("set") => ListType::Set,
            Some("map") => ListType::Map(texts(schema, "x-kubernetes-list-map-keys")),
            _ => ListType::Atomic,
        };
        let format = schema.get("format").and_then(Value::as_str);
        if let Some(name) = format.filter(|name| Format::is_missing(name, kind)) {
            return Err(SchemaError::Format { place: place.to_owned(), format: name.to_owned() });
        }
        let mut node = Self {
            kind,
            int_or_string,
            nullable: flag(schema, "nullable"),
            preserve_unknown: flag(schema, "x-kubernetes-preserve-unknown-fields"),
            embedded: flag(schema, "x-kubernetes-embedded-resource"),
            format: format.and_then(|name| Format::supported(name, kind, int_or_string)),
            default: schema.get("default").filter(|value| !value.is_null()).cloned(),
            allowed: schema.get("enum").and_then(Value::as_array).filter(|all| !all.is_empty()).cloned(),
            pattern: pattern(schema, place)?,
            bounds: bounds(schema),
            min_length: count(schema, "minLength"),
            max_length: count(schema, "maxLength"),
            min_items: count(schema, "minItems"),
            max_items: count(schema, "maxItems"),
            min_properties: count(schema, "minProperties"),
            max_properties: count(schema, "maxProperties"),
            unique_items: flag(schema, "uniqueItems"),
            list: list_type,
            atomic_map: schema.get("x-kubernetes-map-type").and_then(Value::as_str) == Some("atomic"),
            required: texts(schema, "required"),
            properties,
            additional,
            map_of_anything: flag(schema, "additionalProperties"),
            items,
            all_of: branch("allOf")?,
            any_of: branch("anyOf")?,
            one_of: branch("oneOf")?,
            not,
            rules,
            rules_below: false,
            lists_below: false,
        };
        node.rules_below = !node.rules.is_empty()
            || node.children().any(|child| child.rules_below)
            || node.all_of.iter().any(|branch| branch.rules_below);
        node.lists_below = node.list != ListType::Atomic || node.children().any(|child| child.lists_below);
        Ok(node)
    }

    /// The schema of the field `name`: that of a property, or that of map values.
    pub(crate) fn field(&self, name: &str) -> Option<&Node> {
        self.properties.get(name).or(self.additional.as_deref())
    }

    fn children(&self) -> impl Iterator<Item = &Node> {
        self.properties.values().chain(self.additional.as_deref()).chain(self.items.as_deref())
    }

    /// The type in the spelling of error messages.
    pub(crate) fn type_names(&self) -> &'static str {
        match self.kind {
            _ if self.int_or_string => "integer,string",
            Some(kind) => kind.name(),
            None => "",
        }
    }
}

/// A whole number, which schema generators also write as `1.0`.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounds are small whole numbers")]
fn count(schema: &Value, name: &str) -> Option<u64> {
    let value = schema.get(name)?;
    value.as_u64().or_else(|| value.as_f64().map(|number| number as u64))
}

fn bounds(schema: &Value) -> Option<Bounds> {
    let number = |name: &str| schema.get(name).and_then(Value::as_f64);
    let bounds = Bounds {
        minimum: number("minimum"),
        exclusive_minimum: flag(schema, "exclusiveMinimum"),
        maximum: number("maximum"),
        exclusive_maximum: flag(schema, "exclusiveMaximum"),
        multiple_of: number("multipleOf"),
    };
    let any = bounds.minimum.or(bounds.maximum).or(bounds.multiple_of).is_some();
    any.then_some(bounds)
}

fn pattern(schema: &Value, place: &str) -> Result<Option<(String, Regex)>, SchemaError> {
    let Some(text) = schema.get("pattern").and_then(Value::as_str).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let regex = Regex::new(&as_go_reads(text)).map_err(|source| SchemaError::Pattern {
        place: place.to_owned(),
        pattern: text.to_owned(),
        source: Box::new(source),
    })?;
    Ok(Some((text.to_owned(), regex)))
}

/// Go's `\d`, `\w`, `\s` and `\b` are ASCII. Rust's cover Unicode and would accept values that the server rejects.
pub(crate) fn as_go_reads(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        match characters.next() {
            Some('d') => out.push_str("[0-9]"),
            Some('D') => out.push_str("[^0-9]"),
            Some('w') => out.push_str("[0-9A-Za-z_]"),
            Some('W') => out.push_str("[^0-9A-Za-z_]"),
            Some('s') => out.push_str(r"[\t\n\f\r ]"),
            Some('S') => out.push_str(r"[^\t\n\f\r ]"),
            Some('b') => out.push_str(r"(?-u:\b)"),
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    out
}
