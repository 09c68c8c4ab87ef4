//! Creating and reading activities: once per id, never twice; missing rows only on the instance's own word (R27).

use std::sync::Arc;

use dataverse_client::{
    Activity, AdditionalParams, Community, Creation, ErrorCode, Kind, Meaning, MessageType, RecordPresence,
    RecordRef, Regarding, RegardingTarget, Rubbish, Sentiment, Unreachable,
};
use rstest::rstest;
use serde_json::Value;

use super::server::{CANARY, HOST, Reply, World, activity_row, id};

fn post() -> Activity {
    Activity {
        subject: "Screen broken".into(),
        description: format!("It broke {CANARY}"),
        post_url: "https://social.example/p/1".into(),
        post_id: "rumour-17".into(),
        posted_on: Some("2026-01-01T10:00:00Z".parse().unwrap()),
        community: Community::Twitter,
        message_type: MessageType::Private,
        sentiment: Some(Sentiment::Negative),
        regarding: None,
        additional: AdditionalParams {
            user_preferred_target_entity: "incident".into(),
            social_handle: "@ann".into(),
            notes: "urgent".into(),
            ..AdditionalParams::default()
        },
    }
}

fn about(record: u128) -> Activity {
    Activity {
        regarding: Some(RegardingTarget {
            logical_name: "incident".into(),
            entity_set: "incidents".into(),
            id: id(record),
            navigation_property: None,
        }),
        ..post()
    }
}

fn answering(reply: fn() -> Reply) -> Arc<World> {
    World::new(move |seen| (seen.host == HOST).then(reply))
}

#[tokio::test]
async fn a_creation_never_updates_and_carries_the_post() {
    let world = answering(|| Reply::empty(204));
    assert_eq!(world.instance().create_activity(id(7), &about(9)).await, Ok(Creation::Created));
    let seen = &world.seen_by(HOST)[0];
    assert_eq!(seen.method, "PATCH");
    assert_eq!(seen.path, format!("/api/data/v9.2/socialactivities({})", id(7)));
    assert_eq!(seen.header("if-none-match"), "*");
    assert_eq!(seen.header("content-type"), "application/json");
    let body: Value = serde_json::from_str(&seen.body).unwrap();
    assert_eq!(body["subject"], "Screen broken");
    assert_eq!(body["posturl"], "https://social.example/p/1");
    assert_eq!(body["postid"], "rumour-17");
    assert_eq!(body["postedon"], "2026-01-01T10:00:00Z");
    assert_eq!(body["community"], 2);
    assert_eq!(body["postmessagetype"], 1);
    assert_eq!(body["sentimentvalue"], -1.0);
    assert_eq!(
        body["regardingobjectid_incident_socialactivity@odata.bind"],
        format!("/incidents({})", id(9))
    );
    assert!(body.get("activityid").is_none(), "the key is not repeated in the body");
    let params: Value = serde_json::from_str(body["activityadditionalparams"].as_str().unwrap()).unwrap();
    assert_eq!(params["userPreferredTargetEntity"], "incident");
    assert_eq!(params["socialHandle"], "@ann");
    assert_eq!(params["notes"], "urgent");
}

#[tokio::test]
async fn a_412_means_it_exists_and_is_adopted() {
    for code in ["", "0x80060891"] {
        let world = World::new(move |seen| (seen.host == HOST).then(|| Reply::error(412, code)));
        assert_eq!(world.instance().create_activity(id(1), &post()).await, Ok(Creation::AlreadyExists));
    }
}

#[tokio::test]
async fn a_412_of_a_stranger_is_not_adopted() {
    for reply in [|| Reply::html(412), || Reply::empty(412)] {
        let error = answering(reply).instance().create_activity(id(1), &post()).await.unwrap_err();
        assert!(matches!(error.kind, Kind::Rubbish { status: 412, .. }), "{error}");
    }
}

#[rstest]
#[case(412, "0x80060892")]
#[case(500, "0x80040237")]
#[tokio::test]
async fn a_taken_key_is_adopted_only_if_it_is_our_id(#[case] status: u16, #[case] code: &'static str) {
    for exists in [true, false] {
        let world = World::new(move |seen| match seen.method.as_str() {
            "PATCH" => Some(Reply::error(status, code)),
            "GET" if exists => Some(Reply::json(200, activity_row(id(1), None))),
            "GET" => Some(Reply::error(404, "0x80040217")),
            _ => None,
        });
        let created = world.instance().create_activity(id(1), &post()).await;
        if exists {
            assert_eq!(created, Ok(Creation::AlreadyExists));
        } else {
            let code = ErrorCode::parse(code);
            assert_eq!(created.unwrap_err().kind, Kind::Other { status, code });
        }
    }
}

#[tokio::test]
async fn an_answer_lost_on_the_way_is_an_error_and_the_next_call_adopts() {
    let mut stored = false;
    let world = World::new(move |seen| {
        (seen.host == HOST).then(|| {
            if std::mem::replace(&mut stored, true) {
                Reply::error(412, "")
            } else {
                Reply::json(201, "").broken("{")
            }
        })
    });
    let instance = world.instance();
    let error = instance.create_activity(id(1), &post()).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unreachable(Unreachable::Reset));
    assert_eq!(instance.create_activity(id(1), &post()).await, Ok(Creation::AlreadyExists));
}

#[tokio::test]
async fn a_web_page_is_no_creation() {
    let error = answering(|| Reply::html(200)).instance().create_activity(id(1), &post()).await.unwrap_err();
    assert_eq!(error.kind, Kind::Rubbish { status: 200, why: Rubbish::Html });
}

#[rstest]
#[case(|| Reply::error(404, "0x80040217"), Kind::RecordNotFound)]
#[case(|| Reply::html(404), Kind::Rubbish { status: 404, why: Rubbish::Html })]
#[case(|| Reply::error(404, "0x8006088a"), Kind::RecordTypeUnknown)]
#[case(
    || Reply::json(400, serde_json::json!({"error": {"code": "0x80048d19", "message":
        "An undeclared property 'regardingobjectid_x_socialactivity' which only has property annotations"}})),
    Kind::RecordTypeUnknown
)]
#[case(|| Reply::error(403, "0x80060621"), Kind::SocialDataRefused)]
#[case(|| Reply::error(400, "0x80044331"), Kind::Other { status: 400, code: Some(ErrorCode(0x8004_4331)) })]
#[tokio::test]
async fn refused_creations_are_told_apart(#[case] reply: fn() -> Reply, #[case] kind: Kind) {
    let error = answering(reply).instance().create_activity(id(1), &about(9)).await.unwrap_err();
    assert_eq!(error.kind, kind);
    if !matches!(kind, Kind::Rubbish { .. }) {
        assert_eq!(error.meaning(), Meaning::RequestRefused);
    }
}

#[tokio::test]
async fn without_a_regarding_record_none_can_be_missing() {
    let error = answering(|| Reply::error(404, "0x80040217"))
        .instance()
        .create_activity(id(1), &post())
        .await
        .unwrap_err();
    assert!(matches!(error.kind, Kind::Other { status: 404, .. }), "{error}");
}

#[tokio::test]
async fn t10_a_table_name_that_is_none_is_never_sent() {
    let world = answering(|| Reply::empty(204));
    let mut activity = about(9);
    activity.regarding.as_mut().unwrap().entity_set = "incidents(1)/x".into();
    let error = world.instance().create_activity(id(1), &activity).await.unwrap_err();
    assert_eq!(error.kind, Kind::RecordTypeUnknown);
    assert!(world.seen().is_empty());
}

#[tokio::test]
async fn reading_tells_regarding_state_and_record() {
    let world = World::new(|seen| {
        if seen.path.contains("socialactivities") {
            assert!(seen.header("prefer").contains("lookuplogicalname"));
            return Some(Reply::json(200, activity_row(id(1), Some(id(9)))));
        }
        seen.path.contains("incidents(").then(|| Reply::json(200, serde_json::json!({"incidentid": id(9)})))
    });
    let record = RecordRef { entity_set: "incidents".into(), id_attribute: "incidentid".into(), id: id(9) };
    let reading = world.instance().read_activity(id(1), Some(&record)).await.unwrap();
    let row = reading.activity.unwrap();
    assert_eq!(row.regarding, Some(Regarding { logical_name: "incident".into(), id: id(9) }));
    assert_eq!((row.state_code, row.status_code), (Some(0), Some(4)));
    assert_eq!(reading.record, RecordPresence::Found);
}

#[rstest]
#[case(|| Reply::error(404, "0x80040217"), true)]
#[case(|| Reply::error(404, "-2147220969"), true)]
#[case(|| Reply::error(404, ""), false)]
#[case(|| Reply::error(404, "0x8006088a"), false)]
#[case(|| Reply::html(404), false)]
#[case(|| Reply::empty(404), false)]
#[case(|| Reply::html(200), false)]
#[case(|| Reply::json(200, "{}"), false)]
#[case(|| Reply::json(200, activity_row(id(2), None)), false)]
#[case(|| Reply::json(200, serde_json::json!({"activityid": id(1)})), false)]
#[case(|| Reply::error(403, "0x8004A104"), false)]
#[tokio::test]
async fn r27_only_the_instances_own_word_makes_an_activity_missing(
    #[case] reply: fn() -> Reply,
    #[case] gone: bool,
) {
    match answering(reply).instance().read_activity(id(1), None).await {
        Ok(reading) => {
            assert!(gone && reading.activity.is_none());
            assert_eq!(reading.record, RecordPresence::NotAsked);
        }
        Err(error) => assert!(!gone, "{error}"),
    }
}

#[test]
fn t5_an_activity_prints_without_its_text() {
    assert!(!format!("{:?}", about(9)).contains(CANARY));
}
