//! A snapshot of the controller for metrics and health. It reads counts that are kept anyway and never iterates over
//! links.

use crate::{
    api::{ConditionType, ConnectionState, DynamicsConnection, Reason},
    controller::{
        context::{Context, Failures},
        index::Index,
        key::Kind,
        observe::sync::WatchSync,
        runtime::Runtime,
        undecodable::Undecodable,
        workqueue::WorkQueue,
    },
    telemetry::snapshot::{ConditionSnapshot, ConnectionSnapshot, QueueSnapshot, Snapshot},
};
use dataverse_client::{Cloud, Origin};
use kube::ResourceExt;

/// Reads the state of a controller; it outlives the controller.
#[derive(Clone)]
pub struct Observer {
    index: Index,
    queue: WorkQueue,
    runtime: Runtime,
    dataverse: dataverse_client::Client,
    sync: WatchSync,
    undecodable: Undecodable,
    failures: Failures,
}

impl Observer {
    pub fn of(context: &Context) -> Self {
        Self {
            index: context.index.clone(),
            queue: context.queue.clone(),
            runtime: context.runtime.clone(),
            dataverse: context.dataverse.clone(),
            sync: context.sync.clone(),
            undecodable: context.undecodable.clone(),
            failures: context.failures.clone(),
        }
    }

    pub fn queue(&self) -> QueueSnapshot {
        self.queue.snapshot()
    }

    pub fn not_listed(&self) -> Vec<&'static str> {
        Kind::ALL.into_iter().filter(|kind| !self.sync.is_listed(*kind)).map(Kind::as_str).collect()
    }

    pub fn snapshot(&self) -> Snapshot {
        let connections: Vec<ConnectionSnapshot> =
            self.index.connections().iter().map(|c| connection(c)).collect();
        let rules = self.index.rule_counts();
        let count = |kind| match kind {
            Kind::DynamicsConnection => connections.len(),
            Kind::AutomationRule => rules.iter().map(|(_, count)| count).sum(),
            Kind::PostLink => self.index.links(),
        };
        Snapshot {
            objects: Kind::ALL.map(|kind| (kind.as_str(), count(kind))).to_vec(),
            undecodable: Kind::ALL.map(|kind| (kind.as_str(), self.undecodable.count(kind))).to_vec(),
            links: self.index.link_counts(),
            connections,
            rules,
            rule_memory: self.index.rule_memory(),
            queue: self.queue.snapshot(),
            retrying: self.failures.len(),
            creations: self.runtime.creations(),
            throttled: self.dataverse.throttled_hosts(),
            services: Cloud::discovery_hosts().map(str::to_owned).collect(),
        }
    }
}

fn connection(connection: &DynamicsConnection) -> ConnectionSnapshot {
    let status = connection.status.as_ref();
    let conditions = status.map(|s| s.conditions.as_slice()).unwrap_or_default();
    // A forged status may hold unknown words; they must not become labels.
    let known = conditions.iter().filter_map(|condition| {
        Some(ConditionSnapshot {
            type_: ConditionType::parse(&condition.type_)?.as_str(),
            status: condition.status.as_str(),
            reason: Reason::parse(&condition.reason)?.as_str(),
            since: condition.last_transition_time.0.as_second(),
        })
    });
    ConnectionSnapshot {
        namespace: connection.namespace().unwrap_or_default(),
        name: connection.name_any(),
        host: Origin::parse(&connection.spec.instance_url).map(|o| o.host().to_owned()).unwrap_or_default(),
        state: status.and_then(|s| s.state).map(state_word).unwrap_or_default(),
        active_rules: status.map(|s| s.active_rules.len()).unwrap_or_default(),
        conditions: known.collect(),
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
