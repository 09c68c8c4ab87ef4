//! The pure store: objects by kind and key, and one linear log of every write. No async, no HTTP, no rules.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::metadata;
use super::resource::Resource;

/// Who makes a request; policies and the history see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actor {
    /// User name, such as `system:serviceaccount:default:app`.
    pub user: String,
    /// Groups, such as `system:authenticated`.
    pub groups: Vec<String>,
}

impl Actor {
    /// A user in `system:authenticated`; a service account also gets its two groups.
    pub fn user(name: &str) -> Self {
        let mut groups = Vec::new();
        if let Some(account) = name.strip_prefix("system:serviceaccount:") {
            groups.push("system:serviceaccounts".to_owned());
            if let Some((namespace, _)) = account.split_once(':') {
                groups.push(format!("system:serviceaccounts:{namespace}"));
            }
        }
        groups.push("system:authenticated".to_owned());
        Self { user: name.to_owned(), groups }
    }

    /// An administrator (`system:masters`).
    pub fn admin() -> Self {
        Self {
            user: "admin".to_owned(),
            groups: vec!["system:masters".into(), "system:authenticated".into()],
        }
    }
}

/// What a write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// The object came to be.
    Create,
    /// The object changed (also: its deletion was requested and finalizers hold it).
    Update,
    /// The object is gone.
    Delete,
}

/// One stored version of an object, shared by the current state, the log and the answers being written.
#[derive(Debug)]
pub(crate) struct Stored {
    /// The object as JSON, with its own resource version in it.
    pub raw: Bytes,
    labels: Box<[(Box<str>, Box<str>)]>,
    /// Values of the resource's selectable fields, in their order.
    fields: Box<[Box<str>]>,
    /// Defaults were added after the write (a defaulted `status` on create): a server keeps the object without
    /// them, so its next write of the same content is not a no-op.
    pub defaulted_on_read: bool,
}

impl Stored {
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
        Self {
            labels: labels.collect(),
            fields: fields.collect(),
            raw: Bytes::from(serde_json::to_vec(object).expect("a JSON value always serialises")),
            defaulted_on_read,
        }
    }

    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.iter().find(|(k, _)| &**k == key).map(|(_, v)| &**v)
    }

    pub fn field(&self, index: usize) -> &str {
        &self.fields[index]
    }

    /// The object, parsed anew.
    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.raw).expect("the store only keeps JSON it wrote itself")
    }
}

/// One write.
#[derive(Debug)]
pub(crate) struct Record {
    pub revision: u64,
    pub store: usize,
    /// `namespace/name`, or `name` for cluster-wide kinds.
    pub key: Arc<str>,
    pub verb: Verb,
    pub actor: Arc<Actor>,
    pub before: Option<Arc<Stored>>,
    /// After a delete: the last state, carrying the revision of the delete, as watches show it.
    pub after: Arc<Stored>,
}

impl Record {
    /// The state after this write; `None` when the object is gone.
    pub fn state(&self) -> Option<&Arc<Stored>> {
        (self.verb != Verb::Delete).then_some(&self.after)
    }
}

/// The reason why a past state or a range of the log cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// It was compacted away.
    Compacted,
    /// It has not happened yet.
    Future,
}

type Objects = BTreeMap<Arc<str>, Arc<Stored>>;

/// A key and what stands there.
pub(crate) type Found = (Arc<str>, Arc<Stored>);

/// All objects and the log.
#[derive(Debug)]
pub(crate) struct Store {
    objects: Vec<Objects>,
    log: VecDeque<Arc<Record>>,
    revision: u64,
    /// Writes at or below this revision are no longer in the log.
    compacted: u64,
    /// How many writes the log keeps; `None` keeps all.
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

    pub fn get(&self, store: usize, key: &str) -> Option<&Arc<Stored>> {
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
    ) -> impl Iterator<Item = (&'a Arc<str>, &'a Arc<Stored>)> {
        let from: &str = if start > prefix { start } else { prefix };
        self.objects[store]
            .range::<str, _>((Bound::Included(from), Bound::Unbounded))
            .take_while(move |(key, _)| key.starts_with(prefix))
    }

    /// The objects as they stood at `revision`, in key order.
    ///
    /// # Errors
    /// The revision is compacted or in the future.
    pub fn range_at(
        &self,
        store: usize,
        prefix: &str,
        start: &str,
        revision: u64,
    ) -> Result<Vec<Found>, Unreadable> {
        let newer = self.since(revision)?;
        // What the first later write of each key found is what stood there then.
        let mut then: BTreeMap<&str, Option<&Arc<Stored>>> = BTreeMap::new();
        for record in newer.filter(|r| r.store == store && r.key.starts_with(prefix) && &*r.key >= start) {
            then.entry(&record.key).or_insert(record.before.as_ref());
        }
        let mut found: Vec<Found> = self
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
    pub fn since(&self, revision: u64) -> Result<impl Iterator<Item = &Arc<Record>>, Unreadable> {
        if revision > self.revision {
            return Err(Unreadable::Future);
        }
        if revision < self.compacted {
            return Err(Unreadable::Compacted);
        }
        let first = self.log.partition_point(|record| record.revision <= revision);
        Ok(self.log.range(first..))
    }

    /// The whole log that is left.
    pub fn log(&self) -> impl Iterator<Item = &Arc<Record>> {
        self.log.iter()
    }

    /// Forgets the writes at or below `revision`.
    pub fn compact(&mut self, revision: u64) {
        let revision = revision.min(self.revision);
        while self.log.front().is_some_and(|record| record.revision <= revision) {
            self.log.pop_front();
        }
        self.compacted = self.compacted.max(revision);
    }

    /// Makes `object` the state of `key`, stamped with the next revision.
    pub fn put(
        &mut self,
        resource: &Resource,
        key: &str,
        object: &mut Value,
        defaulted_on_read: bool,
        actor: &Arc<Actor>,
    ) -> Arc<Stored> {
        self.revision += 1;
        metadata::set(object, "resourceVersion", Some(json!(self.revision.to_string())));
        let stored = Arc::new(Stored::new(resource, object, defaulted_on_read));
        let objects = &mut self.objects[resource.store];
        let key = objects.get_key_value(key).map_or_else(|| Arc::from(key), |(key, _)| key.clone());
        let before = objects.insert(key.clone(), stored.clone());
        let verb = if before.is_some() { Verb::Update } else { Verb::Create };
        self.append(resource.store, key, verb, actor, before, stored.clone());
        stored
    }

    /// Removes `key`; the record carries its last state at the revision of the removal.
    pub fn delete(&mut self, resource: &Resource, key: &str, actor: &Arc<Actor>) -> Option<Arc<Stored>> {
        let (key, before) = self.objects[resource.store].remove_entry(key)?;
        self.revision += 1;
        let mut object = before.value();
        metadata::set(&mut object, "resourceVersion", Some(json!(self.revision.to_string())));
        let after = Arc::new(Stored::new(resource, &object, false));
        self.append(resource.store, key, Verb::Delete, actor, Some(before), after.clone());
        Some(after)
    }

    fn append(
        &mut self,
        store: usize,
        key: Arc<str>,
        verb: Verb,
        actor: &Arc<Actor>,
        before: Option<Arc<Stored>>,
        after: Arc<Stored>,
    ) {
        let revision = self.revision;
        self.latest[store] = revision;
        self.log.push_back(Arc::new(Record {
            revision,
            store,
            key,
            verb,
            actor: actor.clone(),
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

    /// Puts back an object saved earlier, with the revision it had. Only for an empty store being restored.
    pub fn restore(&mut self, resource: &Resource, key: &str, object: &Value) {
        let revision = metadata::text(object, "resourceVersion").parse().unwrap_or(0);
        self.objects[resource.store].insert(key.into(), Arc::new(Stored::new(resource, object, false)));
        self.latest[resource.store] = self.latest[resource.store].max(revision);
        self.advance(revision);
    }

    /// Moves the revision forward to `revision`; what lies before cannot be watched from.
    pub fn advance(&mut self, revision: u64) {
        self.revision = self.revision.max(revision);
        self.compacted = self.revision;
    }
}
