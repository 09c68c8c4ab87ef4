//! Reading many activities and records in batches, and the change feed.

use std::sync::Arc;

use dataverse_client::{
    ActivityPresence, CheckRequest, CheckResult, ErrorKind, RecordPresence, RecordRef, UnexpectedResponse,
};
use rstest::rstest;
use uuid::Uuid;

use super::server::{self, HOST, Recorded, Reply, Server, activity_row, id, missing_row};

fn lead(number: u128) -> RecordRef {
    RecordRef { entity_set: "leads".into(), id_attribute: "leadid".into(), id: id(number) }
}

fn request_for(activity: u128, record: Option<u128>) -> CheckRequest {
    CheckRequest { organization: expected_organization(), activity: id(activity), record: record.map(lead) }
}

fn expected_organization() -> Uuid {
    id(3)
}

fn who_am_i(organization: Uuid) -> (u16, serde_json::Value) {
    (200, serde_json::json!({"UserId": id(4), "BusinessUnitId": id(5), "OrganizationId": organization}))
}

/// A batch response whose first part names the expected organization.
fn batch(request: &Recorded, part: impl Fn(&str) -> (u16, serde_json::Value)) -> Reply {
    server::batch(
        request,
        |path| if path == "WhoAmI" { who_am_i(expected_organization()) } else { part(path) },
    )
}

/// Every activity, regarding nothing, and every lead exists.
fn all_there(path: &str) -> (u16, serde_json::Value) {
    let row_id = path.split(['(', ')']).nth(1).unwrap().parse().unwrap();
    if path.starts_with("leads") {
        (200, serde_json::json!({ "leadid": row_id }))
    } else {
        (200, activity_row(row_id, None))
    }
}

#[tokio::test]
async fn each_request_has_its_own_result() {
    let server = Server::new(|request| {
        (request.host == HOST).then(|| {
            assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/api/data/v9.2/$batch"));
            assert!(request.header("prefer").contains("odata.continue-on-error"));
            batch(request, |path| match path.split('?').next().unwrap() {
                p if p == format!("socialactivities({})", id(1)) => (200, activity_row(id(1), Some(id(101)))),
                p if p == format!("socialactivities({})", id(2)) => missing_row(),
                p if p == format!("socialactivities({})", id(3)) => (403, serde_json::json!({})),
                p if p == format!("leads({})", id(104)) => missing_row(),
                p if p == format!("leads({})", id(105)) => {
                    (404, serde_json::json!({"error": {"code": "", "message": "x"}}))
                }
                _ => all_there(path),
            })
        })
    });
    let requests = [
        request_for(1, Some(101)),
        request_for(2, Some(102)),
        request_for(3, None),
        request_for(4, Some(104)),
        request_for(5, Some(105)),
        request_for(6, None),
    ];
    let results = server.instance().check(&requests).await.unwrap();
    assert_eq!(results.len(), requests.len());
    let ActivityPresence::Found(row) = &results[0].activity else { panic!("{:?}", results[0]) };
    assert_eq!(row.regarding.as_ref().unwrap().id, id(101));
    assert_eq!(results[0].record, RecordPresence::Found);
    assert_eq!(results[1].activity, ActivityPresence::NotFound);
    assert_eq!(results[1].record, RecordPresence::Found);
    assert!(
        matches!(&results[2].activity, ActivityPresence::Unknown(e) if matches!(e.kind, ErrorKind::UnexpectedResponse { .. }))
    );
    assert_eq!(results[2].record, RecordPresence::NotRequested);
    assert_eq!(results[3].record, RecordPresence::NotFound);
    assert!(matches!(results[4].record, RecordPresence::Unknown(_)), "a 404 without the code is no evidence");
    assert!(matches!(&results[5].activity, ActivityPresence::Found(row) if row.regarding.is_none()));
}

#[tokio::test]
async fn check_batches_up_to_1000_rows() {
    let server = Server::new(|request| (request.host == HOST).then(|| batch(request, all_there)));
    let instance = server.instance();
    let requests: Vec<CheckRequest> = (0..1201).map(|i| request_for(i, Some(10_000 + i))).collect();
    instance.check(&requests[..499]).await.unwrap();
    assert_eq!(server.requests_to(HOST).len(), 1);
    let results = instance.check(&requests).await.unwrap();
    assert_eq!(server.requests_to(HOST).len(), 1 + 3);
    assert!(results.iter().all(|a| a.record == RecordPresence::Found));
    assert!(instance.check(&[]).await.unwrap().is_empty());
    assert_eq!(server.requests_to(HOST).len(), 4, "nothing is sent for an empty list");
}

fn server_with(reply: fn() -> Reply) -> Arc<Server> {
    Server::new(move |request| (request.host == HOST).then(reply))
}

#[rstest]
#[case(|| Reply::html(200))]
#[case(|| Reply::html(404))]
#[case(|| Reply::empty(404))]
#[case(|| Reply::error(404, "0x80040217"))]
#[case(|| Reply::json(200, "{}"))]
#[case(|| Reply::typed(200, "multipart/mixed; boundary=b", "--b--\r\n"))]
#[case(|| Reply::typed(200, "multipart/mixed", "--b--\r\n"))]
#[case(|| Reply::error(503, "0x8004A104"))]
#[case(|| Reply::typed(200, "multipart/mixed; boundary=b", "").broken("--b\r\n"))]
#[tokio::test]
async fn failed_batch_is_an_error(#[case] reply: fn() -> Reply) {
    let server = server_with(reply);
    let error = server.instance().check(&[request_for(1, Some(2)), request_for(3, None)]).await.unwrap_err();
    assert_ne!(error.kind, ErrorKind::RecordNotFound);
}

#[tokio::test]
async fn truncated_batch_is_an_error() {
    let whole = "--b\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 404 Not Found\r\n\
        Content-Type: application/json\r\n\r\n{\"error\":{\"code\":\"0x80040217\",\"message\":\"x\"}}\r\n";
    // `WhoAmI`, and one part for each activity.
    for (body, count) in [(whole.repeat(2), 1), (format!("{whole}--b--\r\n"), 1), (whole.repeat(3), 2)] {
        let server = Server::new(move |request| {
            (request.host == HOST).then(|| Reply::typed(200, "multipart/mixed; boundary=b", &body))
        });
        let requests: Vec<CheckRequest> = (0..count).map(|i| request_for(i, None)).collect();
        let error = server.instance().check(&requests).await.unwrap_err();
        assert_eq!(
            error.kind,
            ErrorKind::UnexpectedResponse { status: 200, reason: UnexpectedResponse::IncompleteBatch }
        );
    }
}

#[tokio::test]
async fn other_rows_are_unknown() {
    let server = Server::new(|request| {
        (request.host == HOST).then(|| {
            batch(request, |path| {
                if path.starts_with("leads") {
                    (200, serde_json::json!({"leadid": id(999)}))
                } else {
                    (200, activity_row(id(998), None))
                }
            })
        })
    });
    let results = server.instance().check(&[request_for(1, Some(2))]).await.unwrap();
    let other = |kind: &ErrorKind| {
        *kind == ErrorKind::UnexpectedResponse { status: 200, reason: UnexpectedResponse::OtherRow }
    };
    assert!(matches!(&results[0].activity, ActivityPresence::Unknown(e) if other(&e.kind)));
    assert!(matches!(&results[0].record, RecordPresence::Unknown(e) if other(&e.kind)));
}

/// As after a reset or copy of the environment.
#[tokio::test]
async fn results_of_another_organization_are_unknown() {
    for (who, kind) in [
        (who_am_i(id(99)), ErrorKind::OrganizationMismatch),
        (missing_row(), ErrorKind::RecordNotFound),
        (
            (200, serde_json::json!({"UserId": id(4)})),
            ErrorKind::UnexpectedResponse { status: 200, reason: UnexpectedResponse::Undecodable },
        ),
    ] {
        let server = Server::new(move |request| {
            let who = who.clone();
            (request.host == HOST).then(|| {
                server::batch(request, |path| if path == "WhoAmI" { who.clone() } else { missing_row() })
            })
        });
        let results =
            server.instance().check(&[request_for(1, Some(2)), request_for(3, None)]).await.unwrap();
        assert_eq!(results.len(), 2);
        for result in results {
            assert!(
                matches!(&result.activity, ActivityPresence::Unknown(e) if e.kind == kind),
                "{result:?}, wanted {kind:?}"
            );
            assert_ne!(result.record, RecordPresence::NotFound);
        }
    }
}

#[tokio::test]
async fn later_failure_keeps_earlier_results_and_stops() {
    let mut batches = 0;
    let server = Server::new(move |request| {
        (request.host == HOST).then(|| {
            batches += 1;
            if batches == 2 { Reply::empty(429).with("retry-after", "60") } else { batch(request, all_there) }
        })
    });
    let requests: Vec<CheckRequest> = (0..3000).map(|i| request_for(i, None)).collect();
    let results = server.instance().check(&requests).await.unwrap();
    assert_eq!(results.len(), 3000);
    let known = |a: &CheckResult| matches!(a.activity, ActivityPresence::Found(_));
    assert!(results[..999].iter().all(known));
    assert!(!results[999..].iter().any(known));
    assert!(matches!(&results[2999].activity,
        ActivityPresence::Unknown(e) if matches!(e.kind, ErrorKind::Throttled { .. })));
    assert_eq!(server.requests_to(HOST).len(), 2);
}

#[tokio::test]
async fn throttled_part_pauses_requests() {
    let server = Server::new(|request| {
        (request.host == HOST).then(|| {
            batch(request, |_| (429, serde_json::json!({"error": {"code": "0x80072322", "message": "x"}})))
        })
    });
    let instance = server.instance();
    instance.check(&[request_for(1, None)]).await.unwrap();
    let error = instance.check(&[request_for(1, None)]).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Throttled { .. }));
    assert_eq!(server.requests_to(HOST).len(), 1);
}

#[tokio::test]
async fn invalid_entity_set_is_unknown_and_not_sent() {
    let server = Server::new(|request| (request.host == HOST).then(|| batch(request, all_there)));
    let mut bad = request_for(1, Some(2));
    bad.record.as_mut().unwrap().entity_set = "leads HTTP/1.1\r\nX: y".into();
    let results = server.instance().check(&[bad, request_for(3, Some(4))]).await.unwrap();
    assert!(matches!(&results[0].record, RecordPresence::Unknown(e) if e.kind == ErrorKind::UnknownTable));
    assert_eq!(results[1].record, RecordPresence::Found);
    assert!(!server.requests_to(HOST)[0].body.contains("X: y"));
}

#[tokio::test]
async fn change_feed_continues_without_following_links() {
    let server = Server::new(|request| {
        (request.host == HOST).then(|| {
            let (value, link) = if request.path.contains("$deltatoken=919042%21") {
                (
                    serde_json::json!([{"@odata.context": "https://x/$metadata#socialactivities/$deletedEntity",
                        "id": id(2), "reason": "deleted"}]),
                    "https://evil.net/?$deltatoken=919043%21",
                )
            } else {
                assert!(request.header("prefer").contains("odata.track-changes"));
                (
                    serde_json::json!([activity_row(id(1), Some(id(9))), activity_row(id(2), None)]),
                    "https://evil.net/?%24select=x&%24deltatoken=919042%21",
                )
            };
            Reply::json(200, serde_json::json!({"value": value, "@odata.deltaLink": link}))
        })
    });
    let instance = server.instance();
    let first = instance.changes(None).await.unwrap();
    assert_eq!(first.changed.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [id(1), id(2)]);
    assert!(!first.more && first.deleted.is_empty());
    let second = instance.changes(Some(&first.token)).await.unwrap();
    assert_eq!((second.deleted, second.changed.len()), (vec![id(2)], 0));
    assert!(server.requests().iter().all(|s| s.host != "evil.net"));
}
