//! How a controller stands, for metrics and health. Looks at what the parts keep anyway; walks no list of links.

use super::{
    Shell,
    index::Index,
    instances::Instances,
    progress::Progress,
    queue::{Key, Kind, Queue},
    unreadable::Unreadable,
};
use crate::{
    api::{ConditionStatus, ConditionType, ConnectionState, DynamicsConnection, Reason},
    telemetry::snapshot::{ConditionNow, ConnectionNow, QueueNow, Snapshot},
};
use dataverse_client::{Cloud, Origin};
use kube::ResourceExt;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// What can be read off a controller; it lives on when the controller has ended.
#[derive(Clone)]
pub struct Readings {
    index: Index,
    queue: Queue,
    instances: Instances,
    progress: Progress,
    unreadable: Unreadable,
    backoff: Arc<Mutex<HashMap<Key, u32>>>,
}

impl Readings {
    pub(super) fn of(shell: &Shell) -> Self {
        Self {
            index: shell.index.clone(),
            queue: shell.queue.clone(),
            instances: shell.instances.clone(),
            progress: shell.progress.clone(),
            unreadable: shell.unreadable.clone(),
            backoff: shell.backoff.clone(),
        }
    }

    /// How the queue stands.
    pub fn queue(&self) -> QueueNow {
        self.queue.now()
    }

    /// The kinds that have not been listed yet.
    pub fn not_listed(&self) -> Vec<&'static str> {
        Kind::ALL.into_iter().filter(|kind| !self.progress.is_listed(*kind)).map(Kind::as_str).collect()
    }

    /// Everything.
    pub fn snapshot(&self) -> Snapshot {
        let connections: Vec<ConnectionNow> =
            self.index.connections().iter().map(|c| connection(c)).collect();
        let rules = self.index.rule_groups();
        let count = |kind| match kind {
            Kind::Connection => connections.len(),
            Kind::Rule => rules.iter().map(|(_, count)| count).sum(),
            Kind::Link => self.index.links(),
        };
        Snapshot {
            objects: Kind::ALL.map(|kind| (kind.as_str(), count(kind))).to_vec(),
            unreadable: Kind::ALL.map(|kind| (kind.as_str(), self.unreadable.count(kind))).to_vec(),
            links: self.index.link_groups(),
            connections,
            rules,
            queue: self.queue.now(),
            retrying: self.backoff.lock().unwrap_or_else(PoisonError::into_inner).len(),
            creations: self.instances.creations(),
            throttled: self.instances.throttled(),
            services: Cloud::discovery_hosts().map(str::to_owned).collect(),
        }
    }
}

fn connection(connection: &DynamicsConnection) -> ConnectionNow {
    let status = connection.status.as_ref();
    let conditions = status.map(|s| s.conditions.as_slice()).unwrap_or_default();
    // A word that is not one of ours stands in a forged status, and does not become a label.
    let known = conditions.iter().filter_map(|condition| {
        Some(ConditionNow {
            type_: ConditionType::parse(&condition.type_)?.as_str(),
            status: status_word(condition.status),
            reason: Reason::parse(&condition.reason)?.as_str(),
            since: condition.last_transition_time.0.as_second(),
        })
    });
    ConnectionNow {
        namespace: connection.namespace().unwrap_or_default(),
        name: connection.name_any(),
        host: Origin::parse(&connection.spec.instance_url).map(|o| o.host().to_owned()).unwrap_or_default(),
        state: status.and_then(|s| s.state).map(state_word).unwrap_or_default(),
        active_rules: status.map(|s| s.active_rules.len()).unwrap_or_default(),
        conditions: known.collect(),
    }
}

/// The word of a condition's status.
pub(super) fn status_word(status: ConditionStatus) -> &'static str {
    match status {
        ConditionStatus::True => "True",
        ConditionStatus::False => "False",
        ConditionStatus::Unknown => "Unknown",
    }
}

fn state_word(state: ConnectionState) -> &'static str {
    match state {
        ConnectionState::Enabled => "Enabled",
        ConnectionState::Disabled => "Disabled",
        ConnectionState::Downtime => "Downtime",
        ConnectionState::Expired => "Expired",
    }
}
