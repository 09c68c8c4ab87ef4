//! `labelSelector` and `fieldSelector`, parsed and matched as a server does.

use super::answer::{Outcome, Refusal};
use super::resource::Resource;
use super::store::Stored;

#[derive(Clone, Debug, PartialEq, Eq)]
enum LabelTerm {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
    Greater(String, i64),
    Less(String, i64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Name,
    Namespace,
    Selectable(usize),
}

/// Both selectors of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    labels: Vec<LabelTerm>,
    fields: Vec<(Place, bool, String)>,
}

impl Selection {
    /// # Errors
    /// 400 when a selector cannot be parsed or names a field that is not selectable.
    pub fn parse(resource: &Resource, labels: &str, fields: &str) -> Outcome<Self> {
        let labels = parse_labels(labels)
            .map_err(|why| Refusal::bad_request(format!("unable to parse requirement: {why}")))?;
        let fields = parse_fields(fields)
            .map_err(Refusal::bad_request)?
            .into_iter()
            .map(|(label, equal, value)| {
                let place = match label.as_str() {
                    "metadata.name" => Place::Name,
                    "metadata.namespace" if resource.namespaced || !resource.custom => Place::Namespace,
                    other => match resource.selectable_index(other) {
                        Some(index) => Place::Selectable(index),
                        None => return Err(Refusal::bad_request(unknown_field(resource, other))),
                    },
                };
                Ok((place, equal, value))
            })
            .collect::<Outcome<_>>()?;
        Ok(Self { labels, fields })
    }

    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// The one name that can match, if a term fixes it.
    pub fn single_name(&self) -> Option<&str> {
        self.fixed(&Place::Name)
    }

    /// The one namespace that can match, if a term fixes it.
    pub fn single_namespace(&self) -> Option<&str> {
        self.fixed(&Place::Namespace)
    }

    fn fixed(&self, place: &Place) -> Option<&str> {
        self.fields.iter().find(|(p, equal, _)| p == place && *equal).map(|(_, _, value)| value.as_str())
    }

    pub fn matches(&self, key: &str, stored: &Stored) -> bool {
        self.labels.iter().all(|term| matches_label(term, stored)) && {
            let (namespace, name) = key.split_once('/').unwrap_or(("", key));
            self.fields.iter().all(|(place, equal, value)| {
                let actual = match place {
                    Place::Name => name,
                    Place::Namespace => namespace,
                    Place::Selectable(index) => stored.field(*index),
                };
                (actual == value) == *equal
            })
        }
    }
}

fn unknown_field(resource: &Resource, label: &str) -> String {
    if resource.custom || !resource.selectable.is_empty() {
        format!("field label not supported: {label}")
    } else {
        format!("\"{label}\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
    }
}

fn matches_label(term: &LabelTerm, stored: &Stored) -> bool {
    let number = |key: &str| stored.label(key).and_then(|v| v.parse::<i64>().ok());
    match term {
        LabelTerm::In(key, values) => stored.label(key).is_some_and(|v| values.iter().any(|x| x == v)),
        LabelTerm::NotIn(key, values) => !stored.label(key).is_some_and(|v| values.iter().any(|x| x == v)),
        LabelTerm::Exists(key) => stored.label(key).is_some(),
        LabelTerm::Absent(key) => stored.label(key).is_none(),
        LabelTerm::Greater(key, bound) => number(key).is_some_and(|n| n > *bound),
        LabelTerm::Less(key, bound) => number(key).is_some_and(|n| n < *bound),
    }
}

/// Splits at commas that are not inside parentheses.
fn requirements(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0_u32, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn parse_labels(text: &str) -> Result<Vec<LabelTerm>, String> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    requirements(text).into_iter().map(|part| parse_label(part.trim())).collect()
}

fn parse_label(part: &str) -> Result<LabelTerm, String> {
    if let Some(key) = part.strip_prefix('!') {
        return Ok(LabelTerm::Absent(label_key(key)?));
    }
    for (operator, negative) in [("!=", true), ("==", false), ("=", false)] {
        if let Some((key, value)) = part.split_once(operator) {
            let (key, values) = (label_key(key)?, vec![value.trim().to_owned()]);
            return Ok(if negative { LabelTerm::NotIn(key, values) } else { LabelTerm::In(key, values) });
        }
    }
    for (operator, greater) in [('>', true), ('<', false)] {
        if let Some((key, value)) = part.split_once(operator) {
            let bound = value
                .trim()
                .parse()
                .map_err(|_| format!("found '{}', expected: an integer", value.trim()))?;
            let key = label_key(key)?;
            return Ok(if greater { LabelTerm::Greater(key, bound) } else { LabelTerm::Less(key, bound) });
        }
    }
    if let Some((head, rest)) = part.split_once('(') {
        let values = rest
            .trim_end()
            .strip_suffix(')')
            .ok_or_else(|| format!("found '{rest}', expected: ',' or ')'"))?
            .split(',')
            .map(|v| v.trim().to_owned())
            .collect();
        let mut words = head.split_whitespace();
        return match (words.next(), words.next(), words.next()) {
            (Some(key), Some("in"), None) => Ok(LabelTerm::In(label_key(key)?, values)),
            (Some(key), Some("notin"), None) => Ok(LabelTerm::NotIn(label_key(key)?, values)),
            _ => Err(format!("found '{head}', expected: in, notin, =, ==, !=, gt, lt")),
        };
    }
    if let [_, word, ..] = part.split_whitespace().collect::<Vec<_>>().as_slice() {
        return Err(format!("found '{word}', expected: in, notin, =, ==, !=, gt, lt"));
    }
    Ok(LabelTerm::Exists(label_key(part)?))
}

fn label_key(text: &str) -> Result<String, String> {
    let key = text.trim();
    let ok = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if key.is_empty() || !key.chars().all(ok) {
        return Err(format!("found '{key}', expected: identifier"));
    }
    Ok(key.to_owned())
}

fn parse_fields(text: &str) -> Result<Vec<(String, bool, String)>, String> {
    text.split(',')
        .filter(|part| !part.is_empty())
        .map(|part| {
            for (operator, equal) in [("!=", false), ("==", true), ("=", true)] {
                if let Some((label, value)) = part.split_once(operator) {
                    return Ok((label.trim().to_owned(), equal, value.to_owned()));
                }
            }
            Err(format!("invalid selector: '{text}'; can't understand '{part}'"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_selectors_of_every_form_are_read() {
        let terms = parse_labels("a=b, c!=d,e in (x, y),f notin (z),g,!h,i>3").unwrap();
        assert_eq!(terms.len(), 7);
        assert_eq!(terms[2], LabelTerm::In("e".into(), vec!["x".into(), "y".into()]));
        assert_eq!(terms[6], LabelTerm::Greater("i".into(), 3));
        assert!(parse_labels("a b").is_err());
    }
}
