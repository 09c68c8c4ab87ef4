//! One look at a rule: view → decide → write.

use super::{
    Shell,
    queue::Key,
    writer::{self, WriteError},
};
use crate::{
    api::AutomationRule,
    rules::{
        Requeue,
        conditions::transitions,
        refusal::Clauses,
        rule::{RuleView, decide},
    },
};
use kube::{Api, Resource, ResourceExt};

/// Looks.
pub async fn look(shell: &Shell, key: &Key) -> Result<Option<Requeue>, WriteError> {
    let Some(rule) = shell.index.rule(&key.namespace, &key.name) else { return Ok(None) };
    let named = shell.index.connection_facts(&key.namespace, &rule.spec.connection_ref.name);
    let now = shell.clock.now();
    let view = RuleView { now, rule: &rule, named: named.as_ref(), clauses: &Clauses::KEPT };
    let status = decide(&view);
    let old = rule.status.clone().unwrap_or_default();
    if old == status || serde_json::to_value(&old).ok() == serde_json::to_value(&status).ok() {
        return Ok(None);
    }
    let api: Api<AutomationRule> = Api::namespaced(shell.client.clone(), &key.namespace);
    let told = transitions(&old.conditions, &status.conditions);
    let version = rule.resource_version().unwrap_or_default();
    let written = writer::write_status(&api, &key.name, &version, &status).await;
    let stored = shell.wrote(key, "status", written)?;
    shell.decided(key, &rule.uid().unwrap_or_default(), &old.conditions, &status.conditions);
    shell.events.tell(&rule.object_ref(&()), told);
    shell.follow(shell.index.apply_rule(stored));
    Ok(None)
}
