//! Reconciles an AutomationRule: view → decide → write.

use super::{
    context::{Context, WATCH_BEHIND},
    index::{Evaluation, Source},
    key::Key,
    list::api,
    patch::{self, ApiError},
    received::Received,
};
use crate::{
    api::{AutomationRule, ConditionType, DynamicsConnection, conditions::is_true},
    domain::{
        automation_rule::{AutomationRuleView, decide},
        conditions::transitions,
        requeue::Requeue,
        reservations::Clauses,
    },
};
use kube::{Api, Resource, ResourceExt};

fn is_active(rule: &AutomationRule) -> bool {
    rule.status.as_ref().is_some_and(|status| is_true(&status.conditions, ConditionType::Active))
}

/// Whether the connection a rule names exists, read live. A rule that becomes inactive releases its connection, which may
/// then be deleted, so that must not rest on a missing watch event (§6).
async fn exists(context: &Context, rule: &AutomationRule, namespace: &str) -> Result<bool, ApiError> {
    let connections = api::<Received<DynamicsConnection>>(&context.client, Some(namespace));
    Ok(patch::read(&connections, &rule.spec.connection_ref.name).await?.is_some())
}

/// Reads the filters of a rule that fit into the namespace's limit again.
async fn read_again(
    context: &Context,
    api: &Api<Received<AutomationRule>>,
    key: &Key,
) -> Result<Option<Requeue>, ApiError> {
    // If it is gone, the watch says so.
    let Some(live) = patch::read(api, &key.name).await? else { return Ok(None) };
    context.enqueue(context.index.apply_rule(live.decoded()?, Source::Response));
    Ok(None)
}

pub async fn reconcile(context: &Context, key: &Key) -> Result<Option<Requeue>, ApiError> {
    let Some((rule, evaluation)) = context.index.rule(&key.namespace, &key.name) else { return Ok(None) };
    let api = api::<Received<AutomationRule>>(&context.client, Some(&key.namespace));
    if evaluation == Evaluation::ToRead {
        return read_again(context, &api, key).await;
    }
    let named = context.index.connection_facts(&key.namespace, &rule.spec.connection_ref.name);
    let now = context.clock.now();
    if named.is_none() && is_active(&rule) && exists(context, &rule, &key.namespace).await? {
        return Ok(Some(Requeue::awaited(now + WATCH_BEHIND)));
    }
    let evaluated = evaluation == Evaluation::Evaluated;
    let status = decide(&AutomationRuleView {
        now,
        rule: &rule,
        named: named.as_deref(),
        evaluated,
        clauses: &Clauses::KEPT,
    });
    let old = rule.status.clone().unwrap_or_default();
    if patch::is_same(&old, &status) {
        return Ok(None);
    }
    let version = rule.resource_version().unwrap_or_default();
    let written = patch::write_status::<AutomationRule>(&context.client, key, &version, &status).await;
    let stored = context.wrote(key, "status", written)?.decoded()?;
    let (before, after) = (&old.conditions, &status.conditions);
    context.record_transitions(key, &rule.uid().unwrap_or_default(), before, after);
    context.events.publish(&rule.object_ref(&()), transitions(before, after));
    context.enqueue(context.index.apply_rule(stored, Source::Response));
    Ok(None)
}
