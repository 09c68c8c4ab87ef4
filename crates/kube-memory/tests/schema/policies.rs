//! Admission policies: matching, variables, failure policies, messages.

use kube_memory::schema::policies::Policies;
use kube_memory::{AdmissionRequest, Operation, UserInfo};
use serde_json::json;

fn request(user: &str, operation: Operation) -> AdmissionRequest {
    AdmissionRequest {
        operation,
        user: UserInfo { username: user.into(), groups: vec!["system:authenticated".into()] },
        dry_run: false,
        group: "example.com".into(),
        version: "v1".into(),
        kind: "Widget".into(),
        resource: "widgets".into(),
        subresource: None,
        namespace: Some("team".into()),
        name: "w".into(),
    }
}

const GENERAL: &str = r#"
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: p}
spec:
  failurePolicy: FAILURE
  matchConstraints:
    namespaceSelector: {matchLabels: {env: prod}}
    objectSelector: {matchExpressions: [{key: skip, operator: DoesNotExist}]}
    resourceRules: [{apiGroups: ["*"], apiVersions: ["*"], operations: ["*"], resources: ["*/*"]}]
    excludeResourceRules: [{apiGroups: ["*"], apiVersions: ["*"], operations: [DELETE], resources: ["*"]}]
  matchConditions: [{name: c, expression: "object.metadata.name != 'outside'"}]
  variables:
  - {name: broken, expression: "object.spec.nowhere.at.all"}
  - {name: replicas, expression: "object.spec.replicas"}
  - {name: doubled, expression: "variables.replicas * 2"}
  auditAnnotations: [{key: seen, valueExpression: "'replicas ' + string(variables.replicas)"}]
  validations:
  - {expression: "variables.doubled < 10", messageExpression: "'doubled is ' + string(variables.doubled)"}
  - {expression: "variables.replicas != 4 || variables.broken == 1", message: "four"}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: b}
spec: {policyName: p, validationActions: [Deny, Audit]}
"#;

#[test]
fn policy_is_matched_and_evaluated() {
    let prod = json!({"metadata": {"name": "team", "labels": {"env": "prod"}}});
    let strict = Policies::load(&GENERAL.replace("FAILURE", "Fail")).unwrap();
    let lenient = Policies::load(&GENERAL.replace("FAILURE", "Ignore")).unwrap();
    let create = request("x", Operation::Create);
    let object = |replicas: i64| json!({"metadata": {"name": "o"}, "spec": {"replicas": replicas}});
    let decision = strict.evaluate(&create, Some(&object(7)), None, Some(&prod));
    assert_eq!(decision.denials[0].message, "doubled is 14");
    assert_eq!((decision.denials[0].code(), decision.audit_annotations.len()), (422, 2));
    assert_eq!(
        (decision.audit_annotations[0].key.as_str(), decision.audit_annotations[0].value.as_str()),
        ("p/seen", "replicas 7")
    );

    // A failed variable is an error only where it is read.
    let decision = strict.evaluate(&create, Some(&object(4)), None, Some(&prod));
    assert_eq!(
        decision.denials[0].message,
        "expression 'variables.replicas != 4 || variables.broken == 1' resulted in error: no such key: broken"
    );
    assert!(lenient.evaluate(&create, Some(&object(4)), None, Some(&prod)).is_allowed());
    assert!(strict.evaluate(&create, Some(&object(1)), None, Some(&prod)).is_allowed());

    let test = json!({"metadata": {"name": "team", "labels": {"env": "test"}}});
    assert!(strict.evaluate(&create, Some(&object(7)), None, Some(&test)).is_allowed(), "namespace selector");
    let mut skipped = object(7);
    skipped["metadata"]["labels"] = json!({"skip": "yes"});
    assert!(strict.evaluate(&create, Some(&skipped), None, Some(&prod)).is_allowed(), "object selector");
    let mut outside = object(7);
    outside["metadata"]["name"] = json!("outside");
    assert!(strict.evaluate(&create, Some(&outside), None, Some(&prod)).is_allowed(), "match condition");
    let delete = request("x", Operation::Delete);
    assert!(strict.evaluate(&delete, None, Some(&object(7)), Some(&prod)).is_allowed(), "excluded");
}

#[test]
fn broken_policies_are_named() {
    let broken = GENERAL.replace("variables.replicas * 2", "variables.replicas *");
    assert!(Policies::load(&broken).unwrap_err().to_string().contains("policy p, variable doubled"));
    let unbound = GENERAL.replace("policyName: p", "policyName: q");
    assert!(
        Policies::load(&unbound).unwrap_err().to_string().contains("the binding b refers to the policy q")
    );
}
