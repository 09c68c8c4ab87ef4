//! Before the Web API: token, headers, state of the instance, throttling, broken instances.

use dataverse_simulator::Fault;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use super::client::{HOST, TestClient, contoso};

#[tokio::test]
async fn request_without_a_token_is_unauthorized() {
    let mut client = TestClient::new(&json!({})).await;
    client.token = "made-up".to_owned();
    assert_eq!(client.get("WhoAmI").await.status, 401);
    client.sign_in().await;
    assert_eq!(client.get("WhoAmI").await.status, 200);
    client.simulator.revoke_tokens();
    assert_eq!(client.get("WhoAmI").await.status, 401);
}

#[tokio::test]
async fn odata_headers_are_required() {
    let client = TestClient::new(&json!({})).await;
    for (name, value) in [
        ("odata-version", None),
        ("odata-version", Some("4.01")),
        ("odata-maxversion", None),
        ("accept", None),
        ("accept", Some("text/html")),
    ] {
        let mut request = client.request("GET", "WhoAmI", None).body(Full::default()).unwrap();
        request.headers_mut().remove(name);
        if let Some(value) = value {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let reply = client.send(HOST, request).await.unwrap();
        assert_eq!(reply.status, 400, "{name} {value:?}");
    }
}

#[tokio::test]
async fn other_host_header_is_misdirected() {
    let client = TestClient::new(&json!({})).await;
    let mut request = client.request("GET", "WhoAmI", None).body(Full::default()).unwrap();
    request.headers_mut().insert("host", "fabrikam.crm.dynamics.com".parse().unwrap());
    assert_eq!(client.send(HOST, request).await.unwrap().status, 421);
}

#[tokio::test]
async fn each_state_has_its_own_response() {
    let client = TestClient::new(&json!({})).await;
    for (state, expected) in [
        ("Disabled", (403, "0x8004A104".to_owned())),
        ("Expired", (403, "0x8004A104".to_owned())),
        ("Maintenance", (403, String::new())),
    ] {
        client.apply(&json!({"state": state}));
        for path in ["WhoAmI", "socialactivities?$top=1", "EntityDefinitions(LogicalName='lead')"] {
            assert_eq!(client.get(path).await.refusal(), expected, "{state} {path}");
        }
    }
    let reply = client.get("WhoAmI").await;
    assert!(reply.text().contains("Admin Only mode"));
    client.apply(&json!({"state": "Unreachable"}));
    assert!(client.try_call("GET", "WhoAmI", &[], None).await.is_err());
    client.apply(&json!({"state": "Enabled"}));
    assert_eq!(client.get("WhoAmI").await.status, 200);
}

#[tokio::test]
async fn open_connections_to_unreachable_instances_close() {
    let client = TestClient::new(&json!({})).await;
    let stream = client.simulator.connector()(HOST);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Full<bytes::Bytes>>(TokioIo::new(stream)).await.unwrap();
    let closed = tokio::spawn(connection);
    let request = || client.request("GET", "WhoAmI", None).body(Full::default()).unwrap();
    let response = sender.send_request(request()).await.unwrap();
    response.into_body().collect().await.unwrap();
    client.apply(&json!({"state": "Unreachable"}));
    sender.ready().await.unwrap();
    assert!(sender.send_request(request()).await.is_err());
    let _either_way = closed.await.unwrap();
}

#[tokio::test]
async fn missing_application_user_is_forbidden() {
    let client = TestClient::new(&json!({"hasApplicationUser": false})).await;
    assert_eq!(client.get("WhoAmI").await.refusal(), (403, "0x80072560".to_owned()));
}

#[tokio::test]
async fn request_limit_sets_retry_after() {
    let client = TestClient::new(&json!({"throttle": {"requestsPerFiveMinutes": 3}})).await;
    for left in ["2", "1", "0"] {
        let reply = client.get("WhoAmI").await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("x-ms-ratelimit-burst-remaining-xrm-requests"), left);
        client.advance(10);
    }
    let reply = client.get("WhoAmI").await;
    assert_eq!(reply.refusal(), (429, "0x80072322".to_owned()));
    let wait: i64 = reply.header("retry-after").parse().unwrap();
    client.advance(wait - 1);
    assert_eq!(client.get("WhoAmI").await.status, 429);
    // The refused request counted too, so its response announced a longer wait.
    client.advance(300);
    assert_eq!(client.get("WhoAmI").await.status, 200);
}

#[tokio::test]
async fn request_window_survives_apply() {
    let throttle = json!({"throttle": {"requestsPerFiveMinutes": 1}});
    let client = TestClient::new(&throttle).await;
    assert_eq!(client.get("WhoAmI").await.status, 200);
    client.apply(&throttle);
    assert_eq!(client.get("WhoAmI").await.status, 429);
}

#[tokio::test]
async fn concurrency_limit_has_its_own_code() {
    let client = TestClient::new(&json!({"throttle": {"concurrent": 2}})).await;
    client.simulator.inject(HOST, Fault::Hang, 2);
    let hanging = futures::future::join(client.get("WhoAmI"), client.get("WhoAmI"));
    let rest = async {
        client.simulator.until_in_flight(HOST, 2).await;
        let reply = client.get("WhoAmI").await;
        assert_eq!(reply.refusal(), (429, "0x80072326".to_owned()));
        assert!(!reply.header("retry-after").is_empty());
        client.simulator.release_hanging();
    };
    let ((first, second), ()) = futures::future::join(hanging, rest).await;
    assert_eq!((first.status.as_u16(), second.status.as_u16()), (200, 200));
    client.simulator.until_in_flight(HOST, 0).await;
    assert_eq!(client.get("WhoAmI").await.status, 200);
}

#[tokio::test]
async fn broken_instances_send_their_response() {
    let client = TestClient::new(&json!({})).await;
    client.apply(&json!({"answersWith": "HtmlPage"}));
    let reply = client.get("WhoAmI").await;
    assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, "text/html; charset=utf-8"));
    client.apply(&json!({"answersWith": "Empty"}));
    assert_eq!(client.get("WhoAmI").await.body.len(), 0);
    client.apply(&json!({"answersWith": "MalformedJson"}));
    assert_eq!(client.get("WhoAmI").await.json(), Value::Null);
    client.apply(&json!({"answersWith": "Redirect"}));
    let reply = client.get("WhoAmI").await;
    assert_eq!((reply.status.as_u16(), reply.header("location").is_empty()), (302, false));
}

#[tokio::test]
async fn endless_body_never_ends() {
    let client = TestClient::new(&json!({})).await;
    client.apply(&json!({"answersWith": "Endless"}));
    let stream = client.simulator.connector()(HOST);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request: Request<Full<bytes::Bytes>> =
        client.request("GET", "WhoAmI", None).body(Full::default()).unwrap();
    let mut body = sender.send_request(request).await.unwrap().into_body();
    let mut read = 0;
    while read < 4 * 1024 * 1024 {
        read += body.frame().await.unwrap().unwrap().into_data().unwrap().len();
    }
}

#[tokio::test]
async fn unknown_paths_and_versions_are_not_found() {
    let client = TestClient::new(&json!({})).await;
    for path in ["SocialActivities", "accountss", "whoami", "$metadata2"] {
        assert_eq!(client.get(path).await.refusal(), (404, "0x80060888".to_owned()), "{path}");
    }
    let mut request = client.request("GET", "WhoAmI", None).body(Full::default()).unwrap();
    *request.uri_mut() = "/api/data/v11.0/WhoAmI".parse().unwrap();
    assert_eq!(client.send(HOST, request).await.unwrap().status, 404);
    assert_eq!(client.call("PUT", "socialactivities", &[], None).await.status, 405);
}

#[tokio::test]
async fn url_above_32_kib_is_too_long() {
    let client = TestClient::new(&json!({})).await;
    let path = format!("socialactivities?$filter=postid eq '{}'", "x".repeat(32_768)).replace(' ', "%20");
    assert_eq!(client.get(&path).await.status, 414);
}

#[tokio::test]
async fn token_of_another_host_is_refused() {
    let client = TestClient::new(&json!({})).await;
    let mut renamed = contoso(&json!({"host": "renamed.crm.dynamics.com"}));
    renamed.name = "renamed".to_owned();
    client.simulator.apply(&[contoso(&json!({})), renamed]).unwrap();
    let mut request = client.request("GET", "WhoAmI", None).body(Full::default()).unwrap();
    request.headers_mut().insert("host", "renamed.crm.dynamics.com".parse().unwrap());
    assert_eq!(client.send("renamed.crm.dynamics.com", request).await.unwrap().status, 401);
}
