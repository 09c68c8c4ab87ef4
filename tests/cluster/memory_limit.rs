//! What tenants may store does not end the controller, which runs with the memory limit of the chart.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::{Cluster, Lease, NAMESPACE, SOON, is_ready};
use crate::harness::users::User;
use crate::harness::waiting::{block_on, wait_for};
use crate::many_links::post_link;
use crate::operations::Page;
use crate::oracle::OURS;

/// Longest wait for a list of everything: 2.6 GB in the large test.
const LISTED: Duration = Duration::from_secs(900);

/// What one tenant stores.
#[derive(Clone, Copy)]
struct Tenant {
    /// Rules of the largest size; every second one is inactive.
    rules: usize,
    /// PostLinks of the largest size.
    posts: usize,
    /// Connections, all of which are probed at once after a start.
    connections: usize,
}

/// As many characters as the filters of a rule may have, three bytes each, in keywords of every second length. The text of
/// [`longest_content`] has their words, but not their sign. `number`: where they begin there.
pub fn largest_keywords(number: usize) -> Vec<String> {
    let length = |k: usize| 2 * k + 1 + number % 2;
    let keyword = |k: usize| match k % 3 {
        2 => "a ".repeat(length(k) / 2),
        _ => han().skip(number % 16_000).take(length(k)).collect(),
    };
    (0..127).map(|k| format!("#{}", keyword(k))).collect()
}

/// The text of a post with as many characters as it may have, many different words and many equal ones.
pub fn longest_content() -> String {
    han().chain("𝔞 ".repeat(8_192).chars()).collect()
}

/// Chinese characters, each of which is a word.
fn han() -> impl Iterator<Item = char> {
    ('一'..).take(16_384)
}

/// An active or inactive rule of the largest size.
fn largest_rule(namespace: &str, number: usize) -> Value {
    json!({
        "apiVersion": "postlink.dev/v1alpha1", "kind": "AutomationRule",
        "metadata": metadata(namespace, &format!("rule-{number:06}"), 1, number),
        "spec": {
            "connectionRef": {"name": "northwind"}, "active": number.is_multiple_of(2), "match": {"keywords": largest_keywords(number)},
        },
    })
}

/// A PostLink with the longest text and the most annotations that an API server accepts.
fn largest_post(namespace: &str, number: usize) -> Value {
    let mut object = post_link(number);
    object["metadata"] = metadata(namespace, &format!("post-{number:06}"), 2, number);
    object["metadata"]["annotations"] = json!({"example.com/notes": "x".repeat(255 * 1024)});
    object["spec"]["post"]["content"] = longest_content().into();
    object["spec"].as_object_mut().expect("it is an object").remove("link");
    object
}

fn connection(namespace: &str, number: usize) -> Value {
    json!({
        "apiVersion": "postlink.dev/v1alpha1", "kind": "DynamicsConnection",
        "metadata": metadata(namespace, &format!("connection-{number:06}"), 3, number),
        "spec": {
            "instanceUrl": "https://northwind.crm.dynamics.com", "credentials": {"secretRef": {"name": "northwind"}},
        },
    })
}

fn metadata(namespace: &str, name: &str, kind: u8, number: usize) -> Value {
    let tenant: usize = namespace.bytes().map(usize::from).sum();
    json!({
        "name": name, "namespace": namespace, "generation": 1,
        "uid": format!("{kind:08}-{tenant:04}-4000-8000-{number:012}"),
        "creationTimestamp": "2026-01-01T00:00:00Z",
    })
}

fn store(cluster: &Cluster, namespace: &str, tenant: Tenant) {
    cluster.apply_quickstart_in(namespace, &["00-namespace", "secret", "connection"]);
    let rules = (0..tenant.rules).map(|n| ("automationrules", largest_rule(namespace, n)));
    let posts = (0..tenant.posts).map(|n| ("postlinks", largest_post(namespace, n)));
    let connections = (0..tenant.connections).map(|n| ("dynamicsconnections", connection(namespace, n)));
    for (resource, object) in rules.chain(posts).chain(connections) {
        let name = object["metadata"]["name"].as_str().expect("it has a name");
        let (key, text) = (format!("{OURS}{resource}/{namespace}/{name}"), object.to_string());
        block_on(async { cluster.plane.etcd().gateway().put(&key, text.as_bytes()).await }).unwrap();
    }
}

/// Stores what the tenants may, and links a post of another namespace; then the same after a restart.
fn tenants_store(tenants: usize, each: Tenant) {
    let mut cluster = Cluster::quickstart(Lease::None);
    cluster.apply_quickstart(&["00-namespace", "secret", "connection", "rule"]);
    cluster.wait("condition=Ready", &["dconn/northwind"]);
    for tenant in 0..tenants {
        store(&cluster, &format!("tenant-{tenant}"), each);
    }
    cluster.apply_quickstart(&["posts"]);
    cluster.wait("condition=Linked", &["plink/suitcase-day-four"]);

    within_the_limit(&mut cluster);
    cluster.kill_controller();
    cluster.begin_controller();
    cluster.controller().wait_for_log(LISTED, is_ready);
    cluster.plane.kubectl(User::Alice, ["delete", "-n", NAMESPACE, "plink/suitcase-day-four"]).ok();
    cluster.apply_quickstart(&["posts"]);
    cluster.wait("condition=Linked", &["plink/suitcase-day-four"]);

    let metrics = cluster.leader().address("metrics");
    let page = || Page::of(&metrics);
    let full = |page: &Page| page.sum("postlink_index_objects", &[("kind", "PostLink")]);
    let posts = f64::from(u32::try_from(tenants * each.posts).expect("not that many"));
    wait_for("all posts to be in the index", SOON, || (full(&page()) >= Some(posts)).then_some(()));
    let connected = |page: &Page| page.sum("postlink_connection_state", &[("state", "Enabled")]);
    // Theirs, one of the quickstart in each of their namespaces, and its own.
    let all = f64::from(u32::try_from(tenants * (each.connections + 1) + 1).expect("not that many"));
    wait_for("all connections to be connected", SOON, || (connected(&page()) >= Some(all)).then_some(()));
    within_the_limit(&mut cluster);
}

/// The leader has had no more memory at any time than its container may have.
pub fn within_the_limit(cluster: &mut Cluster) {
    let (peak, limit) = cluster.leader().peak_and_limit();
    eprintln!("at most {} of {} MiB", peak >> 20, limit >> 20);
    assert!(peak <= limit, "{peak} bytes of {limit}");
}

#[test]
fn tenants_do_not_exhaust_the_memory() {
    tenants_store(2, Tenant { rules: 100, posts: 100, connections: 300 });
}

#[test]
#[ignore = "large; run by `make soak`"]
fn soak_tenants_do_not_exhaust_the_memory() {
    tenants_store(5, Tenant { rules: 1_500, posts: 1_000, connections: 1_000 });
}
