//! The metrics of a process. `docs/operations.md` explains each; a test compares the two.
//!
//! Labels hold namespaces, names of connections, hosts of instances and words of closed lists; never the name of a
//! link, a URL or anything a post says. What was counted by host goes when no connection leads there any more.

use super::{
    declared::{Declared, Families, label_sets},
    process::Process,
};
use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    time::Duration,
};

/// Bounds for what takes milliseconds to seconds: looks, and requests over a network.
const SECONDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];
/// Bounds for waiting in the queue, which a large fan-out makes minutes long.
const WAITS: [f64; 11] = [0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1800.0];

label_sets! {
    ByKind { kind: &'static str }
    ByKindAndResult { kind: &'static str, result: &'static str }
    ByResult { result: &'static str }
    ByTransition { kind: &'static str, condition: &'static str, status: &'static str, reason: &'static str }
    ByWrite { kind: &'static str, what: &'static str, result: &'static str }
    ByAnswer { verb: &'static str, resource: &'static str, code: String }
    ByCall { verb: &'static str, resource: &'static str }
    ByOutcome { host: String, operation: &'static str, outcome: &'static str }
    ByOperation { host: String, operation: &'static str }
    ByHost { host: String }
    OfLinks {
        namespace: String,
        connection: String,
        linked: &'static str,
        reason: &'static str,
        record: &'static str,
    }
    OfRules { namespace: String, connection: String, active: &'static str, reason: &'static str }
    OfConnection { namespace: String, connection: String }
    OfState { namespace: String, connection: String, host: String, state: &'static str }
    OfCondition {
        namespace: String,
        connection: String,
        condition: &'static str,
        status: &'static str,
        reason: &'static str,
    }
    OfBuild { version: &'static str }
}

pub(super) type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;
pub(super) type Seconds = Gauge<f64, AtomicU64>;
pub(super) type Refresh = Arc<dyn Fn(&Metrics) + Send + Sync>;

/// The metrics; clones share them.
#[derive(Clone)]
pub struct Metrics(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) families: Families,
    pub(super) process: Process,
    pub(super) refreshes: Mutex<BTreeMap<&'static str, Refresh>>,
    /// One scrape at a time: gauges are emptied and set anew for each.
    pub(super) page: Mutex<()>,
    /// The series counted for each host, to take them away with it.
    pub(super) hosts: Mutex<HashMap<String, HashSet<(&'static str, &'static str)>>>,

    pub(super) reconciles: Family<ByKindAndResult, Counter>,
    pub(super) reconcile_duration: Histograms<ByKind>,
    pub(super) transitions: Family<ByTransition, Counter>,
    pub(super) writes: Family<ByWrite, Counter>,
    pub(super) events: Family<ByResult, Counter>,
    pub(super) watch_errors: Family<ByKind, Counter>,
    pub(super) queue_wait: Histograms<ByKind>,
    pub(super) api_requests: Family<ByAnswer, Counter>,
    pub(super) api_latency: Histograms<ByCall>,
    pub(super) instance_requests: Family<ByOutcome, Counter>,
    pub(super) instance_latency: Histograms<ByOperation>,
    pub(super) instance_throttled: Family<ByHost, Counter>,
    pub(super) instance_wait: Family<ByHost, Seconds>,

    pub(super) links: Family<OfLinks, Gauge>,
    pub(super) rules: Family<OfRules, Gauge>,
    pub(super) connection_state: Family<OfState, Gauge>,
    pub(super) connection_condition: Family<OfCondition, Gauge>,
    pub(super) connection_rules: Family<OfConnection, Gauge>,
    pub(super) objects: Family<ByKind, Gauge>,
    pub(super) unreadable: Family<ByKind, Gauge>,
    pub(super) queue_depth: Family<ByKind, Gauge>,
    pub(super) queue_oldest: Seconds,
    pub(super) queue_running: Gauge,
    pub(super) queue_longest: Seconds,
    pub(super) queue_timers: Gauge,
    pub(super) retrying: Gauge,
    pub(super) creations: Gauge,

    pub(super) leader: Gauge,
    pub(super) lease_remaining: Seconds,
    pub(super) ready: Gauge,
    pub(super) schema_differences: Gauge,
}

fn short() -> Histogram {
    Histogram::new(SECONDS)
}

fn long() -> Histogram {
    Histogram::new(WAITS)
}

pub(super) fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl Metrics {
    /// The metrics of a process, all at nothing.
    #[allow(clippy::new_without_default)] // Nobody should make some by the way: they are the process's.
    pub fn new() -> Self {
        let mut f = Families::default();
        let short_family = <Histograms<ByKind>>::new_with_constructor(short as fn() -> Histogram);
        let inner = Inner {
            process: Process::new(&mut f),
            refreshes: Mutex::default(),
            page: Mutex::default(),
            hosts: Mutex::default(),

            reconciles: f.with(
                "postlink_reconciles_total",
                "Looks at objects, by how they ended.",
                Family::default(),
            ),
            reconcile_duration: f.with(
                "postlink_reconcile_duration_seconds",
                "How long a look at an object took.",
                short_family,
            ),
            transitions: f.with(
                "postlink_transitions_total",
                "Conditions that were written with another status or reason than before: the decisions.",
                Family::default(),
            ),
            writes: f.with(
                "postlink_writes_total",
                "Writes to the three kinds, by what was written and how it ended.",
                Family::default(),
            ),
            events: f.with("postlink_events_total", "Events, by what became of them.", Family::default()),
            watch_errors: f.with(
                "postlink_watch_errors_total",
                "Failures of a watch; each is followed by another try.",
                Family::default(),
            ),
            queue_wait: f.with(
                "postlink_queue_wait_seconds",
                "How long an object was due before it was looked at.",
                Family::new_with_constructor(long as fn() -> Histogram),
            ),
            api_requests: f.with(
                "postlink_api_requests_total",
                "Requests to the API server, by status code; none is no answer.",
                Family::default(),
            ),
            api_latency: f.with(
                "postlink_api_request_duration_seconds",
                "Time until the API server's answer began.",
                Family::new_with_constructor(short as fn() -> Histogram),
            ),
            instance_requests: f.with(
                "postlink_instance_requests_total",
                "Requests sent to instances and for their tokens, by outcome.",
                Family::default(),
            ),
            instance_latency: f.with(
                "postlink_instance_request_duration_seconds",
                "Time until an instance's answer was complete, or none came.",
                Family::new_with_constructor(short as fn() -> Histogram),
            ),
            instance_throttled: f.with(
                "postlink_instance_throttled_total",
                "Answers of an instance that asked to wait.",
                Family::default(),
            ),
            instance_wait: f.with(
                "postlink_instance_throttle_wait_seconds",
                "For how much longer an instance asked to be left alone; 0 is not at all.",
                Family::default(),
            ),

            links: f.with(
                "postlink_links",
                "Post links by connection, status and reason of Linked, and reason of RecordAvailable.",
                Family::default(),
            ),
            rules: f.with(
                "postlink_rules",
                "Automation rules by connection, and status and reason of Active.",
                Family::default(),
            ),
            connection_state: f.with(
                "postlink_connection_state",
                "Always 1: the state of a connection and the host of its instance.",
                Family::default(),
            ),
            connection_condition: f.with(
                "postlink_connection_condition_timestamp_seconds",
                "When a condition of a connection took its present status, in seconds since the epoch.",
                Family::default(),
            ),
            connection_rules: f.with(
                "postlink_connection_active_rules",
                "Active rules that a connection lists.",
                Family::default(),
            ),
            objects: f.with("postlink_index_objects", "Objects known.", Family::default()),
            unreadable: f.with(
                "postlink_unreadable_objects",
                "Objects that cannot be read and are left alone.",
                Family::default(),
            ),
            queue_depth: f.with("postlink_queue_depth", "Objects that are due.", Family::default()),
            queue_oldest: f.one(
                "postlink_queue_oldest_age_seconds",
                "How long the object that is due for longest has waited; 0 is that none is.",
            ),
            queue_running: f.one("postlink_queue_running", "Objects being looked at."),
            queue_longest: f.one(
                "postlink_queue_longest_look_seconds",
                "For how long the longest look under way has gone on; 0 is that none is.",
            ),
            queue_timers: f.one("postlink_timers", "Objects that will be due at a known time."),
            retrying: f
                .one("postlink_retrying_objects", "Objects whose last look failed and is tried again."),
            creations: f.one(
                "postlink_pending_creations",
                "Links whose social activity is being created or waits for its turn.",
            ),

            leader: f.one("postlink_leader", "1 while this process does the work, 0 while it stands by."),
            lease_remaining: f.one(
                "postlink_lease_remaining_seconds",
                "How long this process leads for certain; 0 without leader election.",
            ),
            ready: f.one("postlink_ready", "1 while /readyz says so."),
            schema_differences: f.one(
                "postlink_schema_differences",
                "Differences of the installed definitions to those of this version, as found at the start.",
            ),
            families: {
                let build: Family<OfBuild, Gauge> = f.with(
                    "postlink_build_info",
                    "Always 1: the version of this program.",
                    Family::default(),
                );
                build.get_or_create(&OfBuild { version: env!("CARGO_PKG_VERSION") }).set(1);
                f
            },
        };
        // What is counted by closed words begins at nothing: the first failure is an increase then.
        for result in ["written", "failed", "dropped"] {
            let _ = inner.events.get_or_create(&ByResult { result });
        }
        Self(Arc::new(inner))
    }

    /// Every family there is.
    pub fn declared(&self) -> &[Declared] {
        &self.0.families.list
    }

    /// Has something told anew before each page, or takes the place of what was told under that name.
    pub fn refresh(&self, name: &'static str, how: impl Fn(&Metrics) + Send + Sync + 'static) {
        lock(&self.0.refreshes).insert(name, Arc::new(how));
    }

    /// The page a scrape gets, in the `OpenMetrics` text format.
    pub fn page(&self) -> String {
        let _one_at_a_time = lock(&self.0.page);
        let refreshes: Vec<Refresh> = lock(&self.0.refreshes).values().cloned().collect();
        for refresh in refreshes {
            refresh(self);
        }
        self.0.process.refresh();
        let mut page = String::new();
        // Writing to a text cannot fail.
        let _ = encode(&mut page, &self.0.families.registry);
        page
    }

    /// The kinds there are: their counters begin at nothing.
    pub fn kinds(&self, kinds: &[&'static str]) {
        for kind in kinds {
            let _ = self.0.watch_errors.get_or_create(&ByKind { kind });
        }
    }

    /// An object was looked at.
    pub fn reconciled(&self, kind: &'static str, result: &'static str, took: Duration) {
        self.0.reconciles.get_or_create(&ByKindAndResult { kind, result }).inc();
        self.0.reconcile_duration.get_or_create(&ByKind { kind }).observe(took.as_secs_f64());
    }

    /// An object was due for so long before it was looked at.
    pub fn waited(&self, kind: &'static str, waited: Duration) {
        self.0.queue_wait.get_or_create(&ByKind { kind }).observe(waited.as_secs_f64());
    }

    /// A condition was written with another status or reason.
    pub fn transition(
        &self,
        kind: &'static str,
        condition: &'static str,
        status: &'static str,
        reason: &'static str,
    ) {
        self.0.transitions.get_or_create(&ByTransition { kind, condition, status, reason }).inc();
    }

    /// An object was written, or not.
    pub fn wrote(&self, kind: &'static str, what: &'static str, result: &'static str) {
        self.0.writes.get_or_create(&ByWrite { kind, what, result }).inc();
    }

    /// What became of an event.
    pub fn event(&self, result: &'static str) {
        self.0.events.get_or_create(&ByResult { result }).inc();
    }

    /// A watch failed.
    pub fn watch_failed(&self, kind: &'static str) {
        self.0.watch_errors.get_or_create(&ByKind { kind }).inc();
    }

    /// The API server was asked; no code is no answer.
    pub fn api_request(&self, verb: &'static str, resource: &'static str, code: Option<u16>, took: Duration) {
        let text = code.map_or_else(|| "none".to_owned(), |code| code.to_string());
        self.0.api_requests.get_or_create(&ByAnswer { verb, resource, code: text }).inc();
        self.0.api_latency.get_or_create(&ByCall { verb, resource }).observe(took.as_secs_f64());
    }

    /// A request was sent to an instance, or for its token.
    pub fn instance_request(
        &self,
        host: &str,
        operation: &'static str,
        outcome: &'static str,
        took: Duration,
    ) {
        lock(&self.0.hosts).entry(host.to_owned()).or_default().insert((operation, outcome));
        let name = || host.to_owned();
        self.0.instance_requests.get_or_create(&ByOutcome { host: name(), operation, outcome }).inc();
        let latency = ByOperation { host: name(), operation };
        self.0.instance_latency.get_or_create(&latency).observe(took.as_secs_f64());
        let _ = self.0.instance_throttled.get_or_create(&ByHost { host: name() });
    }

    /// An instance asked to wait.
    pub fn instance_throttled(&self, host: &str) {
        lock(&self.0.hosts).entry(host.to_owned()).or_default();
        self.0.instance_throttled.get_or_create(&ByHost { host: host.to_owned() }).inc();
    }

    /// Whether this process does the work, and how long it does for certain.
    pub fn leads(&self, leads: bool, remaining: Duration) {
        self.0.leader.set(i64::from(leads));
        self.0.lease_remaining.set(remaining.as_secs_f64());
    }

    /// Whether it is ready.
    pub fn is_ready(&self, ready: bool) {
        self.0.ready.set(i64::from(ready));
    }

    /// How many differences the installed definitions have to ours.
    pub fn schema_differences(&self, count: usize) {
        self.0.schema_differences.set(number(count));
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
