//! One PostLink in memory: what decisions need and nothing else; no text of the post. Small numbers for what many
//! links share, boxes for what most links lack.

use super::symbols::{Symbol, Symbols};
use crate::api::{
    Condition, ConditionStatus, ConditionType, Intent, LinkState, LinkedBy, ObjectRef, PostLink,
    PostLinkStatus, Reason, Record, RemovalCause, RemovedLink,
    names::{RELINK_REQUESTED, reconcile_requested},
};
use crate::rules::{
    facts::created,
    link::{LinkFacts, Request, Wish},
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use sha2::{Digest, Sha256};
use std::hash::{DefaultHasher, Hash, Hasher};
use uuid::Uuid;

/// Seconds since the epoch; the API's times have no more.
type Seconds = u32;

/// One PostLink.
pub struct Entry {
    pub(super) namespace: Symbol,
    pub(super) name: Box<str>,
    pub(super) uid: Uuid,
    pub(super) version: u64,
    generation: u32,
    created: Seconds,
    seen: Seconds,
    published: Option<Seconds>,
    deleting: bool,
    wish: CompactWish,
    asked: Option<Box<Asked>>,
    observed_generation: i32,
    pub(super) status_hash: u64,
    conditions: [Option<CompactCondition>; 5],
    pub(super) link: Option<Box<CompactLink>>,
    pub(super) removed: Option<Box<CompactRemoved>>,
    intent: Option<Box<CompactIntent>>,
    /// The rules whose filters match the post, while it could become theirs.
    pub(super) matching: Box<[Symbol]>,
}

/// What annotations ask, and what of it was handled.
struct Asked {
    relink: Option<Box<str>>,
    reconcile: Option<Box<str>>,
    handled: Option<Box<str>>,
}

enum CompactWish {
    Rules,
    Unlink,
    Link(Box<CompactRequest>),
}

struct CompactRequest {
    connection: Option<Symbol>,
    record_type: Option<Symbol>,
    record_id: Option<Uuid>,
    hash: [u8; 16],
}

#[derive(Clone, Copy)]
struct CompactCondition {
    transition: Seconds,
    reason: u8,
    status: ConditionStatus,
}

/// A link, or a link there was.
pub(super) struct CompactLink {
    pub(super) connection_uid: Symbol,
    connection_name: Symbol,
    pub(super) organization: Uuid,
    pub(super) activity: Uuid,
    record: Option<(Symbol, Uuid, Option<Symbol>)>,
    linked_at: Seconds,
    linked_by: LinkedBy,
    rule: Option<(Symbol, Symbol)>,
    restored_at: Option<Seconds>,
}

pub(super) struct CompactRemoved {
    pub(super) link: CompactLink,
    removed_at: Seconds,
    pub(super) cause: RemovalCause,
    connection_deleted_at: Option<Seconds>,
}

struct CompactIntent {
    hash: Option<Box<str>>,
    connection: Option<Symbol>,
    attempt: i32,
    relink: Option<Box<str>>,
}

/// The condition types a PostLink has, in the order they are kept here.
const TYPES: [ConditionType; 5] = [
    ConditionType::Ready,
    ConditionType::Reconciling,
    ConditionType::Stalled,
    ConditionType::Linked,
    ConditionType::RecordAvailable,
];

fn seconds(time: Timestamp) -> Seconds {
    Seconds::try_from(time.as_second()).unwrap_or(0)
}

fn time(seconds: Seconds) -> Timestamp {
    Timestamp::from_second(i64::from(seconds)).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// A UID as 16 bytes. The API server's are UUIDs; anything else gets one of its own.
pub fn uid(text: &str) -> Uuid {
    Uuid::parse_str(text).unwrap_or_else(|_| Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes()))
}

/// What a status says, as one number: equal statuses have equal numbers.
pub fn hash(status: &PostLinkStatus) -> u64 {
    let mut hasher = DefaultHasher::new();
    // A status is plain data and always serialises; were it not, it would differ from all others and be written.
    serde_json::to_vec(status).unwrap_or_default().hash(&mut hasher);
    hasher.finish()
}

/// `spec.link` as one short text: what `status.intent.hash` keeps.
pub fn request_hash(request: &crate::api::LinkRequest) -> [u8; 16] {
    let digest = Sha256::digest(serde_json::to_vec(request).unwrap_or_default());
    let mut hash = [0; 16];
    hash.copy_from_slice(&digest[..16]);
    hash
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl Entry {
    /// Keeps what matters of a stored object. `seen` is when this generation was first seen.
    pub fn of(post_link: &PostLink, symbols: &mut Symbols, seen: Timestamp, matching: Box<[Symbol]>) -> Self {
        let default = PostLinkStatus::default();
        let status = post_link.status.as_ref().unwrap_or(&default);
        let meta = &post_link.metadata;
        let relink = post_link.annotations().get(RELINK_REQUESTED).map(|t| t.as_str().into());
        let reconcile = reconcile_requested(meta.annotations.as_ref()).map(Into::into);
        let handled: Option<Box<str>> = status.last_handled_reconcile_at.as_deref().map(Into::into);
        let any = relink.is_some() || reconcile.is_some() || handled.is_some();
        let mut conditions = [None; 5];
        for (slot, type_) in conditions.iter_mut().zip(TYPES) {
            *slot = crate::api::conditions::find(&status.conditions, type_).and_then(|c| {
                Some(CompactCondition {
                    transition: seconds(c.last_transition_time.0),
                    reason: u8::try_from(Reason::parse(&c.reason)? as usize).ok()?,
                    status: c.status,
                })
            });
        }
        let wish = match (&post_link.spec.link, post_link.spec.unlink) {
            (_, true) => CompactWish::Unlink,
            (None, false) => CompactWish::Rules,
            (Some(request), false) => CompactWish::Link(Box::new(CompactRequest {
                connection: request.connection_ref.as_ref().map(|r| symbols.number(&r.name)),
                record_type: request.record_type.as_ref().map(|t| symbols.number(t)),
                record_id: request.record_id,
                hash: request_hash(request),
            })),
        };
        Self {
            namespace: symbols.number(meta.namespace.as_deref().unwrap_or_default()),
            name: post_link.name_any().into(),
            uid: uid(meta.uid.as_deref().unwrap_or_default()),
            version: version(meta.resource_version.as_deref()),
            generation: meta.generation.and_then(|g| u32::try_from(g).ok()).unwrap_or(0),
            created: seconds(created(meta)),
            seen: seconds(seen),
            published: post_link.spec.post.published_at.as_ref().map(|t| seconds(t.0)),
            deleting: meta.deletion_timestamp.is_some(),
            wish,
            asked: any.then(|| Box::new(Asked { relink, reconcile, handled })),
            observed_generation: i32::try_from(status.observed_generation).unwrap_or(-1),
            status_hash: hash(status),
            conditions,
            link: status.link.as_ref().map(|l| Box::new(CompactLink::of(l, symbols))),
            removed: status.removed_link.as_ref().map(|r| {
                Box::new(CompactRemoved {
                    link: CompactLink::of(&r.link, symbols),
                    removed_at: seconds(r.removed_at.0),
                    cause: r.cause,
                    connection_deleted_at: r.connection_deleted_at.as_ref().map(|t| seconds(t.0)),
                })
            }),
            intent: status.intent.as_ref().map(|i| {
                Box::new(CompactIntent {
                    hash: i.hash.as_deref().map(Into::into),
                    connection: i.connection.as_ref().map(|c| symbols.number(c)),
                    attempt: i.attempt,
                    relink: i.relink_requested_at.as_deref().map(Into::into),
                })
            }),
            matching,
        }
    }

    /// What decisions see. The conditions' messages are not kept: a decision writes them anew, and equality is
    /// judged by the status' hash.
    pub fn facts(&self, symbols: &Symbols) -> LinkFacts {
        let text = |s: Symbol| symbols.text(s).to_string();
        LinkFacts {
            generation: i64::from(self.generation),
            created: time(self.created),
            seen: time(self.seen),
            deleting: self.deleting,
            published_at: self.published.map(time),
            wish: match &self.wish {
                CompactWish::Rules => Wish::Rules,
                CompactWish::Unlink => Wish::Unlink,
                CompactWish::Link(request) => Wish::Link(Request {
                    connection: request.connection.map(text),
                    record_type: request.record_type.map(text),
                    record_id: request.record_id,
                    hash: hex(&request.hash),
                }),
            },
            relink_requested: self.asked.as_ref().and_then(|a| a.relink.as_deref().map(str::to_owned)),
            reconcile_requested: self.asked.as_ref().and_then(|a| a.reconcile.as_deref().map(str::to_owned)),
            status: self.status(symbols),
        }
    }

    fn status(&self, symbols: &Symbols) -> PostLinkStatus {
        let conditions = self.conditions.iter().zip(TYPES).filter_map(|(slot, type_)| {
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
            link: self.link.as_ref().map(|l| l.state(symbols)),
            removed_link: self.removed.as_ref().map(|r| RemovedLink {
                link: r.link.state(symbols),
                removed_at: Time(time(r.removed_at)),
                cause: r.cause,
                connection_deleted_at: r.connection_deleted_at.map(|t| Time(time(t))),
            }),
            intent: self.intent.as_ref().map(|i| Intent {
                hash: i.hash.as_deref().map(str::to_owned),
                connection: i.connection.map(|c| symbols.text(c).to_string()),
                attempt: i.attempt,
                relink_requested_at: i.relink.as_deref().map(str::to_owned),
            }),
            last_handled_reconcile_at: self
                .asked
                .as_ref()
                .and_then(|a| a.handled.as_deref().map(str::to_owned)),
        }
    }

    /// Whether something may still become of it without its own doing: it waits, could match, or could come back.
    pub fn listens(&self) -> bool {
        self.link.is_none()
            && (matches!(self.wish, CompactWish::Link(_))
                || !self.matching.is_empty()
                || self.removed.as_ref().is_some_and(|r| r.cause == RemovalCause::ConnectionDeleted))
    }

    /// Whether rules may take it: nothing asks by hand, and it never held a link (§2).
    pub fn open_to_rules(&self) -> bool {
        self.link.is_none() && self.removed.is_none() && matches!(self.wish, CompactWish::Rules)
    }

    /// When this generation was first seen.
    pub fn seen(&self) -> (u32, Timestamp) {
        (self.generation, time(self.seen))
    }

    /// The reason of one of its conditions, and whether that is True.
    pub fn condition(&self, type_: ConditionType) -> Option<(bool, Reason)> {
        let slot = self.conditions[TYPES.iter().position(|t| *t == type_)?]?;
        let reason = Reason::ALL.get(usize::from(slot.reason))?;
        Some((slot.status == ConditionStatus::True, *reason))
    }
}

impl CompactLink {
    fn of(link: &LinkState, symbols: &mut Symbols) -> Self {
        Self {
            connection_uid: symbols.number(&link.connection.uid),
            connection_name: symbols.number(&link.connection.name),
            organization: link.organization_id,
            activity: link.social_activity_id,
            record: link.record.as_ref().map(|r| {
                let origin = r.url.as_deref().and_then(|u| u.split("/main.aspx").next());
                (symbols.number(&r.type_), r.id, origin.map(|o| symbols.number(o)))
            }),
            linked_at: seconds(link.linked_at.0),
            linked_by: link.linked_by,
            rule: link.rule.as_ref().map(|r| (symbols.number(&r.name), symbols.number(&r.uid))),
            restored_at: link.restored_at.as_ref().map(|t| seconds(t.0)),
        }
    }

    pub(super) fn state(&self, symbols: &Symbols) -> LinkState {
        let text = |s: Symbol| symbols.text(s).to_string();
        LinkState {
            connection: ObjectRef { name: text(self.connection_name), uid: text(self.connection_uid) },
            organization_id: self.organization,
            social_activity_id: self.activity,
            record: self.record.map(|(type_, id, origin)| match origin {
                Some(origin) => crate::rules::record::record(symbols.text(type_), id, symbols.text(origin)),
                None => Record { type_: text(type_), id, url: None },
            }),
            linked_at: Time(time(self.linked_at)),
            linked_by: self.linked_by,
            rule: self.rule.map(|(name, uid)| ObjectRef { name: text(name), uid: text(uid) }),
            restored_at: self.restored_at.map(|t| Time(time(t))),
        }
    }
}

/// A resourceVersion as the number it is (comparable since KEP-5504).
pub fn version(text: Option<&str>) -> u64 {
    text.and_then(|t| t.parse().ok()).unwrap_or(0)
}
