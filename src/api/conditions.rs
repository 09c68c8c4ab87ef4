//! Conditions, as the Kubernetes API conventions have them, with bounds on everything.

use super::Reason;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One aspect of an object's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Which aspect.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 64))]
    pub type_: String,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// The generation of the object this was decided for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When `status` last changed.
    pub last_transition_time: Time,
    /// One word of the closed list of reasons.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z][A-Za-z0-9]*$"))]
    pub reason: String,
    /// What it means and what to do next, in full sentences.
    #[schemars(length(max = 4096))]
    pub message: String,
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// Nobody can tell yet.
    Unknown,
}

impl From<bool> for ConditionStatus {
    fn from(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }
}

impl ConditionStatus {
    /// As the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl fmt::Display for ConditionStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The condition types Postlink writes, in the order they stand in a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConditionType {
    /// Nothing here is broken or waits for someone.
    Ready,
    /// Abnormal-true: work is under way or retried.
    Reconciling,
    /// Abnormal-true: nothing will change until somebody acts.
    Stalled,
    /// PostLink: the post is linked.
    Linked,
    /// PostLink: the record's details can be read.
    RecordAvailable,
    /// AutomationRule: the rule is at work.
    Active,
    /// AutomationRule: it keeps a disable or delete of its connection waiting.
    HoldsConnection,
    /// DynamicsConnection: it is the default of its namespace.
    Default,
    /// DynamicsConnection: `enabled: false` is stored and waits for active rules.
    DisableRefused,
    /// DynamicsConnection: a deletion is stored and waits for active rules.
    DeletionRefused,
    /// DynamicsConnection: a record type no longer listed is kept for an active rule (R9).
    RecordTypeInUse,
}

impl ConditionType {
    /// Every type there is.
    pub const ALL: [ConditionType; 11] = [
        Self::Ready,
        Self::Reconciling,
        Self::Stalled,
        Self::Linked,
        Self::RecordAvailable,
        Self::Active,
        Self::HoldsConnection,
        Self::Default,
        Self::DisableRefused,
        Self::DeletionRefused,
        Self::RecordTypeInUse,
    ];

    /// The word that stands in the condition.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
            Self::Linked => "Linked",
            Self::RecordAvailable => "RecordAvailable",
            Self::Active => "Active",
            Self::HoldsConnection => "HoldsConnection",
            Self::Default => "Default",
            Self::DisableRefused => "DisableRefused",
            Self::DeletionRefused => "DeletionRefused",
            Self::RecordTypeInUse => "RecordTypeInUse",
        }
    }

    /// The type spelled `word`, if it is one of ours.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.as_str() == word)
    }
}

/// The condition of that type, if the list holds one.
pub fn find(conditions: &[Condition], type_: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|c| c.type_ == type_.as_str())
}

/// Whether the condition of that type is there and True.
pub fn is_true(conditions: &[Condition], type_: ConditionType) -> bool {
    find(conditions, type_).is_some_and(|c| c.status == ConditionStatus::True)
}

/// The reason of the condition of that type, when it is one of ours.
pub fn reason(conditions: &[Condition], type_: ConditionType) -> Option<Reason> {
    find(conditions, type_).and_then(|c| Reason::parse(&c.reason))
}
