//! Statuses that the controller writes a second, compared with a bare client on the same objects. Ignored in a normal
//! run; `make bench` runs it.

use std::time::Duration;

use futures::future::join;
use kube::Api;
use kube::api::{Patch, PatchParams};
use postlink::api::DynamicsConnection;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::bench::{RUNS, cpu_seconds, number, sizes};
use crate::bench_table::row;
use crate::cluster::NAMESPACE;
use crate::harness::bare_loop::{bare_update_loop, drain_watch, first_objects};
use crate::harness::users::User;
use crate::many_links::{FanOut, ManyLinks};
use crate::neighbors::{QUIET, SAMPLES, seconds_to_link};

/// Concurrency of the bare loop: the controller's default and values around it; the best median counts.
const CONCURRENCIES: [usize; 3] = [16, 32, 64];

/// The most objects that the bare loop updates, to limit its time.
const BARE: usize = 10_000;

/// Enabled and disabled this often in a row, with this pause.
const FLAPS: usize = 10;
const FLAP: Duration = Duration::from_millis(200);

/// Link statuses a second ÷ the bare loop on the same objects of the same server; writes per link; and how long a link
/// takes in another namespace meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a test; run by `make bench`"]
async fn bench_fan_out() {
    for links in sizes() {
        measure(links).await;
    }
}

async fn measure(links: usize) {
    let mut many = ManyLinks::start(links);
    many.cluster.apply_quickstart_in(QUIET, &["00-namespace", "secret", "connection"]);
    let client = many.cluster.plane.client(User::Admin).await;
    let mut created = Vec::new();
    for run in 0..RUNS {
        // New links in as many parts.
        created.push(many.link(links * run / RUNS..links * (run + 1) / RUNS).await);
    }
    let made = many.now().await;
    let (apiserver, controller) = (many.cluster.plane.apiserver().id(), many.cluster.controller().id());
    let (mut flips, mut costs) = (Vec::new(), [Vec::new(), Vec::new()]);
    for run in 0..RUNS {
        let before = [apiserver, controller].map(cpu_seconds);
        flips.push(many.flip(run % 2 == 1).await);
        for ((process, before), costs) in [apiserver, controller].into_iter().zip(before).zip(&mut costs) {
            costs.push((cpu_seconds(process) - before) * 1e6 / number(links));
        }
    }
    let flipped = many.now().await;
    let (_, beside) = join(many.flip(true), seconds_to_link(&client, 0, SAMPLES)).await;
    row(&format!("a link of a quiet namespace while {links} change"), "seconds", &beside);
    let before_flaps = many.now().await;
    flap(&many).await;
    let end = many.now().await;
    many.cluster.kill_controller();
    let bare = bare(&many).await;

    let ratios = |fan_outs: &[FanOut]| -> Vec<f64> {
        fan_outs.iter().map(|fan_out| fan_out.per_second() / bare).collect()
    };
    let rates: Vec<f64> = flips.iter().map(FanOut::per_second).collect();
    row(&format!("statuses of {links} links"), "a second", &rates);
    row(&format!("statuses of {links} links"), "÷ bare loop of status updates", &ratios(&flips));
    row(&format!("statuses of {links} links"), "CPU µs of the API server each", &costs[0]);
    row(&format!("statuses of {links} links"), "CPU µs of the controller each", &costs[1]);
    // Fewer are created as fast as they arrive.
    if links >= 3_000 * RUNS {
        let rates: Vec<f64> = created.iter().map(FanOut::per_second).collect();
        row(&format!("{links} new links"), "a second", &rates);
        let what = format!("{links} new links, with the requests to the instance");
        row(&what, "÷ bare loop of status updates", &ratios(&created));
    }
    let writes = |revisions| -> Vec<f64> {
        let of_links = many.writes(revisions);
        of_links.into_iter().flat_map(|(writes, links)| std::iter::repeat_n(number(writes), links)).collect()
    };
    // The first write is that of the test.
    let new: Vec<f64> = writes(created[0].since..made).into_iter().map(|writes| writes - 1.0).collect();
    row(&format!("{links} new links"), "writes per link", &new);
    row(
        &format!("{links} links, disabled, enabled, disabled"),
        "writes per link",
        &writes(flips[0].since..flipped),
    );
    row(
        &format!("{links} links, {FLAPS} changes in {FLAP:?} each"),
        "writes per link",
        &writes(before_flaps..end),
    );
}

/// Disables and enables the connection again and again, and waits until no link is written any more.
async fn flap(many: &ManyLinks) {
    let connections: Api<DynamicsConnection> =
        Api::namespaced(many.cluster.plane.client(User::Alice).await, NAMESPACE);
    for number in 0..FLAPS {
        let patch = Patch::Merge(json!({"spec": {"enabled": number % 2 == 1}}));
        connections.patch("northwind", &PatchParams::default(), &patch).await.unwrap();
        tokio::time::sleep(FLAP).await;
    }
    many.until_idle().await;
}

/// The rate of the bare loop, with the concurrency that is best for it: as the same user, with a status of the same length, and
/// with a watch.
async fn bare(many: &ManyLinks) -> f64 {
    let client = many.cluster.plane.client(User::Controller).await;
    let collection = format!("/apis/postlink.dev/v1alpha1/namespaces/{NAMESPACE}/postlinks");
    let one: Value = many.cluster.get("plink/post-000000");
    let count = many.links.min(BARE);
    let apiserver = many.cluster.plane.apiserver().id();
    let (mut all, mut costs, mut best) = (Vec::new(), Vec::new(), 0.0_f64);
    let mut watch = JoinSet::new();
    watch.spawn(drain_watch(client.clone(), collection.clone()));
    for concurrency in CONCURRENCIES {
        let mut rates = Vec::new();
        for run in 0..RUNS {
            let mut status = one["status"].clone();
            for condition in status["conditions"].as_array_mut().into_iter().flatten() {
                let message = condition["message"].as_str().unwrap_or_default().to_owned();
                condition["message"] = format!("{concurrency} {run} {message}").into();
            }
            let objects = first_objects(&client, &collection, count).await.unwrap();
            let before = cpu_seconds(apiserver);
            let rate = bare_update_loop(&client, &collection, &objects, concurrency, |_| status.clone());
            rates.push(rate.await.unwrap().per_second());
            costs.push((cpu_seconds(apiserver) - before) * 1e6 / number(objects.len()));
        }
        rates.sort_by(f64::total_cmp);
        best = best.max(rates[RUNS / 2]);
        all.extend(rates);
    }
    assert!(watch.try_join_next().is_none(), "the watch ended");
    row(&format!("bare status updates of {count} links, {CONCURRENCIES:?} at a time"), "a second", &all);
    row(&format!("bare status updates of {count} links"), "CPU µs of the API server each", &costs);
    best
}
