//! HTTP/1.1 on one connection, in memory or over TLS. Injected faults take effect here.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::sync::watch;

use crate::clouds::{CloudService, service_at};
use crate::dispatch::{ReceivedRequest, Reply, dispatch};
use crate::faults::{self, Fault};
use crate::request_log::RequestRecord;
use crate::response::{HttpResponse, ODATA_JSON, malformed_json, text_response};
use crate::state::Shared;
use crate::web_api::batch;

/// Larger bodies are refused; the largest permitted batch is far smaller.
const MAX_BODY: usize = 64 * 1024 * 1024;
/// How much one side of an in-memory stream can write before the other side reads.
const PIPE: usize = 64 * 1024;

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// The request is not answered; the connection is closed.
#[derive(Debug, thiserror::Error)]
#[error("the simulated instance closed the connection")]
struct ConnectionClosed;

/// Opens an in-memory connection to a host. It is already closed if the host is unknown or unreachable.
pub(crate) fn connect_in_memory(shared: &Arc<Shared>, host: &str) -> DuplexStream {
    let (client, server) = tokio::io::duplex(PIPE);
    if shared.is_reachable(host) {
        let (shared, host) = (shared.clone(), host.to_owned());
        tokio::spawn(serve(shared, host, server));
    }
    client
}

/// Serves one connection to `host` until either side closes it.
pub(crate) async fn serve<S>(shared: Arc<Shared>, host: String, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request| {
        let (shared, host) = (shared.clone(), host.clone());
        async move { respond(&shared, &host, request).await }
    });
    // An error means that the client disconnected, or that a fault or state closed the connection on purpose.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// Counts a request as in flight until it is answered or its connection is closed.
struct InFlight<'a> {
    shared: &'a Shared,
    host: &'a str,
}

impl<'a> InFlight<'a> {
    fn start(shared: &'a Shared, host: &'a str) -> Self {
        *shared.state().in_flight.entry(host.to_owned()).or_default() += 1;
        shared.traffic.notify_waiters();
        Self { shared, host }
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if let Some(count) = self.shared.state().in_flight.get_mut(self.host) {
            *count = count.saturating_sub(1);
        }
        self.shared.traffic.notify_waiters();
    }
}

async fn respond(
    shared: &Shared,
    host: &str,
    request: Request<Incoming>,
) -> Result<Response<Body>, ConnectionClosed> {
    let (parts, body) = request.into_parts();
    let body = match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Ok(complete(text_response(StatusCode::PAYLOAD_TOO_LARGE, "text/html", ""))),
    };
    let _in_flight = InFlight::start(shared, host);
    let request = ReceivedRequest { method: parts.method, uri: parts.uri, headers: parts.headers, body };
    let (number, fault, released) = record(shared, host, &request);
    match &fault {
        Some(Fault::Hang) => {
            let mut released = released;
            // Fails only without a sender, and `shared` holds it.
            let _ = released.changed().await;
        }
        Some(Fault::DropBefore) => return Err(ConnectionClosed),
        Some(Fault::MalformedJson) => return Ok(answered(shared, number, malformed_json())),
        Some(Fault::Status { status, retry_after }) => {
            let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut response = text_response(status, "text/html", "<h1>The service is unavailable.</h1>");
            if let Some(value) = retry_after.as_ref().and_then(|text| text.parse().ok()) {
                response.headers_mut().insert(RETRY_AFTER, value);
            }
            return Ok(answered(shared, number, response));
        }
        Some(Fault::DropAfter | Fault::Truncate) | None => {}
    }
    let now = shared.now();
    let reply = dispatch(&mut shared.state(), host, &request, now);
    match (reply, fault) {
        (Reply::Close, _) | (_, Some(Fault::DropAfter)) => Err(ConnectionClosed),
        (Reply::Respond(response), Some(Fault::Truncate)) => Ok(truncated(shared, number, response)),
        (Reply::Respond(response), _) => Ok(answered(shared, number, response)),
        (Reply::RespondEndlessly, _) => {
            shared.state().request_log.complete(number, 200);
            Ok(endless())
        }
    }
}

/// Records the request and takes the fault meant for it, in one step.
fn record(
    shared: &Shared,
    host: &str,
    request: &ReceivedRequest,
) -> (u64, Option<Fault>, watch::Receiver<u64>) {
    let service = service_at(host);
    let path = match request.uri.path_and_query() {
        _ if service == Some(CloudService::SignIn) => request.uri.path().to_owned(),
        path_and_query => path_and_query.map_or_else(String::new, ToString::to_string),
    };
    let parts = if service.is_none() && request.uri.path().ends_with("/$batch") {
        batch::outline(&request.headers, &request.body, host)
    } else {
        Vec::new()
    };
    let line = format!("{} {path}", request.method);
    let record = RequestRecord {
        at: shared.now(),
        method: request.method.to_string(),
        host: host.to_owned(),
        path,
        parts,
        status: None,
    };
    let mut state = shared.state();
    let released = shared.released.subscribe();
    let number = state.request_log.add(record);
    let fault = faults::take(&mut state.faults, host, &line);
    (number, fault, released)
}

fn answered(shared: &Shared, number: u64, response: HttpResponse) -> Response<Body> {
    shared.state().request_log.complete(number, response.status().as_u16());
    complete(response)
}

fn complete(response: HttpResponse) -> Response<Body> {
    response.map(|bytes| Full::new(bytes).map_err(infallible).boxed_unsync())
}

fn infallible(never: Infallible) -> std::io::Error {
    match never {}
}

/// The head and half of the body, then the connection breaks.
fn truncated(shared: &Shared, number: u64, response: HttpResponse) -> Response<Body> {
    shared.state().request_log.complete(number, response.status().as_u16());
    let length = response.body().len();
    let mut response = response.map(|bytes| {
        let half = bytes.slice(..bytes.len() / 2);
        let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        StreamBody::new(stream::iter([Ok(Frame::data(half)), Err(broken)])).boxed_unsync()
    });
    // With a declared length the client notices that something is missing.
    response.headers_mut().insert(CONTENT_LENGTH, length.into());
    response
}

fn endless() -> Response<Body> {
    let start = Bytes::from_static(b"{\"value\":[");
    let more = Bytes::from_static(&[b' '; 16 * 1024]);
    let body = stream::unfold(start, move |chunk| {
        let next = more.clone();
        async move { Some((Ok(Frame::data(chunk)), next)) }
    });
    let mut response = Response::new(StreamBody::new(body).boxed_unsync());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(ODATA_JSON));
    response
}
