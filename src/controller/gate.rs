//! The gate before the API server: a process that no longer leads begins no write, whoever in it wants to.
//!
//! It sits below everything that decides and below the retries, because a process that was paused past its lease wakes
//! up in the middle of any of them. What is on the wire already loses by its resourceVersion.

use super::lease::Held;
use futures::future::{Either, Ready, ready};
use http::{Method, Request};
use std::task::{Context, Poll};
use tower::{BoxError, Layer, Service};

/// Lets writes pass only while the lease is held for certain.
#[derive(Clone)]
pub struct Gate(pub Held);

/// Why a write was not begun.
#[derive(Debug, thiserror::Error)]
#[error("this process does not hold the lease any more, and writes nothing")]
pub struct NotLeading;

impl<S> Layer<S> for Gate {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Gated<S> {
        Gated { inner, held: self.0.clone() }
    }
}

/// A service behind the [`Gate`].
#[derive(Clone)]
pub struct Gated<S> {
    inner: S,
    held: Held,
}

impl<S, B> Service<Request<B>> for Gated<S>
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
        if writes && self.held.remaining().is_zero() {
            return Either::Right(ready(Err(NotLeading.into())));
        }
        Either::Left(self.inner.call(request).err_into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        convert::Infallible,
        time::{Duration, Instant},
    };
    use tower::{ServiceExt, service_fn};

    async fn answer(held: &Held, method: Method) -> Result<(), BoxError> {
        let inner = service_fn(|_: Request<()>| async { Ok::<_, Infallible>(()) });
        let request = Request::builder().method(method).body(()).unwrap();
        Gate(held.clone()).layer(inner).oneshot(request).await
    }

    #[tokio::test]
    async fn without_the_lease_there_is_reading_and_no_writing() {
        let held = Held::default();
        held.until(Instant::now() + Duration::from_secs(60));
        for method in [Method::GET, Method::PATCH, Method::POST, Method::PUT, Method::DELETE] {
            answer(&held, method).await.unwrap();
        }
        held.until(Instant::now());
        answer(&held, Method::GET).await.unwrap();
        for method in [Method::PATCH, Method::POST, Method::PUT, Method::DELETE] {
            let refused = answer(&held, method).await.unwrap_err();
            assert!(refused.is::<NotLeading>(), "{refused}");
        }
    }

    #[tokio::test]
    async fn a_lease_seen_in_other_hands_shuts_the_gate_at_once() {
        let held = Held::default();
        held.until(Instant::now() + Duration::from_secs(60));
        held.lost();
        answer(&held, Method::PATCH).await.unwrap_err();
    }
}
