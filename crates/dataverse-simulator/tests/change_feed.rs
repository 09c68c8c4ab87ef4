//! Change tracking.

use serde_json::{Value, json};

use super::wire::{HOST, ORGANIZATION, Reply, Wire, activity, id};

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

async fn start(wire: &Wire, set: &str) -> (usize, String) {
    let reply = wire.call("GET", set, &[TRACK], None).await;
    assert_eq!(reply.header("preference-applied"), "odata.track-changes");
    (values(&reply).len(), follow(&reply, "@odata.deltaLink").unwrap())
}

#[tokio::test]
async fn a_delta_holds_what_was_written_and_what_was_deleted_since() {
    let wire = Wire::to(&json!({})).await;
    for number in 1..=3 {
        wire.link(id(number), &format!("post-{number}"), "incident").await;
    }
    let (count, delta) = start(&wire, "socialactivities?$select=postid").await;
    assert_eq!(count, 3);
    let reply = wire.get(&delta).await;
    assert_eq!(values(&reply), [] as [Value; 0], "nothing happened");
    wire.apply(&json!({"changes": [
        {"post": "post-1", "do": "DeleteActivity"},
        {"post": "post-2", "do": "DissociateRecord"},
    ]}));
    wire.link(id(4), "post-4", "incident").await;
    let reply = wire.get(&delta).await;
    let changes = values(&reply);
    assert_eq!(changes.len(), 3, "{changes:?}");
    assert_eq!((&changes[0]["postid"], &changes[1]["postid"]), (&json!("post-2"), &json!("post-4")));
    assert_eq!(changes[2]["id"], json!(id(1)));
    assert_eq!(changes[2]["reason"], "deleted");
    assert!(changes[2]["@odata.context"].as_str().unwrap().ends_with("#socialactivities/$deletedEntity"));
    let next = follow(&reply, "@odata.deltaLink").unwrap();
    assert_eq!(values(&wire.get(&next).await).len(), 0);
}

#[tokio::test]
async fn r24_a_deleted_record_shows_in_its_own_tables_feed_only() {
    let wire = Wire::to(&json!({})).await;
    wire.link(id(1), "one", "incident").await;
    let record = wire.world.records(ORGANIZATION, "incident")[0];
    let (_, activities) = start(&wire, "socialactivities?$select=postid").await;
    let (_, incidents) = start(&wire, "incidents?$select=title").await;
    wire.apply(&json!({"changes": [{"post": "one", "do": "DeleteRecord"}]}));
    assert_eq!(values(&wire.get(&activities).await).len(), 0);
    assert_eq!(values(&wire.get(&incidents).await)[0]["id"], json!(record));
}

#[tokio::test]
async fn a_restored_row_is_a_change_and_a_row_born_and_gone_is_a_deletion() {
    let wire = Wire::to(&json!({})).await;
    wire.link(id(1), "one", "incident").await;
    let (_, delta) = start(&wire, "socialactivities?$select=postid").await;
    wire.apply(&json!({"changes": [
        {"post": "one", "do": "DeleteActivity"},
        {"post": "one", "do": "RestoreActivity"},
    ]}));
    wire.link(id(2), "two", "incident").await;
    wire.apply(&json!({"changes": [{"post": "two", "do": "DeleteActivity"}]}));
    let changes = values(&wire.get(&delta).await);
    assert_eq!(changes.len(), 2, "{changes:?}");
    assert_eq!(changes[0]["activityid"], json!(id(1)));
    assert_eq!(changes[1]["id"], json!(id(2)));
}

#[tokio::test]
async fn feeds_come_in_pages_and_miss_nothing_written_in_between() {
    let wire = Wire::to(&json!({"convertsTo": "None"})).await;
    for number in 1..=5 {
        wire.link(id(number), &format!("post-{number}"), "incident").await;
    }
    let prefer = [("prefer", "odata.track-changes, odata.maxpagesize=2")];
    let mut path = "socialactivities?$select=postid".to_owned();
    let (mut seen, mut pages) = (Vec::new(), 0);
    let delta = loop {
        let reply = wire.call("GET", &path, &prefer, None).await;
        seen.extend(values(&reply));
        pages += 1;
        if pages == 1 {
            wire.link(id(0), "in between", "incident").await;
        }
        match follow(&reply, "@odata.nextLink") {
            Some(next) => path = next,
            None => break follow(&reply, "@odata.deltaLink").unwrap(),
        }
    };
    assert_eq!((seen.len(), pages), (5, 3));
    assert_eq!(values(&wire.get(&delta).await)[0]["postid"], "in between");

    for number in 1..=5 {
        wire.call("DELETE", &activity(id(number)), &[], None).await;
    }
    let mut path = delta;
    let mut seen = Vec::new();
    loop {
        let reply = wire.call("GET", &path, &prefer, None).await;
        seen.extend(values(&reply));
        match follow(&reply, "@odata.nextLink") {
            Some(next) => path = next,
            None => break,
        }
    }
    assert_eq!(seen.len(), 6, "one written, five deleted");
}

#[tokio::test]
async fn options_that_change_tracking_does_not_know_are_refused() {
    let wire = Wire::to(&json!({})).await;
    for option in ["$filter=postid%20eq%20'x'", "$top=1", "$orderby=postid", "$expand=postfromprofileid"] {
        let reply = wire.call("GET", &format!("socialactivities?{option}"), &[TRACK], None).await;
        assert_eq!(reply.status, 400, "{option}");
        assert!(reply.text().contains("Change Tracking"));
    }
    assert_eq!(wire.get("socialactivities?$deltatoken=nonsense").await.status, 400);
}

#[tokio::test]
async fn a_token_older_than_seven_days_has_expired() {
    let mut wire = Wire::to(&json!({})).await;
    let (_, delta) = start(&wire, "socialactivities?$select=postid").await;
    wire.advance(7 * 24 * 3600);
    wire.sign_in().await;
    assert_eq!(wire.get(&delta).await.status, 200);
    wire.advance(1);
    assert_eq!(wire.get(&delta).await.refusal(), (400, "0x80044352".to_owned()));
}

#[tokio::test]
async fn a_table_without_change_tracking_says_so() {
    let wire = Wire::to(&json!({"changeTracking": false})).await;
    let reply = wire.call("GET", "socialactivities", &[TRACK], None).await;
    assert_eq!(reply.refusal(), (400, "0x80072491".to_owned()));
}
