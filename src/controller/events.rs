//! Writes events in the background, on transitions only. An event that cannot be written is dropped.

use super::{clock::Clock, event_queue::EventQueue, key::Key, workqueue::WorkQueue};
use crate::{
    api::{
        Reason,
        names::{CONTROLLER, GROUP, VERSION},
    },
    domain::{conditions::Transition, messages},
    telemetry::Metrics,
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::{
        core::v1::ObjectReference,
        events::v1::{Event, EventSeries},
    },
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{task::JoinHandle, time::Instant};
use tracing::debug;

/// With more keys of a namespace due than this, its events are delayed: each costs the API server as much as a status.
const BUSY_DEPTH: usize = 64;
/// The time between two events of such namespaces.
const BUSY_INTERVAL: Duration = Duration::from_secs(1);
/// The API server rejects longer notes.
const MAX_NOTE_LENGTH: usize = 1000;
/// An event that repeats this soon is counted instead of written again.
const SERIES: SignedDuration = SignedDuration::from_mins(6);
/// Different events that are remembered, to count repetitions. Those of ten thousand changed links would take more memory
/// than the links.
const MAX_SERIES: usize = 256;
/// The API server rejects longer names.
const MAX_NAME_LENGTH: usize = 253;
/// Timeout of one event.
const DEADLINE: Duration = Duration::from_secs(10);

/// The queue of events to write; clones share it.
#[derive(Clone)]
pub struct Events {
    waiting: EventQueue<(PendingEvent, ObjectReference)>,
    /// Ends with the last clone.
    _writer: Arc<Writer>,
    metrics: Metrics,
}

/// The task that writes the events.
struct Writer(JoinHandle<()>);

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct PendingEvent {
    warning: bool,
    reason: &'static str,
    note: Box<str>,
}

impl Events {
    /// Starts the task that writes the events.
    pub fn start(client: Client, clock: Clock, queue: WorkQueue, metrics: Metrics) -> Self {
        let waiting = EventQueue::default();
        let (to_write, task_metrics) = (waiting.clone(), metrics.clone());
        let writer = tokio::spawn(async move {
            let mut recorder = Recorder { client, clock, written: HashMap::new() };
            let mut next_of_busy = Instant::now();
            loop {
                let has_turn = |namespace: &str| {
                    if queue.due_in(namespace) <= BUSY_DEPTH {
                        return true;
                    }
                    let now = Instant::now();
                    let is_over = now >= next_of_busy;
                    if is_over {
                        next_of_busy = now + BUSY_INTERVAL;
                    }
                    is_over
                };
                let (pending, object): (PendingEvent, ObjectReference) = to_write.next(has_turn).await;
                match tokio::time::timeout(DEADLINE, recorder.publish(pending, &object)).await {
                    Ok(Ok(())) => task_metrics.event("success"),
                    Ok(Err(error)) => record_failure(&task_metrics, &object, &error.to_string()),
                    Err(_) => record_failure(&task_metrics, &object, "timed out"),
                }
            }
        });
        Self { waiting, _writer: Arc::new(Writer(writer)), metrics }
    }

    /// Enqueues one event per transition of an object.
    pub fn publish(&self, object: &ObjectReference, transitions: Vec<Transition>) {
        for Transition { warning, reason, message } in transitions {
            self.report(object, warning, reason.as_str(), message);
        }
    }

    /// Reports an object that cannot be decoded.
    pub fn undecodable(&self, object: &ObjectReference, why: &str) {
        self.report(object, true, Reason::Undecodable.as_str(), messages::undecodable(why));
    }

    /// Enqueues one event.
    pub fn report(&self, object: &ObjectReference, warning: bool, reason: &'static str, note: String) {
        let pending = PendingEvent { warning, reason, note: shortened(note) };
        let namespace = object.namespace.as_deref().unwrap_or_default();
        if !self.waiting.push(namespace, (pending, object.clone())) {
            self.metrics.event("dropped");
            let (kind, namespace, name, uid) = identity(object);
            debug!(kind, namespace, name, uid, "dropped an event: too many are waiting");
        }
    }

    /// Whether no event is queued. One may still be in flight.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }
}

/// Writes events, and counts those that repeat. Not kube's recorder: to that, two events of one object and reason are the
/// same event, and it repeats the first note; and it makes no event for an object with a long name.
struct Recorder {
    client: Client,
    clock: Clock,
    /// The last event of each object and reason.
    written: HashMap<(ObjectIdentity, &'static str), Written>,
}

/// Kind, namespace, name and UID.
type ObjectIdentity = [Option<String>; 4];

struct Written {
    event: String,
    note: Box<str>,
    count: i32,
    at: Timestamp,
}

impl Recorder {
    async fn publish(&mut self, pending: PendingEvent, object: &ObjectReference) -> Result<(), kube::Error> {
        let now = self.clock.now();
        let note = pending.note;
        let api: Api<Event> =
            Api::namespaced(self.client.clone(), object.namespace.as_deref().unwrap_or("default"));
        let identity = [&object.kind, &object.namespace, &object.name, &object.uid].map(Clone::clone);
        let key = (identity, pending.reason);
        let same = |written: &&mut Written| written.note == note && now < written.at + SERIES;
        if let Some(written) = self.written.get_mut(&key).filter(same) {
            (written.count, written.at) = (written.count + 1, now);
            let series = EventSeries { count: written.count, last_observed_time: MicroTime(now) };
            let patch = Patch::Merge(json!({"series": series}));
            match api.patch(&written.event, &PatchParams::default(), &patch).await {
                // It has expired.
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                other => return other.map(drop),
            }
        }
        let event = event_name(object.name.as_deref().unwrap_or_default());
        api.create(
            &PostParams::default(),
            &Event {
                metadata: ObjectMeta {
                    name: Some(event.clone()),
                    namespace: object.namespace.clone(),
                    ..ObjectMeta::default()
                },
                action: Some("Reconcile".to_owned()),
                event_time: Some(MicroTime(now)),
                note: Some(note.to_string()),
                reason: Some(pending.reason.to_owned()),
                regarding: Some(object.clone()),
                reporting_controller: Some(CONTROLLER.to_owned()),
                reporting_instance: Some(CONTROLLER.to_owned()),
                type_: Some(if pending.warning { "Warning" } else { "Normal" }.to_owned()),
                ..Event::default()
            },
        )
        .await?;
        if self.written.len() >= MAX_SERIES {
            self.written.clear();
        }
        self.written.insert(key, Written { event, note, count: 1, at: now });
        Ok(())
    }
}

/// A unique name that begins with the object's, as far as there is room.
fn event_name(object: &str) -> String {
    let suffix = format!(".{:x}", Timestamp::now().as_nanosecond());
    let prefix = &object[..object.len().min(MAX_NAME_LENGTH - suffix.len())];
    format!("{}{suffix}", prefix.trim_end_matches(['.', '-']))
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

/// Before it waits, because messages may be much longer.
fn shortened(mut note: String) -> Box<str> {
    if note.len() > MAX_NOTE_LENGTH {
        let end = (0..=MAX_NOTE_LENGTH).rev().find(|i| note.is_char_boundary(*i)).unwrap_or(0);
        note.truncate(end);
        note.push('…');
    }
    note.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::key::Kind;
    use http::{Request, Response};
    use http_body_util::BodyExt;
    use kube::client::Body;
    use std::{convert::Infallible, sync::Mutex};
    use tower::service_fn;

    /// The reasons of the events that were written.
    type Written = Arc<Mutex<Vec<String>>>;

    fn start(queue: &WorkQueue) -> (Events, Written) {
        let written = Written::default();
        let stored = written.clone();
        let server = service_fn(move |request: Request<Body>| {
            let stored = stored.clone();
            async move {
                let sent = request.into_body().collect().await.unwrap().to_bytes();
                let event: Event = serde_json::from_slice(&sent).unwrap();
                stored.lock().unwrap().push(event.reason.unwrap_or_default());
                Ok::<_, Infallible>(Response::new(Body::from(sent)))
            }
        });
        let clock = Clock::standing_at(Timestamp::UNIX_EPOCH);
        let events = Events::start(Client::new(server, "default"), clock, queue.clone(), Metrics::new());
        (events, written)
    }

    fn link(namespace: &str, number: usize) -> Key {
        Key::new(Kind::PostLink, namespace, format!("link-{number}"))
    }

    #[cfg(feature = "local")]
    #[tokio::test(start_paused = true)]
    async fn busy_namespace_does_not_delay_the_events_of_another() {
        let queue = WorkQueue::new(Clock::standing_at(Timestamp::UNIX_EPOCH));
        queue.extend((0..=BUSY_DEPTH).map(|number| link("loud", number)));
        let (events, written) = start(&queue);
        let begin = Instant::now();
        for (namespace, reason) in [("loud", "Loud"), ("quiet", "Quiet")] {
            for number in 0..3 {
                events.report(&reference(&link(namespace, number), None), true, reason, number.to_string());
            }
        }
        let until = async |count: usize| {
            while written.lock().unwrap().len() < count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            begin.elapsed()
        };
        assert!(until(4).await < BUSY_INTERVAL);
        assert_eq!(*written.lock().unwrap(), ["Loud", "Quiet", "Quiet", "Quiet"]);
        assert!(until(6).await >= BUSY_INTERVAL * 2, "those of the busy one are spread");
    }

    #[tokio::test]
    async fn long_note_is_shortened_before_it_waits() {
        let queue = WorkQueue::new(Clock::standing_at(Timestamp::UNIX_EPOCH));
        let (events, _) = start(&queue);
        events.report(&reference(&link("quiet", 0), None), true, "Long", "ä".repeat(10_000));
        let (waiting, _) = events.waiting.next(|_| true).await;
        assert_eq!(waiting.note.chars().count(), MAX_NOTE_LENGTH / 2 + 1);
    }
}
