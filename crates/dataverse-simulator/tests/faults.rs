//! Injected faults, and the request log.

use dataverse_simulator::Fault;
use serde_json::{Value, json};

use super::client::{HOST, ORGANIZATION, SECRET, SIGN_IN_HOST, TestClient, activity, id};

#[tokio::test]
async fn status_fault_affects_the_given_number() {
    let client = TestClient::new(&json!({})).await;
    client.simulator.inject(HOST, Fault::Status { status: 503, retry_after: Some("7".to_owned()) }, 2);
    for _ in 0..2 {
        let reply = client.get("WhoAmI").await;
        assert_eq!((reply.status.as_u16(), reply.header("retry-after")), (503, "7"));
    }
    assert_eq!(client.get("WhoAmI").await.status, 200);
    client.simulator.inject(HOST, Fault::MalformedJson, 1);
    client.simulator.clear_faults();
    assert_ne!(client.get("WhoAmI").await.json(), Value::Null);
}

#[tokio::test]
async fn fault_affects_matching_requests_only() {
    let client = TestClient::new(&json!({})).await;
    client.simulator.inject_for(HOST, "PATCH ", Fault::DropBefore, 1);
    assert_eq!(client.get("WhoAmI").await.status, 200);
    let patch = client.try_call("PATCH", &activity(id(1)), &[], Some(&json!({}))).await;
    assert!(patch.is_err());
    assert!(client.simulator.activities(ORGANIZATION).is_empty());
}

#[tokio::test]
async fn drop_after_still_carries_out_the_request() {
    let client = TestClient::new(&json!({})).await;
    client.simulator.inject(HOST, Fault::DropAfter, 1);
    assert!(client.try_call("PATCH", &activity(id(1)), &[], Some(&json!({}))).await.is_err());
    assert_eq!(client.simulator.activities(ORGANIZATION).len(), 1);
}

#[tokio::test]
async fn truncated_and_malformed_bodies_are_detectable() {
    let client = TestClient::new(&json!({})).await;
    client.simulator.inject(HOST, Fault::Truncate, 1);
    assert!(client.try_call("GET", "WhoAmI", &[], None).await.is_err());
    client.simulator.inject(HOST, Fault::MalformedJson, 1);
    let reply = client.get("WhoAmI").await;
    assert_eq!((reply.status.as_u16(), reply.json()), (200, Value::Null));
}

#[tokio::test]
async fn abandoned_hanging_request_is_not_in_flight() {
    let client = TestClient::new(&json!({})).await;
    client.simulator.inject(HOST, Fault::Hang, 1);
    {
        let mut request = std::pin::pin!(client.get("WhoAmI"));
        let arrived = std::pin::pin!(client.simulator.until_in_flight(HOST, 1));
        let first = futures::future::select(request.as_mut(), arrived).await;
        assert!(matches!(first, futures::future::Either::Right(_)));
    }
    client.simulator.until_in_flight(HOST, 0).await;
    assert_eq!(client.simulator.requests().pop().unwrap().status, None);
}

#[tokio::test]
async fn request_log_contains_no_secrets() {
    let client = TestClient::new(&json!({})).await;
    client.get("socialactivities?$top=1").await;
    client.get("nonsense").await;
    let records = client.simulator.requests();
    let seen: Vec<_> = records.iter().map(|r| (r.method.as_str(), r.host.as_str(), r.status)).collect();
    assert_eq!(seen, [("POST", SIGN_IN_HOST, Some(200)), ("GET", HOST, Some(200)), ("GET", HOST, Some(404))]);
    assert_eq!(records[1].path, "/api/data/v9.2/socialactivities?$top=1");
    assert_eq!(client.simulator.request_count(HOST), 2);
    assert!(!format!("{records:?}").contains(SECRET) && !format!("{records:?}").contains(&client.token));
    client.simulator.clear_requests();
    assert_eq!((client.simulator.requests().len(), client.simulator.request_count(HOST)), (0, 0));
}
