//! How many connections there are, written on a ConfigMap of the installation: an admission policy reads it there and
//! warns whoever uninstalls Postlink, because a policy sees one object and cannot count others.

use super::{
    index::Index,
    observe::sync::WatchSync,
    patch::{ApiError, within},
};
use crate::api::names::{CONNECTIONS, CONTROLLER, IN_USE};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;
use std::time::{Duration, Instant};
use tracing::warn;

/// Between two looks; a warning may be this old.
const LOOK: Duration = Duration::from_secs(2);

/// Between two tries after a failure.
const RETRY: Duration = Duration::from_secs(60);

/// Between two looks at the ConfigMap itself: it may have been made, or made anew, by whoever installs.
const AGAIN: Duration = Duration::from_secs(300);

/// Keeps the number up to date until the process ends. An installation without the ConfigMap has nobody to warn.
pub async fn keep(client: kube::Client, namespace: String, index: Index, sync: WatchSync) {
    let api: Api<ConfigMap> = Api::namespaced(client, &namespace);
    let (mut stored, mut told): (Option<(usize, Instant)>, _) = (None, false);
    loop {
        tokio::time::sleep(LOOK).await;
        let count = index.connections().len();
        let same = stored.is_some_and(|(known, at)| known == count && at.elapsed() < AGAIN);
        if same || !sync.is_complete() {
            continue;
        }
        match write(&api, count).await {
            Ok(()) => (stored, told) = (Some((count, Instant::now())), false),
            Err(error) => {
                if !told {
                    warn!(%error, configmap = IN_USE, %namespace, "the number of connections could not be written; whoever uninstalls Postlink is not warned of them");
                }
                told = true;
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

async fn write(api: &Api<ConfigMap>, count: usize) -> Result<(), ApiError> {
    let Some(map) = within(api.get_opt(IN_USE)).await? else { return Ok(()) };
    let count = count.to_string();
    if map.annotations().get(CONNECTIONS) == Some(&count) {
        return Ok(());
    }
    let patch = Patch::Merge(json!({"metadata": {"annotations": {CONNECTIONS: count}}}));
    let params = PatchParams { field_manager: Some(CONTROLLER.into()), ..PatchParams::default() };
    within(api.patch_metadata(IN_USE, &params, &patch)).await.map(drop)
}
