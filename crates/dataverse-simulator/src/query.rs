//! Query options and preferences of a request, read strictly: what is not known is refused.

use std::collections::BTreeMap;

use http::HeaderMap;
use url::form_urlencoded;

use super::answer::Refusal;

/// The query options of one request.
#[derive(Clone, Debug, Default)]
pub(super) struct Query {
    options: BTreeMap<String, String>,
}

const KNOWN: [&str; 9] = [
    "$select",
    "$filter",
    "$expand",
    "$top",
    "$orderby",
    "$count",
    "$deltatoken",
    "$skiptoken",
    "annotations",
];

impl Query {
    /// Splits and decodes a query string.
    pub fn parse(query: &str) -> Result<Self, Refusal> {
        let mut options = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if name == "$skip" {
                return Err(Refusal::bad_query("Skip Clause is not supported in CRM"));
            }
            if !name.starts_with('@') && !KNOWN.contains(&name.as_ref()) {
                return Err(Refusal::bad_query(format!("The query parameter {name} is not supported.")));
            }
            if options.insert(name.to_string(), value.into_owned()).is_some() {
                return Err(Refusal::bad_query(format!(
                    "Query option '{name}' was specified more than once, but it must be specified at most once."
                )));
            }
        }
        Ok(Self { options })
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }

    /// Refuses every option that is not in `allowed`; parameter aliases (`@p1`) pass.
    pub fn allow_only(&self, allowed: &[&str]) -> Result<(), Refusal> {
        match self.options.keys().find(|name| !name.starts_with('@') && !allowed.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => Err(Refusal::bad_query(format!(
                "The query option {name} is not supported for this resource."
            ))),
        }
    }

    /// The names of `$select`.
    pub fn select(&self) -> Result<Option<Vec<String>>, Refusal> {
        self.get("$select").map(split_names).transpose()
    }

    /// A number option such as `$top`.
    pub fn number(&self, name: &str) -> Result<Option<usize>, Refusal> {
        self.get(name)
            .map(|text| {
                text.parse().map_err(|_| {
                    Refusal::bad_query(format!(
                        "Invalid value '{text}' for {name} query option found. The {name} query option requires a non-negative integer value."
                    ))
                })
            })
            .transpose()
    }
}

/// Comma-separated names, none empty.
pub(super) fn split_names(text: &str) -> Result<Vec<String>, Refusal> {
    let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    if names.iter().any(String::is_empty) {
        return Err(Refusal::bad_query("Term '' is not valid in a $select or $expand expression."));
    }
    Ok(names)
}

/// One item of `$expand` with its nested `$select` and `$filter`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expand {
    pub name: String,
    pub select: Option<Vec<String>>,
    pub filter: Option<String>,
}

/// Reads `a($select=x,y;$filter=z eq 'w'),b`.
pub(super) fn parse_expand(text: &str) -> Result<Vec<Expand>, Refusal> {
    let mut expands = Vec::new();
    for item in split_outside(text, ',')? {
        let item = item.trim();
        let (name, options) = match item.split_once('(') {
            None => (item, None),
            Some((name, rest)) => {
                let inner = rest
                    .strip_suffix(')')
                    .ok_or_else(|| Refusal::bad_query(format!("Syntax error in $expand at '{item}'.")))?;
                (name, Some(inner))
            }
        };
        if name.is_empty() {
            return Err(Refusal::bad_query("Term '' is not valid in a $select or $expand expression."));
        }
        let mut expand = Expand { name: name.to_owned(), select: None, filter: None };
        for option in options.map(|options| split_outside(options, ';')).transpose()?.into_iter().flatten() {
            match option.split_once('=') {
                Some(("$select", names)) => expand.select = Some(split_names(names)?),
                Some(("$filter", filter)) => expand.filter = Some(filter.to_owned()),
                _ => {
                    return Err(Refusal::bad_query(format!(
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
fn split_outside(text: &str, separator: char) -> Result<Vec<&str>, Refusal> {
    let (mut depth, mut quoted, mut start, mut parts) = (0_usize, false, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '\'' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => {
                depth = depth
                    .checked_sub(1)
                    .ok_or_else(|| Refusal::bad_query(format!("Unbalanced parentheses in '{text}'.")))?;
            }
            c if c == separator && !quoted && depth == 0 => {
                parts.push(&text[start..at]);
                start = at + c.len_utf8();
            }
            _ => {}
        }
    }
    if quoted || depth != 0 {
        return Err(Refusal::bad_query(format!("Unbalanced quotes or parentheses in '{text}'.")));
    }
    parts.push(&text[start..]);
    Ok(parts)
}

/// The `Prefer` header, as far as Dataverse knows it. Unknown preferences are ignored, as RFC 7240 wants.
#[derive(Clone, Debug, Default)]
pub(super) struct Preferences {
    pub representation: bool,
    pub annotations: Vec<String>,
    pub page_size: Option<usize>,
    pub track_changes: bool,
    pub continue_on_error: bool,
}

impl Preferences {
    pub fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let mut preferences = Self::default();
        for value in headers.get_all("prefer") {
            let text =
                value.to_str().map_err(|_| Refusal::bad_query("The Prefer header is not readable."))?;
            for item in split_preferences(text) {
                let (name, value) = item.split_once('=').map_or((item, ""), |(n, v)| (n.trim(), v.trim()));
                let value = value.trim_matches('"');
                match name.to_ascii_lowercase().as_str() {
                    "return" => preferences.representation = value == "representation",
                    "odata.include-annotations" => {
                        preferences.annotations = value.split(',').map(|a| a.trim().to_owned()).collect();
                    }
                    "odata.maxpagesize" => {
                        let size: usize = value.parse().ok().filter(|size| *size > 0).ok_or_else(|| {
                            Refusal::bad_query(format!("odata.maxpagesize={value} is not a positive number."))
                        })?;
                        preferences.page_size = Some(size);
                    }
                    "odata.track-changes" => preferences.track_changes = true,
                    "odata.continue-on-error" => preferences.continue_on_error = value != "false",
                    _ => {}
                }
            }
        }
        Ok(preferences)
    }

    /// Whether an annotation was asked for, by name, by a trailing `*`, or not taken out by `-name`.
    pub fn wants(&self, annotation: &str) -> bool {
        let matches = |pattern: &str| match pattern.strip_suffix('*') {
            Some(prefix) => annotation.starts_with(prefix),
            None => pattern == annotation,
        };
        let refused = self.annotations.iter().filter_map(|p| p.strip_prefix('-')).any(matches);
        !refused && self.annotations.iter().any(|pattern| matches(pattern))
    }

    /// What `Preference-Applied` echoes.
    pub fn applied(&self) -> Option<String> {
        let mut applied = Vec::new();
        if self.representation {
            applied.push("return=representation".to_owned());
        }
        if !self.annotations.is_empty() {
            applied.push(format!("odata.include-annotations=\"{}\"", self.annotations.join(",")));
        }
        if let Some(size) = self.page_size {
            applied.push(format!("odata.maxpagesize={size}"));
        }
        if self.track_changes {
            applied.push("odata.track-changes".to_owned());
        }
        (!applied.is_empty()).then(|| applied.join(","))
    }
}

/// Splits at commas (and semicolons) outside double quotes.
fn split_preferences(text: &str) -> Vec<&str> {
    let (mut quoted, mut start, mut parts) = (false, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            ',' | ';' if !quoted => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expand_keeps_commas_of_its_nested_options() {
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
    fn annotations_match_by_name_prefix_and_exclusion() {
        let mut headers = HeaderMap::new();
        headers.insert(
            "prefer",
            "return=representation, odata.include-annotations=\"a.b,c.*,-c.d\"".parse().unwrap(),
        );
        let preferences = Preferences::of(&headers).unwrap();
        assert!(preferences.representation);
        assert!(preferences.wants("a.b") && preferences.wants("c.x"));
        assert!(!preferences.wants("c.d") && !preferences.wants("a.bc"));
    }

    #[test]
    fn unknown_and_repeated_options_are_refused() {
        assert!(Query::parse("$select=a&$select=b").is_err());
        assert!(Query::parse("$search=a").is_err());
        assert!(Query::parse("$skip=1").is_err());
        assert_eq!(Query::parse("$top=x").unwrap().number("$top").unwrap_err().code, "0x80060888");
    }
}
