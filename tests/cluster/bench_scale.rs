//! Start, memory and takeover with many linked PostLinks, generated straight into etcd. Ignored in a normal run;
//! `make bench` runs it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use http::Request;
use kube::Client;
use kube::core::ListMeta;
use postlink::api::PostLink;
use postlink::domain::post_link::PostIdentity;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::bench::{RUNS, mebibytes, number, resident, sizes};
use crate::bench_table::row;
use crate::cluster::{NAMESPACE, SOON, is_ready};
use crate::harness::pod::Pod;
use crate::harness::process::memory;
use crate::harness::users::User;
use crate::harness::waiting::wait_for;
use crate::many_links::{ManyLinks, post_link, stored};
use crate::operations::Page;

/// Longest wait for a start or a takeover.
const AT_MOST: Duration = Duration::from_secs(3_600);

/// From this number of links on, everything is measured once, nothing is deleted, and the API server has no watch cache:
/// with it, it would need ten times the 3.7 GB that it takes for 100,000.
const HUGE: usize = 1_000_000;

/// Page size of the list that a start is compared with: that of client-go.
const PAGE: usize = 500;

/// Time from the start of the process until all objects are in its index ÷ a bare list of them; memory of the process
/// then, and after all are deleted; time until a standby has taken over from a leader that was killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a test; run by `make bench`"]
async fn bench_scale() {
    for links in sizes() {
        measure(links).await;
    }
}

async fn measure(links: usize) {
    let huge = links >= HUGE;
    let runs = if huge { 1 } else { RUNS };
    let (apiserver, values) = if huge {
        (&["--watch-cache=false"][..], json!({"resources": {"limits": {"memory": "1000Mi"}}}))
    } else {
        (&[][..], json!({}))
    };
    let mut many = ManyLinks::start_with(1, apiserver, &values);
    many.link_all().await;
    // Nothing is asked of the instance, which knows one activity only, and no status changes.
    many.flip(false).await;
    let get = ["get", "plink/post-000000", "-n", NAMESPACE, "-o", "json", "--show-managed-fields"];
    let template: Value = many.cluster.plane.kubectl(User::Alice, get).json();
    let empty = resident(many.cluster.controller().id());
    many.cluster.stop_controller();
    if huge {
        // Its garbage collector would keep the metadata of all objects in memory.
        many.cluster.plane.kill_controller_manager();
    }
    store(&many, &template, links).await;
    many.links = links;

    let client = many.cluster.plane.client(User::Admin).await;
    let mut lists = Vec::new();
    for _ in 0..runs {
        lists.push(bare_list(&client).await.as_secs_f64());
    }
    row(&format!("bare list of {links} links, pages of {PAGE}"), "seconds", &lists);
    lists.sort_by(f64::total_cmp);
    let list = lists[runs / 2];

    let begin_of_starts = many.now().await;
    let (mut starts, mut leader) = (Vec::new(), Memory::default());
    for run in 0..runs {
        if run > 0 {
            many.cluster.stop_controller();
        }
        let begin = Instant::now();
        many.cluster.begin_controller();
        many.cluster.controller().wait_for_log(AT_MOST, is_ready);
        starts.push(begin.elapsed().as_secs_f64());
        settle(many.cluster.leader());
        leader.read(many.cluster.controller().id(), empty, links);
    }
    assert_eq!(many.writes(begin_of_starts..u64::MAX), BTreeMap::new(), "a start writes nothing");
    row(&format!("from start to ready, {links} links"), "seconds", &starts);
    let ratios: Vec<f64> = starts.iter().map(|start| start / list).collect();
    row(&format!("from start to ready, {links} links"), "÷ median of the bare list", &ratios);
    row(&format!("resident memory of the leader, {links} links"), "MiB", &leader.now);
    row(&format!("its peak, {links} links"), "MiB", &leader.peak);
    row(&format!("each of {links} links, buffers included"), "bytes", &leader.per_link);

    let duration = many.cluster.lease()["leaseDurationSeconds"].as_u64().unwrap_or_default();
    let lease = Duration::from_secs(duration).as_secs_f64();
    let (mut leads, mut readies) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let mut standby = many.cluster.pod();
        standby.process.wait_for_log(AT_MOST, |line| line.contains("waiting for the lease"));
        let begin = Instant::now();
        many.cluster.kill_controller();
        standby.process.wait_for_log(AT_MOST, |line| line.contains("became the leader"));
        leads.push(begin.elapsed().as_secs_f64() - lease);
        standby.process.wait_for_log(AT_MOST, is_ready);
        readies.push(begin.elapsed().as_secs_f64() - lease);
        settle(&standby);
        many.cluster.replace_controller(standby);
    }
    row(&format!("a standby leads after a kill, {links} links"), "seconds beyond the lease", &leads);
    row(&format!("and has listed all of {links} links"), "seconds beyond the lease", &readies);
    let plane = &many.cluster.plane;
    let size = usize::try_from(plane.database_size()).expect("a size that fits");
    row(&format!("etcd's database, {links} links"), "MiB", &[mebibytes(size)]);
    for (what, process) in [("etcd", &plane.etcd().process), ("the API server", plane.apiserver())] {
        let peak = memory(process.id(), "VmHWM:");
        row(&format!("peak memory of {what}, {links} links"), "MiB", &[mebibytes(peak)]);
    }
    if huge {
        return;
    }

    let gateway = many.cluster.plane.etcd().gateway();
    stream::iter(0..links)
        .map(|number| {
            let gateway = gateway.clone();
            async move { gateway.delete(&stored(number)).await }
        })
        .buffer_unordered(16)
        .try_collect::<Vec<_>>()
        .await
        .unwrap();
    let metrics = many.cluster.metrics();
    wait_for("all to be gone", AT_MOST, || {
        (Page::of(&metrics).sum("postlink_index_objects", &[("kind", "PostLink")]) == Some(0.0)).then_some(())
    });
    let mut memory = Memory::default();
    for _ in 0..RUNS {
        tokio::time::sleep(Duration::from_secs(5)).await;
        memory.read(many.cluster.controller().id(), empty, links);
    }
    row(&format!("resident memory after {links} links were deleted"), "MiB", &memory.now);
    row("of an installation without links", "MiB", &[mebibytes(empty)]);
}

/// Memory of the leader in each run.
#[derive(Default)]
struct Memory {
    now: Vec<f64>,
    peak: Vec<f64>,
    per_link: Vec<f64>,
}

impl Memory {
    fn read(&mut self, pid: u32, empty: usize, links: usize) {
        let now = resident(pid);
        self.now.push(mebibytes(now));
        self.peak.push(mebibytes(memory(pid, "VmHWM:")));
        self.per_link.push(number(now.saturating_sub(empty)) / number(links));
    }
}

/// Waits until nothing is queued.
fn settle(pod: &Pod) {
    let metrics = pod.address("metrics");
    wait_for("the queue to be empty", SOON, || {
        (Page::of(&metrics).sum("workqueue_depth", &[]) == Some(0.0)).then_some(())
    });
}

/// Stores PostLinks 1 to `links` with the status of the first.
async fn store(many: &ManyLinks, template: &Value, links: usize) {
    let organization: Uuid =
        serde_json::from_value(template["status"]["link"]["organizationId"].clone()).unwrap();
    let object = |number| {
        let mut object = post_link(number);
        object["metadata"]["managedFields"] = template["metadata"]["managedFields"].clone();
        object["status"] = template["status"].clone();
        let post: PostLink = serde_json::from_value(object.clone()).unwrap();
        let activity = PostIdentity::of(&post.spec.post).activity_id(organization, NAMESPACE, 1);
        object["status"]["link"]["socialActivityId"] = activity.to_string().into();
        let record = &mut object["status"]["link"]["record"];
        let id = format!("00000000-0000-4000-9000-{number:012x}");
        let url = record["url"].as_str().unwrap().replace(record["id"].as_str().unwrap(), &id);
        (record["id"], record["url"]) = (id.into(), url.into());
        object
    };
    many.store(1..links, object).await;
}

/// Lists all PostLinks in pages, reads the answers and decodes nothing but the token of the next page.
async fn bare_list(client: &Client) -> Duration {
    #[derive(serde::Deserialize)]
    struct Page {
        metadata: ListMeta,
    }
    let begin = Instant::now();
    let mut token = String::new();
    loop {
        let path = format!("/apis/postlink.dev/v1alpha1/postlinks?limit={PAGE}&continue={token}");
        let request = Request::get(path).body(Vec::new()).unwrap();
        let text = client.request_text(request).await.unwrap();
        let page: Page = serde_json::from_str(&text).unwrap();
        match page.metadata.continue_ {
            Some(next) if !next.is_empty() => token = next,
            _ => return begin.elapsed(),
        }
    }
}
