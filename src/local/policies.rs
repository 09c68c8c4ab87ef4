//! The shipped policies, filled in: the manifests in `charts/postlink/policies/` are the only copy, and
//! the chart fills in the same places.

use serde_json::{Value, json};

const REFUSAL: &str = include_str!("../../charts/postlink/policies/refusal.yaml");
const GUARD: &str = include_str!("../../charts/postlink/policies/guard.yaml");

/// The variable of the refusal policies that lists the users who are tools.
const USERS: &str = "gitOpsUsers";
/// The one that lists the groups whose members are tools.
const GROUPS: &str = "gitOpsGroups";
/// The binding that decides what people are told.
const PEOPLE: &str = "postlink-refusal";

/// What people are told who disable or delete a connection that active rules use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The request is denied.
    #[default]
    Deny,
    /// The request is accepted with a warning, and held by the controller.
    Warn,
    /// Nothing; the request is accepted and held by the controller.
    Off,
}

/// Who is a tool, not a person: tools are warned and never denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principals {
    /// User names, such as `system:serviceaccount:flux-system:kustomize-controller`.
    pub users: Vec<String>,
    /// Names of groups. A cloud identity may have another user name in each session, but keeps its groups.
    pub groups: Vec<String>,
}

/// The lists in the shipped manifest.
impl Default for Principals {
    fn default() -> Self {
        let manifests = shipped(REFUSAL);
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

/// The policies and bindings to install for a mode, ready to be applied: the guard always, the refusal unless
/// the mode is [`Mode::Off`].
pub fn render(mode: Mode, principals: &Principals) -> Vec<Value> {
    let mut manifests = shipped(GUARD);
    if mode == Mode::Off {
        return manifests;
    }
    let action = if mode == Mode::Deny { "Deny" } else { "Warn" };
    for mut manifest in shipped(REFUSAL) {
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
        && manifest.pointer("/metadata/name").and_then(Value::as_str) == Some(PEOPLE)
}

fn shipped(yaml: &str) -> Vec<Value> {
    let list: Value =
        serde_saphyr::from_str(yaml).expect("the shipped manifests are YAML; a test reads them");
    list["items"].as_array().cloned().unwrap_or_default()
}
