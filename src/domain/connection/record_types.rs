//! R4, R9: which record types are in force, which cannot be used because of the tables of the instance, and which are in
//! force only because an active rule uses them.

use super::view::ConnectionView;
use crate::{
    api::{ActiveRule, DynamicsConnectionStatus},
    domain::facts::RuleFacts,
};

#[derive(Default)]
pub(super) struct RecordTypes {
    pub(super) in_force: Vec<String>,
    /// In `spec.recordTypes`, but the instance has no table.
    pub(super) missing: Vec<String>,
    /// In `spec.recordTypes`, but social activities cannot refer to the table.
    pub(super) unsupported: Vec<String>,
    /// In force only because an active rule uses them: no longer in `spec.recordTypes`.
    kept: Vec<String>,
}

impl RecordTypes {
    /// A record type is in force once the metadata of its table has been read. Types that have not been read since this
    /// process started are as in the status.
    pub(super) fn of(
        view: &ConnectionView<'_>,
        old: &DynamicsConnectionStatus,
        entries: &[ActiveRule],
        reads: &[RuleFacts],
    ) -> Self {
        let spec = &view.connection.spec.record_types;
        let before = old.metadata.clone().unwrap_or_default();
        let tables = view.observation.and_then(|t| t.tables.as_ref());
        let mut types = Self::default();
        for type_ in spec {
            let read = tables.filter(|tables| tables.asked.contains(type_));
            let (usable, missing, unsupported) = match read {
                Some(tables) if tables.usable.contains(type_) => (true, false, false),
                Some(tables) if tables.missing.contains(type_) => (false, true, false),
                Some(_) => (false, false, true),
                None => (
                    before.record_types.contains(type_),
                    before.missing_record_types.contains(type_),
                    before.unsupported_record_types.contains(type_),
                ),
            };
            let of_kind = [
                (usable && !missing && !unsupported, &mut types.in_force),
                (missing, &mut types.missing),
                (unsupported, &mut types.unsupported),
            ];
            for (belongs, list) in of_kind {
                if belongs && !list.contains(type_) {
                    list.push(type_.clone());
                }
            }
        }
        for entry in entries {
            let named = reads.iter().find(|r| r.uid == entry.uid).and_then(|r| r.record_type.clone());
            if let Some(type_) = named
                && before.record_types.contains(&type_)
                && !types.in_force.contains(&type_)
            {
                if !spec.contains(&type_) {
                    types.kept.push(type_.clone());
                }
                types.in_force.push(type_);
            }
        }
        types
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
