//! R4, R9: which record types are in force, which cannot be used because of the tables of the instance, and which are in
//! force only because an active rule uses them.

use super::view::ConnectionView;
use crate::{
    api::{ActiveRule, DynamicsConnectionStatus},
    domain::facts::RuleFacts,
};

#[derive(Default)]
pub(super) struct RecordTypes {
    /// In `spec.recordTypes`, and the instance has the table: new rules and links can use them.
    pub(super) offered: Vec<String>,
    /// In `spec.recordTypes` or kept, but the instance has no table.
    pub(super) missing: Vec<String>,
    /// In `spec.recordTypes` or kept, but social activities cannot refer to the table.
    pub(super) unsupported: Vec<String>,
    /// In `spec.recordTypes`, and not read yet.
    pub(super) unread: Vec<String>,
    /// Of active rules that were reserved for them: no longer in `spec.recordTypes`, or their tables have vanished.
    used: Vec<String>,
    /// Those of `used` that are no longer in `spec.recordTypes`.
    kept: Vec<String>,
}

impl RecordTypes {
    /// Types that have not been read since this process started are as in the status.
    pub(super) fn of(
        view: &ConnectionView<'_>,
        old: &DynamicsConnectionStatus,
        entries: &[ActiveRule],
        reads: &[RuleFacts],
    ) -> Self {
        let spec = &view.connection.spec.record_types;
        // Without a read, nothing in it was shown by the instance.
        let before = old.metadata.clone().filter(|m| m.refreshed_at.is_some()).unwrap_or_default();
        let tables = view.observation.and_then(|t| t.tables.as_ref());
        let mut types = Self::default();
        for entry in entries {
            let named = named_by(entry, reads);
            if let Some(type_) = named.filter(|t| before.record_types.contains(t))
                && !types.used.contains(type_)
            {
                types.used.push(type_.clone());
            }
        }
        types.kept = types.used.iter().filter(|t| !spec.contains(t)).cloned().collect();
        for type_ in spec.iter().chain(&types.kept.clone()) {
            let list = match tables.filter(|tables| tables.asked.contains(type_)) {
                Some(tables) if tables.usable.contains(type_) => &mut types.offered,
                Some(tables) if tables.missing.contains(type_) => &mut types.missing,
                Some(_) => &mut types.unsupported,
                None if before.missing_record_types.contains(type_) => &mut types.missing,
                None if before.unsupported_record_types.contains(type_) => &mut types.unsupported,
                None if before.record_types.contains(type_) => &mut types.offered,
                None => &mut types.unread,
            };
            if !list.contains(type_) {
                list.push(type_.clone());
            }
        }
        types.offered.retain(|t| spec.contains(t));
        types
    }

    /// `status.metadata.recordTypes`: offered, or used by an active rule (R9).
    pub(super) fn in_force(&self) -> Vec<String> {
        let used = self.used.iter().filter(|t| !self.offered.contains(t));
        self.offered.iter().chain(used).cloned().collect()
    }

    /// The kept types and the names of the rules that use them.
    pub(super) fn kept(
        &self,
        entries: &[ActiveRule],
        reads: &[RuleFacts],
    ) -> Option<(Vec<String>, Vec<String>)> {
        let users: Vec<String> = entries
            .iter()
            .filter(|e| named_by(e, reads).is_some_and(|t| self.kept.contains(t)))
            .map(|e| e.name.clone())
            .collect();
        (!users.is_empty()).then(|| (self.kept.clone(), users))
    }
}

/// The record type that the rule of an entry names.
fn named_by<'a>(entry: &ActiveRule, reads: &'a [RuleFacts]) -> Option<&'a String> {
    reads.iter().find(|rule| rule.uid == entry.uid)?.record_type.as_ref()
}
