//! The objects that currently cannot be decoded. They are not reconciled; their status says why.

use super::{
    context::Context,
    key::{Key, Kind},
    list::api,
    patch::{self, ApiError},
    received::Received,
};
use crate::{
    api::{AutomationRule, DynamicsConnection, PostLink},
    domain::{requeue::Requeue, undecodable::status},
};
use jiff::Timestamp;
use kube::ResourceExt;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What cannot be decoded of each. Clones share it.
#[derive(Clone, Default)]
pub struct Undecodable(Arc<Mutex<HashMap<Key, String>>>);

impl Undecodable {
    fn keys(&self) -> MutexGuard<'_, HashMap<Key, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether that fault of the object is new.
    pub fn add(&self, key: &Key, fault: &str) -> bool {
        self.keys().insert(key.clone(), fault.to_owned()).is_none_or(|before| before != fault)
    }

    pub fn contains(&self, key: &Key) -> bool {
        self.keys().contains_key(key)
    }

    /// Whether it was there.
    pub fn remove(&self, key: &Key) -> bool {
        self.keys().remove(key).is_some()
    }

    /// After a complete list: removes the objects that it does not contain.
    pub fn keep(&self, kind: Kind, namespace: Option<&str>, found: &HashSet<Key>) {
        let listed = |key: &Key| key.kind == kind && namespace.is_none_or(|n| *key.namespace == *n);
        self.keys().retain(|key, _| !listed(key) || found.contains(key));
    }

    pub fn count(&self, kind: Kind) -> usize {
        self.keys().keys().filter(|key| key.kind == kind).count()
    }
}

/// The status to write for an object that cannot be decoded; `None` if it is stored already.
pub fn missing_status<K>(object: &Received<K>, fault: &str, now: Timestamp) -> Option<Value> {
    let object = object.value()?;
    let status = status(&object, fault, now);
    (object["status"] != status).then_some(status)
}

/// Writes the status of an object that cannot be decoded.
pub async fn reconcile(context: &Context, key: &Key) -> Result<Option<Requeue>, ApiError> {
    // It may have been granted one while it could be decoded.
    context.queue.extend(context.runtime.decline_slot(key));
    match key.kind {
        Kind::DynamicsConnection => write_status::<DynamicsConnection>(context, key).await,
        Kind::AutomationRule => write_status::<AutomationRule>(context, key).await,
        Kind::PostLink => write_status::<PostLink>(context, key).await,
    }
}

async fn write_status<K>(context: &Context, key: &Key) -> Result<Option<Requeue>, ApiError>
where
    K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
        + Clone
        + DeserializeOwned,
{
    let api = api::<Received<K>>(&context.client, Some(&key.namespace));
    let live = patch::read(&api, &key.name).await?.ok_or(ApiError::Gone)?;
    // The watch delivers a corrected version, and ends this.
    let Err(fault) = live.decode() else { return Ok(None) };
    let Some(status) = missing_status(&live, &fault, context.clock.now()) else { return Ok(None) };
    let version = live.resource_version().unwrap_or_default();
    let written = patch::write_status::<K>(&context.client, key, &version, &status).await;
    context.wrote(key, "status", written).map(|_| None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corrected_and_unlisted_objects_are_not_counted() {
        let undecodable = Undecodable::default();
        let link = |namespace: &str, name: &str| Key::new(Kind::PostLink, namespace, name);
        for key in [link("a", "1"), link("a", "2"), link("b", "1"), Key::new(Kind::AutomationRule, "a", "1")]
        {
            assert!(undecodable.add(&key, "spec"));
            assert!(!undecodable.add(&key, "spec"));
        }
        assert_eq!(undecodable.count(Kind::PostLink), 3);
        undecodable.remove(&link("a", "1"));
        assert_eq!(undecodable.count(Kind::PostLink), 2);
        undecodable.keep(Kind::PostLink, Some("b"), &HashSet::new());
        assert_eq!(undecodable.count(Kind::PostLink), 1, "a list of one namespace does not affect another");
        undecodable.keep(Kind::PostLink, None, &HashSet::from([link("a", "2")]));
        assert_eq!((undecodable.count(Kind::PostLink), undecodable.count(Kind::AutomationRule)), (1, 1));
        undecodable.keep(Kind::PostLink, None, &HashSet::new());
        assert_eq!((undecodable.count(Kind::PostLink), undecodable.count(Kind::AutomationRule)), (0, 1));
    }
}
