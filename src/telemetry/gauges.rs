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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::snapshot::{ConditionNow, ConnectionNow, LinkGroup};

    fn connection(name: &str, host: &str) -> ConnectionNow {
        let ready = ConditionNow { type_: "Ready", status: "True", reason: "Connected", since: 7 };
        ConnectionNow {
            namespace: "n".to_owned(),
            name: name.to_owned(),
            host: host.to_owned(),
            state: "Enabled",
            active_rules: 2,
            conditions: vec![ready],
        }
    }

    #[test]
    fn what_is_gone_from_a_snapshot_is_gone_from_the_page() {
        let metrics = Metrics::new();
        let group = LinkGroup {
            namespace: "n".to_owned(),
            connection: "a".to_owned(),
            linked: "True",
            reason: "LinkedByHand",
            record: "RecordAvailable",
        };
        for host in ["a.example.com", "b.example.com", "directory.example.com"] {
            metrics.instance_request(host, "read", "ok", Duration::from_millis(3));
            metrics.instance_throttled(host);
        }
        let mut now = Snapshot {
            links: vec![(group, 3)],
            connections: vec![connection("a", "a.example.com"), connection("b", "b.example.com")],
            throttled: vec![("a.example.com".to_owned(), Duration::from_secs(30))],
            services: vec!["directory.example.com".to_owned()],
            ..Snapshot::default()
        };
        metrics.show(&now);
        let page = metrics.page();
        for line in [
            r#"postlink_links{namespace="n",connection="a",linked="True",reason="LinkedByHand",record="RecordAvailable"} 3"#,
            r#"postlink_connection_state{namespace="n",connection="b",host="b.example.com",state="Enabled"} 1"#,
            r#"postlink_connection_active_rules{namespace="n",connection="a"} 2"#,
            r#"postlink_connection_condition_timestamp_seconds{namespace="n",connection="a",condition="Ready",status="True",reason="Connected"} 7"#,
            r#"postlink_instance_throttle_wait_seconds{host="a.example.com"} 30.0"#,
            r#"postlink_instance_throttle_wait_seconds{host="b.example.com"} 0.0"#,
            r#"postlink_instance_requests_total{host="b.example.com",operation="read",outcome="ok"} 1"#,
            r#"postlink_instance_throttled_total{host="b.example.com"} 1"#,
        ] {
            assert!(page.contains(line), "{line}\n{page}");
        }

        now.links.clear();
        now.connections.pop();
        metrics.show(&now);
        let page = metrics.page();
        assert!(!page.contains("postlink_links{") && !page.contains("b.example.com"), "{page}");
        assert!(page.contains(r#"postlink_instance_requests_total{host="a.example.com""#), "{page}");
        assert!(page.contains(r#"postlink_instance_requests_total{host="directory.example.com""#), "{page}");
    }

    #[test]
    fn what_is_told_anew_for_each_page_is_told_once() {
        let metrics = Metrics::new();
        metrics.refresh("lease", |metrics| metrics.leads(false, Duration::ZERO));
        metrics.refresh("lease", |metrics| metrics.leads(true, Duration::from_secs(9)));
        let page = metrics.page();
        assert!(page.contains("\npostlink_leader 1\n"), "{page}");
        assert!(page.contains("\npostlink_lease_remaining_seconds 9.0\n"), "{page}");
        assert!(page.contains("# UNIT postlink_lease_remaining_seconds seconds\n"), "{page}");
    }
}
