//! What every request meets before the Web API: token, headers, state, limits, broken instances.

use dataverse_simulator::Fault;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use super::wire::{HOST, Wire, contoso};

#[tokio::test]
async fn a_request_without_a_token_is_unauthorized() {
    let mut wire = Wire::to(&json!({})).await;
    wire.token = "made-up".to_owned();
    assert_eq!(wire.get("WhoAmI").await.status, 401);
    wire.sign_in().await;
    assert_eq!(wire.get("WhoAmI").await.status, 200);
    wire.world.revoke_tokens();
    assert_eq!(wire.get("WhoAmI").await.status, 401);
}

#[tokio::test]
async fn odata_headers_are_required() {
    let wire = Wire::to(&json!({})).await;
    for (name, value) in [
        ("odata-version", None),
        ("odata-version", Some("4.01")),
        ("odata-maxversion", None),
        ("accept", None),
        ("accept", Some("text/html")),
    ] {
        let mut request = wire.request("GET", "WhoAmI", None).body(Full::default()).unwrap();
        request.headers_mut().remove(name);
        if let Some(value) = value {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let reply = wire.send(HOST, request).await.unwrap();
        assert_eq!(reply.status, 400, "{name} {value:?}");
    }
}

#[tokio::test]
async fn a_host_header_of_another_host_is_misdirected() {
    let wire = Wire::to(&json!({})).await;
    let mut request = wire.request("GET", "WhoAmI", None).body(Full::default()).unwrap();
    request.headers_mut().insert("host", "fabrikam.crm.dynamics.com".parse().unwrap());
    assert_eq!(wire.send(HOST, request).await.unwrap().status, 421);
}

#[tokio::test]
async fn r17_r18_each_state_answers_in_its_own_way() {
    let wire = Wire::to(&json!({})).await;
    for (state, expected) in [
        ("Disabled", (403, "0x8004A104".to_owned())),
        ("Expired", (403, "0x8004A104".to_owned())),
        ("Maintenance", (403, String::new())),
    ] {
        wire.apply(&json!({"state": state}));
        for path in ["WhoAmI", "socialactivities?$top=1", "EntityDefinitions(LogicalName='lead')"] {
            assert_eq!(wire.get(path).await.refusal(), expected, "{state} {path}");
        }
    }
    let reply = wire.get("WhoAmI").await;
    assert!(reply.text().contains("Admin Only mode"));
    wire.apply(&json!({"state": "Unreachable"}));
    assert!(wire.try_call("GET", "WhoAmI", &[], None).await.is_err());
    wire.apply(&json!({"state": "Enabled"}));
    assert_eq!(wire.get("WhoAmI").await.status, 200);
}

#[tokio::test]
async fn a_connection_opened_before_the_instance_went_away_is_closed_too() {
    let wire = Wire::to(&json!({})).await;
    let stream = wire.world.connector()(HOST);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Full<bytes::Bytes>>(TokioIo::new(stream)).await.unwrap();
    let closed = tokio::spawn(connection);
    let request = || wire.request("GET", "WhoAmI", None).body(Full::default()).unwrap();
    let response = sender.send_request(request()).await.unwrap();
    response.into_body().collect().await.unwrap();
    wire.apply(&json!({"state": "Unreachable"}));
    sender.ready().await.unwrap();
    assert!(sender.send_request(request()).await.is_err());
    let _either_way = closed.await.unwrap();
}

#[tokio::test]
async fn an_application_without_a_user_is_not_a_member() {
    let wire = Wire::to(&json!({"hasApplicationUser": false})).await;
    assert_eq!(wire.get("WhoAmI").await.refusal(), (403, "0x80072560".to_owned()));
}

#[tokio::test]
async fn too_many_requests_in_five_minutes_are_told_when_to_come_back() {
    let wire = Wire::to(&json!({"throttle": {"requestsPerFiveMinutes": 3}})).await;
    for left in ["2", "1", "0"] {
        let reply = wire.get("WhoAmI").await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("x-ms-ratelimit-burst-remaining-xrm-requests"), left);
        wire.advance(10);
    }
    let reply = wire.get("WhoAmI").await;
    assert_eq!(reply.refusal(), (429, "0x80072322".to_owned()));
    let wait: i64 = reply.header("retry-after").parse().unwrap();
    wire.advance(wait - 1);
    assert_eq!(wire.get("WhoAmI").await.status, 429);
    // The impatient request counted as well; the answer to it said how long from then on.
    wire.advance(300);
    assert_eq!(wire.get("WhoAmI").await.status, 200);
}

#[tokio::test]
async fn limits_survive_a_new_document() {
    let throttle = json!({"throttle": {"requestsPerFiveMinutes": 1}});
    let wire = Wire::to(&throttle).await;
    assert_eq!(wire.get("WhoAmI").await.status, 200);
    wire.apply(&throttle);
    assert_eq!(wire.get("WhoAmI").await.status, 429);
}

#[tokio::test]
async fn too_many_requests_at_once_are_refused_with_their_own_code() {
    let wire = Wire::to(&json!({"throttle": {"concurrent": 2}})).await;
    wire.world.inject(HOST, Fault::Hang, 2);
    let hanging = futures::future::join(wire.get("WhoAmI"), wire.get("WhoAmI"));
    let rest = async {
        wire.world.until_in_flight(HOST, 2).await;
        let reply = wire.get("WhoAmI").await;
        assert_eq!(reply.refusal(), (429, "0x80072326".to_owned()));
        assert!(!reply.header("retry-after").is_empty());
        wire.world.release_hanging();
    };
    let ((first, second), ()) = futures::future::join(hanging, rest).await;
    assert_eq!((first.status.as_u16(), second.status.as_u16()), (200, 200));
    wire.world.until_in_flight(HOST, 0).await;
    assert_eq!(wire.get("WhoAmI").await.status, 200);
}

#[tokio::test]
async fn broken_instances_answer_with_rubbish() {
    let wire = Wire::to(&json!({})).await;
    wire.apply(&json!({"answersWith": "HtmlPage"}));
    let reply = wire.get("WhoAmI").await;
    assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, "text/html; charset=utf-8"));
    wire.apply(&json!({"answersWith": "Empty"}));
    assert_eq!(wire.get("WhoAmI").await.body.len(), 0);
    wire.apply(&json!({"answersWith": "Rubbish"}));
    assert_eq!(wire.get("WhoAmI").await.json(), Value::Null);
    wire.apply(&json!({"answersWith": "Redirect"}));
    let reply = wire.get("WhoAmI").await;
    assert_eq!((reply.status.as_u16(), reply.header("location").is_empty()), (302, false));
}

#[tokio::test]
async fn an_endless_answer_goes_on_until_the_client_has_enough() {
    let wire = Wire::to(&json!({})).await;
    wire.apply(&json!({"answersWith": "Endless"}));
    let stream = wire.world.connector()(HOST);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request: Request<Full<bytes::Bytes>> =
        wire.request("GET", "WhoAmI", None).body(Full::default()).unwrap();
    let mut body = sender.send_request(request).await.unwrap().into_body();
    let mut read = 0;
    while read < 4 * 1024 * 1024 {
        read += body.frame().await.unwrap().unwrap().into_data().unwrap().len();
    }
}

#[tokio::test]
async fn unknown_paths_and_versions_are_not_found() {
    let wire = Wire::to(&json!({})).await;
    for path in ["SocialActivities", "accountss", "whoami", "$metadata2"] {
        assert_eq!(wire.get(path).await.refusal(), (404, "0x80060888".to_owned()), "{path}");
    }
    let mut request = wire.request("GET", "WhoAmI", None).body(Full::default()).unwrap();
    *request.uri_mut() = "/api/data/v11.0/WhoAmI".parse().unwrap();
    assert_eq!(wire.send(HOST, request).await.unwrap().status, 404);
    assert_eq!(wire.call("PUT", "socialactivities", &[], None).await.status, 405);
}

#[tokio::test]
async fn a_url_above_32_kib_is_too_long() {
    let wire = Wire::to(&json!({})).await;
    let path = format!("socialactivities?$filter=postid eq '{}'", "x".repeat(32_768)).replace(' ', "%20");
    assert_eq!(wire.get(&path).await.status, 414);
}

#[tokio::test]
async fn two_hosts_may_serve_one_organisation_and_never_mix_tokens() {
    let wire = Wire::to(&json!({})).await;
    let mut renamed = contoso(&json!({"host": "renamed.crm.dynamics.com"}));
    renamed.metadata.name = "renamed".to_owned();
    wire.world.apply(&[contoso(&json!({})), renamed]).unwrap();
    let mut request = wire.request("GET", "WhoAmI", None).body(Full::default()).unwrap();
    request.headers_mut().insert("host", "renamed.crm.dynamics.com".parse().unwrap());
    assert_eq!(wire.send("renamed.crm.dynamics.com", request).await.unwrap().status, 401);
}
