//! `AutomationRule` (`arule`): links the posts that match its filters through a connection.

use super::{
    conditions::Condition,
    connection::ConnectionRef,
    post_link::{Contributor, Intention, PostType, Sentiment},
    schemas::{NOT_EMPTY, NOT_EMPTY_MESSAGE},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

/// Links posts that match its filters.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "postlink.dev",
    version = "v1alpha1",
    kind = "AutomationRule",
    plural = "automationrules",
    singular = "automationrule",
    shortname = "arule",
    category = "postlink",
    namespaced,
    status = "AutomationRuleStatus",
    derive = "PartialEq",
    doc = "An AutomationRule links the posts it matches through one DynamicsConnection. While it is active, that connection can neither be disabled nor deleted.",
    selectable = ".spec.connectionRef.name",
    selectable = ".status.reason",
    printcolumn(
        name = "Active",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Active\")].status"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(name = "Connection", type_ = "string", json_path = ".spec.connectionRef.name"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct AutomationRuleSpec {
    /// Connection to link through, in the same namespace.
    pub connection_ref: ConnectionRef,
    /// Whether the rule is active. Only active rules link posts and keep their connection from being disabled or deleted.
    /// Defaults to true.
    #[serde(default = "yes")]
    pub active: bool,
    /// Which posts to link. A post matches if it matches every filter that is set. It matches a filter if it has one of the
    /// filter's values; a post without the field does not match. Without filters, every post matches.
    #[serde(rename = "match", default, skip_serializing_if = "Option::is_none")]
    pub match_: Option<Match>,
    /// Only posts with `publishedAt` at or after this time, such as `2025-12-01T00:00:00Z`, are linked, no matter when their
    /// PostLinks were created. If absent, only posts whose PostLinks were created at most ten minutes before the rule became
    /// active, or later, are linked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schemas::date_time_schema")]
    pub since: Option<Time>,
    /// What is created in the instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<RuleLink>,
}

fn yes() -> bool {
    true
}

/// The characters in all filters of a rule: one rule must not take memory like a thousand.
const FILTERS_BOUNDED: &str = "(has(self.sources) ? self.sources.map(v, size(v)).sum() : 0) \
    + (has(self.keywords) ? self.keywords.map(v, size(v)).sum() : 0) \
    + (has(self.excludeKeywords) ? self.excludeKeywords.map(v, size(v)).sum() : 0) \
    + (has(self.languages) ? self.languages.map(v, size(v)).sum() : 0) \
    + (has(self.locations) ? self.locations.map(v, size(v)).sum() : 0) \
    + (has(self.searchTopics) ? self.searchTopics.map(v, size(v)).sum() : 0) \
    + (has(self.authors) && has(self.authors.include) ? self.authors.include.map(v, size(v)).sum() : 0) \
    + (has(self.authors) && has(self.authors.exclude) ? self.authors.exclude.map(v, size(v)).sum() : 0) \
    + (has(self.authorTags) && has(self.authorTags.include) ? self.authorTags.include.map(v, size(v)).sum() : 0) \
    + (has(self.authorTags) && has(self.authorTags.exclude) ? self.authorTags.exclude.map(v, size(v)).sum() : 0) \
    <= 16384";
const FILTERS_BOUNDED_MESSAGE: &str = "the filters of a rule must not have more than 16,384 characters in total, because Postlink keeps them in memory; split the rule";

/// Filters of a rule, with at most 16,384 characters in total.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(FILTERS_BOUNDED).message(FILTERS_BOUNDED_MESSAGE))]
pub struct Match {
    /// Sources, such as `Twitter`, `Reddit` or `Reviews`. Case-insensitive. A post without a source does not match.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 128)))]
    #[x_kube(validation = Rule::new(NOT_EMPTY).message(NOT_EMPTY_MESSAGE))]
    pub sources: Vec<String>,
    /// Whole words or phrases in the title or content. Case-insensitive (Unicode). `late` also finds `#late`; `#late` finds
    /// only that. A `*` at the end finds words that begin so: `refund*` finds `refunding`. A post without title and content
    /// does not match.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::keywords::keywords_schema")]
    pub keywords: Vec<String>,
    /// Words or phrases, written as in `keywords`, that the title and content must not have. A post without title and
    /// content has none of them, so it matches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::keywords::keywords_schema")]
    pub exclude_keywords: Vec<String>,
    /// Languages (BCP 47), such as `en`, `pt-BR` or `zh-Hant`. `en` also matches `en-GB`; `en-GB` does not match `en`.
    /// Case-insensitive. A post without a language does not match.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::schemas::languages_schema")]
    pub languages: Vec<String>,
    /// Sentiments. A post without a sentiment does not match.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3))]
    #[x_kube(validation = Rule::new(NOT_EMPTY).message(NOT_EMPTY_MESSAGE))]
    pub sentiments: Vec<Sentiment>,
    /// Range of the post's reach, inclusive. A post without a reach does not match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reach: Option<Reach>,
    /// Countries or regions. Case-insensitive. A post without a location does not match.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 128)))]
    #[x_kube(validation = Rule::new(NOT_EMPTY).message(NOT_EMPTY_MESSAGE))]
    pub locations: Vec<String>,
    /// Names or handles of authors. Case-insensitive. A post without an author does not match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authors: Option<IncludeExclude>,
    /// Tags of authors. Case-insensitive. A post whose author has no tags does not match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author_tags: Option<IncludeExclude>,
    /// Types of posts. A post without a type does not match.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    #[x_kube(validation = Rule::new(NOT_EMPTY).message(NOT_EMPTY_MESSAGE))]
    pub post_types: Vec<PostType>,
    /// Whether the owner of the page or a visitor wrote the post. A post without a contributor does not match.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2))]
    #[x_kube(validation = Rule::new(NOT_EMPTY).message(NOT_EMPTY_MESSAGE))]
    pub contributors: Vec<Contributor>,
    /// Detected intentions of the author. A post without intentions does not match.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    #[x_kube(validation = Rule::new(NOT_EMPTY).message(NOT_EMPTY_MESSAGE))]
    pub intentions: Vec<Intention>,
    /// Search topics that found the post. Case-insensitive. A post without search topics does not match.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 128)))]
    #[x_kube(validation = Rule::new(NOT_EMPTY).message(NOT_EMPTY_MESSAGE))]
    pub search_topics: Vec<String>,
}

/// A range of reach, inclusive.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = ("!has(self.min) || !has(self.max) || self.min <= self.max", "min must not be greater than max"))]
pub struct Reach {
    /// Lowest reach that matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schemas::reach_schema")]
    pub min: Option<i32>,
    /// Highest reach that matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schemas::reach_schema")]
    pub max: Option<i32>,
}

/// Values to include and to exclude.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
pub struct IncludeExclude {
    /// At least one of these values must be present.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    #[x_kube(validation = Rule::new(NOT_EMPTY).message(NOT_EMPTY_MESSAGE))]
    pub include: Vec<String>,
    /// None of these values may be present. A post without the field does not match either.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    #[x_kube(validation = Rule::new(NOT_EMPTY).message(NOT_EMPTY_MESSAGE))]
    pub exclude: Vec<String>,
}

/// What a rule creates in the instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuleLink {
    /// Logical name of the table of the record, such as `incident` (Case). Defaults to the first record type of the connection.
    #[serde(default, deserialize_with = "super::decode::non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schemas::optional_table_name_schema")]
    pub record_type: Option<String>,
    /// Notes for the record, added to the social activity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 250))]
    pub notes: Option<String>,
}

/// Observed state of the rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AutomationRuleStatus {
    /// Generation of the object this status describes; -1 before the first reconcile.
    #[serde(default = "super::schemas::not_observed")]
    pub observed_generation: i64,
    /// Conditions: `Ready`, `Active`, `HoldsConnection`, `Reconciling`, `Stalled`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub conditions: Vec<Condition>,
    /// Reason of the condition `Ready`, as a field for `kubectl get --field-selector`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub reason: Option<String>,
    /// UID of the connection the rule uses while `Active` is True.
    #[serde(rename = "connectionUID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub connection_uid: Option<String>,
    /// Time at which the rule was activated: its creation time if it was created active, otherwise the time at which the
    /// activation was observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schemas::status_time_schema")]
    pub active_from: Option<Time>,
    /// Value of the last handled annotation `postlink.dev/reconcile-requested-at` or `reconcile.fluxcd.io/requestedAt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub last_handled_reconcile_at: Option<String>,
}

impl Default for AutomationRuleStatus {
    fn default() -> Self {
        Self {
            observed_generation: super::schemas::NOT_OBSERVED,
            conditions: Vec::new(),
            reason: None,
            connection_uid: None,
            active_from: None,
            last_handled_reconcile_at: None,
        }
    }
}
