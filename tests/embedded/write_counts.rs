//! Write and request counts: one write per changed object, none for unchanged ones, and batches instead of one request
//! per link (§6).
#![allow(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

use crate::contoso::{HOST, INSTANCE};
use crate::write_log::WriteLog;
use jiff::SignedDuration;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use postlink::{
    api::DynamicsConnection,
    local::{
        apply::Applier,
        session::{APART, Applicant, Session, Wiring},
        settle::settle,
        tree::Tree,
    },
    manifests::parse,
};
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    path::Path,
};

const LINKS: usize = 200;
const RULES: usize = 5;
/// `probe.interval` when it is absent.
const PROBE: SignedDuration = SignedDuration::from_mins(5);

/// A connection, its links, and inactive rules.
fn tree(enabled: bool) -> Tree {
    of(&connection("contoso", enabled))
}

fn connection(name: &str, enabled: bool) -> String {
    format!(
        "---\napiVersion: postlink.dev/v1alpha1\nkind: DynamicsConnection\nmetadata: {{name: {name}}}\n\
         spec: {{instanceUrl: 'https://{HOST}', enabled: {enabled}, credentials: {{secretRef: {{name: contoso}}}}}}\n"
    )
}

/// The instance, these connections, and the links and rules of the connection contoso.
fn of(connections: &str) -> Tree {
    with_instance(INSTANCE, connections)
}

fn with_instance(instance: &str, connections: &str) -> Tree {
    let mut text = format!("{instance}{connections}");
    for number in 0..RULES {
        let _ = write!(
            text,
            "---\napiVersion: postlink.dev/v1alpha1\nkind: AutomationRule\nmetadata: {{name: rule-{number}}}\n\
             spec: {{active: false, connectionRef: {{name: contoso}}}}\n"
        );
    }
    for number in 0..LINKS {
        let _ = write!(
            text,
            "---\napiVersion: postlink.dev/v1alpha1\nkind: PostLink\nmetadata: {{name: post-{number}}}\n\
             spec: {{post: {{url: 'https://social.example/{number}', id: 'post-{number}'}}, link: {{connectionRef: {{name: contoso}}}}}}\n"
        );
    }
    let loaded = parse(Path::new("generated.yaml"), &text);
    assert!(loaded.errors.is_empty(), "{:?}", loaded.errors);
    Tree::of(loaded.documents, &loaded.errors)
}

/// How many times each PostLink was written after a revision.
fn writes(session: &Session, since: u64) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for revision in session.api.history_since(since) {
        if revision.key.resource == "postlinks.postlink.dev" {
            *counts.entry(revision.key.name).or_default() += 1;
        }
    }
    counts
}

fn availability(session: &Session) -> BTreeSet<String> {
    let conditions =
        |o: &serde_json::Value| o["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let links = session.api.objects("PostLink");
    let all = links.iter().flat_map(|link| conditions(link));
    all.filter(|c| c["type"] == "RecordAvailable")
        .filter_map(|c| c["reason"].as_str().map(str::to_owned))
        .collect()
}

/// A session, and the log of its writes.
async fn session() -> (Session, WriteLog) {
    let (hosts, log) = (BTreeSet::from([HOST.to_owned()]), WriteLog::default());
    let wiring = Wiring { in_memory: true, line: Some(log.line()) };
    (Session::wired(Applicant::Tool, &hosts, &wiring).await.unwrap(), log)
}

/// The controller's writes of a kind, including those that changed nothing.
fn count_writes(log: &WriteLog, resource: &str) -> usize {
    log.writes().iter().filter(|request| request.resource == format!("{resource}.postlink.dev")).count()
}

/// Requests to the instance: single ones, and batches.
fn requests(session: &Session) -> (usize, usize) {
    let all = session.world.requests();
    let batches = all.iter().filter(|r| r.host == HOST && r.path.ends_with("/$batch")).count();
    (all.iter().filter(|r| r.host == HOST).count() - batches, batches)
}

/// A new link is written once if its record is there at the first look, and otherwise once more when it appears.
#[tokio::test(start_paused = true)]
async fn new_link_is_written_once_or_twice() {
    for (seconds, times) in [(0, 1), (20, 2)] {
        let (session, log) = session().await;
        let host = format!("host: {HOST}");
        let instance = INSTANCE.replace(&host, &format!("{host}\n  convertsAfterSeconds: {seconds}"));
        let tree = with_instance(&instance, &connection("contoso", true));
        Applier::default().commit(&session, &tree).await.unwrap();
        session.clock.move_to(session.clock.now() + SignedDuration::from_mins(5));
        settle(&session).await.unwrap();
        assert_eq!(availability(&session), BTreeSet::from(["RecordAvailable".to_owned()]));
        assert_eq!(count_writes(&log, "postlinks"), times * LINKS, "the record is there after {seconds} s");
        let (single, batches) = requests(&session);
        assert!(batches <= LINKS / 4, "{batches} batches for {LINKS} links, and {single} requests");
    }
}

/// R5, R16, R19: disabling a connection writes each of its links once, and enabling it once more.
#[tokio::test(start_paused = true)]
async fn toggling_a_connection_writes_each_link_once() {
    let (session, log) = session().await;
    let mut applier = Applier::default();
    let first = applier.commit(&session, &tree(true)).await.unwrap();
    assert_eq!(first.problems, Vec::<String>::new());
    assert_eq!(availability(&session), BTreeSet::from(["RecordAvailable".to_owned()]));

    for (enabled, reason) in [(false, "ConnectionDisabled"), (true, "RecordAvailable")].repeat(2) {
        session.clock.move_to(session.clock.now() + APART);
        settle(&session).await.unwrap();
        let before = session.api.revision();
        log.clear();
        session.world.clear_requests();
        applier.commit(&session, &tree(enabled)).await.unwrap();
        assert_eq!(availability(&session), BTreeSet::from([reason.to_owned()]));
        let counts = writes(&session, before);
        assert_eq!(counts.len(), LINKS, "each link says that enabled is {enabled}");
        let often: Vec<_> = counts.iter().filter(|(_, count)| **count != 1).collect();
        assert!(often.is_empty(), "enabled: {enabled} wrote some links more than once: {often:?}");
        assert_eq!(
            count_writes(&log, "postlinks"),
            LINKS,
            "enabled: {enabled}: every write changes something"
        );
        // Rules are reconciled along with their connection and stay as they are.
        assert_eq!(count_writes(&log, "automationrules"), 0, "enabled: {enabled} changes nothing of a rule");
        let (single, batches) = requests(&session);
        let most = if enabled { LINKS / 20 } else { 0 };
        assert!(single + batches <= most, "enabled: {enabled}: {single} requests and {batches} batches");
    }
}

/// A connection that changes again while its links are still being written: they catch up with its last state.
#[tokio::test(start_paused = true)]
async fn flapping_connection_writes_each_link_at_most_twice() {
    let (session, log) = session().await;
    Applier::default().commit(&session, &tree(true)).await.unwrap();
    log.clear();
    let before = session.api.revision();
    let connections: Api<DynamicsConnection> = Api::namespaced(session.applicant.clone(), "default");
    for number in 0..10 {
        let patch = Patch::Merge(json!({"spec": {"enabled": number % 2 == 1}}));
        connections.patch("contoso", &PatchParams::default(), &patch).await.unwrap();
    }
    settle(&session).await.unwrap();
    assert_eq!(availability(&session), BTreeSet::from(["RecordAvailable".to_owned()]));
    let counts = writes(&session, before);
    let often: Vec<_> = counts.iter().filter(|(_, count)| **count > 2).collect();
    assert!(often.is_empty(), "{often:?}");
    assert!(count_writes(&log, "postlinks") <= 2 * LINKS, "every write changes something");
}

/// A commit that equals the one before changes nothing. A day later, the connection writes when it has read its metadata.
#[tokio::test(start_paused = true)]
async fn equal_commit_writes_nothing() {
    let (session, log) = session().await;
    let mut applier = Applier::default();
    applier.commit(&session, &tree(true)).await.unwrap();
    for apart in [SignedDuration::from_mins(1), APART] {
        session.clock.move_to(session.clock.now() + apart);
        log.clear();
        let before = session.api.revision();
        let report = applier.commit(&session, &tree(true)).await.unwrap();
        assert_eq!((report.done.len(), report.unchanged), (0, 2 + RULES + LINKS));
        let written: Vec<String> = log.writes().into_iter().map(|request| request.resource).collect();
        let refresh = if apart == APART { vec!["dynamicsconnections.postlink.dev"] } else { vec![] };
        assert_eq!(written, refresh);
        assert_eq!(session.api.history_since(before).count(), refresh.len());
    }
}

/// R23–R25: activities and records of links are checked hundreds at a time.
#[tokio::test(start_paused = true)]
async fn probe_checks_all_links_in_one_batch() {
    let (session, log) = session().await;
    Applier::default().commit(&session, &tree(true)).await.unwrap();
    for _ in 0..3 {
        log.clear();
        session.world.clear_requests();
        session.clock.move_to(session.clock.now() + PROBE);
        settle(&session).await.unwrap();
        assert_eq!(requests(&session), (2, 1), "two for its health, and one for all links");
        assert_eq!(log.writes().len(), 0);
    }
}

/// R14: the links of a connection that comes back are checked in batches.
#[tokio::test(start_paused = true)]
async fn restored_links_are_checked_in_batches() {
    let (session, log) = session().await;
    let mut applier = Applier::default();
    applier.commit(&session, &tree(true)).await.unwrap();
    session.clock.move_to(session.clock.now() + APART);
    applier.commit(&session, &of("")).await.unwrap();
    assert_eq!(availability(&session), BTreeSet::new());

    session.clock.move_to(session.clock.now() + APART);
    log.clear();
    session.world.clear_requests();
    applier.commit(&session, &of(&connection("again", true))).await.unwrap();
    assert_eq!(availability(&session), BTreeSet::from(["RecordAvailable".to_owned()]));
    assert_eq!(count_writes(&log, "postlinks"), LINKS);
    let (single, batches) = requests(&session);
    assert!(single + batches <= LINKS / 20, "{single} requests and {batches} batches for {LINKS} links");
}
