//! The preferences of a request: the header `Prefer`.

use http::HeaderMap;

use crate::response::ODataError;

/// The preferences that Dataverse supports. Others are ignored, as RFC 7240 requires.
#[derive(Clone, Debug, Default)]
pub(crate) struct Preferences {
    pub representation: bool,
    pub annotations: Vec<String>,
    pub page_size: Option<usize>,
    pub track_changes: bool,
    pub continue_on_error: bool,
}

impl Preferences {
    pub fn of(headers: &HeaderMap) -> Result<Self, ODataError> {
        let mut preferences = Self::default();
        for value in headers.get_all("prefer") {
            let text =
                value.to_str().map_err(|_| ODataError::bad_query("The Prefer header is not readable."))?;
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
                            ODataError::bad_query(format!(
                                "odata.maxpagesize={value} is not a positive number."
                            ))
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

    /// Whether an annotation is requested: by name or by a prefix with `*`, and not excluded by `-name`.
    pub fn wants(&self, annotation: &str) -> bool {
        let matches = |pattern: &str| match pattern.strip_suffix('*') {
            Some(prefix) => annotation.starts_with(prefix),
            None => pattern == annotation,
        };
        let refused = self.annotations.iter().filter_map(|p| p.strip_prefix('-')).any(matches);
        !refused && self.annotations.iter().any(|pattern| matches(pattern))
    }

    /// The value of `Preference-Applied`.
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
}
