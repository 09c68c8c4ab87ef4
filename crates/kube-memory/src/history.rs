//! The history of writes, for tests that check every revision.

use std::sync::Arc;

use serde_json::Value;

use crate::resource::Registry;
use crate::store::{LogEntry, WriteKind};
use crate::user_info::UserInfo;

/// Identifies an object by resource, namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Plural with group, such as `widgets.example.com`; the plural alone for the core group.
    pub resource: String,
    /// Namespace. Empty for cluster-scoped kinds.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
}

/// One write. Objects are kept as JSON and parsed on each call.
#[derive(Clone, Debug)]
pub struct HistoryEntry {
    /// The revision: the `resourceVersion` of the written object.
    pub revision: u64,
    /// The kind of write.
    pub kind: WriteKind,
    /// The user who made the request.
    pub user: Arc<UserInfo>,
    /// The object that was written.
    pub key: ObjectKey,
    entry: Arc<LogEntry>,
}

impl HistoryEntry {
    pub(crate) fn new(registry: &Registry, entry: &Arc<LogEntry>) -> Self {
        let (namespace, name) = entry.key.split_once('/').unwrap_or(("", &entry.key));
        Self {
            revision: entry.revision,
            kind: entry.kind,
            user: entry.user.clone(),
            key: ObjectKey {
                resource: registry.of_store(entry.store).qualified(),
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            },
            entry: entry.clone(),
        }
    }

    /// The object before the write. `None` for a create.
    pub fn before(&self) -> Option<Arc<Value>> {
        self.entry.before.as_ref().map(|stored| Arc::new(stored.value()))
    }

    /// The object after the write. `None` for a delete.
    pub fn after(&self) -> Option<Arc<Value>> {
        self.entry.current().map(|stored| Arc::new(stored.value()))
    }

    /// The JSON of the object after the write; for a delete, of its last state. To search all that was ever stored.
    pub fn raw(&self) -> &[u8] {
        &self.entry.after.raw
    }
}
