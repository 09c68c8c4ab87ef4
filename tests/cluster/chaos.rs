//! Two installations on one API server, each with its own namespace and two pods. In both namespaces a person and a
//! GitOps tool change posts, rules and connections at random, while leaders are killed or suspended and the instances
//! do not answer for seconds. The promises hold at every revision of the store, and in the end every link is made.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::future::ready;
use jiff::Timestamp;
use kube::Client;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, ResourceExt as _};
use postlink::api::PostLink;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::cluster::{Cluster, SOON, condition};
use crate::harness::pod::Pod;
use crate::harness::process::Postlink;
use crate::harness::users::User;
use crate::harness::waiting::{block_on, eventually};
use crate::oracle::{self, EVENTS, OURS};
use crate::several_installs::{self, FIRST, Install, SECOND};
use crate::social_activities::{Attempts, activities};
use crate::storm::{self, Acts, Apis, SEED, TOPICS, Tally, WITH_A_LEADER, object, patch, text};
use crate::story::CANARY;

/// So many that a post rests longer between two changes than a link waits for more of them (§5).
const POSTS: u32 = 60;

/// Longest pauses in milliseconds: before a blow to a leader, between two outages of the instances, and in one.
const BEFORE_A_BLOW: u64 = 4_000;
const BETWEEN_OUTAGES: u64 = 8_000;
const OUTAGE: u64 = 3_000;

/// What a leader suffers.
#[derive(Debug, Clone, Copy)]
enum Blow {
    /// SIGKILL.
    Kill,
    /// SIGSTOP until the standby leads, so for longer than the lease.
    Suspend,
}

/// A user of all three kinds.
struct Person {
    apis: Apis,
    posts: Api<PostLink>,
}

impl Person {
    fn of(client: &Client, namespace: &str) -> Self {
        let posts = Api::namespaced(client.clone(), namespace);
        Self { apis: Apis::of(client, namespace), posts }
    }

    async fn begin(&self, random: &mut StdRng) {
        self.apis.begin().await;
        for number in 0..POSTS {
            let post = post_of(&format!("post-{number}"), random);
            self.posts.create(&PostParams::default(), &post).await.unwrap();
        }
    }

    /// Deletes everything.
    async fn end(&self) {
        self.apis.end().await;
        self.posts.delete_collection(&DeleteParams::default(), &ListParams::default()).await.unwrap();
        eventually("no post to be left", SOON, async || self.stored().await.is_empty().then_some(())).await;
    }

    async fn stored(&self) -> Vec<Value> {
        let posts = self.posts.list(&ListParams::default()).await.expect("the posts can be listed").items;
        posts.iter().map(|post| serde_json::to_value(post).expect("an object can be written")).collect()
    }

    /// Once nobody changes anything: every change is carried out, held or explained, and every possible link is made.
    async fn until_all_is_linked(&self) {
        // Do not wait for the next probe of an instance that did not answer.
        let now = Timestamp::now();
        let asks = |what: &str| json!({"metadata": {"annotations": {format!("postlink.dev/{what}"): now}}});
        for connection in self.apis.connections.list(&ListParams::default()).await.unwrap().items {
            self.ask(&self.apis.connections, &connection.name_any(), asks("reconcile-requested-at")).await;
        }
        storm::until_none("after the chaos", async || {
            let (rules, connections) = storm::stored(&self.apis).await;
            [storm::unsettled(&rules, &connections), unsettled(&self.stored().await, &connections)].concat()
        })
        .await;
        // A post that was unlinked is linked again only on request.
        for post in self.stored().await.iter().filter(|post| post["status"]["link"].is_null()) {
            self.ask(&self.posts, text(&post["metadata"]["name"]), asks("relink-requested-at")).await;
        }
        storm::until_none("after each link was requested again", async || {
            let (rules, connections) = storm::stored(&self.apis).await;
            let posts = self.stored().await;
            [
                storm::unsettled(&rules, &connections),
                unsettled(&posts, &connections),
                unlinked(&posts, &rules, &connections),
            ]
            .concat()
        })
        .await;
    }

    /// Annotates an object; a connection whose deletion was held may be gone by now.
    async fn ask<K>(&self, api: &Api<K>, name: &str, annotation: Value)
    where
        K: Clone + serde::de::DeserializeOwned + std::fmt::Debug,
    {
        match patch(api, name, annotation).await {
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            answer => answer.unwrap(),
        }
    }
}

impl Acts for Person {
    async fn act(&self, pause: u64, random: &mut StdRng, tally: &mut Tally) {
        if random.random_bool(0.7) {
            return self.apis.act(pause, random, tally).await;
        }
        let post = format!("post-{}", random.random_range(0..POSTS));
        tokio::time::sleep(Duration::from_millis(random.random_range(0..pause))).await;
        let change = match random.random_range(0..100) {
            0..25 => json!({"spec": {"post": {"content": content(random)}}}),
            25..45 => json!({"spec": {"link": by_hand(random), "unlink": null}}),
            45..55 => json!({"spec": {"link": null, "unlink": null}}),
            55..65 => json!({"spec": {"link": null, "unlink": true}}),
            65..75 => {
                json!({"metadata": {"annotations": {"postlink.dev/relink-requested-at": Timestamp::now()}}})
            }
            75..85 => return tally.count(self.posts.delete(&post, &DeleteParams::default()).await.map(drop)),
            _ => {
                let created = self.posts.create(&PostParams::default(), &post_of(&post, random)).await;
                return tally.count(created.map(drop));
            }
        };
        tally.count(patch(&self.posts, &post, change).await);
    }
}

/// A post about one of the rules' topics; every third has a link by hand.
fn post_of(name: &str, random: &mut StdRng) -> PostLink {
    let mut spec = json!({"post": {
        "url": format!("https://social.example/microblog/{name}"), "id": name, "source": "Microblog",
        "publishedAt": "2025-12-18T07:41:00Z", "content": content(random),
    }});
    if random.random_bool(0.3) {
        spec["link"] = by_hand(random);
    }
    object("PostLink", name, &spec)
}

fn content(random: &mut StdRng) -> String {
    format!("Day four, and still the {}.", TOPICS[random.random_range(0..TOPICS.len())])
}

fn by_hand(random: &mut StdRng) -> Value {
    json!({"connectionRef": {"name": storm::connection_name(random)}, "recordType": "lead"})
}

/// The posts whose status is not about their spec and the connections that there are; none when settled.
fn unsettled(posts: &[Value], connections: &[Value]) -> Vec<String> {
    let exists = |uid: &Value| connections.iter().any(|connection| connection["metadata"]["uid"] == *uid);
    let mut wrong = Vec::new();
    let mut activities = BTreeSet::new();
    for post in posts {
        let (name, link) = (text(&post["metadata"]["name"]), &post["status"]["link"]);
        let says = condition(post, "Linked").is_some_and(|(status, _)| status == "True");
        if post["status"]["observedGeneration"] != post["metadata"]["generation"] {
            wrong.push(format!("{name} has not been reconciled"));
        }
        if says == link.is_null() {
            wrong.push(format!("{name} says Linked={says} and has the link {link}"));
        }
        if link.is_null() {
            continue;
        }
        if post["spec"]["unlink"] == true {
            wrong.push(format!("{name} should be unlinked"));
        }
        if !exists(&link["connection"]["uid"]) {
            wrong.push(format!("{name} has a link through a connection that is gone"));
        }
        if !activities.insert(text(&link["socialActivityId"])) {
            wrong.push(format!("{name} shares its social activity with another post"));
        }
    }
    wrong
}

/// The posts without a link although one is requested through a connection that works, or an active rule matches.
fn unlinked(posts: &[Value], rules: &[Value], connections: &[Value]) -> Vec<String> {
    let works = |name: &Value| {
        connections.iter().any(|connection| {
            connection["metadata"]["name"] == *name && connection["status"]["state"] == "Enabled"
        })
    };
    let matches = |post: &Value| {
        rules.iter().any(|rule| {
            condition(rule, "Active").is_some_and(|(status, _)| status == "True")
                && text(&post["spec"]["post"]["content"])
                    .contains(text(&rule["spec"]["match"]["keywords"][0]))
        })
    };
    let wanted = |post: &&Value| match &post["spec"]["link"] {
        _ if post["spec"]["unlink"] == true => false,
        Value::Null => matches(post),
        link => works(&link["connectionRef"]["name"]),
    };
    let missing = posts.iter().filter(wanted).filter(|post| post["status"]["link"].is_null());
    missing.map(|post| format!("{} should be linked: {}", post["metadata"]["name"], post["status"])).collect()
}

/// An installation, and the users of its namespace.
struct Side {
    install: Install,
    namespace: &'static str,
    pods: [Pod; 2],
    random: StdRng,
    tally: Tally,
    killed: usize,
    suspended: usize,
    longest_without_leader: Duration,
}

impl Side {
    fn of(cluster: &Cluster, install: Install, namespace: &'static str, seed: u64) -> Self {
        // A new leader waits for one request timeout before it disables or deletes anything; it must be shorter than
        // the life of a leader here.
        let values = json!({"namespaces": [namespace], "leaseDuration": 5, "instanceTimeout": 1});
        several_installs::install_with(cluster, &install, &values);
        cluster.apply_quickstart_in(namespace, &["secret"]);
        let pod = || Pod::start(&cluster.plane, install.namespace, install.deployment);
        Self {
            pods: [pod(), pod()],
            random: StdRng::seed_from_u64(seed),
            install,
            namespace,
            tally: Tally::default(),
            killed: 0,
            suspended: 0,
            longest_without_leader: Duration::ZERO,
        }
    }

    /// Begins with every object and suffers `blows`, with this many operations around each. Returns the person.
    async fn suffer(&mut self, [alice, flux]: [&Client; 2], blows: &[Blow], operations: usize) -> Person {
        let users = [alice, flux].map(|client| Person::of(client, self.namespace));
        users[0].begin(&mut self.random).await;
        let mut blows = blows.to_vec();
        blows.shuffle(&mut self.random);
        for blow in blows {
            let leader = eventually("a pod to lead", SOON, || ready(storm::leader(&mut self.pods))).await;
            let pause = Duration::from_millis(self.random.random_range(0..BEFORE_A_BLOW));
            let act = storm::act(
                (&users[0], &users[1]),
                operations,
                WITH_A_LEADER,
                &mut self.random,
                &mut self.tally,
            );
            let pods = &mut self.pods;
            let strike = async {
                tokio::time::sleep(pause).await;
                strike(pods, leader, blow).await
            };
            let ((), without_leader) = futures::join!(act, strike);
            self.longest_without_leader = self.longest_without_leader.max(without_leader);
            match blow {
                Blow::Kill => self.killed += 1,
                Blow::Suspend => self.suspended += 1,
            }
        }
        let [alice, _] = users;
        alice
    }
}

/// Strikes the leader, and waits until a pod leads. Returns how long that took.
async fn strike(pods: &mut [Pod; 2], leader: usize, blow: Blow) -> Duration {
    let begin = Instant::now();
    match blow {
        Blow::Kill => {
            pods[leader].restart();
            eventually("a pod to lead after a kill", SOON, || ready(storm::leader(pods))).await;
            begin.elapsed()
        }
        Blow::Suspend => {
            pods[leader].process.signal("STOP");
            let standby = &mut pods[1 - leader];
            eventually("the standby to lead", SOON, || {
                if standby.process.exited().is_some() {
                    standby.restart();
                }
                ready(standby.process.stderr().contains("became the leader").then_some(()))
            })
            .await;
            let without_leader = begin.elapsed();
            let woken = &mut pods[leader].process;
            woken.signal("CONT");
            eventually("the former leader to exit", SOON, || ready(woken.exited())).await;
            without_leader
        }
    }
}

/// Suspends the instances at random moments until `over`.
async fn outages(instances: &mut Postlink, random: &mut StdRng, over: &AtomicBool) -> usize {
    let mut number = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(random.random_range(0..BETWEEN_OUTAGES))).await;
        if over.load(Ordering::Relaxed) {
            return number;
        }
        instances.signal("STOP");
        tokio::time::sleep(Duration::from_millis(random.random_range(0..OUTAGE))).await;
        instances.signal("CONT");
        number += 1;
    }
}

/// Runs rounds in which each installation suffers `blows`, with this many operations of its users around each. A round
/// begins and ends empty, so that each history can be checked on its own and need not be kept.
fn chaos(rounds: usize, blows: &[Blow], operations: usize) -> usize {
    let seed = storm::seed();
    println!("{SEED}={seed}");
    let (since, begin) = (Timestamp::now(), Instant::now());
    let mut random = StdRng::seed_from_u64(seed);
    let mut cluster = several_installs::prepared(&["social", "care"]);
    let mut sides = [(FIRST, "social"), (SECOND, "care")]
        .map(|(install, namespace)| Side::of(&cluster, install, namespace, random.random()));
    let (mut next_revision, mut revisions, mut interrupted) = (1, 0, 0);
    let mut attempts = Attempts::default();
    for _ in 0..rounds {
        let (organization, made) = block_on(async {
            let alice = cluster.plane.client(User::Alice).await;
            let flux = cluster.plane.client(User::FluxKustomize).await;
            let over = AtomicBool::new(false);
            let [first, second] = &mut sides;
            let suffering = async {
                let both = futures::join!(
                    first.suffer([&alice, &flux], blows, operations),
                    second.suffer([&alice, &flux], blows, operations)
                );
                over.store(true, Ordering::Relaxed);
                both
            };
            let ((social, care), outages) =
                futures::join!(suffering, outages(cluster.instances(), &mut random, &over));
            interrupted += outages;
            futures::join!(social.until_all_is_linked(), care.until_all_is_linked());
            let (organization, made) = activities(&mut cluster).await;
            let posts = [social.stored().await, care.stored().await].concat();
            let links = posts.iter().filter_map(|post| post["status"]["link"]["socialActivityId"].as_str());
            let links: Vec<Uuid> = links.map(|id| id.parse().expect("it is an id")).collect();
            assert!(
                links.iter().all(|id| made.contains(id)),
                "a link's social activity is not in the instance"
            );
            println!("{} of {} posts are linked", links.len(), posts.len());
            futures::join!(social.end(), care.end());
            (organization, made)
        });
        let history = storm::history_since(&cluster.plane, &mut next_revision);
        assert!(history.iter().any(|revision| revision.key.starts_with(EVENTS)), "there is no event");
        revisions += history.iter().filter(|revision| revision.key.starts_with(OURS)).count();
        let broken = oracle::broken_promises(&history, CANARY);
        assert!(broken.is_empty(), "{broken:#?}");
        attempts.remember(&history);
        let excess: Vec<_> = made.difference(&attempts.activities(organization)).copied().collect();
        assert!(excess.is_empty(), "no attempt of a post accounts for these social activities: {excess:?}");
        println!("{revisions} revisions, {} social activities, {:.0?}", made.len(), begin.elapsed());
    }
    println!("the instances were suspended {interrupted} times");
    for side in &sides {
        let Side { namespace, tally, killed, suspended, longest_without_leader, .. } = side;
        println!(
            "{namespace}: {} operations: {tally:?}; leaders killed: {killed}, suspended: {suspended}, longest time \
             without one: {longest_without_leader:.1?}",
            rounds * blows.len() * operations,
        );
        assert!(tally.refused > 0 && tally.accepted > rounds * blows.len() * operations / 4, "{tally:?}");
        several_installs::kept_to_its_namespace(&cluster, &side.install, namespace, since);
    }
    several_installs::both_kept_within_their_rights(&cluster);
    revisions
}

#[test]
fn promises_hold_with_two_installs_under_chaos() {
    chaos(1, &[Blow::Kill, Blow::Suspend], 150);
}

#[test]
#[ignore = "the large number; run by `make soak`"]
fn soak_promises_hold_with_two_installs_under_chaos() {
    let blows = [Blow::Kill, Blow::Kill, Blow::Suspend].repeat(2);
    let revisions = chaos(6, &blows, 300);
    assert!(revisions >= 13_000, "only {revisions} revisions");
}
