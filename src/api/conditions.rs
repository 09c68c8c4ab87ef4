//! Conditions, as in the Kubernetes API conventions. Every field has a bound.

use super::reasons::Reason;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A condition of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Type of the condition.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 64))]
    pub type_: String,
    /// Status of the condition.
    pub status: ConditionStatus,
    /// Generation of the object the condition describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Time at which `status` last changed.
    #[schemars(schema_with = "super::schemas::status_time_schema")]
    pub last_transition_time: Time,
    /// Machine-readable reason, in CamelCase.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z][A-Za-z0-9]*$"))]
    pub reason: String,
    /// Human-readable explanation, and what to do.
    #[schemars(length(max = 4096))]
    pub message: String,
}

/// Status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// The condition holds.
    True,
    /// The condition does not hold.
    False,
    /// The status is not known yet.
    Unknown,
}

impl From<bool> for ConditionStatus {
    fn from(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }
}

impl ConditionStatus {
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

/// The condition types Postlink writes, in the order of a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConditionType {
    /// The object works as specified; nothing needs a person.
    Ready,
    /// Abnormal-true: a change is in progress or being retried.
    Reconciling,
    /// Abnormal-true: nothing changes until a person acts.
    Stalled,
    /// PostLink: the post is linked.
    Linked,
    /// PostLink: the record's details can be read.
    RecordAvailable,
    /// AutomationRule: the rule is active.
    Active,
    /// AutomationRule: it blocks the disabling or deletion of its connection.
    HoldsConnection,
    /// DynamicsConnection: it is the default of its namespace.
    Default,
    /// DynamicsConnection: disabling is blocked by active rules.
    DisableRefused,
    /// DynamicsConnection: deletion is blocked by active rules.
    DeletionRefused,
    /// DynamicsConnection: a record type no longer listed stays in effect for an active rule (R9).
    RecordTypeInUse,
    /// DynamicsConnection: a record type of `spec.recordTypes` cannot be used, because of the tables of its instance (R4).
    RecordTypeNotOffered,
}

impl ConditionType {
    pub const ALL: [ConditionType; 12] = [
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
        Self::RecordTypeNotOffered,
    ];

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
            Self::RecordTypeNotOffered => "RecordTypeNotOffered",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.as_str() == word)
    }
}

pub fn find(conditions: &[Condition], type_: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|c| c.type_ == type_.as_str())
}

/// Whether the condition of that type is present and True.
pub fn is_true(conditions: &[Condition], type_: ConditionType) -> bool {
    find(conditions, type_).is_some_and(|c| c.status == ConditionStatus::True)
}

/// The reason of the condition of that type, if it is a known one.
pub fn reason(conditions: &[Condition], type_: ConditionType) -> Option<Reason> {
    find(conditions, type_).and_then(|c| Reason::parse(&c.reason))
}
