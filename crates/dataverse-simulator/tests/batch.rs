//! `$batch`.

use http_body_util::Full;
use serde_json::json;

use super::client::{HOST, ORGANIZATION, Reply, TestClient, activity, id};

const PART: &str = "Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n";

fn part(request: &str) -> String {
    format!("--b\r\n{PART}\r\n{request}\r\n")
}

fn get(path: &str) -> String {
    part(&format!("GET /api/data/v9.2/{path} HTTP/1.1\r\nAccept: application/json\r\n\r\n"))
}

fn patch(path: &str, body: &str) -> String {
    part(&format!(
        "PATCH https://{HOST}/api/data/v9.2/{path} HTTP/1.1\r\nContent-Type: application/json\r\nIf-None-Match: *\r\n\r\n{body}"
    ))
}

async fn post(client: &TestClient, headers: &[(&str, &str)], body: String) -> Reply {
    let mut request = client.request("POST", "$batch", None);
    if !headers.iter().any(|(name, _)| *name == "content-type") {
        request = request.header("content-type", "multipart/mixed; boundary=\"b\"");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    client.send(HOST, request.body(Full::from(body)).unwrap()).await.unwrap()
}

/// The statuses in a batch response, in order.
fn statuses(reply: &Reply) -> Vec<u16> {
    let text = reply.text();
    text.lines()
        .filter_map(|line| line.strip_prefix("HTTP/1.1 "))
        .map(|line| line[..3].parse().unwrap())
        .collect()
}

const CONTINUE: (&str, &str) = ("prefer", "odata.continue-on-error");

#[tokio::test]
async fn batch_parts_are_answered_in_order() {
    let client = TestClient::new(&json!({})).await;
    let body = get(&activity(id(1)))
        + &patch(&activity(id(1)), r#"{"subject":"a"}"#)
        + &patch(&activity(id(1)), r#"{"subject":"a"}"#)
        + &get(&format!("{}?$select=subject", activity(id(1))))
        + "--b--\r\n";
    let reply = post(&client, &[CONTINUE], body).await;
    assert_eq!(reply.status, 200);
    assert_eq!(statuses(&reply), [404, 204, 412, 200]);
    assert!(reply.header("content-type").starts_with("multipart/mixed; boundary=batchresponse_"));
    let record = client.simulator.requests().pop().unwrap();
    assert_eq!(record.parts.len(), 4);
    assert_eq!(record.parts[1], format!("PATCH {}", activity(id(1))));
}

#[tokio::test]
async fn first_error_ends_the_batch() {
    let client = TestClient::new(&json!({})).await;
    let body =
        get("WhoAmI") + &get(&activity(id(1))) + &patch(&activity(id(1)), r#"{"subject":"a"}"#) + "--b--\r\n";
    let reply = post(&client, &[], body).await;
    assert_eq!(reply.status, 404);
    assert_eq!(statuses(&reply), [200, 404]);
    assert!(client.simulator.activities(ORGANIZATION).is_empty());
}

#[tokio::test]
async fn malformed_batches_are_refused() {
    let client = TestClient::new(&json!({})).await;
    let good = get("WhoAmI");
    let create = patch(&activity(id(1)), r#"{"subject":"a"}"#);
    for (name, body) in [
        ("empty", String::new()),
        ("no closing boundary", create.clone()),
        ("no parts", "--b--\r\n".to_owned()),
        ("other boundary", good.replace("--b", "--c") + "--c--\r\n"),
        ("bare line feeds", (create.clone() + "--b--\r\n").replace("\r\n", "\n")),
        ("no part headers", "--b\r\n\r\nGET /api/data/v9.2/WhoAmI HTTP/1.1\r\n\r\n\r\n--b--\r\n".to_owned()),
        ("no encoding", good.replace("Content-Transfer-Encoding: binary\r\n", "") + "--b--\r\n"),
        ("no version", good.replace(" HTTP/1.1", "") + "--b--\r\n"),
        ("other host", create.replace(HOST, "fabrikam.crm.dynamics.com") + "--b--\r\n"),
        ("nested", part("POST /api/data/v9.2/$batch HTTP/1.1\r\n\r\n") + "--b--\r\n"),
        ("reference", part("GET $1 HTTP/1.1\r\n\r\n") + "--b--\r\n"),
    ] {
        assert_eq!(post(&client, &[], body).await.status, 400, "{name}");
    }
    let reply = post(&client, &[("content-type", "application/json")], good.clone() + "--b--\r\n").await;
    assert_eq!(reply.status, 400);
    assert!(client.simulator.activities(ORGANIZATION).is_empty());
}

#[tokio::test]
async fn batch_is_limited_to_1000_and_counts_once() {
    let client = TestClient::new(&json!({"throttle": {"requestsPerFiveMinutes": 2}})).await;
    let of = |count: usize| get("WhoAmI").repeat(count) + "--b--\r\n";
    let reply = post(&client, &[], of(1000)).await;
    assert_eq!((reply.status.as_u16(), statuses(&reply).len()), (200, 1000));
    assert_eq!(post(&client, &[], of(1001)).await.status, 400);
    assert_eq!(client.get("WhoAmI").await.status, 429);
}

#[tokio::test]
async fn batch_part_needs_a_content_type() {
    let client = TestClient::new(&json!({})).await;
    let create = patch(&activity(id(1)), "{}").replace("Content-Type: application/json\r\n", "");
    assert_eq!(statuses(&post(&client, &[CONTINUE], create + "--b--\r\n").await), [400]);
}

#[tokio::test]
async fn change_set_is_all_or_nothing() {
    let client = TestClient::new(&json!({})).await;
    let set = |second: &str| {
        let operation = |number: u32, path: &str, body: &str| {
            format!(
                "--c\r\n{PART}Content-ID: {number}\r\n\r\nPATCH /api/data/v9.2/{path} HTTP/1.1\r\nContent-Type: application/json\r\n\r\n{body}\r\n"
            )
        };
        format!(
            "--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n{}{}--c--\r\n\r\n--b--\r\n",
            operation(1, &activity(id(1)), "{}"),
            operation(2, &activity(id(2)), second)
        )
    };
    let reply = post(&client, &[CONTINUE], set(r#"{"nonsense":1}"#)).await;
    assert_eq!(statuses(&reply), [400]);
    assert!(client.simulator.activities(ORGANIZATION).is_empty(), "the first operation was rolled back");
    let reply = post(&client, &[CONTINUE], set("{}")).await;
    assert_eq!(statuses(&reply), [204, 204]);
    assert_eq!(client.simulator.activities(ORGANIZATION).len(), 2);
    let with_get = set("{}").replace("PATCH", "GET");
    assert_eq!(post(&client, &[CONTINUE], with_get).await.status, 400);
}
