//! A tower layer that counts and times requests to the API server by verb and resource, never by name.

use super::metrics::Metrics;
use futures::future::BoxFuture;
use http::{Method, Request, Response, Uri};
use std::{
    task::{Context, Poll},
    time::Instant,
};
use tower::{Layer, Service};

/// The resources that this process uses. Any other is counted as `other`, so that the number of series is bounded.
const RESOURCES: [&str; 16] = [
    "dynamicsconnections",
    "dynamicsconnections/status",
    "automationrules",
    "automationrules/status",
    "postlinks",
    "postlinks/status",
    "events",
    "leases",
    "configmaps",
    "secrets",
    "serviceaccounts/token",
    "namespaces",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
    "selfsubjectaccessreviews",
    "openapi",
];

/// Wraps a service in [`ApiMetrics`].
#[derive(Clone)]
pub struct ApiMetricsLayer(pub Metrics);

/// A service that records its requests in [`Metrics`].
#[derive(Clone)]
pub struct ApiMetrics<S> {
    inner: S,
    metrics: Metrics,
}

impl<S> Layer<S> for ApiMetricsLayer {
    type Service = ApiMetrics<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ApiMetrics { inner, metrics: self.0.clone() }
    }
}

impl<S, B, R> Service<Request<B>> for ApiMetrics<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (verb, resource) = verb_and_resource(request.method(), request.uri());
        let recorder =
            Recorder { metrics: self.metrics.clone(), verb, resource, begin: Instant::now(), code: None };
        let response = self.inner.call(request);
        Box::pin(async move {
            // The future owns all of it, so that it is dropped when the request ends.
            let mut recorder = recorder;
            let response = response.await;
            recorder.code = response.as_ref().ok().map(|response| response.status().as_u16());
            response
        })
    }
}

/// Records a request when dropped: one that exceeds its deadline is dropped without a response, and must be counted.
struct Recorder {
    metrics: Metrics,
    verb: &'static str,
    resource: &'static str,
    begin: Instant,
    code: Option<u16>,
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.metrics.api_request(self.verb, self.resource, self.code, self.begin.elapsed());
    }
}

/// The Kubernetes verb and the resource of a request.
fn verb_and_resource(method: &Method, uri: &Uri) -> (&'static str, &'static str) {
    let path: Vec<&str> = uri.path().split('/').filter(|part| !part.is_empty()).collect();
    let rest = match path.as_slice() {
        ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] => rest,
        other => other,
    };
    let rest = match rest {
        ["namespaces", _, rest @ ..] if !rest.is_empty() => rest,
        other => other,
    };
    let (plural, named) = (rest.first().copied().unwrap_or_default(), rest.len() > 1);
    let resource = match rest.get(2) {
        Some(sub) => format!("{plural}/{sub}"),
        None => plural.to_owned(),
    };
    let known = |name: &str| RESOURCES.into_iter().find(|known| *known == name);
    let resource = if plural == "openapi" { known(plural) } else { known(&resource) };
    let watch = uri.query().is_some_and(|query| {
        query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1" | "watch=True"))
    });
    let verb = match *method {
        Method::GET if watch => "watch",
        Method::GET if named => "get",
        Method::GET => "list",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "other",
    };
    (verb, resource.unwrap_or("other"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tower::{ServiceExt, service_fn};

    #[test]
    fn request_labels_are_verb_and_resource_without_name() {
        let cases = [
            ("GET", "/apis/postlink.dev/v1alpha1/postlinks?limit=500", ("list", "postlinks")),
            (
                "GET",
                "/apis/postlink.dev/v1alpha1/postlinks?&watch=true&timeoutSeconds=240",
                ("watch", "postlinks"),
            ),
            ("GET", "/apis/postlink.dev/v1alpha1/namespaces/n/postlinks/x", ("get", "postlinks")),
            (
                "PUT",
                "/apis/postlink.dev/v1alpha1/namespaces/n/postlinks/x/status",
                ("update", "postlinks/status"),
            ),
            ("GET", "/api/v1/namespaces/n/secrets/password", ("get", "secrets")),
            ("POST", "/api/v1/namespaces/n/serviceaccounts/sa/token", ("create", "serviceaccounts/token")),
            ("PUT", "/apis/coordination.k8s.io/v1/namespaces/n/leases/postlink", ("update", "leases")),
            ("GET", "/api/v1/namespaces/n", ("get", "namespaces")),
            ("GET", "/openapi/v3/apis/postlink.dev/v1alpha1", ("get", "openapi")),
            ("GET", "/api/v1/namespaces/n/pods/secret-name/log", ("get", "other")),
        ];
        for (method, uri, expected) in cases {
            let method: Method = method.parse().unwrap();
            assert_eq!(verb_and_resource(&method, &uri.parse().unwrap()), expected, "{uri}");
        }
    }

    #[tokio::test]
    async fn a_request_without_a_response_is_counted() {
        let metrics = Metrics::new();
        let hanging = service_fn(|_: Request<()>| std::future::pending::<Result<Response<()>, ()>>());
        let call = ApiMetricsLayer(metrics.clone())
            .layer(hanging)
            .oneshot(Request::get("/api/v1/namespaces/n").body(()).unwrap());
        let _ = tokio::time::timeout(std::time::Duration::from_millis(1), call).await;
        let page = metrics.encode();
        let line = r#"postlink_api_requests_total{verb="get",resource="namespaces",code="none"} 1"#;
        assert!(page.contains(line), "{page}");
    }
}
