//! CEL rules at every level of a schema.

use kube_memory::schema::Schema;
use serde_json::{Value, json};

use super::fixture::{crd, gadget, schema, texts};

fn create(spec: Value) -> Vec<String> {
    texts(&schema().validate(&gadget(spec), None))
}

fn update(old: Value, new: Value) -> Vec<String> {
    texts(&schema().validate(&gadget(new), Some(&gadget(old))))
}

#[test]
fn rule_reports_its_field_path() {
    assert_eq!(
        create(json!({"color": "red", "attach": {}, "detach": true})),
        ["spec.detach: Invalid value: attach and detach exclude each other"]
    );
    assert!(create(json!({"color": "red", "attach": {}, "detach": false})).is_empty());
}

#[test]
fn root_rule_compares_spec_and_status() {
    let mut object = gadget(json!({"color": "red"}));
    object["status"] = json!({"state": "Disabled", "mounts": [{"name": "a"}]});
    assert_eq!(
        texts(&schema().validate(&object, None)),
        ["<nil>: Invalid value: a disabled gadget has no mounts"]
    );
    object["status"]["mounts"] = json!([]);
    assert!(schema().validate(&object, None).is_empty());
}

#[test]
fn root_rule_and_message_see_the_name() {
    let mut object = gadget(json!({"color": "red"}));
    object["metadata"]["name"] = json!("forbidden");
    assert_eq!(
        texts(&schema().validate(&object, None)),
        ["<nil>: Invalid value: the name forbidden is taken"]
    );
}

#[test]
fn transition_rules_run_on_updates_only() {
    let (a, b) = (json!({"color": "red", "url": "https://a"}), json!({"color": "red", "url": "https://b"}));
    assert!(create(b.clone()).is_empty());
    assert_eq!(update(a.clone(), b), [r#"spec.url: Invalid value: "https://b": url is immutable"#]);
    assert!(update(a.clone(), a.clone()).is_empty());
    // A transition rule needs an old value.
    assert!(update(json!({"color": "red"}), a).is_empty());
}

#[test]
fn optional_old_self_runs_on_create() {
    assert!(create(json!({"color": "red"})).is_empty());
    assert_eq!(
        update(json!({"color": "red"}), json!({"color": "green"})),
        ["<nil>: Invalid value: color is fixed"]
    );
}

#[test]
fn list_map_elements_correlate_by_key() {
    let old = json!({"color": "red", "parts": [{"name": "a", "size": 5}, {"name": "b", "size": 1}]});
    let swapped = json!({"color": "red", "parts": [{"name": "b", "size": 1}, {"name": "a", "size": 5}]});
    assert!(update(old.clone(), swapped).is_empty());
    let shrunk = json!({"color": "red", "parts": [{"name": "b", "size": 1}, {"name": "a", "size": 4}]});
    assert_eq!(update(old, shrunk), ["spec.parts[1].size: Forbidden: size must not shrink below 5"]);
}

#[test]
fn rules_see_map_values_and_formats() {
    assert_eq!(
        create(json!({"color": "red", "labels": {"k.x": "bad"}, "wait": "5s"})),
        [
            r#"spec.labels[k.x]: Invalid value: "bad": failed rule: self != 'bad'"#,
            r#"spec.wait: Invalid value: "5s": at least 10s"#
        ]
    );
}

#[test]
fn ratcheting_allows_unchanged_values_to_break_rules() {
    let old = json!({"color": "red", "labels": {"k": "bad"}});
    assert!(update(old.clone(), json!({"color": "red", "labels": {"k": "bad"}, "level": 1})).is_empty());
    assert_eq!(update(old, json!({"color": "red", "labels": {"k": "bad", "l": "bad"}})).len(), 1);
}

fn with_rule(rule: Value) -> Schema {
    let mut crd = crd();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["x-kubernetes-validations"] =
        Value::Array(vec![rule]);
    Schema::from_json(&crd, "v1").expect("the rule compiles")
}

#[test]
fn rule_error_is_a_violation() {
    let schema = with_rule(json!({"rule": "self.attach.type == 'x'"}));
    assert_eq!(
        texts(&schema.validate(&gadget(json!({"color": "red", "attach": {}})), None)),
        ["spec: Invalid value: \"object\": no such key: type evaluating rule: self.attach.type == 'x'"]
    );
}

#[test]
fn unusable_message_expression_falls_back_to_message() {
    let schema = with_rule(json!({"rule": "false", "messageExpression": "'  '", "message": " plain "}));
    assert_eq!(
        texts(&schema.validate(&gadget(json!({"color": "red"})), None)),
        ["spec: Invalid value: plain"]
    );
}

#[test]
fn rules_cannot_read_undeclared_fields_or_metadata() {
    let schema = with_rule(json!({"rule": "!has(self.secretly)"}));
    assert!(schema.validate(&gadget(json!({"color": "red", "secretly": 1})), None).is_empty());
}

#[test]
fn schemas_are_shared_between_threads() {
    let schema = schema();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let errors = schema.validate(&gadget(json!({"color": "red", "wait": "1s"})), None);
                assert_eq!(errors.len(), 1);
            });
        }
    });
}
