//! Says what to write instead of a field that the schema does not have.

use super::advice::{form_of, text_of};
use crate::{api::crds, manifests::step_into};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray,
};

/// The field to show and what is wrong with it. Below a field that holds no object, a key is text of the user and not shown.
pub(super) fn explain(kind: &str, path: &str) -> (String, String) {
    let crd = crds::all().into_iter().find(|crd| crd.spec.names.kind == kind);
    let version = crd.and_then(|crd| crd.spec.versions.into_iter().next());
    let root = version.and_then(|version| version.schema?.open_api_v3_schema).unwrap_or_default();
    let (mut node, mut rest) = (&root, path);
    loop {
        let above = path[..path.len() - rest.len()].trim_end_matches('.');
        if let (Some(items), Some((_, after))) = (items(node), rest.split_once(']')) {
            (node, rest) = (items, after.strip_prefix('.').unwrap_or(after));
            continue;
        }
        let Some(properties) = &node.properties else {
            return (above.to_owned(), must_be(node.type_.as_deref().unwrap_or_default(), above));
        };
        match properties.iter().find_map(|(name, schema)| Some((step_into(rest, name)?, schema))) {
            Some((after, schema)) => (node, rest) = (schema, after),
            None => {
                let advice = advice(kind, &root, node, above, rest);
                let advice = advice.map(|advice| format!("; {advice}")).unwrap_or_default();
                return (path.to_owned(), format!("unknown field{advice}"));
            }
        }
    }
}

/// The schema of the elements, if the path goes on into one.
fn items(node: &JSONSchemaProps) -> Option<&JSONSchemaProps> {
    match &node.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => Some(items),
        _ => None,
    }
}

fn must_be(wanted: &str, field: &str) -> String {
    let form = || form_of(field).map(|form| format!(", such as {form}")).unwrap_or_default();
    match (wanted, text_of(field)) {
        ("string", Some(text)) => format!("must be {text}"),
        ("string", None) => "must be a string; put it in quotes".to_owned(),
        ("array", _) => format!("must be a list{}", form()),
        ("boolean", _) => "must be true or false".to_owned(),
        ("integer", _) => "must be a whole number".to_owned(),
        _ => format!("must be of type {wanted}"),
    }
}

fn advice(
    kind: &str,
    root: &JSONSchemaProps,
    node: &JSONSchemaProps,
    above: &str,
    name: &str,
) -> Option<String> {
    if name == "namespace" && above.ends_with("Ref") {
        return Some("only objects of the same namespace can be referred to; remove it".to_owned());
    }
    if !name.is_empty() && name.chars().all(|c| c.is_ascii_digit()) {
        let range = if above.ends_with("reach") { "; reach runs from 0 to 100" } else { "" };
        return Some(format!("write a number without a comma{range}"));
    }
    match (kind, above, name) {
        ("AutomationRule", "spec", "enabled") => return Some("write active".to_owned()),
        ("DynamicsConnection", "spec", "active") => return Some("write enabled".to_owned()),
        _ => {}
    }
    if let Some(near) = near(node, name) {
        return Some(format!("write {near}"));
    }
    let spec = root.properties.as_ref()?.get("spec")?.properties.as_ref()?;
    let mut elsewhere = spec.iter().filter_map(|(parent, schema)| Some((parent, near(schema, name)?)));
    let (parent, near) = elsewhere.next().filter(|_| elsewhere.next().is_none())?;
    Some(format!("write {near} under spec.{parent}"))
}

/// The field that is most likely meant.
fn near<'a>(node: &'a JSONSchemaProps, name: &str) -> Option<&'a String> {
    let distance = |other: &str| strsim::osa_distance(&name.to_lowercase(), &other.to_lowercase());
    let fields = node.properties.as_ref()?.keys().map(|other| (distance(other), other));
    let (distance, other) = fields.min()?;
    (distance <= 2 && distance * 3 <= name.chars().count()).then_some(other)
}
