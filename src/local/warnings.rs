//! Collects the API server's `Warning` headers, which the Kubernetes client drops.

use http::{Request, Response};
use kube::client::Body;
use kube_memory::{ApiBody, ApiService};
use std::{
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};
use tower::Service;

/// The warnings since the last [`Warnings::take`]; shared by clones.
#[derive(Clone, Default)]
pub struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, header: &str) {
        // `299 - "text"`, with quotes and backslashes escaped.
        let text = header.splitn(3, ' ').nth(2).unwrap_or(header);
        let text = text.trim_matches('"').replace("\\\"", "\"").replace("\\\\", "\\");
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }
}

/// An API service whose warnings are collected.
#[derive(Clone)]
pub struct WithWarnings {
    inner: ApiService,
    warnings: Warnings,
}

impl WithWarnings {
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
        let response = self.inner.call(request);
        let warnings = self.warnings.clone();
        Box::pin(async move {
            let response = response.await?;
            for header in response.headers().get_all(http::header::WARNING) {
                warnings.add(header.to_str().unwrap_or_default());
            }
            Ok(response)
        })
    }
}
