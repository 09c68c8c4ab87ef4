//! The admission policies: the answer and its message for each principal, operation and mode.

use kube_memory::schema::policies::Policies;
use kube_memory::{AdmissionRequest, Operation, UserInfo};
use postlink::local::policies::{Mode, Principals, render};
use rstest::rstest;
use serde_json::{Value, json};

const FINALIZER: &str = "postlink.dev/active-rules";

fn connection(rules: usize) -> Value {
    let names = ["a", "b", "c", "d", "e", "f"];
    let rules: Vec<Value> =
        names[..rules].iter().map(|name| json!({"name": name, "uid": name, "generation": 1})).collect();
    json!({
        "apiVersion": "postlink.dev/v1alpha1",
        "kind": "DynamicsConnection",
        "metadata": {"name": "c", "namespace": "social", "finalizers": [FINALIZER]},
        "spec": {"instanceUrl": "https://contoso.crm.dynamics.com", "enabled": true},
        "status": {"activeRules": rules}
    })
}

fn request(user: &str, operation: Operation) -> AdmissionRequest {
    AdmissionRequest {
        operation,
        user: UserInfo { username: user.into(), groups: vec!["system:authenticated".into()] },
        dry_run: false,
        group: "postlink.dev".into(),
        version: "v1alpha1".into(),
        kind: "DynamicsConnection".into(),
        resource: "dynamicsconnections".into(),
        subresource: None,
        namespace: Some("social".into()),
        name: "c".into(),
    }
}

fn policies(mode: Mode) -> Policies {
    Policies::from_values(&render(mode, &Principals::default())).expect("the shipped policies compile")
}

fn disabled(old: &Value) -> Value {
    let mut new = old.clone();
    new["spec"]["enabled"] = json!(false);
    new
}

/// The answer to a request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Admission {
    Allowed,
    Warned,
    Denied,
}
use Admission::{Allowed, Denied, Warned};

/// Evaluates a request and checks the exact message, which begins with `used`.
fn evaluate(
    policies: &Policies,
    request: &AdmissionRequest,
    new: Option<&Value>,
    old: &Value,
    namespace: Option<&Value>,
    used: &str,
) -> Admission {
    let (rules, are) = if used.contains(" 1 active rule: ") { ("rule", "is") } else { ("rules", "are") };
    let to_a_person = format!("{used}; deactivate (spec.active: false) or delete the {rules} first");
    let to_a_tool =
        format!("{used}; the change is accepted, and held until the {rules} {are} deactivated or deleted");
    let verdict = policies.evaluate(request, new, Some(old), namespace);
    match (&verdict.denials[..], &verdict.warnings[..]) {
        ([], []) => Allowed,
        ([denial], []) => {
            assert_eq!(denial.message, to_a_person);
            let text = "ValidatingAdmissionPolicy 'postlink-refusal' with binding 'postlink-refusal' denied request: ";
            assert_eq!(denial.text(), format!("{text}{to_a_person}"));
            assert_eq!((denial.reason.as_str(), denial.code()), ("Forbidden", 403));
            Denied
        }
        ([], [warning]) => {
            assert!(warning.starts_with("Validation failed for ValidatingAdmissionPolicy 'postlink-refusal"));
            let by_tool = warning.contains("'postlink-refusal-tools'");
            let sentence = if by_tool { to_a_tool } else { to_a_person };
            assert!(warning.ends_with(&format!(": {sentence}")), "{warning}");
            Warned
        }
        other => panic!("several answers: {other:?}"),
    }
}

const FOUR: &str = "connection c is used by 4 active rules: a, b, c and 1 more";

#[rstest]
#[case(1, "connection c is used by 1 active rule: a")]
#[case(2, "connection c is used by 2 active rules: a, b")]
#[case(3, "connection c is used by 3 active rules: a, b, c")]
#[case(4, FOUR)]
#[case(6, "connection c is used by 6 active rules: a, b, c and 3 more")]
fn r08_message_names_three_rules_counts_the_rest(#[case] rules: usize, #[case] used: &str) {
    let old = connection(rules);
    let request = request("jane", Operation::Delete);
    assert_eq!(evaluate(&policies(Mode::Deny), &request, None, &old, None, used), Denied);
}

const FLUX: &str = "system:serviceaccount:flux-system:kustomize-controller";
const ROLE_SESSION: &str = "arn:aws:sts::111122223333:assumed-role/argo-cd/1767225600";
const TENANT: &str = "system:serviceaccount:team-a:reconciler";

/// principal × operation × mode, each also as a dry run.
#[rstest]
#[case::person("jane", json!({}), json!({}), [Denied, Warned, Allowed])]
#[case::admin("kubernetes-admin", json!({}), json!({}), [Denied, Warned, Allowed])]
#[case::person_on_a_flux_object("jane", json!({"kustomize.toolkit.fluxcd.io/name": "apps"}), json!({}),
    [Denied, Warned, Allowed])]
#[case::ci_account(TENANT, json!({}), json!({}), [Denied, Warned, Allowed])]
#[case::flux(FLUX, json!({}), json!({}), [Warned, Warned, Allowed])]
#[case::flux_helm("system:serviceaccount:flux-system:helm-controller", json!({}), json!({}), [Warned, Warned, Allowed])]
#[case::argo_cd("system:serviceaccount:argocd:argocd-application-controller", json!({}), json!({}),
    [Warned, Warned, Allowed])]
#[case::argo_cd_from_elsewhere("system:serviceaccount:kube-system:argocd-manager", json!({}), json!({}),
    [Warned, Warned, Allowed])]
#[case::cloud_identity_on_an_argo_object(ROLE_SESSION, json!({}), json!({"argocd.argoproj.io/tracking-id": "apps:x"}),
    [Denied, Warned, Allowed])]
#[case::flux_tenant(TENANT, json!({"kustomize.toolkit.fluxcd.io/name": "apps"}), json!({}), [Warned, Warned, Allowed])]
#[case::flux_helm_tenant(TENANT, json!({"helm.toolkit.fluxcd.io/name": "apps"}), json!({}), [Warned, Warned, Allowed])]
#[case::argo_tenant_label(TENANT, json!({"argocd.argoproj.io/instance": "apps"}), json!({}), [Warned, Warned, Allowed])]
#[case::argo_tenant_annotation(TENANT, json!({}), json!({"argocd.argoproj.io/tracking-id": "apps:x"}),
    [Warned, Warned, Allowed])]
#[case::helm_by_hand("jane", json!({"app.kubernetes.io/managed-by": "Helm"}), json!({}), [Warned, Warned, Allowed])]
#[case::managed_by_another("jane", json!({"app.kubernetes.io/managed-by": "kustomize"}), json!({}),
    [Denied, Warned, Allowed])]
#[case::namespace_controller("system:serviceaccount:kube-system:namespace-controller", json!({}), json!({}),
    [Allowed, Allowed, Allowed])]
#[case::garbage_collector("system:serviceaccount:kube-system:generic-garbage-collector", json!({}), json!({}),
    [Allowed, Allowed, Allowed])]
fn r08_people_are_refused_and_tools_are_warned(
    #[case] user: &str,
    #[case] labels: Value,
    #[case] annotations: Value,
    #[case] expected: [Admission; 3],
) {
    let mut old = connection(4);
    old["metadata"]["labels"] = labels;
    old["metadata"]["annotations"] = annotations;
    for (mode, expected) in [Mode::Deny, Mode::Warn, Mode::Off].into_iter().zip(expected) {
        let policies = policies(mode);
        for dry_run in [false, true] {
            for operation in [Operation::Update, Operation::Delete] {
                let request = AdmissionRequest { dry_run, ..request(user, operation) };
                let new = (operation == Operation::Update).then(|| disabled(&old));
                let admission = evaluate(&policies, &request, new.as_ref(), &old, None, FOUR);
                assert_eq!(admission, expected, "{user} {operation:?} {mode:?} dry run {dry_run}");
            }
        }
    }
}

#[test]
fn adopting_tool_is_recognized_by_the_new_labels() {
    let old = connection(4);
    let mut new = disabled(&old);
    new["metadata"]["labels"] = json!({"kustomize.toolkit.fluxcd.io/name": "apps"});
    let request = request(TENANT, Operation::Update);
    assert_eq!(evaluate(&policies(Mode::Deny), &request, Some(&new), &old, None, FOUR), Warned);
}

#[test]
fn only_disabling_is_refused_among_updates() {
    let policies = policies(Mode::Deny);
    let jane = request("jane", Operation::Update);
    let old = connection(4);
    let mut renamed = old.clone();
    renamed["spec"]["displayName"] = json!("Contoso");
    assert_eq!(evaluate(&policies, &jane, Some(&renamed), &old, None, FOUR), Allowed);
    // Already disabled: the request changes nothing.
    let wished = disabled(&old);
    let mut again = wished.clone();
    again["spec"]["displayName"] = json!("Contoso");
    assert_eq!(evaluate(&policies, &jane, Some(&again), &wished, None, FOUR), Allowed);
    // `enabled` absent means true.
    let mut implied = old.clone();
    implied["spec"].as_object_mut().unwrap().remove("enabled");
    assert_eq!(evaluate(&policies, &jane, Some(&disabled(&implied)), &implied, None, FOUR), Denied);
    let status = AdmissionRequest { subresource: Some("status".into()), ..jane.clone() };
    assert_eq!(evaluate(&policies, &status, Some(&disabled(&old)), &old, None, FOUR), Allowed);
    let other = AdmissionRequest { resource: "automationrules".into(), ..jane };
    assert_eq!(evaluate(&policies, &other, Some(&disabled(&old)), &old, None, FOUR), Allowed);
}

#[test]
fn r08_unused_connection_is_deleted_without_warning() {
    let policies = policies(Mode::Deny);
    let mut fresh = connection(0);
    for old in [connection(0), {
        fresh.as_object_mut().unwrap().remove("status");
        fresh
    }] {
        assert_eq!(evaluate(&policies, &request("jane", Operation::Delete), None, &old, None, FOUR), Allowed);
        let update = request("jane", Operation::Update);
        assert_eq!(evaluate(&policies, &update, Some(&disabled(&old)), &old, None, FOUR), Allowed);
    }
}

#[test]
fn s6_namespace_deletion_is_not_blocked() {
    let gone = json!({"metadata": {"name": "social", "deletionTimestamp": "2026-01-01T00:00:00Z"}});
    let policies = policies(Mode::Deny);
    let old = connection(4);
    let jane = request("jane", Operation::Delete);
    assert_eq!(evaluate(&policies, &jane, None, &old, Some(&gone), FOUR), Allowed);
    let stays = json!({"metadata": {"name": "social", "labels": {"a": "b"}}});
    assert_eq!(evaluate(&policies, &jane, None, &old, Some(&stays), FOUR), Denied);
    let mut bare = old.clone();
    bare["metadata"].as_object_mut().unwrap().remove("finalizers");
    let update = request("jane", Operation::Update);
    assert!(policies.evaluate(&update, Some(&bare), Some(&old), Some(&gone)).is_allowed());
}

#[test]
fn principals_are_configurable() {
    let chosen = Principals { users: vec!["robot".into(), "it's \"quoted\"".into()], groups: vec![] };
    let policies = Policies::from_values(&render(Mode::Deny, &chosen)).unwrap();
    let old = connection(4);
    for (user, expected) in [("robot", Warned), ("it's \"quoted\"", Warned), (FLUX, Denied)] {
        assert_eq!(
            evaluate(&policies, &request(user, Operation::Delete), None, &old, None, FOUR),
            expected,
            "{user}"
        );
    }
}

/// Its user name differs in each session, so it cannot be listed.
#[test]
fn cloud_identity_counts_as_tool_by_group() {
    let chosen = Principals { groups: vec!["gitops-hubs".into(), "more".into()], ..Principals::default() };
    let old = connection(4);
    for (mode, otherwise) in [(Mode::Deny, Denied), (Mode::Warn, Warned), (Mode::Off, Allowed)] {
        let policies = Policies::from_values(&render(mode, &chosen)).unwrap();
        let by_tool = if mode == Mode::Off { Allowed } else { Warned };
        for (groups, expected) in [
            (vec!["system:authenticated", "gitops-hubs"], by_tool),
            (vec!["more"], by_tool),
            (vec!["system:authenticated", "gitops"], otherwise),
            (vec![], otherwise),
        ] {
            for operation in [Operation::Update, Operation::Delete] {
                let mut request = request(ROLE_SESSION, operation);
                request.user.groups = groups.iter().map(|&group| group.to_owned()).collect();
                let new = (operation == Operation::Update).then(|| disabled(&old));
                let admission = evaluate(&policies, &request, new.as_ref(), &old, None, FOUR);
                assert_eq!(admission, expected, "{mode:?} {operation:?} {groups:?}");
            }
        }
        // The shipped users stay: the lists are additive.
        assert_eq!(evaluate(&policies, &request(FLUX, Operation::Delete), None, &old, None, FOUR), by_tool);
    }
}

#[test]
fn guard_protects_the_finalizer_in_every_mode() {
    let old = connection(2);
    let mut empty = old.clone();
    empty["metadata"]["finalizers"] = json!(["other.dev/x"]);
    let mut absent = old.clone();
    absent["metadata"].as_object_mut().unwrap().remove("finalizers");
    let sentence = "the finalizer postlink.dev/active-rules cannot be removed from connection c while it is used by 2 active rules: \
                    a, b; deactivate (spec.active: false) or delete the rules first. If a manifest had the finalizer, put it back until then";
    for mode in [Mode::Deny, Mode::Warn, Mode::Off] {
        let policies = policies(mode);
        for user in ["jane", FLUX, "system:serviceaccount:postlink:postlink"] {
            for new in [&empty, &absent] {
                let verdict =
                    policies.evaluate(&request(user, Operation::Update), Some(new), Some(&old), None);
                assert_eq!(verdict.denials[0].message, sentence, "{mode:?} {user}");
                assert_eq!(verdict.denials[0].policy, "postlink-guard");
            }
            let mut added = old.clone();
            added["metadata"]["finalizers"] = json!(["other.dev/x", FINALIZER]);
            assert!(
                policies
                    .evaluate(&request(user, Operation::Update), Some(&added), Some(&old), None)
                    .is_allowed()
            );
        }
    }
}

#[test]
fn guard_releases_the_finalizer_without_active_rules() {
    let old = connection(0);
    let mut new = old.clone();
    new["metadata"]["finalizers"] = json!([]);
    let policies = policies(Mode::Deny);
    assert!(policies.evaluate(&request("x", Operation::Update), Some(&new), Some(&old), None).is_allowed());
    // The finalizer was never there.
    let mut without = connection(2);
    without["metadata"]["finalizers"] = json!([]);
    assert!(
        policies
            .evaluate(&request("x", Operation::Update), Some(&without), Some(&without), None)
            .is_allowed()
    );
}

#[test]
fn the_shipped_files_are_what_mode_deny_installs() {
    let rendered = render(Mode::Deny, &Principals::default());
    let names: Vec<_> = rendered
        .iter()
        .map(|it| format!("{}/{}", it["kind"].as_str().unwrap(), it["metadata"]["name"].as_str().unwrap()))
        .collect();
    assert_eq!(
        names,
        [
            "ValidatingAdmissionPolicy/postlink-guard",
            "ValidatingAdmissionPolicyBinding/postlink-guard",
            "ValidatingAdmissionPolicy/postlink-refusal",
            "ValidatingAdmissionPolicyBinding/postlink-refusal",
            "ValidatingAdmissionPolicy/postlink-refusal-tools",
            "ValidatingAdmissionPolicyBinding/postlink-refusal-tools",
        ]
    );
    assert_eq!(
        rendered[2]["spec"]["variables"][0]["expression"],
        rendered[4]["spec"]["variables"][0]["expression"]
    );
    assert_eq!(render(Mode::Off, &Principals::default()).len(), 2);
    assert!(Principals::default().users.contains(&FLUX.to_owned()));
    assert_eq!(Principals::default().groups, Vec::<String>::new(), "no group is a tool by default");
}
