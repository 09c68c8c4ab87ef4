//! Creating, updating and deleting rows.

use serde_json::{Value, json};

use super::wire::{HOST, ORGANIZATION, Wire, activity, id};

#[tokio::test]
async fn create_only_upsert_makes_one_activity_and_says_412_the_second_time() {
    let wire = Wire::to(&json!({})).await;
    let reply = wire.link(id(1), "post-1", "incident").await;
    assert_eq!(reply.status, 204);
    let url = format!("https://{HOST}/api/data/v9.2/{}", activity(id(1)));
    assert_eq!(reply.header("odata-entityid"), url);
    let reply = wire.link(id(1), "post-1", "incident").await;
    assert_eq!(reply.refusal(), (412, String::new()));
    assert_eq!(wire.world.activities(ORGANIZATION).len(), 1);
    assert_eq!(wire.world.records(ORGANIZATION, "incident").len(), 1);
}

#[tokio::test]
async fn upserts_create_and_update_and_tell_them_apart_only_on_request() {
    let wire = Wire::to(&json!({})).await;
    let body = json!({"subject": "a"});
    let prefer = [("prefer", "return=representation")];
    let created = wire.call("PATCH", &activity(id(1)), &prefer, Some(&body)).await;
    assert_eq!(created.status, 201);
    assert_eq!(created.header("odata-entityid"), "", "a representation replaces the header");
    let updated = wire.call("PATCH", &activity(id(1)), &prefer, Some(&body)).await;
    assert_eq!(updated.status, 200);
    assert_eq!(wire.call("PATCH", &activity(id(1)), &[], Some(&body)).await.status, 204);
    assert_eq!(wire.call("PATCH", &activity(id(2)), &[], Some(&body)).await.status, 204);
}

#[tokio::test]
async fn if_match_updates_only_what_is_there_and_unchanged() {
    let wire = Wire::to(&json!({})).await;
    let body = json!({"subject": "a"});
    let any = [("if-match", "*")];
    let reply = wire.call("PATCH", &activity(id(1)), &any, Some(&body)).await;
    assert_eq!(reply.refusal(), (404, "0x80040217".to_owned()));
    wire.call("PATCH", &activity(id(1)), &[], Some(&body)).await;
    assert_eq!(wire.call("PATCH", &activity(id(1)), &any, Some(&body)).await.status, 204);
    let etag = wire.get(&activity(id(1))).await.header("etag").to_owned();
    let same = [("if-match", etag.as_str())];
    assert_eq!(wire.call("PATCH", &activity(id(1)), &same, Some(&body)).await.status, 204);
    let reply = wire.call("PATCH", &activity(id(1)), &same, Some(&body)).await;
    assert_eq!(reply.refusal(), (412, "0x80060882".to_owned()));
    let both = [("if-match", "*"), ("if-none-match", "*")];
    assert_eq!(wire.call("PATCH", &activity(id(1)), &both, Some(&body)).await.status, 400);
    // What documented clients send to get past caches means nothing here.
    let null = [("if-none-match", "null")];
    assert_eq!(wire.call("PATCH", &activity(id(1)), &null, Some(&body)).await.status, 204);
}

#[tokio::test]
async fn post_creates_and_refuses_a_key_that_exists() {
    let wire = Wire::to(&json!({})).await;
    let body = json!({"activityid": id(1), "subject": "a"});
    assert_eq!(wire.call("POST", "socialactivities", &[], Some(&body)).await.status, 204);
    let reply = wire.call("POST", "socialactivities", &[], Some(&body)).await;
    assert_eq!(reply.refusal(), (412, "0x80040237".to_owned()));
    let reply = wire.call("POST", "socialactivities", &[], Some(&json!({"subject": "b"}))).await;
    assert_eq!(reply.status, 204);
    assert_eq!(wire.world.activities(ORGANIZATION).len(), 2);
}

#[tokio::test]
async fn columns_limits_types_and_ranges_are_enforced() {
    let wire = Wire::to(&json!({})).await;
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
        // UTF-16 code units count: 101 of these are 202.
        (json!({"subject": "\u{1f600}".repeat(101)}), "0x80044331"),
    ] {
        let reply = wire.call("PATCH", &activity(id(1)), &[], Some(&body)).await;
        assert_eq!(reply.refusal(), (400, code.to_owned()), "{body:.80}");
    }
    assert!(wire.world.activities(ORGANIZATION).is_empty(), "a refused request leaves nothing behind");
    let fits = json!({"subject": "\u{1f600}".repeat(100), "description": "x".repeat(2000)});
    assert_eq!(wire.call("PATCH", &activity(id(1)), &[], Some(&fits)).await.status, 204);
}

#[tokio::test]
async fn a_body_must_say_that_it_is_json_and_be_it() {
    let wire = Wire::to(&json!({})).await;
    let send = |content_type: Option<&'static str>, body: &'static str| {
        let mut request = wire.request("POST", "socialactivities", None);
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        wire.send(HOST, request.body(body.into()).unwrap())
    };
    assert_eq!(send(None, "{}").await.unwrap().status, 400);
    assert_eq!(send(Some("text/plain"), "{}").await.unwrap().status, 400);
    assert_eq!(send(Some("application/json"), "{").await.unwrap().status, 400);
    assert_eq!(send(Some("application/json"), "[]").await.unwrap().status, 400);
    assert_eq!(send(Some("application/json"), "").await.unwrap().status, 400);
    assert_eq!(send(Some("application/json; charset=utf-8"), "{}").await.unwrap().status, 204);
}

#[tokio::test]
async fn what_can_be_set_only_once_cannot_be_updated() {
    let wire = Wire::to(&json!({})).await;
    let body = json!({"sentimentvalue": -1.0, "socialadditionalparams": "x"});
    assert_eq!(wire.call("PATCH", &activity(id(1)), &[], Some(&body)).await.status, 204);
    for body in
        [json!({"sentimentvalue": 1.0}), json!({"socialadditionalparams": "y"}), json!({"activityid": id(2)})]
    {
        let reply = wire.call("PATCH", &activity(id(1)), &[], Some(&body)).await;
        assert_eq!(reply.refusal(), (400, "0x80048d19".to_owned()), "{body}");
    }
    assert_eq!(wire.world.activities(ORGANIZATION).len(), 1);
}

#[tokio::test]
async fn state_and_status_belong_together() {
    let wire = Wire::to(&json!({})).await;
    wire.call("PATCH", &activity(id(1)), &[], Some(&json!({}))).await;
    for (body, status) in [
        (json!({"statecode": 1, "statuscode": 3}), 204),
        (json!({"statecode": 2}), 204),
        (json!({"statecode": 0, "statuscode": 1}), 400),
    ] {
        let reply = wire.call("PATCH", &activity(id(1)), &[], Some(&body)).await;
        assert_eq!(reply.status, status, "{body}");
    }
    let row = wire.get(&format!("{}?$select=statecode,statuscode", activity(id(1)))).await.json();
    assert_eq!((&row["statecode"], &row["statuscode"]), (&json!(2), &json!(5)));
}

#[tokio::test]
async fn an_empty_string_is_stored_as_null() {
    let wire = Wire::to(&json!({})).await;
    wire.call("PATCH", &activity(id(1)), &[], Some(&json!({"subject": ""}))).await;
    let row = wire.get(&format!("{}?$select=subject", activity(id(1)))).await.json();
    assert_eq!(row["subject"], Value::Null);
}

#[tokio::test]
async fn an_activity_can_be_bound_only_to_a_row_that_exists_in_the_right_table() {
    let wire = Wire::to(&json!({"records": [{"table": "incident", "id": id(7), "name": "Known"}]})).await;
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
        let reply = wire.call("PATCH", &activity(id(1)), &[], Some(&body)).await;
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
        assert_eq!(wire.call("PATCH", &path, &[], Some(&bind(incident, url))).await.status, 204);
    }
    let activities = wire.world.activities(ORGANIZATION);
    assert_eq!(activities.len(), 3);
    assert!(activities.iter().all(|view| view.regarding.as_ref().is_some_and(|record| record.id == id(7))));
    assert_eq!(wire.world.records(ORGANIZATION, "incident"), [id(7)], "a bound activity makes no record");
}

#[tokio::test]
async fn regarding_is_cleared_by_null_and_by_ref() {
    let wire = Wire::to(&json!({})).await;
    wire.link(id(1), "one", "incident").await;
    wire.link(id(2), "two", "lead").await;
    // Null for a table it does not regard clears nothing.
    let null = |table: &str| json!({format!("regardingobjectid_{table}_socialactivity@odata.bind"): null});
    wire.call("PATCH", &activity(id(1)), &[], Some(&null("lead"))).await;
    assert!(wire.world.activities(ORGANIZATION)[0].regarding.is_some());
    wire.call("PATCH", &activity(id(1)), &[], Some(&null("incident"))).await;
    assert!(wire.world.activities(ORGANIZATION)[0].regarding.is_none());
    let path = format!("{}/regardingobjectid_lead_socialactivity/$ref", activity(id(2)));
    assert_eq!(wire.call("DELETE", &path, &[], None).await.status, 204);
    assert!(wire.world.activities(ORGANIZATION)[1].regarding.is_none());
}

#[tokio::test]
async fn social_data_is_refused_when_the_switch_says_so() {
    let wire = Wire::to(&json!({})).await;
    wire.link(id(1), "old", "incident").await;
    wire.apply(&json!({"acceptsSocialData": false}));
    assert_eq!(wire.link(id(2), "new", "incident").await.refusal(), (400, "0x80060621".to_owned()));
    let update = wire.call("PATCH", &activity(id(1)), &[], Some(&json!({"subject": "x"}))).await;
    assert_eq!(update.code(), "0x80060621");
    assert_eq!(wire.link(id(1), "old", "incident").await.status, 412, "existing is told first");
    assert_eq!(wire.get(&activity(id(1))).await.status, 200, "reading goes on");
    let row = wire.get(&format!("organizations({ORGANIZATION})?$select=disablesocialcare")).await.json();
    assert_eq!(row["disablesocialcare"], true);
}

#[tokio::test]
async fn deleting_a_record_takes_its_activities_along_unless_customised() {
    let wire = Wire::to(&json!({})).await;
    wire.link(id(1), "one", "lead").await;
    let lead = wire.world.records(ORGANIZATION, "lead")[0];
    assert_eq!(wire.call("DELETE", &format!("leads({lead})"), &[], None).await.status, 204);
    assert_eq!(wire.get(&activity(id(1))).await.refusal(), (404, "0x80040217".to_owned()));
    assert_eq!(wire.call("DELETE", &format!("leads({lead})"), &[], None).await.status, 404);

    wire.apply(&json!({"cascadeDelete": false}));
    wire.link(id(2), "two", "lead").await;
    let lead = wire.world.records(ORGANIZATION, "lead")[0];
    assert_eq!(wire.call("DELETE", &format!("leads({lead})"), &[], None).await.status, 204);
    assert_eq!(wire.get(&activity(id(2))).await.status, 200);
}

#[tokio::test]
async fn the_organization_row_is_read_only() {
    let wire = Wire::to(&json!({})).await;
    let path = format!("organizations({ORGANIZATION})");
    assert_eq!(wire.call("PATCH", &path, &[], Some(&json!({"name": "x"}))).await.status, 403);
}
