//! Match constraints of policies and bindings: resource rules, exclusions and label selectors.

use std::collections::BTreeMap;

use k8s_openapi::api::admissionregistration::v1::{MatchResources, NamedRuleWithOperations};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::Value;

use crate::admission::AdmissionRequest;

/// A request with its objects.
pub(crate) struct Subject<'a> {
    pub request: &'a AdmissionRequest,
    pub object: Option<&'a Value>,
    pub old_object: Option<&'a Value>,
    pub namespace: Option<&'a Value>,
}

pub(crate) fn matches(criteria: &MatchResources, subject: &Subject<'_>) -> bool {
    let rules = criteria.resource_rules.as_deref().unwrap_or_default();
    let excluded = criteria.exclude_resource_rules.as_deref().unwrap_or_default();
    if excluded.iter().any(|rule| rule_matches(rule, subject.request)) {
        return false;
    }
    if !rules.is_empty() && !rules.iter().any(|rule| rule_matches(rule, subject.request)) {
        return false;
    }
    let in_namespace = match (&criteria.namespace_selector, subject.namespace) {
        (Some(selector), Some(namespace)) => selects(selector, namespace),
        // Cluster-scoped objects are not filtered by namespace.
        _ => true,
    };
    let on_object = criteria.object_selector.as_ref().is_none_or(|selector| {
        let objects = [subject.object, subject.old_object];
        objects.into_iter().flatten().any(|object| selects(selector, object))
    });
    in_namespace && on_object
}

fn rule_matches(rule: &NamedRuleWithOperations, request: &AdmissionRequest) -> bool {
    let listed = |list: &Option<Vec<String>>, value: &str| {
        list.as_deref().unwrap_or_default().iter().any(|one| one == "*" || one == value)
    };
    let scope = match rule.scope.as_deref() {
        Some("Namespaced") => request.namespace.is_some(),
        Some("Cluster") => request.namespace.is_none(),
        _ => true,
    };
    let named = match rule.resource_names.as_deref() {
        None | Some([]) => true,
        Some(names) => names.contains(&request.name),
    };
    let resource = rule.resources.as_deref().unwrap_or_default().iter().any(|one| {
        let (wanted, subresource) = match one.split_once('/') {
            Some((wanted, subresource)) => (wanted, Some(subresource)),
            None => (one.as_str(), None),
        };
        let fits = match (subresource, request.subresource.as_deref()) {
            (None, None) | (Some("*"), _) => true,
            (Some(wanted), Some(given)) => wanted == given,
            _ => false,
        };
        fits && (wanted == "*" || wanted == request.resource)
    });
    scope
        && named
        && resource
        && listed(&rule.operations, request.operation.as_str())
        && listed(&rule.api_groups, &request.group)
        && listed(&rule.api_versions, &request.version)
}

fn selects(selector: &LabelSelector, object: &Value) -> bool {
    let labels: BTreeMap<&str, &str> = object
        .pointer("/metadata/labels")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
        .collect();
    let exact = selector
        .match_labels
        .iter()
        .flatten()
        .all(|(key, value)| labels.get(key.as_str()) == Some(&value.as_str()));
    exact
        && selector.match_expressions.iter().flatten().all(|requirement| {
            let value = labels.get(requirement.key.as_str());
            let values = requirement.values.as_deref().unwrap_or_default();
            let among = value.is_some_and(|value| values.iter().any(|one| one == value));
            match requirement.operator.as_str() {
                "In" => among,
                "NotIn" => !among,
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}
