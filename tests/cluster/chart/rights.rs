//! RBAC of the chart: least privilege, no wildcards.

use std::collections::BTreeSet;

use postlink::api::{names::CONTROLLER, policies};
use serde_json::{Value, json};

use super::{everything, find, id, of_kind, render, render_of};

/// Group, resource, verb and resource name of each rule.
fn rights(role: &Value) -> BTreeSet<[String; 4]> {
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().map(|one| one.as_str().unwrap().to_owned()).collect()
    };
    let mut rights = BTreeSet::new();
    for rule in role["rules"].as_array().unwrap() {
        let mut names = texts(&rule["resourceNames"]);
        if names.is_empty() {
            names.push(String::new());
        }
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                for verb in texts(&rule["verbs"]) {
                    for name in &names {
                        rights.insert([group.clone(), resource.clone(), verb.clone(), name.clone()]);
                    }
                }
            }
        }
        assert!(rule.get("nonResourceURLs").is_none(), "{rule}");
    }
    assert!(!rights.is_empty());
    rights
}

fn roles(objects: &[Value]) -> Vec<&Value> {
    of_kind(objects, "ClusterRole").chain(of_kind(objects, "Role")).collect()
}

/// The default, everything on, and a namespaced install.
fn installs() -> Vec<Vec<Value>> {
    let (chart, mut values) = everything();
    let all = render_of(&chart, &values);
    values["namespaces"] = json!(["social", "care"]);
    vec![render(&json!({})), all, render_of(&chart, &values)]
}

#[test]
fn no_role_has_wildcards_or_can_escalate() {
    for rendered in installs() {
        for role in roles(&rendered) {
            for right in rights(role) {
                assert!(right.iter().all(|part| !part.contains('*')), "{right:?} in {:?}", id(role));
                for verb in ["escalate", "bind", "impersonate"] {
                    assert_ne!(right[2], verb, "{right:?} in {:?}", id(role));
                }
            }
        }
    }
}

#[test]
fn secrets_allow_get_only() {
    for rendered in installs() {
        for role in roles(&rendered) {
            for [_, resource, verb, _] in rights(role) {
                assert!(resource != "secrets" || verb == "get", "{verb} secrets in {:?}", id(role));
            }
        }
    }
}

#[test]
fn token_requests_only_where_workload_identities_are() {
    let token = |role: &&Value| rights(role).iter().any(|right| right[1].starts_with("serviceaccounts"));
    for rendered in installs() {
        assert_eq!(of_kind(&rendered, "ClusterRole").filter(token).count(), 0);
    }
    assert_eq!(roles(&render(&json!({}))).into_iter().filter(token).count(), 0);
    let rendered = render(&json!({"workloadIdentity": {"namespaces": ["social", "care", "care"]}}));
    let places: Vec<_> = roles(&rendered).into_iter().filter(token).map(id).collect();
    let place = |namespace: &str| ("Role".into(), namespace.into(), "postlink-tokens".into());
    assert_eq!(places, [place("social"), place("care")]);
    for role in roles(&rendered).into_iter().filter(token) {
        let only = ["", "serviceaccounts/token", "create", ""].map(str::to_owned);
        assert_eq!(rights(role), BTreeSet::from([only]));
    }
}

/// No more than these. All tests that run the controller show that they suffice: any denied request fails them.
#[test]
fn controller_has_the_least_rights() {
    const OURS: &str = "postlink.dev";
    let kinds = ["dynamicsconnections", "automationrules", "postlinks"];
    let mut wanted = BTreeSet::from(
        [
            [OURS, "dynamicsconnections", "patch", ""],
            ["", "secrets", "get", ""],
            ["events.k8s.io", "events", "create", ""],
            ["events.k8s.io", "events", "patch", ""],
        ]
        .map(|right| right.map(str::to_owned)),
    );
    for kind in kinds {
        wanted.extend(["get", "list", "watch"].map(|verb| [OURS, kind, verb, ""].map(str::to_owned)));
        wanted.insert([OURS.to_owned(), format!("{kind}/status"), "update".to_owned(), String::new()]);
    }
    let rendered = render(&json!({}));
    assert_eq!(rights(find(&rendered, "ClusterRole", "postlink")), wanted);
    let lease = ["create", "get", "update"].map(|verb| {
        let name = if verb == "create" { "" } else { CONTROLLER };
        ["coordination.k8s.io", "leases", verb, name].map(str::to_owned)
    });
    assert_eq!(rights(find(&rendered, "Role", "postlink-lease")), BTreeSet::from(lease));
    assert_eq!(rights(find(&rendered, "ClusterRole", "postlink-installation")), checks());
    let note = ["get", "patch"].map(|verb| ["", "configmaps", verb, "postlink-in-use"].map(str::to_owned));
    assert_eq!(rights(find(&rendered, "Role", "postlink-in-use")), BTreeSet::from(note));

    let namespaced = render(&json!({"namespaces": ["social", "care"]}));
    for namespace in ["social", "care"] {
        let role = namespaced
            .iter()
            .find(|object| id(object) == ("Role".into(), namespace.into(), "postlink".into()))
            .unwrap_or_else(|| panic!("no Role postlink in {namespace}"));
        assert_eq!(rights(role), wanted, "{namespace}");
    }
    assert_eq!(of_kind(&namespaced, "ClusterRole").count(), 0, "the cluster administrator applies it");
    // The Lease's namespace need not be a watched one.
    let events = ["create", "patch"].map(|verb| ["events.k8s.io", "events", verb, ""].map(str::to_owned));
    let lease = rights(find(&rendered, "Role", "postlink-lease")).into_iter().chain(events).collect();
    assert_eq!(rights(find(&namespaced, "Role", "postlink-lease")), lease);
}

/// What the leader reads to check its installation.
fn checks() -> BTreeSet<[String; 4]> {
    let mut wanted =
        BTreeSet::from([["coordination.k8s.io", "leases", "list", CONTROLLER].map(str::to_owned)]);
    for name in policies::NAMES {
        for kind in ["validatingadmissionpolicies", "validatingadmissionpolicybindings"] {
            wanted.insert(["admissionregistration.k8s.io", kind, "get", name].map(str::to_owned));
        }
    }
    wanted
}

#[test]
fn only_the_controllers_roles_are_bound_to_it() {
    for rendered in installs() {
        let account = of_kind(&rendered, "ServiceAccount").next().unwrap();
        let account = json!([{
            "kind": "ServiceAccount",
            "name": account["metadata"]["name"],
            "namespace": account["metadata"]["namespace"],
        }]);
        let mut bound = BTreeSet::new();
        for binding in of_kind(&rendered, "ClusterRoleBinding").chain(of_kind(&rendered, "RoleBinding")) {
            assert_eq!(binding["subjects"], account, "{:?}", id(binding));
            let (_, namespace, _) = id(binding);
            let role = &binding["roleRef"];
            let text = |field: &str| role[field].as_str().unwrap().to_owned();
            bound.insert((text("kind"), namespace, text("name")));
        }
        let for_users = ["postlink-view", "postlink-edit", "postlink-admin", "postlink-status"];
        let given: BTreeSet<_> = roles(&rendered)
            .into_iter()
            .map(id)
            .filter(|(_, _, name)| !for_users.contains(&name.as_str()))
            .collect();
        assert_eq!(bound, given);
    }
}

/// Only requests for leases, and only those of the controller.
#[test]
fn flow_schema_matches_the_controllers_lease_requests() {
    for rendered in &installs()[..2] {
        let account = of_kind(rendered, "ServiceAccount").next().unwrap();
        let schema = find(rendered, "FlowSchema", "postlink-lease");
        let rules = schema["spec"]["rules"].as_array().unwrap();
        assert_eq!(rules.len(), 1);
        let (name, namespace) = (&account["metadata"]["name"], &account["metadata"]["namespace"]);
        let account = json!([{
            "kind": "ServiceAccount",
            "serviceAccount": {"name": name, "namespace": namespace},
        }]);
        assert_eq!(rules[0]["subjects"], account);
        let requests = json!([{
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "verbs": ["get", "create", "update"],
            "namespaces": ["*"],
        }]);
        assert_eq!(rules[0]["resourceRules"], requests);
    }
    let off = render(&json!({"flowSchema": {"enabled": false}}));
    assert_eq!(of_kind(&off, "FlowSchema").count(), 0);
}

#[test]
fn r01_managing_connections_needs_its_own_role() {
    let rendered = render(&json!({}));
    let may = |role: &str, verb: &str, resource: &str| {
        let right = ["postlink.dev", resource, verb, ""].map(str::to_owned);
        rights(find(&rendered, "ClusterRole", role)).contains(&right)
    };
    for role in ["postlink-view", "postlink-edit", "postlink-admin"] {
        for resource in ["dynamicsconnections", "automationrules", "postlinks"] {
            for verb in ["get", "list", "watch"] {
                assert!(may(role, verb, resource), "{role} {verb} {resource}");
            }
            for verb in ["create", "update", "patch", "delete", "deletecollection"] {
                let expected = match role {
                    "postlink-view" => false,
                    "postlink-edit" => resource != "dynamicsconnections",
                    _ => true,
                };
                assert_eq!(may(role, verb, resource), expected, "{role} {verb} {resource}");
            }
        }
    }
}

#[test]
fn user_roles_are_aggregated_and_never_write_status() {
    let aggregated = |objects: &[Value]| -> BTreeSet<(String, String)> {
        of_kind(objects, "ClusterRole")
            .flat_map(|role| {
                let labels = role["metadata"]["labels"].as_object().unwrap().clone();
                let name = role["metadata"]["name"].as_str().unwrap().to_owned();
                labels.into_iter().filter_map(move |(key, _)| {
                    let to = key.strip_prefix("rbac.authorization.k8s.io/aggregate-to-")?;
                    Some((name.clone(), to.to_owned()))
                })
            })
            .collect()
    };
    let rendered = render(&json!({}));
    let expected = ["view", "edit", "admin"].map(|to| (format!("postlink-{to}"), to.to_owned()));
    assert_eq!(aggregated(&rendered), BTreeSet::from(expected));
    assert_eq!(aggregated(&render(&json!({"rbac": {"aggregate": false}}))), BTreeSet::new());
    for role in of_kind(&rendered, "ClusterRole") {
        let name = role["metadata"]["name"].as_str().unwrap();
        let writes_status = rights(role).iter().any(|right| right[1].ends_with("/status"));
        assert_eq!(writes_status, ["postlink", "postlink-status"].contains(&name), "{name}");
    }
}
