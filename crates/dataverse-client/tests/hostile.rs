//! Hostile and broken responses: bounded in size and time, and never repeated in an error.

use std::io;
use std::sync::{Arc, Mutex};

use dataverse_client::{
    Activity, Client, Config, Endpoint, ErrorClass, ErrorKind, Transport, UnexpectedResponse, Unreachable,
};
use rstest::rstest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::server::{CANARY, HOST, LOGIN, Reply, Server, UPSTREAM, id, instance_at};
use super::sign_in::healthy;

fn unexpected(status: u16, reason: UnexpectedResponse) -> ErrorKind {
    ErrorKind::UnexpectedResponse { status, reason }
}

#[rstest]
#[case::page(|| Reply::html(200), unexpected(200, UnexpectedResponse::Html))]
#[case::missing_page(|| Reply::html(404), unexpected(404, UnexpectedResponse::Html))]
#[case::forbidden_page(|| Reply::html(403), unexpected(403, UnexpectedResponse::Html))]
#[case::empty(|| Reply::empty(200), unexpected(200, UnexpectedResponse::Empty))]
#[case::no_content(|| Reply::empty(204), unexpected(204, UnexpectedResponse::Empty))]
#[case::empty_404(|| Reply::empty(404), unexpected(404, UnexpectedResponse::Empty))]
#[case::text(|| Reply::typed(200, "text/plain", UPSTREAM), unexpected(200, UnexpectedResponse::ContentType))]
#[case::not_json(|| Reply::json(200, UPSTREAM), unexpected(200, UnexpectedResponse::Undecodable))]
#[case::other_shape(|| Reply::json(200, "{}"), unexpected(200, UnexpectedResponse::Undecodable))]
#[case::deep(|| Reply::json(200, "[".repeat(100_000)), unexpected(200, UnexpectedResponse::Undecodable))]
#[case::endless(|| Reply::json(200, "").endless(), unexpected(200, UnexpectedResponse::TooLarge))]
#[case::two_gigabytes(
    || Reply::json(200, "").stalled("{").with("content-length", "2147483648"),
    unexpected(200, UnexpectedResponse::TooLarge)
)]
#[case::compressed(
    || Reply::json(200, UPSTREAM).with("content-encoding", "gzip"),
    unexpected(200, UnexpectedResponse::Encoding)
)]
#[case::huge_header(
    || Reply::json(200, "{}").with("x-large", &"x".repeat(200_000)),
    unexpected(0, UnexpectedResponse::InvalidHead)
)]
#[case::broken_body(|| Reply::json(200, "").broken("{"), ErrorKind::Unreachable(Unreachable::Reset))]
#[case::redirect(
    || Reply::empty(302).with("location", "https://evil.crm.dynamics.com/"),
    ErrorKind::RedirectRefused { status: 302 }
)]
#[case::unavailable(|| Reply::html(503), ErrorKind::ServiceUnavailable { status: 503, retry_after: None })]
#[case::gateway(|| Reply::empty(502), ErrorKind::ServiceUnavailable { status: 502, retry_after: None })]
#[case::disabled(|| Reply::error(403, "0x8004A104"), ErrorKind::OrganizationDisabled)]
#[tokio::test]
async fn hostile_response_is_downtime_without_its_text(
    #[case] reply: fn() -> Reply,
    #[case] kind: ErrorKind,
) {
    let server = Server::new(move |request| (request.host == HOST).then(reply));
    let error = server.instance().health().await.unwrap_err();
    assert_eq!((error.endpoint, error.kind.clone()), (Endpoint::Instance, kind));
    assert_eq!(error.class(), ErrorClass::InstanceDown);
    let printed = format!("{error} {error:?}");
    for word in [UPSTREAM, CANARY, "token-1", "https://", "select"] {
        assert!(!printed.contains(word), "{printed}");
    }
}

#[tokio::test]
async fn redirect_of_the_instance_is_not_followed() {
    let server = Server::new(|request| {
        (request.host == HOST).then(|| Reply::empty(307).with("location", "https://evil.net/"))
    });
    server.instance().create_activity(id(1), &Activity::default()).await.unwrap_err();
    assert!(server.requests().iter().all(|s| s.host == HOST || s.host == LOGIN));
}

#[tokio::test]
async fn redirect_of_the_token_endpoint_is_not_followed() {
    let server = Server::new(|request| {
        (request.host == LOGIN).then(|| Reply::empty(307).with("location", "https://evil.net/"))
    });
    let error = server.instance().health().await.unwrap_err();
    assert_eq!((error.endpoint, error.kind), (Endpoint::SignIn, ErrorKind::RedirectRefused { status: 307 }));
    assert!(server.requests().iter().all(|s| s.host == LOGIN));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn slow_body_times_out() {
    let server =
        Server::new(|request| (request.host == HOST).then(|| Reply::json(200, "").stalled("{\"UserId\":")));
    let client = Client::new(&server.short_timeouts()).unwrap();
    let error = instance_at(&client, HOST).health().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable(Unreachable::Timeout));
    assert_eq!(error.class(), ErrorClass::InstanceDown);
}

/// A client whose connections to the instance are handled by `raw`; sign-in works.
fn raw(
    server: &Arc<Server>,
    config: Config,
    raw: impl Fn(tokio::io::DuplexStream) -> io::Result<()> + Send + Sync + 'static,
) -> Client {
    let server = server.clone();
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
async fn refused_connection_is_unreachable() {
    let server = Server::new(|_| None);
    let client = raw(&server, server.config(), |_| Err(io::ErrorKind::ConnectionRefused.into()));
    let error = instance_at(&client, HOST).health().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable(Unreachable::Connect));
}

#[tokio::test]
async fn connection_closed_before_the_response_is_a_reset() {
    let server = Server::new(|_| None);
    let client = raw(&server, server.config(), |stream| {
        drop(stream);
        Ok(())
    });
    let error = instance_at(&client, HOST).health().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable(Unreachable::Reset));
}

#[tokio::test]
async fn silent_server_times_out() {
    let held = Mutex::new(Vec::new());
    let server = Server::new(|_| None);
    let client = raw(&server, server.short_timeouts(), move |stream| {
        held.lock().unwrap().push(stream);
        Ok(())
    });
    let error = instance_at(&client, HOST).health().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable(Unreachable::Timeout));
}

#[tokio::test]
async fn non_http_server_is_unexpected() {
    let server = Server::new(|_| None);
    let client = raw(&server, server.config(), |mut stream| {
        tokio::spawn(async move {
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.6\r\n\r\n").await;
        });
        Ok(())
    });
    let error = instance_at(&client, HOST).health().await.unwrap_err();
    assert_eq!(error.kind, unexpected(0, UnexpectedResponse::InvalidHead));
}

#[tokio::test]
async fn connection_closed_while_idle_is_retried() {
    // Responds to one request per connection, then reads the next and closes, like a server that is restarted.
    let server = Server::new(healthy);
    let client = raw(&server, server.config(), |mut stream| {
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
            let _ = stream.read(&mut request).await;
        });
        Ok(())
    });
    instance_at(&client, HOST).health().await.unwrap();
}

#[tokio::test]
async fn logs_hold_no_secret_or_token() {
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
    let server = Server::new(healthy);
    server.instance().health().await.unwrap();
    let text = String::from_utf8_lossy(&lines.0.lock().unwrap()).into_owned();
    assert!(text.contains("listening"), "the log must be captured for this test to mean anything");
    for word in [CANARY, "token-1", "Bearer"] {
        assert!(!text.contains(word), "{word} stands in the log");
    }
}
