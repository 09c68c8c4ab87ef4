//! `/livez`, `/readyz` and `/metrics` over plain HTTP, for the kubelet and Prometheus.

use super::{
    health::{HealthChecks, HealthReport},
    metrics::Metrics,
};
use http::header::{self, HeaderValue};
use http_body_util::Full;
use hyper::{Method, Response, StatusCode, Uri, body::Bytes, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, io, net::SocketAddr, time::Duration};
use tokio::net::TcpListener;
use tracing::debug;

const PLAIN: &str = "text/plain; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What one address serves. The paths of what is `None` are 404 there.
#[derive(Clone, Default)]
pub struct Pages {
    /// `/livez` and `/readyz`.
    pub health: Option<HealthChecks>,
    /// `/metrics`.
    pub metrics: Option<Metrics>,
}

/// Serves on `address` until the process ends. Returns the address bound.
pub async fn serve(address: SocketAddr, pages: Pages) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                // Most likely out of file descriptors. Retry after a pause.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let pages = pages.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                    let response = respond(request.method(), request.uri(), &pages);
                    async move { Ok::<_, Infallible>(response) }
                });
                let served = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(Duration::from_secs(5))
                    .serve_connection(TokioIo::new(stream), service);
                if let Err(error) = served.await {
                    debug!(%error, "HTTP connection failed");
                }
            });
        }
    });
    Ok(bound)
}

fn respond(method: &Method, uri: &Uri, pages: &Pages) -> Response<Full<Bytes>> {
    let known = match uri.path() {
        "/livez" | "/readyz" => pages.health.is_some(),
        "/metrics" => pages.metrics.is_some(),
        _ => false,
    };
    if known && !matches!(*method, Method::GET | Method::HEAD) {
        let mut response = answer(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET and HEAD\n".to_owned());
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    // hyper omits the body of the response to a HEAD.
    match (uri.path(), &pages.health, &pages.metrics) {
        ("/metrics", _, Some(metrics)) => answer(StatusCode::OK, OPEN_METRICS, metrics.encode()),
        ("/livez", Some(health), _) => report(uri, health.livez()),
        ("/readyz", Some(health), _) => report(uri, health.readyz()),
        _ => answer(StatusCode::NOT_FOUND, PLAIN, "not found\n".to_owned()),
    }
}

/// `ok` when all checks passed; with `?verbose` or after a failure the result of every check.
fn report(uri: &Uri, report: HealthReport) -> Response<Full<Bytes>> {
    let verbose = uri.query().is_some_and(|query| query.split('&').any(|pair| pair.starts_with("verbose")));
    match report {
        HealthReport { passed: true, .. } if !verbose => answer(StatusCode::OK, PLAIN, "ok".to_owned()),
        HealthReport { passed: true, text } => answer(StatusCode::OK, PLAIN, text),
        HealthReport { passed: false, text } => answer(StatusCode::SERVICE_UNAVAILABLE, PLAIN, text),
    }
}

fn answer(status: StatusCode, content_type: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &Method, path: &'static str, pages: &Pages) -> (u16, String) {
        let answer = respond(method, &Uri::from_static(path), pages);
        let kind = answer.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        (answer.status().as_u16(), kind)
    }

    #[test]
    fn an_address_serves_only_its_own_pages() {
        let health = Pages { health: Some(HealthChecks::default()), metrics: None };
        let metrics = Pages { health: None, metrics: Some(Metrics::new()) };
        let plain = |status| (status, PLAIN.to_owned());
        assert_eq!(asked(&Method::GET, "/livez", &health), plain(200));
        assert_eq!(asked(&Method::GET, "/readyz", &health), plain(503));
        assert_eq!(asked(&Method::GET, "/metrics", &health), plain(404));
        assert_eq!(asked(&Method::GET, "/metrics", &metrics), (200, OPEN_METRICS.to_owned()));
        assert_eq!(asked(&Method::HEAD, "/metrics", &metrics), (200, OPEN_METRICS.to_owned()));
        assert_eq!(asked(&Method::GET, "/livez", &metrics), plain(404));
        assert_eq!(asked(&Method::DELETE, "/metrics", &metrics), plain(405));
        assert_eq!(asked(&Method::DELETE, "/livez/x", &health), plain(404));
    }

    #[tokio::test]
    async fn a_failing_check_is_reported_without_verbose() {
        use http_body_util::BodyExt;
        let health = HealthChecks::default();
        health.add_readyz_check("informer-sync", || Err("not listed yet: PostLink".to_owned()));
        let pages = Pages { health: Some(health.clone()), metrics: None };
        let text = async |path: &'static str| {
            let answer = respond(&Method::GET, &Uri::from_static(path), &pages);
            String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
        };
        assert_eq!(
            text("/readyz").await,
            "[-]informer-sync failed: not listed yet: PostLink\nreadyz check failed\n"
        );
        health.add_readyz_check("informer-sync", || Ok("all kinds are listed".to_owned()));
        assert_eq!(text("/readyz").await, "ok");
        assert_eq!(
            text("/readyz?verbose").await,
            "[+]informer-sync ok: all kinds are listed\nreadyz check passed\n"
        );
    }
}
