//! R9: which record types are in force, and which of them only because an active rule uses them.

use super::view::ConnectionView;
use crate::{
    api::{ActiveRule, DynamicsConnectionStatus},
    domain::facts::RuleFacts,
};

pub(super) struct RecordTypes {
    pub(super) in_force: Vec<String>,
    /// In force only because an active rule uses them.
    kept: Vec<String>,
}

impl RecordTypes {
    pub(super) fn in_force(
        view: &ConnectionView<'_>,
        old: &DynamicsConnectionStatus,
        entries: &[ActiveRule],
        reads: &[RuleFacts],
    ) -> Self {
        let spec = &view.connection.spec.record_types;
        let before: &[String] = old.metadata.as_ref().map_or(&[], |m| &m.record_types);
        let tables = view.observation.and_then(|t| t.tables.as_ref());
        let mut in_force: Vec<String> = Vec::new();
        for type_ in spec {
            let missing = match tables {
                Some(tables) => tables.asked.contains(type_) && !tables.usable.contains(type_),
                // Not read since this process started: a table that was missing before still counts as missing.
                None => {
                    old.metadata.as_ref().is_some_and(|m| m.refreshed_at.is_some())
                        && old.observed_generation == view.connection.metadata.generation.unwrap_or(0)
                        && !before.contains(type_)
                }
            };
            if !missing && !in_force.contains(type_) {
                in_force.push(type_.clone());
            }
        }
        let mut kept = Vec::new();
        for entry in entries {
            let named = reads.iter().find(|r| r.uid == entry.uid).and_then(|r| r.record_type.clone());
            if let Some(type_) = named
                && before.contains(&type_)
                && !in_force.contains(&type_)
            {
                kept.push(type_.clone());
                in_force.push(type_);
            }
        }
        Self { in_force, kept }
    }

    /// The kept types and the names of the rules that use them.
    pub(super) fn kept(
        &self,
        entries: &[ActiveRule],
        reads: &[RuleFacts],
    ) -> Option<(Vec<String>, Vec<String>)> {
        let users: Vec<String> = entries
            .iter()
            .filter(|e| {
                reads
                    .iter()
                    .find(|r| r.uid == e.uid)
                    .and_then(|r| r.record_type.as_ref())
                    .is_some_and(|t| self.kept.contains(t))
            })
            .map(|e| e.name.clone())
            .collect();
        (!users.is_empty()).then(|| (self.kept.clone(), users))
    }
}
