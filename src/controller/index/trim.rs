//! What is kept of the metadata of connections and rules. A tenant can write a quarter of a megabyte of annotations to each
//! object; Postlink reads none of them except requests.

use crate::{
    api::names::{
        CONTROLLER, FINALIZER, FLUX_RECONCILE_REQUESTED, RECONCILE_REQUESTED, REFRESH_REQUESTED, requested,
    },
    domain::connection::manages_finalizer,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry};
use kube::core::ObjectMeta;
use serde_json::json;
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

/// The metadata of a connection. It says whether Postlink owns the finalizer.
pub(super) fn trimmed_with_manager(mut metadata: ObjectMeta) -> ObjectMeta {
    let managers = metadata.managed_fields.take().unwrap_or_default();
    let is_managed = !managers.is_empty();
    let mut kept: Vec<_> = managers.into_iter().filter_map(own_finalizer).collect();
    // That there are other managers counts: without any, nobody would ever own the finalizer.
    if kept.is_empty() && is_managed {
        kept.push(ManagedFieldsEntry::default());
    }
    // The others are kept as empty texts: ours is removed by its position.
    let other = |name: String| if name == FINALIZER { name } else { String::new() };
    let finalizers = metadata.finalizers.take().map(|names| names.into_iter().map(other).collect());
    ObjectMeta { managed_fields: Some(kept), finalizers, ..trimmed(metadata) }
}

/// What the domain asks of an entry of Postlink: anyone may apply as Postlink, with a quarter of a megabyte of fields.
fn own_finalizer(entry: ManagedFieldsEntry) -> Option<ManagedFieldsEntry> {
    let fields = if manages_finalizer(&entry) {
        json!({"f:metadata": {"f:finalizers": {format!("v:{FINALIZER:?}"): {}}}})
    } else {
        json!({})
    };
    let own = entry.manager.as_deref() == Some(CONTROLLER);
    own.then(|| ManagedFieldsEntry {
        manager: entry.manager,
        fields_v1: Some(FieldsV1(fields)),
        ..ManagedFieldsEntry::default()
    })
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

    #[test]
    fn other_managers_still_count() {
        let managers = |managers: &[&str]| {
            let fields: Vec<_> = managers.iter().map(|name| json!({"manager": name})).collect();
            let metadata: ObjectMeta = serde_json::from_value(json!({"managedFields": fields})).unwrap();
            let kept = trimmed_with_manager(metadata).managed_fields.unwrap_or_default();
            kept.into_iter().map(|entry| entry.manager.unwrap_or_default()).collect::<Vec<_>>()
        };
        assert_eq!(managers(&[]), [""; 0]);
        assert_eq!(managers(&["kubectl", CONTROLLER, "flux"]), [CONTROLLER]);
        assert_eq!(managers(&["kubectl", "flux"]), [""], "another manager owns the finalizer");
    }

    #[test]
    fn of_managed_fields_and_finalizers_only_what_is_ours_is_kept() {
        let item = format!("v:{FINALIZER:?}");
        let metadata: ObjectMeta = serde_json::from_value(json!({
            "finalizers": ["example.com/a", FINALIZER, "example.com/b"],
            "managedFields": [{
                "manager": CONTROLLER, "operation": "Apply", "time": "2026-01-01T00:00:00Z",
                "fieldsV1": {"f:metadata": {"f:annotations": {"f:x": {}}, "f:finalizers": {&item: {}}}, "f:spec": {}},
            }],
        }))
        .unwrap();
        let kept = trimmed_with_manager(metadata);
        assert_eq!(kept.finalizers.unwrap(), ["", FINALIZER, ""]);
        let managed = kept.managed_fields.unwrap();
        let fields = &managed[0].fields_v1.as_ref().unwrap().0;
        assert_eq!(*fields, json!({"f:metadata": {"f:finalizers": {item: {}}}}));
    }
}
