//! The workers: take a key, reconcile it, requeue it.

use super::{
    automation_rule, connection,
    context::Context,
    key::{Key, Kind},
    observe::record,
    patch::ApiError,
    post_link, undecodable,
};
use crate::domain::requeue::Requeue;
use std::{sync::Arc, time::Instant};
use tokio::{sync::Semaphore, task::JoinSet};
use tracing::{error, trace, warn};

/// Reconciles at most `concurrency` objects at a time, until the queue is closed.
pub async fn work(context: Context, concurrency: usize) {
    let permits = Arc::new(Semaphore::new(concurrency));
    let mut reconciles = JoinSet::new();
    loop {
        let next = async {
            // Never closed, so always granted.
            let permit = permits.clone().acquire_owned().await.ok()?;
            context.queue.next().await.map(|due| (permit, due))
        };
        let (permit, (key, waited)) = tokio::select! {
            biased;
            // A panicked reconcile would leave its key in flight forever, so the process ends.
            Some(ended) = reconciles.join_next() => match ended {
                Ok(()) => continue,
                Err(failure) => {
                    error!(%failure, "a reconcile panicked; exiting");
                    return;
                }
            },
            next = next => match next {
                Some(next) => next,
                None => break,
            },
        };
        context.metrics.waited(key.kind.as_str(), waited);
        let context = context.clone();
        reconciles.spawn(async move {
            let _permit = permit;
            let requeue = reconcile(&context, &key).await;
            context.queue.done(&key, requeue);
        });
    }
    while reconciles.join_next().await.is_some() {}
}

async fn reconcile(context: &Context, key: &Key) -> Option<Requeue> {
    let begin = Instant::now();
    let result = match key.kind {
        _ if context.undecodable.contains(key) => undecodable::reconcile(context, key).await,
        Kind::DynamicsConnection => connection::reconcile(context, key).await,
        Kind::AutomationRule => automation_rule::reconcile(context, key).await,
        Kind::PostLink => post_link::reconcile(context, key).await,
    };
    context.metrics.reconciled(key.kind.as_str(), record::result_label(&result), begin.elapsed());
    let uid = context.index.uid(key);
    trace!(kind = key.kind.as_str(), namespace = %key.namespace, name = %key.name, uid, ?result, "reconciled");
    match result {
        Ok(requeue) => {
            context.failures.forget(key);
            requeue
        }
        // The watch delivers the deletion.
        Err(ApiError::Gone) => {
            context.failures.forget(key);
            None
        }
        Err(ApiError::Conflict) => Some(context.retry(key)),
        Err(error) => {
            let kind = key.kind.as_str();
            warn!(kind, namespace = %key.namespace, name = %key.name, uid, %error, "reconcile failed; retrying with backoff");
            Some(context.retry(key))
        }
    }
}
