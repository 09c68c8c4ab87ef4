//! `PostLink` (`plink`): one social post, and its tie to a record in one instance.

use super::{Condition, ConnectionRef};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The post, and what is asked for it.
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
    doc = "A PostLink is one social post and its link to a record in Dynamics 365: by hand with spec.link, or by the automation rule that matches it. Deleting it deletes our data about the post and sends nothing to the instance.",
    selectable = ".spec.post.id",
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
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("!has(self.link) || !has(self.unlink) || !self.unlink", "link and unlink: true exclude each other"))]
pub struct PostLinkSpec {
    /// The post.
    pub post: Post,
    /// Link this post by hand. Absent: leave it to the rules. Removing it keeps an existing link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkRequest>,
    /// Remove any link and keep rules away. That link never comes back (R26).
    #[serde(default)]
    pub unlink: bool,
}

/// One social post.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Post {
    /// Where it can be read.
    #[schemars(length(min = 1, max = 2048), regex(pattern = r"^https?://[^\s]+$"))]
    pub url: String,
    /// Its identity: with organisation and namespace it names the social activity.
    #[schemars(length(min = 1, max = 160))]
    pub id: String,
    /// Where it was found: `Twitter`, `Reddit`, `Reviews`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub source: Option<String>,
    /// What kind of post it is.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub type_: Option<PostType>,
    /// Who wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Author>,
    /// When it was published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_at: Option<Time>,
    /// ISO 639-1 code of its language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 35))]
    pub language: Option<String>,
    /// Its title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub title: Option<String>,
    /// Its text. The instance keeps the first 2,000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32768))]
    pub content: Option<String>,
    /// How it sounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sentiment: Option<Sentiment>,
    /// How far it reaches, 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub reach: Option<i32>,
    /// Country or region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub location: Option<String>,
    /// Who wrote on a page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contributor: Option<Contributor>,
    /// What the author seems to want.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub intentions: Vec<Intention>,
    /// Search topics it was found by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 128)))]
    pub search_topics: Vec<String>,
}

/// The author of a post.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Author {
    /// Full name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 160))]
    pub name: Option<String>,
    /// Handle or alias.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 160))]
    pub handle: Option<String>,
    /// Where the author's profile can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048), regex(pattern = r"^https?://[^\s]+$"))]
    pub profile_url: Option<String>,
    /// Tags of the author.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 128)))]
    pub tags: Vec<String>,
}

/// What kind of post it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum PostType {
    /// A post of its own.
    Post,
    /// An answer to another.
    Reply,
    /// Another's post, passed on.
    Share,
    /// Not public.
    PrivateMessage,
}

/// How a post sounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Sentiment {
    /// Pleased.
    Positive,
    /// Neither.
    Neutral,
    /// Displeased.
    Negative,
}

/// Who wrote on a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Contributor {
    /// The page's owner.
    PageOwner,
    /// Somebody else.
    Audience,
}

/// What the author seems to want.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Intention {
    /// To buy.
    Purchase,
    /// To complain.
    Complaint,
    /// To know something.
    InformationRequest,
    /// To be helped.
    SupportRequest,
}

/// A link asked for by hand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct LinkRequest {
    /// The connection; absent = the default one at the moment the link is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_ref: Option<ConnectionRef>,
    /// The table; absent = the connection's first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::table_name_schema")]
    pub record_type: Option<String>,
    /// An existing record the social activity is to regard; absent = the instance makes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::uuid_schema")]
    pub record_id: Option<Uuid>,
    /// Free text that goes with the activity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 250))]
    pub notes: Option<String>,
}

/// What is in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PostLinkStatus {
    /// The generation this status was decided for; -1 before anybody looked.
    #[serde(default = "super::not_observed")]
    pub observed_generation: i64,
    /// `Ready`, `Linked`, and `RecordAvailable` while linked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// The link, while there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkState>,
    /// The last link there was, and why it went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed_link: Option<RemovedLink>,
    /// What was last acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<Intent>,
    /// The reconcile request last acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub last_handled_reconcile_at: Option<String>,
}

impl Default for PostLinkStatus {
    fn default() -> Self {
        Self {
            observed_generation: super::NOT_OBSERVED,
            conditions: Vec::new(),
            link: None,
            removed_link: None,
            intent: None,
            last_handled_reconcile_at: None,
        }
    }
}

/// An object of the same namespace, by name and identity.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
pub struct ObjectRef {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its identity: the name may be used again by another object.
    #[schemars(length(min = 1, max = 128))]
    pub uid: String,
}

/// A link: post → social activity → record, in one instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct LinkState {
    /// The connection it goes through.
    pub connection: ObjectRef,
    /// The organisation it lives in: what it is restored by (R14).
    #[schemars(schema_with = "super::uuid_schema")]
    pub organization_id: Uuid,
    /// The social activity.
    #[schemars(schema_with = "super::uuid_schema")]
    pub social_activity_id: Uuid,
    /// The record, once the instance has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<Record>,
    /// When it was made.
    pub linked_at: Time,
    /// By whom.
    pub linked_by: LinkedBy,
    /// The rule that made it, when one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<ObjectRef>,
    /// When it was last restored (R14).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_at: Option<Time>,
}

/// Who made a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum LinkedBy {
    /// `spec.link` asked for it.
    Hand,
    /// A rule matched.
    Rule,
}

/// What the instance made of a social activity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct Record {
    /// Its table, by logical name.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 128))]
    pub type_: String,
    /// Its id.
    #[schemars(schema_with = "super::uuid_schema")]
    pub id: Uuid,
    /// Where people open it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub url: Option<String>,
}

/// A link there was: the tombstone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RemovedLink {
    /// The link as it was.
    #[serde(flatten)]
    pub link: LinkState,
    /// When it went.
    pub removed_at: Time,
    /// Why it went. Only `ConnectionDeleted` can come back.
    pub cause: RemovalCause,
    /// When the deletion of its connection was asked for: a connection created after that is a
    /// re-association (R14), even when the deletion was held for days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_deleted_at: Option<Time>,
    /// The annotation `postlink.dev/relink-requested-at` was set since, so rules may take the post, unless the link
    /// comes back first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub relink_requested: bool,
}

/// Why a link went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum RemovalCause {
    /// Its connection was deleted (R13); restorable.
    ConnectionDeleted,
    /// The record was dissociated in the instance (R23).
    RecordDissociated,
    /// The record was deleted in the instance (R24).
    RecordDeleted,
    /// The activity was deleted in the instance (R25).
    SocialActivityDeleted,
    /// The user unlinked the post (R26).
    Unlinked,
}

/// What was last acted on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Intent {
    /// A hash of `spec.link` as it was acted on; absent when nothing was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub hash: Option<String>,
    /// The `connectionRef` in it: a link may have come back under another name since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub connection: Option<String>,
    /// Which activity of this post: 1 at first, one more for each deliberate new link.
    #[serde(default = "first_attempt")]
    #[schemars(range(min = 1))]
    pub attempt: i32,
    /// The `relink-requested-at` annotation last acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub relink_requested_at: Option<String>,
}

fn first_attempt() -> i32 {
    1
}
