//! Checking many links at once (R23–R25), and what is never read as "gone" (R27).

use std::sync::Arc;

use dataverse_client::{
    ActivityPresence, CheckAnswer, CheckRequest, Kind, RecordPresence, RecordRef, Rubbish,
};
use rstest::rstest;
use uuid::Uuid;

use super::server::{self, HOST, Reply, Seen, World, activity_row, id, missing_row};

fn lead(number: u128) -> RecordRef {
    RecordRef { entity_set: "leads".into(), id_attribute: "leadid".into(), id: id(number) }
}

fn link(activity: u128, record: Option<u128>) -> CheckRequest {
    CheckRequest { organization: ours(), activity: id(activity), record: record.map(lead) }
}

fn ours() -> Uuid {
    id(3)
}

fn who(organization: Uuid) -> (u16, serde_json::Value) {
    (200, serde_json::json!({"UserId": id(4), "BusinessUnitId": id(5), "OrganizationId": organization}))
}

/// A batch of our own organisation: who answers comes first.
fn batch(seen: &Seen, part: impl Fn(&str) -> (u16, serde_json::Value)) -> Reply {
    server::batch(seen, |path| if path == "WhoAmI" { who(ours()) } else { part(path) })
}

/// Everything exists: activities regarding nothing, leads.
fn all_there(path: &str) -> (u16, serde_json::Value) {
    let row_id = path.split(['(', ')']).nth(1).unwrap().parse().unwrap();
    if path.starts_with("leads") {
        (200, serde_json::json!({ "leadid": row_id }))
    } else {
        (200, activity_row(row_id, None))
    }
}

#[tokio::test]
async fn mixed_results_are_told_link_by_link() {
    let world = World::new(|seen| {
        (seen.host == HOST).then(|| {
            assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/api/data/v9.2/$batch"));
            assert!(seen.header("prefer").contains("odata.continue-on-error"));
            batch(seen, |path| match path.split('?').next().unwrap() {
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
    let links = [
        link(1, Some(101)),
        link(2, Some(102)),
        link(3, None),
        link(4, Some(104)),
        link(5, Some(105)),
        link(6, None),
    ];
    let answers = world.instance().check(&links).await.unwrap();
    assert_eq!(answers.len(), links.len());
    let ActivityPresence::Found(row) = &answers[0].activity else { panic!("{:?}", answers[0]) };
    assert_eq!(row.regarding.as_ref().unwrap().id, id(101));
    assert_eq!(answers[0].record, RecordPresence::Found);
    assert_eq!(answers[1].activity, ActivityPresence::NotFound);
    assert_eq!(answers[1].record, RecordPresence::Found);
    assert!(
        matches!(&answers[2].activity, ActivityPresence::Unknown(e) if matches!(e.kind, Kind::Rubbish { .. }))
    );
    assert_eq!(answers[2].record, RecordPresence::NotAsked);
    assert_eq!(answers[3].record, RecordPresence::NotFound);
    assert!(matches!(answers[4].record, RecordPresence::Unknown(_)), "a 404 without the code is not 'gone'");
    assert!(matches!(&answers[5].activity, ActivityPresence::Found(row) if row.regarding.is_none()));
}

#[tokio::test]
async fn hundreds_of_links_are_one_request_and_more_are_few() {
    let world = World::new(|seen| (seen.host == HOST).then(|| batch(seen, all_there)));
    let instance = world.instance();
    let links: Vec<CheckRequest> = (0..1201).map(|i| link(i, Some(10_000 + i))).collect();
    instance.check(&links[..499]).await.unwrap();
    assert_eq!(world.seen_by(HOST).len(), 1);
    let answers = instance.check(&links).await.unwrap();
    assert_eq!(world.seen_by(HOST).len(), 1 + 3);
    assert!(answers.iter().all(|a| a.record == RecordPresence::Found));
    assert!(instance.check(&[]).await.unwrap().is_empty());
    assert_eq!(world.seen_by(HOST).len(), 4, "nothing to ask, nothing sent");
}

fn answering(reply: fn() -> Reply) -> Arc<World> {
    World::new(move |seen| (seen.host == HOST).then(reply))
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
async fn r27_a_batch_that_fails_says_nothing_about_any_link(#[case] reply: fn() -> Reply) {
    let world = answering(reply);
    let error = world.instance().check(&[link(1, Some(2)), link(3, None)]).await.unwrap_err();
    assert_ne!(error.kind, Kind::RecordNotFound);
}

#[tokio::test]
async fn r27_a_truncated_batch_says_nothing_about_any_link() {
    let whole = "--b\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 404 Not Found\r\n\
        Content-Type: application/json\r\n\r\n{\"error\":{\"code\":\"0x80040217\",\"message\":\"x\"}}\r\n";
    // Who answers, and one part for each link.
    for (body, count) in [(whole.repeat(2), 1), (format!("{whole}--b--\r\n"), 1), (whole.repeat(3), 2)] {
        let world = World::new(move |seen| {
            (seen.host == HOST).then(|| Reply::typed(200, "multipart/mixed; boundary=b", &body))
        });
        let links: Vec<CheckRequest> = (0..count).map(|i| link(i, None)).collect();
        let error = world.instance().check(&links).await.unwrap_err();
        assert_eq!(error.kind, Kind::Rubbish { status: 200, why: Rubbish::Batch });
    }
}

#[tokio::test]
async fn r27_answers_about_other_rows_are_not_taken() {
    let world = World::new(|seen| {
        (seen.host == HOST).then(|| {
            batch(seen, |path| {
                if path.starts_with("leads") {
                    (200, serde_json::json!({"leadid": id(999)}))
                } else {
                    (200, activity_row(id(998), None))
                }
            })
        })
    });
    let answers = world.instance().check(&[link(1, Some(2))]).await.unwrap();
    let other = |kind: &Kind| *kind == Kind::Rubbish { status: 200, why: Rubbish::OtherRow };
    assert!(matches!(&answers[0].activity, ActivityPresence::Unknown(e) if other(&e.kind)));
    assert!(matches!(&answers[0].record, RecordPresence::Unknown(e) if other(&e.kind)));
}

/// The URL was reset, or given to a copy, since the connection's last look.
#[tokio::test]
async fn r27_what_another_organization_says_is_no_answer() {
    for (who, kind) in [
        (who(id(99)), Kind::AnotherOrganization),
        (missing_row(), Kind::RecordNotFound),
        (
            (200, serde_json::json!({"UserId": id(4)})),
            Kind::Rubbish { status: 200, why: Rubbish::Unreadable },
        ),
    ] {
        let world = World::new(move |seen| {
            let who = who.clone();
            (seen.host == HOST).then(|| {
                server::batch(seen, |path| if path == "WhoAmI" { who.clone() } else { missing_row() })
            })
        });
        let answers = world.instance().check(&[link(1, Some(2)), link(3, None)]).await.unwrap();
        assert_eq!(answers.len(), 2);
        for answer in answers {
            assert!(
                matches!(&answer.activity, ActivityPresence::Unknown(e) if e.kind == kind),
                "{answer:?}, wanted {kind:?}"
            );
            assert_ne!(answer.record, RecordPresence::NotFound);
        }
    }
}

#[tokio::test]
async fn what_was_learnt_before_a_failure_is_kept_and_nobody_is_asked_on() {
    let mut batches = 0;
    let world = World::new(move |seen| {
        (seen.host == HOST).then(|| {
            batches += 1;
            if batches == 2 { Reply::empty(429).with("retry-after", "60") } else { batch(seen, all_there) }
        })
    });
    let links: Vec<CheckRequest> = (0..3000).map(|i| link(i, None)).collect();
    let answers = world.instance().check(&links).await.unwrap();
    assert_eq!(answers.len(), 3000);
    let known = |a: &CheckAnswer| matches!(a.activity, ActivityPresence::Found(_));
    assert!(answers[..999].iter().all(known));
    assert!(!answers[999..].iter().any(known));
    assert!(matches!(&answers[2999].activity,
        ActivityPresence::Unknown(e) if matches!(e.kind, Kind::Throttled { .. })));
    assert_eq!(world.seen_by(HOST).len(), 2);
}

#[tokio::test]
async fn t6_a_part_that_is_throttled_closes_the_gate() {
    let world = World::new(|seen| {
        (seen.host == HOST).then(|| {
            batch(seen, |_| (429, serde_json::json!({"error": {"code": "0x80072322", "message": "x"}})))
        })
    });
    let instance = world.instance();
    instance.check(&[link(1, None)]).await.unwrap();
    let error = instance.check(&[link(1, None)]).await.unwrap_err();
    assert!(matches!(error.kind, Kind::Throttled { .. }));
    assert_eq!(world.seen_by(HOST).len(), 1);
}

#[tokio::test]
async fn t10_a_set_name_that_is_none_is_unknown_and_not_sent() {
    let world = World::new(|seen| (seen.host == HOST).then(|| batch(seen, all_there)));
    let mut bad = link(1, Some(2));
    bad.record.as_mut().unwrap().entity_set = "leads HTTP/1.1\r\nX: y".into();
    let answers = world.instance().check(&[bad, link(3, Some(4))]).await.unwrap();
    assert!(matches!(&answers[0].record, RecordPresence::Unknown(e) if e.kind == Kind::RecordTypeUnknown));
    assert_eq!(answers[1].record, RecordPresence::Found);
    assert!(!world.seen_by(HOST)[0].body.contains("X: y"));
}

#[tokio::test]
async fn the_change_feed_goes_on_where_it_was_left_and_never_follows_a_link() {
    let world = World::new(|seen| {
        (seen.host == HOST).then(|| {
            let (value, link) = if seen.path.contains("$deltatoken=919042%21") {
                (
                    serde_json::json!([{"@odata.context": "https://x/$metadata#socialactivities/$deletedEntity",
                        "id": id(2), "reason": "deleted"}]),
                    "https://evil.net/?$deltatoken=919043%21",
                )
            } else {
                assert!(seen.header("prefer").contains("odata.track-changes"));
                (
                    serde_json::json!([activity_row(id(1), Some(id(9))), activity_row(id(2), None)]),
                    "https://evil.net/?%24select=x&%24deltatoken=919042%21",
                )
            };
            Reply::json(200, serde_json::json!({"value": value, "@odata.deltaLink": link}))
        })
    });
    let instance = world.instance();
    let first = instance.changes(None).await.unwrap();
    assert_eq!(first.changed.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [id(1), id(2)]);
    assert!(!first.more && first.deleted.is_empty());
    let second = instance.changes(Some(&first.token)).await.unwrap();
    assert_eq!((second.deleted, second.changed.len()), (vec![id(2)], 0));
    assert!(world.seen().iter().all(|s| s.host != "evil.net"));
}
