//! Reads JSON as JSON, not as YAML, which has neither tabs nor surrogate pairs. Duplicate keys are rejected, as in YAML.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::compose::ComposeError;

/// Why a JSON value cannot be read.
#[derive(Debug)]
pub(super) struct JsonError {
    /// Its place is relative to the text.
    pub error: ComposeError,
    /// The text is not JSON, but may be YAML.
    pub may_be_yaml: bool,
}

/// The first value of a text that does not begin with white space, and the bytes it takes.
pub(super) fn first(text: &str) -> Result<(Value, usize), JsonError> {
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Strict>();
    match stream.next() {
        Some(Ok(Strict(value))) => Ok((value, stream.byte_offset())),
        Some(Err(error)) => Err(error_of(text, &error)),
        None => Ok((Value::Null, text.len())),
    }
}

fn error_of(text: &str, error: &serde_json::Error) -> JsonError {
    let (line, column) = (error.line().max(1), error.column().max(1));
    let rest = text.split('\n').nth(line - 1).and_then(|line| line.as_bytes().get(column - 1..));
    let comment = rest.is_some_and(|rest| rest.starts_with(b"//") || rest.starts_with(b"/*"));
    let message = if comment { "JSON has no comments; remove this one".to_owned() } else { message(error) };
    // A number that no double can hold is a string in YAML, and an error for kubectl.
    let may_be_yaml = !comment && !error.is_data() && message != "number out of range";
    JsonError { error: ComposeError { line, column, message }, may_be_yaml }
}

/// `serde_json`'s message without the position, which is reported separately.
fn message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

struct Strict(Value);

impl<'de> serde::Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Seed.deserialize(deserializer).map(Strict)
    }
}

struct Seed;

impl<'de> DeserializeSeed<'de> for Seed {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Seed {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("the number is out of range"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(Seed)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            if fields.contains_key(&name) {
                return Err(A::Error::custom(format!("duplicate key `{name}`; keep one of them")));
            }
            let value = access.next_value_seed(Seed)?;
            fields.insert(name, value);
        }
        Ok(Value::Object(fields))
    }
}
