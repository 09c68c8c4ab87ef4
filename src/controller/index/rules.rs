//! The rules of a namespace: what is kept of each, and which of them are evaluated.

use super::trim::trimmed;
use crate::{
    api::{AutomationRule, Post},
    domain::{
        facts::RuleFacts,
        matching::{Matcher, Text, budget::Budget},
    },
};
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, btree_map},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

/// A rule without its filters: their text would be kept twice, and most of what a tenant can store is in them.
pub(super) struct RuleEntry {
    /// Without `spec.match`, and without what Postlink does not read of the metadata.
    pub(super) object: Arc<AutomationRule>,
    pub(super) facts: Arc<RuleFacts>,
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
        let facts = Arc::new(RuleFacts::of(&rule));
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

    fn is_compiled(&self) -> bool {
        matches!(self.filters, RuleFilters::Compiled(_))
    }

    /// Keeps the filters if they fit into the namespace's limit.
    fn evaluate(&mut self, fits: bool) {
        match (&self.filters, fits) {
            (RuleFilters::OverLimit, true) => self.filters = RuleFilters::ToRead,
            (RuleFilters::Compiled(_) | RuleFilters::ToRead, false) => self.filters = RuleFilters::OverLimit,
            _ => {}
        }
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
    pub(super) before: Option<Arc<RuleFacts>>,
    pub(super) after: Option<Arc<RuleFacts>>,
    /// The rules that began or ceased to fit into the namespace's limit.
    pub(super) refitted: Vec<String>,
    /// Whether the posts of the namespace may match other rules now.
    pub(super) rematch: bool,
}

/// The order in which rules are evaluated: by creation, then by name.
type Place = (Timestamp, String);

impl RuleEntry {
    /// Of a rule that is on.
    fn place(&self) -> Option<Place> {
        self.facts.wants_active.then(|| (self.facts.created, self.facts.name.clone()))
    }
}

/// The rules of a namespace, by name.
#[derive(Default)]
pub(super) struct Rules {
    entries: BTreeMap<String, RuleEntry>,
    budget: Budget<Place>,
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

    pub(super) fn named(&self) -> impl Iterator<Item = (&String, &RuleEntry)> {
        self.entries.iter()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn insert(&mut self, name: String, rule: AutomationRule) -> RulesChange {
        let old = self.entries.remove(&name);
        let mut entry = RuleEntry::of(rule, old.as_ref());
        let (left, place) = (old.as_ref().and_then(RuleEntry::place), entry.place());
        let mut told = match &left {
            Some(left) if Some(left) != place.as_ref() => self.budget.remove(left),
            _ => Vec::new(),
        };
        if let Some(place) = &place {
            told.extend(self.budget.set(place, entry.size));
            entry.evaluate(self.budget.evaluates(place));
        }
        let after = entry.facts.clone();
        let changed = old.as_ref().is_none_or(|old| {
            old.facts.wants_active != after.wants_active
                || old.match_hash != entry.match_hash
                || old.facts.uid != after.uid
                || old.evaluation() != entry.evaluation()
        });
        let was_compiled = old.as_ref().is_some_and(RuleEntry::is_compiled);
        let is_compiled = entry.is_compiled();
        if changed && (was_compiled || is_compiled) {
            self.filters = None;
        }
        self.entries.insert(name, entry);
        let (refitted, dropped) = self.apply(told);
        RulesChange {
            before: old.map(|old| old.facts),
            rematch: dropped || changed && (is_compiled || was_compiled && after.wants_active),
            after: Some(after),
            refitted,
        }
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<RulesChange> {
        let old = self.entries.remove(name)?;
        self.filters = None;
        let told = old.place().map(|place| self.budget.remove(&place)).unwrap_or_default();
        let (refitted, rematch) = self.apply(told);
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
    pub(super) fn size(&self) -> usize {
        self.budget.used()
    }

    /// Drops filters that do not fit into the namespace's limit any more. Returns the rules that began or ceased to fit, and
    /// whether filters were dropped.
    fn apply(&mut self, told: Vec<Place>) -> (Vec<String>, bool) {
        let (mut refitted, mut dropped) = (Vec::new(), false);
        for place in told {
            let Some(rule) = self.entries.get_mut(&place.1) else { continue };
            let before = (rule.evaluation(), rule.is_compiled());
            rule.evaluate(self.budget.evaluates(&place));
            if rule.evaluation() != before.0 {
                dropped |= before.1;
                refitted.push(place.1);
            }
        }
        if dropped {
            self.filters = None;
        }
        (refitted, dropped)
    }
}
