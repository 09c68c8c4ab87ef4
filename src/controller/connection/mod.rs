//! Reconciles a DynamicsConnection: view → decide → (list live → decide) → write.

mod credentials;
pub mod probe;

use crate::{
    api::{ConnectionState, DynamicsConnection},
    controller::{
        context::Context,
        index::Source,
        key::Key,
        list::{self, list_rules},
        patch::{self, ApiError},
        received::Received,
    },
    domain::{
        conditions::transitions,
        connection::{ConnectionDecision, ConnectionView, Step, decide},
        requeue::Requeue,
        reservations::Clauses,
    },
};
use kube::{Api, Resource, ResourceExt};

/// Decides on the version in the index. Every write carries its resourceVersion, and the live list is read after it
/// (§4.2).
pub async fn reconcile(context: &Context, key: &Key) -> Result<Option<Requeue>, ApiError> {
    let Some(connection) = context.index.connection(&key.namespace, &key.name) else { return Ok(None) };
    let uid = connection.uid().unwrap_or_default();
    context.queue.extend(context.runtime.set_rate(&uid, connection.spec.links_per_second));
    // Read once: if it ended between the decision to wait and the end of this reconcile, nothing would end the wait.
    let after_predecessor = context.after_predecessor();
    let decision = decision(context, key, &connection, after_predecessor.is_some()).await?;

    if let Some(request) = decision.probe.clone() {
        probe::start(context, connection.clone(), request);
    }
    match decision.step {
        Step::AddFinalizer => {
            add_finalizer(context, key, &connection).await?;
            return Ok(None);
        }
        Step::RemoveFinalizer => {
            remove_finalizer(context, key, &connection).await?;
            return Ok(None);
        }
        // `decision` has listed them.
        Step::ListRules | Step::AwaitProbe => return Ok(decision.requeue),
        Step::Write => write(context, key, &connection, &decision).await?,
    }
    // The earlier of the two: the next probe may be minutes away while a disable waits only for the previous leader.
    Ok(Requeue::sooner(decision.requeue, after_predecessor))
}

/// Decides in at most four rounds: plain, with creations closed, with the live list, with both.
async fn decision(
    context: &Context,
    key: &Key,
    connection: &DynamicsConnection,
    predecessor: bool,
) -> Result<ConnectionDecision, ApiError> {
    let uid = connection.uid().unwrap_or_default();
    let rules = context.index.rules_of_connection(connection);
    let claims = context.index.claims(&key.namespace, &key.name);
    let observation = context.runtime.observation(&uid);
    let (mut in_flight, mut live) = (predecessor, None);
    loop {
        let decision = decide(&ConnectionView {
            now: context.clock.now(),
            connection,
            rules: &rules,
            live: live.as_deref(),
            claims: &claims,
            observation: observation.as_ref(),
            creations_in_flight: in_flight,
            clauses: &Clauses::KEPT,
        });
        let (drained, blocked) = context.runtime.set_closed(&uid, decision.close_creations);
        context.queue.extend(blocked);
        if decision.close_creations && !drained && !in_flight {
            in_flight = true;
        } else if decision.step == Step::ListRules {
            live = Some(list_rules(&context.client, &context.lists, &key.namespace).await?);
        } else {
            return Ok(decision);
        }
    }
}

fn api(context: &Context, key: &Key) -> Api<Received<DynamicsConnection>> {
    list::api(&context.client, Some(&key.namespace))
}

async fn add_finalizer(
    context: &Context,
    key: &Key,
    connection: &DynamicsConnection,
) -> Result<(), ApiError> {
    let added = patch::add_finalizer(&api(context, key), connection).await;
    let stored = context.wrote(key, "finalizer", added)?;
    context.enqueue(context.index.apply_connection(stored, Source::Response));
    Ok(())
}

async fn remove_finalizer(
    context: &Context,
    key: &Key,
    connection: &DynamicsConnection,
) -> Result<(), ApiError> {
    let removed = patch::remove_finalizer(&api(context, key), connection).await;
    match context.wrote(key, "finalizer", removed)? {
        Some(stored) if !stored.finalizers().is_empty() => {
            context.enqueue(context.index.apply_connection(stored, Source::Response));
        }
        // Our own write has completed the deletion.
        _ => {
            let uid = connection.uid().unwrap_or_default();
            context.queue.extend(context.runtime.remove_connection(&uid));
            context.enqueue(context.index.delete_connection(&key.namespace, &key.name, Some(&uid)));
        }
    }
    Ok(())
}

async fn write(
    context: &Context,
    key: &Key,
    connection: &DynamicsConnection,
    decision: &ConnectionDecision,
) -> Result<(), ApiError> {
    let old = connection.status.clone().unwrap_or_default();
    if patch::is_same(&old, &decision.status) {
        return Ok(());
    }
    let (uid, version) =
        (connection.uid().unwrap_or_default(), connection.resource_version().unwrap_or_default());
    let written =
        patch::write_status::<DynamicsConnection>(&context.client, key, &version, &decision.status).await;
    let stored = context.wrote(key, "status", written)?.decoded()?;
    let (before, after) = (&old.conditions, &decision.status.conditions);
    context.record_transitions(key, &uid, before, after);
    context.events.publish(&connection.object_ref(&()), transitions(before, after));
    if decision.status.state == Some(ConnectionState::Disabled) {
        context.runtime.forget_observation(&uid);
    }
    context.enqueue(context.index.apply_connection(stored, Source::Response));
    Ok(())
}
