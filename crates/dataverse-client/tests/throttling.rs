//! Throttling: `Retry-After` is honored, and requests in flight are bounded.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dataverse_client::{Client, Config, Credentials, Endpoint, ErrorClass, ErrorKind, Origin};
use rstest::rstest;

use super::server::{CANARY, HOST, LOGIN, Reply, Server, TENANT, instance_at};
use super::sign_in::healthy;

/// Sends `first` as the first response of the instance, and is healthy afterwards.
fn once(first: fn() -> Reply) -> Arc<Server> {
    let mut first = Some(first);
    Server::new(move |request| {
        if request.host == HOST
            && let Some(reply) = first.take()
        {
            return Some(reply());
        }
        healthy(request)
    })
}

#[rstest]
#[case(|| Reply::error(429, "0x80072322").with("retry-after", "60"), 60)]
#[case(|| Reply::empty(429).with("retry-after", "1000000000"), 3600)]
#[case(|| Reply::empty(429).with("retry-after", "Thu, 31 Dec 2099 23:59:59 GMT"), 3600)]
#[case(|| Reply::empty(429).with("retry-after", "rubbish"), 30)]
#[case(|| Reply::html(429), 30)]
#[case(|| Reply::error(503, "-2147015898").with("retry-after", "7"), 7)]
#[case(|| Reply::error(400, "0x80072321"), 30)]
#[tokio::test]
async fn nothing_is_sent_until_retry_after_has_passed(#[case] first: fn() -> Reply, #[case] wait: u64) {
    let server = once(first);
    let client = server.client();
    let error = instance_at(&client, HOST).health().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Throttled { retry_after: Duration::from_secs(wait) });
    assert_eq!(error.class(), ErrorClass::RetryLater);
    let sent = server.requests().len();

    // A new handle is throttled too, although the first one is dropped.
    server.advance(Duration::from_secs(wait - 1));
    let error = instance_at(&client, HOST).health().await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(1)));
    assert_eq!(server.requests().len(), sent, "nothing was sent");

    server.advance(Duration::from_secs(1));
    instance_at(&client, HOST).health().await.unwrap();
}

#[tokio::test]
async fn throttling_is_per_instance_and_identity() {
    let server = once(|| Reply::empty(429).with("retry-after", "60"));
    let client = server.client();
    instance_at(&client, HOST).health().await.unwrap_err();
    instance_at(&client, "fabrikam.crm.dynamics.com").health().await.unwrap();
    // Another identity at the same instance is not throttled: Dataverse counts per user.
    let other = Credentials::ClientSecret {
        tenant_id: TENANT.into(),
        client_id: "00000000-0000-0000-0000-000000000001".into(),
        secret: CANARY.into(),
    };
    client
        .instance(&Origin::parse(&format!("https://{HOST}")).unwrap(), &other)
        .unwrap()
        .health()
        .await
        .unwrap();
}

#[tokio::test]
async fn waiting_for_a_slot_times_out_unsent() {
    let mut first = true;
    let server = Server::new(move |request| {
        let stall = || Reply::json(200, "").stalled("{");
        (request.host == HOST).then(|| if std::mem::take(&mut first) { Reply::empty(404) } else { stall() })
    });
    let client = Client::new(&Config { concurrency: 3, ..server.short_timeouts() }).unwrap();
    let instance = instance_at(&client, HOST);
    // The first call caches the token, so that the others wait for slots only.
    instance.health().await.unwrap_err();
    let responses = futures::future::join_all((0..10).map(|_| instance.health())).await;
    assert_eq!(server.requests_to(HOST).len(), 1 + 3, "three slots, three requests");
    let busy = responses.iter().filter(|a| a.as_ref().unwrap_err().kind == ErrorKind::Busy).count();
    assert_eq!(busy, 7, "{responses:?}");
}

#[tokio::test]
async fn sign_in_takes_no_slot() {
    let refused = Arc::new(AtomicUsize::new(0));
    let count = refused.clone();
    let server = Server::new(move |request| {
        if request.host == LOGIN && request.form("client_secret").as_deref() != Some(CANARY) {
            count.fetch_add(1, Ordering::Relaxed);
            return Some(Reply::json(200, "").stalled("{"));
        }
        healthy(request)
    });
    let client = Client::new(&Config { concurrency: 1, ..server.config() }).unwrap();
    let guess = Credentials::ClientSecret {
        tenant_id: TENANT.into(),
        client_id: super::server::CLIENT.into(),
        secret: "guess".into(),
    };
    let stuck = client.instance(&Origin::parse(&format!("https://{HOST}")).unwrap(), &guess).unwrap();
    let stuck = tokio::spawn(async move { stuck.health().await });
    while refused.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    instance_at(&client, HOST).health().await.unwrap();
    stuck.abort();
}

#[tokio::test]
async fn status_503_has_retry_after_but_no_pause() {
    let server = once(|| Reply::html(503).with("retry-after", "40"));
    let instance = server.instance();
    let error = instance.health().await.unwrap_err();
    assert_eq!(error.endpoint, Endpoint::Instance);
    assert_eq!(error.retry_after(), Some(Duration::from_secs(40)));
    instance.health().await.unwrap();
}
