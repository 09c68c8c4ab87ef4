//! Manners: a 429 silences us for as long as asked, and at most so many requests are under way (T6).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dataverse_client::{Client, Config, Credentials, Kind, Meaning, Origin, Peer};
use rstest::rstest;

use super::server::{CANARY, HOST, LOGIN, Reply, TENANT, World, instance_at};
use super::sign_in::healthy;

/// Throttles the first request to the instance, then is healthy.
fn once(first: fn() -> Reply) -> Arc<World> {
    let mut first = Some(first);
    World::new(move |seen| {
        if seen.host == HOST
            && let Some(reply) = first.take()
        {
            return Some(reply());
        }
        healthy(seen)
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
async fn t6_after_a_429_nothing_is_sent_until_the_time_has_passed(
    #[case] first: fn() -> Reply,
    #[case] wait: u64,
) {
    let world = once(first);
    let client = world.client();
    let error = instance_at(&client, HOST).health().await.unwrap_err();
    assert_eq!(error.kind, Kind::Throttled { retry_after: Duration::from_secs(wait) });
    assert_eq!(error.meaning(), Meaning::Wait);
    let sent = world.seen().len();

    // A new handle knows as well, although the old one is gone.
    world.advance(Duration::from_secs(wait - 1));
    let error = instance_at(&client, HOST).health().await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(1)));
    assert_eq!(world.seen().len(), sent, "nothing was sent");

    world.advance(Duration::from_secs(1));
    instance_at(&client, HOST).health().await.unwrap();
}

#[tokio::test]
async fn one_throttled_instance_does_not_hold_up_another() {
    let world = once(|| Reply::empty(429).with("retry-after", "60"));
    let client = world.client();
    instance_at(&client, HOST).health().await.unwrap_err();
    instance_at(&client, "fabrikam.crm.dynamics.com").health().await.unwrap();
    // Nor another identity at the same one: Dataverse counts per user.
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
async fn t6_slots_are_bounded_and_waiting_for_one_ends_at_the_deadline_unsent() {
    let mut first = true;
    let world = World::new(move |seen| {
        let stall = || Reply::json(200, "").stalled("{");
        (seen.host == HOST).then(|| if std::mem::take(&mut first) { Reply::empty(404) } else { stall() })
    });
    let client = Client::new(&Config { concurrency: 3, ..world.impatient() }).unwrap();
    let instance = instance_at(&client, HOST);
    // One that goes first gets the token, so that all the others stand at the slots alone.
    instance.health().await.unwrap_err();
    let answers = futures::future::join_all((0..10).map(|_| instance.health())).await;
    assert_eq!(world.seen_by(HOST).len(), 1 + 3, "three slots, three requests");
    let busy = answers.iter().filter(|a| a.as_ref().unwrap_err().kind == Kind::Busy).count();
    assert_eq!(busy, 7, "{answers:?}");
}

#[tokio::test]
async fn nobody_without_a_token_takes_a_slot() {
    let refused = Arc::new(AtomicUsize::new(0));
    let count = refused.clone();
    let world = World::new(move |seen| {
        if seen.host == LOGIN && seen.form("client_secret").as_deref() != Some(CANARY) {
            count.fetch_add(1, Ordering::Relaxed);
            return Some(Reply::json(200, "").stalled("{"));
        }
        healthy(seen)
    });
    let client = Client::new(&Config { concurrency: 1, ..world.config() }).unwrap();
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
async fn a_503_carries_its_wait_and_does_not_close_the_gate() {
    let world = once(|| Reply::html(503).with("retry-after", "40"));
    let instance = world.instance();
    let error = instance.health().await.unwrap_err();
    assert_eq!(error.peer, Peer::Instance);
    assert_eq!(error.retry_after(), Some(Duration::from_secs(40)));
    instance.health().await.unwrap();
}
