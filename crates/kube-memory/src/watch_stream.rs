//! Watches: a cursor into the log that moves when the client reads. Slow clients need no buffer and lose no event.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures::Stream;
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::activity::WatchProgress;
use crate::faults::{FaultInjector, WatchDecision, WatchFault};
use crate::list::{ListOptions, Shape, parse_version};
use crate::metadata;
use crate::resource::Resource;
use crate::selector::Selection;
use crate::server::Server;
use crate::status::{ApiResult, StatusError};
use crate::store::{HistoryError, LogEntry, to_bytes};
use crate::user_info::UserInfo;

/// Log entries read per lock of the store.
const BATCH: usize = 256;
/// A watch gets a bookmark after this many revisions that do not concern it, so that it can resume from there.
const BOOKMARK_EVERY: u64 = 1_000;

pub(crate) type Frames = Pin<Box<dyn Stream<Item = io::Result<Frame<Bytes>>> + Send>>;

/// What a watch is about.
pub(crate) struct WatchRequest<'a> {
    pub resource: &'a Resource,
    pub namespace: &'a str,
    pub options: ListOptions,
    pub shape: Shape,
    pub user: Arc<UserInfo>,
    pub faults: Option<FaultInjector>,
}

struct Event {
    revision: u64,
    line: Bytes,
    /// Not subject to fault injection: a synthetic event of the initial list, or the last of the stream.
    initial: bool,
    /// The last event of the stream.
    last: bool,
}

struct WatchStream {
    server: Arc<Server>,
    resource: Resource,
    prefix: String,
    selection: Selection,
    shape: Shape,
    bookmarks: bool,
    /// The log is scanned up to this revision.
    position: u64,
    /// The last revision sent to the client, in an event or a bookmark.
    sent: u64,
    /// The revision of the event that was handed out last. The next poll shows that it was read.
    handed_out: u64,
    queue: VecDeque<Event>,
    deadline: Option<Instant>,
    revisions: watch::Receiver<u64>,
    faults: Option<FaultInjector>,
    fault_changes: Option<watch::Receiver<u64>>,
    progress: Arc<WatchProgress>,
    id: u64,
    finished: bool,
}

impl Drop for WatchStream {
    fn drop(&mut self) {
        self.server.activity.close_watch(self.id);
    }
}

/// Starts a watch.
///
/// # Errors
/// 500 without a reason for a resource version that is not a number. A server reports everything else as an ERROR event.
pub(crate) fn start(server: &Arc<Server>, request: WatchRequest<'_>) -> ApiResult<Frames> {
    let WatchRequest { resource, namespace, options, shape, user, faults } = request;
    let namespace = match namespace {
        "" => options.selection.single_namespace().unwrap_or_default(),
        namespace => namespace,
    };
    let version = options.resource_version.as_str();
    let asked: u64 = if version.is_empty() { 0 } else { parse_version(version)? };
    let progress =
        Arc::new(WatchProgress { resource: resource.qualified(), user, consumed: AtomicU64::new(0) });
    let timeout = Duration::from_secs(options.timeout_seconds);
    let mut stream = WatchStream {
        id: server.activity.open_watch(&progress),
        server: server.clone(),
        resource: resource.clone(),
        prefix: if namespace.is_empty() { String::new() } else { format!("{namespace}/") },
        selection: options.selection.clone(),
        shape,
        bookmarks: options.bookmarks,
        position: asked,
        sent: asked,
        handed_out: 0,
        queue: VecDeque::new(),
        deadline: (!timeout.is_zero()).then(|| Instant::now() + timeout),
        revisions: server.revisions(),
        fault_changes: faults.as_ref().map(FaultInjector::changes),
        faults,
        progress,
        finished: false,
    };
    stream.begin(asked, &options);
    Ok(Box::pin(futures::stream::unfold(stream, |mut stream| async move {
        let frame = stream.next().await?;
        Some((frame, stream))
    })))
}

impl WatchStream {
    fn begin(&mut self, asked: u64, options: &ListOptions) {
        let server = self.server.clone();
        let state = server.state();
        let current = state.store.revision();
        match options.initial_events {
            Some(true) if asked > current => {
                self.fail(&StatusError::too_large_resource_version(asked, current));
            }
            Some(true) => {
                for (key, stored) in state.store.range(self.resource.store, &self.prefix, "") {
                    if self.selection.matches(key, stored) {
                        let line = self.event("ADDED", &stored.raw);
                        self.queue.push_back(Event { revision: current, line, initial: true, last: false });
                    }
                }
                if self.bookmarks {
                    let line = self.bookmark(current, true);
                    self.queue.push_back(Event { revision: current, line, initial: true, last: false });
                }
                self.position = current;
                self.sent = current;
            }
            Some(false) if asked == 0 => {
                self.position = current;
                self.sent = current;
            }
            _ => {}
        }
    }

    async fn next(&mut self) -> Option<io::Result<Frame<Bytes>>> {
        // A poll means that the frame before it has been read.
        self.progress.consumed.fetch_max(self.handed_out, Ordering::SeqCst);
        loop {
            if self.finished {
                return None;
            }
            let event = self.queue.front().map(|event| (event.revision, event.initial));
            match self.decide(event) {
                WatchDecision::Broken => return Some(self.broken(io::ErrorKind::ConnectionReset.into())),
                WatchDecision::Fail(WatchFault::Clean) => {
                    self.finished = true;
                    return None;
                }
                WatchDecision::Fail(WatchFault::MidEvent) => {
                    // The error of a real connection that breaks in the middle of a chunk.
                    return Some(self.broken(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "unexpected EOF during chunk size line",
                    )));
                }
                WatchDecision::Fail(WatchFault::Expired) => {
                    self.queue.clear();
                    self.fail(&StatusError::expired(format!(
                        "too old resource version: {} (injected)",
                        self.sent
                    )));
                }
                WatchDecision::Wait if self.is_over() => {
                    self.finished = true;
                    return None;
                }
                WatchDecision::Wait => {
                    self.wait().await;
                    continue;
                }
                WatchDecision::Deliver => {}
            }
            if let Some(event) = self.queue.pop_front() {
                self.finished = event.last;
                self.sent = self.sent.max(event.revision);
                // With later events of the same scan in the queue, the client has read only up to this one.
                self.handed_out = if self.queue.is_empty() { self.position } else { event.revision };
                return Some(Ok(Frame::data(event.line)));
            }
            if self.is_over() {
                self.close();
                continue;
            }
            if !self.scan() {
                self.wait().await;
            }
        }
    }

    fn is_over(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= Instant::now())
    }

    fn decide(&self, event: Option<(u64, bool)>) -> WatchDecision {
        let Some(faults) = &self.faults else { return WatchDecision::Deliver };
        let event = event.filter(|(_, initial)| !initial).map(|(revision, _)| revision);
        let current = *self.revisions.borrow();
        faults.decide_watch(&self.progress.resource, event, current)
    }

    /// Queues the events of the next log entries. False when there are none.
    fn scan(&mut self) -> bool {
        // Marked before the scan: a write in between wakes the wait that follows.
        self.revisions.mark_unchanged();
        let server = self.server.clone();
        let state = server.state();
        let entries: Vec<Arc<LogEntry>> = match state.store.since(self.position) {
            Ok(entries) => entries.take(BATCH).cloned().collect(),
            Err(HistoryError::Future) => Vec::new(),
            Err(HistoryError::Compacted) => {
                let oldest = state.store.compacted();
                self.fail(&StatusError::expired(format!(
                    "too old resource version: {} ({oldest})",
                    self.position
                )));
                return true;
            }
        };
        drop(state);
        let Some(last) = entries.last() else {
            // Read to the end: the API may be idle now.
            self.progress.consumed.fetch_max(self.position, Ordering::SeqCst);
            self.server.activity.notify();
            return false;
        };
        self.position = last.revision;
        for entry in &entries {
            if let Some(line) = self.event_of(entry) {
                self.queue.push_back(Event { revision: entry.revision, line, initial: false, last: false });
            }
        }
        if self.queue.is_empty() && self.bookmarks && self.position >= self.sent + BOOKMARK_EVERY {
            let line = self.bookmark(self.position, false);
            self.queue.push_back(Event { revision: self.position, line, initial: false, last: false });
        }
        true
    }

    /// The event of a log entry for this watch, if any.
    fn event_of(&self, entry: &LogEntry) -> Option<Bytes> {
        if entry.store != self.resource.store || !entry.key.starts_with(&self.prefix) {
            return None;
        }
        let before = entry.before.as_ref().filter(|b| self.selection.matches(&entry.key, b));
        let after = entry.current().filter(|a| self.selection.matches(&entry.key, a));
        match (before, after) {
            (None, None) => None,
            (None, Some(after)) => Some(self.event("ADDED", &after.raw)),
            (Some(_), Some(after)) => Some(self.event("MODIFIED", &after.raw)),
            (Some(before), None) => {
                if entry.current().is_none() {
                    return Some(self.event("DELETED", &entry.after.raw));
                }
                // The object left the selection: its last selected state, at the revision of the change.
                let mut object = before.value();
                metadata::set(&mut object, "resourceVersion", Some(json!(entry.revision.to_string())));
                Some(self.event("DELETED", &to_bytes(&object)))
            }
        }
    }

    fn event(&self, kind: &str, raw: &Bytes) -> Bytes {
        line(kind, &self.shape.object(&self.resource, raw))
    }

    fn bookmark(&self, revision: u64, end_of_initial: bool) -> Bytes {
        let mut object = json!({
            "kind": self.resource.kind, "apiVersion": self.resource.api_version(),
            "metadata": {"resourceVersion": revision.to_string()},
        });
        if end_of_initial {
            object["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        if self.shape == Shape::Metadata {
            object["kind"] = json!("PartialObjectMetadata");
            object["apiVersion"] = json!("meta.k8s.io/v1");
        }
        line("BOOKMARK", &to_bytes(&object))
    }

    /// Ends the watch after its timeout, with a bookmark if it skipped revisions.
    fn close(&mut self) {
        if self.bookmarks && self.position > self.sent {
            let line = self.bookmark(self.position, false);
            self.queue.push_back(Event { revision: self.position, line, initial: true, last: true });
        } else {
            self.finished = true;
        }
    }

    fn fail(&mut self, error: &StatusError) {
        let status: Value = error.status();
        let line = line("ERROR", &to_bytes(&status));
        self.queue.push_back(Event { revision: self.position, line, initial: true, last: true });
    }

    fn broken(&mut self, why: io::Error) -> io::Result<Frame<Bytes>> {
        self.finished = true;
        self.queue.clear();
        Err(why)
    }

    /// Waits for a write, a change of the faults, or the timeout.
    async fn wait(&mut self) {
        let deadline = self.deadline;
        let timer = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        let faults = async {
            let changed = match &mut self.fault_changes {
                Some(changes) => changes.changed().await.is_ok(),
                None => false,
            };
            if !changed {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = timer => {}
            () = faults => {}
            changed = self.revisions.changed() => {
                if changed.is_err() {
                    self.finished = true;
                }
            }
        }
    }
}

fn line(kind: &str, object: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(object.len() + 40);
    out.put_slice(format!("{{\"type\":\"{kind}\",\"object\":").as_bytes());
    out.put_slice(object);
    out.put_slice(b"}\n");
    out.freeze()
}
