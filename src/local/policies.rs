//! The admission policies with the places filled in that the chart fills in, too.

use crate::api::policies::{GROUPS, REFUSAL, USERS, guard, refusal};
use serde_json::{Value, json};

/// What happens when a person disables or deletes a connection that active rules use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The request is denied.
    #[default]
    Deny,
    /// The request is accepted with a warning; the controller holds the change.
    Warn,
    /// The request is accepted; the controller holds the change.
    Off,
}

/// GitOps tools: they are warned and never denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principals {
    /// User names, such as `system:serviceaccount:flux-system:kustomize-controller`.
    pub users: Vec<String>,
    /// Groups. The user name of a cloud identity may change with each session; its groups do not.
    pub groups: Vec<String>,
}

/// The lists of the shipped manifest.
impl Default for Principals {
    fn default() -> Self {
        let manifests = refusal();
        let list = |name: &str| {
            let list = manifests
                .iter()
                .filter_map(|policy| policy.pointer("/spec/variables")?.as_array())
                .flatten()
                .find(|variable| variable.get("name").and_then(Value::as_str) == Some(name))
                .and_then(|variable| serde_json::from_str(variable.get("expression")?.as_str()?).ok());
            list.expect("the shipped manifest lists its users and its groups as JSON lists")
        };
        Self { users: list(USERS), groups: list(GROUPS) }
    }
}

/// The policies and bindings to install: the guard always, the refusal unless the mode is [`Mode::Off`].
pub fn render(mode: Mode, principals: &Principals) -> Vec<Value> {
    let mut manifests = guard();
    if mode == Mode::Off {
        return manifests;
    }
    let action = if mode == Mode::Deny { "Deny" } else { "Warn" };
    for mut manifest in refusal() {
        if is_people_binding(&manifest) {
            manifest["spec"]["validationActions"] = json!([action]);
        }
        let variables = manifest.pointer_mut("/spec/variables").and_then(Value::as_array_mut);
        for variable in variables.into_iter().flatten() {
            let list = match variable.get("name").and_then(Value::as_str) {
                Some(USERS) => &principals.users,
                Some(GROUPS) => &principals.groups,
                _ => continue,
            };
            variable["expression"] = json!(json!(list).to_string());
        }
        manifests.push(manifest);
    }
    manifests
}

fn is_people_binding(manifest: &Value) -> bool {
    manifest.get("kind").and_then(Value::as_str) == Some("ValidatingAdmissionPolicyBinding")
        && manifest.pointer("/metadata/name").and_then(Value::as_str) == Some(REFUSAL)
}
