//! Conversion of JSON to CEL values. CRD rules see escaped names and typed formats; admission policies see objects as
//! they are.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use kube::core::cel::cel::Value as Cel;
use kube::core::cel::cel::objects::{Key, Map};
use serde_json::Value;

use crate::schema::formats::{Format, duration_nanoseconds};
use crate::schema::keywords::JsonType;
use crate::schema::node::Node;

fn cel_text(text: &str) -> Cel {
    Cel::String(Arc::new(text.to_owned()))
}

pub(crate) fn cel_map(entries: HashMap<Key, Cel>) -> Cel {
    Cel::Map(Map { map: Arc::new(entries) })
}

fn number(value: &serde_json::Number) -> Cel {
    match (value.as_i64(), value.as_u64()) {
        (Some(whole), _) => Cel::Int(whole),
        (None, Some(whole)) => Cel::UInt(whole),
        (None, None) => Cel::Float(value.as_f64().unwrap_or(f64::NAN)),
    }
}

/// Converts a value without a schema.
pub(crate) fn plain(value: &Value) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(truth) => Cel::Bool(*truth),
        Value::Number(value) => number(value),
        Value::String(text) => cel_text(text),
        Value::Array(items) => Cel::List(Arc::new(items.iter().map(plain).collect())),
        Value::Object(fields) => {
            cel_map(fields.iter().map(|(name, value)| (name.as_str().into(), plain(value))).collect())
        }
    }
}

/// Converts a value for CRD rules: declared fields only, with their declared types.
#[allow(clippy::cast_possible_truncation, reason = "whole numbers beyond 2^63 failed validation before")]
pub(crate) fn typed(node: &Node, value: &Value) -> Cel {
    match value {
        Value::Object(fields) => object(node, fields),
        Value::Array(items) => match node.items.as_deref() {
            Some(item_node) => Cel::List(Arc::new(items.iter().map(|item| typed(item_node, item)).collect())),
            None => plain(value),
        },
        Value::String(text) => string(node.format, text),
        Value::Number(value) => match (node.kind, value.as_f64()) {
            (Some(JsonType::Number), Some(float)) => Cel::Float(float),
            (Some(JsonType::Integer), Some(float)) if !value.is_i64() => Cel::Int(float as i64),
            _ => number(value),
        },
        Value::Null | Value::Bool(_) => plain(value),
    }
}

fn object(node: &Node, fields: &serde_json::Map<String, Value>) -> Cel {
    let mut entries = HashMap::with_capacity(fields.len());
    for (name, value) in fields {
        if let Some(property) = node.properties.get(name) {
            if let Some(name) = escape(name) {
                entries.insert(Key::from(name), typed(property, value));
            }
            continue;
        }
        // Keys of a map are data, not names, and not escaped.
        if let Some(schema) = &node.additional {
            entries.insert(name.as_str().into(), typed(schema, value));
        } else if node.map_of_anything || node.preserve_unknown {
            entries.insert(name.as_str().into(), plain(value));
        }
    }
    cel_map(entries)
}

fn string(format: Option<Format>, text: &str) -> Cel {
    let special = match format {
        Some(Format::DateTime) => chrono::DateTime::parse_from_rfc3339(text).ok().map(Cel::Timestamp),
        Some(Format::Date) => {
            chrono::DateTime::parse_from_rfc3339(&format!("{text}T00:00:00Z")).ok().map(Cel::Timestamp)
        }
        Some(Format::Duration) => duration_nanoseconds(text)
            .map(|nanoseconds| Cel::Duration(chrono::Duration::nanoseconds(nanoseconds))),
        Some(Format::Byte) => base64::engine::general_purpose::STANDARD
            .decode(text)
            .ok()
            .map(|bytes| Cel::Bytes(Arc::new(bytes))),
        _ => None,
    };
    special.unwrap_or_else(|| cel_text(text))
}

const RESERVED: [&str; 21] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "return",
    "true",
    "var",
    "void",
    "while",
];

/// The identifier of a field in a rule. `None` for a name that CEL cannot express.
pub(crate) fn escape(name: &str) -> Option<String> {
    if RESERVED.contains(&name) {
        return Some(format!("__{name}__"));
    }
    let usual = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '/');
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(usual) {
        return None;
    }
    if !name.contains(['_', '.', '-', '/']) {
        return Some(name.to_owned());
    }
    let escaped = name.replace("__", "\0").replace('.', "__dot__").replace('-', "__dash__");
    Some(escaped.replace('/', "__slash__").replace('\0', "__underscores__"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_names_are_escaped() {
        for (name, expected) in [
            ("nodeName", Some("nodeName")),
            ("namespace", Some("__namespace__")),
            ("a-b.c/d", Some("a__dash__b__dot__c__slash__d")),
            ("a_b", Some("a_b")),
            ("a__b", Some("a__underscores__b")),
            ("1a", None),
            ("ä", None),
        ] {
            assert_eq!(escape(name).as_deref(), expected, "{name}");
        }
    }
}
