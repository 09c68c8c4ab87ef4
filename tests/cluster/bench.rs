//! Memory of the index, and what all measurements share. Ignored in a normal run; `make bench` runs them alone, one at a
//! time, with optimization, and prints their table.

use std::fs;

use jiff::Timestamp;
use postlink::api::PostLink;
use postlink::controller::index::{Index, Source, entry::link_spec_hash};
use serde_json::json;

use crate::bench_table::row;
use crate::cluster::NAMESPACE;
use crate::harness::process::memory;
use crate::many_links::post_link;

/// Overrides the number of links of a measurement.
const LINKS_VARIABLE: &str = "POSTLINK_BENCH_LINKS";

/// Runs of each measurement.
pub const RUNS: usize = 3;

/// Numbers of links that are measured, unless the variable names another one.
pub fn sizes() -> Vec<usize> {
    number_from(LINKS_VARIABLE).map_or(vec![1_000, 10_000, 100_000], |size| vec![size])
}

/// The number in an environment variable, if it is set.
pub fn number_from(variable: &str) -> Option<usize> {
    let number = std::env::var(variable).ok()?;
    Some(number.parse().unwrap_or_else(|error| panic!("{variable}: {error}")))
}

/// Memory of one PostLink in the controller's index: linked, with a record, as most are.
#[test]
#[ignore = "a measurement, not a test; run by `make bench`"]
fn bench_bytes_per_postlink() {
    const LINKS: usize = 100_000;
    let now = Timestamp::UNIX_EPOCH;
    let own = std::process::id();
    let runs: Vec<f64> = (0..RUNS)
        .map(|_| {
            let index = Index::default();
            // The first one includes the allocator's own needs.
            index.apply_link(&linked_post(LINKS), Source::Watch, now);
            let before = resident(own);
            for number in 0..LINKS {
                index.apply_link(&linked_post(number), Source::Watch, now);
            }
            let bytes = number(resident(own) - before) / number(LINKS);
            // Memory of the next run must not be that of this one.
            std::mem::forget(index);
            bytes
        })
        .collect();
    row("a PostLink in the index", "bytes", &runs);
}

/// A count as a value of a row.
pub fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).expect("a count or a size of less than 4 GiB"))
}

pub fn mebibytes(bytes: usize) -> f64 {
    number(bytes >> 10) / f64::from(1 << 10)
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
    for (what, count) in [("typical", 10_000), ("largest", 250), ("largest", 1_000)] {
        let (mut in_memory, mut ratios) = (Vec::new(), Vec::new());
        for _ in 0..RUNS {
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
            let bytes = number(resident(own).saturating_sub(before));
            in_memory.push(bytes / f64::from(1 << 20));
            ratios.push(bytes / number(text));
            std::mem::forget(index);
        }
        row(&format!("{count} {what} active rules"), "MiB", &in_memory);
        row(&format!("{count} {what} active rules"), "÷ their text", &ratios);
    }
}

/// Resident memory of a process, in bytes.
pub fn resident(pid: u32) -> usize {
    memory(pid, "VmRSS:")
}

/// CPU time that a process has used, in seconds.
pub fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("Linux says how a process is");
    let (_, fields) = stat.rsplit_once(')').expect("the name of the program ends with a parenthesis");
    let ticks =
        |n: usize| fields.split_whitespace().nth(n).and_then(|t| t.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}
