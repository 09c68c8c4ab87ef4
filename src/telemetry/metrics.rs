//! The metrics of a process. `docs/operations.md` lists them; a test compares the two.
//!
//! Names are those of client-go's work queue where the same is measured. Labels hold namespaces, names of connections,
//! hosts of instances and words of closed lists; never the name of a link, a URL or text of a post. Series of a host
//! are removed when no connection uses it any more.

use super::{
    families::{Buckets, FamilyDescriptor, FamilyRegistry, label_sets, metric_families},
    process::Process,
    snapshot::{LinkLabels, RuleLabels},
};
use prometheus_client::{
    encoding::text::encode,
    metrics::{
        counter::Counter,
        family::{Family, MetricConstructor},
        gauge::Gauge,
        histogram::Histogram,
    },
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Buckets for requests and reconciles: milliseconds to seconds.
#[derive(Clone, Default)]
pub(super) struct LatencyBuckets;
/// Buckets for waiting in the work queue, which takes minutes after a large fan-out.
#[derive(Clone, Default)]
pub(super) struct QueueBuckets;

impl MetricConstructor<Histogram> for LatencyBuckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0])
    }
}

impl MetricConstructor<Histogram> for QueueBuckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new([0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1800.0])
    }
}

impl Buckets for LatencyBuckets {}
impl Buckets for QueueBuckets {}

label_sets! {
    pub(super) WorkqueueLabels { name: &'static str }
    pub(super) KindLabels { kind: &'static str }
    pub(super) ReconcileLabels { kind: &'static str, result: &'static str }
    pub(super) TransitionLabels {
        kind: &'static str,
        condition: &'static str,
        status: &'static str,
        reason: &'static str,
    }
    pub(super) WriteLabels { kind: &'static str, field: &'static str, result: &'static str }
    pub(super) EventLabels { result: &'static str }
    pub(super) ApiRequestLabels { verb: &'static str, resource: &'static str, code: String }
    pub(super) ApiLatencyLabels { verb: &'static str, resource: &'static str }
    pub(super) InstanceRequestLabels { host: String, operation: &'static str, outcome: &'static str }
    pub(super) InstanceLatencyLabels { host: String, operation: &'static str }
    pub(super) HostLabels { host: String }
    pub(super) NamespaceLabels { namespace: String }
    pub(super) ConnectionLabels { namespace: String, connection: String }
    pub(super) StateLabels { namespace: String, connection: String, host: String, state: &'static str }
    pub(super) ConditionLabels {
        namespace: String,
        connection: String,
        condition: &'static str,
        status: &'static str,
        reason: &'static str,
    }
    pub(super) PolicyLabels { policy: &'static str, problem: &'static str }
    pub(super) BuildLabels { version: &'static str }
}

/// Hosts with series of their own.
const MAX_HOSTS: usize = 1_000;
/// The label of all others.
const OTHER_HOSTS: &str = "other";

pub(super) type SecondsGauge = Gauge<f64, AtomicU64>;

metric_families! {
    pub(super) struct Families {
        reconciles: Family<ReconcileLabels, Counter>, "postlink_reconciles_total",
            "Reconciliations by kind and result.";
        work_duration: Family<WorkqueueLabels, Histogram, LatencyBuckets>, "workqueue_work_duration_seconds",
            "How long one reconciliation takes.";
        queue_duration: Family<WorkqueueLabels, Histogram, QueueBuckets>, "workqueue_queue_duration_seconds",
            "How long an object waits in the work queue before it is reconciled.";
        depth: Family<WorkqueueLabels, Gauge>, "workqueue_depth", "Objects waiting in the work queue.";
        unfinished_work: Family<WorkqueueLabels, SecondsGauge>, "workqueue_unfinished_work_seconds",
            "Total running time of the reconciliations in progress; 0 when there is none.";
        longest_running: Family<WorkqueueLabels, SecondsGauge>, "workqueue_longest_running_processor_seconds",
            "Running time of the longest reconciliation in progress; 0 when there is none.";
        oldest_item: SecondsGauge, "postlink_workqueue_oldest_item_age_seconds",
            "How long the oldest object in the work queue has waited; 0 when the queue is empty.";
        active_workers: Gauge, "postlink_active_workers", "Reconciliations in progress.";
        scheduled_requeues: Gauge, "postlink_scheduled_requeues", "Objects with a scheduled requeue.";
        retrying: Gauge, "postlink_retrying_objects",
            "Objects whose last reconciliation failed and is retried with backoff.";
        transitions: Family<TransitionLabels, Counter>, "postlink_condition_transitions_total",
            "Changes of the status or reason of a condition, as written.";
        writes: Family<WriteLabels, Counter>, "postlink_writes_total",
            "Writes to Postlink's objects by kind, field and result.";
        events: Family<EventLabels, Counter>, "postlink_events_total", "Kubernetes Events by result.";
        watch_errors: Family<KindLabels, Counter>, "postlink_watch_errors_total",
            "Failed watches by kind. Each is retried.";
        objects: Family<KindLabels, Gauge>, "postlink_index_objects", "Objects in the index by kind.";
        undecodable: Family<KindLabels, Gauge>, "postlink_undecodable_objects",
            "Objects that cannot be decoded and are skipped, by kind.";

        api_requests: Family<ApiRequestLabels, Counter>, "postlink_api_requests_total",
            "Requests to the API server by verb, resource and status code; `none` if there was no response.";
        api_latency: Family<ApiLatencyLabels, Histogram, LatencyBuckets>,
            "postlink_api_request_duration_seconds",
            "Time until the response headers of the API server arrive.";
        instance_requests: Family<InstanceRequestLabels, Counter>, "postlink_instance_requests_total",
            "Requests to instances, to their sign-in service and to the discovery service, by outcome.";
        instance_latency: Family<InstanceLatencyLabels, Histogram, LatencyBuckets>,
            "postlink_instance_request_duration_seconds",
            "Time until the response of an instance is complete or the request fails.";
        instance_throttled: Family<HostLabels, Counter>, "postlink_instance_throttled_total",
            "Responses of an instance that throttle requests.";
        instance_wait: Family<HostLabels, SecondsGauge>, "postlink_instance_throttle_wait_seconds",
            "Remaining time of the Retry-After of an instance; 0 when it does not throttle.";

        links: Family<LinkLabels, Gauge>, "postlink_links",
            "PostLinks by connection, status and reason of Linked (DuplicatePost or PostChanged if the link is not that of the post), and reason of RecordAvailable.";
        rules: Family<RuleLabels, Gauge>, "postlink_rules",
            "AutomationRules by connection, and status and reason of Active.";
        rule_memory: Family<NamespaceLabels, Gauge>, "postlink_rule_filters_bytes",
            "Memory of the filters of the active AutomationRules of a namespace, at most 16 MiB; see NamespaceFull.";
        pending_creations: Gauge, "postlink_pending_creations",
            "Links whose social activity is being created or waits to be.";
        connection_state: Family<StateLabels, Gauge>, "postlink_connection_state",
            "Always 1; the labels have the state of a connection and the host of its instance.";
        connection_condition: Family<ConditionLabels, Gauge>,
            "postlink_connection_condition_timestamp_seconds",
            "Last transition time of a condition of a connection, in seconds since the Unix epoch.";
        connection_rules: Family<ConnectionLabels, Gauge>, "postlink_connection_active_rules",
            "Active rules in the status of a connection.";

        leader: Gauge, "postlink_leader", "1 if this process is the leader or runs without leader election, 0 if it is a standby.";
        lease_remaining: SecondsGauge, "postlink_lease_remaining_seconds",
            "Time for which this process is certain to stay leader; 0 without leader election.";
        stalled: Counter<f64, AtomicU64>, "postlink_stalled_seconds_total",
            "Time for which this process was not running (paused or starved of CPU), in seconds; 0 without leader election.";
        ready: Gauge, "postlink_ready", "1 if /readyz passes.";
        schema_differences: Gauge, "postlink_schema_differences",
            "Differences between the installed CRDs and those of this version, found at startup.";
        admission_policy_problems: Family<PolicyLabels, Gauge>, "postlink_admission_policy_problems",
            "1 if an admission policy has the problem, 0 if not; none before the first check.";
        overlapping_installs: Gauge, "postlink_overlapping_installs",
            "Other installations with a leader that watch a namespace of this one; -1 if Postlink is not permitted to look.";
        build_info: Family<BuildLabels, Gauge>, "postlink_build_info",
            "Always 1; the label has the version of this program.";
    }
}

type ScrapeHook = Arc<dyn Fn(&Metrics) + Send + Sync>;

/// The metrics; clones share them.
#[derive(Clone)]
pub struct Metrics(pub(super) Arc<Inner>);

pub(super) struct Inner {
    registry: FamilyRegistry,
    pub(super) families: Families,
    process: Process,
    scrape_hooks: Mutex<BTreeMap<&'static str, ScrapeHook>>,
    /// Serializes scrapes: gauges are cleared and set again for each.
    scrape: Mutex<()>,
    /// Operations and outcomes counted by host, to remove their series with the host.
    pub(super) hosts: Mutex<HashMap<String, HashSet<(&'static str, &'static str)>>>,
}

pub(super) fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl Metrics {
    /// The metrics of a process, all zero.
    #[allow(clippy::new_without_default)] // A process has one set; a default would make it easy to count into another.
    pub fn new() -> Self {
        let mut registry = FamilyRegistry::default();
        let process = Process::register(&mut registry);
        let families = Families::register(&mut registry);
        families.build_info.get_or_create(&BuildLabels { version: env!("CARGO_PKG_VERSION") }).set(1);
        // Series whose labels are known start at 0, so that the first failure is an increase.
        for result in ["success", "error", "dropped"] {
            let _ = families.events.get_or_create(&EventLabels { result });
        }
        Self(Arc::new(Inner {
            registry,
            families,
            process,
            scrape_hooks: Mutex::default(),
            scrape: Mutex::default(),
            hosts: Mutex::default(),
        }))
    }

    /// All metric families.
    pub fn families(&self) -> &[FamilyDescriptor] {
        &self.0.registry.descriptors
    }

    /// Runs `hook` before each scrape. It replaces an earlier hook of the same name.
    pub fn on_scrape(&self, name: &'static str, hook: impl Fn(&Metrics) + Send + Sync + 'static) {
        lock(&self.0.scrape_hooks).insert(name, Arc::new(hook));
    }

    /// All metrics in the `OpenMetrics` text format.
    pub fn encode(&self) -> String {
        let _serialized = lock(&self.0.scrape);
        let hooks: Vec<ScrapeHook> = lock(&self.0.scrape_hooks).values().cloned().collect();
        for hook in hooks {
            hook(self);
        }
        self.0.process.refresh();
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.0.registry.registry);
        text
    }

    /// Declares the kinds, so that their counters start at 0.
    pub fn kinds(&self, kinds: &[&'static str]) {
        for kind in kinds {
            let _ = self.0.families.watch_errors.get_or_create(&KindLabels { kind });
        }
    }

    /// An object was reconciled.
    pub fn reconciled(&self, kind: &'static str, result: &'static str, took: Duration) {
        let families = &self.0.families;
        families.reconciles.get_or_create(&ReconcileLabels { kind, result }).inc();
        families.work_duration.get_or_create(&WorkqueueLabels { name: kind }).observe(took.as_secs_f64());
    }

    /// An object left the work queue after `waited`.
    pub fn waited(&self, kind: &'static str, waited: Duration) {
        let labels = WorkqueueLabels { name: kind };
        self.0.families.queue_duration.get_or_create(&labels).observe(waited.as_secs_f64());
    }

    /// A condition was written with a different status or reason.
    pub fn transition(
        &self,
        kind: &'static str,
        condition: &'static str,
        status: &'static str,
        reason: &'static str,
    ) {
        let labels = TransitionLabels { kind, condition, status, reason };
        self.0.families.transitions.get_or_create(&labels).inc();
    }

    /// A write to an object ended.
    pub fn wrote(&self, kind: &'static str, field: &'static str, result: &'static str) {
        self.0.families.writes.get_or_create(&WriteLabels { kind, field, result }).inc();
    }

    /// An Event was written, failed or was dropped.
    pub fn event(&self, result: &'static str) {
        self.0.families.events.get_or_create(&EventLabels { result }).inc();
    }

    /// A watch failed.
    pub fn watch_failed(&self, kind: &'static str) {
        self.0.families.watch_errors.get_or_create(&KindLabels { kind }).inc();
    }

    /// A request to the API server ended; `code` is `None` without a response.
    pub fn api_request(&self, verb: &'static str, resource: &'static str, code: Option<u16>, took: Duration) {
        let code = code.map_or_else(|| "none".to_owned(), |code| code.to_string());
        let families = &self.0.families;
        families.api_requests.get_or_create(&ApiRequestLabels { verb, resource, code }).inc();
        families.api_latency.get_or_create(&ApiLatencyLabels { verb, resource }).observe(took.as_secs_f64());
    }

    /// The host as a label, and remembers its series. Hosts that nobody has scraped away are counted as `other`: a tenant
    /// that edits `instanceUrl` in a loop would otherwise fill the memory.
    fn host_label<'a>(&self, host: &'a str, series: Option<(&'static str, &'static str)>) -> &'a str {
        let mut hosts = lock(&self.0.hosts);
        let host = if hosts.len() < MAX_HOSTS || hosts.contains_key(host) { host } else { OTHER_HOSTS };
        hosts.entry(host.to_owned()).or_default().extend(series);
        host
    }

    /// A request to an instance, or to its sign-in or discovery service, ended.
    pub fn instance_request(
        &self,
        host: &str,
        operation: &'static str,
        outcome: &'static str,
        took: Duration,
    ) {
        let host = self.host_label(host, Some((operation, outcome)));
        let (families, host) = (&self.0.families, || host.to_owned());
        let labels = InstanceRequestLabels { host: host(), operation, outcome };
        families.instance_requests.get_or_create(&labels).inc();
        let labels = InstanceLatencyLabels { host: host(), operation };
        families.instance_latency.get_or_create(&labels).observe(took.as_secs_f64());
        let _ = families.instance_throttled.get_or_create(&HostLabels { host: host() });
    }

    /// An instance throttled a request.
    pub fn instance_throttled(&self, host: &str) {
        let host = self.host_label(host, None);
        self.0.families.instance_throttled.get_or_create(&HostLabels { host: host.to_owned() }).inc();
    }

    /// Whether this process is the leader, and for how long it is certain to stay so.
    pub fn set_leader(&self, leader: bool, remaining: Duration) {
        self.0.families.leader.set(i64::from(leader));
        self.0.families.lease_remaining.set(remaining.as_secs_f64());
    }

    /// For how long this process has stood still so far.
    pub fn set_stalled(&self, stalled: Duration) {
        self.0.families.stalled.inner().store(stalled.as_secs_f64().to_bits(), Ordering::Relaxed);
    }

    /// Whether `/readyz` passes.
    pub fn set_ready(&self, ready: bool) {
        self.0.families.ready.set(i64::from(ready));
    }

    /// Number of differences between the installed CRDs and those of this version.
    pub fn schema_differences(&self, count: usize) {
        self.0.families.schema_differences.set(number(count));
    }

    /// Whether an admission policy has a problem.
    pub fn admission_policy_problem(&self, policy: &'static str, problem: &'static str, is_found: bool) {
        let labels = PolicyLabels { policy, problem };
        self.0.families.admission_policy_problems.get_or_create(&labels).set(i64::from(is_found));
    }

    /// Number of other installations that watch a namespace of this one; `None` if that is not known.
    pub fn overlapping_installs(&self, count: Option<usize>) {
        self.0.families.overlapping_installs.set(count.map_or(-1, number));
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
