//! One PostLink in memory: only what decisions need, and no text of the post. Values that many links share are interned;
//! values that most links lack are boxed.

use super::{
    compact::{Seconds, seconds, time},
    compact_link::{CompactLink, CompactRemoved},
    compact_request::{CompactDesired, CompactIntent},
    interner::{Interner, Symbol},
};
use crate::api::{
    Condition, ConditionStatus, ConditionType, LinkState, PostLink, PostLinkStatus, Reason, RemovalCause,
    RemovedLink,
    names::{RELINK_REQUESTED, reconcile_requested, requested},
};
use crate::domain::{
    facts::created,
    post_link::{PostClaim, PostIdentity, PostLinkFacts},
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use std::{num::NonZero, sync::Arc};

pub use super::compact::{hash, link_spec_hash, uid, version};
use uuid::Uuid;

/// At most 168 bytes: the allocator's next size class is 16 bytes larger.
pub struct Entry {
    pub(super) namespace: Symbol,
    pub(super) name: Box<str>,
    pub(super) uid: Uuid,
    pub(super) version: u64,
    pub(super) status_hash: u64,
    /// Hash of the post's identity and the namespace.
    pub(super) post: u64,
    generation: u32,
    observed_generation: i32,
    created: Seconds,
    first_seen: Seconds,
    /// When the post was published, unless `Rare` has it.
    published: Option<NonZero<Seconds>>,
    desired: CompactDesired,
    binding: Binding,
    intent: CompactIntent,
    conditions: [Option<CompactCondition>; COMMON_CONDITIONS.len()],
    rare: Option<Box<Rare>>,
}

/// Fields that few links have.
#[derive(Default)]
struct Rare {
    deleting: bool,
    /// When the post was published, if that is too early or too late for `Seconds`.
    published: Option<Timestamp>,
    relink: Option<Box<str>>,
    reconcile: Option<Box<str>>,
    handled: Option<Box<str>>,
    conditions: [Option<CompactCondition>; RARE_CONDITIONS.len()],
    removed: Option<CompactRemoved>,
}

/// The link, or the rules that match the post.
enum Binding {
    Linked(Box<CompactLink>),
    /// The rules whose filters match the post, if rules may link it.
    Unlinked(Arc<[Symbol]>),
}

#[derive(Clone, Copy)]
struct CompactCondition {
    transition: Seconds,
    reason: u8,
    status: ConditionStatus,
}

/// The values by which links are counted for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CountKey {
    pub namespace: Symbol,
    /// The name of the link's connection, or of the requested one.
    pub connection: Option<Symbol>,
    /// Status and reason of `Linked`; the reason of `Ready` if the link is not that of the post.
    pub linked: Option<(ConditionStatus, Reason)>,
    /// The reason of `RecordAvailable`.
    pub record: Option<Reason>,
}

/// The condition types that most PostLinks have.
const COMMON_CONDITIONS: [ConditionType; 3] =
    [ConditionType::Ready, ConditionType::Linked, ConditionType::RecordAvailable];
/// The condition types that few PostLinks have at a time.
const RARE_CONDITIONS: [ConditionType; 2] = [ConditionType::Reconciling, ConditionType::Stalled];

fn compact_conditions<const N: usize>(
    types: [ConditionType; N],
    all: &[Condition],
) -> [Option<CompactCondition>; N] {
    types.map(|type_| {
        let condition = crate::api::conditions::find(all, type_)?;
        Some(CompactCondition {
            transition: seconds(condition.last_transition_time.0),
            reason: u8::try_from(Reason::parse(&condition.reason)? as usize).ok()?,
            status: condition.status,
        })
    })
}

impl Entry {
    /// `post` is the hash of `identity` and the namespace; `first_seen` is when this generation was first seen.
    pub fn of(
        post_link: &PostLink,
        identity: &PostIdentity,
        post: u64,
        interner: &mut Interner,
        first_seen: Timestamp,
        matching: Arc<[Symbol]>,
    ) -> Self {
        let default = PostLinkStatus::default();
        let status = post_link.status.as_ref().unwrap_or(&default);
        let meta = &post_link.metadata;
        let desired = CompactDesired::of(&post_link.spec, interner);
        Self {
            namespace: interner.intern(meta.namespace.as_deref().unwrap_or_default()),
            name: post_link.name_any().into(),
            uid: uid(meta.uid.as_deref().unwrap_or_default()),
            version: version(meta.resource_version.as_deref()),
            status_hash: hash(status),
            post,
            generation: meta.generation.and_then(|g| u32::try_from(g).ok()).unwrap_or(0),
            observed_generation: i32::try_from(status.observed_generation).unwrap_or(-1),
            created: seconds(created(meta)),
            first_seen: seconds(first_seen),
            published: published(post_link).and_then(published_seconds),
            intent: CompactIntent::of(status.intent.as_ref(), &desired, interner),
            desired,
            binding: match &status.link {
                Some(link) => {
                    let changed = post_changed(post_link, identity);
                    Binding::Linked(Box::new(CompactLink::of(link, changed, interner)))
                }
                None => Binding::Unlinked(matching),
            },
            conditions: compact_conditions(COMMON_CONDITIONS, &status.conditions),
            rare: Rare::of(post_link, identity, status, interner),
        }
    }

    /// Stores another status with the same link as the present one.
    pub(super) fn set_status(&mut self, version: u64, status: &PostLinkStatus, interner: &mut Interner) {
        self.version = version;
        self.status_hash = hash(status);
        self.observed_generation = i32::try_from(status.observed_generation).unwrap_or(-1);
        self.intent = CompactIntent::of(status.intent.as_ref(), &self.desired, interner);
        self.conditions = compact_conditions(COMMON_CONDITIONS, &status.conditions);
        let mut rare = self.rare.take().unwrap_or_default();
        rare.handled = status.last_handled_reconcile_at.as_deref().map(Into::into);
        rare.conditions = compact_conditions(RARE_CONDITIONS, &status.conditions);
        self.rare = rare.or_none();
    }

    /// The input of a decision. Condition messages are not stored: a decision sets them again, and a changed status is
    /// detected by its hash.
    pub fn facts(&self, interner: &Interner) -> PostLinkFacts {
        let rare = self.rare.as_deref();
        PostLinkFacts {
            name: self.name.to_string(),
            generation: i64::from(self.generation),
            created: time(self.created),
            first_seen: time(self.first_seen),
            deleting: rare.is_some_and(|r| r.deleting),
            post_changed: self.post_changed(),
            published_at: self.published.map(|at| time(at.get())).or_else(|| rare?.published),
            desired: self.desired.desired(interner),
            relink_requested: rare.and_then(|r| r.relink.as_deref().map(str::to_owned)),
            reconcile_requested: rare.and_then(|r| r.reconcile.as_deref().map(str::to_owned)),
            status: self.status(interner),
        }
    }

    fn status(&self, interner: &Interner) -> PostLinkStatus {
        let rare = self.rare.as_deref();
        let common = COMMON_CONDITIONS.iter().zip(&self.conditions);
        let rare_conditions = rare.into_iter().flat_map(|r| RARE_CONDITIONS.iter().zip(&r.conditions));
        let conditions = common.chain(rare_conditions).filter_map(|(type_, slot)| {
            let slot = (*slot)?;
            Some(Condition {
                type_: type_.as_str().to_owned(),
                status: slot.status,
                observed_generation: Some(i64::from(self.observed_generation)),
                last_transition_time: Time(time(slot.transition)),
                reason: Reason::ALL.get(usize::from(slot.reason))?.as_str().to_owned(),
                message: String::new(),
            })
        });
        PostLinkStatus {
            observed_generation: i64::from(self.observed_generation),
            conditions: conditions.collect(),
            // A decision sets it with the conditions.
            reason: None,
            link: self.link(interner),
            removed_link: rare.and_then(|r| r.removed.as_ref()).map(|r| RemovedLink {
                link: r.link.state(interner),
                removed_at: Time(time(r.removed_at)),
                cause: r.cause,
                connection_deleted_at: r.connection_deleted_at.map(|t| Time(time(t))),
                relink_requested: r.relink_requested,
            }),
            intent: self.intent.intent(&self.desired, interner),
            last_handled_reconcile_at: rare.and_then(|r| r.handled.as_deref().map(str::to_owned)),
        }
    }

    /// All that it interned, apart from the rules that match.
    pub(super) fn symbols(&self) -> impl Iterator<Item = Symbol> {
        let link = match &self.binding {
            Binding::Linked(link) => Some(link.as_ref()),
            Binding::Unlinked(_) => None,
        };
        let removed = self.rare.as_ref().and_then(|rare| rare.removed.as_ref()).map(|removed| &removed.link);
        let links = link.into_iter().chain(removed).flat_map(CompactLink::symbols);
        let request = self.desired.symbols().chain(self.intent.symbols());
        std::iter::once(self.namespace).chain(request).chain(links)
    }

    pub fn link(&self, interner: &Interner) -> Option<LinkState> {
        match &self.binding {
            Binding::Linked(link) => Some(link.state(interner)),
            Binding::Unlinked(_) => None,
        }
    }

    /// The UID of the link's connection.
    pub fn connection(&self) -> Option<Symbol> {
        match &self.binding {
            Binding::Linked(link) => Some(link.connection_uid),
            Binding::Unlinked(_) => None,
        }
    }

    /// The UIDs of the rules whose filters match the post, if rules may link it.
    pub fn matching(&self) -> Arc<[Symbol]> {
        match &self.binding {
            Binding::Linked(_) => Arc::default(),
            Binding::Unlinked(rules) => rules.clone(),
        }
    }

    pub(super) fn set_matching(&mut self, rules: Arc<[Symbol]>) {
        if let Binding::Unlinked(matching) = &mut self.binding {
            *matching = rules;
        }
    }

    /// The removed link of this post.
    fn removed(&self) -> Option<&CompactRemoved> {
        self.rare.as_ref()?.removed.as_ref().filter(|removed| !removed.link.post_changed)
    }

    /// Whether the change of a connection or rule can affect an unlinked post: it waits, matches a rule, or can be restored.
    pub fn depends_on_neighbors(&self) -> bool {
        let Binding::Unlinked(matching) = &self.binding else { return false };
        matches!(self.desired, CompactDesired::ByHand(_))
            || !matching.is_empty()
            || self.removed().is_some_and(|removed| removed.cause == RemovalCause::ConnectionDeleted)
    }

    /// Whether rules may link it: no link is requested by hand, and it never had a link, or a relink was requested (§2).
    pub fn open_to_rules(&self) -> bool {
        matches!((&self.binding, &self.desired), (Binding::Unlinked(_), CompactDesired::ByRule))
            && self.removed().is_none_or(|removed| removed.relink_requested)
    }

    /// Whether the link, or else the removed link, is about another post.
    pub fn post_changed(&self) -> bool {
        match &self.binding {
            Binding::Linked(link) => link.post_changed,
            Binding::Unlinked(_) => {
                let removed = self.rare.as_ref().and_then(|rare| rare.removed.as_ref());
                removed.is_some_and(|removed| removed.link.post_changed)
            }
        }
    }

    /// `None` if it has no link of this post and cannot get one: it is being deleted, or has a link of another post.
    pub fn claim(&self) -> Option<PostClaim> {
        let (unlinked, counts) = match &self.binding {
            Binding::Linked(link) => (false, !link.post_changed),
            Binding::Unlinked(_) => (true, self.rare.as_ref().is_none_or(|rare| !rare.deleting)),
        };
        counts.then(|| PostClaim { unlinked, created: time(self.created), name: self.name.to_string() })
    }

    /// The generation and when it was first seen.
    pub fn first_seen(&self) -> (u32, Timestamp) {
        (self.generation, time(self.first_seen))
    }

    pub fn count_key(&self) -> CountKey {
        let connection = match (&self.binding, &self.desired) {
            (Binding::Linked(link), _) => Some(link.connection_name),
            (Binding::Unlinked(_), CompactDesired::ByHand(request)) => request.connection,
            (Binding::Unlinked(_), _) => None,
        };
        CountKey {
            namespace: self.namespace,
            connection,
            linked: self.common_condition(ConditionType::Linked).map(|(status, reason)| {
                let ready = self.condition(ConditionType::Ready);
                // The record of these links may be available, and still they need a person.
                let other = |(_, reason): &(bool, Reason)| {
                    matches!(reason, Reason::DuplicatePost | Reason::PostChanged)
                };
                (status, ready.filter(other).map_or(reason, |(_, reason)| reason))
            }),
            record: self.common_condition(ConditionType::RecordAvailable).map(|(_, reason)| reason),
        }
    }

    fn common_condition(&self, type_: ConditionType) -> Option<(ConditionStatus, Reason)> {
        let slot = self.conditions[COMMON_CONDITIONS.iter().position(|t| *t == type_)?]?;
        let reason = Reason::ALL.get(usize::from(slot.reason))?;
        Some((slot.status, *reason))
    }

    /// Whether one of the common conditions is True, and its reason.
    pub fn condition(&self, type_: ConditionType) -> Option<(bool, Reason)> {
        self.common_condition(type_).map(|(status, reason)| (status == ConditionStatus::True, reason))
    }
}

/// Whether the link, or else the removed link, is about another post than `spec.post`.
pub(super) fn post_changed(post_link: &PostLink, identity: &PostIdentity) -> bool {
    let Some(status) = &post_link.status else { return false };
    let removed = status.removed_link.as_ref().map(|removed| &removed.link);
    let attempt = status.intent.as_ref().map_or(1, |intent| intent.attempt);
    let namespace = post_link.metadata.namespace.as_deref().unwrap_or_default();
    let link = status.link.as_ref().or(removed);
    link.is_some_and(|link| identity.differs_from(link, namespace, attempt))
}

fn published(post_link: &PostLink) -> Option<Timestamp> {
    post_link.spec.post.published_at.as_ref().map(|published| published.0)
}

fn published_seconds(at: Timestamp) -> Option<NonZero<Seconds>> {
    Seconds::try_from(at.as_second()).ok().and_then(NonZero::new)
}

impl Rare {
    fn of(
        post_link: &PostLink,
        identity: &PostIdentity,
        status: &PostLinkStatus,
        interner: &mut Interner,
    ) -> Option<Box<Self>> {
        let meta = &post_link.metadata;
        let rare = Self {
            deleting: meta.deletion_timestamp.is_some(),
            published: published(post_link).filter(|at| published_seconds(*at).is_none()),
            relink: requested(meta.annotations.as_ref(), RELINK_REQUESTED).map(Into::into),
            reconcile: reconcile_requested(meta.annotations.as_ref()).map(Into::into),
            handled: status.last_handled_reconcile_at.as_deref().map(Into::into),
            conditions: compact_conditions(RARE_CONDITIONS, &status.conditions),
            removed: status.removed_link.as_ref().map(|r| CompactRemoved {
                link: CompactLink::of(&r.link, post_changed(post_link, identity), interner),
                removed_at: seconds(r.removed_at.0),
                cause: r.cause,
                connection_deleted_at: r.connection_deleted_at.as_ref().map(|t| seconds(t.0)),
                relink_requested: r.relink_requested,
            }),
        };
        Box::new(rare).or_none()
    }

    fn or_none(self: Box<Self>) -> Option<Box<Self>> {
        let any = self.deleting
            || self.published.is_some()
            || self.relink.is_some()
            || self.reconcile.is_some()
            || self.handled.is_some()
            || self.conditions.iter().any(Option::is_some)
            || self.removed.is_some();
        any.then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_stays_small() {
        assert_eq!(
            [
                size_of::<Entry>(),
                size_of::<CompactLink>(),
                size_of::<CompactIntent>(),
                size_of::<Binding>(),
                size_of::<CompactDesired>(),
                size_of::<[Option<CompactCondition>; 3]>()
            ],
            [160, 72, 16, 16, 16, 24]
        );
    }
}
