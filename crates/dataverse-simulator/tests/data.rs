//! Data outlives the specification of its instance.

use serde_json::json;

use super::client::{ORGANIZATION, TestClient, activity, id};

#[tokio::test]
async fn data_stays_with_its_organization() {
    let mut client = TestClient::new(&json!({})).await;
    client.link(id(1), "one", "incident").await;
    client.simulator.apply(&[]).unwrap();
    assert!(client.try_call("GET", "WhoAmI", &[], None).await.is_err());
    client.apply(&json!({}));
    client.sign_in().await;
    assert_eq!(client.get(&activity(id(1))).await.status, 200);
    // Another organization gets the host: it has data of its own.
    let other = json!({"id": id(77), "name": "Other", "uniqueName": "other"});
    client.apply(&json!({"organization": other}));
    assert_eq!(client.get("WhoAmI").await.json()["OrganizationId"], json!(id(77)));
    assert_eq!(client.get(&activity(id(1))).await.status, 404);
    // The first organization gets another host: it has its data.
    client.apply(&json!({"host": "renamed.crm.dynamics.com"}));
    assert_eq!(client.simulator.activities(ORGANIZATION).len(), 1);
}

#[tokio::test]
async fn deleted_record_is_not_added_again() {
    let records = json!({"records": [{"table": "lead", "id": id(7), "name": "Known"}]});
    let client = TestClient::new(&records).await;
    assert_eq!(client.get(&format!("leads({})", id(7))).await.json()["subject"], "Known");
    client.call("DELETE", &format!("leads({})", id(7)), &[], None).await;
    client.apply(&records);
    assert_eq!(client.get(&format!("leads({})", id(7))).await.status, 404);
}
