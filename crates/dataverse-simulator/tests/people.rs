//! Conversion, changes by people, and data that outlives documents.

use dataverse_simulator::World;
use serde_json::json;

use super::wire::{ORGANIZATION, Wire, activity, contoso, id};

fn regarding(world: &World) -> Vec<Option<String>> {
    world.activities(ORGANIZATION).into_iter().map(|view| view.regarding.map(|record| record.table)).collect()
}

#[tokio::test]
async fn an_activity_becomes_what_the_instances_rules_say() {
    let table = json!([{"logicalName": "new_idea", "entitySetName": "new_ideas", "primaryIdAttribute": "new_ideaid"}]);
    for (converts_to, wanted, made) in [
        ("Preferred", "lead", Some("lead")),
        ("Preferred", "incident", Some("incident")),
        ("Preferred", "new_idea", Some("new_idea")),
        ("Preferred", "new_unknown", None),
        ("Preferred", "contact", None),
        ("lead", "incident", Some("lead")),
        ("new_idea", "incident", Some("new_idea")),
        ("None", "incident", None),
    ] {
        let wire = Wire::to(&json!({"convertsTo": converts_to, "tables": table})).await;
        assert_eq!(wire.link(id(1), "one", wanted).await.status, 204, "linking succeeds in any case");
        assert_eq!(regarding(&wire.world), [made.map(str::to_owned)], "{converts_to} {wanted}");
    }
}

#[tokio::test]
async fn records_may_come_later_by_the_worlds_clock() {
    let wire = Wire::to(&json!({"convertsAfterSeconds": 90})).await;
    wire.link(id(1), "one", "incident").await;
    wire.advance(89);
    assert_eq!(regarding(&wire.world), [None]);
    wire.advance(1);
    assert_eq!(regarding(&wire.world), [Some("incident".to_owned())]);
}

#[tokio::test]
async fn the_same_history_gives_the_same_ids() {
    let run = || async {
        let wire = Wire::to(&json!({})).await;
        wire.link(id(1), "one", "incident").await;
        wire.get(&activity(id(1))).await.text()
    };
    assert_eq!(run().await, run().await);
}

#[tokio::test]
async fn r23_r24_r25_each_change_does_one_thing_and_never_cascades() {
    let wire = Wire::to(&json!({})).await;
    let change = |act: &str| wire.apply(&json!({"changes": [{"post": "one", "do": act}]}));
    wire.link(id(1), "one", "incident").await;
    let record = wire.world.records(ORGANIZATION, "incident")[0];

    assert_eq!(change("DeleteActivity"), []);
    assert!(wire.world.activities(ORGANIZATION).is_empty());
    assert_eq!(wire.world.records(ORGANIZATION, "incident"), [record]);

    assert_eq!(change("RestoreActivity"), []);
    let back = wire.world.activities(ORGANIZATION);
    assert_eq!((back[0].id, back[0].regarding.as_ref().map(|r| r.id)), (id(1), Some(record)));

    assert_eq!(change("DeleteRecord"), []);
    assert!(wire.world.records(ORGANIZATION, "incident").is_empty());
    let row = wire.get(&format!("{}?$select=_regardingobjectid_value", activity(id(1)))).await.json();
    assert_eq!(row["_regardingobjectid_value"], json!(record), "the activity still points at what is gone");
    assert_eq!(wire.get(&format!("incidents({record})")).await.status, 404);

    assert_eq!(change("DissociateRecord"), []);
    assert_eq!(regarding(&wire.world), [None]);
}

#[tokio::test]
async fn a_change_that_finds_nothing_to_change_warns() {
    let wire = Wire::to(&json!({"convertsTo": "None"})).await;
    wire.link(id(1), "one", "incident").await;
    let warnings = wire.apply(&json!({"changes": [
        {"post": "never-linked", "do": "DeleteActivity"},
        {"post": "one", "do": "DeleteRecord"},
        {"post": "one", "do": "RestoreActivity"},
        {"post": "one", "do": "DeleteActivity"},
    ]}));
    let messages: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(messages.len(), 3, "{messages:?}");
    assert!(messages[0].contains("SimulatedInstance contoso") && messages[0].contains("never-linked"));
    assert!(wire.world.activities(ORGANIZATION).is_empty());
}

#[tokio::test]
async fn reading_files_again_repeats_no_change_but_a_new_commit_does() {
    let wire = Wire::to(&json!({})).await;
    wire.link(id(1), "one", "incident").await;
    let document = |acts: &[&str]| {
        let changes: Vec<_> = acts.iter().map(|act| json!({"post": "one", "do": act})).collect();
        contoso(&json!({"changes": changes}))
    };
    let delete = document(&["DeleteActivity"]);
    assert_eq!(wire.world.reload(std::slice::from_ref(&delete)).unwrap(), []);
    wire.link(id(2), "one", "incident").await;
    assert_eq!(wire.world.reload(std::slice::from_ref(&delete)).unwrap(), []);
    assert_eq!(wire.world.activities(ORGANIZATION).len(), 1, "done already");
    wire.world.reload(&[document(&["DeleteActivity", "DissociateRecord"])]).unwrap();
    assert_eq!(regarding(&wire.world), [None], "only the new one is done");
    wire.world.apply(&[delete]).unwrap();
    assert!(wire.world.activities(ORGANIZATION).is_empty(), "a commit is carried out whole");
}

#[tokio::test]
async fn data_stays_with_the_organisation_whatever_happens_to_the_document() {
    let mut wire = Wire::to(&json!({})).await;
    wire.link(id(1), "one", "incident").await;
    wire.world.apply(&[]).unwrap();
    assert!(wire.try_call("GET", "WhoAmI", &[], None).await.is_err());
    wire.apply(&json!({}));
    wire.sign_in().await;
    assert_eq!(wire.get(&activity(id(1))).await.status, 200);
    // The URL is reused by another organisation: nothing of the first one shows.
    let other = json!({"id": id(77), "name": "Other", "uniqueName": "other"});
    wire.apply(&json!({"organization": other}));
    assert_eq!(wire.get("WhoAmI").await.json()["OrganizationId"], json!(id(77)));
    assert_eq!(wire.get(&activity(id(1))).await.status, 404);
    // The organisation under another host: its data is there.
    wire.apply(&json!({"host": "renamed.crm.dynamics.com"}));
    assert_eq!(wire.world.activities(ORGANIZATION).len(), 1);
}

#[tokio::test]
async fn a_record_of_the_document_that_was_deleted_does_not_come_back() {
    let records = json!({"records": [{"table": "lead", "id": id(7), "name": "Known"}]});
    let wire = Wire::to(&records).await;
    assert_eq!(wire.get(&format!("leads({})", id(7))).await.json()["subject"], "Known");
    wire.call("DELETE", &format!("leads({})", id(7)), &[], None).await;
    wire.apply(&records);
    assert_eq!(wire.get(&format!("leads({})", id(7))).await.status, 404);
}
