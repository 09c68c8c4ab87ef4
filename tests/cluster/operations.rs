//! Metrics, health checks and logs of a real run: every declared metric is exported with the right value, health names
//! its checks, a standby is ready and takes over, and logs identify objects without quoting posts.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use postlink::telemetry::Metrics;
use serde_json::{Value, json};

use crate::cluster::{Cluster, LONG_LEASE, Lease, NAMESPACE, SOON, quickstart_instance};
use crate::harness::pod::Pod;
use crate::harness::users::User;
use crate::harness::waiting::wait_for;
use crate::story::{CANARY, STEPS};

/// Text from the posts of the quickstart, which must not leak.
const OF_POSTS: [&str; 4] = ["ines_in_transit", "Ines R.", "without my suitcase", "social.example"];

/// An HTTP response.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

/// Sends one request.
fn ask(address: &str, method: &str, path: &str) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_lowercase(), body: body.to_owned() }
}

/// The parsed response of `/metrics`.
#[derive(Debug, Default)]
pub struct Page {
    /// Type by family.
    types: BTreeMap<String, String>,
    /// Name, labels and value of each sample.
    samples: Vec<(String, BTreeMap<String, String>, f64)>,
}

impl Page {
    pub fn of(address: &str) -> Self {
        let answer = ask(address, "GET", "/metrics");
        assert_eq!(answer.status, 200);
        assert!(
            answer.head.contains("content-type: application/openmetrics-text; version=1.0.0"),
            "{}",
            answer.head
        );
        assert!(answer.body.ends_with("# EOF\n"));
        let mut page = Self::default();
        for line in answer.body.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, type_) = rest.split_once(' ').unwrap();
                page.types.insert(name.to_owned(), type_.to_owned());
            } else if !line.starts_with('#') {
                page.samples.push(sample(line));
            }
        }
        page
    }

    /// The sum of the samples of that name that have those labels; `None` when there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let has = |found: &BTreeMap<String, String>| {
            labels.iter().all(|(label, value)| found.get(*label).is_some_and(|found| found == value))
        };
        let values: Vec<f64> =
            self.samples.iter().filter(|(n, l, _)| n == name && has(l)).map(|(_, _, value)| *value).collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }
}

fn sample(line: &str) -> (String, BTreeMap<String, String>, f64) {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let Some((name, rest)) = series.split_once('{') else {
        return (series.to_owned(), BTreeMap::new(), value.parse().unwrap());
    };
    // No label value of ours has a quote or a comma.
    let pairs = rest.trim_end_matches('}').split(',').map(|pair| {
        let (label, value) = pair.split_once('=').unwrap();
        (label.to_owned(), value.trim_matches('"').to_owned())
    });
    (name.to_owned(), pairs.collect(), value.parse().unwrap())
}

/// The page has exactly the declared families, with the declared labels.
fn assert_families_as_declared(page: &Page) {
    let metrics = Metrics::new();
    let mut known = BTreeSet::new();
    for family in metrics.families() {
        let shown =
            if family.type_ == "counter" { family.name.trim_end_matches("_total") } else { &family.name };
        assert_eq!(page.types.get(shown).map(String::as_str), Some(family.type_), "{}", family.name);
        known.insert(shown.to_owned());
        let names: Vec<String> = match family.type_ {
            "histogram" => ["_bucket", "_sum", "_count"].map(|end| format!("{}{end}", family.name)).to_vec(),
            _ => vec![family.name.clone()],
        };
        let samples: Vec<_> = page.samples.iter().filter(|(name, ..)| names.contains(name)).collect();
        assert!(!samples.is_empty(), "{} has no sample", family.name);
        for (name, labels, _) in samples {
            let found: BTreeSet<&str> = labels.keys().map(String::as_str).filter(|l| *l != "le").collect();
            let declared: BTreeSet<&str> = family.labels.iter().copied().collect();
            assert_eq!(found, declared, "{name}");
        }
    }
    let stray: Vec<_> = page.types.keys().filter(|name| !known.contains(*name)).collect();
    assert!(stray.is_empty(), "on the page and not declared: {stray:?}");
}

/// The addresses of health and metrics of a pod, by the ports of the Deployment.
fn pages(pod: &mut Pod) -> (String, String) {
    for what in ["serving /livez and /readyz on", "serving /metrics on"] {
        pod.process.wait_for_log(SOON, |line| line.contains(what));
    }
    (pod.address("health"), pod.address("metrics"))
}

/// The quickstart's cluster with the controller running and more values of the chart.
fn stage_with(values: &Value) -> Cluster {
    let mut cluster = Cluster::installed_with(&quickstart_instance(), &[], values);
    cluster.start_controller();
    cluster
}

/// Waits until the metrics satisfy a condition.
fn until(what: &str, metrics: &str, wanted: impl Fn(&Page) -> bool) -> Page {
    wait_for(what, SOON, || Some(Page::of(metrics)).filter(&wanted))
}

/// Every line is a flat JSON object; a line about an object has its full identity; none quotes a post or a credential.
fn assert_log_is_sound(log: &str) {
    let mut about = 0;
    for line in log.lines() {
        let fields: BTreeMap<String, Value> =
            serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        for field in ["timestamp", "level", "target", "message"] {
            assert!(fields.get(field).is_some_and(Value::is_string), "no {field}: {line}");
        }
        let flat = fields.values().all(|value| !value.is_object() && !value.is_array());
        assert!(flat, "not flat: {line}");
        if fields.contains_key("name") || fields.contains_key("uid") {
            about += 1;
            for field in ["kind", "namespace", "name", "uid"] {
                assert!(
                    fields.get(field).is_some_and(|v| v.as_str().is_some_and(|v| !v.is_empty())),
                    "no {field}: {line}"
                );
            }
        }
    }
    assert!(about > 10, "hardly a line is about an object:\n{log}");
    for canary in OF_POSTS.iter().chain(&[CANARY]) {
        assert!(!log.contains(canary), "{canary:?} is in the log");
    }
}

#[test]
fn metrics_health_and_logs_of_a_run() {
    let level = json!({"name": "POSTLINK_LOG", "value": "info,kube=warn,hyper=warn,postlink=debug"});
    let mut cluster = stage_with(&json!({"extraEnv": [level]}));
    let (health, metrics) = pages(cluster.leader());

    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let (address, path) = cluster.leader().probe(probe);
        assert_eq!(ask(&address, "GET", &path).status, 200, "{probe}");
    }

    for path in ["/livez", "/readyz"] {
        let answer = ask(&health, "GET", path);
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok"), "{path}");
        assert!(answer.head.contains("content-type: text/plain; charset=utf-8"), "{}", answer.head);
        let head = ask(&health, "HEAD", path);
        assert_eq!((head.status, head.body.as_str()), (200, ""));
        assert!(head.head.contains("content-length: 2"), "{}", head.head);
        let refused = ask(&health, "POST", path);
        assert_eq!(refused.status, 405);
        assert!(refused.head.contains("allow: get, head"), "{}", refused.head);
    }
    assert_eq!(ask(&health, "GET", "/metrics").status, 404, "each address serves its own pages");
    assert_eq!(ask(&metrics, "GET", "/readyz").status, 404);
    assert_eq!(ask(&metrics, "POST", "/").status, 404);
    let verbose = ask(&health, "GET", "/readyz?verbose").body;
    assert_eq!(
        verbose,
        "[+]process ok: active\n[+]informer-sync ok: all kinds are listed\nreadyz check passed\n"
    );
    let verbose = ask(&health, "GET", "/livez?verbose").body;
    assert!(verbose.contains("[+]workqueue ok") && verbose.contains("[+]leader-election ok"), "{verbose}");

    // True numbers.
    (STEPS[0].act)(&cluster);
    (STEPS[0].ends)(&cluster);
    let links = |page: &Page, labels: &[(&str, &str)]| page.sum("postlink_links", labels);
    let page = until("the links to be counted", &metrics, |page| {
        let by_rule = [
            ("connection", "northwind"),
            ("linked", "True"),
            ("reason", "LinkedByRule"),
            ("record", "RecordAvailable"),
        ];
        let by_hand = [
            ("connection", "northwind"),
            ("linked", "True"),
            ("reason", "LinkedByHand"),
            ("record", "RecordAvailable"),
        ];
        let rest = [("connection", ""), ("linked", "False"), ("reason", "NotRequested"), ("record", "")];
        links(page, &by_rule) == Some(2.0)
            && links(page, &by_hand) == Some(1.0)
            && links(page, &rest) == Some(4.0)
            && links(page, &[]) == Some(7.0)
    });
    let northwind = [("namespace", NAMESPACE), ("connection", "northwind")];
    let one = |name: &str, labels: &[(&str, &str)]| {
        assert_eq!(page.sum(name, labels), Some(1.0), "{name} {labels:?}");
    };
    one("postlink_leader", &[]);
    one("postlink_ready", &[]);
    one(
        "postlink_connection_state",
        &[northwind[0], northwind[1], ("state", "Enabled"), ("host", "northwind.crm.dynamics.com")],
    );
    one("postlink_connection_active_rules", &northwind);
    one("postlink_rules", &[northwind[0], northwind[1], ("active", "True"), ("reason", "Reserved")]);
    one(
        "postlink_condition_transitions_total",
        &[("kind", "AutomationRule"), ("condition", "Active"), ("reason", "Reserved")],
    );
    assert_eq!(page.sum("postlink_index_objects", &[("kind", "PostLink")]), Some(7.0));
    assert_eq!(page.sum("postlink_schema_differences", &[]), Some(0.0));
    assert_eq!(page.sum("postlink_undecodable_objects", &[]), Some(0.0));
    let created = [("host", "northwind.crm.dynamics.com"), ("operation", "create"), ("outcome", "success")];
    assert_eq!(page.sum("postlink_instance_requests_total", &created), Some(3.0));
    let statuses = [("kind", "PostLink"), ("field", "status"), ("result", "success")];
    assert!(page.sum("postlink_writes_total", &statuses) >= Some(7.0));
    let updated = [("verb", "update"), ("resource", "postlinks/status"), ("code", "200")];
    assert!(page.sum("postlink_api_requests_total", &updated) >= Some(7.0));
    assert!(page.sum("process_resident_memory_bytes", &[]) > Some(1e6));
    assert!(
        page.sum("postlink_lease_remaining_seconds", &[])
            .is_some_and(|left| left > 0.0 && left <= f64::from(LONG_LEASE) * 2.0 / 3.0)
    );
    assert_families_as_declared(&page);

    // A tool disables what a rule uses: the condition and its time are there for the alert.
    (STEPS[2].act)(&cluster);
    (STEPS[2].ends)(&cluster);
    let held = [
        northwind[0],
        northwind[1],
        ("condition", "DisableRefused"),
        ("status", "True"),
        ("reason", "UsedByActiveRules"),
    ];
    let page = until("DisableRefused to be exported", &metrics, |page| {
        page.sum("postlink_connection_condition_timestamp_seconds", &held).is_some()
    });
    let since = page.sum("postlink_connection_condition_timestamp_seconds", &held).unwrap();
    let now = page.sum("process_start_time_seconds", &[]).unwrap();
    assert!((since - now).abs() < 3600.0, "{since} is a recent time");

    // No text of a post is a label.
    let text = ask(&metrics, "GET", "/metrics").body;
    for canary in OF_POSTS.iter().chain(&[CANARY, "suitcase", "baggage-complaints"]) {
        assert!(!text.contains(canary), "{canary:?} is on the page");
    }
    // The series of a deleted connection and of its host are removed.
    for step in [3, 4, 5] {
        (STEPS[step].act)(&cluster);
        (STEPS[step].ends)(&cluster);
    }
    until("the connection to be gone", &metrics, |page| {
        let host = [("host", "northwind.crm.dynamics.com")];
        page.sum("postlink_connection_state", &northwind).is_none()
            && page.sum("postlink_instance_requests_total", &host).is_none()
    });
    cluster.controller_kept_within_its_rights();
    assert_log_is_sound(&cluster.kill_controller());
}

#[test]
fn ready_standby_takes_over_when_the_leader_stops() {
    let mut cluster = stage_with(&json!({}));
    let mut standby = cluster.pod();
    let (health, metrics) = pages(&mut standby);
    let report = wait_for("the standby to have read the lease", SOON, || {
        let answer = ask(&health, "GET", "/readyz?verbose");
        (answer.status == 200).then_some(answer.body)
    });
    assert!(report.contains("[+]process ok: standby: waiting for the lease"), "{report}");
    assert_eq!(ask(&health, "GET", "/livez").status, 200);
    let page = Page::of(&metrics);
    assert_eq!(page.sum("postlink_leader", &[]), Some(0.0));
    assert_eq!(page.sum("postlink_ready", &[]), Some(1.0));
    assert_eq!(page.sum("postlink_index_objects", &[]), None, "the index of a standby is empty");

    assert!(cluster.controller().terminate(SOON).success());
    let page = until("the standby to lead", &metrics, |page| {
        page.sum("postlink_leader", &[]) == Some(1.0) && page.sum("postlink_ready", &[]) == Some(1.0)
    });
    assert_eq!(page.sum("postlink_index_objects", &[("kind", "PostLink")]), Some(0.0));
    assert!(standby.process.terminate(SOON).success());
}

#[test]
fn a_process_without_an_api_server_lives_on() {
    let mut cluster = Cluster::quickstart(Lease::None);
    let (health, metrics) = pages(cluster.leader());
    (STEPS[0].act)(&cluster);
    (STEPS[0].ends)(&cluster);
    cluster.expect_refusals();
    cluster.plane.kill_apiserver();
    let failing = |page: &Page| {
        page.sum("postlink_watch_errors_total", &[]) >= Some(3.0)
            && page.sum("postlink_api_requests_total", &[("code", "none")]).is_some()
    };
    until("the watches to fail", &metrics, failing);
    let answer = ask(&health, "GET", "/livez?verbose");
    assert_eq!(answer.status, 200, "a restart would not help: {}", answer.body);
    assert_eq!(ask(&health, "GET", "/readyz").status, 200);
    cluster.plane.restart_apiserver();
    let late =
        ["annotate", "-n", NAMESPACE, "dconn", "northwind", "postlink.dev/reconcile-requested-at=again"];
    let before = Page::of(&metrics).sum("postlink_writes_total", &[("result", "ok")]);
    cluster.plane.kubectl(User::Alice, late).ok();
    until("it to be handled", &metrics, |page| {
        page.sum("postlink_writes_total", &[("result", "success")]) > before
    });
}
