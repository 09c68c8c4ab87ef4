//! The query options of a request. An unknown option is refused.

use std::collections::BTreeMap;

use url::form_urlencoded;

use crate::response::ODataError;

/// The query options of one request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query {
    options: BTreeMap<String, String>,
}

const KNOWN: [&str; 7] = ["$select", "$filter", "$expand", "$top", "$orderby", "$deltatoken", "$skiptoken"];

impl Query {
    /// Splits and decodes a query string.
    pub fn parse(query: &str) -> Result<Self, ODataError> {
        let mut options = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if name == "$skip" {
                return Err(ODataError::bad_query("Skip Clause is not supported in CRM"));
            }
            if !name.starts_with('@') && !KNOWN.contains(&name.as_ref()) {
                return Err(ODataError::bad_query(format!("The query parameter {name} is not supported.")));
            }
            if options.insert(name.to_string(), value.into_owned()).is_some() {
                return Err(ODataError::bad_query(format!(
                    "Query option '{name}' was specified more than once, but it must be specified at most once."
                )));
            }
        }
        Ok(Self { options })
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }

    /// Refuses every option that is not in `allowed`. Parameter aliases (`@p1`) are always allowed.
    pub fn allow_only(&self, allowed: &[&str]) -> Result<(), ODataError> {
        match self.options.keys().find(|name| !name.starts_with('@') && !allowed.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => Err(ODataError::bad_query(format!(
                "The query option {name} is not supported for this resource."
            ))),
        }
    }

    /// The names of `$select`.
    pub fn select(&self) -> Result<Option<Vec<String>>, ODataError> {
        self.get("$select").map(split_names).transpose()
    }

    /// A numeric option such as `$top`.
    pub fn number(&self, name: &str) -> Result<Option<usize>, ODataError> {
        self.get(name)
            .map(|text| {
                text.parse().map_err(|_| {
                    ODataError::bad_query(format!(
                        "Invalid value '{text}' for {name} query option found. The {name} query option requires a non-negative integer value."
                    ))
                })
            })
            .transpose()
    }
}

/// Splits comma-separated names; none may be empty.
fn split_names(text: &str) -> Result<Vec<String>, ODataError> {
    let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    if names.iter().any(String::is_empty) {
        return Err(ODataError::bad_query("Term '' is not valid in a $select or $expand expression."));
    }
    Ok(names)
}

/// One item of `$expand` with its nested `$select` and `$filter`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expand {
    pub name: String,
    pub select: Option<Vec<String>>,
    pub filter: Option<String>,
}

/// Parses `a($select=x,y;$filter=z eq 'w'),b`.
pub(crate) fn parse_expand(text: &str) -> Result<Vec<Expand>, ODataError> {
    let mut expands = Vec::new();
    for item in split_outside(text, ',')? {
        let item = item.trim();
        let (name, options) = match item.split_once('(') {
            None => (item, None),
            Some((name, rest)) => {
                let inner = rest
                    .strip_suffix(')')
                    .ok_or_else(|| ODataError::bad_query(format!("Syntax error in $expand at '{item}'.")))?;
                (name, Some(inner))
            }
        };
        if name.is_empty() {
            return Err(ODataError::bad_query("Term '' is not valid in a $select or $expand expression."));
        }
        let mut expand = Expand { name: name.to_owned(), select: None, filter: None };
        for option in options.map(|options| split_outside(options, ';')).transpose()?.into_iter().flatten() {
            match option.split_once('=') {
                Some(("$select", names)) => expand.select = Some(split_names(names)?),
                Some(("$filter", filter)) => expand.filter = Some(filter.to_owned()),
                _ => {
                    return Err(ODataError::bad_query(format!(
                        "The expand option '{option}' is not supported here."
                    )));
                }
            }
        }
        expands.push(expand);
    }
    Ok(expands)
}

/// Splits at `separator` outside parentheses and quotes.
fn split_outside(text: &str, separator: char) -> Result<Vec<&str>, ODataError> {
    let (mut depth, mut quoted, mut start, mut parts) = (0_usize, false, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '\'' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => {
                depth = depth
                    .checked_sub(1)
                    .ok_or_else(|| ODataError::bad_query(format!("Unbalanced parentheses in '{text}'.")))?;
            }
            c if c == separator && !quoted && depth == 0 => {
                parts.push(&text[start..at]);
                start = at + c.len_utf8();
            }
            _ => {}
        }
    }
    if quoted || depth != 0 {
        return Err(ODataError::bad_query(format!("Unbalanced quotes or parentheses in '{text}'.")));
    }
    parts.push(&text[start..]);
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_expand_options_may_contain_commas() {
        let expands = parse_expand("A($select=x,y;$filter=z eq 'a,b;c'),B").unwrap();
        assert_eq!(
            expands,
            [
                Expand {
                    name: "A".into(),
                    select: Some(vec!["x".into(), "y".into()]),
                    filter: Some("z eq 'a,b;c'".into())
                },
                Expand { name: "B".into(), select: None, filter: None },
            ]
        );
        assert!(parse_expand("A($select=x").is_err());
    }

    #[test]
    fn unknown_and_repeated_options_are_refused() {
        assert!(Query::parse("$select=a&$select=b").is_err());
        assert!(Query::parse("$search=a").is_err());
        assert!(Query::parse("$skip=1").is_err());
        assert_eq!(Query::parse("$top=x").unwrap().number("$top").unwrap_err().code, "0x80060888");
    }
}
