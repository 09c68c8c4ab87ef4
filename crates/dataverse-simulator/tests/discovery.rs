//! The discovery service.

use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};

use super::client::{DISCOVERY_HOST, HOST, ORGANIZATION, START, TestClient, id};

#[tokio::test]
async fn only_expired_instances_have_a_past_trial_end() {
    let client = TestClient::new(&json!({})).await;
    for (state, number, past) in [
        ("Enabled", 0, false),
        ("Disabled", 1, false),
        ("Expired", 1, true),
        ("Maintenance", 0, false),
        ("Unreachable", 0, false),
    ] {
        client.apply(&json!({"state": state}));
        let body = client.discover(&format!("Instances?$filter=Id%20eq%20{ORGANIZATION}")).await.json();
        let instance = &body["value"][0];
        assert_eq!(instance["State"], number, "{state}");
        let ended =
            instance["TrialExpirationDate"].as_str().map(|text| text.parse::<jiff::Timestamp>().unwrap());
        assert_eq!(ended.is_some_and(|end| end.as_second() < START), past, "{state}");
    }
    client.apply(&json!({"state": "Enabled", "trialExpirationDate": "2027-01-01T00:00:00Z"}));
    let body = client.discover("Instances?$select=TrialExpirationDate").await.json();
    assert_eq!(body["value"], json!([{"TrialExpirationDate": "2027-01-01T00:00:00Z"}]));
}

#[tokio::test]
async fn instances_are_found_by_id_url_and_name() {
    let client = TestClient::new(&json!({})).await;
    let count = |query: String| {
        let client = &client;
        async move {
            let body = client.discover(&query.replace(' ', "%20")).await.json();
            body["value"].as_array().unwrap_or_else(|| panic!("{query}: {body}")).len()
        }
    };
    assert_eq!(count("Instances".to_owned()).await, 1);
    assert_eq!(count(format!("Instances({ORGANIZATION})")).await, 1);
    assert_eq!(count(format!("Instances({})", id(1))).await, 0, "none is an empty list, not 404");
    assert_eq!(count("Instances(UniqueName='contoso')".to_owned()).await, 1);
    assert_eq!(count("Instances?$filter=UniqueName eq 'Contoso'".to_owned()).await, 0);
    assert_eq!(count(format!("Instances?$filter=Url eq 'https://{HOST}'")).await, 1);
    assert_eq!(
        count("Instances?$filter=ApiUrl eq 'https://contoso.api.crm.dynamics.com'".to_owned()).await,
        1
    );
    assert_eq!(count("Instances?$filter=State eq 0 and UniqueName eq 'contoso'".to_owned()).await, 1);
    client.simulator.apply(&[]).unwrap();
    assert_eq!(count("Instances".to_owned()).await, 0);
}

#[tokio::test]
async fn discovery_needs_its_own_token() {
    let client = TestClient::new(&json!({})).await;
    let request = Request::get("/api/discovery/v2.0/Instances")
        .header("host", DISCOVERY_HOST)
        .header("authorization", format!("Bearer {}", client.token))
        .body(Full::default())
        .unwrap();
    assert_eq!(client.send(DISCOVERY_HOST, request).await.unwrap().status, 401);
    for path in [
        "Instances?$filter=Nonsense%20eq%201",
        "Instances?$select=Nonsense",
        "Instances?$filter=Id%20eq%20'5f0c9a3e-6d2b-4c57-9f0e-0d9d5a1b7c11'",
        "Instances?$orderby=Id",
    ] {
        assert_eq!(client.discover(path).await.status, 400, "{path}");
    }
    assert_eq!(client.discover("Other").await.status, 404);
    let described = client.discover("Instances").await.json();
    assert_ne!(described["value"][0]["EnvironmentId"], Value::Null);
}
