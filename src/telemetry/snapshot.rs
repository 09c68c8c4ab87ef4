//! The state of a controller at the moment of a scrape, as plain numbers and words. Gauges are set from it.

use super::families::label_sets;
use std::time::Duration;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Number of post links by labels.
    pub links: Vec<(LinkLabels, usize)>,
    pub connections: Vec<ConnectionSnapshot>,
    /// Number of automation rules by labels.
    pub rules: Vec<(RuleLabels, usize)>,
    /// Bytes of memory that the filters of rules take, by namespace.
    pub rule_memory: Vec<(String, usize)>,
    /// Objects in the index, by kind.
    pub objects: Vec<(&'static str, usize)>,
    /// Objects that cannot be decoded, by kind.
    pub undecodable: Vec<(&'static str, usize)>,
    pub queue: QueueSnapshot,
    /// Objects whose last reconcile failed and is retried with backoff.
    pub retrying: usize,
    /// Links whose social activity is being created or waits to be.
    pub creations: usize,
    /// Instances that throttle requests: the host, and the rest of its Retry-After.
    pub throttled: Vec<(String, Duration)>,
    /// Hosts that receive requests without being an instance.
    pub services: Vec<String>,
}

label_sets! {
    /// Labels of `postlink_links`.
    pub LinkLabels {
        namespace: String,
        /// The connection of the link, or the one it requests if that exists; otherwise empty.
        connection: String,
        /// The status of `Linked`; empty before the first decision.
        linked: &'static str,
        /// The reason of `Linked`.
        reason: &'static str,
        /// The reason of `RecordAvailable`; empty without a link.
        record: &'static str,
    }

    /// Labels of `postlink_rules`.
    pub RuleLabels {
        namespace: String,
        /// The connection the rules reference if it exists; otherwise empty.
        connection: String,
        /// The status of `Active`; empty before the first decision.
        active: &'static str,
        /// The reason of `Active`.
        reason: &'static str,
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionSnapshot {
    pub namespace: String,
    pub name: String,
    /// The host of its instance.
    pub host: String,
    /// Empty until the instance has been reached once.
    pub state: &'static str,
    /// Number of active rules in its status.
    pub active_rules: usize,
    pub conditions: Vec<ConditionSnapshot>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionSnapshot {
    pub type_: &'static str,
    pub status: &'static str,
    pub reason: &'static str,
    /// `lastTransitionTime`, in seconds since the Unix epoch.
    pub since: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueSnapshot {
    /// Objects waiting to be reconciled, by kind.
    pub due: Vec<(&'static str, usize)>,
    /// How long the oldest of them has waited; `None` when the queue is empty.
    pub oldest: Option<Duration>,
    /// Reconciles in progress: the kind, and how long each has been running.
    pub in_progress: Vec<(&'static str, Duration)>,
    /// Objects with a scheduled requeue.
    pub timers: usize,
    /// How long work has been due or in progress without a reconcile starting or finishing.
    pub stuck: Option<Duration>,
}

impl QueueSnapshot {
    /// How long the longest reconcile in progress has been running; `None` when there is none.
    pub fn longest_running(&self) -> Option<Duration> {
        self.in_progress.iter().map(|(_, age)| *age).max()
    }
}
