//! A quiet namespace gets its links while neighbors keep the controller busy, within the memory limit of the chart. How long
//! they take is measured by `make bench`.

use std::time::{Duration, Instant};

use futures::future::join_all;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::ApiResource;
use kube::{Api, Client};
use postlink::api::{AutomationRule, PostLink};
use serde_json::json;
use tokio::task::JoinSet;

use crate::bench_table::row;
use crate::cluster::{Cluster, Lease, SOON};
use crate::harness::users::User;
use crate::harness::waiting::eventually;
use crate::many_links::post_link;
use crate::memory_limit::{largest_keywords, longest_content, within_the_limit};
use crate::several_installs::wait;

/// The namespace whose links are timed.
pub const QUIET: &str = "quiet";

/// Links timed in each situation.
pub const SAMPLES: usize = 40;

/// Namespaces with rules and posts that are written in loops, and a quiet one.
struct Neighbors {
    cluster: Cluster,
    client: Client,
    loud: Vec<String>,
}

impl Neighbors {
    async fn start(loud: usize) -> Self {
        let cluster = Cluster::quickstart(Lease::Elected);
        let loud: Vec<String> = (0..loud).map(|number| format!("loud-{number}")).collect();
        for namespace in loud.iter().map(String::as_str).chain([QUIET]) {
            cluster.apply_quickstart_in(namespace, &["00-namespace", "secret", "connection"]);
            wait(&cluster, namespace, "condition=Ready", &["dconn/northwind"]);
        }
        let client = cluster.plane.client(User::Admin).await;
        Self { cluster, client, loud }
    }

    /// Writes in loops until the returned tasks are dropped.
    fn begin(&self) -> JoinSet<()> {
        let mut loops = JoinSet::new();
        for namespace in &self.loud {
            loops.spawn(edit_rules(self.client.clone(), namespace.clone()));
            loops.spawn(create_posts(self.client.clone(), namespace.clone()));
        }
        loops
    }
}

async fn quiet_links_are_made(loud: usize, links: usize) {
    let mut neighbors = Neighbors::start(loud).await;
    let mut loops = neighbors.begin();
    let times = seconds_to_link(&neighbors.client, 0, links).await;
    assert_eq!(times.len(), links);
    if let Some(ended) = loops.try_join_next() {
        panic!("a loop ended: {ended:?}");
    }
    drop(loops);
    within_the_limit(&mut neighbors.cluster);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quiet_namespace_gets_its_links_beside_a_loud_one() {
    quiet_links_are_made(1, 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "large; run by `make soak`"]
async fn soak_quiet_namespace_gets_its_links_beside_loud_ones() {
    quiet_links_are_made(5, 120).await;
}

/// The 99th percentile of so few is the longest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a test; run by `make bench`"]
async fn bench_quiet_neighbor() {
    let neighbors = Neighbors::start(1).await;
    let client = &neighbors.client;
    row("a link of a quiet namespace", "seconds", &seconds_to_link(client, 0, SAMPLES).await);
    let _loops = neighbors.begin();
    let times = seconds_to_link(client, 1, SAMPLES).await;
    row("… while another edits largest rules, creates largest posts", "seconds", &times);
}

/// Creates links by hand, two a second, and measures each until its link is stored.
pub async fn seconds_to_link(client: &Client, round: usize, links: usize) -> Vec<f64> {
    let api: Api<PostLink> = Api::namespaced(client.clone(), QUIET);
    join_all((0..links).map(|number| {
        let api = api.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(500) * u32::try_from(number).unwrap()).await;
            let name = format!("quiet-{round}-{number}");
            let mut object = post_link(number);
            object["metadata"] = json!({"name": name, "namespace": QUIET});
            object["spec"]["post"]["id"] = name.clone().into();
            let object: PostLink = serde_json::from_value(object).unwrap();
            let begin = Instant::now();
            api.create(&PostParams::default(), &object).await.unwrap();
            eventually("a quiet link", SOON, async || {
                let status = api.get(&name).await.unwrap().status;
                status.is_some_and(|status| status.link.is_some()).then(|| begin.elapsed().as_secs_f64())
            })
            .await
        }
    }))
    .await
}

/// Edits ten rules, each as large as a rule may be, one after the other.
async fn edit_rules(client: Client, namespace: String) {
    let api: Api<DynamicObject> =
        Api::namespaced_with(client, &namespace, &ApiResource::erase::<AutomationRule>(&()));
    for edit in 0.. {
        let name = format!("loud-{}", edit % 10);
        let rule = json!({
            "apiVersion": "postlink.dev/v1alpha1", "kind": "AutomationRule",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"connectionRef": {"name": "northwind"}, "match": {"keywords": largest_keywords(edit)}},
        });
        api.patch(&name, &PatchParams::apply("loud").force(), &Patch::Apply(rule)).await.unwrap();
    }
}

/// Creates posts as large as a post may be, one after the other, and deletes the oldest.
async fn create_posts(client: Client, namespace: String) {
    let api: Api<PostLink> = Api::namespaced(client, &namespace);
    for number in 0.. {
        let mut object = post_link(number);
        object["metadata"] = json!({"name": format!("loud-{number}"), "namespace": namespace});
        object["spec"]["post"]["id"] = format!("loud-{number}").into();
        object["spec"]["post"]["content"] = longest_content().into();
        object["spec"].as_object_mut().unwrap().remove("link");
        let object: PostLink = serde_json::from_value(object).unwrap();
        api.create(&PostParams::default(), &object).await.unwrap();
        if number % 500 == 499 {
            api.delete_collection(&DeleteParams::default(), &ListParams::default()).await.unwrap();
        }
    }
}
