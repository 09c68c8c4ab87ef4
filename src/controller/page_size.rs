//! A tower layer for lists: a page that would take too much memory is asked for again with fewer objects.
//!
//! With its annotations, one object may have 400 KB, so a fixed size that is safe is ten objects; with pages that small, the
//! list of 100,000 objects takes minutes, because etcd counts all that follow for every page.

use futures::future::BoxFuture;
use http::{Method, Request, Response, Uri, uri::PathAndQuery};
use http_body_util::{BodyExt, Either, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use kube::client::Body;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll},
};
use tower::{BoxError, Layer, Service, ServiceExt};

/// The most bytes of one page. It is in memory up to three times while it is read.
const MAX_BYTES: usize = 4 << 20;
/// A page that is too large is asked for again with a quarter of the objects.
const SMALLER: u32 = 4;

/// Clones share the present size.
#[derive(Clone)]
pub struct PageSize {
    /// By what the requested number of objects is divided.
    divisor: Arc<AtomicU32>,
    max_bytes: usize,
}

impl Default for PageSize {
    fn default() -> Self {
        Self { divisor: Arc::new(AtomicU32::new(1)), max_bytes: MAX_BYTES }
    }
}

/// A service whose lists have pages of a limited size.
#[derive(Clone)]
pub struct Paged<S> {
    inner: S,
    size: PageSize,
}

impl<S> Layer<S> for PageSize {
    type Service = Paged<S>;

    fn layer(&self, inner: S) -> Paged<S> {
        Paged { inner, size: self.clone() }
    }
}

impl<S, B> Service<Request<Body>> for Paged<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError> + Send,
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Either<B, Full<Bytes>>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The clone is not ready; the service that is goes into the future.
        let inner = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, inner);
        let asked = limit(request.uri()).filter(|_| request.method() == Method::GET);
        let size = self.size.clone();
        Box::pin(async move {
            let Some(asked) = asked else {
                let response = inner.call(request).await.map_err(Into::into)?;
                return Ok(response.map(Either::Left));
            };
            let (head, _) = request.into_parts();
            loop {
                let divisor = size.divisor.load(Ordering::Relaxed);
                let objects = (asked / divisor).max(1);
                let mut page = head.clone();
                page.uri = with_limit(&head.uri, objects)?;
                let request = Request::from_parts(page, Body::empty());
                let (status, body) = inner
                    .ready()
                    .await
                    .map_err(Into::into)?
                    .call(request)
                    .await
                    .map_err(Into::into)?
                    .into_parts();
                let most = if objects == 1 { usize::MAX } else { size.max_bytes };
                match Limited::new(body, most).collect().await {
                    Ok(body) => {
                        let body = body.to_bytes();
                        // Denser pages may follow, so it grows slowly.
                        if divisor > 1 && status.status.is_success() && body.len() <= size.max_bytes / 2 {
                            size.change(divisor, divisor / 2);
                        }
                        return Ok(Response::from_parts(status, Either::Right(Full::new(body))));
                    }
                    Err(error) if error.is::<LengthLimitError>() => {
                        size.change(divisor, divisor.saturating_mul(SMALLER).min(asked));
                    }
                    Err(error) => return Err(error),
                }
            }
        })
    }
}

impl PageSize {
    fn change(&self, from: u32, to: u32) {
        // Another list may have changed it, and may know better.
        let _ = self.divisor.compare_exchange(from, to.max(1), Ordering::Relaxed, Ordering::Relaxed);
    }
}

fn limit(uri: &Uri) -> Option<u32> {
    let pairs = uri.query()?.split('&');
    pairs
        .filter_map(|pair| pair.strip_prefix("limit="))
        .find_map(|number| number.parse().ok())
        .filter(|n| *n > 0)
}

fn with_limit(uri: &Uri, objects: u32) -> Result<Uri, http::Error> {
    let pairs = uri.query().unwrap_or_default().split('&');
    let pairs: Vec<String> = pairs
        .map(|pair| if pair.starts_with("limit=") { format!("limit={objects}") } else { pair.to_owned() })
        .collect();
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(format!("{}?{}", uri.path(), pairs.join("&")))?);
    Ok(Uri::from_parts(parts)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{convert::Infallible, sync::Mutex};
    use tower::service_fn;

    /// The limits that were asked for, and the length of the answer, by a server with objects of this size.
    async fn list(size: &PageSize, bytes_per_object: usize, uri: &str) -> (Vec<u32>, usize) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = asked.clone();
        let server = service_fn(move |request: Request<Body>| {
            let objects = limit(request.uri());
            seen.lock().unwrap().push(objects.unwrap_or(0));
            let body = vec![b'x'; objects.unwrap_or(1) as usize * bytes_per_object];
            async { Ok::<_, Infallible>(Response::new(Body::from(body))) }
        });
        let request = Request::get(uri).body(Body::empty()).unwrap();
        let answer = size.layer(server).oneshot(request).await.unwrap();
        let length = answer.into_body().collect().await.unwrap().to_bytes().len();
        let asked = asked.lock().unwrap().clone();
        (asked, length)
    }

    #[tokio::test]
    async fn page_shrinks_until_it_fits_and_grows_again() {
        let size = PageSize { max_bytes: 1000, ..PageSize::default() };
        let uri = "/apis/postlink.dev/v1alpha1/postlinks?&limit=500&continue=abc";
        assert_eq!(list(&size, 2, uri).await, (vec![500], 1000));
        assert_eq!(list(&size, 30, uri).await, (vec![500, 125, 31], 930));
        assert_eq!(list(&size, 2, uri).await, (vec![31], 62));
        assert_eq!(list(&size, 2, uri).await, (vec![62], 124));
        assert_eq!(list(&size, 5000, uri).await, (vec![125, 31, 7, 1], 5000), "one object is always read");
        assert_eq!(list(&size, 5000, uri).await, (vec![1], 5000));
    }

    #[tokio::test]
    async fn other_requests_stay_as_they_are() {
        let size = PageSize { max_bytes: 1000, ..PageSize::default() };
        assert_eq!(list(&size, 5000, "/api/v1/namespaces/n/secrets/s").await, (vec![0], 5000));
        assert_eq!(
            list(&size, 5000, "/apis/postlink.dev/v1alpha1/postlinks?watch=true").await,
            (vec![0], 5000)
        );
        let uri: Uri = "https://127.0.0.1:6443/a?limit=500&continue=a%3D".parse().unwrap();
        assert_eq!(with_limit(&uri, 7).unwrap(), "https://127.0.0.1:6443/a?limit=7&continue=a%3D");
    }
}
