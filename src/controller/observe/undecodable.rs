//! The objects that cannot be decoded now, so that a gauge falls again when they are corrected or gone.

use crate::controller::key::{Key, Kind};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The set; clones share it.
#[derive(Clone, Default)]
pub struct Undecodable(Arc<Mutex<HashSet<Key>>>);

impl Undecodable {
    fn keys(&self) -> MutexGuard<'_, HashSet<Key>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An object cannot be decoded.
    pub fn add(&self, key: &Key) {
        self.keys().insert(key.clone());
    }

    /// It can be decoded again, or is gone.
    pub fn remove(&self, key: &Key) {
        self.keys().remove(key);
    }

    /// A list is complete: what was not in it is gone.
    pub fn keep(&self, kind: Kind, namespace: Option<&str>, found: &HashSet<Key>) {
        let listed = |key: &Key| key.kind == kind && namespace.is_none_or(|n| *key.namespace == *n);
        self.keys().retain(|key| !listed(key) || found.contains(key));
    }

    /// How many there are of a kind.
    pub fn count(&self, kind: Kind) -> usize {
        self.keys().iter().filter(|key| key.kind == kind).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_corrected_gone_or_missing_from_a_list_is_no_longer_counted() {
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
        assert_eq!(undecodable.count(Kind::PostLink), 1, "the list of a namespace says nothing of another");
        undecodable.keep(Kind::PostLink, None, &HashSet::from([link("a", "2")]));
        assert_eq!((undecodable.count(Kind::PostLink), undecodable.count(Kind::AutomationRule)), (1, 1));
        undecodable.keep(Kind::PostLink, None, &HashSet::new());
        assert_eq!((undecodable.count(Kind::PostLink), undecodable.count(Kind::AutomationRule)), (0, 1));
    }
}
