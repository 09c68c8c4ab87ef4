//! The namespace controller: empties namespaces that are being deleted and removes them when they are empty.

use std::sync::{Arc, MutexGuard};

use rand::seq::SliceRandom as _;
use serde_json::{Value, json};

use crate::delete::DeleteOptions;
use crate::metadata;
use crate::resource::Resource;
use crate::server::{Server, ServerState};
use crate::status::ApiResult;
use crate::transaction::{FieldValidation, Transaction, WriteRequest};
use crate::user_info::UserInfo;

/// The user as which a controller manager deletes the content of namespaces.
const CONTROLLER: &str = "system:serviceaccount:kube-system:namespace-controller";

/// The namespaces every cluster has.
pub(crate) const INITIAL: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

/// Ends a write: runs the namespace controller, then unlocks the state and wakes the watches.
pub(crate) fn publish(server: &Server, mut state: MutexGuard<'_, ServerState>) {
    delete_content(server, &mut state);
    server.release(state);
}

/// Deletes what can be deleted in terminating namespaces. Each deletion is a write of its own, in an order drawn from
/// the seed: a real namespace controller promises no order.
fn delete_content(server: &Server, state: &mut ServerState) {
    for namespace in state.terminating.clone() {
        empty(server, state, &namespace);
        remove_if_empty(server, state, &namespace);
    }
}

fn empty(server: &Server, state: &mut ServerState, namespace: &str) {
    let prefix = format!("{namespace}/");
    let namespaced = || server.registry.all().iter().filter(|r| r.namespaced && !r.core_event);
    let mut content: Vec<(&Resource, String)> = Vec::new();
    for resource in namespaced() {
        for (key, stored) in state.store.range(resource.store, &prefix, "") {
            if metadata::text(&stored.value(), "deletionTimestamp").is_empty() {
                content.push((resource, key[prefix.len()..].to_owned()));
            }
        }
    }
    content.shuffle(&mut state.random);
    for (resource, name) in content {
        // A policy may deny the deletion. The namespace then stays terminating, and the next write tries again.
        let _ = as_controller(server, state, resource, namespace, |t| {
            t.delete(&name, &DeleteOptions::default()).map(drop)
        });
    }
}

fn remove_if_empty(server: &Server, state: &mut ServerState, namespace: &str) {
    let prefix = format!("{namespace}/");
    let left = server
        .registry
        .all()
        .iter()
        .filter(|r| r.namespaced)
        .any(|r| state.store.range(r.store, &prefix, "").next().is_some());
    let namespaces = server.registry.namespaces();
    let Some(object) = state.store.get(namespaces.store, namespace).map(|stored| stored.value()) else {
        state.terminating.remove(namespace);
        return;
    };
    if left {
        return;
    }
    let kept: Vec<Value> = object["spec"]["finalizers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|f| *f != "kubernetes")
        .cloned()
        .collect();
    let removable = kept.is_empty() && metadata::finalizers(&object).is_empty();
    let finalized = object["spec"]["finalizers"].as_array().map(Vec::len) == Some(kept.len());
    if !removable && finalized {
        return;
    }
    let _ = as_controller(server, state, namespaces, namespace, |t| {
        if removable {
            t.remove(namespace);
        } else {
            let mut object = object.clone();
            object["spec"] = if kept.is_empty() { json!({}) } else { json!({"finalizers": kept}) };
            t.commit(namespace, object);
        }
        Ok(())
    });
    if removable {
        state.terminating.remove(namespace);
    }
}

fn as_controller<T>(
    server: &Server,
    state: &mut ServerState,
    resource: &Resource,
    namespace: &str,
    act: impl FnOnce(&mut Transaction<'_>) -> ApiResult<T>,
) -> ApiResult<T> {
    let request = WriteRequest {
        resource,
        namespace,
        name: "",
        subresource: "",
        user: Arc::new(UserInfo::new(CONTROLLER)),
        manager: "kube-controller-manager".to_owned(),
        dry_run: false,
        field_validation: FieldValidation::Ignore,
        force: false,
    };
    act(&mut Transaction::new(server, state, &request))
}

/// Creates the namespaces every cluster has.
pub(crate) fn bootstrap(server: &Server) {
    let mut state = server.state();
    for name in INITIAL {
        let request = WriteRequest {
            resource: server.registry.namespaces(),
            namespace: "",
            name: "",
            subresource: "",
            user: Arc::new(UserInfo::new("system:apiserver")),
            manager: "kube-apiserver".to_owned(),
            dry_run: false,
            field_validation: FieldValidation::Ignore,
            force: false,
        };
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        // Cannot fail in an empty store, unless a policy denies it: then the namespace does not exist.
        let _ = Transaction::new(server, &mut state, &request).create(object);
    }
    publish(server, state);
}
