//! Specifications: which are valid, and how errors are reported.

use dataverse_simulator::{ApplyError, ConvertsTo, InstanceSpec, InstanceState, Simulator, UserActionKind};
use serde_json::{Value, json};

use super::client::{contoso, id};

#[test]
fn spec_is_read_from_yaml() {
    let text = "
  host: contoso.crm.dynamics.com
  organization: {id: 5f0c9a3e-6d2b-4c57-9f0e-0d9d5a1b7c11, name: Contoso Ltd, uniqueName: contoso, languageCode: 1033, version: 9.2.24101.00197}
  state: Enabled
  acceptsSocialData: true
  convertsTo: Preferred
  clientSecret: correct-horse
  throttle: {requestsPerFiveMinutes: 6000, concurrent: 52}
  changes:
  - {post: rumor-17, do: DissociateRecord}
";
    let spec: InstanceSpec = serde_saphyr::from_str(text).unwrap();
    assert_eq!(spec.validate(), Ok(()));
    assert_eq!(spec.state, InstanceState::Enabled);
    assert_eq!(spec.converts_to, ConvertsTo::Preferred);
    assert_eq!(spec.changes[0].kind, UserActionKind::DissociateRecord);
    let again: InstanceSpec = serde_json::from_str(&serde_json::to_string(&spec).unwrap()).unwrap();
    assert_eq!(again, spec);
}

#[test]
fn unknown_fields_are_errors() {
    let minimal = json!({
        "host": "a.crm.dynamics.com",
        "organization": {"id": id(1), "name": "A", "uniqueName": "a"},
    });
    let spec: InstanceSpec = serde_json::from_value(minimal.clone()).unwrap();
    assert_eq!(spec.validate(), Ok(()));
    assert!(spec.accepts_social_data && spec.throttle.is_none());
    for pointer in ["", "/organization"] {
        let mut wrong = minimal.clone();
        wrong.pointer_mut(pointer).unwrap().as_object_mut().unwrap().insert("typo".to_owned(), json!(1));
        let error = serde_json::from_value::<InstanceSpec>(wrong).unwrap_err().to_string();
        assert!(error.contains("typo"), "{pointer}: {error}");
    }
}

fn fields(changes: &Value) -> Vec<String> {
    contoso(changes).spec.validate().err().into_iter().flatten().map(|error| error.field).collect()
}

#[test]
fn each_error_names_its_field() {
    let organization = |name: &str, value: Value| {
        let mut organization = json!({"id": id(1), "name": "A", "uniqueName": "a"});
        organization[name] = value;
        json!({"organization": organization})
    };
    let table = |logical: &str, set: &str| json!({"tables": [{"logicalName": logical, "entitySetName": set, "primaryIdAttribute": "new_aid"}]});
    for (changes, field) in [
        (json!({"host": "https://contoso.crm.dynamics.com"}), "host"),
        (json!({"host": "Contoso.crm.dynamics.com"}), "host"),
        (json!({"host": "contoso.crm.dynamics.com:443"}), "host"),
        (json!({"host": "127.0.0.1"}), "host"),
        (json!({"host": "login.microsoftonline.com"}), "host"),
        (organization("id", json!("00000000-0000-0000-0000-000000000000")), "organization.id"),
        (organization("name", json!("")), "organization.name"),
        (organization("uniqueName", json!("")), "organization.uniqueName"),
        (organization("languageCode", json!(0)), "organization.languageCode"),
        (organization("version", json!("9.2")), "organization.version"),
        (table("incident", "new_as"), "tables[0].logicalName"),
        (table("new_a", "incidents"), "tables[0].entitySetName"),
        (table("New A", "new_as"), "tables[0].logicalName"),
        (json!({"convertsTo": "new_a"}), "convertsTo"),
        (json!({"convertsTo": "lead", "absentTables": ["lead"]}), "convertsTo"),
        (json!({"absentTables": ["socialactivity"]}), "absentTables[0]"),
        (json!({"throttle": {"requestsPerFiveMinutes": 0}}), "throttle.requestsPerFiveMinutes"),
        (json!({"throttle": {"concurrent": 0}}), "throttle.concurrent"),
        (json!({"clientSecret": ""}), "clientSecret"),
        (json!({"clientCertificate": "not PEM"}), "clientCertificate"),
        (json!({"records": [{"table": "new_a", "id": id(1)}]}), "records[0].table"),
        (
            json!({"records": [{"table": "lead", "id": id(1)}, {"table": "lead", "id": id(1)}]}),
            "records[1].id",
        ),
        (json!({"changes": [{"post": "", "do": "DeleteRecord"}]}), "changes[0].post"),
    ] {
        assert_eq!(fields(&changes), [field], "{changes}");
    }
}

#[test]
fn invalid_instances_change_nothing() {
    let simulator = Simulator::new();
    simulator.apply(&[contoso(&json!({}))]).unwrap();
    let before = simulator.hosts();
    let wrong = contoso(&json!({"host": "x.crm.dynamics.com", "convertsTo": "new_a"}));
    let error = simulator.apply(&[wrong]).unwrap_err();
    assert!(error.to_string().starts_with("SimulatedInstance contoso: convertsTo: "), "{error}");
    let twice = simulator.apply(&[contoso(&json!({})), contoso(&json!({}))]).unwrap_err();
    assert!(matches!(twice, ApplyError::SameHost { .. }));
    assert_eq!(simulator.hosts(), before);
}
