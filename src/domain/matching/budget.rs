//! How much memory the filters of a namespace's rules may take. Without a limit, one tenant could store more rules than
//! the process has memory for, and end it for all of them.

use std::collections::BTreeMap;

/// Bytes that the filters of the active rules of one namespace may take: some 30,000 rules of 15 keywords.
pub const NAMESPACE_LIMIT: usize = 16 << 20;

/// The active rules of a namespace in the order of their creation, `K`, with the sizes of their filters. From the oldest on,
/// as many are evaluated as fit, so a new rule never takes the place of an older one. Each change costs little, however many
/// rules there are: a tenant can store a hundred thousand.
#[derive(Debug)]
pub struct Budget<K> {
    sizes: BTreeMap<K, usize>,
    /// The size of those that are evaluated.
    used: usize,
    /// The oldest that is not evaluated.
    beyond: Option<K>,
}

impl<K> Default for Budget<K> {
    fn default() -> Self {
        Self { sizes: BTreeMap::new(), used: 0, beyond: None }
    }
}

impl<K: Ord + Clone> Budget<K> {
    pub fn evaluates(&self, rule: &K) -> bool {
        self.beyond.as_ref().is_none_or(|beyond| rule < beyond)
    }

    /// Bytes that the evaluated rules take.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Adds a rule, or changes its size. Returns the rules that may begin or cease to be evaluated.
    pub fn set(&mut self, rule: &K, size: usize) -> Vec<K> {
        let before = self.sizes.insert(rule.clone(), size);
        if self.evaluates(rule) {
            self.used = self.used - before.unwrap_or(0) + size;
        }
        self.balance()
    }

    /// Removes a rule. Returns the rules that begin to be evaluated.
    pub fn remove(&mut self, rule: &K) -> Vec<K> {
        let Some(size) = self.sizes.remove(rule) else { return Vec::new() };
        if self.evaluates(rule) {
            self.used -= size;
        } else if self.beyond.as_ref() == Some(rule) {
            self.beyond = self.sizes.range(rule..).next().map(|(next, _)| next.clone());
        }
        self.balance()
    }

    fn balance(&mut self) -> Vec<K> {
        let mut changed = Vec::new();
        while self.used > NAMESPACE_LIMIT {
            let evaluated = match &self.beyond {
                Some(beyond) => self.sizes.range(..beyond).next_back(),
                None => self.sizes.last_key_value(),
            };
            let Some((rule, size)) = evaluated else { break };
            self.used -= size;
            self.beyond = Some(rule.clone());
            changed.push(rule.clone());
        }
        while let Some(beyond) = self.beyond.clone()
            && let Some(size) = self.sizes.get(&beyond)
            && self.used + size <= NAMESPACE_LIMIT
        {
            self.used += size;
            self.beyond = self.sizes.range(&beyond..).nth(1).map(|(next, _)| next.clone());
            changed.push(beyond);
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, option, prelude::*};

    /// The oldest rules, as many as fit.
    fn evaluated(sizes: &BTreeMap<u8, usize>) -> Vec<u8> {
        let mut left = NAMESPACE_LIMIT;
        let fits = |(rule, size): (&u8, &usize)| {
            left = left.checked_sub(*size)?;
            Some(*rule)
        };
        sizes.iter().map_while(fits).collect()
    }

    proptest! {
        #[test]
        fn oldest_rules_are_evaluated_as_many_as_fit(
            changes in vec((0..12_u8, option::weighted(0.7, 0..NAMESPACE_LIMIT + NAMESPACE_LIMIT / 3)), 1..60)
        ) {
            let (mut budget, mut sizes) = (Budget::default(), BTreeMap::new());
            for (rule, size) in changes {
                let before = evaluated(&sizes);
                // Half of them are small.
                let size = size.map(|size| if size % 2 == 0 { size / 8 } else { size });
                let told = match size {
                    Some(size) => {
                        sizes.insert(rule, size);
                        budget.set(&rule, size)
                    }
                    None => {
                        sizes.remove(&rule);
                        budget.remove(&rule)
                    }
                };
                let now = evaluated(&sizes);
                let found: Vec<u8> = sizes.keys().copied().filter(|rule| budget.evaluates(rule)).collect();
                prop_assert_eq!(&found, &now);
                prop_assert_eq!(budget.used(), now.iter().map(|rule| sizes[rule]).sum::<usize>());
                for other in sizes.keys().filter(|other| **other != rule) {
                    let changed = before.contains(other) != now.contains(other);
                    prop_assert!(!changed || told.contains(other), "the change of {} is not returned", other);
                }
            }
        }
    }
}
