//! `DynamicsConnection` (`dconn`): a Dynamics 365 instance, and the reservations of the rules that use it.

use super::conditions::Condition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Limit of the active rules of a connection (§2).
pub const MAX_ACTIVE_RULES: usize = 1000;

/// Connects a Dynamics 365 instance.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "postlink.dev",
    version = "v1alpha1",
    kind = "DynamicsConnection",
    plural = "dynamicsconnections",
    singular = "dynamicsconnection",
    shortname = "dconn",
    category = "postlink",
    namespaced,
    status = "DynamicsConnectionStatus",
    derive = "PartialEq",
    doc = "A DynamicsConnection is one Dynamics 365 instance that posts can be linked to. It can neither be disabled nor deleted while active automation rules use it.",
    validation = Rule::new("!has(self.status) || !has(self.status.state) || self.status.state != 'Disabled' || !has(self.status.activeRules) || size(self.status.activeRules) == 0").message("a connection cannot be Disabled while status.activeRules is not empty"),
    selectable = ".status.state",
    selectable = ".status.reason",
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Default", type_ = "string", json_path = ".status.conditions[?(@.type==\"Default\")].status"),
    printcolumn(name = "Rules", type_ = "integer", json_path = ".status.activeRuleCount"),
    printcolumn(name = "URL", type_ = "string", json_path = ".spec.instanceUrl"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct DynamicsConnectionSpec {
    /// Address of the instance without a path, such as `https://contoso.crm.dynamics.com`. It cannot be changed: for another
    /// address, delete this connection and create a new one. If that leads to the same organization, the links are restored.
    #[serde(deserialize_with = "super::decode::instance_url")]
    #[schemars(schema_with = "super::schemas::instance_url_schema")]
    pub instance_url: String,
    /// Display name. Defaults to the organization's own name.
    #[serde(default, deserialize_with = "super::decode::non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 160))]
    pub display_name: Option<String>,
    /// Whether new links can be created. If false, existing links are kept and nothing changes in the instance. Defaults to true.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Whether links that name no connection use this one. If several connections of a namespace set it, the oldest is the default. Defaults to false.
    #[serde(default)]
    pub default: bool,
    /// Tables that new links can use, by logical name. A link that names no table uses the first. Defaults to `incident`
    /// (cases) and `lead`.
    #[serde(default = "default_record_types")]
    #[schemars(schema_with = "super::schemas::table_names_schema")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub record_types: Vec<String>,
    /// How to sign in to the instance. Exactly one field must be set.
    pub credentials: Credentials,
    /// How often Postlink reads again which of the tables in `recordTypes` exist in the instance. Defaults to 24h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new(super::schemas::at_least("15m")).message("interval must be at least 15m"))]
    pub refresh: Option<Interval>,
    /// How often the health of the instance and the records of its links are checked. Defaults to 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new(super::schemas::at_least("30s")).message("interval must be at least 30s"))]
    pub probe: Option<Interval>,
    /// Maximum number of new links per second. If absent, only the limits of the instance apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub links_per_second: Option<i32>,
}

fn yes() -> bool {
    true
}

fn default_record_types() -> Vec<String> {
    vec!["incident".into(), "lead".into()]
}

/// How to sign in to the instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("has(self.secretRef) != has(self.workloadIdentity)", "exactly one of secretRef and workloadIdentity must be set"))]
pub struct Credentials {
    /// Secret in the same namespace with the keys `tenantId`, `clientId`, and either `clientSecret` or a certificate
    /// (`tls.crt`, `tls.key`). If it has the key `instanceUrl`, that must match `spec.instanceUrl`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
    /// Workload identity federation: a token of a ServiceAccount in the same namespace is exchanged for a token of the tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload_identity: Option<WorkloadIdentity>,
}

/// Reference to a Secret in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct SecretRef {
    /// Name of the Secret.
    #[schemars(schema_with = "super::schemas::object_name_schema")]
    pub name: String,
}

/// Sign-in with a ServiceAccount token (`TokenRequest`). The controller's own identity is never used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadIdentity {
    /// Microsoft Entra tenant: a GUID or a domain name.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[A-Za-z0-9.-]+$"))]
    pub tenant_id: String,
    /// Application (client) ID.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z0-9-]+$"))]
    pub client_id: String,
    /// ServiceAccount in the connection's namespace that the application trusts.
    #[schemars(schema_with = "super::schemas::object_name_schema")]
    pub service_account_name: String,
}

/// An interval.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct Interval {
    /// Duration in hours, minutes and seconds, such as `24h` or `1h30m`.
    #[serde(default, deserialize_with = "super::decode::non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schemas::duration_schema")]
    pub interval: Option<String>,
}

/// State of the connection. Enabled: new links can be created. Disabled: `spec.enabled: false` is in effect. Downtime: the
/// instance cannot be used at the moment. Expired: its trial or subscription has ended. Absent until the instance has been
/// reached once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ConnectionState {
    /// New links can be created, and records can be read.
    Enabled,
    /// `spec.enabled: false` is in effect.
    Disabled,
    /// The instance is unreachable, disabled, or not responding properly.
    Downtime,
    /// The trial or subscription of the instance has ended.
    Expired,
}

/// Observed state of the connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DynamicsConnectionStatus {
    /// Generation of the object this status describes; -1 before the first reconcile.
    #[serde(default = "super::schemas::not_observed")]
    pub observed_generation: i64,
    /// State in effect. Absent until the instance has been reached once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<ConnectionState>,
    /// Conditions: `Ready`, `Default`, `DisableRefused`, `DeletionRefused`, `RecordTypeInUse`, `RecordTypeNotOffered`, `Reconciling`, `Stalled`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub conditions: Vec<Condition>,
    /// Reason of the condition `Ready`, as a field for `kubectl get --field-selector`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub reason: Option<String>,
    /// Display name in effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 160))]
    pub display_name: Option<String>,
    /// Organization of the instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<Organization>,
    /// Time at which the instance was first reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schemas::status_time_schema")]
    pub connected_on: Option<Time>,
    /// What Postlink last read about the tables of the instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<MetadataStatus>,
    /// Active rules that use the connection. A rule is active only while it is listed here, and the connection cannot be disabled or deleted while any rule is listed.
    #[serde(default)]
    #[schemars(length(max = 1000))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub active_rules: Vec<ActiveRule>,
    /// Number of active rules.
    #[serde(default)]
    pub active_rule_count: i32,
    /// Value of the last handled annotation `postlink.dev/reconcile-requested-at` or `reconcile.fluxcd.io/requestedAt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub last_handled_reconcile_at: Option<String>,
    /// Value of the last handled annotation `postlink.dev/refresh-requested-at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub last_handled_refresh_at: Option<String>,
}

impl Default for DynamicsConnectionStatus {
    fn default() -> Self {
        Self {
            observed_generation: super::schemas::NOT_OBSERVED,
            state: None,
            conditions: Vec::new(),
            reason: None,
            display_name: None,
            organization: None,
            connected_on: None,
            metadata: None,
            active_rules: Vec::new(),
            active_rule_count: 0,
            last_handled_reconcile_at: None,
            last_handled_refresh_at: None,
        }
    }
}

/// The organization of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Organization {
    /// Organization ID. Links are restored to the same organization.
    #[schemars(schema_with = "super::schemas::uuid_schema")]
    pub id: Uuid,
    /// Unique name of the organization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub unique_name: Option<String>,
    /// Dataverse version of the organization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub version: Option<String>,
    /// Base language, as a Windows locale identifier (1033 = English, United States).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<i32>,
}

/// Table metadata of an instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetadataStatus {
    /// Time of the last refresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schemas::status_time_schema")]
    pub refreshed_at: Option<Time>,
    /// Record types in effect: those of `spec.recordTypes` that the instance has been seen to have, and those that an active
    /// rule still uses.
    #[serde(default)]
    #[schemars(length(max = 1100), inner(length(max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub record_types: Vec<String>,
    /// Record types of `spec.recordTypes` for which the instance has no table.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub missing_record_types: Vec<String>,
    /// Record types of `spec.recordTypes` whose tables social activities cannot refer to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub unsupported_record_types: Vec<String>,
}

/// An active rule that uses the connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct ActiveRule {
    /// Name of the rule.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// UID of the rule.
    #[schemars(length(min = 1, max = 128))]
    pub uid: String,
    /// Generation of the rule. It never decreases.
    pub generation: i64,
}

/// Reference to a connection in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct ConnectionRef {
    /// Name of the connection.
    #[schemars(schema_with = "super::schemas::object_name_schema")]
    pub name: String,
}
