//! Sign-in: the hosts that receive credentials and tokens, the lifetime of tokens, and token errors.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dataverse_client::{
    Activity, Client, CredentialError, Credentials, Endpoint, ErrorClass, ErrorKind, Origin, Rejection,
    Unreachable,
};
use ring::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use rstest::rstest;
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use sha2::{Digest, Sha256};

use super::server::{
    CANARY, CLIENT, HOST, LOGIN, Recorded, Reply, Server, TENANT, id, instance_at, secret, token,
};

/// Responds to `WhoAmI` and the organization row.
pub fn healthy(request: &Recorded) -> Option<Reply> {
    if request.path.ends_with("/WhoAmI") {
        return Some(Reply::json(
            200,
            serde_json::json!({"BusinessUnitId": id(1), "UserId": id(2), "OrganizationId": id(3)}),
        ));
    }
    request.path.contains("/organizations(").then(|| {
        Reply::json(
            200,
            serde_json::json!({"organizationid": id(3), "name": "Contoso", "languagecode": 1033,
                "isdisabled": false, "disabledreason": null, "disablesocialcare": false}),
        )
    })
}

#[tokio::test]
async fn tokens_and_credentials_reach_their_own_hosts_only() {
    let server = Server::new(healthy);
    let client = server.client();
    let hosts = [HOST, "fabrikam.crm4.dynamics.com"];
    for host in hosts {
        instance_at(&client, host).health().await.unwrap();
    }
    let logins = server.requests_to(LOGIN);
    assert_eq!(logins.len(), 2, "one token per host");
    for (number, host) in hosts.iter().enumerate() {
        assert_eq!(logins[number].form("scope").unwrap(), format!("https://{host}/.default"));
        assert_eq!(logins[number].path, format!("/{TENANT}/oauth2/v2.0/token"));
        assert_eq!(logins[number].form("grant_type").unwrap(), "client_credentials");
        assert_eq!(logins[number].form("client_id").unwrap(), CLIENT);
        assert_eq!(logins[number].form("client_secret").unwrap(), CANARY);
        assert_eq!(logins[number].header("authorization"), "");
        for request in server.requests_to(host) {
            assert_eq!(request.header("authorization"), format!("Bearer token-{}", number + 1));
            assert!(!request.text().contains(CANARY), "the secret reached {host}");
        }
    }
}

#[rstest]
#[case("contoso.crm.dynamics.com", "login.microsoftonline.com", "globaldisco.crm.dynamics.com")]
#[case("contoso.crm11.dynamics.com", "login.microsoftonline.com", "globaldisco.crm.dynamics.com")]
#[case("contoso.crm9.dynamics.com", "login.microsoftonline.com", "globaldisco.crm9.dynamics.com")]
#[case(
    "contoso.crm.microsoftdynamics.us",
    "login.microsoftonline.us",
    "globaldisco.crm.microsoftdynamics.us"
)]
#[case("contoso.crm.appsplatform.us", "login.microsoftonline.us", "globaldisco.crm.appsplatform.us")]
#[case("contoso.crm.dynamics.cn", "login.partner.microsoftonline.cn", "globaldisco.crm.dynamics.cn")]
#[tokio::test]
async fn each_cloud_has_its_own_services(#[case] host: &str, #[case] sign_in: &str, #[case] discovery: &str) {
    let server = Server::new(|request| {
        let list =
            request.path.contains("/Instances").then(|| Reply::json(200, serde_json::json!({"value": []})));
        list.or_else(|| healthy(request))
    });
    let instance = instance_at(&server.client(), host);
    instance.health().await.unwrap();
    instance.discover(None).await.unwrap();
    let logins = server.requests_to(sign_in);
    let scopes: Vec<String> = logins.iter().map(|request| request.form("scope").unwrap()).collect();
    assert_eq!(scopes, [format!("https://{host}/.default"), format!("https://{discovery}/.default")]);
    assert_eq!(server.requests_to(discovery).len(), 1);
    assert!(
        server.requests().iter().all(|request| [host, sign_in, discovery].contains(&request.host.as_str()))
    );
}

#[tokio::test]
async fn requests_carry_the_documented_headers() {
    let server = Server::new(healthy);
    server.instance().health().await.unwrap();
    for request in server.requests_to(HOST) {
        assert_eq!(request.header("accept"), "application/json");
        assert_eq!(request.header("odata-version"), "4.0");
        assert_eq!(request.header("odata-maxversion"), "4.0");
        assert_eq!(request.header("if-none-match"), "null");
        assert_eq!(request.header("accept-encoding"), "", "no compression is requested");
        assert!(request.header("x-ms-client-request-id").parse::<uuid::Uuid>().is_ok());
        assert!(request.path.starts_with("/api/data/v9.2/"));
    }
}

#[tokio::test]
async fn tokens_are_renewed_five_minutes_early() {
    let server = Server::new(healthy);
    let instance = server.instance();
    instance.health().await.unwrap();
    server.advance(Duration::from_secs(54 * 60));
    instance.health().await.unwrap();
    assert_eq!(server.requests_to(LOGIN).len(), 1);
    server.advance(Duration::from_secs(2 * 60));
    instance.health().await.unwrap();
    assert_eq!(server.requests_to(LOGIN).len(), 2);
}

#[tokio::test]
async fn concurrent_requests_sign_in_once() {
    let server = Server::new(healthy);
    let client = server.client();
    let instances: Vec<_> = (0..20).map(|_| instance_at(&client, HOST)).collect();
    let responses = futures::future::join_all(instances.iter().map(dataverse_client::Instance::health)).await;
    assert!(responses.iter().all(Result::is_ok));
    assert_eq!(server.requests_to(LOGIN).len(), 1);
}

#[tokio::test]
async fn concurrent_requests_share_a_rejection() {
    let server =
        Server::new(|request| (request.host == LOGIN).then(|| refusal(401, "invalid_client", 7_000_215)));
    let client = server.client();
    let instances: Vec<_> = (0..20).map(|_| instance_at(&client, HOST)).collect();
    let responses = futures::future::join_all(instances.iter().map(dataverse_client::Instance::health)).await;
    assert!(responses.iter().all(Result::is_err));
    assert_eq!(server.requests_to(LOGIN).len(), 1);
    assert!(server.requests_to(HOST).is_empty());
}

#[tokio::test]
async fn cached_token_needs_the_same_secret() {
    let server = Server::new(|request| {
        if request.host == LOGIN && request.form("client_secret").as_deref() != Some(CANARY) {
            return Some(refusal(401, "invalid_client", 7_000_215));
        }
        healthy(request)
    });
    let client = server.client();
    instance_at(&client, HOST).health().await.unwrap();
    let guess = Credentials::ClientSecret {
        tenant_id: TENANT.into(),
        client_id: CLIENT.into(),
        secret: "guess".into(),
    };
    let origin = Origin::parse(&format!("https://{HOST}")).unwrap();
    let error = client.instance(&origin, &guess).unwrap().health().await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::CredentialsUnusable);
}

fn refusal(status: u16, error: &str, code: u32) -> Reply {
    Reply::json(
        status,
        serde_json::json!({"error": error, "error_description": format!("AADSTS{code}: {CANARY}"),
            "error_codes": [code], "trace_id": CANARY}),
    )
}

#[rstest]
#[case(401, "invalid_client", Rejection::InvalidClient)]
#[case(400, "invalid_client", Rejection::InvalidClient)]
#[case(400, "unauthorized_client", Rejection::UnauthorizedClient)]
#[case(400, "invalid_request", Rejection::InvalidRequest)]
#[case(400, "invalid_grant", Rejection::InvalidGrant)]
#[case(400, "invalid_resource", Rejection::InvalidResource)]
#[case(400, "something_new", Rejection::Other)]
#[tokio::test]
async fn token_errors_are_distinguished(
    #[case] status: u16,
    #[case] word: &'static str,
    #[case] reason: Rejection,
) {
    let server =
        Server::new(move |request| (request.host == LOGIN).then(|| refusal(status, word, 7_000_215)));
    let error = server.instance().health().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::CredentialsRejected { reason, aadsts: Some(7_000_215) });
    assert_eq!(error.endpoint, Endpoint::SignIn);
    assert!(!format!("{error} {error:?}").contains(CANARY));
}

#[tokio::test]
async fn broken_token_endpoint_is_sign_in_unavailable() {
    for reply in [
        || Reply::html(200),
        || Reply::html(400),
        || Reply::empty(200),
        || Reply::empty(503),
        || Reply::json(400, serde_json::json!({"error": "temporarily_unavailable"})),
    ] {
        let server = Server::new(move |request| (request.host == LOGIN).then(reply));
        let error = server.instance().health().await.unwrap_err();
        assert_eq!(
            (error.endpoint, error.class()),
            (Endpoint::SignIn, ErrorClass::SignInUnavailable),
            "{error}"
        );
        assert!(server.requests_to(HOST).is_empty());
    }
}

#[rstest]
#[case(serde_json::json!({"token_type": "Bearer", "expires_in": 3600, "access_token": "a\r\nb: c"}))]
#[case(serde_json::json!({"token_type": "Bearer", "expires_in": 3600, "access_token": ""}))]
#[case(serde_json::json!({"token_type": "mac", "expires_in": 3600, "access_token": "a"}))]
#[case(serde_json::json!({"token_type": "Bearer", "expires_in": 3600, "access_token": "x".repeat(40_000)}))]
#[tokio::test]
async fn malformed_token_is_not_used(#[case] granted: serde_json::Value) {
    let server = Server::new(move |request| (request.host == LOGIN).then(|| Reply::json(200, &granted)));
    let error = server.instance().health().await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::UnexpectedResponse { .. }), "{error}");
    assert!(server.requests_to(HOST).is_empty());
}

#[tokio::test]
async fn status_401_is_retried_with_a_new_token() {
    let server = Server::new(|request| match request.header("authorization") {
        "Bearer token-1" => Some(Reply::empty(401)),
        _ => healthy(request),
    });
    server.instance().health().await.unwrap();
    let paths: Vec<String> = server.requests_to(HOST).into_iter().map(|s| s.path).collect();
    assert_eq!(paths.iter().filter(|p| p.ends_with("WhoAmI")).count(), 2);
    assert_eq!(server.requests_to(LOGIN).len(), 2);
}

#[tokio::test]
async fn second_401_is_a_rejection() {
    let server = Server::new(|request| (request.host == HOST).then(|| Reply::html(401)));
    let error = server.instance().health().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::CredentialsRejected { reason: Rejection::Unauthorized, aadsts: None });
    assert_eq!((server.requests_to(HOST).len(), server.requests_to(LOGIN).len()), (2, 2));
}

#[tokio::test]
async fn valid_token_is_used_while_sign_in_fails() {
    let down = Arc::new(AtomicBool::new(false));
    let script = down.clone();
    let server = Server::new(move |request| {
        if request.host == LOGIN && script.load(Ordering::Relaxed) {
            return Some(Reply::empty(503));
        }
        healthy(request)
    });
    let instance = server.instance();
    instance.health().await.unwrap();
    down.store(true, Ordering::Relaxed);
    server.advance(Duration::from_secs(57 * 60));
    instance.health().await.unwrap();
    assert_eq!(server.requests_to(LOGIN).len(), 2, "renewal is tried once, then paused");
    server.advance(Duration::from_secs(4 * 60));
    assert_eq!(instance.health().await.unwrap_err().class(), ErrorClass::SignInUnavailable);
}

#[tokio::test]
async fn throttled_token_endpoint_is_not_called() {
    let server =
        Server::new(|request| (request.host == LOGIN).then(|| Reply::empty(429).with("retry-after", "120")));
    let instance = server.instance();
    for wait in [120, 60, 1] {
        let error = instance.health().await.unwrap_err();
        assert_eq!(error.retry_after(), Some(Duration::from_secs(wait)));
        server.advance(Duration::from_secs(if wait == 120 { 60 } else { 59 }));
    }
    assert_eq!(server.requests_to(LOGIN).len(), 1);
}

#[tokio::test]
async fn silent_token_endpoint_times_out() {
    let server = Server::new(|request| (request.host == LOGIN).then(|| Reply::json(200, "").stalled("{")));
    let client = Client::new(&server.short_timeouts()).unwrap();
    let error = instance_at(&client, HOST).health().await.unwrap_err();
    assert_eq!(
        (error.endpoint, error.kind),
        (Endpoint::SignIn, ErrorKind::Unreachable(Unreachable::Timeout))
    );
}

#[tokio::test]
async fn canceled_sign_in_does_not_fail_other_callers() {
    let attempts = Arc::new(AtomicUsize::new(0));
    let script = attempts.clone();
    let server = Server::new(move |request| {
        if request.host == LOGIN {
            return Some(match script.fetch_add(1, Ordering::Relaxed) {
                0 => Reply::json(200, "").stalled("{"),
                n => token(n),
            });
        }
        healthy(request)
    });
    let instance = server.instance();
    let first = tokio::spawn({
        let instance = instance.clone();
        async move { instance.health().await }
    });
    while attempts.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    let second = tokio::spawn(async move { instance.health().await });
    tokio::task::yield_now().await;
    first.abort();
    second.await.unwrap().unwrap();
}

fn rsa_key() -> &'static str {
    include_str!("rsa-key-for-tests.pem")
}

fn certificate_of(key_pem: &str) -> rcgen::Certificate {
    let key = rcgen::KeyPair::from_pem(key_pem).unwrap();
    rcgen::CertificateParams::new(vec!["client.test".into()]).unwrap().self_signed(&key).unwrap()
}

fn with_pem(pem: String) -> Credentials {
    Credentials::Certificate { tenant_id: TENANT.into(), client_id: CLIENT.into(), pem: pem.into() }
}

#[tokio::test]
async fn certificate_signs_a_valid_assertion() {
    let server = Server::new(healthy);
    let client = server.client();
    let certificate = certificate_of(rsa_key());
    // An unrelated certificate comes first; the one of the key must be found.
    let unrelated = rcgen::generate_simple_self_signed(vec!["other.test".into()]).unwrap().cert;
    let pem = format!("{}{}{}", unrelated.pem(), rsa_key(), certificate.pem());
    let origin = Origin::parse(&format!("https://{HOST}")).unwrap();
    client.instance(&origin, &with_pem(pem)).unwrap().health().await.unwrap();

    let login = &server.requests_to(LOGIN)[0];
    assert_eq!(login.form("client_secret"), None);
    assert_eq!(
        login.form("client_assertion_type").unwrap(),
        "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    );
    let assertion = login.form("client_assertion").unwrap();
    let parts: Vec<&str> = assertion.split('.').collect();
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
    let json = |part: &str| serde_json::from_slice::<serde_json::Value>(&decode(part)).unwrap();

    let key = RsaKeyPair::from_pkcs8(
        PrivatePkcs8KeyDer::from_pem_slice(rsa_key().as_bytes()).unwrap().secret_pkcs8_der(),
    )
    .unwrap();
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key())
        .verify(format!("{}.{}", parts[0], parts[1]).as_bytes(), &decode(parts[2]))
        .unwrap();

    let header = json(parts[0]);
    assert_eq!(header["alg"], "RS256");
    assert_eq!(header["x5t#S256"], URL_SAFE_NO_PAD.encode(Sha256::digest(certificate.der())));
    let claims = json(parts[1]);
    assert_eq!(claims["aud"], format!("https://{LOGIN}/{TENANT}/oauth2/v2.0/token"));
    assert_eq!((&claims["iss"], &claims["sub"]), (&CLIENT.into(), &CLIENT.into()));
    let start = "2026-01-01T00:00:00Z".parse::<jiff::Timestamp>().unwrap().as_second();
    assert_eq!((claims["nbf"].as_i64().unwrap(), claims["exp"].as_i64().unwrap()), (start - 60, start + 600));
    assert!(claims["jti"].as_str().unwrap().parse::<uuid::Uuid>().is_ok());
}

#[tokio::test]
async fn federated_token_is_the_assertion() {
    let server = Server::new(healthy);
    let origin = Origin::parse(&format!("https://{HOST}")).unwrap();
    let credentials = Credentials::FederatedToken {
        tenant_id: "contoso.onmicrosoft.com".into(),
        client_id: CLIENT.into(),
        token: CANARY.into(),
    };
    server.client().instance(&origin, &credentials).unwrap().health().await.unwrap();
    let login = &server.requests_to(LOGIN)[0];
    assert_eq!(login.path, "/contoso.onmicrosoft.com/oauth2/v2.0/token");
    assert_eq!(login.form("client_assertion").unwrap(), CANARY);
    assert_eq!(login.form("client_secret"), None);
}

#[test]
fn malformed_credentials_are_refused_without_a_request() {
    let client = Server::new(|_| None).client();
    let origin = Origin::parse(&format!("https://{HOST}")).unwrap();
    let with_ids = |tenant: &str, client: &str, secret: &str| Credentials::ClientSecret {
        tenant_id: tenant.into(),
        client_id: client.into(),
        secret: secret.into(),
    };
    let ec = rcgen::generate_simple_self_signed(vec!["other.test".into()]).unwrap();
    let certificate = certificate_of(rsa_key()).pem();
    for (credentials, fault) in [
        (with_ids("common", CLIENT, CANARY), CredentialError::TenantId),
        (with_ids("../../evil", CLIENT, CANARY), CredentialError::TenantId),
        (with_ids("evil.net/x?y", CLIENT, CANARY), CredentialError::TenantId),
        (with_ids(TENANT, "me", CANARY), CredentialError::ClientId),
        (with_ids(TENANT, CLIENT, " \n"), CredentialError::Empty),
        (with_pem(CANARY.into()), CredentialError::NoCertificate),
        (with_pem(certificate.clone()), CredentialError::NoKey),
        (with_pem(format!("{}{}", ec.cert.pem(), ec.signing_key.serialize_pem())), CredentialError::NotRsa),
        (with_pem(format!("{}{}", ec.cert.pem(), rsa_key())), CredentialError::KeyMismatch),
    ] {
        let error = client.instance(&origin, &credentials).unwrap_err();
        assert_eq!(error.kind, ErrorKind::CredentialsUnusable(fault));
        assert!(!format!("{error} {error:?} {credentials:?}").contains(CANARY));
    }
}

#[test]
fn futures_are_send() {
    fn is_send<T: Send>(_: T) {}
    let instance = Server::new(|_| None).instance();
    is_send(instance.health());
    is_send(instance.organization());
    is_send(instance.metadata(&[]));
    is_send(instance.create_activity(id(1), &Activity::default()));
    is_send(instance.read_activity(id(1), None));
    is_send(instance.check(&[]));
    is_send(instance.changes(None));
    is_send(instance.discover(None));
}

#[test]
fn credentials_debug_output_has_no_secret() {
    let printed = format!("{:?}", secret());
    assert!(printed.contains(TENANT) && !printed.contains(CANARY), "{printed}");
}
