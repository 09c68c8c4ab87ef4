//! Hostile and broken answers: bounded in size and time, and never repeated in an error (T5, T6, R27).

use std::io;
use std::sync::{Arc, Mutex};

use dataverse_client::{Activity, Client, Config, Kind, Meaning, Peer, Rubbish, Transport, Unreachable};
use rstest::rstest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::server::{CANARY, HOST, LOGIN, Reply, UPSTREAM, World, id, instance_at};
use super::sign_in::healthy;

fn rubbish(status: u16, why: Rubbish) -> Kind {
    Kind::Rubbish { status, why }
}

#[rstest]
#[case::page(|| Reply::html(200), rubbish(200, Rubbish::Html))]
#[case::missing_page(|| Reply::html(404), rubbish(404, Rubbish::Html))]
#[case::forbidden_page(|| Reply::html(403), rubbish(403, Rubbish::Html))]
#[case::empty(|| Reply::empty(200), rubbish(200, Rubbish::Empty))]
#[case::no_content(|| Reply::empty(204), rubbish(204, Rubbish::Empty))]
#[case::empty_404(|| Reply::empty(404), rubbish(404, Rubbish::Empty))]
#[case::text(|| Reply::typed(200, "text/plain", UPSTREAM), rubbish(200, Rubbish::ContentType))]
#[case::not_json(|| Reply::json(200, UPSTREAM), rubbish(200, Rubbish::Unreadable))]
#[case::other_shape(|| Reply::json(200, "{}"), rubbish(200, Rubbish::Unreadable))]
#[case::deep(|| Reply::json(200, "[".repeat(100_000)), rubbish(200, Rubbish::Unreadable))]
#[case::endless(|| Reply::json(200, "").endless(), rubbish(200, Rubbish::TooLarge))]
#[case::two_gigabytes(
    || Reply::json(200, "").stalled("{").with("content-length", "2147483648"),
    rubbish(200, Rubbish::TooLarge)
)]
#[case::compressed(
    || Reply::json(200, UPSTREAM).with("content-encoding", "gzip"),
    rubbish(200, Rubbish::Encoding)
)]
#[case::huge_header(
    || Reply::json(200, "{}").with("x-large", &"x".repeat(200_000)),
    rubbish(0, Rubbish::Head)
)]
#[case::broken_body(|| Reply::json(200, "").broken("{"), Kind::Unreachable(Unreachable::Reset))]
#[case::redirect(
    || Reply::empty(302).with("location", "https://evil.crm.dynamics.com/"),
    Kind::RedirectRefused { status: 302 }
)]
#[case::unavailable(|| Reply::html(503), Kind::ServiceUnavailable { status: 503, retry_after: None })]
#[case::gateway(|| Reply::empty(502), Kind::ServiceUnavailable { status: 502, retry_after: None })]
#[case::disabled(|| Reply::error(403, "0x8004A104"), Kind::OrganizationDisabled)]
#[tokio::test]
async fn t6_a_hostile_answer_is_downtime_and_nothing_of_it_is_repeated(
    #[case] reply: fn() -> Reply,
    #[case] kind: Kind,
) {
    let world = World::new(move |seen| (seen.host == HOST).then(reply));
    let error = world.instance().health().await.unwrap_err();
    assert_eq!((error.peer, error.kind.clone()), (Peer::Instance, kind));
    assert_eq!(error.meaning(), Meaning::InstanceDown);
    let printed = format!("{error} {error:?}");
    for word in [UPSTREAM, CANARY, "token-1", "https://", "select"] {
        assert!(!printed.contains(word), "{printed}");
    }
}

#[tokio::test]
async fn t1_a_redirect_is_not_followed_and_the_other_host_gets_nothing() {
    let world = World::new(|seen| {
        (seen.host == HOST).then(|| Reply::empty(307).with("location", "https://evil.net/"))
    });
    world.instance().create_activity(id(1), &Activity::default()).await.unwrap_err();
    assert!(world.seen().iter().all(|s| s.host == HOST || s.host == LOGIN));
}

#[tokio::test]
async fn t2_a_redirect_of_the_token_endpoint_carries_no_credential_away() {
    let world = World::new(|seen| {
        (seen.host == LOGIN).then(|| Reply::empty(307).with("location", "https://evil.net/"))
    });
    let error = world.instance().health().await.unwrap_err();
    assert_eq!((error.peer, error.kind), (Peer::SignIn, Kind::RedirectRefused { status: 307 }));
    assert!(world.seen().iter().all(|s| s.host == LOGIN));
    assert_eq!(world.seen().len(), 1);
}

#[tokio::test]
async fn t6_a_body_that_dribbles_past_the_deadline_is_given_up() {
    let world = World::new(|seen| (seen.host == HOST).then(|| Reply::json(200, "").stalled("{\"UserId\":")));
    let client = Client::new(&world.impatient()).unwrap();
    let error = instance_at(&client, HOST).health().await.unwrap_err();
    assert_eq!(error.kind, Kind::Unreachable(Unreachable::Timeout));
    assert_eq!(error.meaning(), Meaning::InstanceDown);
}

/// A client whose instance connections are handled by `raw`; sign-in works.
fn raw(
    world: &Arc<World>,
    config: Config,
    raw: impl Fn(tokio::io::DuplexStream) -> io::Result<()> + Send + Sync + 'static,
) -> Client {
    let server = world.clone();
    Client::new(&Config {
        transport: Transport::InMemory(Arc::new(move |host| {
            let (ours, theirs) = tokio::io::duplex(64 << 10);
            if host == LOGIN {
                tokio::spawn(server.clone().serve(theirs));
            } else {
                raw(theirs)?;
            }
            Ok(ours)
        })),
        ..config
    })
    .unwrap()
}

#[tokio::test]
async fn a_refused_connection_is_named() {
    let world = World::new(|_| None);
    let client = raw(&world, world.config(), |_| Err(io::ErrorKind::ConnectionRefused.into()));
    let error = instance_at(&client, HOST).health().await.unwrap_err();
    assert_eq!(error.kind, Kind::Unreachable(Unreachable::Connect));
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_answer_is_named() {
    let world = World::new(|_| None);
    let client = raw(&world, world.config(), |stream| {
        drop(stream);
        Ok(())
    });
    let error = instance_at(&client, HOST).health().await.unwrap_err();
    assert_eq!(error.kind, Kind::Unreachable(Unreachable::Reset));
}

#[tokio::test]
async fn t6_a_server_that_never_answers_ends_at_the_deadline() {
    let held = Mutex::new(Vec::new());
    let world = World::new(|_| None);
    let client = raw(&world, world.impatient(), move |stream| {
        held.lock().unwrap().push(stream);
        Ok(())
    });
    let error = instance_at(&client, HOST).health().await.unwrap_err();
    assert_eq!(error.kind, Kind::Unreachable(Unreachable::Timeout));
}

#[tokio::test]
async fn a_server_that_does_not_speak_http_is_rubbish() {
    let world = World::new(|_| None);
    let client = raw(&world, world.config(), |mut stream| {
        tokio::spawn(async move {
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.6\r\n\r\n").await;
        });
        Ok(())
    });
    let error = instance_at(&client, HOST).health().await.unwrap_err();
    assert_eq!(error.kind, rubbish(0, Rubbish::Head));
}

#[tokio::test]
async fn a_connection_closed_while_idle_is_not_downtime() {
    // Answers one request per connection and then closes without saying so, as a restarted server does.
    let world = World::new(healthy);
    let client = raw(&world, world.config(), |mut stream| {
        tokio::spawn(async move {
            let mut request = vec![0; 8192];
            let read = stream.read(&mut request).await.unwrap_or(0);
            let row = String::from_utf8_lossy(&request[..read]).contains("organizations(");
            let body = if row {
                format!(r#"{{"organizationid":"{}","name":"x"}}"#, id(3))
            } else {
                format!(r#"{{"UserId":"{}","OrganizationId":"{}"}}"#, id(2), id(3))
            };
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all((head + &body).as_bytes()).await;
            // The next request on this connection is read and never answered.
            let _ = stream.read(&mut request).await;
        });
        Ok(())
    });
    instance_at(&client, HOST).health().await.unwrap();
}

#[tokio::test]
async fn t5_no_log_line_holds_a_secret_or_a_token() {
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    tracing::trace!("listening");
    let world = World::new(healthy);
    world.instance().health().await.unwrap();
    let text = String::from_utf8_lossy(&lines.0.lock().unwrap()).into_owned();
    assert!(text.contains("listening"), "the log must be captured for this test to mean anything");
    for word in [CANARY, "token-1", "Bearer"] {
        assert!(!text.contains(word), "{word} stands in the log");
    }
}
