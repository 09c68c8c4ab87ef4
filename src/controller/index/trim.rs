//! What is kept of the metadata of connections and rules. A tenant can write a quarter of a megabyte of annotations to each
//! object; Postlink reads none of them except requests.

use crate::{
    api::names::{FINALIZER, FLUX_RECONCILE_REQUESTED, RECONCILE_REQUESTED, REFRESH_REQUESTED, requested},
    domain::connection::owns_finalizer,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::core::ObjectMeta;
use std::collections::BTreeMap;

/// The metadata of a rule.
pub(super) fn trimmed(metadata: ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        annotations: requests(&metadata),
        name: metadata.name,
        namespace: metadata.namespace,
        uid: metadata.uid,
        resource_version: metadata.resource_version,
        generation: metadata.generation,
        creation_timestamp: metadata.creation_timestamp,
        deletion_timestamp: metadata.deletion_timestamp,
        ..ObjectMeta::default()
    }
}

/// The metadata of a connection. Of `managedFields`, it keeps only whether Postlink owns the finalizer: anyone may apply as
/// Postlink, with a quarter of a megabyte of fields.
pub(super) fn trimmed_with_manager(mut metadata: ObjectMeta) -> ObjectMeta {
    let managers = metadata.managed_fields.take().unwrap_or_default();
    // Without any manager, Postlink counts as the owner.
    let kept = if owns_finalizer(&managers) { vec![] } else { vec![ManagedFieldsEntry::default()] };
    // The others are kept as empty texts: ours is removed by its position.
    let other = |name: String| if name == FINALIZER { name } else { String::new() };
    let finalizers = metadata.finalizers.take().map(|names| names.into_iter().map(other).collect());
    ObjectMeta { managed_fields: Some(kept), finalizers, ..trimmed(metadata) }
}

/// The annotations that request something, as far as they are read.
fn requests(metadata: &ObjectMeta) -> Option<BTreeMap<String, String>> {
    let annotations = metadata.annotations.as_ref();
    let requests: BTreeMap<_, _> = [RECONCILE_REQUESTED, FLUX_RECONCILE_REQUESTED, REFRESH_REQUESTED]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), requested(annotations, name)?.to_owned())))
        .collect();
    (!requests.is_empty()).then_some(requests)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::names::CONTROLLER;
    use serde_json::json;

    #[test]
    fn owner_of_the_finalizer_stays_known() {
        let owner = |manager: &str, finalizer: &str| {
            let item = format!("v:{finalizer:?}");
            json!({"manager": manager, "fieldsV1": {"f:metadata": {"f:finalizers": {item: {}}, "f:labels": {}}}})
        };
        let (ours, theirs) = (owner(CONTROLLER, FINALIZER), owner("kubectl", FINALIZER));
        let another = owner(CONTROLLER, "example.com/a");
        let cases = [
            (json!([]), true),
            (json!([theirs, ours]), true),
            (json!([theirs]), false),
            (json!([another]), false),
            (json!([{"manager": CONTROLLER}]), false),
        ];
        for (managed, owned) in cases {
            let metadata: ObjectMeta = serde_json::from_value(json!({"managedFields": managed})).unwrap();
            let kept = trimmed_with_manager(metadata).managed_fields.unwrap();
            assert_eq!(owns_finalizer(&kept), owned, "{managed}");
            assert!(kept.iter().all(|entry| entry.fields_v1.is_none()));
        }
    }

    #[test]
    fn names_of_other_finalizers_are_not_kept() {
        let finalizers = json!({"finalizers": ["example.com/a", FINALIZER, "example.com/b"]});
        let kept = trimmed_with_manager(serde_json::from_value(finalizers).unwrap());
        assert_eq!(kept.finalizers.unwrap(), ["", FINALIZER, ""]);
    }
}
