//! The admission policies as they are shipped: the manifests in `charts/postlink/policies/`, which are the only copy.

use serde_json::Value;

const GUARD_FILE: &str = include_str!("../../charts/postlink/policies/guard.yaml");
const REFUSAL_FILE: &str = include_str!("../../charts/postlink/policies/refusal.yaml");
const UNINSTALL_FILE: &str = include_str!("../../charts/postlink/policies/uninstall.yaml");

/// Keeps the finalizer of a connection that active rules use.
pub const GUARD: &str = "postlink-guard";
/// Denies what people request. Its binding's action is filled in.
pub const REFUSAL: &str = "postlink-refusal";
/// Warns tools.
pub const REFUSAL_TOOLS: &str = "postlink-refusal-tools";
/// Warns on uninstall.
pub const UNINSTALL: &str = "postlink-uninstall";
/// All of them. Each has a binding of the same name.
pub const NAMES: [&str; 4] = [GUARD, REFUSAL, REFUSAL_TOOLS, UNINSTALL];

/// Variable of the refusal policies with the users that are tools. Filled in.
pub const USERS: &str = "gitOpsUsers";
/// Variable of the refusal policies with the groups whose members are tools. Filled in.
pub const GROUPS: &str = "gitOpsGroups";

/// A policy and its binding.
#[derive(Clone, Debug)]
pub struct Shipped {
    pub name: &'static str,
    /// The `spec` of the policy.
    pub policy: Value,
    /// The `spec` of the binding.
    pub binding: Value,
}

/// The manifests of the guard.
pub fn guard() -> Vec<Value> {
    manifests(GUARD_FILE)
}

/// The manifests of the two refusal policies.
pub fn refusal() -> Vec<Value> {
    manifests(REFUSAL_FILE)
}

/// All policies with their bindings.
pub fn shipped() -> Vec<Shipped> {
    let all = [guard(), refusal(), manifests(UNINSTALL_FILE)].concat();
    let spec = |kind: &str, name: &str| {
        let found = all.iter().find(|m| m["kind"] == kind && m["metadata"]["name"] == name);
        found.map(|manifest| manifest["spec"].clone()).unwrap_or_default()
    };
    let one = |name| Shipped {
        name,
        policy: spec("ValidatingAdmissionPolicy", name),
        binding: spec("ValidatingAdmissionPolicyBinding", name),
    };
    NAMES.map(one).to_vec()
}

fn manifests(yaml: &str) -> Vec<Value> {
    let list: Value = serde_yaml::from_str(yaml).expect("the shipped manifests are YAML; a test reads them");
    list["items"].as_array().cloned().unwrap_or_default()
}
