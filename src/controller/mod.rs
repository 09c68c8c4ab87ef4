//! The controller: watch → view → decide → perform → write.
//!
//! One watch per kind feeds the [`index`]; a change makes keys due in the [`workqueue`]; a worker takes a key, builds
//! the view, runs the pure decision of `domain` and performs what it says. What takes long (probing an instance,
//! creating an activity) runs in the background and enqueues its key when it has ended.

mod automation_rule;
mod background;
pub mod clock;
mod connection;
mod context;
mod events;
pub mod index;
pub mod key;
pub mod leader;
mod list;
mod observe;
pub mod patch;
pub mod post_link;
mod quiescence;
mod runtime;
mod uninstall_warning;
mod watch;
mod worker;
pub mod workqueue;

pub use context::MayCreate;
pub use observe::{record::observe, snapshot::Observer};
pub use quiescence::Quiescence;

use crate::telemetry::Metrics;
use background::Background;
use clock::Clock;
use context::{Context, Failures};
use events::Events;
use index::Index;
use key::Kind;
use observe::{sync::WatchSync, undecodable::Undecodable};
use runtime::Runtime;
use std::{collections::BTreeSet, time::Duration};
use tokio::{sync::mpsc, task::JoinSet};
use workqueue::WorkQueue;

/// What a controller is started with.
pub struct Settings {
    pub client: kube::Client,
    pub dataverse: dataverse_client::Client,
    pub clock: Clock,
    /// The namespaces to watch; none = all.
    pub namespaces: Vec<String>,
    /// Maximum concurrent reconciles.
    pub concurrency: usize,
    /// Whether anything may still be begun in an instance (§4.7).
    pub may_create: MayCreate,
    /// For so long the previous leader's link creations may still be in flight (§4.4).
    pub predecessor: Option<Duration>,
    pub metrics: Metrics,
}

/// A running controller.
pub struct Controller {
    context: Context,
    tasks: JoinSet<()>,
}

/// Why a controller stopped.
#[derive(Debug, thiserror::Error)]
#[error("a part of the controller ended unexpectedly: {0}")]
pub struct Stopped(String);

impl Controller {
    /// Starts the watches and the workers.
    pub fn start(settings: Settings) -> Self {
        let Settings { client, dataverse, clock, namespaces, concurrency, may_create, .. } = settings;
        let (predecessor, metrics) = (settings.predecessor, settings.metrics);
        metrics.kinds(&Kind::ALL.map(Kind::as_str));
        let queue = WorkQueue::new(clock.clone());
        // Two watches of one namespace would delete each other's objects when one of them relists.
        let namespaces: BTreeSet<String> = namespaces.into_iter().collect();
        let namespaces: Vec<_> =
            if namespaces.is_empty() { vec![None] } else { namespaces.into_iter().map(Some).collect() };
        let (rematch, rematches) = mpsc::unbounded_channel();
        let context = Context {
            events: Events::start(client.clone(), queue.clone(), metrics.clone()),
            client,
            dataverse,
            clock,
            sync: WatchSync::of(namespaces.len()),
            namespaces: namespaces.into(),
            index: Index::default(),
            queue,
            runtime: Runtime::default(),
            undecodable: Undecodable::default(),
            metrics,
            may_create,
            background: Background::default(),
            rematch,
            predecessor_done: predecessor.map(|wait| tokio::time::Instant::now() + wait),
            failures: Failures::default(),
        };
        let mut tasks = JoinSet::new();
        watch::start(&context, &mut tasks);
        tasks.spawn(post_link::rematch::run(context.clone(), rematches));
        tasks.spawn(worker::work(context.clone(), concurrency.max(1)));
        Self { context, tasks }
    }

    /// Keeps the number of connections on the ConfigMap of the installation in `namespace`, which warns on uninstall.
    pub fn warn_on_uninstall(&mut self, namespace: &str) {
        let Context { client, index, sync, .. } = self.context.clone();
        self.tasks.spawn(uninstall_warning::keep(client, namespace.to_owned(), index, sync));
    }

    /// Runs until a part ends that should not, which is an error.
    pub async fn run(&mut self) -> Stopped {
        match self.tasks.join_next().await {
            Some(Err(error)) if error.is_panic() => Stopped("it panicked".to_owned()),
            Some(Err(error)) => Stopped(error.to_string()),
            Some(Ok(())) | None => Stopped("it returned".to_owned()),
        }
    }

    /// Begins nothing new; what is in flight ends, and its result is written.
    pub async fn stop(mut self) {
        self.context.runtime.stop();
        self.context.queue.drain();
        while self.context.runtime.is_creating_any() || !self.context.queue.is_idle() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.context.queue.close();
        self.tasks.abort_all();
        while self.tasks.join_next().await.is_some() {}
    }

    /// What metrics and health read; it outlives the controller.
    pub fn observer(&self) -> Observer {
        Observer::of(&self.context)
    }

    /// What to wait for until nothing is going on.
    pub fn quiescence(&self) -> Quiescence {
        Quiescence::of(&self.context)
    }
}
