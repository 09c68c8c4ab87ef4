//! The objects that cannot be read: which they are now, so that a gauge falls again when they are corrected or gone.

use super::queue::{Key, Kind};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The set; clones share it.
#[derive(Clone, Default)]
pub struct Unreadable(Arc<Mutex<HashSet<Key>>>);

impl Unreadable {
    fn keys(&self) -> MutexGuard<'_, HashSet<Key>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An object cannot be read.
    pub fn add(&self, key: &Key) {
        self.keys().insert(key.clone());
    }

    /// It can be read again, or is gone.
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
        let unreadable = Unreadable::default();
        let link = |namespace: &str, name: &str| Key::new(Kind::Link, namespace, name);
        for key in [link("a", "1"), link("a", "2"), link("b", "1"), Key::new(Kind::Rule, "a", "1")] {
            unreadable.add(&key);
            unreadable.add(&key);
        }
        assert_eq!(unreadable.count(Kind::Link), 3);
        unreadable.remove(&link("a", "1"));
        assert_eq!(unreadable.count(Kind::Link), 2);
        unreadable.keep(Kind::Link, Some("b"), &HashSet::new());
        assert_eq!(unreadable.count(Kind::Link), 1, "the list of a namespace says nothing of another");
        unreadable.keep(Kind::Link, None, &HashSet::from([link("a", "2")]));
        assert_eq!((unreadable.count(Kind::Link), unreadable.count(Kind::Rule)), (1, 1));
        unreadable.keep(Kind::Link, None, &HashSet::new());
        assert_eq!((unreadable.count(Kind::Link), unreadable.count(Kind::Rule)), (0, 1));
    }
}
