//! Sets the gauges from a snapshot before each scrape, so that none outlives what it describes.

use super::{
    metrics::{
        ConditionLabels, ConnectionLabels, HostLabels, InstanceLatencyLabels, InstanceRequestLabels,
        KindLabels, Metrics, NamespaceLabels, StateLabels, WorkqueueLabels, lock, number,
    },
    snapshot::{QueueSnapshot, Snapshot},
};
use std::{collections::HashSet, time::Duration};

impl Metrics {
    /// Sets the gauges from `now` and removes the series of what is not in it.
    pub fn set_gauges(&self, now: &Snapshot) {
        let families = &self.0.families;
        families.links.clear();
        for (labels, count) in &now.links {
            families.links.get_or_create(labels).set(number(*count));
        }
        families.rules.clear();
        for (labels, count) in &now.rules {
            families.rules.get_or_create(labels).set(number(*count));
        }
        families.rule_memory.clear();
        for (namespace, bytes) in &now.rule_memory {
            let labels = NamespaceLabels { namespace: namespace.clone() };
            families.rule_memory.get_or_create(&labels).set(number(*bytes));
        }
        for (family, counts) in [(&families.objects, &now.objects), (&families.undecodable, &now.undecodable)]
        {
            for (kind, count) in counts {
                family.get_or_create(&KindLabels { kind }).set(number(*count));
            }
        }
        families.retrying.set(number(now.retrying));
        families.pending_creations.set(number(now.creations));
        self.set_queue(&now.queue);
        self.set_connections(now);
        self.set_hosts(now);
    }

    fn set_queue(&self, queue: &QueueSnapshot) {
        let families = &self.0.families;
        for (name, depth) in &queue.due {
            let labels = WorkqueueLabels { name };
            let ages = || queue.in_progress.iter().filter(|(kind, _)| kind == name).map(|(_, age)| *age);
            let longest = ages().max().unwrap_or_default();
            families.depth.get_or_create(&labels).set(number(*depth));
            families.unfinished_work.get_or_create(&labels).set(ages().sum::<Duration>().as_secs_f64());
            families.longest_running.get_or_create(&labels).set(longest.as_secs_f64());
        }
        families.oldest_item.set(queue.oldest.unwrap_or_default().as_secs_f64());
        families.active_workers.set(number(queue.in_progress.len()));
        families.scheduled_requeues.set(number(queue.timers));
    }

    fn set_connections(&self, now: &Snapshot) {
        let families = &self.0.families;
        families.connection_state.clear();
        families.connection_condition.clear();
        families.connection_rules.clear();
        for one in &now.connections {
            let (namespace, connection) = (&one.namespace, &one.name);
            let labels = StateLabels {
                namespace: namespace.clone(),
                connection: connection.clone(),
                host: one.host.clone(),
                state: one.state,
            };
            families.connection_state.get_or_create(&labels).set(1);
            let labels = ConnectionLabels { namespace: namespace.clone(), connection: connection.clone() };
            families.connection_rules.get_or_create(&labels).set(number(one.active_rules));
            for condition in &one.conditions {
                let labels = ConditionLabels {
                    namespace: namespace.clone(),
                    connection: connection.clone(),
                    condition: condition.type_,
                    status: condition.status,
                    reason: condition.reason,
                };
                families.connection_condition.get_or_create(&labels).set(condition.since);
            }
        }
    }

    fn set_hosts(&self, now: &Snapshot) {
        let families = &self.0.families;
        let hosts = now.connections.iter().map(|c| &c.host).chain(&now.services);
        let known: HashSet<&str> = hosts.map(String::as_str).collect();
        lock(&self.0.hosts).retain(|host, series| {
            let stays = known.contains(host.as_str());
            if !stays {
                let host = || host.clone();
                for (operation, outcome) in series.iter() {
                    let labels = InstanceRequestLabels { host: host(), operation, outcome };
                    families.instance_requests.remove(&labels);
                    families.instance_latency.remove(&InstanceLatencyLabels { host: host(), operation });
                }
                families.instance_throttled.remove(&HostLabels { host: host() });
            }
            stays
        });
        families.instance_wait.clear();
        for one in &now.connections {
            let _ = families.instance_wait.get_or_create(&HostLabels { host: one.host.clone() });
        }
        for (host, wait) in &now.throttled {
            families.instance_wait.get_or_create(&HostLabels { host: host.clone() }).set(wait.as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::snapshot::{ConditionSnapshot, ConnectionSnapshot, LinkLabels};

    fn connection(name: &str, host: &str) -> ConnectionSnapshot {
        let ready = ConditionSnapshot { type_: "Ready", status: "True", reason: "Connected", since: 7 };
        ConnectionSnapshot {
            namespace: "n".to_owned(),
            name: name.to_owned(),
            host: host.to_owned(),
            state: "Enabled",
            active_rules: 2,
            conditions: vec![ready],
        }
    }

    #[test]
    fn series_of_what_left_the_snapshot_are_removed() {
        let metrics = Metrics::new();
        let labels = LinkLabels {
            namespace: "n".to_owned(),
            connection: "a".to_owned(),
            linked: "True",
            reason: "LinkedByHand",
            record: "RecordAvailable",
        };
        for host in ["a.example.com", "b.example.com", "directory.example.com"] {
            metrics.instance_request(host, "read", "success", Duration::from_millis(3));
            metrics.instance_throttled(host);
        }
        let mut now = Snapshot {
            links: vec![(labels, 3)],
            connections: vec![connection("a", "a.example.com"), connection("b", "b.example.com")],
            throttled: vec![("a.example.com".to_owned(), Duration::from_secs(30))],
            services: vec!["directory.example.com".to_owned()],
            ..Snapshot::default()
        };
        metrics.set_gauges(&now);
        let page = metrics.encode();
        for line in [
            r#"postlink_links{namespace="n",connection="a",linked="True",reason="LinkedByHand",record="RecordAvailable"} 3"#,
            r#"postlink_connection_state{namespace="n",connection="b",host="b.example.com",state="Enabled"} 1"#,
            r#"postlink_connection_active_rules{namespace="n",connection="a"} 2"#,
            r#"postlink_connection_condition_timestamp_seconds{namespace="n",connection="a",condition="Ready",status="True",reason="Connected"} 7"#,
            r#"postlink_instance_throttle_wait_seconds{host="a.example.com"} 30.0"#,
            r#"postlink_instance_throttle_wait_seconds{host="b.example.com"} 0.0"#,
            r#"postlink_instance_requests_total{host="b.example.com",operation="read",outcome="success"} 1"#,
            r#"postlink_instance_throttled_total{host="b.example.com"} 1"#,
        ] {
            assert!(page.contains(line), "{line}\n{page}");
        }

        now.links.clear();
        now.connections.pop();
        metrics.set_gauges(&now);
        let page = metrics.encode();
        assert!(!page.contains("postlink_links{") && !page.contains("b.example.com"), "{page}");
        assert!(page.contains(r#"postlink_instance_requests_total{host="a.example.com""#), "{page}");
        assert!(page.contains(r#"postlink_instance_requests_total{host="directory.example.com""#), "{page}");
    }

    #[test]
    fn hosts_beyond_the_limit_share_a_series() {
        let metrics = Metrics::new();
        for number in 0..1_100 {
            metrics.instance_request(&format!("h{number}.example.com"), "read", "success", Duration::ZERO);
            metrics.instance_throttled(&format!("h{number}.example.com"));
        }
        let page = metrics.encode();
        let other =
            r#"postlink_instance_requests_total{host="other",operation="read",outcome="success"} 100"#;
        assert!(page.contains(other) && !page.contains("h1050.example.com"));
    }

    #[test]
    fn scrape_hook_replaces_the_one_of_its_name() {
        let metrics = Metrics::new();
        metrics.on_scrape("lease", |metrics| metrics.set_leader(false, Duration::ZERO));
        metrics.on_scrape("lease", |metrics| metrics.set_leader(true, Duration::from_secs(9)));
        let page = metrics.encode();
        assert!(page.contains("\npostlink_leader 1\n"), "{page}");
        assert!(page.contains("\npostlink_lease_remaining_seconds 9.0\n"), "{page}");
        assert!(page.contains("# UNIT postlink_lease_remaining_seconds seconds\n"), "{page}");
    }

    #[test]
    fn workqueue_gauges_of_each_kind_return_to_zero() {
        let metrics = Metrics::new();
        let seconds = Duration::from_secs;
        let queue = QueueSnapshot {
            due: vec![("PostLink", 4), ("AutomationRule", 0)],
            oldest: Some(seconds(7)),
            in_progress: vec![("PostLink", seconds(2)), ("PostLink", seconds(5))],
            timers: 3,
            stuck: None,
        };
        metrics.set_gauges(&Snapshot { queue: queue.clone(), ..Snapshot::default() });
        let page = metrics.encode();
        for line in [
            "workqueue_depth{name=\"PostLink\"} 4",
            "workqueue_unfinished_work_seconds{name=\"PostLink\"} 7.0",
            "workqueue_longest_running_processor_seconds{name=\"PostLink\"} 5.0",
            "workqueue_longest_running_processor_seconds{name=\"AutomationRule\"} 0.0",
            "postlink_workqueue_oldest_item_age_seconds 7.0",
            "postlink_active_workers 2",
            "postlink_scheduled_requeues 3",
        ] {
            assert!(page.contains(&format!("\n{line}\n")), "{line}\n{page}");
        }
        let idle = QueueSnapshot { in_progress: Vec::new(), ..queue };
        metrics.set_gauges(&Snapshot { queue: idle, ..Snapshot::default() });
        let page = metrics.encode();
        for line in ["workqueue_unfinished_work_seconds", "workqueue_longest_running_processor_seconds"] {
            assert!(page.contains(&format!("\n{line}{{name=\"PostLink\"}} 0.0\n")), "{line}\n{page}");
        }
    }
}
