//! Live, paginated lists, for decisions that must not rest on the index.

use super::patch::{ApiError, within};
use crate::{
    api::{AutomationRule, ConditionType},
    domain::facts::{RuleFacts, created},
};
use kube::{
    Api, ResourceExt,
    api::ListParams,
    core::{ApiResource, DynamicObject},
};
use serde_json::Value;

pub const PAGE: u32 = 500;

/// The API of one namespace, or of all.
pub fn api<K>(client: &kube::Client, namespace: Option<&str>) -> Api<K>
where
    K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// Lists every rule of a namespace live (§4.4).
pub async fn list_rules(client: &kube::Client, namespace: &str) -> Result<Vec<RuleFacts>, ApiError> {
    let kind = ApiResource::erase::<AutomationRule>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &kind);
    let mut params = ListParams::default().limit(PAGE);
    let mut rules = Vec::new();
    loop {
        let page = within(api.list(&params)).await?;
        rules.extend(page.items.into_iter().map(|rule| facts_of_listed(&rule)));
        params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
        if params.continue_token.is_none() {
            return Ok(rules);
        }
    }
}

/// A rule that cannot be decoded must not block the disable of every connection in its namespace, so the readable fields
/// count: if it is Active somewhere it holds that connection, and it keeps a reservation it has. It gets no new
/// reservation, because it could not be activated.
fn facts_of_listed(listed: &DynamicObject) -> RuleFacts {
    if let Ok(rule) = listed.clone().try_parse::<AutomationRule>() {
        return RuleFacts::of(&rule);
    }
    let text = |pointer: &str| listed.data.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let conditions = listed.data.pointer("/status/conditions").and_then(Value::as_array);
    let active = ConditionType::Active.as_str();
    let is_active = conditions.is_some_and(|conditions| {
        conditions.iter().any(|condition| condition["type"] == active && condition["status"] == "True")
    });
    RuleFacts {
        name: listed.name_any(),
        uid: listed.uid().unwrap_or_default(),
        generation: listed.metadata.generation.unwrap_or(0),
        created: created(&listed.metadata),
        wants_active: listed.metadata.deletion_timestamp.is_none()
            && listed.data.pointer("/spec/active") != Some(&Value::Bool(false)),
        connection: text("/spec/connectionRef/name").unwrap_or_default(),
        active_on: text("/status/connectionUID").filter(|_| is_active),
        settled: false,
        active_from: None,
        since: None,
        // No connection offers this type, so no reservation is made.
        record_type: Some(String::new()),
        notes: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn listed(spec: &Value, active: &str) -> RuleFacts {
        let rule = json!({
            "apiVersion": "postlink.dev/v1alpha1", "kind": "AutomationRule",
            "metadata": {"name": "r", "namespace": "n", "uid": "u", "generation": 4},
            "spec": spec,
            "status": {
                "connectionUID": "c",
                "conditions": [{"type": "Active", "status": active, "reason": "Reserved", "message": "",
                    "lastTransitionTime": "2026-01-01T00:00:00Z"}],
            },
        });
        facts_of_listed(&serde_json::from_value(rule).unwrap())
    }

    #[test]
    fn undecodable_active_rule_still_holds_its_connection() {
        let valid = json!({"connectionRef": {"name": "one"}});
        let broken = json!({"connectionRef": {"name": "one"}, "match": "everything"});
        for spec in [&valid, &broken] {
            let facts = listed(spec, "True");
            assert_eq!(facts.active_on.as_deref(), Some("c"));
            assert_eq!((facts.uid.as_str(), facts.generation, facts.wants_active), ("u", 4, true));
            assert_eq!(facts.connection, "one");
            assert_eq!(listed(spec, "False").active_on, None);
        }
        assert_eq!(listed(&broken, "True").record_type.as_deref(), Some(""), "no connection offers it");
        assert!(!listed(&json!({"active": false, "connectionRef": 7}), "False").wants_active);
    }
}
