//! What the API warns of: `Warning` headers, which the Kubernetes client does not hand on.

use http::{Request, Response};
use kube::client::Body;
use kube_memory::{ApiBody, ApiService};
use std::{
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};
use tower::Service;

/// The warnings since they were last taken; clones share them.
#[derive(Clone, Default)]
pub struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    /// Takes them.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, header: &str) {
        // `299 - "text"`, quotes and backslashes escaped.
        let text = header.splitn(3, ' ').nth(2).unwrap_or(header);
        let text = text.trim_matches('"').replace("\\\"", "\"").replace("\\\\", "\\");
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }
}

/// An API that keeps its warnings.
#[derive(Clone)]
pub struct WithWarnings {
    inner: ApiService,
    warnings: Warnings,
}

impl WithWarnings {
    /// Wraps an API.
    pub fn new(inner: ApiService, warnings: Warnings) -> Self {
        Self { inner, warnings }
    }
}

impl Service<Request<Body>> for WithWarnings {
    type Response = Response<ApiBody>;
    type Error = <ApiService as Service<Request<Body>>>::Error;
    type Future = futures::future::BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Service::<Request<Body>>::poll_ready(&mut self.inner, cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let answer = self.inner.call(request);
        let warnings = self.warnings.clone();
        Box::pin(async move {
            let answer = answer.await?;
            for header in answer.headers().get_all(http::header::WARNING) {
                warnings.add(header.to_str().unwrap_or_default());
            }
            Ok(answer)
        })
    }
}
