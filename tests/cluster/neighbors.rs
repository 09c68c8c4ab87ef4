//! How long a link of a quiet namespace takes while a neighbor keeps the controller busy. Ignored in a normal run;
//! `make bench` runs it.

use std::time::{Duration, Instant};

use futures::future::join_all;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::ApiResource;
use kube::{Api, Client};
use postlink::api::{AutomationRule, PostLink};
use serde_json::json;

use crate::bench_table::row;
use crate::cluster::{Cluster, Lease};
use crate::harness::users::User;
use crate::many_links::post_link;
use crate::memory_limit::{largest_keywords, longest_content};
use crate::several_installs::wait;

/// The namespace whose links are timed.
pub const QUIET: &str = "quiet";

/// The namespace of the rules and posts that are written in loops.
const LOUD: &str = "loud";

/// Links timed in each situation.
const SAMPLES: usize = 40;

/// The 99th percentile of so few is the longest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a test; run by `make bench`"]
async fn bench_quiet_neighbor() {
    let cluster = Cluster::quickstart(Lease::Elected);
    for namespace in [QUIET, LOUD] {
        cluster.apply_quickstart_in(namespace, &["00-namespace", "secret", "connection"]);
        wait(&cluster, namespace, "condition=Ready", &["dconn/northwind"]);
    }
    let client = cluster.plane.client(User::Admin).await;
    row("a link of a quiet namespace", "seconds", &seconds_to_link(&client, 0).await);
    let rules = tokio::spawn(edit_rules(client.clone()));
    let posts = tokio::spawn(create_posts(client.clone()));
    let times = seconds_to_link(&client, 1).await;
    row("… while another edits largest rules, creates largest posts", "seconds", &times);
    rules.abort();
    posts.abort();
}

/// Creates links by hand, two a second, and measures each until its link is stored.
pub async fn seconds_to_link(client: &Client, round: usize) -> Vec<f64> {
    let api: Api<PostLink> = Api::namespaced(client.clone(), QUIET);
    join_all((0..SAMPLES).map(|number| {
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
            loop {
                let stored = api.get(&name).await.unwrap();
                if stored.status.is_some_and(|status| status.link.is_some()) {
                    return begin.elapsed().as_secs_f64();
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }))
    .await
}

/// Edits ten rules, each as large as a rule may be, one after the other.
async fn edit_rules(client: Client) {
    let api: Api<DynamicObject> =
        Api::namespaced_with(client, LOUD, &ApiResource::erase::<AutomationRule>(&()));
    for edit in 0.. {
        let name = format!("loud-{}", edit % 10);
        let rule = json!({
            "apiVersion": "postlink.dev/v1alpha1", "kind": "AutomationRule",
            "metadata": {"name": name, "namespace": LOUD},
            "spec": {"connectionRef": {"name": "northwind"}, "match": {"keywords": largest_keywords(edit)}},
        });
        api.patch(&name, &PatchParams::apply("loud").force(), &Patch::Apply(rule)).await.unwrap();
    }
}

/// Creates posts as large as a post may be, one after the other, and deletes the oldest.
async fn create_posts(client: Client) {
    let api: Api<PostLink> = Api::namespaced(client, LOUD);
    for number in 0.. {
        let mut object = post_link(number);
        object["metadata"] = json!({"name": format!("loud-{number}"), "namespace": LOUD});
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
