//! Reads JSON files as JSON, not as YAML, which has neither tabs nor surrogate pairs. A file may hold several values;
//! duplicate keys are rejected, as in YAML.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::compose::{ComposeError, Composed};

/// The values of a JSON text up to the first error: after it, the start of the next value is unknown.
pub(super) fn read(text: &str) -> Vec<Result<Composed, ComposeError>> {
    let mut results = Vec::new();
    let mut start = 0;
    let mut first_line = 1;
    loop {
        let blank = text[start..].len() - text[start..].trim_start().len();
        first_line += lines(&text[start..start + blank]);
        start += blank;
        if start == text.len() {
            return results;
        }
        let mut stream = serde_json::Deserializer::from_str(&text[start..]).into_iter::<Strict>();
        match stream.next() {
            None => return results,
            Some(Ok(Strict(value))) => {
                let end = start + stream.byte_offset();
                results.push(Ok(Composed {
                    value,
                    line: first_line,
                    start,
                    end,
                    first_line,
                    item_lines: Vec::new(),
                }));
                first_line += lines(&text[start..end]);
                start = end;
            }
            Some(Err(error)) => {
                results.push(Err(ComposeError {
                    line: first_line + error.line().max(1) - 1,
                    column: error.column().max(1),
                    message: message(&error),
                }));
                return results;
            }
        }
    }
}

fn lines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
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
