//! User actions.

use dataverse_simulator::{UserAction, UserActionKind};
use serde_json::json;

use super::client::{ORGANIZATION, TestClient, activity, contoso, id, regarding};

#[tokio::test]
async fn user_actions_never_cascade() {
    let client = TestClient::new(&json!({})).await;
    let change = |kind: &str| client.apply(&json!({"changes": [{"post": "one", "do": kind}]}));
    client.link(id(1), "one", "incident").await;
    let record = client.simulator.records(ORGANIZATION, "incident")[0];

    assert_eq!(change("DeleteActivity"), []);
    assert!(client.simulator.activities(ORGANIZATION).is_empty());
    assert_eq!(client.simulator.records(ORGANIZATION, "incident"), [record]);

    assert_eq!(change("RestoreActivity"), []);
    let back = client.simulator.activities(ORGANIZATION);
    assert_eq!((back[0].id, back[0].regarding.as_ref().map(|r| r.id)), (id(1), Some(record)));

    assert_eq!(change("DeleteRecord"), []);
    assert!(client.simulator.records(ORGANIZATION, "incident").is_empty());
    let row = client.get(&format!("{}?$select=_regardingobjectid_value", activity(id(1)))).await.json();
    assert_eq!(
        row["_regardingobjectid_value"],
        json!(record),
        "the activity still references the deleted record"
    );
    assert_eq!(client.get(&format!("incidents({record})")).await.status, 404);

    assert_eq!(change("DissociateRecord"), []);
    assert_eq!(regarding(&client.simulator), [None]);
}

#[tokio::test]
async fn user_action_without_effect_warns() {
    let client = TestClient::new(&json!({"convertsTo": "None"})).await;
    client.link(id(1), "one", "incident").await;
    let warnings = client.apply(&json!({"changes": [
        {"post": "never-linked", "do": "DeleteActivity"},
        {"post": "one", "do": "DeleteRecord"},
        {"post": "one", "do": "RestoreActivity"},
        {"post": "one", "do": "DeleteActivity"},
    ]}));
    let messages: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(messages.len(), 3, "{messages:?}");
    assert!(messages[0].contains("SimulatedInstance contoso") && messages[0].contains("never-linked"));
    assert!(client.simulator.activities(ORGANIZATION).is_empty());
}

#[tokio::test]
async fn single_user_action_can_be_performed() {
    let client = TestClient::new(&json!({})).await;
    client.link(id(1), "one", "incident").await;
    let dissociate = UserAction { post: "one".to_owned(), kind: UserActionKind::DissociateRecord };
    assert_eq!(client.simulator.perform(ORGANIZATION, &dissociate), Ok(()));
    assert_eq!(regarding(&client.simulator), [None]);
    let error = client.simulator.perform(ORGANIZATION, &dissociate).unwrap_err();
    assert!(error.contains("regards no record"), "{error}");
}

#[tokio::test]
async fn reload_repeats_no_user_action() {
    let client = TestClient::new(&json!({})).await;
    client.link(id(1), "one", "incident").await;
    let instance = |kinds: &[&str]| {
        let changes: Vec<_> = kinds.iter().map(|kind| json!({"post": "one", "do": kind})).collect();
        contoso(&json!({"changes": changes}))
    };
    let delete = instance(&["DeleteActivity"]);
    assert_eq!(client.simulator.reload(std::slice::from_ref(&delete)).unwrap(), []);
    client.link(id(2), "one", "incident").await;
    assert_eq!(client.simulator.reload(std::slice::from_ref(&delete)).unwrap(), []);
    assert_eq!(client.simulator.activities(ORGANIZATION).len(), 1, "performed already");
    client.simulator.reload(&[instance(&["DeleteActivity", "DissociateRecord"])]).unwrap();
    assert_eq!(regarding(&client.simulator), [None], "only the new action is performed");
    client.simulator.apply(&[delete]).unwrap();
    assert!(client.simulator.activities(ORGANIZATION).is_empty(), "apply performs all actions");
}
