//! Printer columns of a CRD: simple `JSONPath`, and ages as kubectl prints them.

use jiff::Timestamp;
use serde_json::Value;

use crate::schema::error::SchemaError;

/// A printer column.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// The name in the CRD. kubectl prints it in capitals.
    pub name: String,
    /// Type of the column: `string`, `integer`, `number`, `boolean` or `date`.
    pub kind: String,
    /// `OpenAPI` format. `name` for the column of names.
    pub format: String,
    /// Description of the column.
    pub description: String,
    /// 0 is always shown, higher values only with `-o wide`.
    pub priority: i64,
    path: JsonPath,
}

impl Column {
    /// The column of names, which the server adds before those of the CRD.
    pub(crate) fn of_names() -> Result<Self, SchemaError> {
        Ok(Self {
            name: "Name".into(),
            kind: "string".into(),
            format: "name".into(),
            description: "Name must be unique within a namespace.".into(),
            priority: 0,
            path: JsonPath::parse(".metadata.name")?,
        })
    }

    /// The column of a CRD without columns.
    pub(crate) fn of_ages() -> Result<Self, SchemaError> {
        Ok(Self {
            name: "Age".into(),
            kind: "date".into(),
            format: String::new(),
            description: "When the object was created.".into(),
            priority: 0,
            path: JsonPath::parse(".metadata.creationTimestamp")?,
        })
    }

    pub(crate) fn from_crd(column: &Value) -> Result<Self, SchemaError> {
        let text = |name: &str| column.get(name).and_then(Value::as_str).unwrap_or_default();
        let path = text("jsonPath");
        let description = match text("description") {
            "" => format!("Custom resource definition column (in JSONPath format): {path}"),
            given => given.to_owned(),
        };
        Ok(Self {
            name: text("name").to_owned(),
            kind: text("type").to_owned(),
            format: text("format").to_owned(),
            description,
            priority: column.get("priority").and_then(Value::as_i64).unwrap_or(0),
            path: JsonPath::parse(path)?,
        })
    }

    /// The cell of an object, as in a `meta.k8s.io` Table. Null when empty.
    pub fn cell(&self, object: &Value, now: Timestamp) -> Value {
        let Some(value) = self.path.first(object).filter(|value| !value.is_null()) else {
            return Value::Null;
        };
        match self.kind.as_str() {
            "string" => match value {
                Value::String(_) => value.clone(),
                other => Value::String(other.to_string()),
            },
            "integer" => value.as_i64().or_else(|| whole(value)).map_or(Value::Null, Value::from),
            "number" if value.is_number() => value.clone(),
            "boolean" if value.is_boolean() => value.clone(),
            "date" => match value.as_str().map(str::parse::<Timestamp>) {
                Some(Ok(then)) => Value::String(age(then, now)),
                Some(Err(_)) => Value::String("<invalid>".into()),
                None => Value::Null,
            },
            _ => Value::Null,
        }
    }
}

#[allow(clippy::cast_possible_truncation, reason = "Go's int64(float64) truncates too")]
fn whole(value: &Value) -> Option<i64> {
    value.as_f64().map(|number| number as i64)
}

/// The time since `then` as kubectl prints ages, such as `5m30s` or `3d4h`.
pub fn age(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second() - then.as_second();
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    let pair = |big: i64, big_unit: char, small: i64, small_unit: char| match small {
        0 => format!("{big}{big_unit}"),
        _ => format!("{big}{big_unit}{small}{small_unit}"),
    };
    match seconds {
        ..-1 => "<invalid>".into(),
        -1 => "0s".into(),
        0..120 => format!("{seconds}s"),
        120..600 => pair(minutes, 'm', seconds % 60, 's'),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => pair(hours, 'h', minutes % 60, 'm'),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => pair(days, 'd', hours % 24, 'h'),
        691_200..63_072_000 => format!("{days}d"),
        63_072_000..252_288_000 => pair(days / 365, 'y', days % 365, 'd'),
        _ => format!("{}y", days / 365),
    }
}

/// The `JSONPath` of printer columns and selectable fields: fields, indexes, `*` and filters on equality.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct JsonPath(Vec<Step>);

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    Index(i64),
    Every,
    Where { field: JsonPath, equal: bool, value: Value },
}

impl JsonPath {
    pub(crate) fn parse(text: &str) -> Result<Self, SchemaError> {
        let wrong = |what: &str| SchemaError::JsonPath { path: text.to_owned(), what: what.to_owned() };
        let mut steps = Vec::new();
        let mut rest = text.trim().strip_prefix('$').unwrap_or(text.trim());
        while !rest.is_empty() {
            if let Some(inner) = rest.strip_prefix('[') {
                let end = closing(inner).ok_or_else(|| wrong("a bracket is not closed"))?;
                steps.push(
                    bracket(&inner[..end])
                        .ok_or_else(|| wrong("the bracket is neither an index, a name nor a filter"))?,
                );
                rest = &inner[end + 1..];
            } else {
                let Some(name) = rest.strip_prefix('.') else {
                    return Err(wrong("it must start with a dot"));
                };
                let (name, left) = identifier(name);
                if name.is_empty() {
                    return Err(wrong("a name is missing after a dot"));
                }
                steps.push(if name == "*" { Step::Every } else { Step::Field(name) });
                rest = left;
            }
        }
        Ok(Self(steps))
    }

    /// The first match. The server ignores further ones.
    pub(crate) fn first<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        self.all(value).into_iter().next()
    }

    fn all<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        let mut found = vec![value];
        for step in &self.0 {
            found = found.into_iter().flat_map(|value| step.apply(value)).collect();
        }
        found
    }

    /// The field names of the path. `None` if it has other steps.
    pub(crate) fn fields(&self) -> Option<Vec<&str>> {
        self.0
            .iter()
            .map(|step| if let Step::Field(name) = step { Some(name.as_str()) } else { None })
            .collect()
    }
}

impl Step {
    fn apply<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        match self {
            Self::Field(name) => value.get(name).into_iter().collect(),
            Self::Index(index) => {
                let items = value.as_array().map_or(&[][..], Vec::as_slice);
                let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
                let index = if *index < 0 { length + index } else { *index };
                usize::try_from(index).ok().and_then(|index| items.get(index)).into_iter().collect()
            }
            Self::Every => match value {
                Value::Array(items) => items.iter().collect(),
                Value::Object(fields) => fields.values().collect(),
                _ => Vec::new(),
            },
            Self::Where { field, equal, value: wanted } => {
                let items = value.as_array().map_or(&[][..], Vec::as_slice);
                items
                    .iter()
                    .filter(|item| field.first(item).is_some_and(|it| (it == wanted) == *equal))
                    .collect()
            }
        }
    }
}

/// The position of the closing bracket, skipping quoted text and inner brackets.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    let mut depth = 0;
    for (index, character) in text.char_indices() {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (None, '\'' | '"') => quote = Some(character),
            (None, '[') => depth += 1,
            (None, ']') if depth == 0 => return Some(index),
            (None, ']') => depth -= 1,
            (_, _) => {}
        }
    }
    None
}

/// A name up to the next dot or bracket. `\.` is a dot in the name.
fn identifier(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut characters = text.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '\\' => name.extend(characters.next().map(|(_, escaped)| escaped)),
            '.' | '[' => return (name, &text[index..]),
            other => name.push(other),
        }
    }
    (name, "")
}

fn bracket(inner: &str) -> Option<Step> {
    let inner = inner.trim();
    if inner == "*" {
        return Some(Step::Every);
    }
    if let Some(name) = unquote(inner) {
        return Some(Step::Field(name.to_owned()));
    }
    let Some(filter) = inner.strip_prefix("?(").and_then(|it| it.strip_suffix(')')) else {
        return inner.parse().ok().map(Step::Index);
    };
    let (equal, (field, value)) = match filter.split_once("==") {
        Some(parts) => (true, parts),
        None => (false, filter.split_once("!=")?),
    };
    let field = JsonPath::parse(field.trim().strip_prefix('@')?).ok()?;
    let value = match unquote(value.trim()) {
        Some(text) => Value::String(text.to_owned()),
        None => serde_json::from_str(value.trim()).ok()?,
    };
    Some(Step::Where { field, equal, value })
}

fn unquote(text: &str) -> Option<&str> {
    let quote = text.chars().next().filter(|first| matches!(first, '\'' | '"'))?;
    text.strip_prefix(quote)?.strip_suffix(quote)
}
