//! The rules of a namespace: what is kept of each, and which of them are evaluated.

use super::trim::trimmed;
use crate::{
    api::{AutomationRule, Post},
    domain::{
        facts::RuleFacts,
        matching::{Matcher, Text, budget},
    },
};
use std::{
    collections::{BTreeMap, btree_map},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

/// A rule without its filters: their text would be kept twice, and most of what a tenant can store is in them.
pub(super) struct RuleEntry {
    /// Without `spec.match`, and without what Postlink does not read of the metadata.
    pub(super) object: Arc<AutomationRule>,
    pub(super) facts: RuleFacts,
    /// Hash of `spec.match`.
    match_hash: u64,
    /// Bytes of memory that its filters take, or would take.
    size: usize,
    filters: RuleFilters,
}

enum RuleFilters {
    /// The rule is off.
    Off,
    Compiled(Arc<Filter>),
    /// They do not fit into the namespace's limit.
    OverLimit,
    /// They fit again. Their text is not kept, so the rule has to be read again.
    ToRead,
}

/// Whether a rule is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evaluation {
    /// As far as it is active.
    Evaluated,
    /// The filters of the namespace's rules take too much memory.
    OverLimit,
    /// After the rule has been read again and applied.
    ToRead,
}

/// The filters of a rule.
pub(super) struct Filter {
    /// The rule's UID.
    rule: String,
    matcher: Matcher,
}

/// The filters of all rules of a namespace that are evaluated. Rebuilt when one changes, so the same pointer means that nothing
/// has changed.
pub(super) struct Filters(Vec<Arc<Filter>>);

impl Filters {
    /// The UIDs of the rules that match a post.
    pub(super) fn matching(&self, post: &Post) -> Vec<String> {
        let text = Text::of(post);
        self.0.iter().filter(|f| f.matcher.matches(&text)).map(|f| f.rule.clone()).collect()
    }
}

impl RuleEntry {
    /// `before` is the entry that it replaces.
    fn of(mut rule: AutomationRule, before: Option<&Self>) -> Self {
        let text = rule.spec.match_.take();
        rule.metadata = trimmed(rule.metadata);
        let facts = RuleFacts::of(&rule);
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let match_hash = hasher.finish();
        let before = before.filter(|old| old.match_hash == match_hash && old.facts.uid == facts.uid);
        let (size, filters) = match before.map(|old| (old.size, &old.filters)) {
            _ if !facts.wants_active => (0, RuleFilters::Off),
            Some((size, RuleFilters::Compiled(filter))) => (size, RuleFilters::Compiled(filter.clone())),
            Some((size, RuleFilters::OverLimit)) => (size, RuleFilters::OverLimit),
            _ => {
                let matcher = Matcher::new(text.as_ref());
                let filter = Filter { rule: facts.uid.clone(), matcher };
                (filter.matcher.size(), RuleFilters::Compiled(Arc::new(filter)))
            }
        };
        Self { object: Arc::new(rule), facts, match_hash, size, filters }
    }

    pub(super) fn evaluation(&self) -> Evaluation {
        match &self.filters {
            RuleFilters::Off | RuleFilters::Compiled(_) => Evaluation::Evaluated,
            RuleFilters::OverLimit => Evaluation::OverLimit,
            RuleFilters::ToRead => Evaluation::ToRead,
        }
    }
}

/// What a change of a rule affects.
pub(super) struct RulesChange {
    pub(super) before: Option<RuleFacts>,
    pub(super) after: Option<RuleFacts>,
    /// The rules that began or ceased to fit into the namespace's limit.
    pub(super) refitted: Vec<String>,
    /// Whether the posts of the namespace may match other rules now.
    pub(super) rematch: bool,
}

/// The rules of a namespace, by name.
#[derive(Default)]
pub(super) struct Rules {
    entries: BTreeMap<String, RuleEntry>,
    /// The size of all filters, including those that do not fit.
    size: usize,
    /// Whether some do not fit, or did not.
    over_limit: bool,
    /// Rebuilt on first use after a change.
    filters: Option<Arc<Filters>>,
}

impl Rules {
    pub(super) fn get(&self, name: &str) -> Option<&RuleEntry> {
        self.entries.get(name)
    }

    pub(super) fn all(&self) -> btree_map::Values<'_, String, RuleEntry> {
        self.entries.values()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.entries.keys()
    }

    pub(super) fn insert(&mut self, name: String, rule: AutomationRule) -> RulesChange {
        let old = self.entries.remove(&name);
        let entry = RuleEntry::of(rule, old.as_ref());
        let after = entry.facts.clone();
        let toggled = after.wants_active != old.as_ref().is_some_and(|old| old.facts.wants_active);
        let edited = old.as_ref().is_none_or(|old| {
            old.match_hash != entry.match_hash
                || old.facts.uid != after.uid
                || old.evaluation() != entry.evaluation()
        });
        self.size = self.size - old.as_ref().map_or(0, |old| old.size) + entry.size;
        self.entries.insert(name, entry);
        if toggled || edited {
            self.filters = None;
        }
        let (refitted, dropped) = self.fit();
        RulesChange {
            before: old.map(|old| old.facts),
            rematch: dropped || after.wants_active && (toggled || edited),
            after: Some(after),
            refitted,
        }
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<RulesChange> {
        let old = self.entries.remove(name)?;
        self.size -= old.size;
        self.filters = None;
        let (refitted, rematch) = self.fit();
        Some(RulesChange { before: Some(old.facts), after: None, refitted, rematch })
    }

    pub(super) fn filters(&mut self) -> Arc<Filters> {
        let compiled = |rule: &RuleEntry| match &rule.filters {
            RuleFilters::Compiled(filter) => Some(filter.clone()),
            _ => None,
        };
        let (entries, filters) = (&self.entries, &mut self.filters);
        let rebuild = || Arc::new(Filters(entries.values().filter_map(compiled).collect()));
        filters.get_or_insert_with(rebuild).clone()
    }

    /// Bytes of memory that the filters take.
    pub(super) fn evaluated_size(&self) -> usize {
        if !self.over_limit {
            return self.size;
        }
        let compiled = |rule: &&RuleEntry| matches!(rule.filters, RuleFilters::Compiled(_));
        self.entries.values().filter(compiled).map(|rule| rule.size).sum()
    }

    /// Drops filters that do not fit into the namespace's limit. Returns the rules that began or ceased to fit, and whether
    /// filters were dropped.
    fn fit(&mut self) -> (Vec<String>, bool) {
        let over_limit = self.size > budget::NAMESPACE_LIMIT;
        if !over_limit && !self.over_limit {
            return (Vec::new(), false);
        }
        self.over_limit = over_limit;
        let mut rules: Vec<(&String, &mut RuleEntry)> =
            self.entries.iter_mut().filter(|(_, rule)| rule.facts.wants_active).collect();
        rules.sort_by(|(_, a), (_, b)| {
            let order = |rule: &RuleEntry| (rule.facts.created, rule.facts.name.clone());
            order(a).cmp(&order(b))
        });
        let fits = budget::evaluated(rules.iter().map(|(_, rule)| rule.size));
        let (mut changed, mut dropped) = (Vec::new(), false);
        for ((name, rule), fits) in rules.into_iter().zip(fits) {
            let next = match (&rule.filters, fits) {
                (RuleFilters::OverLimit, true) => RuleFilters::ToRead,
                (RuleFilters::Compiled(_) | RuleFilters::ToRead, false) => RuleFilters::OverLimit,
                _ => continue,
            };
            dropped |= matches!(rule.filters, RuleFilters::Compiled(_));
            rule.filters = next;
            changed.push(name.clone());
        }
        if dropped {
            self.filters = None;
        }
        (changed, dropped)
    }
}
