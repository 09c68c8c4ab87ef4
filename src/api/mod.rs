//! The API: three kinds, their conditions and reasons. No I/O.

pub mod automation_rule;
pub mod conditions;
pub mod connection;
pub mod crds;
pub mod difference;
pub mod names;
pub mod post_link;
pub mod reasons;

pub use automation_rule::{
    AutomationRule, AutomationRuleSpec, AutomationRuleStatus, ConnectionRef, IncludeExclude, Match, Reach,
    RuleLink,
};
pub use conditions::{Condition, ConditionStatus, ConditionType};
pub use connection::{
    ActiveRule, ConnectionState, Credentials, DynamicsConnection, DynamicsConnectionSpec,
    DynamicsConnectionStatus, Interval, MetadataStatus, Organization, SecretRef, WorkloadIdentity,
};
pub use post_link::{
    Author, Contributor, Intent, Intention, LinkRequest, LinkState, LinkedBy, ObjectRef, Post, PostLink,
    PostLinkSpec, PostLinkStatus, PostType, Record, RemovalCause, RemovedLink, Sentiment,
};
pub use reasons::Reason;

use serde_json::{Map, Value, json};

/// `status.observedGeneration` before the first reconcile. For kstatus, an empty status is *Current*: a GitOps wave would
/// go on before the object was reconciled.
pub const NOT_OBSERVED: i64 = -1;

fn not_observed() -> i64 {
    NOT_OBSERVED
}

fn uuid_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let Value::Object(map) = json!({"type": "string", "format": "uuid", "maxLength": 36}) else {
        return schemars::Schema::from(Map::new());
    };
    schemars::Schema::from(map)
}

/// The name of an object in the same namespace (a DNS-1123 subdomain).
fn object_name_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let Value::Object(map) = json!({
        "type": "string", "minLength": 1, "maxLength": 253,
        "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    }) else {
        return schemars::Schema::from(Map::new());
    };
    schemars::Schema::from(map)
}

/// The logical name of a Dataverse table: lowercase letters, digits and underscores.
fn table_name_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let Value::Object(map) = json!({
        "type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[a-z_][a-z0-9_]*$",
    }) else {
        return schemars::Schema::from(Map::new());
    };
    schemars::Schema::from(map)
}
