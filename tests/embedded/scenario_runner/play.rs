//! One run of a scenario: apply, settle, compare, commit by commit.

use super::{Scenario, assertions, file::without_changes, invariants};
use crate::{history::Replay, write_log::WriteLog};
use base64::Engine;
use jiff::SignedDuration;
use kube_memory::FaultInjector;
use postlink::{
    local::{
        apply::Applier,
        session::{APART, Applicant, Session, Wiring},
        settle::settle,
        tree::Tree,
    },
    manifests::Document,
};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};
use uuid::Uuid;

/// Our resources, as the API's history names them.
const OURS: [&str; 3] =
    ["dynamicsconnections.postlink.dev", "automationrules.postlink.dev", "postlinks.postlink.dev"];
/// The longest probe interval of any scenario: after it every periodic reconcile is due.
const PROBE: SignedDuration = SignedDuration::from_mins(5);

/// How a scenario is run.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Shuffles the documents and decides whether to prune before or after applying.
    pub seed: u64,
    /// In-memory streams instead of HTTPS, so that the runtime's clock can be paused.
    pub in_memory: bool,
    /// How many of a thousand API requests of the controller fail.
    pub faults_per_mille: u32,
}

impl Run {
    /// As `postlink local` runs it.
    pub fn as_local(seed: u64) -> Self {
        Self { seed, in_memory: false, faults_per_mille: 0 }
    }

    /// Without sockets, on a paused clock that skips every wait.
    pub fn in_memory(seed: u64) -> Self {
        Self { in_memory: true, ..Self::as_local(seed) }
    }

    /// Runs a scenario on a runtime of its own.
    pub fn play(self, scenario: &Scenario) -> Result<(), String> {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().start_paused(self.in_memory).build().unwrap().block_on(play(scenario, self))
    }
}

/// Runs a scenario; an error lists everything that was not as expected.
async fn play(scenario: &Scenario, run: Run) -> Result<(), String> {
    let mut failed = String::new();
    let mut runner = Runner::build(scenario, run).await?;
    for (number, commit) in scenario.commits.iter().enumerate() {
        if number > 0 {
            runner.session.clock.move_to(runner.session.clock.now() + APART);
        }
        let since = runner.session.api.revision();
        let mut wrong = runner.commit(&commit.documents).await;
        wrong.extend(assertions::check(&runner.session, scenario, &commit.expect, &runner.organizations));
        wrong.extend(invariants::check(&runner.session));
        wrong.extend(invariants::leaks(&runner.session.api, since, &runner.secrets));
        wrong.extend(runner.history.broken(&runner.session.api));
        report(&mut failed, &commit.name, &wrong);
    }
    if let Some(last) = scenario.commits.last() {
        let mut documents = last.documents.clone();
        documents.iter_mut().for_each(without_changes);
        let mut wrong = runner.check_idempotence(&documents).await;
        wrong.extend(runner.history.broken(&runner.session.api));
        report(&mut failed, &format!("{}, applied again", last.name), &wrong);
    }
    if failed.is_empty() {
        return Ok(());
    }
    let seed = run.seed;
    Err(format!(
        "scenario {} ({})\nseed {seed}, repeat with POSTLINK_SEED={seed}; {run:?}{failed}",
        scenario.name, scenario.rule
    ))
}

fn report(failed: &mut String, commit: &str, wrong: &[String]) {
    if !wrong.is_empty() {
        let _ = write!(failed, "\n  commit {commit}:");
    }
    for sentence in wrong {
        let _ = write!(failed, "\n    {sentence}");
    }
}

struct Runner {
    session: Session,
    applier: Applier,
    random: StdRng,
    faulty: bool,
    /// The controller's writes. Unused when requests fail at random, because failed ones are repeated.
    log: WriteLog,
    history: Replay,
    /// The organization each `SimulatedInstance` served when it was last stated, by name.
    organizations: BTreeMap<String, Uuid>,
    /// All client secrets, with the name of the object that holds each.
    secrets: BTreeMap<String, String>,
}

impl Runner {
    async fn build(scenario: &Scenario, run: Run) -> Result<Self, String> {
        let mut random = StdRng::seed_from_u64(run.seed);
        let documents = scenario.commits.iter().flat_map(|c| &c.documents);
        let text =
            |d: &Document, pointer: &str| d.value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let hosts: BTreeSet<String> = documents
            .clone()
            .filter(|d| text(d, "/kind").as_deref() == Some("SimulatedInstance"))
            .filter_map(|d| text(d, "/spec/host"))
            .collect();
        let mut secrets = BTreeMap::new();
        for document in documents {
            let whose = text(document, "/metadata/name").unwrap_or_default();
            let plain = ["/stringData/clientSecret", "/spec/clientSecret"]
                .into_iter()
                .find_map(|p| text(document, p));
            let encoded = text(document, "/data/clientSecret");
            let base64 = base64::engine::general_purpose::STANDARD;
            for plain in plain.iter().filter(|s| !s.is_empty()) {
                secrets.insert(base64.encode(plain), whose.clone());
                secrets.insert(plain.clone(), whose.clone());
            }
            secrets.extend(encoded.map(|e| (e, whose)));
        }
        let log = WriteLog::default();
        let line = match run.faults_per_mille {
            0 => log.line(),
            faults => FaultInjector::random(run.seed, faults, 2),
        };
        let wiring = Wiring { line: Some(line), in_memory: run.in_memory };
        let session =
            Session::wired(Applicant::Tool, &hosts, &wiring).await.map_err(|error| error.to_string())?;
        let mut applier = Applier::default();
        applier.prune_first = random.random();
        Ok(Self {
            session,
            applier,
            random,
            faulty: run.faults_per_mille > 0,
            log,
            history: Replay::default(),
            organizations: BTreeMap::new(),
            secrets,
        })
    }

    /// The documents in random order, namespaces first.
    fn tree(&mut self, documents: &[Document]) -> Tree {
        let mut tree = Tree::of(documents.to_vec(), &[]);
        tree.items.shuffle(&mut self.random);
        tree.items.sort_by_key(|item| item.id.kind != "Namespace");
        tree
    }

    /// Applies a commit and lets it settle.
    async fn commit(&mut self, documents: &[Document]) -> Vec<String> {
        let tree = self.tree(documents);
        for instance in &tree.instances {
            self.organizations.insert(instance.name.clone(), instance.spec.organization.id);
        }
        let mut wrong: Vec<String> =
            tree.ignored.keys().map(|ignored| format!("not a document of a scenario: {ignored}")).collect();
        match self.applier.commit(&self.session, &tree).await {
            Ok(report) => {
                wrong.extend(report.problems.iter().map(|problem| format!("refused: {problem}")));
                let idle = report.warnings.iter().filter(|w| w.starts_with("SimulatedInstance "));
                wrong.extend(idle.map(|warning| format!("a change in the file: {warning}")));
            }
            Err(error) => wrong.push(error.to_string()),
        }
        if self.faulty {
            wrong.extend(self.settle_under_faults(&tree).await);
        }
        wrong
    }

    /// A whole round of retries may fail by chance and change nothing: repeat until several in a row change nothing.
    async fn settle_under_faults(&mut self, tree: &Tree) -> Vec<String> {
        let mut calm = 0;
        for _ in 0..50 {
            let before = self.session.api.revision();
            for item in &tree.items {
                let id = &item.id;
                if self.session.api.get(&id.kind, &id.namespace, &id.name).is_none() {
                    // As a GitOps tool would on its next sync.
                    let mut again = Tree::of(tree.items.iter().map(|i| i.document.clone()).collect(), &[]);
                    again.instances.clone_from(&tree.instances);
                    again.instances.iter_mut().for_each(|i| i.spec.changes.clear());
                    if let Err(error) = self.applier.commit(&self.session, &again).await {
                        return vec![error.to_string()];
                    }
                    break;
                }
            }
            if let Err(error) = settle(&self.session).await {
                return vec![error.to_string()];
            }
            calm = if self.session.api.revision() == before { calm + 1 } else { 0 };
            if calm == 4 {
                return Vec::new();
            }
        }
        vec!["still restless".to_owned()]
    }

    /// Applying the same tree again, and probing every instance after that, writes nothing.
    async fn check_idempotence(&mut self, documents: &[Document]) -> Vec<String> {
        let before = self.session.api.revision();
        self.log.clear();
        let mut wrong = self.commit(documents).await;
        wrong.extend(self.written(before, "the same tree applied again"));
        let before = self.session.api.revision();
        self.log.clear();
        for _ in 0..2 {
            self.session.clock.move_to(self.session.clock.now() + PROBE);
            if let Err(error) = settle(&self.session).await {
                wrong.push(error.to_string());
            }
        }
        wrong.extend(self.written(before, "time passing"));
        wrong
    }

    /// Revisions stored since, and the controller's write requests: a write that changes nothing is never stored.
    fn written(&self, since: u64, why: &str) -> Vec<String> {
        let ours = |r: &kube_memory::HistoryEntry| OURS.contains(&r.key.resource.as_str());
        let requested = self.log.writes().into_iter().filter(|r| OURS.contains(&r.resource.as_str()));
        let requested = requested.map(|r| {
            format!("{why} made the controller {} {}/{} {}", r.verb, r.resource, r.name, r.subresource)
        });
        let stored = self.session.api.history_since(since).filter(ours).map(|r| {
            let (before, after) = (r.before(), r.after());
            format!(
                "{why} wrote {}/{} ({:?} by {}):\n{}",
                r.key.resource,
                r.key.name,
                r.kind,
                r.user.username,
                difference(before.as_deref(), after.as_deref())
            )
        });
        stored.chain(requested).collect()
    }
}

fn difference(before: Option<&Value>, after: Option<&Value>) -> String {
    let shown = |object: Option<&Value>| object.map(assertions::described).unwrap_or_default();
    let (before, after) = (shown(before), shown(after));
    let mut out = String::new();
    for line in before.lines().filter(|l| !after.contains(*l)) {
        let _ = writeln!(out, "    - {}", line.trim());
    }
    for line in after.lines().filter(|l| !before.contains(*l)) {
        let _ = writeln!(out, "    + {}", line.trim());
    }
    out
}
