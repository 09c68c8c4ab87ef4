//! Documents: what is read, and what is told about mistakes.

use dataverse_simulator::{Act, ApplyError, ConvertsTo, InstanceState, SimulatedInstanceDocument, World};
use serde_json::{Value, json};

use super::wire::{contoso, id};

#[test]
fn the_documented_example_is_read_as_written() {
    let text = "
apiVersion: test.example/v1
kind: SimulatedInstance
metadata: {name: contoso}
spec:
  host: contoso.crm.dynamics.com
  organization: {id: 5f0c9a3e-6d2b-4c57-9f0e-0d9d5a1b7c11, name: Contoso Ltd, uniqueName: contoso, languageCode: 1033, version: 9.2.24101.00197}
  state: Enabled
  acceptsSocialData: true
  convertsTo: Preferred
  clientSecret: correct-horse
  throttle: {requestsPerFiveMinutes: 6000, concurrent: 52}
  changes:
  - {post: rumour-17, do: DissociateRecord}
";
    let document: SimulatedInstanceDocument = serde_saphyr::from_str(text).unwrap();
    assert_eq!(document.validate(), Ok(()));
    assert_eq!(document.spec.state, InstanceState::Enabled);
    assert_eq!(document.spec.converts_to, ConvertsTo::Preferred);
    assert_eq!(document.spec.changes[0].act, Act::DissociateRecord);
    let again: SimulatedInstanceDocument =
        serde_json::from_str(&serde_json::to_string(&document).unwrap()).unwrap();
    assert_eq!(again, document);
}

#[test]
fn little_is_required_and_nothing_unknown_is_let_through() {
    let minimal = json!({
        "apiVersion": "test.example/v1",
        "kind": "SimulatedInstance",
        "metadata": {"name": "a"},
        "spec": {"host": "a.crm.dynamics.com", "organization": {"id": id(1), "name": "A", "uniqueName": "a"}},
    });
    let document: SimulatedInstanceDocument = serde_json::from_value(minimal.clone()).unwrap();
    assert_eq!(document.validate(), Ok(()));
    assert!(document.spec.accepts_social_data && document.spec.throttle.is_none());
    for pointer in ["", "/metadata", "/spec", "/spec/organization"] {
        let mut wrong = minimal.clone();
        wrong.pointer_mut(pointer).unwrap().as_object_mut().unwrap().insert("typo".to_owned(), json!(1));
        let error = serde_json::from_value::<SimulatedInstanceDocument>(wrong).unwrap_err().to_string();
        assert!(error.contains("typo"), "{pointer}: {error}");
    }
}

fn fields(changes: &Value) -> Vec<String> {
    contoso(changes).validate().err().into_iter().flatten().map(|fault| fault.field).collect()
}

#[test]
fn each_mistake_is_named_by_its_field() {
    let organization = |name: &str, value: Value| {
        let mut organization = json!({"id": id(1), "name": "A", "uniqueName": "a"});
        organization[name] = value;
        json!({"organization": organization})
    };
    let table = |logical: &str, set: &str| json!({"tables": [{"logicalName": logical, "entitySetName": set, "primaryIdAttribute": "new_aid"}]});
    for (changes, field) in [
        (json!({"host": "https://contoso.crm.dynamics.com"}), "spec.host"),
        (json!({"host": "Contoso.crm.dynamics.com"}), "spec.host"),
        (json!({"host": "contoso.crm.dynamics.com:443"}), "spec.host"),
        (json!({"host": "127.0.0.1"}), "spec.host"),
        (json!({"host": "login.microsoftonline.com"}), "spec.host"),
        (organization("id", json!("00000000-0000-0000-0000-000000000000")), "spec.organization.id"),
        (organization("name", json!("")), "spec.organization.name"),
        (organization("uniqueName", json!("")), "spec.organization.uniqueName"),
        (organization("languageCode", json!(0)), "spec.organization.languageCode"),
        (organization("version", json!("9.2")), "spec.organization.version"),
        (table("incident", "new_as"), "spec.tables[0].logicalName"),
        (table("new_a", "incidents"), "spec.tables[0].entitySetName"),
        (table("New A", "new_as"), "spec.tables[0].logicalName"),
        (json!({"convertsTo": "new_a"}), "spec.convertsTo"),
        (json!({"convertsTo": "lead", "absentTables": ["lead"]}), "spec.convertsTo"),
        (json!({"absentTables": ["socialactivity"]}), "spec.absentTables[0]"),
        (json!({"throttle": {"requestsPerFiveMinutes": 0}}), "spec.throttle.requestsPerFiveMinutes"),
        (json!({"throttle": {"concurrent": 0}}), "spec.throttle.concurrent"),
        (json!({"clientSecret": ""}), "spec.clientSecret"),
        (json!({"clientCertificate": "not PEM"}), "spec.clientCertificate"),
        (json!({"records": [{"table": "new_a", "id": id(1)}]}), "spec.records[0].table"),
        (json!({"changes": [{"post": "", "do": "DeleteRecord"}]}), "spec.changes[0].post"),
    ] {
        assert_eq!(fields(&changes), [field], "{changes}");
    }
}

#[test]
fn a_set_with_a_mistake_changes_nothing() {
    let world = World::new();
    world.apply(&[contoso(&json!({}))]).unwrap();
    let before = world.hosts();
    let wrong = contoso(&json!({"host": "x.crm.dynamics.com", "convertsTo": "new_a"}));
    let error = world.apply(&[wrong]).unwrap_err();
    assert!(error.to_string().starts_with("SimulatedInstance contoso: spec.convertsTo: "), "{error}");
    let twice = world.apply(&[contoso(&json!({})), contoso(&json!({}))]).unwrap_err();
    assert!(matches!(twice, ApplyError::SameHost { .. }));
    assert_eq!(world.hosts(), before);
}
