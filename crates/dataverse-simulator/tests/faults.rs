//! Faults that tests inject, and the record of requests.

use dataverse_simulator::Fault;
use serde_json::{Value, json};

use super::wire::{HOST, ORGANIZATION, SECRET, SIGN_IN_HOST, Wire, activity, id};

#[tokio::test]
async fn a_status_fault_strikes_as_often_as_told() {
    let wire = Wire::to(&json!({})).await;
    wire.world.inject(HOST, Fault::Status { status: 503, retry_after: Some("7".to_owned()) }, 2);
    for _ in 0..2 {
        let reply = wire.get("WhoAmI").await;
        assert_eq!((reply.status.as_u16(), reply.header("retry-after")), (503, "7"));
    }
    assert_eq!(wire.get("WhoAmI").await.status, 200);
}

#[tokio::test]
async fn a_fault_may_wait_for_its_request() {
    let wire = Wire::to(&json!({})).await;
    wire.world.inject_for(HOST, "PATCH ", Fault::DropBefore, 1);
    assert_eq!(wire.get("WhoAmI").await.status, 200);
    let patch = wire.try_call("PATCH", &activity(id(1)), &[], Some(&json!({}))).await;
    assert!(patch.is_err());
    assert!(wire.world.activities(ORGANIZATION).is_empty());
}

#[tokio::test]
async fn a_drop_after_the_act_leaves_the_act_done() {
    let wire = Wire::to(&json!({})).await;
    wire.world.inject(HOST, Fault::DropAfter, 1);
    assert!(wire.try_call("PATCH", &activity(id(1)), &[], Some(&json!({}))).await.is_err());
    assert_eq!(wire.world.activities(ORGANIZATION).len(), 1);
}

#[tokio::test]
async fn a_truncated_answer_is_noticed_and_garbage_is_not_json() {
    let wire = Wire::to(&json!({})).await;
    wire.world.inject(HOST, Fault::Truncate, 1);
    assert!(wire.try_call("GET", "WhoAmI", &[], None).await.is_err());
    wire.world.inject(HOST, Fault::Garbage, 1);
    let reply = wire.get("WhoAmI").await;
    assert_eq!((reply.status.as_u16(), reply.json()), (200, Value::Null));
}

#[tokio::test]
async fn a_hanging_request_whose_client_leaves_is_no_longer_in_flight() {
    let wire = Wire::to(&json!({})).await;
    wire.world.inject(HOST, Fault::Hang, 1);
    {
        let mut request = std::pin::pin!(wire.get("WhoAmI"));
        let arrived = std::pin::pin!(wire.world.until_in_flight(HOST, 1));
        let first = futures::future::select(request.as_mut(), arrived).await;
        assert!(matches!(first, futures::future::Either::Right(_)));
    }
    wire.world.until_in_flight(HOST, 0).await;
    assert_eq!(wire.world.requests().pop().unwrap().status, None);
}

#[tokio::test]
async fn requests_are_recorded_without_secrets() {
    let wire = Wire::to(&json!({})).await;
    wire.get("socialactivities?$top=1").await;
    wire.get("nonsense").await;
    let records = wire.world.requests();
    let seen: Vec<_> = records.iter().map(|r| (r.method.as_str(), r.host.as_str(), r.status)).collect();
    assert_eq!(seen, [("POST", SIGN_IN_HOST, Some(200)), ("GET", HOST, Some(200)), ("GET", HOST, Some(404))]);
    assert_eq!(records[1].path, "/api/data/v9.2/socialactivities?$top=1");
    assert_eq!(wire.world.request_count(HOST), 2);
    assert!(!format!("{records:?}").contains(SECRET) && !format!("{records:?}").contains(&wire.token));
    wire.world.clear_requests();
    assert_eq!((wire.world.requests().len(), wire.world.request_count(HOST)), (0, 0));
}
