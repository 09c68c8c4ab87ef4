//! Lines of due keys, one for each namespace. The namespaces take turns, so none of them waits for all of another's.

use crate::controller::key::{Key, Kind};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

/// The lines, and whose turn it is.
#[derive(Default)]
pub(super) struct FairQueue {
    lines: HashMap<Arc<str>, Line>,
    order: VecDeque<Arc<str>>,
}

/// The due keys of one namespace, by kind: what comes first in [`Kind::ALL`] goes first.
#[derive(Default)]
struct Line([VecDeque<(Arc<str>, u64)>; Kind::ALL.len()]);

impl FairQueue {
    pub(super) fn push(&mut self, key: Key, since: u64) {
        let line = self.lines.entry(key.namespace.clone()).or_insert_with(|| {
            self.order.push_back(key.namespace);
            Line::default()
        });
        line.0[key.kind as usize].push_back((key.name, since));
    }

    pub(super) fn pop(&mut self) -> Option<(Key, u64)> {
        let namespace = self.order.pop_front()?;
        let line = self.lines.get_mut(&namespace)?;
        let kind = Kind::ALL.into_iter().find(|kind| !line.0[*kind as usize].is_empty())?;
        let (name, since) = line.0[kind as usize].pop_front()?;
        if line.0.iter().all(VecDeque::is_empty) {
            self.lines.remove(&namespace);
        } else {
            self.order.push_back(namespace.clone());
        }
        Some((Key::new(kind, namespace, name), since))
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// How many keys of a kind are due.
    pub(super) fn due(&self, kind: Kind) -> usize {
        self.lines.values().map(|line| line.0[kind as usize].len()).sum()
    }

    /// u64 when the oldest one is due.
    pub(super) fn oldest(&self) -> Option<u64> {
        let fronts = self.lines.values().flat_map(|line| &line.0).filter_map(VecDeque::front);
        fronts.map(|(_, since)| *since).min()
    }
}
