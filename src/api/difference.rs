//! Compares two schemas of a kind: the one this version was built for and the installed one.

use serde_json::Value;
use std::collections::BTreeSet;

/// The keywords that decide what the API server stores and rejects; others, such as descriptions, may differ.
const KEYWORDS: [&str; 10] = [
    "type",
    "format",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "maxItems",
    "required",
];

/// Every difference in `spec` and `status`, such as `spec.link.notes: missing in the installed CRD`.
pub fn differences(ours: &Value, installed: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for field in ["spec", "status"] {
        compare(field, &ours["properties"][field], &installed["properties"][field], &mut found);
    }
    found
}

fn compare(path: &str, ours: &Value, installed: &Value, found: &mut Vec<String>) {
    if installed.is_null() {
        found.push(format!("{path}: missing in the installed CRD"));
        return;
    }
    if ours.is_null() {
        found.push(format!("{path}: only in the installed CRD"));
        return;
    }
    for keyword in KEYWORDS {
        if !same(&ours[keyword], &installed[keyword]) {
            found
                .push(format!("{path}: {keyword} is {} and should be {}", installed[keyword], ours[keyword]));
        }
    }
    if rules(ours) != rules(installed) {
        found.push(format!("{path}: the x-kubernetes-validations are not those of this version"));
    }
    let names = |schema: &Value| -> BTreeSet<String> {
        schema["properties"].as_object().map(|p| p.keys().cloned().collect()).unwrap_or_default()
    };
    for name in names(ours).union(&names(installed)) {
        let child = format!("{path}.{name}");
        compare(&child, &ours["properties"][name], &installed["properties"][name], found);
    }
    if !ours["items"].is_null() || !installed["items"].is_null() {
        compare(&format!("{path}[]"), &ours["items"], &installed["items"], found);
    }
}

/// The expressions of the validation rules. Their messages may differ.
fn rules(schema: &Value) -> BTreeSet<&str> {
    let rules = schema["x-kubernetes-validations"].as_array();
    rules.into_iter().flatten().filter_map(|rule| rule["rule"].as_str()).collect()
}

fn same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        // `1` and `1.0` are the same number to an API server.
        (Some(a), Some(b)) => (a - b).abs() < f64::EPSILON,
        _ => match (a.as_array(), b.as_array()) {
            (Some(a), Some(b)) => {
                let sorted = |list: &[Value]| list.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
                sorted(a) == sorted(b)
            }
            _ => a == b,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn missing_added_and_changed_fields_are_reported() {
        let ours = json!({"properties": {"spec": {"type": "object", "properties": {
            "a": {"type": "string", "maxLength": 5}, "b": {"type": "integer"}}}, "status": {}}});
        let installed = json!({"properties": {"spec": {"type": "object", "properties": {
            "a": {"type": "string", "maxLength": 4.0,
                "x-kubernetes-validations": [{"rule": "self != ''", "message": "must be set"}]}, "c": {"type": "integer"}}}, "status": {}}});
        assert_eq!(
            differences(&ours, &installed),
            [
                "spec.a: maxLength is 4.0 and should be 5",
                "spec.a: the x-kubernetes-validations are not those of this version",
                "spec.b: missing in the installed CRD",
                "spec.c: only in the installed CRD",
            ]
        );
        assert_eq!(differences(&ours, &ours), Vec::<String>::new());
    }
}
