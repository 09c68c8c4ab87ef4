//! One look at a rule: view → decide → write.

use super::{
    AGAIN, Shell,
    index::Source,
    queue::Key,
    writer::{self, WriteError},
};
use crate::{
    api::{AutomationRule, ConditionType, DynamicsConnection, conditions::is_true},
    rules::{
        Requeue,
        conditions::transitions,
        refusal::Clauses,
        rule::{RuleView, decide},
    },
};
use kube::{Api, Resource, ResourceExt};

fn is_at_work(rule: &AutomationRule) -> bool {
    rule.status.as_ref().is_some_and(|status| is_true(&status.conditions, ConditionType::Active))
}

/// Whether the connection a rule names exists. A rule that stops lets its connection go, and what is held may then be
/// deleted for good: that must not rest on what has not been seen (§6).
async fn exists(shell: &Shell, rule: &AutomationRule, namespace: &str) -> Result<bool, WriteError> {
    let api: Api<DynamicsConnection> = Api::namespaced(shell.client.clone(), namespace);
    Ok(writer::read(&api, &rule.spec.connection_ref.name).await?.is_some())
}

/// Looks.
pub async fn look(shell: &Shell, key: &Key) -> Result<Option<Requeue>, WriteError> {
    let Some(rule) = shell.index.rule(&key.namespace, &key.name) else { return Ok(None) };
    let named = shell.index.connection_facts(&key.namespace, &rule.spec.connection_ref.name);
    let now = shell.clock.now();
    if named.is_none() && is_at_work(&rule) && exists(shell, &rule, &key.namespace).await? {
        // The watch is behind.
        return Ok(Some(Requeue::awaited(now + AGAIN)));
    }
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
    shell.follow(shell.index.apply_rule(stored, Source::Answer));
    Ok(None)
}
