//! The store: objects by kind and key, and one log of all writes. No async, no HTTP, no validation.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::metadata;
use crate::resource::Resource;
use crate::user_info::UserInfo;

/// The kind of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WriteKind {
    /// The object was created.
    Create,
    /// The object was changed. Also: its deletion was requested, and finalizers delay it.
    Update,
    /// The object was removed.
    Delete,
}

/// A JSON value as the bytes of an answer.
pub(crate) fn to_bytes(value: &Value) -> Bytes {
    Bytes::from(serde_json::to_vec(value).expect("a JSON value always serializes"))
}

/// One version of an object, shared by the current state, the log and the answers being written.
#[derive(Debug)]
pub(crate) struct StoredObject {
    /// The object as JSON, including its resourceVersion.
    pub raw: Bytes,
    labels: Box<[(Box<str>, Box<str>)]>,
    /// Values of the selectable fields, in the order of `Resource::selectable`.
    fields: Box<[Box<str>]>,
    /// Whether defaults were added after the write, such as a defaulted `status` on create. A server stores the object
    /// without them, so the next write of the same content is not a no-op.
    pub defaulted_on_read: bool,
}

impl StoredObject {
    fn new(resource: &Resource, object: &Value, defaulted_on_read: bool) -> Self {
        let labels = object["metadata"]["labels"].as_object().into_iter().flatten();
        let labels = labels.map(|(k, v)| (k.as_str().into(), v.as_str().unwrap_or_default().into()));
        let fields = resource.selectable.iter().map(|field| {
            let mut value = object;
            for step in &field.path {
                value = &value[step.as_str()];
            }
            match value {
                Value::Null => "".into(),
                Value::String(s) => s.as_str().into(),
                other => other.to_string().into(),
            }
        });
        Self { labels: labels.collect(), fields: fields.collect(), raw: to_bytes(object), defaulted_on_read }
    }

    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.iter().find(|(k, _)| &**k == key).map(|(_, v)| &**v)
    }

    pub fn field(&self, index: usize) -> &str {
        &self.fields[index]
    }

    /// Parses the object.
    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.raw).expect("the store only keeps JSON it wrote itself")
    }
}

/// One write.
#[derive(Debug)]
pub(crate) struct LogEntry {
    pub revision: u64,
    pub store: usize,
    /// `namespace/name`, or `name` for cluster-scoped kinds.
    pub key: Arc<str>,
    pub kind: WriteKind,
    pub user: Arc<UserInfo>,
    pub before: Option<Arc<StoredObject>>,
    /// After a delete, the last state with the revision of the delete, as watches show it.
    pub after: Arc<StoredObject>,
}

impl LogEntry {
    /// The state after this write. `None` after a delete.
    pub fn current(&self) -> Option<&Arc<StoredObject>> {
        (self.kind != WriteKind::Delete).then_some(&self.after)
    }
}

/// Why a past state or a range of the log cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HistoryError {
    /// It is compacted.
    Compacted,
    /// It lies in the future.
    Future,
}

type Objects = BTreeMap<Arc<str>, Arc<StoredObject>>;

/// An object with its key.
pub(crate) type KeyedObject = (Arc<str>, Arc<StoredObject>);

/// All objects and the log.
#[derive(Debug)]
pub(crate) struct Store {
    objects: Vec<Objects>,
    log: VecDeque<Arc<LogEntry>>,
    revision: u64,
    /// Writes at or below this revision are no longer in the log.
    compacted: u64,
    /// How many writes the log keeps. `None` keeps all.
    keep: Option<usize>,
    latest: Vec<u64>,
}

impl Store {
    pub fn new(stores: usize, keep: Option<usize>) -> Self {
        Self {
            objects: vec![Objects::new(); stores],
            log: VecDeque::new(),
            revision: 0,
            compacted: 0,
            keep,
            latest: vec![0; stores],
        }
    }

    /// The revision of the latest write.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The revision of the latest write of one store's kind.
    pub fn latest(&self, store: usize) -> u64 {
        self.latest[store]
    }

    pub fn compacted(&self) -> u64 {
        self.compacted
    }

    pub fn get(&self, store: usize, key: &str) -> Option<&Arc<StoredObject>> {
        self.objects[store].get(key)
    }

    pub fn len(&self, store: usize) -> usize {
        self.objects[store].len()
    }

    /// The objects whose key starts with `prefix`, from `start` on (inclusive), in key order.
    pub fn range<'a>(
        &'a self,
        store: usize,
        prefix: &'a str,
        start: &str,
    ) -> impl Iterator<Item = (&'a Arc<str>, &'a Arc<StoredObject>)> {
        let from: &str = if start > prefix { start } else { prefix };
        self.objects[store]
            .range::<str, _>((Bound::Included(from), Bound::Unbounded))
            .take_while(move |(key, _)| key.starts_with(prefix))
    }

    /// The objects at `revision`, in key order.
    ///
    /// # Errors
    /// The revision is compacted or in the future.
    pub fn range_at(
        &self,
        store: usize,
        prefix: &str,
        start: &str,
        revision: u64,
    ) -> Result<Vec<KeyedObject>, HistoryError> {
        let newer = self.since(revision)?;
        // The state of a key at `revision` is the one its first later write replaced.
        let mut then: BTreeMap<&str, Option<&Arc<StoredObject>>> = BTreeMap::new();
        for entry in newer.filter(|r| r.store == store && r.key.starts_with(prefix) && &*r.key >= start) {
            then.entry(&entry.key).or_insert(entry.before.as_ref());
        }
        let mut found: Vec<KeyedObject> = self
            .range(store, prefix, start)
            .filter(|(key, _)| !then.contains_key(&***key))
            .map(|(key, stored)| (key.clone(), stored.clone()))
            .collect();
        if !then.is_empty() {
            found.extend(then.iter().filter_map(|(key, stored)| Some((Arc::from(*key), (*stored)?.clone()))));
            found.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        }
        Ok(found)
    }

    /// The writes after `revision`, oldest first.
    ///
    /// # Errors
    /// Some of them are compacted, or `revision` is in the future.
    pub fn since(&self, revision: u64) -> Result<impl Iterator<Item = &Arc<LogEntry>>, HistoryError> {
        if revision > self.revision {
            return Err(HistoryError::Future);
        }
        if revision < self.compacted {
            return Err(HistoryError::Compacted);
        }
        let first = self.log.partition_point(|entry| entry.revision <= revision);
        Ok(self.log.range(first..))
    }

    /// The log, oldest entry first.
    pub fn log(&self) -> impl Iterator<Item = &Arc<LogEntry>> {
        self.log.iter()
    }

    /// Removes the writes at or below `revision` from the log.
    pub fn compact(&mut self, revision: u64) {
        let revision = revision.min(self.revision);
        while self.log.front().is_some_and(|entry| entry.revision <= revision) {
            self.log.pop_front();
        }
        self.compacted = self.compacted.max(revision);
    }

    /// Stores `object` at `key` with the next revision.
    pub fn put(
        &mut self,
        resource: &Resource,
        key: &str,
        object: &mut Value,
        defaulted_on_read: bool,
        user: &Arc<UserInfo>,
    ) -> Arc<StoredObject> {
        self.revision += 1;
        metadata::set(object, "resourceVersion", Some(json!(self.revision.to_string())));
        let stored = Arc::new(StoredObject::new(resource, object, defaulted_on_read));
        let objects = &mut self.objects[resource.store];
        let key = objects.get_key_value(key).map_or_else(|| Arc::from(key), |(key, _)| key.clone());
        let before = objects.insert(key.clone(), stored.clone());
        let kind = if before.is_some() { WriteKind::Update } else { WriteKind::Create };
        self.append(resource.store, key, kind, user, before, stored.clone());
        stored
    }

    /// Removes the object at `key`. Returns its last state, with the revision of the removal.
    pub fn delete(
        &mut self,
        resource: &Resource,
        key: &str,
        user: &Arc<UserInfo>,
    ) -> Option<Arc<StoredObject>> {
        let (key, before) = self.objects[resource.store].remove_entry(key)?;
        self.revision += 1;
        let mut object = before.value();
        metadata::set(&mut object, "resourceVersion", Some(json!(self.revision.to_string())));
        let after = Arc::new(StoredObject::new(resource, &object, false));
        self.append(resource.store, key, WriteKind::Delete, user, Some(before), after.clone());
        Some(after)
    }

    fn append(
        &mut self,
        store: usize,
        key: Arc<str>,
        kind: WriteKind,
        user: &Arc<UserInfo>,
        before: Option<Arc<StoredObject>>,
        after: Arc<StoredObject>,
    ) {
        let revision = self.revision;
        self.latest[store] = revision;
        self.log.push_back(Arc::new(LogEntry {
            revision,
            store,
            key,
            kind,
            user: user.clone(),
            before,
            after,
        }));
        if let Some(keep) = self.keep {
            while self.log.len() > keep {
                if let Some(oldest) = self.log.pop_front() {
                    self.compacted = oldest.revision;
                }
            }
        }
    }

    /// Restores a saved object with its revision. Only for a new store.
    pub fn restore(&mut self, resource: &Resource, key: &str, object: &Value) {
        let revision = metadata::text(object, "resourceVersion").parse().unwrap_or(0);
        self.objects[resource.store].insert(key.into(), Arc::new(StoredObject::new(resource, object, false)));
        self.latest[resource.store] = self.latest[resource.store].max(revision);
        self.advance(revision);
    }

    /// Moves the revision forward to `revision`. Watches cannot start before it.
    pub fn advance(&mut self, revision: u64) {
        self.revision = self.revision.max(revision);
        self.compacted = self.revision;
    }
}
