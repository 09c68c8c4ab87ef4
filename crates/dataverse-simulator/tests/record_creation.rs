//! Automatic record creation: records, and the profiles of authors.

use serde_json::json;

use super::client::{TestClient, activity, id, regarding};

#[tokio::test]
async fn rules_create_the_configured_record() {
    let table = json!([{"logicalName": "new_idea", "entitySetName": "new_ideas", "primaryIdAttribute": "new_ideaid"}]);
    for (converts_to, preferred, created) in [
        ("Preferred", "lead", Some("lead")),
        ("Preferred", "incident", Some("incident")),
        ("Preferred", "new_idea", Some("new_idea")),
        ("Preferred", "new_unknown", None),
        ("Preferred", "contact", None),
        ("lead", "incident", Some("lead")),
        ("new_idea", "incident", Some("new_idea")),
        ("None", "incident", None),
    ] {
        let client = TestClient::new(&json!({"convertsTo": converts_to, "tables": table})).await;
        assert_eq!(
            client.link(id(1), "one", preferred).await.status,
            204,
            "the activity is created in any case"
        );
        assert_eq!(regarding(&client.simulator), [created.map(str::to_owned)], "{converts_to} {preferred}");
    }
}

#[tokio::test]
async fn record_is_created_after_the_delay() {
    let client = TestClient::new(&json!({"convertsAfterSeconds": 90})).await;
    client.link(id(1), "one", "incident").await;
    client.advance(89);
    assert_eq!(regarding(&client.simulator), [None]);
    client.advance(1);
    assert_eq!(regarding(&client.simulator), [Some("incident".to_owned())]);
}

#[tokio::test]
async fn author_gets_one_profile() {
    let client = TestClient::new(&json!({})).await;
    client.link(id(1), "one", "incident").await;
    client.link(id(2), "two", "incident").await;
    let profiles =
        client.get("socialprofiles?$select=profilename,influencescore,_customerid_value").await.json();
    let profiles = profiles["value"].as_array().unwrap().clone();
    assert_eq!(profiles.len(), 1);
    assert_eq!((&profiles[0]["profilename"], &profiles[0]["influencescore"]), (&json!("@ada"), &json!(41.0)));
    let row = client.get(&format!("{}?$select=_postfromprofileid_value", activity(id(1)))).await.json();
    assert_eq!(row["_postfromprofileid_value"], profiles[0]["socialprofileid"]);
    let path = format!("contacts({})", profiles[0]["_customerid_value"].as_str().unwrap());
    assert_eq!(client.get(&path).await.json()["fullname"], "Ada L");
}

#[tokio::test]
async fn same_requests_give_the_same_ids() {
    let run = || async {
        let client = TestClient::new(&json!({})).await;
        client.link(id(1), "one", "incident").await;
        client.get(&activity(id(1))).await.text()
    };
    assert_eq!(run().await, run().await);
}
