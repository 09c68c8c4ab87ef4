//! The objects that currently cannot be decoded. A set, so that the gauge falls when one is corrected or deleted.

use crate::controller::key::{Key, Kind};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Clones share the set.
#[derive(Clone, Default)]
pub struct Undecodable(Arc<Mutex<HashSet<Key>>>);

impl Undecodable {
    fn keys(&self) -> MutexGuard<'_, HashSet<Key>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn add(&self, key: &Key) {
        self.keys().insert(key.clone());
    }

    pub fn remove(&self, key: &Key) {
        self.keys().remove(key);
    }

    /// After a complete list: removes the objects that it does not contain.
    pub fn keep(&self, kind: Kind, namespace: Option<&str>, found: &HashSet<Key>) {
        let listed = |key: &Key| key.kind == kind && namespace.is_none_or(|n| *key.namespace == *n);
        self.keys().retain(|key| !listed(key) || found.contains(key));
    }

    pub fn count(&self, kind: Kind) -> usize {
        self.keys().iter().filter(|key| key.kind == kind).count()
    }
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
            undecodable.add(&key);
            undecodable.add(&key);
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
