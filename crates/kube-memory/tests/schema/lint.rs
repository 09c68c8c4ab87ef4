//! Linting CRDs: what an API server would reject.

use kube_memory::schema::lint_json;
use rstest::rstest;
use serde_json::{Value, json};

use super::fixture::crd;

#[test]
fn valid_crd_has_no_violations() {
    assert_eq!(lint_json(&crd()), Vec::<String>::new());
}

const SPEC: &str = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";

/// Each case violates one rule of structural schemas.
#[rstest]
#[case("color", json!({"enum": ["a"]}), "a type is required")]
#[case("color", json!({"type": "string", "$ref": "#/x"}), "$ref is not supported")]
#[case("tags", json!({"type": "array"}), "items are required for an array")]
#[case("tags", json!({"type": "array", "items": [{"type": "string"}]}), "items must be one schema, not a list of them")]
#[case("tags", json!({"type": "array", "items": {"type": "string"}, "uniqueItems": true}),
    "uniqueItems cannot be true; use x-kubernetes-list-type set")]
#[case("labels", json!({"type": "object", "properties": {"a": {"type": "string"}},
    "additionalProperties": {"type": "string"}}), "additionalProperties and properties exclude each other")]
#[case("labels", json!({"type": "object", "additionalProperties": false}),
    "additionalProperties cannot be false; unknown fields are pruned")]
#[case("level", json!({"type": "integer", "format": "uint32"}), "the format uint32 is not recognized for integer")]
#[case("ratio", json!({"type": "number", "default": "x"}), "the default is invalid: default: Invalid value: \
    \"string\": default in body must be of type number: \"string\"")]
#[case("ref", json!({"type": "object", "properties": {"name": {"type": "string"}}, "default": {"uid": 1}}),
    "the default has an unknown field default.uid")]
#[case("parts", json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
    "items": {"type": "object", "properties": {"name": {"type": "string"}}}}),
    "the list-map key name must be required or have a default, and not be nullable")]
#[case("tags", json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "object"}}),
    "the items of a set must be scalars or atomic")]
#[case("credentials", json!({"type": "object", "oneOf": [{"required": ["a"], "type": "object"}]}),
    "type must not be set here; set it outside of the branch")]
#[case("credentials", json!({"type": "object", "anyOf": [{"properties": {"a": {"minLength": 1}}}]}),
    "the field is not declared outside of the branch")]
#[case("url", json!({"type": "string", "pattern": "("}), "the pattern '(' is not a valid regular expression")]
#[case("url", json!({"type": "string", "x-kubernetes-validations": [{"rule": "self.size() > 0"}]}),
    "self is read by CEL and needs a maximum size, or the cost estimate is unbounded")]
#[case("url", json!({"type": "string", "maxLength": 5, "x-kubernetes-validations": [{"rule": "self =="}]}),
    "the CEL expression `self ==` does not compile")]
#[case("tags", json!({"type": "array", "maxItems": 5, "items": {"type": "string", "maxLength": 5,
    "x-kubernetes-validations": [{"rule": "self == oldSelf"}]}}), "oldSelf cannot be used inside")]
#[case("url", json!({"type": "string", "maxLength": 5, "x-kubernetes-validations":
    [{"rule": "self != ''", "optionalOldSelf": true}]}), "optionalOldSelf may not be set if oldSelf is not used")]
#[case("ref", json!({"type": "object", "x-kubernetes-validations": [{"rule": "true", "fieldPath": ".nope"}],
    "properties": {"name": {"type": "string"}}}), "the fieldPath .nope does not name a declared field")]
#[case("url", json!({"type": "string", "x-kubernetes-validations": [{"rule": "true", "reason": "Because"}],
    "maxLength": 1}), "the reason Because is not supported")]
fn structural_violations_are_named(#[case] field: &str, #[case] schema: Value, #[case] expected: &str) {
    let mut crd = crd();
    crd.pointer_mut(SPEC).unwrap()[field] = schema;
    let found = lint_json(&crd);
    assert!(found.iter().any(|sentence| sentence.contains(expected)), "{found:#?}");
}

#[rstest]
#[case("/metadata/name", json!("gadget.test.dev"), "metadata.name must be gadgets.test.dev")]
#[case("/spec/group", json!("test"), "spec.group must be a domain with at least one dot")]
#[case("/spec/versions/0/storage", json!(false), "exactly one version as storage version, not 0")]
#[case("/spec/versions/0/selectableFields/0/jsonPath", json!(".spec.ref"), "the selectable field .spec.ref must be")]
#[case("/spec/versions/0/additionalPrinterColumns/0/type", json!("text"), "the unsupported type \"text\"")]
#[case("/spec/versions/0/schema/openAPIV3Schema/type", json!("array"), "the type must be object at the root")]
fn names_versions_and_columns_are_checked(
    #[case] pointer: &str,
    #[case] value: Value,
    #[case] expected: &str,
) {
    let mut crd = crd();
    *crd.pointer_mut(pointer).unwrap() = value;
    let found = lint_json(&crd);
    assert!(found.iter().any(|sentence| sentence.contains(expected)), "{found:#?}");
}
