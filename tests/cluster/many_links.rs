//! A thousand links through one connection: each is written once when the connection is enabled or disabled, or its
//! instance goes down or comes back.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use postlink::api::DynamicsConnection;
use serde_json::{Value, json};

use crate::cluster::{Cluster, NAMESPACE, SOON, is_write, quickstart_instance};
use crate::harness::users::User;
use crate::harness::waiting::{eventually, wait_for};
use crate::operations::Page;
use crate::oracle::{self, OURS};
use crate::story::CANARY;

/// Longest wait for one fan-out, whatever its size.
const AT_MOST: Duration = Duration::from_secs(900);

/// Poll interval during a fan-out.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// A new link is created after this delay (§5).
const SETTLE: Duration = Duration::from_secs(5);

/// A cluster with many links through the quickstart's connection.
pub struct ManyLinks {
    pub cluster: Cluster,
    pub links: usize,
}

/// The result of one fan-out.
#[derive(Debug, Clone, Copy)]
pub struct FanOut {
    pub links: usize,
    pub seconds: f64,
    /// The revision before its first write.
    pub since: u64,
    /// The time before its first write.
    pub begun: Timestamp,
}

impl FanOut {
    pub fn per_second(&self) -> f64 {
        f64::from(u32::try_from(self.links).expect("not that many links")) / self.seconds
    }
}

/// A post of typical length with a link by hand, as the API server stores it.
pub fn post_link(number: usize) -> Value {
    let name = format!("post-{number:06}");
    json!({
        "apiVersion": "postlink.dev/v1alpha1",
        "kind": "PostLink",
        "metadata": {
            "name": name, "namespace": NAMESPACE, "generation": 1,
            "uid": format!("00000000-0000-4000-8000-{number:012}"),
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {
            "post": {
                "url": format!("https://social.example/microblog/{name}"), "id": name,
                "source": "Microblog", "type": "Post", "language": "en", "sentiment": "Negative", "reach": 12,
                "author": {"name": "Ines R.", "handle": "@ines_in_transit"},
                "publishedAt": "2025-12-18T07:41:00Z", "location": "Ireland", "contributor": "Audience",
                "content": "Day four without my suitcase. The tracking page has said \"arriving shortly\" since \
                    Monday and the hotline hangs up after forty minutes of music.",
                "intentions": ["Complaint"],
            },
            "link": {"connectionRef": {"name": "northwind"}, "recordType": "incident"},
        },
        "status": {"observedGeneration": -1},
    })
}

/// Its key in etcd.
pub fn stored(number: usize) -> String {
    format!("{}post-{number:06}", prefix())
}

fn prefix() -> String {
    format!("{OURS}postlinks/{NAMESPACE}/")
}

impl ManyLinks {
    /// Starts a cluster with the quickstart's connection, ready for `links` links.
    pub fn start(links: usize) -> Self {
        Self::start_with(links, &[], &json!({}))
    }

    /// The same with further flags of kube-apiserver and values of the chart.
    pub fn start_with(links: usize, apiserver: &[&str], values: &Value) -> Self {
        let mut cluster = Cluster::prepared_with(&quickstart_instance(), apiserver);
        cluster.install_with(&[], values);
        cluster.start_controller();
        cluster.apply_quickstart(&["00-namespace", "secret", "connection"]);
        cluster.wait("condition=Ready", &["dconn/northwind"]);
        Self { cluster, links }
    }

    /// Stores an object for each number, past the API server.
    pub async fn store(&self, numbers: Range<usize>, object: impl Fn(usize) -> Value) {
        let gateway = self.cluster.plane.etcd().gateway();
        stream::iter(numbers)
            .map(|number| {
                let (gateway, object) = (gateway.clone(), object(number));
                async move { gateway.put(&stored(number), object.to_string().as_bytes()).await }
            })
            .buffer_unordered(16)
            .try_collect::<Vec<_>>()
            .await
            .unwrap();
    }

    /// Stores all posts and waits until each is linked. The delay before a creation is not counted.
    pub async fn link_all(&self) -> FanOut {
        self.link(0..self.links).await
    }

    /// The same for a part of them; the parts before it are linked.
    pub async fn link(&self, numbers: Range<usize>) -> FanOut {
        let since = self.now().await;
        let (time, begin) = (Timestamp::now(), Instant::now());
        let (links, end) = (numbers.len(), numbers.end);
        let before = self.status_writes();
        self.store(numbers, post_link).await;
        self.until_written(before, links).await;
        let last = self.until_idle().await;
        let gateway = self.cluster.plane.etcd().gateway();
        assert!(!gateway.any_untouched(&prefix()).await.unwrap(), "each is linked");
        let object = format!("plink/post-{:06}", end - 1);
        self.cluster.wait_reason("RecordAvailable", "RecordAvailable", &[&object]);
        let seconds = (last - begin).saturating_sub(SETTLE).as_secs_f64();
        FanOut { links, seconds, since, begun: time }
    }

    /// Enables or disables the connection, and waits until each link has been written.
    pub async fn flip(&self, enabled: bool) -> FanOut {
        let client = self.cluster.plane.client(User::Alice).await;
        let connections: Api<DynamicsConnection> = Api::namespaced(client, NAMESPACE);
        let (since, before) = (self.now().await, self.status_writes());
        let (time, begin) = (Timestamp::now(), Instant::now());
        let patch = Patch::Merge(json!({"spec": {"enabled": enabled}}));
        connections.patch("northwind", &PatchParams::default(), &patch).await.unwrap();
        self.until_written(before, self.links).await;
        self.until_all_written(since).await;
        FanOut { links: self.links, seconds: begin.elapsed().as_secs_f64(), since, begun: time }
    }

    /// The instance stops answering (`down`) or answers again. Waits until each link has been written.
    async fn outage(&mut self, down: bool) -> FanOut {
        let (since, before) = (self.now().await, self.status_writes());
        let (time, begin) = (Timestamp::now(), Instant::now());
        self.cluster.instances().signal(if down { "STOP" } else { "CONT" });
        let request = format!("postlink.dev/reconcile-requested-at={time}");
        self.cluster
            .plane
            .kubectl(User::Alice, ["annotate", "-n", NAMESPACE, "--overwrite", "dconn/northwind", &request])
            .ok();
        self.until_written(before, self.links).await;
        self.until_all_written(since).await;
        FanOut { links: self.links, seconds: begin.elapsed().as_secs_f64(), since, begun: time }
    }

    /// Waits until the Events of what happened before have been written.
    async fn no_more_events(&self, since: Timestamp) {
        let mut before = self.events(since).await;
        let begin = Instant::now();
        loop {
            tokio::time::sleep(Duration::from_secs(3)).await;
            let now = self.events(since).await;
            if now == before {
                return;
            }
            assert!(begin.elapsed() < AT_MOST, "Events are still written: {now:?}");
            before = now;
        }
    }

    /// The Events written since a time: kind and reason → number of Events.
    async fn events(&self, since: Timestamp) -> BTreeMap<String, usize> {
        let api: Api<Event> = Api::namespaced(self.cluster.plane.client(User::Admin).await, NAMESPACE);
        let mut events = BTreeMap::new();
        for event in api.list(&ListParams::default()).await.unwrap().items {
            let last = event.series.map(|series| series.last_observed_time).or(event.event_time);
            if last.is_some_and(|last| last.0 >= since) {
                let kind = event.regarding.and_then(|object| object.kind).unwrap_or_default();
                *events.entry(format!("{kind} {}", event.reason.unwrap_or_default())).or_default() += 1;
            }
        }
        events
    }

    /// The current revision of the store.
    pub async fn now(&self) -> u64 {
        self.cluster.plane.etcd().gateway().put("/postlink-tests/now", b"").await.unwrap()
    }

    /// Statuses of links that the controller has written.
    fn status_writes(&self) -> usize {
        let labels = [("kind", "PostLink"), ("field", "status"), ("result", "success")];
        let writes = Page::of(&self.cluster.metrics()).sum("postlink_writes_total", &labels);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        writes.map_or(0, |writes| writes as usize)
    }

    /// Waits until the controller has written this many statuses. Costs the store nothing.
    async fn until_written(&self, before: usize, count: usize) {
        eventually("the writes", AT_MOST, async || {
            tokio::time::sleep(ASK_AGAIN).await;
            (self.status_writes() >= before + count).then_some(())
        })
        .await;
    }

    /// Waits until no status has been written for two seconds; returns when the last one was.
    pub async fn until_idle(&self) -> Instant {
        let (begin, mut last, mut writes) = (Instant::now(), Instant::now(), self.status_writes());
        while last.elapsed() < Duration::from_secs(2) {
            assert!(begin.elapsed() < AT_MOST, "statuses are still written");
            tokio::time::sleep(ASK_AGAIN).await;
            let now = self.status_writes();
            if now != writes {
                (writes, last) = (now, Instant::now());
            }
        }
        last
    }

    async fn until_all_written(&self, since: u64) {
        let gateway = self.cluster.plane.etcd().gateway();
        let prefix = prefix();
        eventually("every link to be written", AT_MOST, async || {
            (!gateway.any_older(&prefix, since).await.unwrap()).then_some(())
        })
        .await;
    }

    /// Writes per link in these revisions: number of writes → number of links.
    pub fn writes(&self, revisions: Range<u64>) -> BTreeMap<usize, usize> {
        let mut of_link: BTreeMap<String, usize> = BTreeMap::new();
        self.cluster
            .plane
            .each_revision(revisions.start, &prefix(), |revision| {
                if revisions.contains(&revision.revision) {
                    *of_link.entry(revision.key).or_default() += 1;
                }
            })
            .unwrap();
        how_often(of_link)
    }

    /// Write requests per link since a time: as [`ManyLinks::writes`], including writes that changed nothing and so
    /// have no revision. A write is seen by others before it is audited, so it waits for one of each link.
    fn sent(&self, since: Timestamp) -> BTreeMap<usize, usize> {
        wait_for("the writes to be audited", SOON, || {
            let mut of_link: BTreeMap<String, usize> = BTreeMap::new();
            for event in self.cluster.requests_since(since) {
                let object = &event["objectRef"];
                if is_write(&event) && object["resource"] == "postlinks" {
                    *of_link.entry(object["name"].to_string()).or_default() += 1;
                }
            }
            (of_link.len() == self.links).then(|| how_often(of_link))
        })
    }
}

/// Number of writes → number of links.
fn how_often(of_link: BTreeMap<String, usize>) -> BTreeMap<usize, usize> {
    let mut links = BTreeMap::new();
    for writes in of_link.into_values() {
        *links.entry(writes).or_default() += 1;
    }
    links
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn toggling_writes_each_of_1000_links_once() {
    let mut many = ManyLinks::start(1_000);
    let linking = many.link_all().await;
    eprintln!(
        "linking: {:.1} s, {:.0} links/s, writes per link {:?}",
        linking.seconds,
        linking.per_second(),
        many.writes(linking.since..u64::MAX)
    );
    for enabled in [false, true] {
        let flip = many.flip(enabled).await;
        let reason = if enabled { "RecordAvailable" } else { "ConnectionDisabled" };
        let last = format!("plink/post-{:06}", many.links - 1);
        many.cluster.wait_reason("RecordAvailable", reason, &[&last]);
        eprintln!("enabled={enabled}: {:.1} s, {:.0} links/s", flip.seconds, flip.per_second());
        assert_eq!(many.writes(flip.since..u64::MAX), BTreeMap::from([(1, many.links)]), "enabled={enabled}");
        assert_eq!(many.sent(flip.begun), BTreeMap::from([(1, many.links)]), "enabled={enabled}");
    }
    for (down, reason) in [(true, "InstanceDowntime"), (false, "Connected")] {
        many.no_more_events(linking.begun).await;
        let outage = many.outage(down).await;
        eprintln!("down={down}: {:.1} s, {:.0} links/s", outage.seconds, outage.per_second());
        assert_eq!(many.writes(outage.since..u64::MAX), BTreeMap::from([(1, many.links)]), "down={down}");
        assert_eq!(many.sent(outage.begun), BTreeMap::from([(1, many.links)]), "down={down}");
        many.no_more_events(outage.begun).await;
        let event = format!("DynamicsConnection {reason}");
        assert_eq!(many.events(outage.begun).await, BTreeMap::from([(event, 1)]), "down={down}");
    }
    many.cluster.controller_kept_within_its_rights();
    let broken = oracle::broken_rules(&many.cluster.plane.history("/registry/"), CANARY);
    assert!(broken.is_empty(), "{broken:#?}");
}
