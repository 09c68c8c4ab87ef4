//! Parsing and matching of `labelSelector`, after `k8s.io/apimachinery/pkg/labels/selector.go`.

use std::collections::BTreeSet;

use crate::field_error::FieldError;
use crate::names::{label_value, qualified_name};
use crate::store::StoredObject;

/// One requirement of a label selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LabelRequirement {
    In(String, BTreeSet<String>),
    NotIn(String, BTreeSet<String>),
    Exists(String),
    Absent(String),
    Greater(String, i64),
    Less(String, i64),
}

impl LabelRequirement {
    pub fn matches(&self, stored: &StoredObject) -> bool {
        let number = |key: &str| stored.label(key).and_then(|v| v.parse::<i64>().ok());
        match self {
            Self::In(key, values) => stored.label(key).is_some_and(|v| values.contains(v)),
            Self::NotIn(key, values) => !stored.label(key).is_some_and(|v| values.contains(v)),
            Self::Exists(key) => stored.label(key).is_some(),
            Self::Absent(key) => stored.label(key).is_none(),
            Self::Greater(key, bound) => number(key).is_some_and(|n| n > *bound),
            Self::Less(key, bound) => number(key).is_some_and(|n| n < *bound),
        }
    }
}

/// Splits a selector into words and operators.
fn tokens(text: &str) -> Vec<&str> {
    const SYMBOLS: [&str; 9] = ["==", "!=", "=", "!", "(", ")", ",", ">", "<"];
    let (mut found, mut rest) = (Vec::new(), text.trim_start());
    while !rest.is_empty() {
        let ends = |c: char| c.is_whitespace() || "=!(),><".contains(c);
        let symbol = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)).map(|symbol| symbol.len());
        let end = symbol.unwrap_or_else(|| rest.find(ends).unwrap_or(rest.len()));
        found.push(&rest[..end]);
        rest = rest[end..].trim_start();
    }
    found
}

fn is_word(token: &str) -> bool {
    !token.is_empty() && !token.starts_with(['=', '!', '(', ')', ',', '>', '<'])
}

/// A position in the tokens. After the last one follows the empty token.
struct Parser<'a> {
    tokens: Vec<&'a str>,
    at: usize,
}

/// Parses a selector.
pub(crate) fn parse(text: &str) -> Result<Vec<LabelRequirement>, String> {
    let mut parser = Parser { tokens: tokens(text), at: 0 };
    let mut terms = Vec::new();
    loop {
        match parser.next() {
            "" => return Ok(terms),
            token if is_word(token) || token == "!" => {}
            other => return Err(format!("found '{other}', expected: !, identifier, or 'end of string'")),
        }
        terms.push(parser.requirement().map_err(|why| format!("unable to parse requirement: {why}"))?);
        match parser.take() {
            "" => return Ok(terms),
            "," => {}
            other => return Err(format!("found '{other}', expected: ',' or 'end of string'")),
        }
        let next = parser.next();
        if !is_word(next) && next != "!" {
            return Err(format!("found '{next}', expected: identifier after ','"));
        }
    }
}

impl<'a> Parser<'a> {
    fn next(&self) -> &'a str {
        self.tokens.get(self.at).copied().unwrap_or_default()
    }

    fn take(&mut self) -> &'a str {
        let token = self.next();
        self.at += 1;
        token
    }

    fn requirement(&mut self) -> Result<LabelRequirement, String> {
        let absent = self.next() == "!";
        if absent {
            self.take();
        }
        let key = self.take();
        if !is_word(key) {
            return Err(format!("found '{key}', expected: identifier"));
        }
        let problems = qualified_name(key);
        if !problems.is_empty() {
            return Err(invalid("<nil>", key, &problems.join("; ")));
        }
        let key = key.to_owned();
        if absent {
            return Ok(LabelRequirement::Absent(key));
        }
        if ["", ","].contains(&self.next()) {
            return Ok(LabelRequirement::Exists(key));
        }
        let operator = self.take();
        let values = match operator {
            "in" | "notin" => self.values()?,
            "=" | "==" | "!=" | ">" | "<" => BTreeSet::from([self.value()?]),
            other => return Err(format!("found '{other}', expected: in, notin, =, ==, !=, gt, lt")),
        };
        if [">", "<"].contains(&operator) {
            let value = values.first().map(String::as_str).unwrap_or_default();
            let bound = value.parse().map_err(|_| {
                invalid("values[0]", value, "for 'Gt', 'Lt' operators, the value must be an integer")
            })?;
            let of = if operator == ">" { LabelRequirement::Greater } else { LabelRequirement::Less };
            return Ok(of(key, bound));
        }
        if values.is_empty() {
            return Err("values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty"
                .to_owned());
        }
        for (number, value) in values.iter().enumerate() {
            let problems = label_value(value);
            if !problems.is_empty() {
                return Err(invalid(&format!("values[{number}][{key}]"), value, &problems.join("; ")));
            }
        }
        let of =
            if ["!=", "notin"].contains(&operator) { LabelRequirement::NotIn } else { LabelRequirement::In };
        Ok(of(key, values))
    }

    fn value(&mut self) -> Result<String, String> {
        match self.next() {
            "" | "," => Ok(String::new()),
            _ => match self.take() {
                word if is_word(word) => Ok(word.to_owned()),
                other => Err(format!("found '{other}', expected: identifier")),
            },
        }
    }

    /// The list in parentheses. An empty element is the empty value.
    fn values(&mut self) -> Result<BTreeSet<String>, String> {
        match self.take() {
            "(" => {}
            other => return Err(format!("found '{other}' expected: '('")),
        }
        let mut values = BTreeSet::new();
        match self.next() {
            ")" => {
                self.take();
                return Ok(values);
            }
            token if is_word(token) || token == "," => {}
            other => return Err(format!("found '{other}', expected: ',', ')' or identifier")),
        }
        loop {
            match self.take() {
                ")" => return Ok(values),
                "," => {
                    if values.is_empty() || [")", ","].contains(&self.next()) {
                        values.insert(String::new());
                    }
                }
                word if is_word(word) => {
                    values.insert(word.to_owned());
                    if ![",", ")"].contains(&self.next()) {
                        return Err(format!("found '{}', expected: ',' or ')'", self.next()));
                    }
                }
                other => return Err(format!("found '{other}', expected: ',', or identifier")),
            }
        }
    }
}

fn invalid(field: &str, value: &str, detail: &str) -> String {
    FieldError::invalid(field, value, detail).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_label_selector_forms_parse() {
        let terms = parse("a=b, c!=d,e in (x, y),f notin (z),g,!h,i>3").unwrap();
        assert_eq!(terms.len(), 7);
        assert_eq!(terms[2], LabelRequirement::In("e".into(), ["x".to_owned(), "y".to_owned()].into()));
        assert_eq!(terms[6], LabelRequirement::Greater("i".into(), 3));
        assert_eq!(
            parse("a in (,x)").unwrap(),
            [LabelRequirement::In("a".into(), [String::new(), "x".into()].into())]
        );
    }

    #[test]
    fn invalid_selectors_get_the_servers_message() {
        for (text, why) in [
            ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
            ("a=b c", "found 'c', expected: ',' or 'end of string'"),
            ("a,", "found '', expected: identifier after ','"),
            ("a in x", "unable to parse requirement: found 'x' expected: '('"),
        ] {
            assert_eq!(parse(text), Err(why.to_owned()), "{text}");
        }
    }
}
