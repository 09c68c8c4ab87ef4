//! Writes the number of connections to a ConfigMap of the installation. An admission policy, which cannot count objects,
//! reads it there and warns on uninstall.

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

/// The number may be this old.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

const RETRY: Duration = Duration::from_secs(60);

/// How often the ConfigMap is read again: an installation may have created or replaced it.
const RESYNC: Duration = Duration::from_secs(300);

/// Keeps the number up to date until the process ends. Does nothing if the ConfigMap does not exist.
pub async fn keep(client: kube::Client, namespace: String, index: Index, sync: WatchSync) {
    let api: Api<ConfigMap> = Api::namespaced(client, &namespace);
    let (mut stored, mut warned): (Option<(usize, Instant)>, _) = (None, false);
    loop {
        tokio::time::sleep(POLL_INTERVAL).await;
        let count = index.connections().len();
        let same = stored.is_some_and(|(written, at)| written == count && at.elapsed() < RESYNC);
        if same || !sync.is_complete() {
            continue;
        }
        match write(&api, count).await {
            Ok(()) => (stored, warned) = (Some((count, Instant::now())), false),
            Err(error) => {
                if !warned {
                    warn!(%error, configmap = IN_USE, %namespace, "failed to write the number of connections; an uninstall may not warn that connections exist");
                }
                warned = true;
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
