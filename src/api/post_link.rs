//! `PostLink` (`plink`): a social post, and its link to a record in an instance.

use super::{conditions::Condition, connection::ConnectionRef};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A social post, and how it is to be linked.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "postlink.dev",
    version = "v1alpha1",
    kind = "PostLink",
    plural = "postlinks",
    singular = "postlink",
    shortname = "plink",
    category = "postlink",
    namespaced,
    status = "PostLinkStatus",
    derive = "PartialEq",
    doc = "A PostLink is one social post and its link to a record in Dynamics 365. The link is requested by hand with spec.link, or created by an automation rule that matches the post. Deleting a PostLink changes nothing in Dynamics 365.",
    selectable = ".spec.post.id",
    selectable = ".spec.post.source",
    selectable = ".spec.link.connectionRef.name",
    selectable = ".status.reason",
    selectable = ".status.link.connection.name",
    selectable = ".status.link.rule.name",
    printcolumn(
        name = "Linked",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Linked\")].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Linked\")].reason"
    ),
    printcolumn(name = "Connection", type_ = "string", json_path = ".status.link.connection.name"),
    printcolumn(name = "Record", type_ = "string", json_path = ".status.link.record.type"),
    printcolumn(
        name = "Available",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"RecordAvailable\")].status"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Rule", type_ = "string", json_path = ".status.link.rule.name", priority = 1),
    printcolumn(name = "Record URL", type_ = "string", json_path = ".status.link.record.url", priority = 1),
    printcolumn(name = "Post URL", type_ = "string", json_path = ".spec.post.url", priority = 1),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("!has(self.link) || !has(self.unlink) || !self.unlink", "link must not be set if unlink is true; remove one of them"))]
pub struct PostLinkSpec {
    /// The social post.
    pub post: Post,
    /// Links this post by hand. If absent, automation rules decide. Removing this field keeps an existing link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkRequest>,
    /// Set to true to remove the link and to keep rules from creating one; `link` must not be set then. The removed link is
    /// never restored; nothing changes in Dynamics 365. Defaults to false.
    #[serde(default)]
    pub unlink: bool,
}

/// A social post.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Post {
    /// URL of the post.
    #[schemars(schema_with = "super::schemas::page_url_schema")]
    pub url: String,
    /// ID of the post, unique within its source. If two PostLinks of a namespace have the same source and ID, only the older
    /// one is linked.
    #[schemars(schema_with = "super::schemas::post_id_schema")]
    pub id: String,
    /// Source, such as `Twitter`, `Reddit` or `Reviews`. Case-insensitive.
    #[serde(default, deserialize_with = "super::decode::non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub source: Option<String>,
    /// Type of the post.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub type_: Option<PostType>,
    /// Author of the post.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Author>,
    /// Time of publication, such as `2025-12-18T07:41:00Z`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schemas::date_time_schema")]
    pub published_at: Option<Time>,
    /// Language (BCP 47), such as `en`, `pt-BR` or `zh-Hant`.
    #[serde(default, deserialize_with = "super::decode::non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schemas::language_schema")]
    pub language: Option<String>,
    /// Title of the post.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub title: Option<String>,
    /// Text of the post. Only the first 2,000 characters are sent to the instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32768))]
    pub content: Option<String>,
    /// Sentiment of the post.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sentiment: Option<Sentiment>,
    /// Reach score of the post, from 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schemas::reach_schema")]
    pub reach: Option<i32>,
    /// Country or region.
    #[serde(default, deserialize_with = "super::decode::non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub location: Option<String>,
    /// Whether the owner of the page or a visitor wrote the post.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contributor: Option<Contributor>,
    /// Detected intentions of the author.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub intentions: Vec<Intention>,
    /// Search topics that found the post.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 128)))]
    pub search_topics: Vec<String>,
}

/// The author of a post.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Author {
    /// Full name of the author.
    #[serde(default, deserialize_with = "super::decode::non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 160))]
    pub name: Option<String>,
    /// Handle or alias of the author.
    #[serde(default, deserialize_with = "super::decode::non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 160))]
    pub handle: Option<String>,
    /// URL of the author's profile.
    #[serde(default, deserialize_with = "super::decode::non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schemas::optional_page_url_schema")]
    pub profile_url: Option<String>,
    /// Tags of the author.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 128)))]
    pub tags: Vec<String>,
}

/// Type of the post.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum PostType {
    /// An original post.
    Post,
    /// A reply.
    Reply,
    /// A share or repost.
    Share,
    /// A private message.
    PrivateMessage,
}

/// Sentiment of a post.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Sentiment {
    /// Positive.
    Positive,
    /// Neutral.
    Neutral,
    /// Negative.
    Negative,
}

/// Whether the owner of the page or a visitor wrote the post.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Contributor {
    /// The owner of the page.
    PageOwner,
    /// A visitor of the page.
    Audience,
}

/// Detected intentions of the author.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Intention {
    /// The author wants to buy.
    Purchase,
    /// The author complains.
    Complaint,
    /// The author asks a question.
    InformationRequest,
    /// The author asks for help.
    SupportRequest,
}

/// A link requested by hand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct LinkRequest {
    /// Connection to link through. Defaults to the default connection of the namespace at the time the link is created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_ref: Option<ConnectionRef>,
    /// Logical name of the table of the record, such as `incident` (Case). Defaults to the first record type of the connection.
    #[serde(default, deserialize_with = "super::decode::non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schemas::optional_table_name_schema")]
    pub record_type: Option<String>,
    /// ID of an existing record to link to. If absent, the record creation rules of the instance create one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schemas::record_id_schema")]
    pub record_id: Option<Uuid>,
    /// Notes for the record, added to the social activity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 250))]
    pub notes: Option<String>,
}

/// Observed state of the post and its link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PostLinkStatus {
    /// Generation of the object this status describes; -1 before the first reconcile.
    #[serde(default = "super::schemas::not_observed")]
    pub observed_generation: i64,
    /// Conditions: `Ready`, `Linked`, `RecordAvailable`, `Reconciling`, `Stalled`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub conditions: Vec<Condition>,
    /// Reason of the condition `Ready`, as a field for `kubectl get --field-selector`. The column REASON shows that of `Linked`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub reason: Option<String>,
    /// The current link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkState>,
    /// The last removed link, and why it was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed_link: Option<RemovedLink>,
    /// The last link request that was acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<Intent>,
    /// Value of the last handled annotation `postlink.dev/reconcile-requested-at` or `reconcile.fluxcd.io/requestedAt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub last_handled_reconcile_at: Option<String>,
}

impl Default for PostLinkStatus {
    fn default() -> Self {
        Self {
            observed_generation: super::schemas::NOT_OBSERVED,
            conditions: Vec::new(),
            reason: None,
            link: None,
            removed_link: None,
            intent: None,
            last_handled_reconcile_at: None,
        }
    }
}

/// Reference to an object in the same namespace, by name and UID.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
pub struct ObjectRef {
    /// Name of the object.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// UID of the object.
    #[schemars(length(min = 1, max = 128))]
    pub uid: String,
}

/// A link from a post to a social activity and its record in an instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct LinkState {
    /// Connection of the link.
    pub connection: ObjectRef,
    /// Organization of the link. The link can be restored through any connection to it.
    #[schemars(schema_with = "super::schemas::uuid_schema")]
    pub organization_id: Uuid,
    /// ID of the social activity.
    #[schemars(schema_with = "super::schemas::uuid_schema")]
    pub social_activity_id: Uuid,
    /// Record of the social activity, once the instance has created one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<Record>,
    /// Time at which the link was created.
    #[schemars(schema_with = "super::schemas::status_time_schema")]
    pub linked_at: Time,
    /// Whether the link was created by hand or by a rule.
    pub linked_by: LinkedBy,
    /// Rule that created the link, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<ObjectRef>,
    /// Time at which the link was last restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schemas::status_time_schema")]
    pub restored_at: Option<Time>,
}

/// Who created a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum LinkedBy {
    /// `spec.link` requested it.
    Hand,
    /// An automation rule created it.
    Rule,
}

/// The record of a social activity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct Record {
    /// Logical name of the table of the record, such as `incident` (Case).
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 128))]
    pub type_: String,
    /// ID of the record.
    #[schemars(schema_with = "super::schemas::uuid_schema")]
    pub id: Uuid,
    /// URL of the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub url: Option<String>,
}

/// A removed link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RemovedLink {
    /// The link before its removal.
    #[serde(flatten)]
    pub link: LinkState,
    /// Time of the removal.
    #[schemars(schema_with = "super::schemas::status_time_schema")]
    pub removed_at: Time,
    /// Cause of the removal. Only a link with cause `ConnectionDeleted` can be restored.
    pub cause: RemovalCause,
    /// Time at which the deletion of the connection was requested. A connection created after that can restore the link,
    /// even if the deletion was blocked for days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schemas::status_time_schema")]
    pub connection_deleted_at: Option<Time>,
    /// Whether the annotation `postlink.dev/relink-requested-at` was set after the removal, so that rules can link the post
    /// again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub relink_requested: bool,
}

/// Cause of the removal of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum RemovalCause {
    /// The connection was deleted (R13). The link can be restored.
    ConnectionDeleted,
    /// The record was dissociated in Dynamics 365 (R23).
    RecordDissociated,
    /// The record was deleted in Dynamics 365 (R24).
    RecordDeleted,
    /// The social activity was deleted in Dynamics 365 (R25).
    SocialActivityDeleted,
    /// A user unlinked the post (R26).
    Unlinked,
}

/// The last link request that was acted on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Intent {
    /// Hash of the `spec.link` that was acted on. Absent if no link was requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub hash: Option<String>,
    /// Connection named in that `spec.link`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub connection: Option<String>,
    /// Number that the ID of the next social activity is derived from. Starts at 1 and increases each time a link is
    /// removed.
    #[serde(default = "first_attempt")]
    #[schemars(range(min = 1))]
    pub attempt: i32,
    /// Value of the last handled annotation `postlink.dev/relink-requested-at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub relink_requested_at: Option<String>,
}

fn first_attempt() -> i32 {
    1
}
