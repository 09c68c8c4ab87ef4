//! HTTP/1.1 on one connection, in memory or over TLS.

use std::convert::Infallible;

use bytes::Bytes;
use futures::stream;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};

use super::answer::{Answer, text_answer};
use super::batch;
use super::clouds::{Service, service_at};
use super::faults::{self, Fault};
use super::gate::{Received, Reply, reply, rubbish};
use super::journal::RequestRecord;
use super::world::World;

/// Bodies above this are refused; the largest batch stays far below.
const MAX_BODY: usize = 64 * 1024 * 1024;
const PIPE: usize = 64 * 1024;

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// The request is not answered; the connection is closed.
#[derive(Debug, thiserror::Error)]
#[error("the simulated instance closed the connection")]
struct Closed;

impl World {
    /// Connects to a host in memory: plain HTTP/1.1, no TLS. A host that is not there, or cannot be
    /// reached, gives a stream that is closed already. Needs a Tokio runtime.
    pub fn connector(&self) -> impl Fn(&str) -> DuplexStream + Clone + Send + Sync + 'static + use<> {
        let world = self.clone();
        move |host: &str| {
            let (client, server) = tokio::io::duplex(PIPE);
            if world.is_reachable(host) {
                let (world, host) = (world.clone(), host.to_owned());
                tokio::spawn(async move { serve(world, host, server).await });
            }
            client
        }
    }
}

/// Serves one connection to `host` until either side closes it.
pub(super) async fn serve<S>(world: World, host: String, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request| {
        let (world, host) = (world.clone(), host.clone());
        async move { respond(&world, &host, request).await }
    });
    // An error here is the client going away, or us closing on purpose: nothing to tell anybody.
    let _closed = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// Counts a request as running until it is answered or its connection is gone.
struct Flight<'a> {
    world: &'a World,
    host: &'a str,
}

impl<'a> Flight<'a> {
    fn start(world: &'a World, host: &'a str) -> Self {
        *world.state().in_flight.entry(host.to_owned()).or_default() += 1;
        world.inner.traffic.notify_waiters();
        Self { world, host }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        if let Some(count) = self.world.state().in_flight.get_mut(self.host) {
            *count = count.saturating_sub(1);
        }
        self.world.inner.traffic.notify_waiters();
    }
}

async fn respond(world: &World, host: &str, request: Request<Incoming>) -> Result<Response<Body>, Closed> {
    let (parts, body) = request.into_parts();
    let body = match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Ok(whole(text_answer(StatusCode::PAYLOAD_TOO_LARGE, "text/html", ""))),
    };
    let _flight = Flight::start(world, host);
    let request = Received { method: parts.method, uri: parts.uri, headers: parts.headers, body };
    let (number, fault, released) = record(world, host, &request);
    match &fault {
        Some(Fault::Hang) => {
            let mut released = released;
            // The sender lives as long as the world, which we hold.
            let _ = released.changed().await;
        }
        Some(Fault::DropBefore) => return Err(Closed),
        Some(Fault::Garbage) => return Ok(answered(world, number, rubbish())),
        Some(Fault::Status { status, retry_after }) => {
            let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut answer = text_answer(status, "text/html", "<h1>The service is unavailable.</h1>");
            if let Some(value) = retry_after.as_ref().and_then(|text| text.parse().ok()) {
                answer.headers_mut().insert("retry-after", value);
            }
            return Ok(answered(world, number, answer));
        }
        Some(Fault::DropAfter | Fault::Truncate) | None => {}
    }
    let now = world.now();
    let reply = reply(&mut world.state(), host, &request, now);
    match (reply, fault) {
        (Reply::Nothing, _) | (_, Some(Fault::DropAfter)) => Err(Closed),
        (Reply::Answer(answer), Some(Fault::Truncate)) => Ok(truncated(world, number, answer)),
        (Reply::Answer(answer), _) => Ok(answered(world, number, answer)),
        (Reply::Endless, _) => {
            world.state().journal.close(number, 200);
            Ok(endless())
        }
    }
}

/// Writes the request down and takes the fault meant for it, in one step.
fn record(
    world: &World,
    host: &str,
    request: &Received,
) -> (u64, Option<Fault>, tokio::sync::watch::Receiver<u64>) {
    let whole = request.uri.path_and_query().map_or_else(String::new, ToString::to_string);
    let path = if service_at(host) == Some(Service::SignIn) { request.uri.path().to_owned() } else { whole };
    let is_instance = service_at(host).is_none();
    let parts = if is_instance && request.uri.path().ends_with("/$batch") {
        batch::outline(&request.headers, &request.body, host)
    } else {
        Vec::new()
    };
    let line = format!("{} {path}", request.method);
    let record = RequestRecord {
        at: world.now(),
        method: request.method.to_string(),
        host: host.to_owned(),
        path,
        parts,
        status: None,
    };
    let mut state = world.state();
    let released = world.inner.released.subscribe();
    let number = state.journal.open(record);
    let fault = faults::take(&mut state.faults, host, &line);
    (number, fault, released)
}

fn answered(world: &World, number: u64, answer: Answer) -> Response<Body> {
    world.state().journal.close(number, answer.status().as_u16());
    whole(answer)
}

fn whole(answer: Answer) -> Response<Body> {
    answer.map(|bytes| Full::new(bytes).map_err(infallible).boxed_unsync())
}

fn infallible(never: Infallible) -> std::io::Error {
    match never {}
}

/// The head and half the body, then the connection breaks.
fn truncated(world: &World, number: u64, answer: Answer) -> Response<Body> {
    world.state().journal.close(number, answer.status().as_u16());
    let length = answer.body().len();
    let mut answer = answer.map(|bytes| {
        let half = bytes.slice(..bytes.len() / 2);
        let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        StreamBody::new(stream::iter([Ok(Frame::data(half)), Err(broken)])).boxed_unsync()
    });
    // A declared length lets the client notice that something is missing.
    answer.headers_mut().insert("content-length", length.into());
    answer
}

fn endless() -> Response<Body> {
    let start = Bytes::from_static(b"{\"value\":[");
    let more = Bytes::from_static(&[b' '; 16 * 1024]);
    let body = stream::unfold(start, move |chunk| {
        let next = more.clone();
        async move { Some((Ok(Frame::data(chunk)), next)) }
    });
    let mut response = Response::new(StreamBody::new(body).boxed_unsync());
    response
        .headers_mut()
        .insert("content-type", http::HeaderValue::from_static("application/json; odata.metadata=minimal"));
    response
}
