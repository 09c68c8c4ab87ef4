//! Checks a CRD as an API server would, so that an invalid CRD fails in a test and not on installation.

mod expressions;
mod structure;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

use crate::names;
use crate::schema::columns::JsonPath;
use crate::schema::keywords::{JsonType, flag, list};
use crate::schema::node::Node;

/// Checks a CRD as an API server would. Returns one sentence per violation, in a fixed order; none if the CRD is valid.
///
/// Covers names, versions, printer columns, selectable fields, the rules of structural schemas, defaults, formats, list
/// types, and CEL: syntax, `oldSelf` where values cannot be correlated, and the bounds that the cost estimate needs. Not
/// covered: type checks and the cost estimate of CEL, for which a server uses its own compiler.
pub fn lint(crd: &CustomResourceDefinition) -> Vec<String> {
    match serde_json::to_value(crd) {
        Ok(json) => lint_json(&json),
        Err(error) => vec![format!("the CRD cannot be written as JSON: {error}")],
    }
}

/// [`lint`] for a CRD given as JSON.
pub fn lint_json(crd: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check_names(crd, &mut found);
    let versions = crd.pointer("/spec/versions").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let stored = versions.iter().filter(|version| flag(version, "storage")).count();
    if stored != 1 {
        found.push(format!("spec.versions must mark exactly one version as storage version, not {stored}"));
    }
    for version in versions {
        check_version(version, &mut found);
    }
    found
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn check_names(crd: &Value, found: &mut Vec<String>) {
    let (group, plural) = (text(crd, "/spec/group"), text(crd, "/spec/names/plural"));
    if text(crd, "/metadata/name") != format!("{plural}.{group}") {
        found.push(format!("metadata.name must be {plural}.{group}, the plural name and the group"));
    }
    if !group.contains('.') || !names::is_subdomain(group) {
        found.push(format!("spec.group must be a domain with at least one dot, not {group:?}"));
    }
    if !matches!(text(crd, "/spec/scope"), "Namespaced" | "Cluster") {
        found.push("spec.scope must be Namespaced or Cluster".into());
    }
    for name in ["plural", "singular", "kind"] {
        let value = text(crd, &format!("/spec/names/{name}"));
        let exact = name == "kind";
        let starts = value.starts_with(|c: char| c.is_ascii_alphabetic());
        if !starts || !names::is_label(&if exact { value.to_lowercase() } else { value.to_owned() }) {
            found.push(format!("spec.names.{name} must be a DNS-1035 label, not {value:?}"));
        }
    }
}

fn check_version(version: &Value, found: &mut Vec<String>) {
    let name = text(version, "/name");
    let mut report = |sentence: String| found.push(format!("version {name}: {sentence}"));
    let Some(schema) = version.pointer("/schema/openAPIV3Schema") else {
        return report("schema.openAPIV3Schema is required".into());
    };
    let mut sentences = Vec::new();
    structure::check(schema, version.pointer("/subresources/status").is_some(), &mut sentences);
    expressions::check(schema, &mut sentences);
    sentences.into_iter().for_each(&mut report);
    match Node::compile(schema, "openAPIV3Schema") {
        Ok(root) => {
            for field in list(version, "selectableFields") {
                check_selectable(&root, text(field, "/jsonPath"), &mut report);
            }
        }
        Err(error) => report(error.to_string()),
    }
    for column in list(version, "additionalPrinterColumns") {
        let (title, kind, path) = (text(column, "/name"), text(column, "/type"), text(column, "/jsonPath"));
        if title.is_empty() {
            report(format!("the printer column for {path} needs a name"));
        }
        if !matches!(kind, "integer" | "number" | "string" | "boolean" | "date") {
            report(format!("the printer column {title} has the unsupported type {kind:?}"));
        }
        if let Err(error) = JsonPath::parse(path) {
            report(format!("the printer column {title}: {error}"));
        }
    }
}

fn check_selectable(root: &Node, path: &str, report: &mut impl FnMut(String)) {
    let parsed = match JsonPath::parse(path) {
        Ok(parsed) => parsed,
        Err(error) => return report(format!("the selectable field {path}: {error}")),
    };
    let mut node = Some(root);
    for name in parsed.fields().unwrap_or_default() {
        node = node.and_then(|node| node.properties.get(name));
    }
    let scalar = node
        .and_then(|node| node.kind)
        .is_some_and(|kind| matches!(kind, JsonType::String | JsonType::Integer | JsonType::Boolean));
    if path.starts_with(".metadata") || !scalar || parsed.fields().is_none() {
        report(format!(
            "the selectable field {path} must be a declared string, boolean or integer outside metadata"
        ));
    }
}
