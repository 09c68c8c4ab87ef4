//! What one leader carries: many namespaces, each with a connection, a rule and posts. Ignored in a normal run;
//! `make bench` runs it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::bench::{mebibytes, number, number_from, resident};
use crate::bench_table::row;
use crate::cluster::{Cluster, Lease, quickstart_instance};
use crate::harness::users::User;
use crate::harness::waiting::eventually;
use crate::many_links::post_link;
use crate::operations::Page;
use crate::oracle::OURS;

/// Namespaces, unless the variable says otherwise.
const NAMESPACES: usize = 1_000;
const NAMESPACES_VARIABLE: &str = "POSTLINK_BENCH_NAMESPACES";

/// PostLinks in each.
const LINKS: usize = 10;

/// No Event is written for so long after the last.
const QUIET: Duration = Duration::from_secs(5);

/// Longest wait for all of them.
const AT_MOST: Duration = Duration::from_secs(900);

/// The controller starts and finds everything stored, as after a restore into a new cluster.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a test; run by `make bench`"]
async fn bench_namespaces() {
    let namespaces = number_from(NAMESPACES_VARIABLE).unwrap_or(NAMESPACES);
    let mut cluster = Cluster::installed(&quickstart_instance(), Lease::Elected);
    cluster.apply_quickstart(&["00-namespace", "secret", "connection", "rule"]);
    let templates = Templates::read(&cluster);
    for namespace in 0..namespaces {
        templates.store(&cluster, namespace).await;
    }

    let begin = Instant::now();
    cluster.start_controller();
    let metrics = cluster.metrics();
    let until = async |what: &str, series: &str, labels: &[(&str, &str)], count: usize| {
        eventually(what, AT_MOST, async || {
            tokio::time::sleep(Duration::from_millis(200)).await;
            (Page::of(&metrics).sum(series, labels) >= Some(number(count))).then_some(())
        })
        .await;
        begin.elapsed().as_secs_f64()
    };
    let enabled = [("state", "Enabled")];
    let connected = until("all connections", "postlink_connection_state", &enabled, namespaces).await;
    row(&format!("{namespaces} connections, one in each namespace"), "seconds until connected", &[connected]);
    let linked = [("linked", "True")];
    let all = until("all links", "postlink_links", &linked, namespaces * LINKS).await;
    row(&format!("{LINKS} links in each of {namespaces} namespaces"), "seconds until linked", &[all]);
    row(
        &format!("{LINKS} links in each of {namespaces} namespaces"),
        "a second",
        &[number(namespaces * LINKS) / all],
    );
    // Of so many at once some are dropped.
    let written = || Page::of(&metrics).sum("postlink_events_total", &[("result", "success")]);
    let (mut events, mut last) = (written(), begin.elapsed());
    while begin.elapsed() < last + QUIET {
        tokio::time::sleep(Duration::from_millis(200)).await;
        if written() != events {
            (events, last) = (written(), begin.elapsed());
        }
    }
    row("Events of them", "a second", &[events.unwrap_or_default() / last.as_secs_f64()]);
    let memory = mebibytes(resident(cluster.controller().id()));
    row(&format!("resident memory of the leader, {namespaces} namespaces"), "MiB", &[memory]);
    let used = || Page::of(&metrics).sum("process_cpu_seconds_total", &[]).unwrap_or_default();
    let (before, idle) = (used(), Instant::now());
    tokio::time::sleep(Duration::from_secs(60)).await;
    let share = (used() - before) / idle.elapsed().as_secs_f64() * 100.0;
    row(&format!("CPU time of the leader, {namespaces} namespaces, idle"), "% of one CPU", &[share]);
}

/// The objects of the quickstart as the API server stores them.
struct Templates {
    connection: Value,
    secret: Value,
    rule: Value,
}

impl Templates {
    fn read(cluster: &Cluster) -> Self {
        let get = |object: &str| {
            let object = ["get", object, "-n", "social", "-o", "json", "--show-managed-fields"];
            cluster.plane.kubectl(User::Admin, object).json()
        };
        Self {
            connection: get("dconn/northwind"),
            secret: get("secret/northwind"),
            rule: get("arule/baggage-complaints"),
        }
    }

    async fn store(&self, cluster: &Cluster, number: usize) {
        let gateway = cluster.plane.etcd().gateway();
        let namespace = format!("tenant-{number:05}");
        let uid = |kind: usize, one: usize| format!("{kind:08}-{one:04}-4000-8000-{number:012}");
        let put = async |key: String, object: Value| {
            gateway.put(&key, object.to_string().as_bytes()).await.unwrap();
        };
        let object = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": namespace, "uid": uid(0, 0), "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"},
        });
        put(format!("/registry/namespaces/{namespace}"), object).await;
        for (kind, prefix, template) in [
            (1, "/registry/secrets/".to_owned(), &self.secret),
            (2, format!("{OURS}dynamicsconnections/"), &self.connection),
            (3, format!("{OURS}automationrules/"), &self.rule),
        ] {
            let mut object = template.clone();
            let metadata = object["metadata"].as_object_mut().expect("it has metadata");
            metadata.remove("resourceVersion");
            metadata.insert("namespace".to_owned(), namespace.clone().into());
            metadata.insert("uid".to_owned(), uid(kind, 0).into());
            let name = metadata["name"].as_str().expect("it has a name").to_owned();
            put(format!("{prefix}{namespace}/{name}"), object).await;
        }
        for link in 0..LINKS {
            let mut object = post_link(link);
            let name = format!("post-{link}");
            object["metadata"]["name"] = name.clone().into();
            object["metadata"]["namespace"] = namespace.clone().into();
            object["metadata"]["uid"] = uid(4, link).into();
            put(format!("{OURS}postlinks/{namespace}/{name}"), object).await;
        }
    }
}
