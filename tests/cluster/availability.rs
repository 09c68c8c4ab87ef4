//! Two replicas: one leads, and whatever happens to it the other takes over, and nothing is written by the wrong one.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::Api;
use kube::api::ListParams;
use postlink::api::PostLink;
use serde_json::{Value, json};

use crate::crowd::{post_link, stored};
use crate::harness::pod::Pod;
use crate::harness::users::User;
use crate::harness::waiting::{block_on, wait_for};
use crate::oracle::{self, OURS};
use crate::stage::{NAMESPACE, SOON, SYSTEM, Stage, condition, quickstart_instance};
use crate::story::CANARY;

/// Seconds of a lease that is not lost on a machine whose processors are wanted by many. A kubelet would start whoever
/// lost it again; here nobody does.
pub const CALM: u32 = 30;

/// A leader at work and another pod that waits for the lease.
pub struct Pair {
    pub leader: Pod,
    pub standby: Pod,
    pub stage: Stage,
}

impl Pair {
    fn with(values: &Value) -> Self {
        Self::of(values, Stage::pod)
    }

    /// One whose leader is started in another way.
    pub fn of(values: &Value, leader: impl FnOnce(&Stage) -> Pod) -> Self {
        let stage = Stage::installed(&quickstart_instance(), &[], values);
        let mut leader = leader(&stage);
        leader.process.wait_for_log(SOON, |line| line.contains("ready: everything has been listed"));
        let mut standby = stage.pod();
        standby.process.wait_for_log(SOON, |line| line.contains("waiting for the lease"));
        stage.apply_quickstart(&["00-namespace", "secret", "connection", "rule"]);
        stage.wait("condition=Ready", &["dconn/northwind"]);
        stage.wait_reason("Active", "Reserved", &["arule/baggage-complaints"]);
        Self { leader, standby, stage }
    }

    fn holder(&self) -> Option<String> {
        let lease =
            self.stage.plane.kubectl(User::Admin, ["get", "lease", "postlink", "-n", SYSTEM, "-o", "json"]);
        lease.json()["spec"]["holderIdentity"].as_str().map(str::to_owned)
    }

    /// A change somebody asks for is made, by whoever leads now.
    pub fn serves(&self, asked: &str) {
        let at = format!("postlink.dev/reconcile-requested-at={asked}");
        let args = ["annotate", "--overwrite", "-n", NAMESPACE, "dconn/northwind", &at];
        self.stage.plane.kubectl(User::Alice, args).ok();
        self.stage
            .wait(&format!("jsonpath={{.status.lastHandledReconcileAt}}={asked}"), &["dconn/northwind"]);
    }

    /// What the audit log has of the first leader from a time on.
    pub fn sent_by_the_first_since(&self, since: Timestamp) -> Vec<Value> {
        let mut events = self.stage.plane.audited(User::Controller);
        events.retain(|event| {
            let at = event["requestReceivedTimestamp"].as_str().expect("a time");
            self.leader.sent(event) && at.parse::<Timestamp>().expect("a time") >= since
        });
        events
    }

    pub fn nothing_is_broken(&self) {
        self.stage.controller_kept_within_its_rights();
        let broken = oracle::broken_rules(&self.stage.plane.history("/registry/"), CANARY);
        assert!(broken.is_empty(), "{broken:#?}");
    }
}

pub fn deactivate_the_rule(stage: &Stage) {
    stage.declare("arule/baggage-complaints", &json!({"active": false}));
    stage.wait_reason("Active", "Inactive", &["arule/baggage-complaints"]);
}

pub fn disable_the_connection(stage: &Stage) {
    stage.declare("dconn/northwind", &json!({"enabled": false}));
}

#[test]
fn a_leader_that_is_killed_is_followed() {
    let mut pair = Pair::with(&json!({}));
    assert!(pair.holder().is_some_and(|holder| holder.starts_with(&pair.leader.name)));
    let killed = Instant::now();
    pair.leader.process.kill();
    pair.standby.process.wait_for_log(SOON, |line| line.contains("leading"));
    let leads = killed.elapsed();
    pair.serves("after-the-kill");
    println!("fail-over: leads after {leads:.1?}, has served a request after {:.1?}", killed.elapsed());
    pair.nothing_is_broken();
}

#[test]
fn a_leader_that_is_told_to_stop_hands_the_lease_over() {
    // So long that a successor which waited for what its predecessor may have begun would be seen.
    let mut pair = Pair::with(&json!({"instanceTimeout": 600}));
    let told = Instant::now();
    assert_eq!(pair.leader.process.terminate(SOON).code(), Some(0));
    assert!(pair.leader.process.stderr().contains("stopped"));
    pair.standby.process.wait_for_log(SOON, |line| line.contains("leading"));
    println!("hand-over: leads after {:.1?}", told.elapsed());
    deactivate_the_rule(&pair.stage);
    disable_the_connection(&pair.stage);
    pair.stage.wait("jsonpath={.status.state}=Disabled", &["dconn/northwind"]);
    pair.nothing_is_broken();

    assert_eq!(pair.standby.process.terminate(SOON).code(), Some(0));
    assert_eq!(pair.holder(), None, "the last one gives the lease up, too");
}

/// The links whose record is, or is not, available for a reason.
fn count(stage: &Stage, reason: &str) -> usize {
    let list = block_on(async {
        let api: Api<PostLink> = Api::namespaced(stage.plane.client(User::Admin).await, NAMESPACE);
        api.list(&ListParams::default()).await.unwrap()
    });
    let has = |link: &&PostLink| {
        let link = serde_json::to_value(link).unwrap();
        condition(&link, "RecordAvailable").is_some_and(|(_, found)| found == reason)
    };
    list.iter().filter(has).count()
}

/// Stores that many posts with a link asked for by hand, past the API server.
fn store_posts(stage: &Stage, posts: usize) {
    block_on(async {
        let gateway = stage.plane.etcd().gateway();
        for number in 0..posts {
            gateway.put(&stored(number), post_link(number).to_string().as_bytes()).await.unwrap();
        }
    });
}

/// Between two looks at hundreds of links: each is a list of a megabyte.
fn looking(stage: &Stage, reason: &str) -> usize {
    std::thread::sleep(Duration::from_secs(1));
    count(stage, reason)
}

#[test]
fn a_leader_that_is_told_to_stop_in_the_midst_of_work_ends_it_and_hands_over() {
    let mut pair = Pair::with(&json!({"instanceTimeout": 600}));
    let links = 400;
    store_posts(&pair.stage, links);
    wait_for("links to be made", SOON, || {
        let made = count(&pair.stage, "RecordPending") + count(&pair.stage, "RecordAvailable");
        (made > 0).then_some(())
    });
    assert_eq!(pair.leader.process.terminate(SOON).code(), Some(0));
    let log = pair.leader.process.stderr();
    assert!(
        log.contains("\"stopped\"") && !log.contains("still under way"),
        "{}",
        pair.leader.process.tail()
    );
    pair.standby.process.wait_for_log(SOON, |line| line.contains("leading"));
    let made = count(&pair.stage, "RecordPending") + count(&pair.stage, "RecordAvailable");
    let left = links - made;
    println!("{left} of {links} links were left to the next one");
    wait_for("all links to be made", SOON, || {
        (looking(&pair.stage, "RecordAvailable") == links).then_some(())
    });
    let broken = oracle::another_activity(&pair.stage.plane.history(OURS));
    assert!(broken.is_empty(), "{broken:#?}");
    // Handed over: nobody waits for what the first one might still be doing.
    deactivate_the_rule(&pair.stage);
    disable_the_connection(&pair.stage);
    pair.stage.wait("jsonpath={.status.state}=Disabled", &["dconn/northwind"]);
}

#[test]
fn a_paused_leader_writes_nothing_after_waking() {
    let mut pair = Pair::with(&json!({"leaseDuration": CALM}));
    let links = 600;
    store_posts(&pair.stage, links);
    wait_for("all links to be made", SOON, || {
        (looking(&pair.stage, "RecordAvailable") == links).then_some(())
    });
    deactivate_the_rule(&pair.stage);
    disable_the_connection(&pair.stage);
    // In the middle of telling hundreds of links.
    pair.stage.wait("jsonpath={.status.state}=Disabled", &["dconn/northwind"]);
    pair.leader.process.signal("STOP");
    let told_before = count(&pair.stage, "ConnectionDisabled");
    pair.standby.process.wait_for_log(SOON, |line| line.contains("leading"));
    wait_for("the other one to tell the rest", SOON, || {
        (looking(&pair.stage, "ConnectionDisabled") == links).then_some(())
    });
    assert!(told_before < links, "it was paused too late to have anything left to write");

    let woken = Timestamp::now();
    pair.leader.process.signal("CONT");
    let ended = pair.leader.process.wait_for_exit(SOON);
    assert_eq!(ended.code(), Some(1), "{}", pair.leader.process.tail());
    assert!(pair.leader.process.stderr().contains("the lease is lost; whoever takes it goes on"));
    let late: Vec<_> = pair
        .sent_by_the_first_since(woken)
        .into_iter()
        .filter(|event| !["get", "list", "watch"].iter().any(|verb| event["verb"] == *verb))
        .map(|event| {
            format!("{} {}: {}", event["verb"], event["requestURI"], event["responseStatus"]["code"])
        })
        .collect();
    assert!(late.is_empty(), "written after waking: {late:#?}");
    pair.serves("after-the-pause");
    // Hundreds of posts that were stored past the API server have no place in the oracle's story of a few.
    let history = pair.stage.plane.history(OURS);
    let broken = [
        oracle::disabled_or_gone_under_an_active_rule(&history),
        oracle::written_without_a_change(&history),
        oracle::observed_generation_fell(&history),
        oracle::another_activity(&history),
    ]
    .concat();
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn an_api_server_that_goes_away_is_named_and_waited_for() {
    let mut pair = Pair::with(&json!({}));
    // Asked before: a server that has just started refuses what it has not read the roles for yet.
    pair.stage.controller_kept_within_its_rights();
    pair.stage.expect_refusals();
    pair.stage.plane.kill_apiserver();
    // Until the lease is over, whoever holds it cannot renew it, and says so; then it must not go on.
    let ended = pair.leader.process.wait_for_exit(SOON);
    assert_eq!(ended.code(), Some(1), "{}", pair.leader.process.tail());
    let log = pair.leader.process.stderr();
    assert!(log.contains("the lease could not be renewed"), "{log}");
    assert!(log.contains("the lease is lost"), "{log}");
    pair.standby
        .process
        .wait_for_log(SOON, |line| line.contains("the lease could not be taken; trying again"));
    // What the kubelet starts again finds nobody to ask, says where it looked, and goes on looking.
    pair.leader.restart();
    pair.leader
        .process
        .wait_for_log(SOON, |line| line.contains("cannot be reached") && line.contains("trying again"));

    pair.stage.plane.restart_apiserver();
    wait_for("one of them to lead", SOON, || {
        let logs = [pair.leader.process.stderr(), pair.standby.process.stderr()];
        logs.iter().any(|log| log.contains("\"leading\"")).then_some(())
    });
    pair.leader.process.wait_for_log(SOON, |line| line.contains("waiting for the lease"));
    pair.serves("after-the-outage");
    assert_eq!(pair.standby.process.exited(), None, "{}", pair.standby.process.tail());
    let broken = oracle::broken_rules(&pair.stage.plane.history("/registry/"), CANARY);
    assert!(broken.is_empty(), "{broken:#?}");
}
