//! The chart renders the shipped policies exactly as the in-memory API does.

use std::collections::BTreeMap;

use postlink::local::policies::{Mode, Principals, render as filled_in};
use serde_json::{Value, json};

use super::{NAMESPACE, everything, find, objects, render, render_of};
use crate::cluster::text_of;

/// The refusal and guard policies, by kind and name. User and group lists are parsed, because their formatting may
/// differ.
fn compared(objects: &[Value]) -> BTreeMap<String, Value> {
    objects
        .iter()
        .filter(|object| {
            let kind = object["kind"].as_str().unwrap_or_default();
            kind.starts_with("ValidatingAdmissionPolicy")
                && object["metadata"]["name"] != "postlink-uninstall"
        })
        .map(|object| {
            let mut object = object.clone();
            let variables = object.pointer_mut("/spec/variables").and_then(Value::as_array_mut);
            for variable in variables.into_iter().flatten() {
                if variable["name"] == "gitOpsUsers" || variable["name"] == "gitOpsGroups" {
                    let list = variable["expression"].as_str().expect("an expression is a string");
                    variable["expression"] = serde_json::from_str(list).expect("the list is JSON");
                }
            }
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            (format!("{} {name}", object["kind"]), object)
        })
        .collect()
}

#[test]
fn chart_and_program_render_the_same_policies() {
    let several = ["system:serviceaccount:delivery:applier", r#"a "quoted" <name> & more"#, "jürgen"];
    for (name, mode) in [("Deny", Mode::Deny), ("Warn", Mode::Warn), ("Off", Mode::Off)] {
        for users in [&[][..], &several[..1], &several[..]] {
            for groups in [&[][..], &several[1..]] {
                let [chosen_users, chosen_groups] =
                    [users, groups].map(|list| list.iter().map(|&one| one.to_owned()).collect::<Vec<_>>());
                let shipped = Principals::default();
                let principals = Principals {
                    users: if users.is_empty() { shipped.users } else { chosen_users },
                    groups: chosen_groups,
                };
                let values = json!({"mode": name, "gitOpsUsers": users, "gitOpsGroups": groups});
                let rendered = render(&json!({"admission": values}));
                let expected = compared(&filled_in(mode, &principals));
                assert_eq!(compared(&rendered), expected, "{values}");
                assert_eq!(expected.len(), if mode == Mode::Off { 2 } else { 6 });
            }
        }
    }
}

#[test]
fn unquoted_off_selects_mode_off() {
    assert_eq!(
        compared(&render(&json!({"admission": {"mode": false}}))),
        compared(&render(&json!({"admission": {"mode": "Off"}})))
    );
}

#[test]
fn default_policies_equal_the_files() {
    let rendered = render(&json!({}));
    for file in ["guard", "refusal", "uninstall"] {
        let list = &objects(&text_of(&format!("charts/postlink/policies/{file}.yaml")))[0];
        for object in list["items"].as_array().unwrap() {
            let [kind, name] = [&object["kind"], &object["metadata"]["name"]].map(|v| v.as_str().unwrap());
            assert_eq!(find(&rendered, kind, name), object);
        }
    }
}

#[test]
fn policies_are_optional() {
    assert_eq!(compared(&render(&json!({"admission": {"install": false}}))).len(), 0);
}

/// The policy matches the ConfigMap by name and label, so it must have both for all values.
#[test]
fn uninstall_policy_matches_the_charts_config_map() {
    let (chart, values) = everything();
    for rendered in [render(&json!({})), render_of(&chart, &values)] {
        let policy = find(&rendered, "ValidatingAdmissionPolicy", "postlink-uninstall");
        let constraints = &policy["spec"]["matchConstraints"];
        let name = constraints["resourceRules"][0]["resourceNames"][0].as_str().unwrap();
        let note = find(&rendered, "ConfigMap", name);
        assert_eq!(note["metadata"]["namespace"], NAMESPACE);
        for (key, value) in constraints["objectSelector"]["matchLabels"].as_object().unwrap() {
            assert_eq!(note["metadata"]["labels"][key], *value, "{key}");
        }
        assert_eq!(policy["spec"]["failurePolicy"], "Ignore", "an uninstall is never refused");
        let binding = find(&rendered, "ValidatingAdmissionPolicyBinding", "postlink-uninstall");
        assert_eq!(binding["spec"]["validationActions"], json!(["Warn"]));
    }
}
