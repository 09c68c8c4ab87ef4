//! One look at a connection: view → decide → (list live → decide) → write.

use super::{
    Shell,
    index::Source,
    queue::Key,
    watches::rules_live,
    writer::{self, WriteError},
};
use crate::{
    api::{ConnectionState, DynamicsConnection},
    rules::{
        Requeue,
        conditions::transitions,
        connection::{ConnectionView, Finalizer, decide},
        refusal::Clauses,
    },
};
use kube::{Api, Resource, ResourceExt};

/// Looks. The copy decided on is the index's; everything written carries its resourceVersion, and the live list is
/// read after it (§4.2).
pub async fn look(shell: &Shell, key: &Key) -> Result<Option<Requeue>, WriteError> {
    let Some(connection) = shell.index.connection(&key.namespace, &key.name) else { return Ok(None) };
    let uid = connection.uid().unwrap_or_default();
    let api: Api<DynamicsConnection> = Api::namespaced(shell.client.clone(), &key.namespace);
    let rules = shell.index.rules_around(&connection);
    let claims = shell.index.claims(&key.namespace, &key.name);
    let told = shell.instances.told(&uid);
    shell.instances.pace(&uid, connection.spec.links_per_second);
    let mut in_flight = shell.creations_of_a_predecessor();
    let mut live = None;

    // Deciding has at most four rounds: plain, creations closed, with the live list, both.
    let decision = loop {
        let decision = decide(&ConnectionView {
            now: shell.clock.now(),
            connection: &connection,
            rules: &rules,
            live: live.as_deref(),
            claims: &claims,
            told: told.as_ref(),
            creations_in_flight: in_flight,
            clauses: &Clauses::KEPT,
        });
        let ended = shell.instances.set_closed(&uid, decision.close_creations);
        if decision.close_creations && !ended && !in_flight {
            in_flight = true;
            continue;
        }
        if decision.needs_live_list && live.is_none() {
            live = Some(rules_live(shell, &key.namespace).await?);
            continue;
        }
        break decision;
    };

    if let Some(ask) = decision.ask.clone() {
        shell.instances.ask(connection.clone(), ask);
    }
    if decision.await_answer {
        return Ok(decision.requeue);
    }
    match decision.finalizer {
        Finalizer::Add => {
            let added = writer::add_finalizer(&api, &connection).await;
            let stored = shell.wrote(key, "finalizer", added)?;
            shell.follow(shell.index.apply_connection(stored, Source::Answer));
            return Ok(None);
        }
        Finalizer::Remove => {
            let removed = writer::remove_finalizer(&api, &connection).await;
            let left = shell.wrote(key, "finalizer", removed)?;
            match left {
                Some(stored) if !stored.finalizers().is_empty() => {
                    shell.follow(shell.index.apply_connection(stored, Source::Answer));
                }
                // Gone, proved by our own write.
                _ => {
                    shell.instances.remove(&uid);
                    shell.follow(shell.index.delete_connection(&key.namespace, &key.name, Some(&uid)));
                }
            }
            return Ok(None);
        }
        Finalizer::Keep => {}
    }

    let old = connection.status.clone().unwrap_or_default();
    if old != decision.status
        && serde_json::to_value(&old).ok() != serde_json::to_value(&decision.status).ok()
    {
        let told = transitions(&old.conditions, &decision.status.conditions);
        let version = connection.resource_version().unwrap_or_default();
        let written = writer::write_status(&api, &key.name, &version, &decision.status).await;
        let stored = shell.wrote(key, "status", written)?;
        shell.decided(key, &uid, &old.conditions, &decision.status.conditions);
        shell.events.tell(&connection.object_ref(&()), told);
        if decision.status.state == Some(ConnectionState::Disabled) {
            shell.instances.forget(&uid);
        }
        shell.follow(shell.index.apply_connection(stored, Source::Answer));
    }
    // Whichever comes first: the probe alone may be minutes away, and a disable waits for nothing but this.
    Ok(Requeue::sooner(decision.requeue, in_flight.then(|| shell.after_a_predecessor()).flatten()))
}
