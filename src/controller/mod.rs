//! The controller: watch → view → decide → perform → write.
//!
//! One watch per kind feeds the [`index`]; a change enqueues keys in the [`workqueue`]; a worker takes a key, builds the
//! view, runs the pure decision of `domain` and performs it. Long operations (probing an instance, creating an activity)
//! run in the background and enqueue their key at the end.

mod automation_rule;
mod background;
pub mod clock;
mod connection;
mod context;
mod event_queue;
mod events;
pub mod index;
mod installation;
mod instance_slots;
pub mod key;
pub mod lease;
mod list;
mod observe;
pub mod page_size;
pub mod patch;
pub mod post_link;
mod quiescence;
mod read_ahead;
mod received;
mod runtime;
mod undecodable;
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
use instance_slots::InstanceSlots;
use key::Kind;
use list::ListSlots;
use observe::sync::WatchSync;
use runtime::Runtime;
use std::{collections::BTreeSet, time::Duration};
use tokio::{sync::mpsc, task::JoinSet};
use undecodable::Undecodable;
use workqueue::WorkQueue;

pub struct Settings {
    pub client: kube::Client,
    pub dataverse: dataverse_client::Client,
    pub clock: Clock,
    /// The namespaces to watch; empty means all.
    pub namespaces: Vec<String>,
    /// Maximum concurrent reconciles.
    pub concurrency: usize,
    /// Whether a creation in an instance may still begin (§4.7).
    pub may_create: MayCreate,
    /// How long the previous leader's link creations may still be in flight (§4.4).
    pub predecessor: Option<Duration>,
    pub metrics: Metrics,
}

pub struct Controller {
    context: Context,
    tasks: JoinSet<()>,
}

/// Why a controller stopped.
#[derive(Debug, thiserror::Error)]
#[error("a controller task ended unexpectedly: {0}")]
pub struct Stopped(String);

impl Controller {
    /// Starts the watches and the workers.
    pub fn start(settings: Settings) -> Self {
        let Settings { client, dataverse, clock, namespaces, concurrency, may_create, .. } = settings;
        let (predecessor, metrics) = (settings.predecessor, settings.metrics);
        metrics.kinds(&Kind::ALL.map(Kind::as_str));
        let queue = WorkQueue::new(clock.clone());
        // Duplicates: two watches of one namespace would delete each other's objects when one of them relists.
        let namespaces: BTreeSet<String> = namespaces.into_iter().collect();
        let namespaces: Vec<_> =
            if namespaces.is_empty() { vec![None] } else { namespaces.into_iter().map(Some).collect() };
        let (rematch, rematches) = mpsc::unbounded_channel();
        let context = Context {
            events: Events::start(client.clone(), clock.clone(), queue.clone(), metrics.clone()),
            client,
            dataverse,
            clock,
            sync: WatchSync::of(namespaces.len()),
            namespaces: namespaces.into(),
            index: Index::default(),
            queue,
            runtime: Runtime::default(),
            instance_slots: InstanceSlots::default(),
            lists: ListSlots::default(),
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

    /// Maintains the number of connections on the installation's ConfigMap in `namespace`, for the warning on uninstall.
    pub fn warn_on_uninstall(&mut self, namespace: &str) {
        let Context { client, index, sync, .. } = self.context.clone();
        self.tasks.spawn(uninstall_warning::keep(client, namespace.to_owned(), index, sync));
    }

    /// Checks the admission policies and, with the namespace of a Lease, for other installations of the same namespaces.
    /// `refusal_expected`: whether the refusal policies were installed.
    pub fn check_installation(&mut self, lease_namespace: Option<&str>, refusal_expected: bool) {
        let namespace = lease_namespace.map(str::to_owned);
        self.tasks.spawn(installation::check(self.context.clone(), namespace, refusal_expected));
    }

    /// Runs until a task ends, which is always an error.
    pub async fn run(&mut self) -> Stopped {
        match self.tasks.join_next().await {
            Some(Err(error)) if error.is_panic() => Stopped("it panicked".to_owned()),
            Some(Err(error)) => Stopped(error.to_string()),
            Some(Ok(())) | None => Stopped("it returned".to_owned()),
        }
    }

    /// Starts nothing new; waits for the creations in flight and writes their results.
    pub async fn stop(mut self) {
        for key in self.context.runtime.stop() {
            self.context.queue.add_last(key);
        }
        self.context.queue.drain();
        while self.context.runtime.is_creating_any() || !self.context.queue.is_idle() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.context.queue.close();
        self.tasks.abort_all();
        while self.tasks.join_next().await.is_some() {}
    }

    /// For metrics and health checks; it outlives the controller.
    pub fn observer(&self) -> Observer {
        Observer::of(&self.context)
    }

    pub fn quiescence(&self) -> Quiescence {
        Quiescence::of(&self.context)
    }
}
