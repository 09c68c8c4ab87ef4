//! What this process knows besides the index: the last probe of each instance, what was learned about activities, and
//! which creations are in flight. Pure state: no I/O, no clock. It waits here until the key it concerns is reconciled.

mod connection;
mod creations;
mod post_link;

pub use connection::{Probed, Table};
pub use creations::Admission;

use crate::controller::key::Key;
use connection::ConnectionRuntime;
use post_link::PostLinkRuntime;
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The state; clones share it.
#[derive(Clone, Default)]
pub struct Runtime(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// By UID.
    connections: HashMap<String, ConnectionRuntime>,
    links: HashMap<Key, PostLinkRuntime>,
    held: Option<Held>,
    /// The process ends: nothing further is created.
    stopping: bool,
}

/// Instances that must not be contacted for now, and the keys that wanted to.
struct Held {
    connections: HashSet<String>,
    keys: HashSet<Key>,
}

impl Runtime {
    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is complete before anything can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on no instance known so far is contacted, until [`Runtime::release`].
    pub fn hold(&self) {
        let mut state = self.state();
        let connections = state.connections.keys().cloned().collect();
        state.held = Some(Held { connections, keys: HashSet::new() });
    }

    /// Ends the hold; the keys that wanted to contact an instance meanwhile.
    pub fn release(&self) -> HashSet<Key> {
        self.state().held.take().map(|held| held.keys).unwrap_or_default()
    }

    /// From now on nothing further is created; what is in flight ends.
    pub fn stop(&self) {
        self.state().stopping = true;
    }
}

impl State {
    /// Whether that connection's instance must not be contacted now; if so, the key is remembered.
    fn is_held(&mut self, uid: &str, key: &Key) -> bool {
        let Some(held) = self.held.as_mut().filter(|held| held.connections.contains(uid)) else {
            return false;
        };
        held.keys.insert(key.clone());
        true
    }

    fn connection(&mut self, uid: &str) -> &mut ConnectionRuntime {
        self.connections.entry(uid.to_owned()).or_default()
    }

    /// Changes what is known of a link; nothing is kept of a link of which nothing is known.
    fn link<T>(&mut self, key: &Key, change: impl FnOnce(&mut PostLinkRuntime) -> T) -> T {
        let link = self.links.entry(key.clone()).or_default();
        let result = change(link);
        if link.is_empty() {
            self.links.remove(key);
        }
        result
    }
}
