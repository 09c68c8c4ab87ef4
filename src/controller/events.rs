//! Events: on transitions only, beside the loop, never in its way. An event that cannot be written is dropped.

use super::{key::Key, workqueue::WorkQueue};
use crate::{
    api::names::{CONTROLLER, GROUP, VERSION},
    domain::conditions::Transition,
    telemetry::Metrics,
};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use std::time::Duration;
use tokio::sync::mpsc;
use tracing::debug;

/// Events that wait to be written; more than this in one burst says nothing more to a reader.
const WAITING: usize = 1024;
/// With more keys due than this, events wait for them: each costs the API server as much as a status.
const BUSY: usize = 64;
/// But an event at a time goes out after this long, however busy it is.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often is looked whether it still is.
const LOOK: Duration = Duration::from_millis(50);
/// The API server rejects longer notes.
const LONGEST_NOTE: usize = 1000;
/// A recorder keeps every event for minutes, to count what happens again. Of so many at most: ten thousand links that
/// change would else take more memory as events than as links.
const REMEMBERED: usize = 256;
/// How long one event may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// Where transitions are pending; clones share it.
#[derive(Clone)]
pub struct Events {
    sender: mpsc::Sender<(PendingEvent, ObjectReference)>,
    metrics: Metrics,
}

/// An event that waits to be written.
struct PendingEvent {
    warning: bool,
    reason: &'static str,
    note: String,
}

impl Events {
    /// Starts the task that writes them.
    pub fn start(client: Client, queue: WorkQueue, metrics: Metrics) -> Self {
        let (sender, mut receiver) = mpsc::channel::<(PendingEvent, ObjectReference)>(WAITING);
        let counted = metrics.clone();
        tokio::spawn(async move {
            let new_recorder = || Recorder::new(client.clone(), Reporter::from(CONTROLLER));
            let (mut recorder, mut written) = (new_recorder(), 0);
            while let Some((pending, object)) = receiver.recv().await {
                if written == REMEMBERED {
                    (recorder, written) = (new_recorder(), 0);
                }
                written += 1;
                let event = Event {
                    type_: if pending.warning { EventType::Warning } else { EventType::Normal },
                    reason: pending.reason.to_owned(),
                    note: Some(shortened(pending.note)),
                    action: "Reconcile".to_owned(),
                    secondary: None,
                };
                let _ = tokio::time::timeout(PATIENCE, until_quiet(&queue)).await;
                match tokio::time::timeout(DEADLINE, recorder.publish(&event, &object)).await {
                    Ok(Ok(())) => counted.event("success"),
                    Ok(Err(error)) => not_written(&counted, &object, &error.to_string()),
                    Err(_) => not_written(&counted, &object, "no answer in time"),
                }
            }
        });
        Self { sender, metrics }
    }

    /// Tells some transitions of an object.
    pub fn publish(&self, object: &ObjectReference, transitions: Vec<Transition>) {
        for Transition { warning, reason, message } in transitions {
            self.send(object, PendingEvent { warning, reason: reason.as_str(), note: message });
        }
    }

    /// Tells that an object cannot be read, and so has no conditions to say it.
    pub fn undecodable(&self, object: &ObjectReference, why: &str) {
        let note = format!(
            "The object cannot be decoded and is skipped: {why}. Correct it or apply it again. Until then its last valid version, if any, stays in effect."
        );
        self.send(object, PendingEvent { warning: true, reason: "Undecodable", note });
    }

    fn send(&self, object: &ObjectReference, pending: PendingEvent) {
        if self.sender.try_send((pending, object.clone())).is_err() {
            self.metrics.event("dropped");
            let (kind, namespace, name, uid) = identity(object);
            debug!(kind, namespace, name, uid, "an event was dropped: too many wait");
        }
    }

    /// Whether none waits. (One may be on its way.)
    pub fn is_idle(&self) -> bool {
        self.sender.capacity() == self.sender.max_capacity()
    }
}

/// An object of ours that is not at hand, for its events.
pub fn reference(key: &Key, uid: Option<String>) -> ObjectReference {
    ObjectReference {
        api_version: Some(format!("{GROUP}/{VERSION}")),
        kind: Some(key.kind.as_str().to_owned()),
        namespace: Some(key.namespace.to_string()),
        name: Some(key.name.to_string()),
        uid,
        ..ObjectReference::default()
    }
}

fn not_written(metrics: &Metrics, object: &ObjectReference, error: &str) {
    metrics.event("error");
    let (kind, namespace, name, uid) = identity(object);
    debug!(kind, namespace, name, uid, error, "an event was not written");
}

fn identity(object: &ObjectReference) -> (&str, &str, &str, &str) {
    let [kind, namespace, name, uid] = [&object.kind, &object.namespace, &object.name, &object.uid]
        .map(|field| field.as_deref().unwrap_or_default());
    (kind, namespace, name, uid)
}

async fn until_quiet(queue: &WorkQueue) {
    while queue.depth() > BUSY {
        tokio::time::sleep(LOOK).await;
    }
}

fn shortened(mut note: String) -> String {
    if note.len() > LONGEST_NOTE {
        let end = (0..=LONGEST_NOTE).rev().find(|i| note.is_char_boundary(*i)).unwrap_or(0);
        note.truncate(end);
        note.push('…');
    }
    note
}
