//! Gauges are set from a snapshot for each scrape, so that none outlives what it tells of.

use super::{
    Metrics,
    metrics::{
        ByHost, ByKind, ByOperation, ByOutcome, OfCondition, OfConnection, OfLinks, OfRules, OfState, lock,
        number,
    },
    snapshot::Snapshot,
};
use std::{collections::HashSet, time::Duration};

impl Metrics {
    /// Sets the gauges to how a controller stands now; what was there before and no longer is goes.
    pub fn show(&self, now: &Snapshot) {
        let inner = &*self.0;
        inner.links.clear();
        for (group, count) in &now.links {
            let labels = OfLinks {
                namespace: group.namespace.clone(),
                connection: group.connection.clone(),
                linked: group.linked,
                reason: group.reason,
                record: group.record,
            };
            inner.links.get_or_create(&labels).set(number(*count));
        }
        inner.rules.clear();
        for (group, count) in &now.rules {
            let (namespace, connection) = (group.namespace.clone(), group.connection.clone());
            let labels = OfRules { namespace, connection, active: group.active, reason: group.reason };
            inner.rules.get_or_create(&labels).set(number(*count));
        }
        self.show_connections(now);
        for (family, counts) in [
            (&inner.objects, &now.objects),
            (&inner.unreadable, &now.unreadable),
            (&inner.queue_depth, &now.queue.due),
        ] {
            for (kind, count) in counts {
                family.get_or_create(&ByKind { kind }).set(number(*count));
            }
        }
        let seconds = |duration: Option<Duration>| duration.unwrap_or_default().as_secs_f64();
        inner.queue_oldest.set(seconds(now.queue.oldest));
        inner.queue_running.set(number(now.queue.running));
        inner.queue_longest.set(seconds(now.queue.longest));
        inner.queue_timers.set(number(now.queue.timers));
        inner.retrying.set(number(now.retrying));
        inner.creations.set(number(now.creations));
        self.show_hosts(now);
    }

    fn show_connections(&self, now: &Snapshot) {
        let inner = &*self.0;
        inner.connection_state.clear();
        inner.connection_condition.clear();
        inner.connection_rules.clear();
        for one in &now.connections {
            let (namespace, connection) = (&one.namespace, &one.name);
            let labels = OfState {
                namespace: namespace.clone(),
                connection: connection.clone(),
                host: one.host.clone(),
                state: one.state,
            };
            inner.connection_state.get_or_create(&labels).set(1);
            let labels = OfConnection { namespace: namespace.clone(), connection: connection.clone() };
            inner.connection_rules.get_or_create(&labels).set(number(one.active_rules));
            for condition in &one.conditions {
                let labels = OfCondition {
                    namespace: namespace.clone(),
                    connection: connection.clone(),
                    condition: condition.type_,
                    status: condition.status,
                    reason: condition.reason,
                };
                inner.connection_condition.get_or_create(&labels).set(condition.since);
            }
        }
    }

    fn show_hosts(&self, now: &Snapshot) {
        let inner = &*self.0;
        let known: HashSet<&str> = now
            .connections
            .iter()
            .map(|c| c.host.as_str())
            .chain(now.services.iter().map(String::as_str))
            .collect();
        lock(&inner.hosts).retain(|host, series| {
            let stays = known.contains(host.as_str());
            if !stays {
                for (operation, outcome) in series.iter() {
                    inner.instance_requests.remove(&ByOutcome { host: host.clone(), operation, outcome });
                    inner.instance_latency.remove(&ByOperation { host: host.clone(), operation });
                }
                inner.instance_throttled.remove(&ByHost { host: host.clone() });
            }
            stays
        });
        inner.instance_wait.clear();
        for one in &now.connections {
            let _ = inner.instance_wait.get_or_create(&ByHost { host: one.host.clone() });
        }
        for (host, wait) in &now.throttled {
            inner.instance_wait.get_or_create(&ByHost { host: host.clone() }).set(wait.as_secs_f64());
        }
    }
}
