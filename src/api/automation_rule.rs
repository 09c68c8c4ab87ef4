//! `AutomationRule` (`arule`): which posts are linked through which connection, without anybody's hand.

use super::{Condition, Contributor, Intention, PostType, Sentiment};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

/// What a rule is for.
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
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct AutomationRuleSpec {
    /// The connection to link through, in the rule's own namespace.
    pub connection_ref: ConnectionRef,
    /// Whether the rule should be at work. An inactive rule never blocks anything (R8).
    #[serde(default = "yes")]
    pub active: bool,
    /// Which posts. Every filter given must match; any value of a filter will do; none at all matches every
    /// post. A filter on something the post does not say does not match.
    #[serde(rename = "match", default, skip_serializing_if = "Option::is_none")]
    pub match_: Option<Match>,
    /// Posts published at or after this time count, whenever they and the rule arrive. Without it the rule is
    /// never retroactive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// What the link asks the instance for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<RuleLink>,
}

fn yes() -> bool {
    true
}

/// A connection of the same namespace, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct ConnectionRef {
    /// Its name.
    #[schemars(schema_with = "super::object_name_schema")]
    pub name: String,
}

/// The filters of a rule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Match {
    /// Where the post was found, compared without case: `Twitter`, `Reddit`, `Reviews`, …
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 128)))]
    pub sources: Vec<String>,
    /// Whole words or phrases in title or content, compared without case in the Unicode sense.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128), inner(length(min = 1, max = 256)))]
    pub keywords: Vec<String>,
    /// ISO 639-1 codes, compared without case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 2, max = 35)))]
    pub languages: Vec<String>,
    /// Sentiments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3))]
    pub sentiments: Vec<Sentiment>,
    /// Reach of the post, both ends included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reach: Option<Reach>,
    /// Countries or regions, compared without case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 128)))]
    pub locations: Vec<String>,
    /// Author names or handles, compared without case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authors: Option<IncludeExclude>,
    /// Tags of the author, compared without case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author_tags: Option<IncludeExclude>,
    /// Kinds of post.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub post_types: Vec<PostType>,
    /// Who wrote on a page.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2))]
    pub contributors: Vec<Contributor>,
    /// What the author seems to want.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub intentions: Vec<Intention>,
    /// Search topics the post was found by, compared without case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 128)))]
    pub search_topics: Vec<String>,
}

/// A range of reach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = ("!has(self.min) || !has(self.max) || self.min <= self.max", "min must not be greater than max"))]
pub struct Reach {
    /// At least this much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub min: Option<i32>,
    /// At most this much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub max: Option<i32>,
}

/// Values one of which must be there, and values none of which may be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct IncludeExclude {
    /// One of these must be there (when any is given).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    pub include: Vec<String>,
    /// None of these may be there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    pub exclude: Vec<String>,
}

/// What the rule's links ask the instance for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuleLink {
    /// The table; absent = the connection's first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::table_name_schema")]
    pub record_type: Option<String>,
    /// Free text that goes with the activity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 250))]
    pub notes: Option<String>,
}

/// What is in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AutomationRuleStatus {
    /// The generation this status was decided for; -1 before anybody looked.
    #[serde(default = "super::not_observed")]
    pub observed_generation: i64,
    /// `Ready`, `Active`, and `HoldsConnection` while it holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// The connection the rule is bound to while `Active` is True (docs/semantics.md §4.1).
    #[serde(rename = "connectionUID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub connection_uid: Option<String>,
    /// From when on the rule counts as switched on: its creation when it was created active, else the moment
    /// the switch was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_from: Option<Time>,
    /// The reconcile request last acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub last_handled_reconcile_at: Option<String>,
}

impl Default for AutomationRuleStatus {
    fn default() -> Self {
        Self {
            observed_generation: super::NOT_OBSERVED,
            conditions: Vec::new(),
            connection_uid: None,
            active_from: None,
            last_handled_reconcile_at: None,
        }
    }
}
