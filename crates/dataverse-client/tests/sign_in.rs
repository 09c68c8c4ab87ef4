//! Sign-in: where credentials and tokens go, how long tokens live, what a refusal means (T2, T5).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dataverse_client::{
    Activity, Client, CredentialFault, Credentials, Kind, Meaning, Origin, Peer, Rejection, Unreachable,
};
use ring::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use rstest::rstest;
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use sha2::{Digest, Sha256};

use super::server::{
    CANARY, CLIENT, HOST, LOGIN, Reply, Seen, TENANT, World, id, instance_at, secret, token,
};

/// Answers `WhoAmI` and the organisation row.
pub fn healthy(seen: &Seen) -> Option<Reply> {
    if seen.path.ends_with("/WhoAmI") {
        return Some(Reply::json(
            200,
            serde_json::json!({"BusinessUnitId": id(1), "UserId": id(2), "OrganizationId": id(3)}),
        ));
    }
    seen.path.contains("/organizations(").then(|| {
        Reply::json(
            200,
            serde_json::json!({"organizationid": id(3), "name": "Contoso", "languagecode": 1033,
                "isdisabled": false, "disabledreason": null, "disablesocialcare": false}),
        )
    })
}

#[tokio::test]
async fn t2_a_token_goes_to_its_own_host_and_a_credential_to_the_authority_alone() {
    let world = World::new(healthy);
    let client = world.client();
    let hosts = [HOST, "fabrikam.crm4.dynamics.com"];
    for host in hosts {
        instance_at(&client, host).health().await.unwrap();
    }
    let logins = world.seen_by(LOGIN);
    assert_eq!(logins.len(), 2, "one token per host");
    for (number, host) in hosts.iter().enumerate() {
        assert_eq!(logins[number].form("scope").unwrap(), format!("https://{host}/.default"));
        assert_eq!(logins[number].path, format!("/{TENANT}/oauth2/v2.0/token"));
        assert_eq!(logins[number].form("grant_type").unwrap(), "client_credentials");
        assert_eq!(logins[number].form("client_id").unwrap(), CLIENT);
        assert_eq!(logins[number].form("client_secret").unwrap(), CANARY);
        assert_eq!(logins[number].header("authorization"), "");
        for seen in world.seen_by(host) {
            assert_eq!(seen.header("authorization"), format!("Bearer token-{}", number + 1));
            assert!(!seen.text().contains(CANARY), "the secret reached {host}");
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
async fn t2_each_cloud_signs_in_and_lists_its_instances_at_its_own_hosts(
    #[case] host: &str,
    #[case] sign_in: &str,
    #[case] discovery: &str,
) {
    let world = World::new(|seen| {
        let list =
            seen.path.contains("/Instances").then(|| Reply::json(200, serde_json::json!({"value": []})));
        list.or_else(|| healthy(seen))
    });
    let instance = instance_at(&world.client(), host);
    instance.health().await.unwrap();
    instance.discover(None).await.unwrap();
    let logins = world.seen_by(sign_in);
    let scopes: Vec<String> = logins.iter().map(|seen| seen.form("scope").unwrap()).collect();
    assert_eq!(scopes, [format!("https://{host}/.default"), format!("https://{discovery}/.default")]);
    assert_eq!(world.seen_by(discovery).len(), 1);
    assert!(world.seen().iter().all(|seen| [host, sign_in, discovery].contains(&seen.host.as_str())));
}

#[tokio::test]
async fn every_request_carries_the_documented_headers() {
    let world = World::new(healthy);
    world.instance().health().await.unwrap();
    for seen in world.seen_by(HOST) {
        assert_eq!(seen.header("accept"), "application/json");
        assert_eq!(seen.header("odata-version"), "4.0");
        assert_eq!(seen.header("odata-maxversion"), "4.0");
        assert_eq!(seen.header("if-none-match"), "null");
        assert_eq!(seen.header("accept-encoding"), "", "compression is never asked for");
        assert!(seen.header("x-ms-client-request-id").parse::<uuid::Uuid>().is_ok());
        assert!(seen.path.starts_with("/api/data/v9.2/"));
    }
}

#[tokio::test]
async fn tokens_are_kept_until_five_minutes_before_they_run_out() {
    let world = World::new(healthy);
    let instance = world.instance();
    instance.health().await.unwrap();
    world.advance(Duration::from_secs(54 * 60));
    instance.health().await.unwrap();
    assert_eq!(world.seen_by(LOGIN).len(), 1);
    world.advance(Duration::from_secs(2 * 60));
    instance.health().await.unwrap();
    assert_eq!(world.seen_by(LOGIN).len(), 2);
}

#[tokio::test]
async fn many_requests_at_once_sign_in_once() {
    let world = World::new(healthy);
    let client = world.client();
    let instances: Vec<_> = (0..20).map(|_| instance_at(&client, HOST)).collect();
    let answers = futures::future::join_all(instances.iter().map(dataverse_client::Instance::health)).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(world.seen_by(LOGIN).len(), 1);
}

#[tokio::test]
async fn many_requests_with_a_wrong_secret_are_refused_once() {
    let world = World::new(|seen| (seen.host == LOGIN).then(|| refusal(401, "invalid_client", 7_000_215)));
    let client = world.client();
    let instances: Vec<_> = (0..20).map(|_| instance_at(&client, HOST)).collect();
    let answers = futures::future::join_all(instances.iter().map(dataverse_client::Instance::health)).await;
    assert!(answers.iter().all(Result::is_err));
    assert_eq!(world.seen_by(LOGIN).len(), 1);
    assert!(world.seen_by(HOST).is_empty());
}

#[tokio::test]
async fn t2_knowing_the_ids_of_an_application_does_not_get_its_token() {
    let world = World::new(|seen| {
        if seen.host == LOGIN && seen.form("client_secret").as_deref() != Some(CANARY) {
            return Some(refusal(401, "invalid_client", 7_000_215));
        }
        healthy(seen)
    });
    let client = world.client();
    instance_at(&client, HOST).health().await.unwrap();
    let guess = Credentials::ClientSecret {
        tenant_id: TENANT.into(),
        client_id: CLIENT.into(),
        secret: "guess".into(),
    };
    let origin = Origin::parse(&format!("https://{HOST}")).unwrap();
    let error = client.instance(&origin, &guess).unwrap().health().await.unwrap_err();
    assert_eq!(error.meaning(), Meaning::CredentialsUnusable);
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
async fn refusals_of_the_token_endpoint_are_told_apart(
    #[case] status: u16,
    #[case] word: &'static str,
    #[case] reason: Rejection,
) {
    let world = World::new(move |seen| (seen.host == LOGIN).then(|| refusal(status, word, 7_000_215)));
    let error = world.instance().health().await.unwrap_err();
    assert_eq!(error.kind, Kind::CredentialsRejected { reason, aadsts: Some(7_000_215) });
    assert_eq!(error.peer, Peer::SignIn);
    assert!(!format!("{error} {error:?}").contains(CANARY));
}

#[tokio::test]
async fn a_broken_token_endpoint_says_nothing_about_instance_or_credentials() {
    for reply in [
        || Reply::html(200),
        || Reply::html(400),
        || Reply::empty(200),
        || Reply::empty(503),
        || Reply::json(400, serde_json::json!({"error": "temporarily_unavailable"})),
    ] {
        let world = World::new(move |seen| (seen.host == LOGIN).then(reply));
        let error = world.instance().health().await.unwrap_err();
        assert_eq!((error.peer, error.meaning()), (Peer::SignIn, Meaning::SignInUnavailable), "{error}");
        assert!(world.seen_by(HOST).is_empty());
    }
}

#[rstest]
#[case(serde_json::json!({"token_type": "Bearer", "expires_in": 3600, "access_token": "a\r\nb: c"}))]
#[case(serde_json::json!({"token_type": "Bearer", "expires_in": 3600, "access_token": ""}))]
#[case(serde_json::json!({"token_type": "mac", "expires_in": 3600, "access_token": "a"}))]
#[case(serde_json::json!({"token_type": "Bearer", "expires_in": 3600, "access_token": "x".repeat(40_000)}))]
#[tokio::test]
async fn a_token_that_is_none_is_not_used(#[case] granted: serde_json::Value) {
    let world = World::new(move |seen| (seen.host == LOGIN).then(|| Reply::json(200, &granted)));
    let error = world.instance().health().await.unwrap_err();
    assert!(matches!(error.kind, Kind::Rubbish { .. }), "{error}");
    assert!(world.seen_by(HOST).is_empty());
}

#[tokio::test]
async fn a_401_gets_a_new_token_once_and_the_request_is_repeated() {
    let world = World::new(|seen| match seen.header("authorization") {
        "Bearer token-1" => Some(Reply::empty(401)),
        _ => healthy(seen),
    });
    world.instance().health().await.unwrap();
    let paths: Vec<String> = world.seen_by(HOST).into_iter().map(|s| s.path).collect();
    assert_eq!(paths.iter().filter(|p| p.ends_with("WhoAmI")).count(), 2);
    assert_eq!(world.seen_by(LOGIN).len(), 2);
}

#[tokio::test]
async fn a_401_that_stays_is_a_rejection_after_two_tries() {
    let world = World::new(|seen| (seen.host == HOST).then(|| Reply::html(401)));
    let error = world.instance().health().await.unwrap_err();
    assert_eq!(error.kind, Kind::CredentialsRejected { reason: Rejection::Unauthorized, aadsts: None });
    assert_eq!((world.seen_by(HOST).len(), world.seen_by(LOGIN).len()), (2, 2));
}

#[tokio::test]
async fn a_good_token_outlasts_a_token_endpoint_that_is_down() {
    let down = Arc::new(AtomicBool::new(false));
    let script = down.clone();
    let world = World::new(move |seen| {
        if seen.host == LOGIN && script.load(Ordering::Relaxed) {
            return Some(Reply::empty(503));
        }
        healthy(seen)
    });
    let instance = world.instance();
    instance.health().await.unwrap();
    down.store(true, Ordering::Relaxed);
    world.advance(Duration::from_secs(57 * 60));
    instance.health().await.unwrap();
    assert_eq!(world.seen_by(LOGIN).len(), 2, "renewal is tried once, then paused");
    world.advance(Duration::from_secs(4 * 60));
    assert_eq!(instance.health().await.unwrap_err().meaning(), Meaning::SignInUnavailable);
}

#[tokio::test]
async fn t6_a_throttled_token_endpoint_is_left_alone() {
    let world = World::new(|seen| (seen.host == LOGIN).then(|| Reply::empty(429).with("retry-after", "120")));
    let instance = world.instance();
    for wait in [120, 60, 1] {
        let error = instance.health().await.unwrap_err();
        assert_eq!(error.retry_after(), Some(Duration::from_secs(wait)));
        world.advance(Duration::from_secs(if wait == 120 { 60 } else { 59 }));
    }
    assert_eq!(world.seen_by(LOGIN).len(), 1);
}

#[tokio::test]
async fn t6_a_silent_token_endpoint_ends_at_its_deadline() {
    let world = World::new(|seen| (seen.host == LOGIN).then(|| Reply::json(200, "").stalled("{")));
    let client = Client::new(&world.impatient()).unwrap();
    let error = instance_at(&client, HOST).health().await.unwrap_err();
    assert_eq!((error.peer, error.kind), (Peer::SignIn, Kind::Unreachable(Unreachable::Timeout)));
}

#[tokio::test]
async fn a_waiting_caller_that_gives_up_does_not_take_the_others_with_it() {
    let attempts = Arc::new(AtomicUsize::new(0));
    let script = attempts.clone();
    let world = World::new(move |seen| {
        if seen.host == LOGIN {
            return Some(match script.fetch_add(1, Ordering::Relaxed) {
                0 => Reply::json(200, "").stalled("{"),
                n => token(n),
            });
        }
        healthy(seen)
    });
    let instance = world.instance();
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
async fn a_certificate_signs_an_assertion_that_verifies() {
    let world = World::new(healthy);
    let client = world.client();
    let certificate = certificate_of(rsa_key());
    // A stranger's certificate first: the one that belongs to the key must be found.
    let stranger = rcgen::generate_simple_self_signed(vec!["other.test".into()]).unwrap().cert;
    let pem = format!("{}{}{}", stranger.pem(), rsa_key(), certificate.pem());
    let origin = Origin::parse(&format!("https://{HOST}")).unwrap();
    client.instance(&origin, &with_pem(pem)).unwrap().health().await.unwrap();

    let login = &world.seen_by(LOGIN)[0];
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
async fn a_federated_token_is_sent_as_assertion() {
    let world = World::new(healthy);
    let origin = Origin::parse(&format!("https://{HOST}")).unwrap();
    let credentials = Credentials::FederatedToken {
        tenant_id: "contoso.onmicrosoft.com".into(),
        client_id: CLIENT.into(),
        token: CANARY.into(),
    };
    world.client().instance(&origin, &credentials).unwrap().health().await.unwrap();
    let login = &world.seen_by(LOGIN)[0];
    assert_eq!(login.path, "/contoso.onmicrosoft.com/oauth2/v2.0/token");
    assert_eq!(login.form("client_assertion").unwrap(), CANARY);
    assert_eq!(login.form("client_secret"), None);
}

#[test]
fn credentials_that_cannot_work_are_refused_before_anything_is_sent() {
    let client = World::new(|_| None).client();
    let origin = Origin::parse(&format!("https://{HOST}")).unwrap();
    let with_ids = |tenant: &str, client: &str, secret: &str| Credentials::ClientSecret {
        tenant_id: tenant.into(),
        client_id: client.into(),
        secret: secret.into(),
    };
    let ec = rcgen::generate_simple_self_signed(vec!["other.test".into()]).unwrap();
    let certificate = certificate_of(rsa_key()).pem();
    for (credentials, fault) in [
        (with_ids("common", CLIENT, CANARY), CredentialFault::TenantId),
        (with_ids("../../evil", CLIENT, CANARY), CredentialFault::TenantId),
        (with_ids("evil.net/x?y", CLIENT, CANARY), CredentialFault::TenantId),
        (with_ids(TENANT, "me", CANARY), CredentialFault::ClientId),
        (with_ids(TENANT, CLIENT, " \n"), CredentialFault::Empty),
        (with_pem(CANARY.into()), CredentialFault::NoCertificate),
        (with_pem(certificate.clone()), CredentialFault::NoKey),
        (with_pem(format!("{}{}", ec.cert.pem(), ec.signing_key.serialize_pem())), CredentialFault::NotRsa),
        (with_pem(format!("{}{}", ec.cert.pem(), rsa_key())), CredentialFault::KeyMismatch),
    ] {
        let error = client.instance(&origin, &credentials).unwrap_err();
        assert_eq!(error.kind, Kind::CredentialsUnusable(fault));
        assert!(!format!("{error} {error:?} {credentials:?}").contains(CANARY));
    }
}

#[test]
fn calls_can_move_between_threads() {
    fn is_send<T: Send>(_: T) {}
    let instance = World::new(|_| None).instance();
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
fn t5_credentials_print_without_their_secret() {
    let printed = format!("{:?}", secret());
    assert!(printed.contains(TENANT) && !printed.contains(CANARY), "{printed}");
}
