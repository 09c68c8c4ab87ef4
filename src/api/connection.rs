//! `DynamicsConnection` (`dconn`): one instance of Dynamics 365, and the reservations of the rules that use it.

use super::Condition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How many active rules one connection can list (§2).
pub const MAX_ACTIVE_RULES: usize = 1000;

/// The instance to connect, and how.
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
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Default", type_ = "string", json_path = ".status.conditions[?(@.type==\"Default\")].status"),
    printcolumn(name = "Rules", type_ = "integer", json_path = ".status.activeRuleCount"),
    printcolumn(name = "URL", type_ = "string", json_path = ".spec.instanceUrl"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct DynamicsConnectionSpec {
    /// The https origin of the instance. Immutable: a renamed instance is a new connection to the same
    /// organisation, and links come back to it (R14).
    #[schemars(length(min = 9, max = 253), regex(pattern = r"^https://[A-Za-z0-9.-]+(:[0-9]{1,5})?/?$"))]
    #[x_kube(validation = ("self == oldSelf", "instanceUrl is immutable; create a new connection instead"))]
    pub instance_url: String,
    /// Shown instead of the organisation's own name (R2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 160))]
    pub display_name: Option<String>,
    /// False: no new links. Existing links stay, and nothing changes in the instance (R5).
    #[serde(default = "yes")]
    pub enabled: bool,
    /// The connection links go through when they name none. One per namespace wins (R3).
    #[serde(default)]
    pub default: bool,
    /// Tables offered for new links, by logical name; the first is used when a link names none.
    #[serde(default = "default_record_types")]
    #[schemars(
        length(min = 1, max = 64),
        inner(length(min = 1, max = 128), regex(pattern = r"^[a-z_][a-z0-9_]*$"))
    )]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub record_types: Vec<String>,
    /// How to sign in: one of the two.
    pub credentials: Credentials,
    /// How often the metadata of all tables is read again (R4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("!has(self.interval) || duration(self.interval) >= duration('15m')", "interval must be at least 15m"))]
    pub refresh: Option<Interval>,
    /// How often the instance's health and the links' records are looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("!has(self.interval) || duration(self.interval) >= duration('30s')", "interval must be at least 30s"))]
    pub probe: Option<Interval>,
    /// At most this many new links a second; absent = only the instance's own limits bind.
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

/// How to sign in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("has(self.secretRef) != has(self.workloadIdentity)", "exactly one of secretRef and workloadIdentity must be given"))]
pub struct Credentials {
    /// A Secret of the same namespace with `tenantId`, `clientId`, and `clientSecret` or a certificate
    /// (`tls.crt`, `tls.key`). Its optional key `instanceUrl` must match when present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
    /// A token of a ServiceAccount of the same namespace, exchanged for one of the tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload_identity: Option<WorkloadIdentity>,
}

/// A Secret of the same namespace, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct SecretRef {
    /// Its name.
    #[schemars(schema_with = "super::object_name_schema")]
    pub name: String,
}

/// Sign-in with the token of a ServiceAccount (`TokenRequest`), never with the controller's own identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadIdentity {
    /// The Microsoft Entra tenant: a GUID or a domain name.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[A-Za-z0-9.-]+$"))]
    pub tenant_id: String,
    /// The application (client) id.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z0-9-]+$"))]
    pub client_id: String,
    /// A ServiceAccount of the connection's namespace that the application trusts.
    #[schemars(schema_with = "super::object_name_schema")]
    pub service_account_name: String,
}

/// A period, such as `30m` or `24h`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct Interval {
    /// Hours, minutes and seconds: `1h30m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = r"^([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,6}s)?$"))]
    pub interval: Option<String>,
}

/// The state of a connection, in the documents' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ConnectionState {
    /// New links can be made and records read.
    Enabled,
    /// Our own `enabled: false` is in force.
    Disabled,
    /// The instance does not answer as an instance should.
    Downtime,
    /// The instance's trial or subscription has ended.
    Expired,
}

/// What is in force, and who uses it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DynamicsConnectionStatus {
    /// The generation this status was decided for; -1 before anybody looked.
    #[serde(default = "super::not_observed")]
    pub observed_generation: i64,
    /// The effective state; absent until the instance has been reached once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<ConnectionState>,
    /// `Ready`, `Default`, and what is refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// The name shown to people (R2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 160))]
    pub display_name: Option<String>,
    /// The organisation that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<Organization>,
    /// When the connection was established (R2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connected_on: Option<Time>,
    /// What is known of the tables (R4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<MetadataStatus>,
    /// The reservations (docs/semantics.md §4): a rule is at work only while it stands here.
    #[serde(default)]
    #[schemars(length(max = 1000))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub active_rules: Vec<ActiveRule>,
    /// How many there are.
    #[serde(default)]
    pub active_rule_count: i32,
    /// The reconcile request last acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub last_handled_reconcile_at: Option<String>,
    /// The refresh request last acted on (R4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub last_handled_refresh_at: Option<String>,
}

impl Default for DynamicsConnectionStatus {
    fn default() -> Self {
        Self {
            observed_generation: super::NOT_OBSERVED,
            state: None,
            conditions: Vec::new(),
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

/// The organisation behind a connection, as it names itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Organization {
    /// Its identity: what links are restored by (R14).
    #[schemars(schema_with = "super::uuid_schema")]
    pub id: Uuid,
    /// Its unique name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub unique_name: Option<String>,
    /// The version it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub version: Option<String>,
    /// Its language, as a Windows language code identifier (1033 = English, United States).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<i32>,
}

/// What is known of the tables of an instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetadataStatus {
    /// When it was last read (R4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refreshed_at: Option<Time>,
    /// The record types in force: those offered, and those an active rule keeps (R9).
    #[serde(default)]
    #[schemars(length(max = 1100), inner(length(max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub record_types: Vec<String>,
}

/// One reservation (docs/semantics.md §4.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct ActiveRule {
    /// The rule's name, for people.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The rule's identity.
    #[schemars(length(min = 1, max = 128))]
    pub uid: String,
    /// The generation of the rule it was made for; it never goes back.
    pub generation: i64,
}
