//! The token endpoint.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::client::{DISCOVERY_HOST, HOST, SECRET, START, TENANT, TestClient, access_token, contoso};

const CLIENT: &str = "9c1c7f0e-0000-4000-8000-000000000001";

fn form<'a>(changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut form = vec![
        ("grant_type", "client_credentials"),
        ("client_id", CLIENT),
        ("client_secret", SECRET),
        ("scope", "https://contoso.crm.dynamics.com/.default"),
    ];
    for (name, value) in changes {
        form.retain(|(known, _)| known != name);
        if !value.is_empty() {
            form.push((name, value));
        }
    }
    form
}

fn error(reply: &super::client::Reply) -> (u16, String, u64) {
    let body = reply.json();
    let error = body["error"].as_str().unwrap_or_default().to_owned();
    (reply.status.as_u16(), error, body["error_codes"][0].as_u64().unwrap_or(0))
}

#[tokio::test]
async fn token_expires_after_an_hour() {
    let client = TestClient::new(&json!({})).await;
    let reply = client.grant(TENANT, &form(&[])).await;
    assert_eq!(reply.json()["expires_in"], 3599);
    assert_eq!(reply.json()["token_type"], "Bearer");
    client.advance(3599);
    assert_eq!(client.get("WhoAmI").await.status, 200);
    client.advance(1);
    assert_eq!(client.get("WhoAmI").await.refusal(), (401, "0x8005F101".to_owned()));
}

#[tokio::test]
async fn wrong_secret_is_an_invalid_client() {
    let client = TestClient::new(&json!({})).await;
    let reply = client.grant(TENANT, &form(&[("client_secret", "wrong")])).await;
    assert_eq!(error(&reply), (401, "invalid_client".to_owned(), 7_000_215));
    assert!(reply.json()["error_description"].as_str().unwrap().starts_with("AADSTS7000215: "));
    assert!(!reply.text().contains("wrong"), "the secret is not repeated");
}

#[tokio::test]
async fn instance_without_a_secret_accepts_any() {
    let client = TestClient::new(&json!({})).await;
    let mut instance = contoso(&json!({}));
    instance.spec.client_secret = None;
    client.simulator.apply(&[instance]).unwrap();
    assert_eq!(client.grant(TENANT, &form(&[("client_secret", "anything")])).await.status, 200);
}

#[tokio::test]
async fn invalid_token_requests_are_refused() {
    let client = TestClient::new(&json!({})).await;
    for (changes, expected) in [
        (vec![("grant_type", "password")], (400, "unsupported_grant_type", 70_003)),
        (vec![("grant_type", "")], (400, "invalid_request", 900_144)),
        (vec![("client_id", "")], (400, "invalid_request", 900_144)),
        (vec![("client_secret", "")], (401, "invalid_client", 7_000_218)),
        (vec![("client_assertion", "a.b.c")], (400, "invalid_request", 90_023)),
        (vec![("scope", "https://contoso.crm.dynamics.com")], (400, "invalid_scope", 70_011)),
        (vec![("scope", "https://contoso.crm.dynamics.com//.default")], (400, "invalid_scope", 70_011)),
        (vec![("scope", "https://other.crm.dynamics.com/.default")], (400, "invalid_resource", 500_011)),
        (
            vec![("scope", "https://contoso.crm.dynamics.com/.default openid")],
            (400, "invalid_request", 28_000),
        ),
    ] {
        let reply = client.grant(TENANT, &form(&changes)).await;
        let (status, name, number) = expected;
        assert_eq!(error(&reply), (status, name.to_owned(), number), "{changes:?}");
    }
    assert_eq!(error(&client.grant("common", &form(&[])).await).2, 50_059);
    assert_eq!(error(&client.grant("not_a_tenant", &form(&[])).await).0, 400);
}

#[tokio::test]
async fn token_is_bound_to_its_host() {
    let mut client = TestClient::new(&json!({})).await;
    let reply = client.token_for(DISCOVERY_HOST, SECRET).await;
    client.token = access_token(&reply);
    let reply = client.get("WhoAmI").await;
    assert_eq!(reply.status, 401);
    assert!(reply.header("www-authenticate").starts_with("Bearer "));
    assert_eq!(reply.json(), Value::Null, "a 401 of the web server is not OData");
}

#[tokio::test]
async fn sign_in_refuses_instances_of_other_clouds() {
    let host = "contoso.crm.appsplatform.us";
    let client = TestClient::new(&json!({})).await;
    client.apply(&json!({"host": host}));
    let refused = client.token_for(host, SECRET).await;
    assert_eq!(error(&refused), (400, "invalid_resource".to_owned(), 500_011));
    assert!(client.simulator.hosts().contains("login.microsoftonline.us"));
    assert!(client.simulator.hosts().contains("globaldisco.crm.appsplatform.us"));
}

#[tokio::test]
async fn sign_in_still_knows_removed_instances() {
    let client = TestClient::new(&json!({})).await;
    client.simulator.apply(&[]).unwrap();
    assert_eq!(client.token_for(HOST, SECRET).await.status, 200);
    assert!(client.try_call("GET", "WhoAmI", &[], None).await.is_err());
}

fn jwt(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{}", part(header), part(claims), URL_SAFE_NO_PAD.encode("signature"))
}

async fn assert_grant(client: &TestClient, assertion: &str) -> (u16, String, u64) {
    let changes = [
        ("client_secret", ""),
        ("client_assertion", assertion),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
    ];
    error(&client.grant(TENANT, &form(&changes)).await)
}

#[tokio::test]
async fn certificate_assertion_claims_are_checked() {
    let client = TestClient::new(&json!({})).await;
    let header = json!({"alg": "RS256", "typ": "JWT", "x5t": "dGh1bWI"});
    let endpoint = format!("https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/token");
    let good =
        json!({"aud": endpoint, "iss": CLIENT, "sub": CLIENT, "jti": "1", "nbf": START, "exp": START + 600});
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        jwt(&header, &claims)
    };
    assert_eq!(assert_grant(&client, &jwt(&header, &good)).await.0, 200);
    for (assertion, number) in [
        (with("aud", json!("https://elsewhere")), 700_023),
        (with("sub", json!("somebody")), 700_021),
        (with("jti", Value::Null), 700_021),
        (with("exp", json!(START - 600)), 700_024),
        (with("nbf", json!(START + 3600)), 700_024),
        (jwt(&json!({"alg": "none", "x5t": "x"}), &good), 50_027),
        ("only.two".to_owned(), 50_027),
    ] {
        assert_eq!(assert_grant(&client, &assertion).await, (401, "invalid_client".to_owned(), number));
    }
}

#[tokio::test]
async fn federated_assertion_needs_the_exchange_audience() {
    let client = TestClient::new(&json!({})).await;
    let header = json!({"alg": "RS256", "kid": "cluster"});
    let claims = |audience: Value| {
        json!({
            "aud": audience,
            "iss": "https://kubernetes.default.svc",
            "sub": "system:serviceaccount:team:links",
            "exp": START + 600,
        })
    };
    let good = jwt(&header, &claims(json!(["api://AzureADTokenExchange"])));
    assert_eq!(assert_grant(&client, &good).await.0, 200);
    let other = jwt(&header, &claims(json!(["https://kubernetes.default.svc"])));
    assert_eq!(assert_grant(&client, &other).await, (400, "invalid_request".to_owned(), 700_212));
}

/// An RSA key that only these tests use, and a certificate for it.
fn certified() -> (ring::signature::RsaKeyPair, rcgen::Certificate) {
    let pem = include_str!("client.key.pem");
    let key = rcgen::KeyPair::from_pem(pem).unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec!["client".to_owned()]).unwrap().self_signed(&key).unwrap();
    (ring::signature::RsaKeyPair::from_pkcs8(key.serialized_der()).unwrap(), certificate)
}

#[tokio::test]
async fn registered_certificate_verifies_the_signature() {
    let (key, certificate) = certified();
    let client = TestClient::new(&json!({"clientCertificate": certificate.pem()})).await;
    let print = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(ring::digest::digest(&ring::digest::SHA256, bytes));
    let header = json!({"alg": "RS256", "typ": "JWT", "x5t#S256": print(certificate.der())});
    let endpoint = format!("https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/token");
    let claims = json!({"aud": endpoint, "iss": CLIENT, "sub": CLIENT, "jti": "1", "exp": START + 600});
    let signed = |header: &Value, claims: &Value| {
        let unsigned = jwt(header, claims).rsplit_once('.').unwrap().0.to_owned();
        let mut signature = vec![0; key.public().modulus_len()];
        let random = ring::rand::SystemRandom::new();
        key.sign(&ring::signature::RSA_PKCS1_SHA256, &random, unsigned.as_bytes(), &mut signature).unwrap();
        format!("{unsigned}.{}", URL_SAFE_NO_PAD.encode(signature))
    };
    let good = signed(&header, &claims);
    assert_eq!(assert_grant(&client, &good).await.0, 200);
    let unregistered = json!({"alg": "RS256", "typ": "JWT", "x5t#S256": print(b"another certificate")});
    let (_, signature) = good.rsplit_once('.').unwrap();
    let (unsigned, _) = signed(
        &header,
        &json!({"aud": endpoint, "iss": CLIENT, "sub": CLIENT, "jti": "2", "exp": START + 600}),
    )
    .rsplit_once('.')
    .map(|(unsigned, signature)| (unsigned.to_owned(), signature.to_owned()))
    .unwrap();
    for wrong in [jwt(&header, &claims), signed(&unregistered, &claims), format!("{unsigned}.{signature}")] {
        assert_eq!(assert_grant(&client, &wrong).await, (401, "invalid_client".to_owned(), 700_027));
    }
}
