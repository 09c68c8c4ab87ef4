//! Validation of names, labels and keys, worded as in `k8s.io/apimachinery/pkg/api/validate/content`.

/// The format of the names of a kind.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameRule {
    /// A DNS subdomain: custom resources and most built-in kinds.
    Subdomain,
    /// A DNS label: namespaces.
    Label,
    /// One path segment: the minimum for all kinds.
    PathSegment,
}

pub(crate) fn name_errors(rule: NameRule, name: &str, is_prefix: bool) -> Vec<String> {
    // A generated suffix will follow, so a hyphen may end the prefix.
    let checked = if is_prefix && name.ends_with('-') {
        format!("{}a", &name[..name.len() - 1])
    } else {
        name.to_owned()
    };
    match rule {
        NameRule::Subdomain => subdomain(&checked, CHARACTERS),
        NameRule::Label => label_name(&checked),
        NameRule::PathSegment => path_segment(name, is_prefix),
    }
}

/// Validates the name of an object. Returns the errors in the words of an API server; none if the name is valid.
///
/// Names of namespaces must be DNS labels, names of all other kinds DNS subdomains.
pub fn validate_name(kind: &str, name: &str) -> Vec<String> {
    let rule = if kind == "Namespace" { NameRule::Label } else { NameRule::Subdomain };
    name_errors(rule, name, false)
}

fn is_dns_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else { return false };
    inner(first) && inner(last) && bytes.iter().all(|&b| inner(b) || b == b'-')
}

/// RFC 1123 label in lower case, of at most 63 characters.
pub(crate) fn is_label(text: &str) -> bool {
    text.len() <= 63 && is_dns_label(text)
}

/// RFC 1123 subdomain in lower case, of at most 253 characters.
pub(crate) fn is_subdomain(text: &str) -> bool {
    subdomain(text, CHARACTERS).is_empty()
}

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const KEY: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// The unit in messages about object names; those about labels and keys say "bytes". Both count bytes.
const CHARACTERS: &str = "characters";

fn too_long(limit: usize, unit: &str) -> String {
    format!("must be no more than {limit} {unit}")
}

fn subdomain(name: &str, unit: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if name.len() > 253 {
        problems.push(too_long(253, unit));
    }
    if !name.split('.').all(is_dns_label) {
        problems.push(SUBDOMAIN.to_owned());
    }
    problems
}

pub(crate) fn label_name(name: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if name.len() > 63 {
        problems.push(too_long(63, CHARACTERS));
    }
    if !is_dns_label(name) {
        let dots = name.split('.').all(is_dns_label);
        problems.push(if dots { "must not contain dots".to_owned() } else { LABEL.to_owned() });
    }
    problems
}

fn path_segment(name: &str, is_prefix: bool) -> Vec<String> {
    if !is_prefix && (name == "." || name == "..") {
        return vec![format!("may not be '{name}'")];
    }
    ["/", "%"].iter().filter(|c| name.contains(**c)).map(|c| format!("may not contain '{c}'")).collect()
}

/// Validates a qualified name: label and annotation keys, finalizers.
pub(crate) fn qualified_name(key: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let name = match key.split('/').collect::<Vec<_>>().as_slice() {
        [name] => *name,
        [prefix, name] => {
            if prefix.is_empty() {
                problems.push("prefix part must be non-empty".to_owned());
            } else {
                problems.extend(subdomain(prefix, "bytes").into_iter().map(|p| format!("prefix part {p}")));
            }
            *name
        }
        _ => {
            return vec![format!(
                "a valid label key {KEY} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        problems.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        problems.push(format!("name part {}", too_long(63, "bytes")));
    }
    if !is_word(name) {
        problems.push(format!("name part {KEY}"));
    }
    problems
}

fn is_word(text: &str) -> bool {
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    first.is_ascii_alphanumeric()
        && last.is_ascii_alphanumeric()
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
}

pub(crate) fn label_value(value: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if value.len() > 63 {
        problems.push(too_long(63, "bytes"));
    }
    if !value.is_empty() && !is_word(value) {
        problems.push(VALUE.to_owned());
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_validated_like_a_server_does() {
        assert!(subdomain("a.b-c.0", CHARACTERS).is_empty());
        assert_eq!(subdomain("A", CHARACTERS), [SUBDOMAIN]);
        assert_eq!(subdomain("a..b", CHARACTERS), [SUBDOMAIN]);
        assert_eq!(label_name("a.b"), ["must not contain dots"]);
        assert!(qualified_name("example.com/hold").is_empty());
        assert_eq!(qualified_name("/x"), ["prefix part must be non-empty"]);
        assert_eq!(name_errors(NameRule::PathSegment, "..", false), ["may not be '..'"]);
        assert!(name_errors(NameRule::Subdomain, "a-", true).is_empty());
    }
}
