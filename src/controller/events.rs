//! Writes events in the background, on transitions only. An event that cannot be written is dropped.

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
use std::{collections::HashMap, time::Duration};
use tokio::sync::mpsc;
use tracing::debug;

/// Events queued at most; the rest of a larger burst is dropped.
const QUEUE_LENGTH: usize = 1024;
/// With more keys due than this, events are delayed: each costs the API server as much as a status.
const BUSY_DEPTH: usize = 64;
/// How long a busy queue delays one event at most.
const MAX_DELAY: Duration = Duration::from_secs(1);
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// The API server rejects longer notes.
const MAX_NOTE_LENGTH: usize = 1000;
/// A recorder caches every event for minutes, to count repetitions. It is replaced after this many different events;
/// otherwise those of ten thousand changed links would take more memory than the links.
const EVENTS_PER_RECORDER: usize = 256;
/// Timeout of one event.
const DEADLINE: Duration = Duration::from_secs(10);

/// The queue of events to write; clones share it.
#[derive(Clone)]
pub struct Events {
    sender: mpsc::Sender<(PendingEvent, ObjectReference)>,
    metrics: Metrics,
}

struct PendingEvent {
    warning: bool,
    reason: &'static str,
    note: String,
}

impl Events {
    /// Starts the task that writes the events.
    pub fn start(client: Client, queue: WorkQueue, metrics: Metrics) -> Self {
        let (sender, mut receiver) = mpsc::channel::<(PendingEvent, ObjectReference)>(QUEUE_LENGTH);
        let task_metrics = metrics.clone();
        tokio::spawn(async move {
            let mut series = Series::new(client);
            while let Some((pending, object)) = receiver.recv().await {
                let note = shortened(pending.note);
                let recorder = series.recorder(&object, pending.reason, &note).clone();
                let event = Event {
                    type_: if pending.warning { EventType::Warning } else { EventType::Normal },
                    reason: pending.reason.to_owned(),
                    note: Some(note),
                    action: "Reconcile".to_owned(),
                    secondary: None,
                };
                let _ = tokio::time::timeout(MAX_DELAY, until_not_busy(&queue)).await;
                match tokio::time::timeout(DEADLINE, recorder.publish(&event, &object)).await {
                    Ok(Ok(())) => task_metrics.event("success"),
                    Ok(Err(error)) => record_failure(&task_metrics, &object, &error.to_string()),
                    Err(_) => record_failure(&task_metrics, &object, "timed out"),
                }
            }
        });
        Self { sender, metrics }
    }

    /// Enqueues one event per transition of an object.
    pub fn publish(&self, object: &ObjectReference, transitions: Vec<Transition>) {
        for Transition { warning, reason, message } in transitions {
            self.send(object, PendingEvent { warning, reason: reason.as_str(), note: message });
        }
    }

    /// Reports an object that cannot be decoded, and so has no conditions to report it.
    pub fn undecodable(&self, object: &ObjectReference, why: &str) {
        let note = format!(
            "The object cannot be decoded and is ignored: {why}. Correct the object, or apply it again from its file. Until then, its last valid version, if any, stays in effect."
        );
        self.send(object, PendingEvent { warning: true, reason: "Undecodable", note });
    }

    fn send(&self, object: &ObjectReference, pending: PendingEvent) {
        if self.sender.try_send((pending, object.clone())).is_err() {
            self.metrics.event("dropped");
            let (kind, namespace, name, uid) = identity(object);
            debug!(kind, namespace, name, uid, "dropped an event: the event queue is full");
        }
    }

    /// Whether no event is queued. One may still be in flight.
    pub fn is_idle(&self) -> bool {
        self.sender.capacity() == self.sender.max_capacity()
    }
}

/// The recorder, and the events that it counts as one series.
struct Series {
    client: Client,
    recorder: Recorder,
    /// The last note of each object and reason.
    notes: HashMap<(ObjectIdentity, &'static str), String>,
}

/// Kind, namespace, name and UID.
type ObjectIdentity = [Option<String>; 4];

impl Series {
    fn new(client: Client) -> Self {
        Self { recorder: Self::new_recorder(&client), client, notes: HashMap::new() }
    }

    fn new_recorder(client: &Client) -> Recorder {
        Recorder::new(client.clone(), Reporter::from(CONTROLLER))
    }

    /// The recorder for an event. To a recorder, two events of one object and reason are the same event, and it repeats
    /// the first note: a link that moved to another connection would be reported as linked through the old one. So a
    /// different note begins with a new recorder.
    fn recorder(&mut self, object: &ObjectReference, reason: &'static str, note: &str) -> &Recorder {
        let identity = [&object.kind, &object.namespace, &object.name, &object.uid].map(Clone::clone);
        let key = (identity, reason);
        if self.notes.len() == EVENTS_PER_RECORDER || self.notes.get(&key).is_some_and(|last| last != note) {
            self.recorder = Self::new_recorder(&self.client);
            self.notes.clear();
        }
        self.notes.insert(key, note.to_owned());
        &self.recorder
    }
}

/// Refers to an object by its key.
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

fn record_failure(metrics: &Metrics, object: &ObjectReference, error: &str) {
    metrics.event("error");
    let (kind, namespace, name, uid) = identity(object);
    debug!(kind, namespace, name, uid, error, "failed to write an event; dropping it");
}

fn identity(object: &ObjectReference) -> (&str, &str, &str, &str) {
    let [kind, namespace, name, uid] = [&object.kind, &object.namespace, &object.name, &object.uid]
        .map(|field| field.as_deref().unwrap_or_default());
    (kind, namespace, name, uid)
}

async fn until_not_busy(queue: &WorkQueue) {
    while queue.depth() > BUSY_DEPTH {
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

fn shortened(mut note: String) -> String {
    if note.len() > MAX_NOTE_LENGTH {
        let end = (0..=MAX_NOTE_LENGTH).rev().find(|i| note.is_char_boundary(*i)).unwrap_or(0);
        note.truncate(end);
        note.push('…');
    }
    note
}
