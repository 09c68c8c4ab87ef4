//! The loop: watch → view → decide → apply.
//!
//! One watch per kind feeds the [`index`]; a change makes keys due in the [`queue`]; a worker takes a key, builds the
//! view, runs the pure decision of `rules` and performs what it says. What takes long (asking an instance, creating
//! an activity) runs beside the loop in [`instances`] and makes its key due again.

pub mod clock;
mod connection;
pub mod events;
pub mod gate;
mod in_use;
pub mod index;
pub mod instances;
pub mod lease;
mod link;
mod measure;
mod progress;
pub mod queue;
mod readings;
mod rematches;
mod rule;
mod unreadable;
mod watches;
pub mod writer;

use crate::{rules::Requeue, telemetry::Metrics};
use clock::Clock;
use events::Events;
use index::{Index, Touched};
use instances::{Instances, MayCreate};
use jiff::{SignedDuration, Timestamp};
pub use measure::observe;
pub use progress::Progress;
use queue::{Key, Kind, Queue};
pub use readings::Readings;
use rematches::Rematches;
use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{sync::Semaphore, task::JoinSet};
use tracing::{error, trace, warn};
use unreadable::Unreadable;
use writer::WriteError;

/// Until a watch that is behind has caught up.
const AGAIN: SignedDuration = SignedDuration::from_secs(1);

/// What a controller is started with.
pub struct Settings {
    /// The API server.
    pub client: kube::Client,
    /// The instances' client.
    pub dynamics: dataverse_client::Client,
    /// The time.
    pub clock: Clock,
    /// The namespaces to look after; none = all.
    pub namespaces: Vec<String>,
    /// Keys looked at at one time.
    pub concurrency: usize,
    /// Whether anything may still be begun in an instance (§4.7).
    pub may_create: MayCreate,
    /// For so long a predecessor's link creations may still be under way (§4.4).
    pub predecessor: Option<Duration>,
    /// What is counted.
    pub metrics: Metrics,
}

/// What every part of the loop shares.
#[derive(Clone)]
struct Shell {
    client: kube::Client,
    clock: Clock,
    namespaces: Vec<Option<String>>,
    index: Index,
    queue: Queue,
    instances: Instances,
    events: Events,
    progress: Progress,
    rematches: Rematches,
    unreadable: Unreadable,
    metrics: Metrics,
    /// By a clock that nobody sets: a jump of the other must not end the wait.
    predecessor_done: Option<tokio::time::Instant>,
    backoff: Arc<Mutex<HashMap<Key, u32>>>,
    beside: Arc<AtomicUsize>,
}

/// Work beside the loop.
struct Beside(Arc<AtomicUsize>);

impl Drop for Beside {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A running controller.
pub struct Controller {
    shell: Shell,
    tasks: JoinSet<()>,
}

/// Why a controller stopped.
#[derive(Debug, thiserror::Error)]
#[error("a part of the controller ended unexpectedly: {0}")]
pub struct Stopped(String);

impl Controller {
    /// Starts the watches and the workers.
    pub fn start(settings: Settings) -> Self {
        let Settings { client, dynamics, clock, namespaces, concurrency, may_create, .. } = settings;
        let (predecessor, metrics) = (settings.predecessor, settings.metrics);
        metrics.kinds(&Kind::ALL.map(Kind::as_str));
        let (index, queue) = (Index::default(), Queue::new(clock.clone()));
        let instances =
            Instances::new(client.clone(), dynamics, clock.clone(), index.clone(), queue.clone(), may_create);
        // Two watches of one namespace would delete each other's objects when one of them lists anew.
        let namespaces: BTreeSet<String> = namespaces.into_iter().collect();
        let namespaces: Vec<_> =
            if namespaces.is_empty() { vec![None] } else { namespaces.into_iter().map(Some).collect() };
        let shell = Shell {
            events: Events::start(client.clone(), queue.clone(), metrics.clone()),
            client,
            clock,
            progress: Progress::of(namespaces.len()),
            rematches: Rematches::default(),
            namespaces,
            index,
            queue,
            instances,
            unreadable: Unreadable::default(),
            metrics,
            predecessor_done: predecessor.map(|wait| tokio::time::Instant::now() + wait),
            backoff: Arc::default(),
            beside: Arc::default(),
        };
        let mut tasks = JoinSet::new();
        watches::start(&shell, &mut tasks);
        tasks.spawn(work(shell.clone(), concurrency.max(1)));
        Self { shell, tasks }
    }

    /// Keeps the number of connections on the ConfigMap of the installation in `namespace`, for whoever uninstalls it.
    pub fn tell_in_use(&mut self, namespace: &str) {
        let Shell { client, index, progress, .. } = self.shell.clone();
        self.tasks.spawn(in_use::keep(client, namespace.to_owned(), index, progress));
    }

    /// Runs until something ends that should not, which is an error, or for ever.
    pub async fn run(&mut self) -> Stopped {
        match self.tasks.join_next().await {
            Some(Err(error)) if error.is_panic() => Stopped("it panicked".to_owned()),
            Some(Err(error)) => Stopped(error.to_string()),
            Some(Ok(())) | None => Stopped("it returned".to_owned()),
        }
    }

    /// Begins nothing new; what is under way ends, and what became of it is written.
    pub async fn stop(mut self) {
        self.shell.instances.stop();
        self.shell.queue.drain();
        while self.shell.instances.is_creating_any() || !self.shell.queue.is_idle() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.shell.queue.close();
        self.tasks.abort_all();
        while self.tasks.join_next().await.is_some() {}
    }

    /// Whether the index is complete.
    pub fn progress(&self) -> &Progress {
        &self.shell.progress
    }

    /// Whether nothing is due and nothing is under way. Timers may wait.
    pub fn is_idle(&self) -> bool {
        self.shell.progress.is_complete()
            && self.shell.queue.is_idle()
            && self.shell.instances.is_idle()
            && self.shell.events.is_idle()
            && self.shell.beside.load(Ordering::SeqCst) == 0
    }

    /// The timers something waits for, soonest first.
    pub fn awaited(&self) -> Vec<(Timestamp, Key)> {
        self.shell.queue.awaited()
    }

    /// Asks no instance known so far anything, until [`Controller::release_instances`]: a clock that has jumped makes
    /// every look due at once, before the commit it jumped to has arrived.
    pub fn hold_instances(&self) {
        self.shell.instances.hold();
    }

    /// Ends that; what became due meanwhile is asked now.
    pub fn release_instances(&self) {
        self.shell.instances.release();
    }

    /// How it stands, for metrics and health.
    pub fn readings(&self) -> Readings {
        Readings::of(&self.shell)
    }
}

impl Shell {
    /// Makes due what a change touched.
    fn follow(&self, touched: Touched) {
        self.queue.extend(touched.keys);
        if let Some(namespace) = touched.rematch {
            rematches::rematch(self, namespace);
        }
    }

    /// Counts work beside the loop until it is dropped.
    fn beside(&self) -> Beside {
        self.beside.fetch_add(1, Ordering::SeqCst);
        Beside(self.beside.clone())
    }

    /// Whether link creations of the process that held the lease before may still be under way.
    fn creations_of_a_predecessor(&self) -> bool {
        self.predecessor_done.is_some_and(|done| tokio::time::Instant::now() < done)
    }

    /// When they no longer can be.
    fn after_a_predecessor(&self) -> Option<Requeue> {
        let left = self.predecessor_done?.checked_duration_since(tokio::time::Instant::now())?;
        // A moment later: the two clocks need not agree to the millisecond.
        let left = SignedDuration::try_from(left + Duration::from_millis(10)).ok()?;
        Some(Requeue::awaited(self.clock.now() + left))
    }

    /// The object is gone, and with it how often looking at it has failed.
    fn gone(&self, key: &Key) {
        self.backoff(key, false);
    }

    /// How long after this failure the key is looked at again: per object, doubling, forgotten on success.
    fn backoff(&self, key: &Key, failed: bool) -> Option<Requeue> {
        let mut failures = self.backoff.lock().unwrap_or_else(PoisonError::into_inner);
        if !failed {
            failures.remove(key);
            return None;
        }
        let count = failures.entry(key.clone()).and_modify(|n| *n += 1).or_insert(1);
        let wait = SignedDuration::from_millis(100 << (*count - 1).min(11));
        Some(Requeue::awaited(self.clock.now() + wait))
    }
}

/// The workers: as many keys at a time as there are permits.
async fn work(shell: Shell, concurrency: usize) {
    let permits = Arc::new(Semaphore::new(concurrency));
    let mut looks = JoinSet::new();
    loop {
        let next = async {
            // Never closed, so always granted.
            let permit = permits.clone().acquire_owned().await.ok()?;
            shell.queue.next().await.map(|due| (permit, due))
        };
        let (permit, (key, waited)) = tokio::select! {
            biased;
            // A look that panicked leaves its key under way for ever, so the process ends at once.
            Some(ended) = looks.join_next() => match ended {
                Ok(()) => continue,
                Err(failure) => {
                    error!(%failure, "looking at an object panicked");
                    return;
                }
            },
            next = next => match next {
                Some(next) => next,
                None => break,
            },
        };
        shell.metrics.waited(key.kind.as_str(), waited);
        let shell = shell.clone();
        looks.spawn(async move {
            let _permit = permit;
            let requeue = look(&shell, &key).await;
            shell.queue.done(&key, requeue);
        });
    }
    while looks.join_next().await.is_some() {}
}

async fn look(shell: &Shell, key: &Key) -> Option<Requeue> {
    let begin = Instant::now();
    let result = match key.kind {
        Kind::Connection => connection::look(shell, key).await,
        Kind::Rule => rule::look(shell, key).await,
        Kind::Link => link::look(shell, key).await,
    };
    shell.metrics.reconciled(key.kind.as_str(), measure::word(&result), begin.elapsed());
    trace!(kind = key.kind.as_str(), namespace = %key.namespace, name = %key.name, uid = shell.index.uid(key), ?result, "looked");
    match result {
        Ok(requeue) => {
            shell.backoff(key, false);
            requeue
        }
        // The watch tells what was faster, and makes the key due.
        Err(WriteError::Gone) => {
            shell.gone(key);
            None
        }
        Err(WriteError::Stale) => shell.backoff(key, true),
        Err(error) => {
            let (kind, uid) = (key.kind.as_str(), shell.index.uid(key));
            warn!(kind, namespace = %key.namespace, name = %key.name, uid, %error, "reconcile failed; retrying with backoff");
            shell.backoff(key, true)
        }
    }
}
