//! The instances behind the connections: what they last said, what is being asked, what is being created.
//!
//! Everything here runs beside the loop: a slow instance occupies none of the loop's workers. What is learned waits
//! here until the key it concerns is looked at again.

mod ask;
mod check;
mod create;
mod credentials;
mod decided;
mod payload;

pub use create::Basis;

use super::{
    clock::Clock,
    index::Index,
    queue::{Key, Queue},
};
use crate::rules::{
    instance_state::Told,
    link::{Check, Create, Created},
    record::Seen,
};
use jiff::{SignedDuration, Timestamp};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use uuid::Uuid;

/// Creations under way at one time through one connection. The client has a cap of its own; this one keeps waiting
/// out of its deadlines.
const CREATIONS: usize = 8;

/// The registry; clones share it.
#[derive(Clone)]
pub struct Instances {
    client: kube::Client,
    dynamics: dataverse_client::Client,
    clock: Clock,
    index: Index,
    queue: Queue,
    may_create: MayCreate,
    state: Arc<Mutex<State>>,
    busy: Arc<AtomicUsize>,
}

/// Whether this process may still begin something in an instance: it holds the lease for long enough (§4.7).
pub type MayCreate = Arc<dyn Fn() -> bool + Send + Sync>;

#[derive(Default)]
struct State {
    connections: HashMap<String, Connection>,
    seen: HashMap<Key, (Uuid, Seen)>,
    /// By whom: an object that is applied again under its name has made nothing yet.
    created: HashMap<Key, (Uuid, Created)>,
    creating: HashSet<Key>,
    backoff: HashMap<Key, Backoff>,
    /// Links that wait for `spec.linksPerSecond`.
    booked: HashMap<Key, Booked>,
    held: Option<Held>,
    /// The process ends: nothing further is created.
    stopping: bool,
}

/// A turn that was given out: the UID of the connection, and when it comes.
struct Booked {
    connection: String,
    at: Timestamp,
}

/// Instances that are not to be asked for now, and who wanted to.
struct Held {
    connections: HashSet<String>,
    keys: HashSet<Key>,
}

/// One connection, by UID.
struct Connection {
    told: Option<Told>,
    asking: bool,
    handle: Option<dataverse_client::Instance>,
    tables: HashMap<String, Table>,
    checks: HashMap<Key, Check>,
    checking: bool,
    /// Creations that were begun or wait for their turn.
    creating: usize,
    to_create: VecDeque<(Key, Create, Basis)>,
    creators: usize,
    closed: bool,
    /// Links that would have begun a creation while it was closed.
    kept_out: HashSet<Key>,
    /// `spec.linksPerSecond`, and when the next turn is free.
    rate: Option<i32>,
    next_slot: Timestamp,
}

impl Default for Connection {
    fn default() -> Self {
        Self {
            told: None,
            asking: false,
            handle: None,
            tables: HashMap::new(),
            checks: HashMap::new(),
            checking: false,
            creating: 0,
            to_create: VecDeque::new(),
            creators: 0,
            closed: false,
            kept_out: HashSet::new(),
            rate: None,
            next_slot: Timestamp::UNIX_EPOCH,
        }
    }
}

/// How rows of a table are addressed.
#[derive(Clone, Debug)]
struct Table {
    entity_set: String,
    id_attribute: String,
    navigation_property: Option<String>,
}

/// Failed tries of one link.
#[derive(Clone, Copy)]
struct Backoff {
    uid: Uuid,
    failures: u32,
    not_before: Timestamp,
}

/// Counts work beside the loop, so that `local` knows when nothing is under way.
struct Busy(Arc<AtomicUsize>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Instances {
    /// An empty registry.
    pub fn new(
        client: kube::Client,
        dynamics: dataverse_client::Client,
        clock: Clock,
        index: Index,
        queue: Queue,
        may_create: MayCreate,
    ) -> Self {
        let (state, busy) = (Arc::default(), Arc::default());
        Self { client, dynamics, clock, index, queue, may_create, state, busy }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is complete before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn busy(&self) -> Busy {
        self.busy.fetch_add(1, Ordering::SeqCst);
        Busy(self.busy.clone())
    }

    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.busy.load(Ordering::SeqCst) == 0
    }

    /// Whether anything may be begun in an instance now.
    pub fn may_create(&self) -> bool {
        (self.may_create)()
    }

    /// From now on nothing further is created; what has been begun ends.
    pub fn stop(&self) {
        self.state().stopping = true;
    }

    /// Whether anything is being created.
    pub fn is_creating_any(&self) -> bool {
        self.state().connections.values().any(|connection| connection.creating > 0)
    }

    /// From now on no instance known so far is asked anything, until [`Instances::release`].
    pub fn hold(&self) {
        let mut state = self.state();
        let connections = state.connections.keys().cloned().collect();
        state.held = Some(Held { connections, keys: HashSet::new() });
    }

    /// Ends a hold; what would have been asked becomes due.
    pub fn release(&self) {
        if let Some(held) = self.state().held.take() {
            self.queue.extend(held.keys);
        }
    }

    /// What an instance last said.
    pub fn told(&self, uid: &str) -> Option<Told> {
        self.state().connections.get(uid)?.told.clone()
    }

    /// Forgets what an instance said: it may be long ago when the connection is enabled again.
    pub fn forget(&self, uid: &str) {
        if let Some(connection) = self.state().connections.get_mut(uid) {
            connection.told = None;
            connection.handle = None;
        }
    }

    /// The connection is gone.
    pub fn remove(&self, uid: &str) {
        let mut state = self.state();
        let Some(connection) = state.connections.remove(uid) else { return };
        for (key, ..) in connection.to_create {
            state.creating.remove(&key);
            self.queue.add(key);
        }
        self.queue.extend(connection.kept_out);
    }

    /// Lets creations through a connection begin, or not (§4.4). True when none is under way.
    pub fn set_closed(&self, uid: &str, closed: bool) -> bool {
        let mut state = self.state();
        let connection = state.connections.entry(uid.to_owned()).or_default();
        connection.closed = closed;
        if !closed {
            // Nothing else tells them: a disable that was withdrawn in time has never been in force.
            self.queue.extend(connection.kept_out.drain());
        }
        connection.creating == 0
    }

    /// Takes over `spec.linksPerSecond`. At another pace the turns that were given out mean nothing: who waits asks anew.
    pub fn pace(&self, uid: &str, rate: Option<i32>) {
        let mut state = self.state();
        let connection = state.connections.entry(uid.to_owned()).or_default();
        if connection.rate == rate {
            return;
        }
        connection.rate = rate;
        connection.next_slot = Timestamp::UNIX_EPOCH;
        let of_this = |(key, booked): (&Key, &Booked)| (booked.connection == uid).then(|| key.clone());
        let waiting: Vec<Key> = state.booked.iter().filter_map(of_this).collect();
        for key in &waiting {
            state.forget(key);
        }
        self.queue.extend(waiting);
    }

    /// What was learned about an activity since its link was last decided.
    pub fn seen(&self, key: &Key, activity: Option<Uuid>) -> Option<Seen> {
        let state = self.state();
        state.seen.get(key).filter(|(id, _)| Some(*id) == activity).map(|(_, seen)| seen.clone())
    }

    /// What became of a link's creation, and when a failed one may be tried again.
    fn tried(&self, key: &Key, uid: Uuid) -> (Option<Created>, Option<Timestamp>) {
        let state = self.state();
        let created = state.created.get(key).filter(|(by, _)| *by == uid).map(|(_, created)| created.clone());
        let backoff = state.backoff.get(key).filter(|backoff| backoff.uid == uid);
        (created, backoff.map(|backoff| backoff.not_before))
    }

    /// Whether a link's activity is being created.
    pub fn is_creating(&self, key: &Key) -> bool {
        self.state().creating.contains(key)
    }

    /// How many links' activities are being created or wait for their turn.
    pub fn creations(&self) -> usize {
        self.state().creating.len()
    }

    /// Hosts of instances that asked to be left alone, and for how much longer.
    pub fn throttled(&self) -> Vec<(String, Duration)> {
        self.dynamics.throttled_hosts()
    }

    /// The link's status says all that was learned. Unless it waits for something, nothing that was tried for it
    /// counts any more.
    pub fn settled(&self, key: &Key, waits: bool) {
        let mut state = self.state();
        state.seen.remove(key);
        let made = matches!(state.created.remove(key), Some((_, Created::Exists { .. })));
        if made || !waits {
            state.forget(key);
        }
    }

    /// The link is gone.
    pub fn forget_link(&self, key: &Key) {
        let mut state = self.state();
        state.seen.remove(key);
        state.forget(key);
    }
}

impl State {
    /// How long a creation has to wait for `spec.linksPerSecond`. A link that has to wait keeps its turn: had it to
    /// ask for a new one each time, two that wait could keep each other away for ever.
    fn turn(&mut self, key: &Key, uid: &str, rate: i32, now: Timestamp) -> Option<SignedDuration> {
        let apart = SignedDuration::from_millis(1000 / i64::from(rate.max(1)));
        let booked = self.booked.remove(key).filter(|booked| booked.connection == uid);
        let at = match booked {
            Some(booked) => booked.at,
            None => {
                let somebody_waits = self.booked.values().any(|booked| booked.connection == uid);
                let connection = self.connections.entry(uid.to_owned()).or_default();
                // Turns of links that are gone or no longer wanted are free.
                let latest = if somebody_waits { connection.next_slot } else { now + apart };
                let at = connection.next_slot.min(latest).max(now);
                connection.next_slot = at + apart;
                at
            }
        };
        if at <= now {
            return None;
        }
        self.booked.insert(key.clone(), Booked { connection: uid.to_owned(), at });
        Some(at.duration_since(now))
    }

    /// Drops what was tried for a link.
    fn forget(&mut self, key: &Key) {
        self.created.remove(key);
        self.backoff.remove(key);
        self.booked.remove(key);
    }

    /// Whether that connection's instance is not to be asked now; if so, the key is remembered.
    fn is_held(&mut self, uid: &str, key: &Key) -> bool {
        let Some(held) = self.held.as_mut().filter(|held| held.connections.contains(uid)) else {
            return false;
        };
        held.keys.insert(key.clone());
        true
    }

    /// One more failed try: wait twice as long as before, or as long as the instance asked.
    fn fail(&mut self, key: &Key, uid: Uuid, now: Timestamp, asked: Option<SignedDuration>) {
        let before = self.backoff.get(key).filter(|backoff| backoff.uid == uid);
        let failures = before.map_or(1, |backoff| backoff.failures + 1);
        let doubled = SignedDuration::from_secs(5 << (failures - 1).min(7));
        let not_before = now + asked.map_or(doubled, |asked| asked.max(SignedDuration::from_secs(1)));
        self.backoff.insert(key.clone(), Backoff { uid, failures, not_before });
    }
}
