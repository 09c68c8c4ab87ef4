//! Printer columns, ages and selectable fields.

use jiff::Timestamp;
use kube_memory::schema::{Schema, age};
use rstest::rstest;
use serde_json::json;

use super::fixture::{crd, gadget, schema};

fn now() -> Timestamp {
    "2026-01-02T00:00:00Z".parse().expect("a time")
}

#[test]
fn row_shows_crd_columns() {
    let mut object = gadget(json!({"color": "red", "tags": ["x", "y"], "level": 7}));
    object["metadata"]["creationTimestamp"] = json!("2026-01-01T12:00:00Z");
    object["status"] = json!({"conditions": [
        {"type": "Other", "status": "False"}, {"type": "Ready", "status": "True"}]});
    let schema = schema();
    let names: Vec<_> = schema.columns().iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["Name", "Color", "Ready", "First", "Level", "Age"]);
    assert_eq!(schema.columns()[3].priority, 1);
    assert_eq!(schema.row(&object, now()), ["g", "red", "True", "x", "7", "12h"]);
    assert_eq!(schema.columns()[4].cell(&object, now()), json!(7));
    assert_eq!(schema.row(&gadget(json!({"color": "red"})), now()), ["g", "red", "", "", "", ""]);
}

#[test]
fn crd_without_columns_shows_age() {
    let mut crd = crd();
    crd["spec"]["versions"][0].as_object_mut().unwrap().remove("additionalPrinterColumns");
    let schema = Schema::from_json(&crd, "v1").unwrap();
    assert_eq!(schema.columns().iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["Name", "Age"]);
}

#[rstest]
#[case(-5, "<invalid>")]
#[case(-1, "0s")]
#[case(0, "0s")]
#[case(119, "119s")]
#[case(120, "2m")]
#[case(301, "5m1s")]
#[case(600, "10m")]
#[case(10_799, "179m")]
#[case(10_800, "3h")]
#[case(11_100, "3h5m")]
#[case(28_800, "8h")]
#[case(172_799, "47h")]
#[case(172_800, "2d")]
#[case(266_400, "3d2h")]
#[case(691_200, "8d")]
#[case(63_071_999, "729d")]
#[case(63_072_000, "2y")]
#[case(64_000_000, "2y10d")]
#[case(252_288_000, "8y")]
fn ages_match_kubectl(#[case] seconds: i64, #[case] expected: &str) {
    let then = Timestamp::from_second(now().as_second() - seconds).unwrap();
    assert_eq!(age(then, now()), expected);
}

#[test]
fn selectable_fields_are_listed_and_extracted() {
    let schema = schema();
    assert_eq!(schema.selectable_fields().collect::<Vec<_>>(), ["spec.ref.name", "spec.enabled"]);
    let object = gadget(json!({"ref": {"name": "a"}, "enabled": true}));
    assert_eq!(schema.selectable_value(&object, "spec.ref.name").as_deref(), Some("a"));
    assert_eq!(schema.selectable_value(&object, "spec.enabled").as_deref(), Some("true"));
    assert_eq!(schema.selectable_value(&object, "metadata.name").as_deref(), Some("g"));
    assert_eq!(schema.selectable_value(&gadget(json!({})), "spec.ref.name").as_deref(), Some(""));
    assert_eq!(schema.selectable_value(&object, "spec.color"), None);
}

#[test]
fn unsupported_json_paths_are_errors() {
    for path in ["spec.color", ".spec[", ".spec..a", ".a[?(@.b=~1)]"] {
        let mut crd = crd();
        crd["spec"]["versions"][0]["additionalPrinterColumns"][0]["jsonPath"] = json!(path);
        assert!(Schema::from_json(&crd, "v1").is_err(), "{path}");
    }
}
