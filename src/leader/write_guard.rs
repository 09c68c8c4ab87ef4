//! Rejects every write once the lease is no longer held.
//!
//! It sits below the reconcilers and the retries, because a process that was paused past its lease can resume in any of
//! them. A write already on the wire fails on its resourceVersion.

use super::election::Leadership;
use futures::future::{Either, Ready, ready};
use http::{Method, Request};
use std::task::{Context, Poll};
use tower::{BoxError, Layer, Service};

/// Passes writes only while the lease is certainly held.
#[derive(Clone)]
pub struct WriteGuard(pub Leadership);

/// Why a write was not sent.
#[derive(Debug, thiserror::Error)]
#[error("write rejected: this process no longer holds the leader lease")]
pub struct NotLeading;

impl<S> Layer<S> for WriteGuard {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { inner, leadership: self.0.clone() }
    }
}

/// A service behind the [`WriteGuard`].
#[derive(Clone)]
pub struct Guarded<S> {
    inner: S,
    leadership: Leadership,
}

impl<S, B> Service<Request<B>> for Guarded<S>
where
    S: Service<Request<B>>,
    S::Error: Into<BoxError>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Either<futures::future::ErrInto<S::Future, BoxError>, Ready<Result<S::Response, BoxError>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        use futures::TryFutureExt as _;
        let writes = ![Method::GET, Method::HEAD].contains(request.method());
        if writes && self.leadership.remaining().is_zero() {
            return Either::Right(ready(Err(NotLeading.into())));
        }
        Either::Left(self.inner.call(request).err_into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{convert::Infallible, time::Duration};
    use tokio::time::Instant;
    use tower::{ServiceExt, service_fn};

    async fn answer(leadership: &Leadership, method: Method) -> Result<(), BoxError> {
        let inner = service_fn(|_: Request<()>| async { Ok::<_, Infallible>(()) });
        let request = Request::builder().method(method).body(()).unwrap();
        WriteGuard(leadership.clone()).layer(inner).oneshot(request).await
    }

    #[tokio::test]
    async fn an_expired_lease_rejects_writes_only() {
        let leadership = Leadership::default();
        leadership.until(Instant::now() + Duration::from_secs(60));
        for method in [Method::GET, Method::PATCH, Method::POST, Method::PUT, Method::DELETE] {
            answer(&leadership, method).await.unwrap();
        }
        leadership.until(Instant::now());
        answer(&leadership, Method::GET).await.unwrap();
        for method in [Method::PATCH, Method::POST, Method::PUT, Method::DELETE] {
            let refused = answer(&leadership, method).await.unwrap_err();
            assert!(refused.is::<NotLeading>(), "{refused}");
        }
    }

    #[tokio::test]
    async fn a_lost_lease_rejects_writes_at_once() {
        let leadership = Leadership::default();
        leadership.until(Instant::now() + Duration::from_secs(60));
        leadership.lost();
        answer(&leadership, Method::PATCH).await.unwrap_err();
    }
}
