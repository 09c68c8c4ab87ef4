//! The shared runtime state, and its operations for one connection or link.

use super::{connection::ConnectionRuntime, post_link::PostLinkRuntime};
use crate::controller::key::Key;
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Clones share the state.
#[derive(Clone, Default)]
pub struct Runtime(Arc<Mutex<RuntimeState>>);

#[derive(Default)]
pub(super) struct RuntimeState {
    /// By UID.
    pub(super) connections: HashMap<String, ConnectionRuntime>,
    pub(super) links: HashMap<Key, PostLinkRuntime>,
    held: Option<Held>,
    /// The process is shutting down: no further creation begins.
    pub(super) stopping: bool,
}

/// Connections whose instances must not be contacted for now, and the keys that are waiting for them.
struct Held {
    connections: HashSet<String>,
    keys: HashSet<Key>,
}

impl Runtime {
    pub(super) fn state(&self) -> MutexGuard<'_, RuntimeState> {
        // Every change is complete before anything can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Contacts no known instance until [`Runtime::release`].
    pub fn hold(&self) {
        let mut state = self.state();
        let connections = state.connections.keys().cloned().collect();
        state.held = Some(Held { connections, keys: HashSet::new() });
    }

    /// Ends the hold; returns the keys that waited for it.
    pub fn release(&self) -> HashSet<Key> {
        self.state().held.take().map(|held| held.keys).unwrap_or_default()
    }

    /// Begins no further creation.
    pub fn stop(&self) {
        self.state().stopping = true;
    }
}

impl RuntimeState {
    /// Whether the connection's instance must not be contacted now; if so, the key waits for the release.
    pub(super) fn is_held(&mut self, uid: &str, key: &Key) -> bool {
        let Some(held) = self.held.as_mut().filter(|held| held.connections.contains(uid)) else {
            return false;
        };
        held.keys.insert(key.clone());
        true
    }

    pub(super) fn connection(&mut self, uid: &str) -> &mut ConnectionRuntime {
        self.connections.entry(uid.to_owned()).or_default()
    }

    /// Changes the state of a link, and drops it once it is empty.
    pub(super) fn link<T>(&mut self, key: &Key, change: impl FnOnce(&mut PostLinkRuntime) -> T) -> T {
        let link = self.links.entry(key.clone()).or_default();
        let result = change(link);
        if link.is_empty() {
            self.links.remove(key);
        }
        result
    }
}
