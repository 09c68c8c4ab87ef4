//! The linear history of the store, for tests that judge every revision.

use std::sync::Arc;

use serde_json::Value;

use super::core::Core;
use super::store::{Actor, Record, Verb};

/// Names an object: its kind's plural with group, its namespace, its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Plural with group, `widgets.example.com`; plain plural for the core group.
    pub resource: String,
    /// Namespace, empty for cluster-wide kinds.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// One write. Objects are kept as JSON and parsed when asked for.
#[derive(Clone, Debug)]
pub struct Revision {
    /// The revision, also the `resourceVersion` of the object it made.
    pub revision: u64,
    /// What it did.
    pub verb: Verb,
    /// Who did it.
    pub actor: Arc<Actor>,
    /// What it was done to.
    pub key: ObjectKey,
    record: Arc<Record>,
}

impl Revision {
    pub(crate) fn new(core: &Core, record: &Arc<Record>) -> Self {
        let (namespace, name) = record.key.split_once('/').unwrap_or(("", &record.key));
        Self {
            revision: record.revision,
            verb: record.verb,
            actor: record.actor.clone(),
            key: ObjectKey {
                resource: core.catalogue.of_store(record.store).qualified(),
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            },
            record: record.clone(),
        }
    }

    /// The object before the write; `None` for a create.
    pub fn before(&self) -> Option<Arc<Value>> {
        self.record.before.as_ref().map(|stored| Arc::new(stored.value()))
    }

    /// The object after the write; `None` for a delete.
    pub fn after(&self) -> Option<Arc<Value>> {
        self.record.state().map(|stored| Arc::new(stored.value()))
    }

    /// The JSON of the object after the write, for searches through everything ever stored. After a delete it is the
    /// last state.
    pub fn raw(&self) -> &[u8] {
        &self.record.after.raw
    }
}
