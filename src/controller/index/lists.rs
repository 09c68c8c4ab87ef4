//! The rules that match a post, as a list that all posts share which match the same rules. Without this, ten thousand rules
//! without filters and as many posts would take 400 MB.

use super::interner::Symbol;
use std::{collections::HashSet, sync::Arc};

/// The lists of all PostLinks.
#[derive(Default)]
pub(super) struct Lists {
    all: HashSet<Arc<[Symbol]>>,
    /// The rules in all of them.
    size: usize,
    /// With this size, those that are no longer used are dropped.
    full: usize,
}

/// Rules in lists that are kept although no PostLink may use them any more.
const SLACK: usize = 1 << 14;

impl Lists {
    pub(super) fn share(&mut self, rules: impl Iterator<Item = Symbol>) -> Arc<[Symbol]> {
        let list: Arc<[Symbol]> = rules.collect();
        if list.is_empty() {
            return list;
        }
        if let Some(shared) = self.all.get(&list) {
            return shared.clone();
        }
        if self.size + list.len() > self.full.max(SLACK) {
            self.drop_unused();
        }
        self.size += list.len();
        self.all.insert(list.clone());
        list
    }

    pub(super) fn drop_unused(&mut self) {
        self.all.retain(|list| Arc::strong_count(list) > 1);
        self.size = self.all.iter().map(|list| list.len()).sum();
        self.full = 2 * self.size + SLACK;
    }

    /// The rules in these lists.
    pub(super) fn symbols(&self) -> impl Iterator<Item = Symbol> {
        self.all.iter().flat_map(|list| list.iter().copied())
    }

    /// The addresses of the lists that have a rule.
    pub(super) fn with(&self, rule: Symbol) -> HashSet<*const Symbol> {
        self.all.iter().filter(|list| list.contains(&rule)).map(|list| list.as_ptr()).collect()
    }

    /// The rules in all lists.
    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.size
    }
}
