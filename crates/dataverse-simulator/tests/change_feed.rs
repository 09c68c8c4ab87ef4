//! Change tracking.

use serde_json::{Value, json};

use super::client::{HOST, ORGANIZATION, Reply, TestClient, activity, id};

const TRACK: (&str, &str) = ("prefer", "odata.track-changes");

/// The path of a link below the service root.
fn follow(reply: &Reply, link: &str) -> Option<String> {
    let body = reply.json();
    let root = format!("https://{HOST}/api/data/v9.2/");
    Some(body[link].as_str()?.strip_prefix(&root).unwrap().to_owned())
}

fn values(reply: &Reply) -> Vec<Value> {
    reply.json()["value"].as_array().unwrap_or_else(|| panic!("{}", reply.text())).clone()
}

async fn start(client: &TestClient, set: &str) -> (usize, String) {
    let reply = client.call("GET", set, &[TRACK], None).await;
    assert_eq!(reply.header("preference-applied"), "odata.track-changes");
    (values(&reply).len(), follow(&reply, "@odata.deltaLink").unwrap())
}

#[tokio::test]
async fn delta_lists_changes_and_deletions() {
    let client = TestClient::new(&json!({})).await;
    for number in 1..=3 {
        client.link(id(number), &format!("post-{number}"), "incident").await;
    }
    let (count, delta) = start(&client, "socialactivities?$select=postid").await;
    assert_eq!(count, 3);
    let reply = client.get(&delta).await;
    assert_eq!(values(&reply), [] as [Value; 0], "no changes");
    client.apply(&json!({"changes": [
        {"post": "post-1", "do": "DeleteActivity"},
        {"post": "post-2", "do": "DissociateRecord"},
    ]}));
    client.link(id(4), "post-4", "incident").await;
    let reply = client.get(&delta).await;
    let changes = values(&reply);
    assert_eq!(changes.len(), 3, "{changes:?}");
    assert_eq!((&changes[0]["postid"], &changes[1]["postid"]), (&json!("post-2"), &json!("post-4")));
    assert_eq!(changes[2]["id"], json!(id(1)));
    assert_eq!(changes[2]["reason"], "deleted");
    assert!(changes[2]["@odata.context"].as_str().unwrap().ends_with("#socialactivities/$deletedEntity"));
    let next = follow(&reply, "@odata.deltaLink").unwrap();
    assert_eq!(values(&client.get(&next).await).len(), 0);
}

#[tokio::test]
async fn deleted_record_is_in_its_tables_feed_only() {
    let client = TestClient::new(&json!({})).await;
    client.link(id(1), "one", "incident").await;
    let record = client.simulator.records(ORGANIZATION, "incident")[0];
    let (_, activities) = start(&client, "socialactivities?$select=postid").await;
    let (_, incidents) = start(&client, "incidents?$select=title").await;
    client.apply(&json!({"changes": [{"post": "one", "do": "DeleteRecord"}]}));
    assert_eq!(values(&client.get(&activities).await).len(), 0);
    assert_eq!(values(&client.get(&incidents).await)[0]["id"], json!(record));
}

#[tokio::test]
async fn restored_row_is_a_change_in_the_feed() {
    let client = TestClient::new(&json!({})).await;
    client.link(id(1), "one", "incident").await;
    let (_, delta) = start(&client, "socialactivities?$select=postid").await;
    client.apply(&json!({"changes": [
        {"post": "one", "do": "DeleteActivity"},
        {"post": "one", "do": "RestoreActivity"},
    ]}));
    client.link(id(2), "two", "incident").await;
    client.apply(&json!({"changes": [{"post": "two", "do": "DeleteActivity"}]}));
    let changes = values(&client.get(&delta).await);
    assert_eq!(changes.len(), 2, "{changes:?}");
    assert_eq!(changes[0]["activityid"], json!(id(1)));
    assert_eq!(changes[1]["id"], json!(id(2)));
}

#[tokio::test]
async fn feed_pages_miss_no_concurrent_write() {
    let client = TestClient::new(&json!({"convertsTo": "None"})).await;
    for number in 1..=5 {
        client.link(id(number), &format!("post-{number}"), "incident").await;
    }
    let prefer = [("prefer", "odata.track-changes, odata.maxpagesize=2")];
    let mut path = "socialactivities?$select=postid".to_owned();
    let (mut seen, mut pages) = (Vec::new(), 0);
    let delta = loop {
        let reply = client.call("GET", &path, &prefer, None).await;
        seen.extend(values(&reply));
        pages += 1;
        if pages == 1 {
            client.link(id(0), "in between", "incident").await;
        }
        match follow(&reply, "@odata.nextLink") {
            Some(next) => path = next,
            None => break follow(&reply, "@odata.deltaLink").unwrap(),
        }
    };
    assert_eq!((seen.len(), pages), (5, 3));
    assert_eq!(values(&client.get(&delta).await)[0]["postid"], "in between");

    for number in 1..=5 {
        client.call("DELETE", &activity(id(number)), &[], None).await;
    }
    let mut path = delta;
    let mut seen = Vec::new();
    loop {
        let reply = client.call("GET", &path, &prefer, None).await;
        seen.extend(values(&reply));
        match follow(&reply, "@odata.nextLink") {
            Some(next) => path = next,
            None => break,
        }
    }
    assert_eq!(seen.len(), 6, "one written, five deleted");
}

#[tokio::test]
async fn change_tracking_refuses_other_query_options() {
    let client = TestClient::new(&json!({})).await;
    for option in ["$filter=postid%20eq%20'x'", "$top=1", "$orderby=postid", "$expand=postfromprofileid"] {
        let reply = client.call("GET", &format!("socialactivities?{option}"), &[TRACK], None).await;
        assert_eq!(reply.status, 400, "{option}");
        assert!(reply.text().contains("Change Tracking"));
    }
    assert_eq!(client.get("socialactivities?$deltatoken=nonsense").await.status, 400);
}

#[tokio::test]
async fn delta_token_expires_after_seven_days() {
    let mut client = TestClient::new(&json!({})).await;
    let (_, delta) = start(&client, "socialactivities?$select=postid").await;
    client.advance(7 * 24 * 3600);
    client.sign_in().await;
    assert_eq!(client.get(&delta).await.status, 200);
    client.advance(1);
    assert_eq!(client.get(&delta).await.refusal(), (400, "0x80044352".to_owned()));
}

#[tokio::test]
async fn disabled_change_tracking_is_an_error() {
    let client = TestClient::new(&json!({"changeTracking": false})).await;
    let reply = client.call("GET", "socialactivities", &[TRACK], None).await;
    assert_eq!(reply.refusal(), (400, "0x80072491".to_owned()));
}
