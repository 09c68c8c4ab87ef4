//! What is kept of the metadata of connections and rules. A tenant can write a quarter of a megabyte of annotations to each
//! object; Postlink reads none of them except requests.

use crate::api::names::{
    CONTROLLER, FLUX_RECONCILE_REQUESTED, RECONCILE_REQUESTED, REFRESH_REQUESTED, requested,
};
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
        finalizers: metadata.finalizers,
        ..ObjectMeta::default()
    }
}

/// The metadata of a connection. It says whether Postlink owns the finalizer.
pub(super) fn trimmed_with_manager(mut metadata: ObjectMeta) -> ObjectMeta {
    let mut managers = metadata.managed_fields.take().unwrap_or_default();
    managers.retain(|entry| entry.manager.as_deref() == Some(CONTROLLER));
    ObjectMeta { managed_fields: Some(managers), ..trimmed(metadata) }
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
