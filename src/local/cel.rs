//! What JSON schema can say of the CRDs' CEL rules. Other rules are left to the API server.

use serde_json::{Value, json};

/// The keywords of JSON schema for an expression about one value. They may admit more than the expression, but not less.
pub(super) fn keywords(expression: &str) -> Vec<(String, Value)> {
    let keyword = |name: &str, value: Value| (name.to_owned(), value);
    if expression == "size(self) > 0" {
        return vec![keyword("minItems", json!(1))];
    }
    let bounds = expression.strip_prefix("self >= ").and_then(|rest| rest.split_once(" && self <= "));
    if let Some((Ok(least), Ok(most))) = bounds.map(|(least, most)| (least.parse(), most.parse())) {
        let (least, most): (i64, i64) = (least, most);
        return vec![keyword("minimum", json!(least)), keyword("maximum", json!(most))];
    }
    let patterns: Option<Vec<String>> = expression.split(" || ").map(pattern).collect();
    patterns.into_iter().map(|patterns| keyword("pattern", json!(patterns.join("|")))).collect()
}

/// The pattern of one alternative of an expression.
fn pattern(alternative: &str) -> Option<String> {
    if alternative == "self == ''" {
        return Some("^$".to_owned());
    }
    if let Some(rest) = alternative.strip_prefix("!self.trim().matches(r'^[") {
        let (class, rest) = rest.split_once(']')?;
        return (rest == "')").then(|| format!(r"^\s*[^{}\s]", literal(class)));
    }
    let (call, trimmed) = match alternative.strip_prefix("self.trim()") {
        Some(call) => (call, true),
        None => (alternative.strip_prefix("self")?, false),
    };
    let (pattern, rest) = call.strip_prefix(".matches('")?.split_once("')")?;
    if !rest.is_empty() && !rest.starts_with(" && ") {
        return None;
    }
    let pattern = pattern.replace("[:space:]", r"\s");
    if !trimmed {
        return Some(pattern);
    }
    Some(format!(r"^\s*{}\s*$", pattern.strip_prefix('^')?.strip_suffix('$')?))
}

/// The inside of a character class with the characters themselves, because each engine has its own escapes.
fn literal(class: &str) -> String {
    let mut parts = class.split(r"\x{");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let Some((number, rest)) = part.split_once('}') else { continue };
        let character = u32::from_str_radix(number, 16).ok().and_then(char::from_u32);
        if let Some(character) = character {
            if character.is_ascii_punctuation() {
                text.push('\\');
            }
            text.push(character);
        }
        text.push_str(rest);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Map;

    #[test]
    fn keywords_of_expressions() {
        for (expression, expected) in [
            ("size(self) > 0", json!({"minItems": 1})),
            ("self >= 0 && self <= 100", json!({"minimum": 0, "maximum": 100})),
            ("self.matches('^a|b$')", json!({"pattern": "^a|b$"})),
            ("self.matches('^a$') || self.matches('^b$')", json!({"pattern": "^a$|^b$"})),
            (
                "self == '' || self.matches('^[^[:space:]]$') && !(self in ['b'])",
                json!({"pattern": r"^$|^[^\s]$"}),
            ),
            ("self.trim().matches('^a$')", json!({"pattern": r"^\s*a\s*$"})),
            (r"!self.trim().matches(r'^[\x{2D}\x{2010}]')", json!({"pattern": r"^\s*[^\-‐\s]"})),
            ("!self.matches('^a$') || self == oldSelf", json!({})),
            ("!self.startsWith('9999')", json!({})),
            ("has(self.a) != has(self.b)", json!({})),
            ("size(self) <= 3 || self.matches('^a$')", json!({})),
        ] {
            let found: Map<String, Value> = keywords(expression).into_iter().collect();
            assert_eq!(Value::Object(found), expected, "{expression}");
        }
    }
}
