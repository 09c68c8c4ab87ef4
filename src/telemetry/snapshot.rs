//! How things stand at the moment of a scrape, as plain numbers and words: what gauges are set from.

use std::time::Duration;

/// How a controller stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Post links by what they have in common.
    pub links: Vec<(LinkGroup, usize)>,
    /// The connections.
    pub connections: Vec<ConnectionNow>,
    /// Rules by what they have in common.
    pub rules: Vec<(RuleGroup, usize)>,
    /// Objects in the index, by kind.
    pub objects: Vec<(&'static str, usize)>,
    /// Objects that cannot be read, by kind.
    pub unreadable: Vec<(&'static str, usize)>,
    /// The queue.
    pub queue: QueueNow,
    /// Objects whose last look failed and is tried again.
    pub retrying: usize,
    /// Links whose activity is being created or waits for its turn.
    pub creations: usize,
    /// Instances that asked to be left alone: host, and for how much longer.
    pub throttled: Vec<(String, Duration)>,
    /// Hosts that are not an instance's and are asked all the same.
    pub services: Vec<String>,
}

/// What a number of post links have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkGroup {
    /// Their namespace.
    pub namespace: String,
    /// The connection they go through, or the one they ask for if it exists; else empty.
    pub connection: String,
    /// The status of `Linked`; empty before the first decision.
    pub linked: &'static str,
    /// Its reason.
    pub reason: &'static str,
    /// The reason of `RecordAvailable`; empty without a link.
    pub record: &'static str,
}

/// What a number of rules have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleGroup {
    /// Their namespace.
    pub namespace: String,
    /// The connection they name, if it exists; else empty.
    pub connection: String,
    /// The status of `Active`; empty before the first decision.
    pub active: &'static str,
    /// Its reason.
    pub reason: &'static str,
}

/// One connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionNow {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The host of its instance.
    pub host: String,
    /// Its state; empty before the instance has been reached for the first time.
    pub state: &'static str,
    /// How many active rules it lists.
    pub active_rules: usize,
    /// Its conditions.
    pub conditions: Vec<ConditionNow>,
}

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionNow {
    /// Its type.
    pub type_: &'static str,
    /// Its status.
    pub status: &'static str,
    /// Its reason.
    pub reason: &'static str,
    /// When its status last changed, in seconds since the epoch.
    pub since: i64,
}

/// The due queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueNow {
    /// Objects that are due, by kind.
    pub due: Vec<(&'static str, usize)>,
    /// How long the one due for longest has waited; `None` when none is.
    pub oldest: Option<Duration>,
    /// Objects being looked at.
    pub running: usize,
    /// For how long the longest of these looks has gone on.
    pub longest: Option<Duration>,
    /// Objects that are due later.
    pub timers: usize,
    /// For how long something has been due or under way and no look has begun or ended.
    pub stuck: Option<Duration>,
}
