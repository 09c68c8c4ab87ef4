//! The runtime state that is shared: one entry per connection and one per link.

use super::slots::Creations;
use crate::{
    controller::key::Key,
    domain::{
        connection::health::Observation,
        post_link::{ActivityCheck, CreationResult, NotBefore, record::ActivityState},
    },
};
use dataverse_client::Instance;
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use uuid::Uuid;

/// Clones share the state.
#[derive(Clone, Default)]
pub struct Runtime(Arc<Mutex<RuntimeState>>);

#[derive(Default)]
pub(super) struct RuntimeState {
    /// By UID. Boxed: each has a kilobyte, and a map reserves room for up to twice its entries.
    pub(super) connections: HashMap<String, Box<ConnectionRuntime>>,
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

/// The last probe, its client, the table addresses and the pending checks of a connection.
#[derive(Default)]
pub(super) struct ConnectionRuntime {
    pub(super) observation: Option<Observation>,
    pub(super) probing: bool,
    pub(super) handle: Option<Instance>,
    pub(super) tables: HashMap<String, Table>,
    pub(super) checks: HashMap<Key, ActivityCheck>,
    pub(super) checking: bool,
    pub(super) creations: Creations,
    /// No creation may begin (§4.4).
    pub(super) closed: bool,
    /// Links whose creation was refused while it was closed.
    pub(super) blocked: HashSet<Key>,
}

/// How rows of a table are addressed.
#[derive(Clone, Debug)]
pub struct Table {
    pub entity_set: String,
    pub id_attribute: String,
    pub navigation_property: Option<String>,
}

impl From<&dataverse_client::TableMetadata> for Table {
    fn from(metadata: &dataverse_client::TableMetadata) -> Self {
        Self {
            entity_set: metadata.entity_set_name.clone(),
            id_attribute: metadata.primary_id_attribute.clone(),
            navigation_property: metadata.navigation_property.clone(),
        }
    }
}

/// What is known about a link and not in its status yet.
#[derive(Default)]
pub(super) struct PostLinkRuntime {
    /// By the id of the activity.
    pub(super) activity: Option<(Uuid, ActivityState)>,
    pub(super) created: Option<(LinkGeneration, CreationResult)>,
    pub(super) backoff: Option<LinkBackoff>,
    pub(super) creating: bool,
    /// The UID of the connection at which it waits for a slot or was granted one. Never two: of the other, nobody would
    /// return the slot.
    pub(super) slot: Option<String>,
    /// The UID of the connection in which it has reserved a time slot.
    pub(super) rate_slot: Option<String>,
}

/// Failed creations of one PostLink.
#[derive(Clone)]
pub(super) struct LinkBackoff {
    pub(super) link: LinkGeneration,
    pub(super) failures: u32,
    pub(super) not_before: NotBefore,
}

/// A PostLink by its UID: a recreated object of the same name must not inherit a result. And by its generation: an edit
/// may have corrected what failed, so it is tried at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkGeneration {
    pub uid: Uuid,
    pub generation: i64,
}

impl PostLinkRuntime {
    pub(super) fn is_empty(&self) -> bool {
        let Self { activity, created, backoff, creating, slot, rate_slot } = self;
        activity.is_none()
            && created.is_none()
            && backoff.is_none()
            && !creating
            && slot.is_none()
            && rate_slot.is_none()
    }
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

    /// Begins no further creation. Returns the links whose activity was created and is not in their status yet.
    pub fn stop(&self) -> Vec<Key> {
        let mut state = self.state();
        state.stopping = true;
        let created =
            |link: &PostLinkRuntime| matches!(link.created, Some((_, CreationResult::Exists { .. })));
        state.links.iter().filter(|(_, link)| created(link)).map(|(key, _)| key.clone()).collect()
    }

    pub fn is_stopping(&self) -> bool {
        self.state().stopping
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
