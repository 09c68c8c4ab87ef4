//! The namespace controller: empties namespaces that are being deleted, and removes them when they are empty.

use rand::seq::SliceRandom as _;
use serde_json::{Value, json};

use std::sync::Arc;

use super::core::{Core, State};
use super::delete::DeleteOptions;
use super::metadata;
use super::resource::Resource;
use super::store::Actor;
use super::write::{Call, FieldValidation, Transaction};

/// The user a real controller manager deletes the content as.
const CONTROLLER: &str = "system:serviceaccount:kube-system:namespace-controller";

/// The namespaces every cluster has.
pub(crate) const INITIAL: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

/// Deletes what can be deleted in namespaces on their way out. Each deletion is a write of its own, in an order
/// drawn from the seed; a real one promises no order either.
pub(crate) fn settle(core: &Core, state: &mut State) {
    for namespace in state.terminating.clone() {
        empty(core, state, &namespace);
        finish(core, state, &namespace);
    }
}

fn empty(core: &Core, state: &mut State, namespace: &str) {
    let prefix = format!("{namespace}/");
    let namespaced = || core.catalogue.all().iter().filter(|r| r.namespaced && !r.core_event);
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
        // A policy may refuse; then the namespace waits, as a real one does, and the next write tries again.
        let _ = as_controller(core, state, resource, namespace, |t| {
            t.delete(&name, &DeleteOptions::default()).map(drop)
        });
    }
}

fn finish(core: &Core, state: &mut State, namespace: &str) {
    let prefix = format!("{namespace}/");
    let left = core
        .catalogue
        .all()
        .iter()
        .filter(|r| r.namespaced)
        .any(|r| state.store.range(r.store, &prefix, "").next().is_some());
    let namespaces = core.catalogue.namespaces();
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
    let gone = kept.is_empty() && metadata::finalizers(&object).is_empty();
    let finalized = object["spec"]["finalizers"].as_array().map(Vec::len) == Some(kept.len());
    if !gone && finalized {
        return;
    }
    let _ = as_controller(core, state, namespaces, namespace, |t| {
        if gone {
            t.remove(namespace);
        } else {
            let mut object = object.clone();
            object["spec"] = if kept.is_empty() { json!({}) } else { json!({"finalizers": kept}) };
            t.commit(namespace, object);
        }
        Ok(())
    });
    if gone {
        state.terminating.remove(namespace);
    }
}

fn as_controller<T>(
    core: &Core,
    state: &mut State,
    resource: &Resource,
    namespace: &str,
    act: impl FnOnce(&mut Transaction<'_>) -> super::answer::Outcome<T>,
) -> super::answer::Outcome<T> {
    let call = Call {
        resource,
        namespace,
        name: "",
        subresource: "",
        actor: Arc::new(Actor::user(CONTROLLER)),
        manager: "kube-controller-manager".to_owned(),
        dry_run: false,
        field_validation: FieldValidation::Ignore,
        force: false,
        options: json!({"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1"}),
    };
    act(&mut Transaction::new(core, state, &call))
}

/// Creates the namespaces every cluster has.
pub(crate) fn bootstrap(core: &Core) {
    let mut state = core.state();
    for name in INITIAL {
        let call = Call {
            resource: core.catalogue.namespaces(),
            namespace: "",
            name: "",
            subresource: "",
            actor: Arc::new(Actor::user("system:apiserver")),
            manager: "kube-apiserver".to_owned(),
            dry_run: false,
            field_validation: FieldValidation::Ignore,
            force: false,
            options: json!({"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"}),
        };
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        // Nothing stands in its way in an empty store; if a policy refuses it, the namespace is simply not there.
        let _ = Transaction::new(core, &mut state, &call).create(object);
    }
    core.publish(state);
}
