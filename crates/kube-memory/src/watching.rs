//! Watches: a cursor on the log, read when the client reads. No event is buffered for a slow client, none is lost.

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

use super::answer::{Outcome, Refusal};
use super::core::Core;
use super::faults::{Cut, Line, Turn};
use super::list::{ListOptions, Shape};
use super::metadata;
use super::quiet::WatchProgress;
use super::resource::Resource;
use super::selector::Selection;
use super::store::{Actor, Record, Unreadable};

/// How many log records one look at the store takes.
const BATCH: usize = 256;
/// After this many revisions that do not concern a watch it gets a bookmark, so that it can resume from there.
const BOOKMARK_EVERY: u64 = 1_000;

pub(crate) type Frames = Pin<Box<dyn Stream<Item = io::Result<Frame<Bytes>>> + Send>>;

/// What a watch is about.
pub(crate) struct WatchRequest<'a> {
    pub resource: &'a Resource,
    pub namespace: &'a str,
    pub options: ListOptions,
    pub shape: Shape,
    pub actor: Arc<Actor>,
    pub line: Option<Line>,
}

struct Event {
    revision: u64,
    line: Bytes,
    /// Hidden from fault injection: the synthetic events of the initial list.
    initial: bool,
    /// The stream ends after it.
    last: bool,
}

struct Watching {
    core: Arc<Core>,
    resource: Resource,
    prefix: String,
    selection: Selection,
    shape: Shape,
    bookmarks: bool,
    /// Everything up to here is scanned.
    position: u64,
    /// The last revision the client was told of, by an event or a bookmark.
    told: u64,
    /// The revision of the event that was handed out last: the next poll shows that it was read.
    handed_out: u64,
    queue: VecDeque<Event>,
    deadline: Option<Instant>,
    revisions: watch::Receiver<u64>,
    line: Option<Line>,
    line_changes: Option<watch::Receiver<u64>>,
    seen_cuts: u64,
    progress: Arc<WatchProgress>,
    id: u64,
    finished: bool,
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.core.close_watch(self.id);
    }
}

/// Starts a watch.
///
/// # Errors
/// 500 without a reason for a resource version that is not a number. Everything else a server tells as an ERROR event.
pub(crate) fn start(core: &Arc<Core>, request: WatchRequest<'_>) -> Outcome<Frames> {
    let WatchRequest { resource, namespace, options, shape, actor, line } = request;
    let namespace = match namespace {
        "" => options.selection.single_namespace().unwrap_or_default(),
        namespace => namespace,
    };
    let version = options.resource_version.as_str();
    let asked: u64 = if version.is_empty() { 0 } else { self::version(version)? };
    let progress =
        Arc::new(WatchProgress { resource: resource.qualified(), actor, consumed: AtomicU64::new(0) });
    let timeout = Duration::from_secs(options.timeout_seconds);
    let mut watching = Watching {
        id: core.open_watch(&progress),
        core: core.clone(),
        resource: resource.clone(),
        prefix: if namespace.is_empty() { String::new() } else { format!("{namespace}/") },
        selection: options.selection.clone(),
        shape,
        bookmarks: options.bookmarks,
        position: asked,
        told: asked,
        handed_out: 0,
        queue: VecDeque::new(),
        deadline: (!timeout.is_zero()).then(|| Instant::now() + timeout),
        revisions: core.revisions(),
        line_changes: line.as_ref().map(Line::changes),
        seen_cuts: line.as_ref().map_or(0, |line| line.cuts(&resource.qualified())),
        line,
        progress,
        finished: false,
    };
    watching.begin(asked, &options);
    Ok(Box::pin(futures::stream::unfold(watching, |mut watching| async move {
        let frame = watching.next().await?;
        Some((frame, watching))
    })))
}

/// Reads the version of a watch or of a GET.
///
/// # Errors
/// 500 without a reason for what is not a number.
pub(crate) fn version(version: &str) -> Outcome<u64> {
    version.parse().map_err(|_| {
        let why = format!("strconv.ParseUint: parsing \"{version}\": invalid syntax");
        let error = super::answer::FieldError::invalid("resourceVersion", version, &why);
        Refusal::unknown(format!("{}: {}", error.field, error.body))
    })
}

impl Watching {
    fn begin(&mut self, asked: u64, options: &ListOptions) {
        let core = self.core.clone();
        let state = core.state();
        let current = state.store.revision();
        match options.initial_events {
            Some(true) if asked > current => {
                self.fail(&Refusal::too_large_resource_version(asked, current));
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
                self.told = current;
            }
            Some(false) if asked == 0 => {
                self.position = current;
                self.told = current;
            }
            _ => {}
        }
    }

    async fn next(&mut self) -> Option<io::Result<Frame<Bytes>>> {
        // Being asked for more means that what was handed out has been read.
        self.progress.consumed.fetch_max(self.handed_out, Ordering::SeqCst);
        loop {
            if self.finished {
                return None;
            }
            let event = self.queue.front().map(|event| (event.revision, event.initial));
            match self.turn(event) {
                Turn::Broken => return Some(self.broken(io::ErrorKind::ConnectionReset.into())),
                Turn::Cut(Cut::Clean) => {
                    self.finished = true;
                    return None;
                }
                Turn::Cut(Cut::MidEvent) => {
                    // The error of a real connection that breaks inside a chunk.
                    return Some(self.broken(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "unexpected EOF during chunk size line",
                    )));
                }
                Turn::Cut(Cut::Expired) => {
                    self.queue.clear();
                    self.fail(&Refusal::expired(format!(
                        "too old resource version: {} (injected)",
                        self.told
                    )));
                }
                Turn::Wait if self.is_over() => {
                    self.finished = true;
                    return None;
                }
                Turn::Wait => {
                    self.wait().await;
                    continue;
                }
                Turn::Deliver => {}
            }
            if let Some(event) = self.queue.pop_front() {
                self.finished = event.last;
                self.told = self.told.max(event.revision);
                // Later events of the same look are still in the queue: only up to here.
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

    fn turn(&self, event: Option<(u64, bool)>) -> Turn {
        let Some(line) = &self.line else { return Turn::Deliver };
        let event = event.filter(|(_, initial)| !initial).map(|(revision, _)| revision);
        let current = *self.revisions.borrow();
        line.turn(&self.progress.resource, self.seen_cuts, event, current)
    }

    /// Looks at the next records. False when there are none.
    fn scan(&mut self) -> bool {
        // Marked before the look: a write in between wakes the wait that follows.
        self.revisions.mark_unchanged();
        let core = self.core.clone();
        let state = core.state();
        let records: Vec<Arc<Record>> = match state.store.since(self.position) {
            Ok(records) => records.take(BATCH).cloned().collect(),
            Err(Unreadable::Future) => Vec::new(),
            Err(Unreadable::Compacted) => {
                let oldest = state.store.compacted();
                self.fail(&Refusal::expired(format!(
                    "too old resource version: {} ({oldest})",
                    self.position
                )));
                return true;
            }
        };
        drop(state);
        let Some(last) = records.last() else {
            // Read to the end: whoever waits for quiet is told.
            self.progress.consumed.fetch_max(self.position, Ordering::SeqCst);
            self.core.something_ended();
            return false;
        };
        self.position = last.revision;
        for record in &records {
            if let Some(line) = self.show(record) {
                self.queue.push_back(Event { revision: record.revision, line, initial: false, last: false });
            }
        }
        if self.queue.is_empty() && self.bookmarks && self.position >= self.told + BOOKMARK_EVERY {
            let line = self.bookmark(self.position, false);
            self.queue.push_back(Event { revision: self.position, line, initial: false, last: false });
        }
        true
    }

    /// The event a record means for this watch, if any.
    fn show(&self, record: &Record) -> Option<Bytes> {
        if record.store != self.resource.store || !record.key.starts_with(&self.prefix) {
            return None;
        }
        let before = record.before.as_ref().filter(|b| self.selection.matches(&record.key, b));
        let after = record.state().filter(|a| self.selection.matches(&record.key, a));
        match (before, after) {
            (None, None) => None,
            (None, Some(after)) => Some(self.event("ADDED", &after.raw)),
            (Some(_), Some(after)) => Some(self.event("MODIFIED", &after.raw)),
            (Some(before), None) => {
                if record.state().is_none() {
                    return Some(self.event("DELETED", &record.after.raw));
                }
                // It left the selection: the last state that was in it, at the revision of the change.
                let mut object = before.value();
                metadata::set(&mut object, "resourceVersion", Some(json!(record.revision.to_string())));
                Some(self.event("DELETED", &super::write::bytes(&object)))
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
        line("BOOKMARK", &super::write::bytes(&object))
    }

    /// The watch's time is up: one bookmark, then the end.
    fn close(&mut self) {
        if self.bookmarks && self.position > self.told {
            let line = self.bookmark(self.position, false);
            self.queue.push_back(Event { revision: self.position, line, initial: true, last: true });
        } else {
            self.finished = true;
        }
    }

    fn fail(&mut self, refusal: &Refusal) {
        let status: Value = refusal.status();
        let line = line("ERROR", &super::write::bytes(&status));
        self.queue.push_back(Event { revision: self.position, line, initial: true, last: true });
        // One cut is enough.
        self.seen_cuts = u64::MAX;
    }

    fn broken(&mut self, why: io::Error) -> io::Result<Frame<Bytes>> {
        self.finished = true;
        self.queue.clear();
        Err(why)
    }

    /// Until something is written, the line changes, or time is up.
    async fn wait(&mut self) {
        let deadline = self.deadline;
        let timer = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        let line = async {
            let changed = match &mut self.line_changes {
                Some(changes) => changes.changed().await.is_ok(),
                None => false,
            };
            if !changed {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = timer => {}
            () = line => {}
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
