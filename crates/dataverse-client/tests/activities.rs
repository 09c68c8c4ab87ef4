//! Creating and reading activities: at most once per id, and missing only by Dataverse's own error code.

use std::sync::Arc;

use dataverse_client::{
    Activity, AdditionalParams, Community, Creation, ErrorClass, ErrorCode, ErrorKind, MessageType,
    RecordPresence, RecordRef, Regarding, RegardingTarget, Sentiment, UnexpectedResponse, Unreachable,
};
use rstest::rstest;
use serde_json::Value;

use super::server::{CANARY, HOST, Reply, Server, activity_row, id};

fn post() -> Activity {
    Activity {
        subject: "Screen broken".into(),
        description: format!("It broke {CANARY}"),
        post_url: "https://social.example/p/1".into(),
        post_id: "rumor-17".into(),
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

fn regarding(record: u128) -> Activity {
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

fn server_with(reply: fn() -> Reply) -> Arc<Server> {
    Server::new(move |request| (request.host == HOST).then(reply))
}

#[tokio::test]
async fn creation_sends_the_post_and_never_updates() {
    let server = server_with(|| Reply::empty(204));
    assert_eq!(server.instance().create_activity(id(7), &regarding(9)).await, Ok(Creation::Created));
    let request = &server.requests_to(HOST)[0];
    assert_eq!(request.method, "PATCH");
    assert_eq!(request.path, format!("/api/data/v9.2/socialactivities({})", id(7)));
    assert_eq!(request.header("if-none-match"), "*");
    assert_eq!(request.header("content-type"), "application/json");
    let body: Value = serde_json::from_str(&request.body).unwrap();
    assert_eq!(body["subject"], "Screen broken");
    assert_eq!(body["posturl"], "https://social.example/p/1");
    assert_eq!(body["postid"], "rumor-17");
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
async fn status_412_means_already_exists() {
    for code in ["", "0x80060891"] {
        let server = Server::new(move |request| (request.host == HOST).then(|| Reply::error(412, code)));
        assert_eq!(server.instance().create_activity(id(1), &post()).await, Ok(Creation::AlreadyExists));
    }
}

#[tokio::test]
async fn status_412_without_error_body_is_unexpected() {
    for reply in [|| Reply::html(412), || Reply::empty(412)] {
        let error = server_with(reply).instance().create_activity(id(1), &post()).await.unwrap_err();
        assert!(matches!(error.kind, ErrorKind::UnexpectedResponse { status: 412, .. }), "{error}");
    }
}

#[rstest]
#[case(412, "0x80060892")]
#[case(500, "0x80040237")]
#[tokio::test]
async fn duplicate_key_exists_only_if_the_id_does(#[case] status: u16, #[case] code: &'static str) {
    for exists in [true, false] {
        let server = Server::new(move |request| match request.method.as_str() {
            "PATCH" => Some(Reply::error(status, code)),
            "GET" if exists => Some(Reply::json(200, activity_row(id(1), None))),
            "GET" => Some(Reply::error(404, "0x80040217")),
            _ => None,
        });
        let created = server.instance().create_activity(id(1), &post()).await;
        if exists {
            assert_eq!(created, Ok(Creation::AlreadyExists));
        } else {
            let code = ErrorCode::parse(code);
            assert_eq!(created.unwrap_err().kind, ErrorKind::Other { status, code });
        }
    }
}

#[tokio::test]
async fn retry_after_a_lost_response_finds_the_activity() {
    let mut stored = false;
    let server = Server::new(move |request| {
        (request.host == HOST).then(|| {
            if std::mem::replace(&mut stored, true) {
                Reply::error(412, "")
            } else {
                Reply::json(201, "").broken("{")
            }
        })
    });
    let instance = server.instance();
    let error = instance.create_activity(id(1), &post()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable(Unreachable::Reset));
    assert_eq!(instance.create_activity(id(1), &post()).await, Ok(Creation::AlreadyExists));
}

#[tokio::test]
async fn html_page_is_not_a_creation() {
    let error =
        server_with(|| Reply::html(200)).instance().create_activity(id(1), &post()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::UnexpectedResponse { status: 200, reason: UnexpectedResponse::Html });
}

#[rstest]
#[case(|| Reply::error(404, "0x80040217"), ErrorKind::RecordNotFound)]
#[case(|| Reply::html(404), ErrorKind::UnexpectedResponse { status: 404, reason: UnexpectedResponse::Html })]
#[case(|| Reply::error(404, "0x8006088a"), ErrorKind::UnknownTable)]
#[case(
    || Reply::json(400, serde_json::json!({"error": {"code": "0x80048d19", "message":
        "An undeclared property 'regardingobjectid_x_socialactivity' which only has property annotations"}})),
    ErrorKind::UnknownTable
)]
#[case(|| Reply::error(403, "0x80060621"), ErrorKind::SocialDataRefused)]
#[case(|| Reply::error(400, "0x80044331"), ErrorKind::Other { status: 400, code: Some(ErrorCode(0x8004_4331)) })]
#[tokio::test]
async fn creation_errors_are_distinguished(#[case] reply: fn() -> Reply, #[case] kind: ErrorKind) {
    let error = server_with(reply).instance().create_activity(id(1), &regarding(9)).await.unwrap_err();
    assert_eq!(error.kind, kind);
    if !matches!(kind, ErrorKind::UnexpectedResponse { .. }) {
        assert_eq!(error.class(), ErrorClass::RequestRefused);
    }
}

#[tokio::test]
async fn missing_record_needs_a_regarding_record() {
    let error = server_with(|| Reply::error(404, "0x80040217"))
        .instance()
        .create_activity(id(1), &post())
        .await
        .unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Other { status: 404, .. }), "{error}");
}

#[tokio::test]
async fn invalid_table_name_is_not_sent() {
    let server = server_with(|| Reply::empty(204));
    let mut activity = regarding(9);
    activity.regarding.as_mut().unwrap().entity_set = "incidents(1)/x".into();
    let error = server.instance().create_activity(id(1), &activity).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::UnknownTable);
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn read_returns_regarding_state_and_record() {
    let server = Server::new(|request| {
        if request.path.contains("socialactivities") {
            assert!(request.header("prefer").contains("lookuplogicalname"));
            return Some(Reply::json(200, activity_row(id(1), Some(id(9)))));
        }
        request
            .path
            .contains("incidents(")
            .then(|| Reply::json(200, serde_json::json!({"incidentid": id(9)})))
    });
    let record = RecordRef { entity_set: "incidents".into(), id_attribute: "incidentid".into(), id: id(9) };
    let reading = server.instance().read_activity(id(1), Some(&record)).await.unwrap();
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
async fn activity_is_missing_only_by_error_code(#[case] reply: fn() -> Reply, #[case] gone: bool) {
    match server_with(reply).instance().read_activity(id(1), None).await {
        Ok(reading) => {
            assert!(gone && reading.activity.is_none());
            assert_eq!(reading.record, RecordPresence::NotRequested);
        }
        Err(error) => assert!(!gone, "{error}"),
    }
}

#[test]
fn activity_debug_output_has_no_text() {
    assert!(!format!("{:?}", regarding(9)).contains(CANARY));
}
