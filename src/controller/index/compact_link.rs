//! A current or removed link in memory.

use super::{
    compact::{Seconds, seconds, time, uid},
    interner::{Interner, Symbol},
};
use crate::{
    api::{LinkState, LinkedBy, ObjectRef, Record, RemovalCause},
    domain::post_link::record::record,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::num::NonZero;
use uuid::Uuid;

/// A current or removed link.
pub(super) struct CompactLink {
    pub(super) connection_uid: Symbol,
    pub(super) connection_name: Symbol,
    pub(super) organization: Symbol,
    pub(super) activity: Uuid,
    pub(super) record: Option<(Symbol, Uuid, Option<Symbol>)>,
    pub(super) linked_at: Seconds,
    pub(super) linked_by: LinkedBy,
    pub(super) rule: Option<(Symbol, Symbol)>,
    pub(super) restored_at: Option<NonZero<Seconds>>,
    /// Whether it is about another post than `spec.post`.
    pub(super) post_changed: bool,
}

pub(super) struct CompactRemoved {
    pub(super) link: CompactLink,
    pub(super) removed_at: Seconds,
    pub(super) cause: RemovalCause,
    pub(super) connection_deleted_at: Option<Seconds>,
    pub(super) relink_requested: bool,
}

impl CompactLink {
    pub(super) fn of(link: &LinkState, post_changed: bool, interner: &mut Interner) -> Self {
        Self {
            connection_uid: interner.intern(&link.connection.uid),
            connection_name: interner.intern(&link.connection.name),
            organization: interner.intern(&link.organization_id.to_string()),
            activity: link.social_activity_id,
            record: link.record.as_ref().map(|r| {
                let origin = r.url.as_deref().and_then(|u| u.split("/main.aspx").next());
                (interner.intern(&r.type_), r.id, origin.map(|o| interner.intern(o)))
            }),
            linked_at: seconds(link.linked_at.0),
            linked_by: link.linked_by,
            rule: link.rule.as_ref().map(|r| (interner.intern(&r.name), interner.intern(&r.uid))),
            restored_at: link.restored_at.as_ref().and_then(|t| NonZero::new(seconds(t.0))),
            post_changed,
        }
    }

    pub(super) fn symbols(&self) -> impl Iterator<Item = Symbol> {
        let record = self.record.into_iter().flat_map(|(type_, _, origin)| [Some(type_), origin]).flatten();
        let rule = self.rule.into_iter().flat_map(|(name, uid)| [name, uid]);
        [self.connection_uid, self.connection_name, self.organization].into_iter().chain(record).chain(rule)
    }

    pub(super) fn state(&self, interner: &Interner) -> LinkState {
        let text = |s: Symbol| interner.text(s).to_string();
        LinkState {
            connection: ObjectRef { name: text(self.connection_name), uid: text(self.connection_uid) },
            organization_id: uid(interner.text(self.organization)),
            social_activity_id: self.activity,
            record: self.record.map(|(type_, id, origin)| match origin {
                Some(origin) => record(interner.text(type_), id, interner.text(origin)),
                None => Record { type_: text(type_), id, url: None },
            }),
            linked_at: Time(time(self.linked_at)),
            linked_by: self.linked_by,
            rule: self.rule.map(|(name, uid)| ObjectRef { name: text(name), uid: text(uid) }),
            restored_at: self.restored_at.map(|t| Time(time(t.get()))),
        }
    }
}
