//! Creating, updating and deleting rows.

use serde_json::{Value, json};

use super::client::{HOST, ORGANIZATION, TestClient, activity, id};

#[tokio::test]
async fn create_only_upsert_refuses_an_existing_row() {
    let client = TestClient::new(&json!({})).await;
    let reply = client.link(id(1), "post-1", "incident").await;
    assert_eq!(reply.status, 204);
    let url = format!("https://{HOST}/api/data/v9.2/{}", activity(id(1)));
    assert_eq!(reply.header("odata-entityid"), url);
    let reply = client.link(id(1), "post-1", "incident").await;
    assert_eq!(reply.refusal(), (412, String::new()));
    assert_eq!(client.simulator.activities(ORGANIZATION).len(), 1);
    assert_eq!(client.simulator.records(ORGANIZATION, "incident").len(), 1);
}

#[tokio::test]
async fn upsert_reports_creation_in_the_representation() {
    let client = TestClient::new(&json!({})).await;
    let body = json!({"subject": "a"});
    let prefer = [("prefer", "return=representation")];
    let created = client.call("PATCH", &activity(id(1)), &prefer, Some(&body)).await;
    assert_eq!(created.status, 201);
    assert_eq!(created.header("odata-entityid"), "", "a representation replaces the header");
    let updated = client.call("PATCH", &activity(id(1)), &prefer, Some(&body)).await;
    assert_eq!(updated.status, 200);
    assert_eq!(client.call("PATCH", &activity(id(1)), &[], Some(&body)).await.status, 204);
    assert_eq!(client.call("PATCH", &activity(id(2)), &[], Some(&body)).await.status, 204);
}

#[tokio::test]
async fn if_match_updates_only_the_unchanged_row() {
    let client = TestClient::new(&json!({})).await;
    let body = json!({"subject": "a"});
    let any = [("if-match", "*")];
    let reply = client.call("PATCH", &activity(id(1)), &any, Some(&body)).await;
    assert_eq!(reply.refusal(), (404, "0x80040217".to_owned()));
    client.call("PATCH", &activity(id(1)), &[], Some(&body)).await;
    assert_eq!(client.call("PATCH", &activity(id(1)), &any, Some(&body)).await.status, 204);
    let etag = client.get(&activity(id(1))).await.header("etag").to_owned();
    let same = [("if-match", etag.as_str())];
    assert_eq!(client.call("PATCH", &activity(id(1)), &same, Some(&body)).await.status, 204);
    let reply = client.call("PATCH", &activity(id(1)), &same, Some(&body)).await;
    assert_eq!(reply.refusal(), (412, "0x80060882".to_owned()));
    let both = [("if-match", "*"), ("if-none-match", "*")];
    assert_eq!(client.call("PATCH", &activity(id(1)), &both, Some(&body)).await.status, 400);
    // `null`, which clients send to bypass caches, is ignored.
    let null = [("if-none-match", "null")];
    assert_eq!(client.call("PATCH", &activity(id(1)), &null, Some(&body)).await.status, 204);
}

#[tokio::test]
async fn post_refuses_an_existing_key() {
    let client = TestClient::new(&json!({})).await;
    let body = json!({"activityid": id(1), "subject": "a"});
    assert_eq!(client.call("POST", "socialactivities", &[], Some(&body)).await.status, 204);
    let reply = client.call("POST", "socialactivities", &[], Some(&body)).await;
    assert_eq!(reply.refusal(), (412, "0x80040237".to_owned()));
    let reply = client.call("POST", "socialactivities", &[], Some(&json!({"subject": "b"}))).await;
    assert_eq!(reply.status, 204);
    assert_eq!(client.simulator.activities(ORGANIZATION).len(), 2);
}

#[tokio::test]
async fn columns_types_and_limits_are_enforced() {
    let client = TestClient::new(&json!({})).await;
    let payload = "0x80048d19";
    for (body, code) in [
        (json!({"senttype": 1}), payload),
        (json!({"Subject": "case matters"}), payload),
        (json!({"subject": 1}), payload),
        (json!({"community": "2"}), payload),
        (json!({"community": 3}), "0x8004431A"),
        (json!({"postmessagetype": 2}), "0x8004431A"),
        (json!({"sentimentvalue": "good"}), payload),
        (json!({"directioncode": 0}), payload),
        (json!({"postedon": "2026-01-01"}), payload),
        (json!({"activityid": "not-a-guid"}), payload),
        (json!({"statecode": 1}), payload),
        (json!({"createdon": "2026-01-01T00:00:00Z"}), payload),
        (json!({"versionnumber": 1}), payload),
        (json!({"_regardingobjectid_value": id(9)}), payload),
        (json!({"regardingobjectid": id(9)}), payload),
        (json!({"regardingobjectid_Incident_socialactivity@odata.bind": "/incidents"}), payload),
        (json!({"activityadditionalparams": {"not": "a string"}}), payload),
        (json!({"statuscode": 1}), "0x80048408"),
        (json!({"subject": "a\u{1}b"}), "0x80040278"),
        (json!({"subject": "x".repeat(201)}), "0x80044331"),
        (json!({"description": "x".repeat(2001)}), "0x80044331"),
        (json!({"posturl": "x".repeat(201)}), "0x80044331"),
        (json!({"postid": "x".repeat(161)}), "0x80044331"),
        (json!({"activityadditionalparams": "x".repeat(8193)}), "0x80044331"),
        // The limit is in UTF-16 code units: 101 of these are 202.
        (json!({"subject": "\u{1f600}".repeat(101)}), "0x80044331"),
    ] {
        let reply = client.call("PATCH", &activity(id(1)), &[], Some(&body)).await;
        assert_eq!(reply.refusal(), (400, code.to_owned()), "{body:.80}");
    }
    assert!(client.simulator.activities(ORGANIZATION).is_empty(), "a refused request leaves nothing behind");
    let fits = json!({"subject": "\u{1f600}".repeat(100), "description": "x".repeat(2000)});
    assert_eq!(client.call("PATCH", &activity(id(1)), &[], Some(&fits)).await.status, 204);
}

#[tokio::test]
async fn body_must_be_json() {
    let client = TestClient::new(&json!({})).await;
    let send = |content_type: Option<&'static str>, body: &'static str| {
        let mut request = client.request("POST", "socialactivities", None);
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        client.send(HOST, request.body(body.into()).unwrap())
    };
    assert_eq!(send(None, "{}").await.unwrap().status, 400);
    assert_eq!(send(Some("text/plain"), "{}").await.unwrap().status, 400);
    assert_eq!(send(Some("application/json"), "{").await.unwrap().status, 400);
    assert_eq!(send(Some("application/json"), "[]").await.unwrap().status, 400);
    assert_eq!(send(Some("application/json"), "").await.unwrap().status, 400);
    assert_eq!(send(Some("application/json; charset=utf-8"), "{}").await.unwrap().status, 204);
}

#[tokio::test]
async fn create_only_columns_cannot_be_updated() {
    let client = TestClient::new(&json!({})).await;
    let body = json!({"sentimentvalue": -1.0, "socialadditionalparams": "x"});
    assert_eq!(client.call("PATCH", &activity(id(1)), &[], Some(&body)).await.status, 204);
    for body in
        [json!({"sentimentvalue": 1.0}), json!({"socialadditionalparams": "y"}), json!({"activityid": id(2)})]
    {
        let reply = client.call("PATCH", &activity(id(1)), &[], Some(&body)).await;
        assert_eq!(reply.refusal(), (400, "0x80048d19".to_owned()), "{body}");
    }
    assert_eq!(client.simulator.activities(ORGANIZATION).len(), 1);
}

#[tokio::test]
async fn status_must_belong_to_the_state() {
    let client = TestClient::new(&json!({})).await;
    client.call("PATCH", &activity(id(1)), &[], Some(&json!({}))).await;
    for (body, status) in [
        (json!({"statecode": 1, "statuscode": 3}), 204),
        (json!({"statecode": 2}), 204),
        (json!({"statecode": 0, "statuscode": 1}), 400),
    ] {
        let reply = client.call("PATCH", &activity(id(1)), &[], Some(&body)).await;
        assert_eq!(reply.status, status, "{body}");
    }
    let row = client.get(&format!("{}?$select=statecode,statuscode", activity(id(1)))).await.json();
    assert_eq!((&row["statecode"], &row["statuscode"]), (&json!(2), &json!(5)));
}

#[tokio::test]
async fn empty_string_is_stored_as_null() {
    let client = TestClient::new(&json!({})).await;
    client.call("PATCH", &activity(id(1)), &[], Some(&json!({"subject": ""}))).await;
    let row = client.get(&format!("{}?$select=subject", activity(id(1)))).await.json();
    assert_eq!(row["subject"], Value::Null);
}

#[tokio::test]
async fn bind_needs_an_existing_row() {
    let client =
        TestClient::new(&json!({"records": [{"table": "incident", "id": id(7), "name": "Known"}]})).await;
    let bind = |navigation: &str, url: String| json!({format!("{navigation}@odata.bind"): url});
    let incident = "regardingobjectid_incident_socialactivity";
    for (body, expected) in [
        (bind(incident, format!("/incidents({})", id(8))), (404, "0x80040217")),
        (bind(incident, format!("/leads({})", id(7))), (400, "0x80048d19")),
        (bind(incident, "/incidents(7)".to_owned()), (400, "0x80048d19")),
        (
            bind("regardingobjectid_lead_socialactivity", format!("/incidents({})", id(7))),
            (400, "0x80048d19"),
        ),
        (bind("regardingobjectid_other_socialactivity", format!("/others({})", id(7))), (400, "0x80048d19")),
        (bind("regardingobjectid", format!("/incidents({})", id(7))), (400, "0x80048d19")),
    ] {
        let reply = client.call("PATCH", &activity(id(1)), &[], Some(&body)).await;
        assert_eq!(reply.refusal(), (expected.0, expected.1.to_owned()), "{body}");
    }
    for (number, url) in [
        format!("/incidents({})", id(7)),
        format!("incidents({})", id(7)),
        format!("https://{HOST}/api/data/v9.2/incidents({})", id(7)),
    ]
    .into_iter()
    .enumerate()
    {
        let path = activity(id(number as u128 + 10));
        assert_eq!(client.call("PATCH", &path, &[], Some(&bind(incident, url))).await.status, 204);
    }
    let activities = client.simulator.activities(ORGANIZATION);
    assert_eq!(activities.len(), 3);
    assert!(activities.iter().all(|view| view.regarding.as_ref().is_some_and(|record| record.id == id(7))));
    assert_eq!(
        client.simulator.records(ORGANIZATION, "incident"),
        [id(7)],
        "a bound activity makes no record"
    );
}

#[tokio::test]
async fn null_and_ref_clear_a_lookup() {
    let client = TestClient::new(&json!({})).await;
    client.link(id(1), "one", "incident").await;
    client.link(id(2), "two", "lead").await;
    // Null for a table that it does not regard clears nothing.
    let null = |table: &str| json!({format!("regardingobjectid_{table}_socialactivity@odata.bind"): null});
    client.call("PATCH", &activity(id(1)), &[], Some(&null("lead"))).await;
    assert!(client.simulator.activities(ORGANIZATION)[0].regarding.is_some());
    client.call("PATCH", &activity(id(1)), &[], Some(&null("incident"))).await;
    assert!(client.simulator.activities(ORGANIZATION)[0].regarding.is_none());
    let path = format!("{}/regardingobjectid_lead_socialactivity/$ref", activity(id(2)));
    assert_eq!(client.call("DELETE", &path, &[], None).await.status, 204);
    assert!(client.simulator.activities(ORGANIZATION)[1].regarding.is_none());
}

#[tokio::test]
async fn social_data_can_be_refused() {
    let client = TestClient::new(&json!({})).await;
    client.link(id(1), "old", "incident").await;
    client.apply(&json!({"acceptsSocialData": false}));
    assert_eq!(client.link(id(2), "new", "incident").await.refusal(), (400, "0x80060621".to_owned()));
    let update = client.call("PATCH", &activity(id(1)), &[], Some(&json!({"subject": "x"}))).await;
    assert_eq!(update.code(), "0x80060621");
    assert_eq!(client.link(id(1), "old", "incident").await.status, 412, "412 takes precedence");
    assert_eq!(client.get(&activity(id(1))).await.status, 200, "reading still works");
    let row = client.get(&format!("organizations({ORGANIZATION})?$select=disablesocialcare")).await.json();
    assert_eq!(row["disablesocialcare"], true);
}

#[tokio::test]
async fn deleting_a_record_cascades() {
    let client = TestClient::new(&json!({})).await;
    client.link(id(1), "one", "lead").await;
    let lead = client.simulator.records(ORGANIZATION, "lead")[0];
    assert_eq!(client.call("DELETE", &format!("leads({lead})"), &[], None).await.status, 204);
    assert_eq!(client.get(&activity(id(1))).await.refusal(), (404, "0x80040217".to_owned()));
    assert_eq!(client.call("DELETE", &format!("leads({lead})"), &[], None).await.status, 404);

    client.apply(&json!({"cascadeDelete": false}));
    client.link(id(2), "two", "lead").await;
    let lead = client.simulator.records(ORGANIZATION, "lead")[0];
    assert_eq!(client.call("DELETE", &format!("leads({lead})"), &[], None).await.status, 204);
    assert_eq!(client.get(&activity(id(2))).await.status, 200);
}

#[tokio::test]
async fn deletion_honors_if_match() {
    let client = TestClient::new(&json!({})).await;
    client.link(id(1), "one", "incident").await;
    let etag = client.get(&activity(id(1))).await.header("etag").to_owned();
    let delete = |name: &'static str, value: String| {
        let client = &client;
        async move { client.call("DELETE", &activity(id(1)), &[(name, &value)], None).await }
    };
    assert_eq!(delete("if-none-match", "*".to_owned()).await.status, 400);
    assert_eq!(delete("if-match", "W/\"1\"".to_owned()).await.refusal(), (412, "0x80060882".to_owned()));
    assert_eq!(delete("if-match", etag).await.status, 204);
    assert_eq!(delete("if-match", "*".to_owned()).await.status, 404);
}

#[tokio::test]
async fn organization_row_is_read_only() {
    let client = TestClient::new(&json!({})).await;
    let path = format!("organizations({ORGANIZATION})");
    assert_eq!(client.call("PATCH", &path, &[], Some(&json!({"name": "x"}))).await.status, 403);
}
