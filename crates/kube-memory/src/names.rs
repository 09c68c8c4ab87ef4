//! The forms names, labels and keys must have, worded as in `k8s.io/apimachinery/pkg/api/validate/content`.

/// How a kind's names are checked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameRule {
    /// A DNS subdomain: custom resources and most built-in kinds.
    Subdomain,
    /// A DNS label: namespaces.
    Label,
    /// Anything that is one segment of a path: the rule that holds for all.
    PathSegment,
}

pub(crate) fn name_faults(rule: NameRule, name: &str, is_prefix: bool) -> Vec<String> {
    // What a generated suffix will complete must not be judged by its own last character.
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

/// What is wrong with the name of an object of one of the kinds served here.
pub fn name_faults_of(kind: &str, name: &str) -> Vec<String> {
    let rule = if kind == "Namespace" { NameRule::Label } else { NameRule::Subdomain };
    name_faults(rule, name, false)
}

fn dns_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else { return false };
    inner(first) && inner(last) && bytes.iter().all(|&b| inner(b) || b == b'-')
}

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const KEY: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// What a server says it counts in the names of objects; in labels and keys it says bytes. It counts bytes in both.
const CHARACTERS: &str = "characters";

fn too_long(limit: usize, unit: &str) -> String {
    format!("must be no more than {limit} {unit}")
}

fn subdomain(name: &str, unit: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if name.len() > 253 {
        faults.push(too_long(253, unit));
    }
    if !name.split('.').all(dns_label) {
        faults.push(SUBDOMAIN.to_owned());
    }
    faults
}

pub(crate) fn label_name(name: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if name.len() > 63 {
        faults.push(too_long(63, CHARACTERS));
    }
    if !dns_label(name) {
        let dots = name.split('.').all(dns_label);
        faults.push(if dots { "must not contain dots".to_owned() } else { LABEL.to_owned() });
    }
    faults
}

fn path_segment(name: &str, is_prefix: bool) -> Vec<String> {
    if !is_prefix && (name == "." || name == "..") {
        return vec![format!("may not be '{name}'")];
    }
    ["/", "%"].iter().filter(|c| name.contains(**c)).map(|c| format!("may not contain '{c}'")).collect()
}

/// The faults of a qualified name: label and annotation keys, finalizers.
pub(crate) fn qualified_name(key: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let name = match key.split('/').collect::<Vec<_>>().as_slice() {
        [name] => *name,
        [prefix, name] => {
            if prefix.is_empty() {
                faults.push("prefix part must be non-empty".to_owned());
            } else {
                faults.extend(subdomain(prefix, "bytes").into_iter().map(|f| format!("prefix part {f}")));
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
        faults.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        faults.push(format!("name part {}", too_long(63, "bytes")));
    }
    if !word(name) {
        faults.push(format!("name part {KEY}"));
    }
    faults
}

fn word(text: &str) -> bool {
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    first.is_ascii_alphanumeric()
        && last.is_ascii_alphanumeric()
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
}

pub(crate) fn label_value(value: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if value.len() > 63 {
        faults.push(too_long(63, "bytes"));
    }
    if !value.is_empty() && !word(value) {
        faults.push(VALUE.to_owned());
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_judged_as_a_server_does() {
        assert!(subdomain("a.b-c.0", CHARACTERS).is_empty());
        assert_eq!(subdomain("A", CHARACTERS), [SUBDOMAIN]);
        assert_eq!(subdomain("a..b", CHARACTERS), [SUBDOMAIN]);
        assert_eq!(label_name("a.b"), ["must not contain dots"]);
        assert!(qualified_name("example.com/hold").is_empty());
        assert_eq!(qualified_name("/x"), ["prefix part must be non-empty"]);
        assert_eq!(name_faults(NameRule::PathSegment, "..", false), ["may not be '..'"]);
        assert!(name_faults(NameRule::Subdomain, "a-", true).is_empty());
    }
}
