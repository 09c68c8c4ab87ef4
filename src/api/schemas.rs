//! Schemas and defaults that several fields share.

use serde_json::{Map, Value, json};

/// `status.observedGeneration` before the first reconcile. For kstatus, an empty status is *Current*: a GitOps wave would
/// go on before the object was reconciled.
pub const NOT_OBSERVED: i64 = -1;

/// The default of `status.observedGeneration`.
pub(super) fn not_observed() -> i64 {
    NOT_OBSERVED
}

/// A UUID.
pub(super) fn uuid_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let Value::Object(map) = json!({"type": "string", "format": "uuid", "maxLength": 36}) else {
        return schemars::Schema::from(Map::new());
    };
    schemars::Schema::from(map)
}

/// The name of an object in the same namespace (a DNS-1123 subdomain).
pub(super) fn object_name_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let Value::Object(map) = json!({
        "type": "string", "minLength": 1, "maxLength": 253,
        "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    }) else {
        return schemars::Schema::from(Map::new());
    };
    schemars::Schema::from(map)
}

/// The logical name of a Dataverse table: lowercase letters, digits and underscores.
pub(super) fn table_name_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let Value::Object(map) = json!({
        "type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[a-z_][a-z0-9_]*$",
    }) else {
        return schemars::Schema::from(Map::new());
    };
    schemars::Schema::from(map)
}
