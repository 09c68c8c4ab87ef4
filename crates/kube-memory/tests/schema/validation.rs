//! Defaulting, pruning and `OpenAPI` validation.

use kube_memory::FieldErrorKind;
use kube_memory::schema::{Schema, SchemaError, unknown_field};
use rstest::rstest;
use serde_json::{Value, json};

use super::fixture::{crd, gadget, schema, texts};

#[test]
fn defaults_reach_nested_fields_and_status() {
    let mut object =
        gadget(json!({"color": "red", "parts": [{"name": "a"}, {"name": "b", "size": 3}], "level": null}));
    schema().default(&mut object);
    let expected = json!({
        "color": "red", "enabled": true, "note": "none",
        "parts": [{"name": "a", "size": 1}, {"name": "b", "size": 3}]
    });
    assert_eq!(object["spec"], expected);
    assert_eq!(object["status"], json!({"observedGeneration": -1}));
}

#[test]
fn null_survives_only_where_nullable() {
    let mut object = gadget(json!({"color": "red", "note": null, "enabled": null}));
    schema().default(&mut object);
    assert_eq!(object["spec"], json!({"color": "red", "note": null, "enabled": true}));
}

#[test]
fn unknown_fields_are_pruned_and_named() {
    let mut object = gadget(json!({
        "color": "red", "hue": "red", "ref": {"name": "a", "uid": 1},
        "parts": [{"name": "a", "weight": 1}], "labels": {"any": "thing"}, "free": {"any": {"thing": 1}}
    }));
    object["extra"] = json!(1);
    object["metadata"]["clusterName"] = json!("x");
    let pruned = schema().prune(&mut object);
    assert_eq!(pruned, ["extra", "metadata.clusterName", "spec.hue", "spec.parts[0].weight", "spec.ref.uid"]);
    assert_eq!(unknown_field(&pruned[2]), "unknown field \"spec.hue\"");
    assert_eq!(object["spec"]["free"], json!({"any": {"thing": 1}}));
    assert_eq!(object["spec"]["labels"], json!({"any": "thing"}));
    assert_eq!(object["spec"]["ref"], json!({"name": "a"}));
    assert!(schema().prune(&mut object).is_empty());
}

#[rstest]
#[case::required(json!({}), &["spec.color: Required value", BLOCKED])]
#[case::not_supported(json!({"color": "blue"}), &[
    r#"spec.color: Unsupported value: "blue": supported values: "red", "green""#, BLOCKED])]
#[case::wrong_type(json!({"color": "red", "enabled": "yes"}), &[
    r#"spec.enabled: Invalid value: "string": spec.enabled in body must be of type boolean: "string""#, BLOCKED])]
#[case::null(json!({"color": "red", "url": null}), &[
    r#"spec.url: Invalid value: "null": spec.url in body must be of type string: "null""#, BLOCKED])]
#[case::fraction(json!({"color": "red", "level": 1.5}), &[
    r#"spec.level: Invalid value: "float64": spec.level in body must be of type int32: "float64""#,
    r#"<nil>: Invalid value: "": Checked value must be of type integer with format int32 in spec.level"#, BLOCKED])]
#[case::whole_float(json!({"color": "red", "ratio": 1.0}), &[
    "spec.ratio: Invalid value: 1: spec.ratio in body should be less than 1"])]
#[case::pattern(json!({"color": "red", "url": "http://a"}), &[
    r#"spec.url: Invalid value: "http://a": spec.url in body should match '^https://[^/]+$'"#])]
#[case::too_long(json!({"color": "red", "url": format!("https://{}", "a".repeat(40))}), &[
    "spec.url: Too long: may not be more than 40 bytes", BLOCKED])]
#[case::too_short(json!({"color": "red", "tags": [""]}), &[
    r#"spec.tags[0]: Invalid value: "": spec.tags[0] in body should be at least 1 chars long"#])]
#[case::minimum(json!({"color": "red", "level": -1}), &[
    "spec.level: Invalid value: -1: spec.level in body should be greater than or equal to 0"])]
#[case::maximum(json!({"color": "red", "level": 101}), &[
    "spec.level: Invalid value: 101: spec.level in body should be less than or equal to 100"])]
#[case::exclusive(json!({"color": "red", "ratio": 1}), &[
    "spec.ratio: Invalid value: 1: spec.ratio in body should be less than 1"])]
#[case::too_many(json!({"color": "red", "tags": ["a", "b", "c", "d"]}), &[
    "spec.tags: Too many: 4: must have at most 3 items", BLOCKED])]
#[case::set(json!({"color": "red", "tags": ["a", "b", "a"]}), &[r#"spec.tags[2]: Duplicate value: "a""#])]
#[case::map(json!({"color": "red", "parts": [{"name": "a"}, {"name": "a"}]}), &[
    r#"spec.parts[1]: Duplicate value: {"name":"a"}"#])]
#[case::format_uri(json!({"color": "red", "site": "no uri"}), &[
    r#"spec.site: Invalid value: "no uri": spec.site in body must be of type uri: "no uri""#, BLOCKED])]
#[case::format_time(json!({"color": "red", "since": "soon"}), &[
    r#"spec.since: Invalid value: "soon": spec.since in body must be of type date-time: "soon""#, BLOCKED])]
#[case::int_or_string(json!({"color": "red", "port": true}), &[
    r#"spec.port: Invalid value: "boolean": spec.port in body must be of type integer,string: "boolean""#,
    r#"<nil>: Invalid value: "": "spec.port" must validate at least one schema (anyOf)"#,
    r#"spec.port: Invalid value: "boolean": spec.port in body must be of type integer: "boolean""#, BLOCKED])]
#[case::one_of_none(json!({"color": "red", "credentials": {}}), &[
    r#"<nil>: Invalid value: "": "spec.credentials" must validate one and only one schema (oneOf). KeyedObject none valid"#,
    "spec.credentials.secret: Required value", BLOCKED])]
#[case::one_of_both(json!({"color": "red", "credentials": {"secret": {"name": "a"}, "identity": {}}}), &[
    r#"<nil>: Invalid value: "": "spec.credentials" must validate one and only one schema (oneOf). KeyedObject 2 valid alternatives"#])]
#[case::nested_in_list(json!({"color": "red", "parts": [{"size": "big"}]}), &[
    r#"spec.parts[0].size: Invalid value: "string": spec.parts[0].size in body must be of type integer: "string""#,
    "spec.parts[0].name: Required value", BLOCKED])]
#[case::map_value(json!({"color": "red", "labels": {"a.b": 1}}), &[
    r#"spec.labels.a.b: Invalid value: "integer": spec.labels.a.b in body must be of type string: "integer""#, BLOCKED])]
#[case::int32(json!({"color": "red", "level": 3_000_000_000_i64}), &[
    r#"<nil>: Invalid value: "": Checked value must be of type integer with format int32 in spec.level"#,
    "spec.level: Invalid value: 3000000000: spec.level in body should be less than or equal to 100"])]
#[case::fine(json!({"color": "red", "url": "https://a", "level": 7.0, "ratio": 0.5, "port": "http",
    "since": "2026-01-01T00:00:00Z", "wait": "1m", "tags": ["a"], "labels": {"a": "b"},
    "credentials": {"identity": {"id": "x"}}, "free": {"a": [1]}}), &[])]
fn violations_match_the_server(#[case] spec: Value, #[case] expected: &[&str]) {
    assert_eq!(texts(&schema().validate(&gadget(spec), None)), expected);
}

const BLOCKED: &str = "<nil>: Invalid value: null: some validation rules were not checked because the object was \
    invalid; correct the existing errors to complete validation";

#[rstest]
#[case(json!({"name": "Upper_Case"}), "metadata.name", FieldErrorKind::Invalid)]
#[case(json!({}), "metadata.name", FieldErrorKind::Required)]
#[case(json!({"name": "a", "labels": {"bad key": "v"}}), "metadata.labels", FieldErrorKind::Invalid)]
#[case(json!({"name": "a", "labels": {"k": 1}}), "metadata.labels[k]", FieldErrorKind::TypeInvalid)]
#[case(json!({"name": "a", "namespace": "a.b"}), "metadata.namespace", FieldErrorKind::Invalid)]
#[case(json!({"name": "a", "finalizers": ["x/y/z"]}), "metadata.finalizers", FieldErrorKind::Invalid)]
fn metadata_is_validated(#[case] metadata: Value, #[case] path: &str, #[case] kind: FieldErrorKind) {
    let mut object = gadget(json!({"color": "red"}));
    object["metadata"] = metadata;
    let errors = schema().validate(&object, None);
    assert_eq!((errors[0].field.as_str(), errors[0].kind), (path, kind), "{errors:?}");
}

#[test]
fn invalid_name_gets_the_servers_message() {
    let mut object = gadget(json!({"color": "red"}));
    object["metadata"]["name"] = json!("Bad");
    assert_eq!(
        texts(&schema().validate(&object, None)),
        ["metadata.name: Invalid value: \"Bad\": a lowercase RFC 1123 subdomain must consist of lower case \
          alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. \
          'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"]
    );
}

#[test]
fn kind_and_version_must_match_the_schema() {
    let object = json!({"apiVersion": "test.dev/v2", "kind": "Widget"});
    assert_eq!(
        texts(&schema().validate(&object, None)),
        [
            "kind: Invalid value: \"Widget\": must be Gadget",
            "apiVersion: Invalid value: \"test.dev/v2\": must be test.dev/v1"
        ]
    );
}

#[test]
fn ratcheting_keeps_old_violations_but_no_new_ones() {
    let old = gadget(json!({"color": "red", "level": 500, "parts": [{"name": "a", "size": "x"}]}));
    let mut new = old.clone();
    new["spec"]["enabled"] = json!(false);
    new["spec"]["parts"] = json!([{"name": "b"}, {"name": "a", "size": "x"}]);
    assert_eq!(texts(&schema().validate(&new, Some(&old))), Vec::<String>::new());
    new["spec"]["level"] = json!(501);
    assert_eq!(
        texts(&schema().validate(&new, Some(&old))),
        ["spec.level: Invalid value: 501: spec.level in body should be less than or equal to 100"]
    );
}

#[test]
fn terminating_object_keeps_identity_and_finalizers() {
    let mut old = gadget(json!({"color": "red"}));
    old["metadata"]["uid"] = json!("1");
    old["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let mut new = old.clone();
    new["metadata"]["uid"] = json!("2");
    new["metadata"]["finalizers"] = json!(["a.dev/b"]);
    assert_eq!(
        texts(&schema().validate(&new, Some(&old))),
        [
            "metadata.uid: Invalid value: \"2\": field is immutable",
            "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, \
             found new finalizers []string{\"a.dev/b\"}"
        ]
    );
}

#[test]
fn missing_version_is_named() {
    let error = Schema::from_json(&crd(), "v2").unwrap_err();
    assert!(matches!(error, SchemaError::NoVersion { .. }));
    assert_eq!(error.to_string(), "the CRD gadgets.test.dev has no version v2; it has v1");
}

#[test]
fn patterns_follow_go_syntax() {
    let mut crd = crd();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["url"]["pattern"] =
        json!(r"^\d+[\w.]$");
    let schema = Schema::from_json(&crd, "v1").unwrap();
    let valid = |url: &str| schema.validate(&gadget(json!({"color": "red", "url": url})), None).is_empty();
    assert!(valid("12_") && valid("1."));
    assert!(!valid("١٢a"), "Arabic digits are no \\d in Go");
    assert!(!valid("1ä"), "ä is no \\w in Go");
}
