//! A driver that reproduces Argo CD's sync; Argo CD itself does not run here. It makes the same requests (kubectl's
//! client-side apply, foreground deletion) in the same order and with the same waits: prune before apply within a wave,
//! healthy before the next wave, pruned objects gone before the next wave, five retries.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::cell::Cell;
use super::health::health_of;
use super::tool::{Commit, SyncResult, Tool};
use super::tree::{Layout, Tree, identity};
use crate::cluster::SOON;
use crate::harness::kubectl::Answer;
use crate::harness::users::User;

/// Retries of a failed automatic sync; after that only the next commit starts another.
const RETRIES: u32 = 5;

/// Poll interval of a running sync. Argo CD polls every few seconds.
const LOOK_AGAIN: Duration = Duration::from_millis(300);

/// After this many polls in the same state, with the connection held, the sync counts as stuck.
const FOR_EVER: u32 = 10;

/// An Application with automatic sync and pruning.
pub struct Application {
    layout: Layout,
    /// Everything this application ever applied, as Argo CD finds by the tracking annotation.
    applied: Tree,
}

/// The result of one sync operation.
enum Operation {
    Succeeded,
    Failed(String),
    /// Still running: Argo CD waits and ignores other commits meanwhile.
    Waiting(String),
}

/// The state of one object's task; absent while pending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TaskState {
    /// Applied; its health is not known yet.
    Running,
    Succeeded,
    Failed,
}

/// One object of a sync.
struct Task {
    /// None: removed from the tree, to be pruned.
    target: Option<Value>,
    live: Option<Value>,
    wave: i64,
}

impl Task {
    fn object(&self) -> &Value {
        self.target.as_ref().or(self.live.as_ref()).expect("a task is about an object")
    }

    fn key(&self) -> String {
        format!("{:?}", identity(self.object()))
    }
}

impl Application {
    pub fn of_one_wave() -> Self {
        Self::new(Layout::default())
    }

    pub fn of_two_waves(prune_last: bool) -> Self {
        Self::new(Layout { waves: true, prune_last, ..Layout::default() })
    }

    fn new(layout: Layout) -> Self {
        Self { layout, applied: Tree::default() }
    }

    /// The tasks of a sync with the live objects, by wave, kind and name.
    fn tasks(&self, cell: &Cell<'_>, tree: &Tree) -> Vec<Task> {
        let live = |object: &Value| {
            let metadata = &object["metadata"];
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            cell.get(&text(&object["kind"]), &text(&metadata["namespace"]), &text(&metadata["name"]))
        };
        let mut tasks = Vec::new();
        for target in &tree.objects {
            tasks.push(Task { live: live(target), wave: wave(target), target: Some(tracked(cell, target)) });
        }
        for gone in self.applied.without(tree).objects {
            if let Some(live) = live(&gone) {
                tasks.push(Task { wave: wave(&live), target: None, live: Some(live) });
            }
        }
        let prune_waves: Vec<_> = {
            let mut waves: Vec<_> =
                tasks.iter().filter(|task| task.target.is_none()).map(|task| task.wave).collect();
            waves.sort_unstable();
            waves.dedup();
            waves
        };
        let last = tasks.iter().map(|task| task.wave).max().unwrap_or(0).max(0);
        for task in tasks.iter_mut().filter(|task| task.target.is_none()) {
            // Pruning runs in reverse order.
            let at = prune_waves.iter().position(|wave| *wave == task.wave).expect("each was collected");
            task.wave = prune_waves[prune_waves.len() - 1 - at];
            let options = task
                .live
                .as_ref()
                .map(|live| &live["metadata"]["annotations"]["argocd.argoproj.io/sync-options"]);
            if options.and_then(Value::as_str).is_some_and(|options| options.contains("PruneLast=true")) {
                task.wave = last + 1;
            }
        }
        let name = |task: &Task| task.object()["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        tasks.sort_by_key(|task| (task.wave, kind_order(task.object()), name(task)));
        tasks
    }

    /// Runs one operation until it ends, or until it waits for something that only a later part of itself could change.
    /// `only`: sync a single kind.
    fn operation(&self, cell: &Cell<'_>, tree: &Tree, only: Option<&str>) -> Operation {
        let mut done: BTreeMap<String, TaskState> = BTreeMap::new();
        let targets = Tree { objects: tree.objects.iter().map(|target| tracked(cell, target)).collect() };
        let dry = apply(cell, &targets, &["--dry-run=client"]);
        if !dry.succeeded() {
            return Operation::Failed(dry.stderr);
        }
        let begin = Instant::now();
        let mut same: (u32, String) = (0, String::new());
        loop {
            let mut tasks = self.tasks(cell, tree);
            tasks.retain(|task| only.is_none_or(|kind| task.object()["kind"] == kind));
            update(&tasks, &mut done);
            match Self::step(cell, &tasks, &mut done, only.is_some()) {
                Step::Finished(ended) => return ended,
                Step::Wait(words) => {
                    // The holding rules are active in the cluster; only a part of the tree that this sync has not
                    // reached can change that.
                    let held = words == same.1 && cell.observe().is_held();
                    same = (if held { same.0 + 1 } else { 0 }, words);
                    if same.0 == FOR_EVER || begin.elapsed() > SOON {
                        return Operation::Waiting(same.1);
                    }
                    std::thread::sleep(LOOK_AGAIN);
                }
            }
        }
    }

    /// One iteration of a sync.
    fn step(cell: &Cell<'_>, tasks: &[Task], done: &mut BTreeMap<String, TaskState>, alone: bool) -> Step {
        let waves: Vec<_> = tasks.iter().map(|task| task.wave).collect();
        let several = !alone && waves.first() != waves.last();
        let running: Vec<_> =
            tasks.iter().filter(|task| done.get(&task.key()) == Some(&TaskState::Running)).collect();
        if several && let Some(first) = running.first() {
            return Step::Wait(format!("waiting for healthy state of {}", title(first.object())));
        }
        let terminating = tasks.iter().find(|task| {
            let deleted = task.live.as_ref().map(|live| !live["metadata"]["deletionTimestamp"].is_null());
            task.target.is_none() && done.contains_key(&task.key()) && deleted == Some(true)
        });
        if let Some(task) = terminating {
            return Step::Wait(format!("waiting for deletion of {}", title(task.object())));
        }
        if tasks.iter().any(|task| done.get(&task.key()) == Some(&TaskState::Failed)) {
            let words = "one or more synchronization tasks completed unsuccessfully".to_owned();
            return Step::Finished(Operation::Failed(words));
        }
        let pending: Vec<_> = tasks.iter().filter(|task| !done.contains_key(&task.key())).collect();
        let Some(wave) = pending.first().map(|task| task.wave) else {
            return Step::Finished(Operation::Succeeded);
        };
        let (now, later): (Vec<&Task>, Vec<_>) = pending.into_iter().partition(|task| task.wave == wave);
        let refused = run(cell, &now, done);
        if !refused.is_empty() {
            return Step::Finished(Operation::Failed(refused));
        }
        if later.is_empty() {
            // A sync does not wait for the objects of its last wave.
            return Step::Finished(Operation::Succeeded);
        }
        Step::Wait(format!("wave {wave} is applied"))
    }
}

enum Step {
    Finished(Operation),
    Wait(String),
}

impl Tool for Application {
    fn layout(&self) -> Layout {
        self.layout
    }

    fn sync(&mut self, cell: &Cell<'_>, commit: &Commit<'_>) -> SyncResult {
        for object in &commit.tree.objects {
            if !self.applied.has(object) {
                self.applied.objects.push(object.clone());
            }
        }
        let mut words = String::new();
        for _ in 0..=RETRIES {
            match self.operation(cell, commit.tree, None) {
                Operation::Succeeded => return SyncResult::Synced,
                Operation::Waiting(words) => return SyncResult::Waiting(words),
                Operation::Failed(why) => words = why,
            }
        }
        SyncResult::Refused(words)
    }

    /// Terminate the operation, and sync the rules alone: `argocd app sync --resource postlink.dev:AutomationRule:*`.
    fn recover(&mut self, cell: &Cell<'_>, commit: &Commit<'_>) -> SyncResult {
        match self.operation(cell, commit.tree, Some("AutomationRule")) {
            Operation::Succeeded => self.sync(cell, commit),
            Operation::Waiting(words) => SyncResult::Waiting(words),
            Operation::Failed(words) => SyncResult::Refused(words),
        }
    }
}

/// Updates running tasks from the health of the live objects.
fn update(tasks: &[Task], done: &mut BTreeMap<String, TaskState>) {
    let running: Vec<_> = tasks
        .iter()
        .filter(|task| done.get(&task.key()) == Some(&TaskState::Running))
        .filter_map(|task| Some((task.key(), task.live.clone()?)))
        .collect();
    if running.is_empty() {
        return;
    }
    let objects: Vec<_> = running.iter().map(|(_, live)| live.clone()).collect();
    for ((key, _), health) in running.into_iter().zip(health_of(&objects)) {
        match health.argo.status.as_str() {
            // An object without health counts as healthy.
            "Healthy" | "" => done.insert(key, TaskState::Succeeded),
            "Degraded" => done.insert(key, TaskState::Failed),
            _ => None,
        };
    }
}

/// Prunes, then applies, the tasks of one wave. Returns the errors.
fn run(cell: &Cell<'_>, tasks: &[&Task], done: &mut BTreeMap<String, TaskState>) -> String {
    let mut refused = String::new();
    for task in tasks.iter().filter(|task| task.target.is_none()) {
        let answer = prune(cell, task.live.as_ref().expect("what is pruned is there"));
        let failed = answer.filter(|answer| !answer.succeeded());
        done.insert(task.key(), if failed.is_some() { TaskState::Failed } else { TaskState::Succeeded });
        refused.extend(failed.map(|answer| answer.stderr));
    }
    if !refused.is_empty() {
        return refused;
    }
    let objects: Vec<_> = tasks.iter().filter_map(|task| task.target.clone()).collect();
    if objects.is_empty() {
        return refused;
    }
    // One call per wave: the same requests in the same order, and it continues after a denied one.
    let answer = apply(cell, &Tree { objects }, &[]);
    for task in tasks.iter().filter(|task| task.target.is_some()) {
        done.insert(task.key(), TaskState::Running);
    }
    if answer.succeeded() { String::new() } else { answer.stderr }
}

/// Client-side apply with kubectl, whose code Argo CD uses.
fn apply(cell: &Cell<'_>, tree: &Tree, further: &[&str]) -> Answer {
    let args = ["apply", "-f", "-", "--field-manager=argocd-controller"];
    cell.cluster.plane.kubectl_with_input(User::Argo, [&args[..], further].concat(), &tree.text())
}

/// None: already being deleted; Argo CD sends no second request.
fn prune(cell: &Cell<'_>, live: &Value) -> Option<Answer> {
    if !live["metadata"]["deletionTimestamp"].is_null() {
        return None;
    }
    let args = ["delete", "-f", "-", "--cascade=foreground", "--wait=false", "--ignore-not-found"];
    Some(cell.cluster.plane.kubectl_with_input(User::Argo, args, &live.to_string()))
}

/// Adds the tracking annotation.
fn tracked(cell: &Cell<'_>, target: &Value) -> Value {
    let (api, kind) = (target["apiVersion"].as_str().unwrap_or_default(), &target["kind"]);
    let group = api.split_once('/').map_or("", |(group, _)| group);
    let metadata = &target["metadata"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let id = format!(
        "{}:{group}/{}:{}/{}",
        cell.namespace,
        text(kind),
        text(&metadata["namespace"]),
        text(&metadata["name"])
    );
    let mut target = target.clone();
    target["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"] = json!(id);
    target
}

fn wave(object: &Value) -> i64 {
    let annotation = &object["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"];
    annotation.as_str().and_then(|wave| wave.parse().ok()).unwrap_or(0)
}

/// Built-in kinds first; custom kinds are sorted by name only.
fn kind_order(object: &Value) -> usize {
    let kinds = ["Namespace", "Secret", "ConfigMap"];
    kinds.iter().position(|kind| object["kind"] == *kind).unwrap_or(kinds.len())
}

fn title(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let api = text(&object["apiVersion"]);
    let group = api.split_once('/').map_or("", |(group, _)| group);
    format!("{group}/{}/{}", text(&object["kind"]), text(&object["metadata"]["name"]))
}
