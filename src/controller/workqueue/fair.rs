//! Due keys, queued by namespace and handed out round-robin, so that a large namespace does not starve the others.

use crate::controller::key::{Key, Kind};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

/// One queue per namespace, and the order in which the namespaces are served.
#[derive(Default)]
pub(super) struct FairQueue {
    namespaces: HashMap<Arc<str>, NamespaceQueue>,
    order: VecDeque<Arc<str>>,
}

/// The due keys of one namespace by kind, served in the order of [`Kind::ALL`].
#[derive(Default)]
struct NamespaceQueue([VecDeque<(Arc<str>, u64)>; Kind::ALL.len()]);

impl FairQueue {
    pub(super) fn push(&mut self, key: Key, since: u64) {
        let queue = self.namespaces.entry(key.namespace.clone()).or_insert_with(|| {
            self.order.push_back(key.namespace);
            NamespaceQueue::default()
        });
        queue.0[key.kind as usize].push_back((key.name, since));
    }

    pub(super) fn pop(&mut self) -> Option<(Key, u64)> {
        let namespace = self.order.pop_front()?;
        let queue = self.namespaces.get_mut(&namespace)?;
        let kind = Kind::ALL.into_iter().find(|kind| !queue.0[*kind as usize].is_empty())?;
        let (name, since) = queue.0[kind as usize].pop_front()?;
        if queue.0.iter().all(VecDeque::is_empty) {
            self.namespaces.remove(&namespace);
        } else {
            self.order.push_back(namespace.clone());
        }
        Some((Key::new(kind, namespace, name), since))
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn due(&self, kind: Kind) -> usize {
        self.namespaces.values().map(|queue| queue.0[kind as usize].len()).sum()
    }

    /// The due keys of a namespace.
    pub(super) fn due_in(&self, namespace: &str) -> usize {
        self.namespaces.get(namespace).map_or(0, |queue| queue.0.iter().map(VecDeque::len).sum())
    }

    /// Since when the oldest key is due.
    pub(super) fn oldest(&self) -> Option<u64> {
        let fronts = self.namespaces.values().flat_map(|queue| &queue.0).filter_map(VecDeque::front);
        fronts.map(|(_, since)| *since).min()
    }
}
