//! Statuses that the controller writes a second, compared with a bare client on the same objects. Ignored in a normal
//! run; `make bench` runs it.

use std::time::Duration;

use futures::future::join;
use kube::Api;
use kube::api::{Patch, PatchParams};
use postlink::api::DynamicsConnection;
use serde_json::{Value, json};

use crate::bench::{RUNS, number, sizes};
use crate::bench_table::row;
use crate::cluster::NAMESPACE;
use crate::harness::bare_loop::{bare_update_loop, first_objects};
use crate::harness::users::User;
use crate::many_links::{FanOut, ManyLinks};
use crate::neighbors::{QUIET, SAMPLES, seconds_to_link};

/// Concurrency of the bare loop: the controller's default and values around it; the best counts.
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
    let mut flips = Vec::new();
    for run in 0..RUNS {
        flips.push(many.flip(run % 2 == 1).await);
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

/// The best rate of the bare loop: as the same user, with a status of the same length.
async fn bare(many: &ManyLinks) -> f64 {
    let client = many.cluster.plane.client(User::Controller).await;
    let collection = format!("/apis/postlink.dev/v1alpha1/namespaces/{NAMESPACE}/postlinks");
    let one: Value = many.cluster.get("plink/post-000000");
    let mut rates = Vec::new();
    for concurrency in CONCURRENCIES {
        for run in 0..RUNS {
            let mut status = one["status"].clone();
            for condition in status["conditions"].as_array_mut().into_iter().flatten() {
                let message = condition["message"].as_str().unwrap_or_default().to_owned();
                condition["message"] = format!("{concurrency} {run} {message}").into();
            }
            let objects = first_objects(&client, &collection, many.links.min(BARE)).await.unwrap();
            let rate = bare_update_loop(&client, &collection, &objects, concurrency, |_| status.clone());
            rates.push(rate.await.unwrap().per_second());
        }
    }
    row(&format!("bare status updates of {} links", many.links.min(BARE)), "a second", &rates);
    rates.into_iter().fold(0.0, f64::max)
}
