//! Measurements on the real control plane. Ignored in a normal run; `make bench` runs them alone, one at a
//! time, with optimization, and prints what they print.

use std::fs;

use jiff::Timestamp;
use postlink::api::PostLink;
use postlink::controller::index::{Index, Source, entry::link_spec_hash};
use serde_json::{Value, json};

use crate::cluster::NAMESPACE;
use crate::control_plane::install_parcels;
use crate::harness::ControlPlane;
use crate::harness::patch_loop::{Rate, bare_patch_loop};
use crate::harness::users::User;
use crate::many_links::{ManyLinks, post_link};

/// The default number of objects to patch.
const OBJECTS: usize = 2_000;

/// Overrides the number of objects.
const OBJECTS_VARIABLE: &str = "POSTLINK_BENCH_OBJECTS";

/// Overrides the number of links of a measurement.
pub const LINKS_VARIABLE: &str = "POSTLINK_BENCH_LINKS";

/// The number in an environment variable, if it is set.
pub fn number_from(variable: &str) -> Option<usize> {
    let number = std::env::var(variable).ok()?;
    Some(number.parse().unwrap_or_else(|error| panic!("{variable}: {error}")))
}

/// Status writes per second of a bare client on this machine's API server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a test; run by `make bench`"]
async fn bench_bare_patch_loop() {
    let objects = number_from(OBJECTS_VARIABLE).unwrap_or(OBJECTS);
    let plane = ControlPlane::start();
    install_parcels(&plane);
    let namespace = plane.namespace("bench");
    let gateway = plane.etcd().gateway();
    for number in 0..objects {
        // The size of a PostLink with a post of some length.
        let object = json!({
            "apiVersion": "tests.postlink.dev/v1",
            "kind": "Parcel",
            "metadata": {
                "name": format!("parcel-{number}"), "namespace": namespace, "generation": 1,
                "uid": format!("00000000-0000-4000-8000-{number:012}"),
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "annotations": {"tests.postlink.dev/padding": "x".repeat(1_500)},
            },
            "spec": {"weight": 1},
        });
        let key = format!("/registry/tests.postlink.dev/parcels/{namespace}/parcel-{number}");
        gateway.put(&key, object.to_string().as_bytes()).await.unwrap();
    }
    let paths: Vec<_> = (0..objects)
        .map(|number| format!("/apis/tests.postlink.dev/v1/namespaces/{namespace}/parcels/parcel-{number}"))
        .collect();
    let client = plane.client(User::Admin).await;
    println!("bare status patches, {objects} objects");
    println!("{:>12} {:>10} {:>10}", "concurrency", "seconds", "per second");
    for (round, concurrency) in [1, 4, 16, 64, 128].into_iter().enumerate() {
        let status = |_| json!({"place": format!("round {round}"), "observedGeneration": 1});
        let rate = bare_patch_loop(&client, &paths, concurrency, status).await.unwrap();
        println!("{concurrency:>12} {:>10.2} {:>10.0}", rate.elapsed.as_secs_f64(), rate.per_second());
    }
}

/// Concurrency of the loop that a fan-out is compared with: the controller's default and values around it; the best
/// counts.
const CONCURRENCIES: [usize; 3] = [16, 32, 64];

/// Links of the fan-outs measured.
const FAN_OUTS: [usize; 2] = [1_000, 10_000];

/// Link statuses per second after a connection changes ÷ the bare loop on the same objects of the same server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a test; run by `make bench`"]
async fn bench_fan_out() {
    println!(
        "{:>8} {:>24} {:>8} {:>8} {:>7}  writes per link",
        "links", "what", "seconds", "links/s", "÷ bare"
    );
    for links in FAN_OUTS {
        let mut many = ManyLinks::start(links);
        let before = resident(many.cluster.controller().id());
        let mut rows = vec![("created in the instance", many.link_all().await)];
        rows.push(("flip: disabled", many.flip(false).await));
        rows.push(("flip: enabled", many.flip(true).await));
        rows.push(("flip: disabled again", many.flip(false).await));
        let process = resident(many.cluster.controller().id()).saturating_sub(before) / links;
        let end = many.now().await;
        many.cluster.kill_controller();
        let bare = bare(&many).await;
        for (number, (what, fan_out)) in rows.iter().enumerate() {
            let until = rows.get(number + 1).map_or(end, |(_, next)| next.since);
            let writes = many.writes(fan_out.since..until);
            let (seconds, rate) = (fan_out.seconds, fan_out.per_second());
            let ratio = rate / bare.per_second();
            println!("{links:>8} {what:>24} {seconds:>8.2} {rate:>8.0} {ratio:>7.2}  {writes:?}");
        }
        let (seconds, rate) = (bare.elapsed.as_secs_f64(), bare.per_second());
        println!("{links:>8} {:>24} {seconds:>8.2} {rate:>8.0} {:>7.2}", "bare patch loop", 1.0);
        println!(
            "{links:>8} links: the controller's process grew by {process} bytes per link, buffers and all"
        );
    }
}

/// The best rate of the bare loop on the links of `many`, with conditions of the same length.
async fn bare(many: &ManyLinks) -> Rate {
    let client = many.cluster.plane.client(User::Admin).await;
    let collection = format!("/apis/postlink.dev/v1alpha1/namespaces/{NAMESPACE}/postlinks");
    let paths: Vec<_> = (0..many.links).map(|number| format!("{collection}/post-{number:06}")).collect();
    let one: Value = many.cluster.get("plink/post-000000");
    let mut best: Option<Rate> = None;
    for concurrency in CONCURRENCIES {
        let mut conditions = one["status"]["conditions"].clone();
        for condition in conditions.as_array_mut().into_iter().flatten() {
            let message = condition["message"].as_str().unwrap_or_default().to_owned();
            condition["message"] = format!("{concurrency} {message}").into();
        }
        let status = |_| json!({"conditions": conditions.clone()});
        let rate = bare_patch_loop(&client, &paths, concurrency, status).await.unwrap();
        if best.is_none_or(|best| rate.per_second() > best.per_second()) {
            best = Some(rate);
        }
    }
    best.expect("there is a concurrency to try")
}

/// Memory of one PostLink in the controller's index: linked, with a record, as most are.
#[test]
#[ignore = "a measurement, not a test; run by `make bench`"]
fn bench_bytes_per_postlink() {
    const LINKS: usize = 100_000;
    let (index, now) = (Index::default(), Timestamp::UNIX_EPOCH);
    // The first one includes the allocator's own needs.
    index.apply_link(&linked_post(LINKS), Source::Watch, now);
    let own = std::process::id();
    let before = resident(own);
    for number in 0..LINKS {
        index.apply_link(&linked_post(number), Source::Watch, now);
    }
    let bytes = (resident(own) - before) / LINKS;
    println!("{bytes} bytes per PostLink in the index ({LINKS} of them)");
}

pub fn linked_post(number: usize) -> PostLink {
    let mut object = post_link(number);
    object["metadata"]["resourceVersion"] = (number + 1).to_string().into();
    let id = |kind: u32| format!("{kind:08x}-0000-5000-8000-{number:012x}");
    let condition = |type_: &str, reason: &str| {
        json!({
            "type": type_, "status": "True", "reason": reason, "message": "The record can be read in the instance.",
            "lastTransitionTime": "2026-01-01T00:00:07Z", "observedGeneration": 1,
        })
    };
    object["status"] = json!({
        "observedGeneration": 1,
        "conditions": [
            condition("Ready", "LinkedByHand"), condition("Linked", "LinkedByHand"),
            condition("RecordAvailable", "RecordAvailable"),
        ],
        "link": {
            "connection": {"name": "northwind", "uid": "4b7a3d5e-60d9-4ea5-9a30-2fd7c0a6a001"},
            "organizationId": "2e94c0b7-5a1f-4d83-b6c2-71f0e8d9a345",
            "socialActivityId": id(1),
            "record": {
                "type": "incident", "id": id(2),
                "url": format!("https://northwind.crm.dynamics.com/main.aspx?etn=incident&id={}&pagetype=entityrecord", id(2)),
            },
            "linkedAt": "2026-01-01T00:00:05Z",
            "linkedBy": "Hand",
        },
        "intent": {"attempt": 1},
    });
    let mut link: PostLink = serde_json::from_value(object).expect("a literal of ours has the right shape");
    // As the controller writes it.
    let asked = link_spec_hash(link.spec.link.as_ref().expect("it asks for a link"));
    let hash = format!("{:032x}", u128::from_be_bytes(asked));
    if let Some(intent) = link.status.as_mut().and_then(|status| status.intent.as_mut()) {
        intent.hash = Some(hash);
    }
    link
}

/// Memory of rules in the controller's index: typical ones, and the largest that one namespace can have
/// evaluated.
#[test]
#[ignore = "a measurement, not a test; run by `make bench`"]
fn bench_memory_of_rules() {
    let (words, long) = (["late", "lost luggage", "refund*", "#delayed", "rude staff"], "漢字".repeat(126));
    let typical = |number: usize| {
        (0..15).map(|k| format!("{} {number} {k}", words[k % 5].trim_end_matches('*'))).collect()
    };
    let largest = |number: usize| (0..64).map(|k| format!("{long}{:02}{k:02}", number % 100)).collect();
    println!("{:>8} {:>10} {:>12} {:>12} {:>12}", "rules", "", "text", "bytes", "÷ text");
    for (what, count) in [("typical", 10_000), ("largest", 250), ("largest", 1_000)] {
        let (index, own) = (Index::default(), std::process::id());
        let before = resident(own);
        let mut text = 0;
        for number in 0..count {
            let keywords: Vec<String> = if what == "typical" { typical(number) } else { largest(number) };
            text += keywords.iter().map(String::len).sum::<usize>();
            let rule = json!({
                "apiVersion": "postlink.dev/v1alpha1", "kind": "AutomationRule",
                "metadata": {
                    "name": format!("rule-{number:06}"), "namespace": NAMESPACE, "generation": 1,
                    "uid": format!("00000000-0000-4000-8000-{number:012}"), "resourceVersion": (number + 1).to_string(),
                    "creationTimestamp": "2026-01-01T00:00:00Z",
                },
                "spec": {"connectionRef": {"name": "northwind"}, "match": {"keywords": keywords}},
            });
            index.apply_rule(serde_json::from_value(rule).expect("a rule"), Source::Watch);
        }
        let bytes = resident(own).saturating_sub(before);
        let ratio = f64::from(u32::try_from(bytes).unwrap_or(u32::MAX))
            / f64::from(u32::try_from(text).unwrap_or(u32::MAX));
        println!("{count:>8} {what:>10} {text:>12} {bytes:>12} {ratio:>12.2}");
    }
}

/// Links of the installations whose memory is measured.
const INSTALLATIONS: [usize; 3] = [1_000, 10_000, 100_000];

/// Memory of the controller's process: after all links were created, after the connection was disabled and enabled, and
/// after a restart, which lists them. A memory limit must allow the peak.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a test; run by `make bench`"]
async fn bench_memory() {
    println!("{:>8} {:>24} {:>12} {:>12}", "links", "what", "MiB", "at most");
    for links in INSTALLATIONS {
        let mut many = ManyLinks::start(links);
        let report = |what: &str, pid: u32| {
            let mebibytes = |bytes: usize| bytes >> 20;
            let (now, most) = (mebibytes(resident(pid)), mebibytes(memory(pid, "VmHWM:")));
            println!("{links:>8} {what:>24} {now:>12} {most:>12}");
        };
        report("nothing to do yet", many.cluster.controller().id());
        many.link_all().await;
        report("all links made", many.cluster.controller().id());
        many.flip(false).await;
        many.flip(true).await;
        report("disabled and enabled", many.cluster.controller().id());
        many.cluster.kill_controller();
        many.cluster.start_controller();
        report("restarted", many.cluster.controller().id());
    }
}

/// Resident memory of a process, in bytes.
pub fn resident(pid: u32) -> usize {
    memory(pid, "VmRSS:")
}

/// A line of `/proc/PID/status`, in bytes.
pub fn memory(pid: u32, line: &str) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("Linux says how a process is");
    let line = status.lines().find_map(|found| found.strip_prefix(line)).expect("it has this line");
    let kilobytes: usize = line.trim().trim_end_matches(" kB").trim().parse().expect("a number of kB");
    kilobytes * 1024
}
