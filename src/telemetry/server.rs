//! `/livez`, `/readyz` and `/metrics` over plain HTTP, for the kubelet and Prometheus.

use http_body_util::Full;
use hyper::{Request, Response, StatusCode, body::Bytes, body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::net::TcpListener;
use tracing::debug;

/// What the endpoints say.
pub trait Pages: Send + Sync + 'static {
    /// Whether the process does its work.
    fn is_live(&self) -> bool;
    /// Whether it is ready for it.
    fn is_ready(&self) -> bool;
    /// The metrics, in the Prometheus text format.
    fn metrics(&self) -> String;
}

/// Serves on `address` until the process ends. Returns the address bound.
pub async fn serve(address: SocketAddr, pages: Arc<dyn Pages>) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                // Out of file descriptors, most likely; they come back.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let pages = pages.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let page = page(&request, pages.as_ref());
                    async move { Ok::<_, Infallible>(page) }
                });
                let served = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(Duration::from_secs(5))
                    .serve_connection(TokioIo::new(stream), service);
                if let Err(error) = served.await {
                    debug!(%error, "a connection to the health endpoint ended");
                }
            });
        }
    });
    Ok(bound)
}

fn page(request: &Request<Incoming>, pages: &dyn Pages) -> Response<Full<Bytes>> {
    let (status, text) = match request.uri().path() {
        "/livez" => told(pages.is_live()),
        "/readyz" => told(pages.is_ready()),
        "/metrics" => (StatusCode::OK, pages.metrics()),
        _ => (StatusCode::NOT_FOUND, "not found\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
}

fn told(fine: bool) -> (StatusCode, String) {
    if fine {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "no\n".to_owned())
    }
}
