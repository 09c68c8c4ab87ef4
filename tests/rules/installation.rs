//! The installation around the controller: which admission policies are reported, and which other installations.

use postlink::{
    api::policies::{GUARD, NAMES, REFUSAL, REFUSAL_TOOLS, UNINSTALL, shipped},
    domain::installation::{
        overlap::{OtherLease, OtherLeases, Watched},
        policies::{Finding, Installed, Observed, Problem, findings},
    },
};
use rstest::rstest;
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

type Policies = BTreeMap<&'static str, Installed>;

/// The shipped policies as an API server stores them.
fn stored() -> Policies {
    let complete = |mut spec: Value| {
        let constraints = &mut spec["matchConstraints"];
        constraints["matchPolicy"] = json!("Equivalent");
        constraints["namespaceSelector"] = json!({});
        if constraints["objectSelector"].is_null() {
            constraints["objectSelector"] = json!({});
        }
        Some(spec)
    };
    let one = |one: postlink::api::policies::Shipped| {
        (one.name, Installed { policy: complete(one.policy), binding: Some(one.binding), version: None })
    };
    shipped().into_iter().map(one).collect()
}

fn found(change: impl FnOnce(&mut Policies)) -> Vec<Finding> {
    let mut installed = stored();
    change(&mut installed);
    findings(&shipped(), VERSION, false, &Observed::Read(installed))
}

fn problems(change: impl FnOnce(&mut Policies)) -> Vec<(&'static str, Problem)> {
    found(change).into_iter().map(|one| (one.policy, one.problem)).collect()
}

fn policy<'a>(installed: &'a mut Policies, name: &str) -> &'a mut Value {
    installed.get_mut(name).unwrap().policy.as_mut().unwrap()
}

fn binding<'a>(installed: &'a mut Policies, name: &str) -> &'a mut Value {
    installed.get_mut(name).unwrap().binding.as_mut().unwrap()
}

/// Sets a field of the policy's spec by its path.
fn set(name: &'static str, path: &'static str, value: Value) -> impl FnOnce(&mut Policies) {
    move |installed| {
        let (parent, field) = path.rsplit_once('/').unwrap();
        policy(installed, name).pointer_mut(parent).unwrap()[field] = value;
    }
}

const VERSION: &str = "1.2.3";

/// Sets a field of the binding's spec.
fn bound(name: &'static str, field: &'static str, value: Value) -> impl FnOnce(&mut Policies) {
    move |installed| binding(installed, name)[field] = value
}

fn without(names: &'static [&'static str]) -> impl FnOnce(&mut Policies) {
    move |installed| installed.retain(|name, _| !names.contains(name))
}

#[test]
fn shipped_policies_are_complete() {
    for one in shipped() {
        assert!(one.policy["validations"].is_array(), "{}", one.name);
        assert_eq!(one.binding["policyName"], one.name);
    }
    assert_eq!(shipped().iter().map(|one| one.name).collect::<Vec<_>>(), NAMES);
}

#[test]
fn policies_of_this_version_are_no_problem() {
    assert_eq!(found(|_| {}), []);
    let as_shipped = |one: postlink::api::policies::Shipped| {
        (one.name, Installed { policy: Some(one.policy), binding: Some(one.binding), version: None })
    };
    let installed = shipped().into_iter().map(as_shipped).collect();
    assert_eq!(findings(&shipped(), VERSION, false, &Observed::Read(installed)), []);
}

/// What an administrator fills in, what an API server or a tool writes differently, and mode Off.
#[test]
fn equivalent_policies_are_no_problem() {
    let users = json!(r#"["system:serviceaccount:delivery:applier"]"#);
    for name in [REFUSAL, REFUSAL_TOOLS] {
        assert_eq!(found(set(name, "/variables/0/expression", users.clone())), [], "gitOpsUsers of {name}");
        assert_eq!(found(set(name, "/variables/1/expression", users.clone())), [], "gitOpsGroups of {name}");
    }
    assert_eq!(found(bound(REFUSAL, "validationActions", json!(["Warn"]))), [], "mode Warn");
    assert_eq!(found(without(&[REFUSAL, REFUSAL_TOOLS])), [], "mode Off");
    assert_eq!(found(bound(GUARD, "validationActions", json!(["Audit", "Deny"]))), [], "and Audit");
    let order = json!(["DELETE", "UPDATE"]);
    assert_eq!(found(set(REFUSAL, "/matchConstraints/resourceRules/0/operations", order)), []);
    assert_eq!(found(set(GUARD, "/matchConstraints/objectSelector", Value::Null)), []);
    assert_eq!(found(set(GUARD, "/auditAnnotations", json!([]))), []);
    let folded = |installed: &mut Policies| {
        let expression = &mut policy(installed, GUARD)["validations"][0]["messageExpression"];
        *expression = json!(expression.as_str().unwrap().replace(" + ", "\n  + "));
    };
    assert_eq!(found(folded), [], "kustomize folds text differently");
}

#[rstest]
#[case::failure_policy("/failurePolicy", json!("Ignore"))]
#[case::expression("/validations/0/expression", json!("true"))]
#[case::message("/validations/0/message", json!("no"))]
#[case::no_validation("/validations", json!([]))]
#[case::condition("/matchConditions/0/expression", json!("false"))]
#[case::variable("/variables/0/expression", json!("[]"))]
#[case::operations("/matchConstraints/resourceRules/0/operations", json!(["CREATE"]))]
#[case::resources("/matchConstraints/resourceRules/0/resources", json!(["postlinks"]))]
#[case::scope("/matchConstraints/resourceRules/0/scope", json!("Cluster"))]
#[case::names("/matchConstraints/resourceRules/0/resourceNames", json!(["one"]))]
#[case::excluded("/matchConstraints/excludeResourceRules", json!([{"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*"]}]))]
#[case::namespaces("/matchConstraints/namespaceSelector", json!({"matchLabels": {"team": "a"}}))]
#[case::objects("/matchConstraints/objectSelector", json!({"matchLabels": {"team": "a"}}))]
#[case::match_policy("/matchConstraints/matchPolicy", json!("Exact"))]
#[case::param_kind("/paramKind", json!({"apiVersion": "v1", "kind": "ConfigMap"}))]
#[case::newer_field("/enforcement", json!("Never"))]
fn altered_policy_is_reported(#[case] path: &'static str, #[case] value: Value) {
    assert_eq!(problems(set(GUARD, path, value)), [(GUARD, Problem::Altered)]);
}

/// Releases of several versions share the policies of one of them.
#[test]
fn policy_of_another_version_is_told_apart() {
    let labeled = |version: &'static str| {
        move |installed: &mut Policies| {
            set(GUARD, "/failurePolicy", json!("Ignore"))(installed);
            installed.get_mut(GUARD).unwrap().version = Some(version.to_owned());
        }
    };
    assert_eq!(problems(labeled(VERSION)), [(GUARD, Problem::Altered)]);
    assert_eq!(problems(labeled("9.9.9")), [(GUARD, Problem::OtherVersion)]);
    let message = found(labeled("9.9.9"))[0].message();
    assert!(
        message.starts_with(
            "postlink-guard is not that of this version: it is that of version 9.9.9; spec.failurePolicy is"
        ),
        "{message}"
    );
    let unguarded = |installed: &mut Policies| {
        labeled("9.9.9")(installed);
        binding(installed, GUARD)["validationActions"] = json!(["Audit"]);
    };
    assert_eq!(problems(unguarded), [(GUARD, Problem::Altered)], "no version has such a binding");
    let same =
        |installed: &mut Policies| installed.get_mut(GUARD).unwrap().version = Some("9.9.9".to_owned());
    assert_eq!(found(same), [], "the same policy is as good");
}

#[test]
fn additional_match_condition_is_reported() {
    let add = |installed: &mut Policies| {
        let conditions = policy(installed, GUARD)["matchConditions"].as_array_mut().unwrap();
        conditions.push(json!({"name": "never", "expression": "false"}));
    };
    assert_eq!(problems(add), [(GUARD, Problem::Altered)]);
}

#[rstest]
#[case::warn("validationActions", json!(["Warn"]))]
#[case::audit("validationActions", json!(["Audit"]))]
#[case::warn_and_audit("validationActions", json!(["Audit", "Warn"]))]
#[case::some_namespaces("matchResources", json!({"namespaceSelector": {"matchLabels": {"team": "a"}}}))]
#[case::params("paramRef", json!({"name": "a", "parameterNotFoundAction": "Allow"}))]
fn weakened_binding_is_reported(#[case] field: &'static str, #[case] value: Value) {
    assert_eq!(problems(bound(GUARD, field, value)), [(GUARD, Problem::Altered)]);
}

#[test]
fn actions_of_the_refusal_are_deny_or_warn() {
    let audit = json!(["Audit"]);
    assert_eq!(problems(bound(REFUSAL, "validationActions", audit)), [(REFUSAL, Problem::Altered)]);
    let deny = json!(["Deny"]);
    assert_eq!(
        problems(bound(REFUSAL_TOOLS, "validationActions", deny)),
        [(REFUSAL_TOOLS, Problem::Altered)]
    );
}

#[test]
fn absent_and_unbound_policies_are_reported() {
    for name in NAMES {
        let gone = |installed: &mut Policies| installed.get_mut(name).unwrap().policy = None;
        assert_eq!(problems(gone), [(name, Problem::Absent)]);
        let unbound = |installed: &mut Policies| installed.get_mut(name).unwrap().binding = None;
        assert_eq!(problems(unbound), [(name, Problem::Unbound)]);
    }
    let elsewhere = bound(GUARD, "policyName", json!("other"));
    assert_eq!(problems(elsewhere), [(GUARD, Problem::Unbound)]);
    assert_eq!(problems(without(&[REFUSAL_TOOLS])), [(REFUSAL_TOOLS, Problem::Absent)], "not mode Off");
    assert_eq!(problems(Policies::clear), [(GUARD, Problem::Absent), (UNINSTALL, Problem::Absent)]);
}

#[test]
fn expected_refusal_policies_are_reported_if_absent() {
    for (expected, found) in [(false, vec![]), (true, vec![REFUSAL, REFUSAL_TOOLS])] {
        let mut installed = stored();
        without(&[REFUSAL, REFUSAL_TOOLS])(&mut installed);
        let absent = |policy| Finding { policy, problem: Problem::Absent, details: Vec::new() };
        let found: Vec<_> = found.into_iter().map(absent).collect();
        assert_eq!(findings(&shipped(), VERSION, expected, &Observed::Read(installed)), found);
        assert_eq!(findings(&shipped(), VERSION, expected, &Observed::Read(stored())), []);
    }
}

#[test]
fn unread_policies_are_not_called_absent() {
    let unread = findings(&shipped(), VERSION, false, &Observed::NotPermitted);
    assert_eq!(unread.len(), NAMES.len());
    assert!(unread.iter().all(|one| one.problem == Problem::NotRead));
}

#[test]
fn messages_name_what_differs() {
    let messages = |change: &dyn Fn(&mut Policies)| {
        found(change).iter().map(Finding::message).collect::<Vec<_>>().join("\n")
    };
    let ignore = |installed: &mut Policies| policy(installed, GUARD)["failurePolicy"] = json!("Ignore");
    assert_eq!(
        messages(&ignore),
        r#"postlink-guard is not that of this version: spec.failurePolicy is "Ignore" and should be "Fail""#
    );
    let several = |installed: &mut Policies| {
        let spec = policy(installed, UNINSTALL);
        spec["matchConditions"][0]["expression"] = json!("true");
        spec["paramKind"] = json!({"kind": "ConfigMap"});
        spec.as_object_mut().unwrap().remove("variables");
    };
    assert_eq!(
        messages(&several),
        "postlink-uninstall is not that of this version: spec.matchConditions[0].expression differs; \
         spec.paramKind should not be set; spec.variables is missing"
    );
    let audit = |installed: &mut Policies| binding(installed, GUARD)["validationActions"] = json!(["Audit"]);
    assert_eq!(
        messages(&audit),
        r#"postlink-guard is not that of this version: binding: spec.validationActions is ["Audit"] and should be ["Deny"]"#
    );
    assert_eq!(messages(&|installed| drop(installed.remove(GUARD))), "postlink-guard is absent");
    assert_eq!(
        messages(&|installed| installed.get_mut(GUARD).unwrap().binding = None),
        "postlink-guard is not bound"
    );
}

fn watched(names: &str) -> Watched {
    Watched::of(names.split(',').map(str::to_owned))
}

fn lease(namespace: &str, names: &str, renewed: i64) -> OtherLease {
    OtherLease {
        namespace: namespace.to_owned(),
        holder: "a".to_owned(),
        renewed: Some(renewed.to_string()),
        duration: Duration::from_secs(15),
        watched: watched(names),
    }
}

/// The shared namespaces after a Lease was seen renewed.
fn shared(own: &str, other: &str) -> Option<String> {
    let mut others = OtherLeases::default();
    others.observe(&watched(own), &[lease("other", other, 1)], Duration::ZERO);
    let found = others.observe(&watched(own), &[lease("other", other, 2)], Duration::from_secs(30));
    assert!(found.iter().all(|one| one.lease == "other"));
    found.first().map(|one| one.shared.to_string())
}

#[rstest]
#[case::both_all("", "", Some("all namespaces"))]
#[case::own_all("", "a,b", Some("a, b"))]
#[case::other_all("a", "", Some("a"))]
#[case::one_in_common("a,b", "b,c", Some("b"))]
#[case::apart("a,b", "c", None)]
#[case::part_of_a_name("social", "soc", None)]
fn shared_namespaces_overlap(#[case] own: &str, #[case] other: &str, #[case] expected: Option<&str>) {
    assert_eq!(shared(own, other).as_deref(), expected);
}

/// Whether an installation is live after each observation of its Lease, at this second and with this renewal.
fn live(leases: &[(u64, OtherLease)]) -> Vec<bool> {
    let mut others = OtherLeases::default();
    let mut observe = |(at, lease): &(u64, OtherLease)| {
        !others.observe(&watched(""), std::slice::from_ref(lease), Duration::from_secs(*at)).is_empty()
    };
    leases.iter().map(&mut observe).collect()
}

#[test]
fn only_a_lease_seen_renewed_is_live() {
    let at = |seconds, renewed| (seconds, lease("other", "", renewed));
    assert_eq!(live(&[at(0, 1), at(30, 1), at(60, 1)]), [false, false, false], "a Lease left behind");
    // The renewal is years ago by our clock.
    assert_eq!(live(&[at(0, 1), at(30, 2), at(60, 3)]), [false, true, true]);
    assert_eq!(live(&[at(0, 1), at(30, 2), at(60, 2)]), [false, true, false], "it ended");
    let long = |seconds, renewed| {
        (seconds, OtherLease { duration: Duration::from_secs(60), ..lease("o", "", renewed) })
    };
    assert_eq!(live(&[long(0, 1), long(30, 2), long(60, 2), long(120, 2)]), [false, true, true, false]);
    let released = (60, OtherLease { holder: String::new(), ..lease("other", "", 3) });
    assert_eq!(live(&[at(0, 1), at(30, 2), released]), [false, true, false]);
    let holder = (30, OtherLease { holder: "b".to_owned(), ..lease("other", "", 1) });
    assert_eq!(live(&[at(0, 1), holder]), [false, true], "another process has acquired it");
}

#[test]
fn deleted_lease_is_forgotten() {
    let mut others = OtherLeases::default();
    let mut observe =
        |leases: &[OtherLease], at| others.observe(&watched(""), leases, Duration::from_secs(at)).len();
    assert_eq!(observe(&[lease("other", "", 1)], 0), 0);
    assert_eq!(observe(&[], 30), 0);
    assert_eq!(observe(&[lease("other", "", 2)], 60), 0, "as if seen for the first time");
    assert_eq!(observe(&[lease("other", "", 3), lease("third", "", 1)], 90), 1);
}
