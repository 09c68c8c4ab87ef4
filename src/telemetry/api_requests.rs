//! A layer around the client of the API server: counts its requests and how long the answers take. Labels hold what
//! is asked of which resource, never a name.

use super::Metrics;
use futures::future::BoxFuture;
use http::{Method, Request, Response, Uri};
use std::{
    task::{Context, Poll},
    time::Instant,
};
use tower::{Layer, Service};

/// The resources this process has to do with. Whatever else is asked for is told as `other`, so that the number of
/// series has a bound.
const RESOURCES: [&str; 13] = [
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
    "openapi",
];

/// Counts requests into `Metrics`.
#[derive(Clone)]
pub struct ApiRequests(pub Metrics);

/// What [`ApiRequests`] makes of a service.
#[derive(Clone)]
pub struct Counted<S> {
    inner: S,
    metrics: Metrics,
}

impl<S> Layer<S> for ApiRequests {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Counted { inner, metrics: self.0.clone() }
    }
}

impl<S, B, R> Service<Request<B>> for Counted<S>
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
        let (verb, resource) = described(request.method(), request.uri());
        let mut counting =
            Counting { metrics: self.metrics.clone(), verb, resource, begin: Instant::now(), code: None };
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            // A call, so that all of it moves in here: its end is the end of the request.
            counting.answered(answer.as_ref().ok().map(|answer| answer.status().as_u16()));
            answer
        })
    }
}

/// Counted when dropped: a request whose deadline has passed is dropped without an answer, and it is just those that
/// should be seen.
struct Counting {
    metrics: Metrics,
    verb: &'static str,
    resource: &'static str,
    begin: Instant,
    code: Option<u16>,
}

impl Counting {
    fn answered(&mut self, code: Option<u16>) {
        self.code = code;
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.metrics.api_request(self.verb, self.resource, self.code, self.begin.elapsed());
    }
}

/// The verb, in Kubernetes' words, and the resource.
fn described(method: &Method, uri: &Uri) -> (&'static str, &'static str) {
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
    let watched = uri.query().is_some_and(|query| {
        query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1" | "watch=True"))
    });
    let verb = match *method {
        Method::GET if watched => "watch",
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
    fn requests_are_told_by_verb_and_resource_and_never_by_name() {
        let cases = [
            ("GET", "/apis/postlink.dev/v1alpha1/postlinks?limit=500", ("list", "postlinks")),
            (
                "GET",
                "/apis/postlink.dev/v1alpha1/postlinks?&watch=true&timeoutSeconds=240",
                ("watch", "postlinks"),
            ),
            ("GET", "/apis/postlink.dev/v1alpha1/namespaces/n/postlinks/x", ("get", "postlinks")),
            (
                "PATCH",
                "/apis/postlink.dev/v1alpha1/namespaces/n/postlinks/x/status",
                ("patch", "postlinks/status"),
            ),
            ("GET", "/api/v1/namespaces/n/secrets/password", ("get", "secrets")),
            ("POST", "/api/v1/namespaces/n/serviceaccounts/sa/token", ("create", "serviceaccounts/token")),
            ("PUT", "/apis/coordination.k8s.io/v1/namespaces/n/leases/postlink", ("update", "leases")),
            ("GET", "/api/v1/namespaces/n", ("get", "namespaces")),
            ("GET", "/openapi/v3/apis/postlink.dev/v1alpha1", ("get", "openapi")),
            ("GET", "/api/v1/namespaces/n/pods/secret-name/log", ("get", "other")),
        ];
        for (method, uri, wanted) in cases {
            let method: Method = method.parse().unwrap();
            assert_eq!(described(&method, &uri.parse().unwrap()), wanted, "{uri}");
        }
    }

    #[tokio::test]
    async fn a_request_without_an_answer_counts_too() {
        let metrics = Metrics::new();
        let hanging = service_fn(|_: Request<()>| std::future::pending::<Result<Response<()>, ()>>());
        let call = ApiRequests(metrics.clone())
            .layer(hanging)
            .oneshot(Request::get("/api/v1/namespaces/n").body(()).unwrap());
        let _ = tokio::time::timeout(std::time::Duration::from_millis(1), call).await;
        let page = metrics.page();
        let line = r#"postlink_api_requests_total{verb="get",resource="namespaces",code="none"} 1"#;
        assert!(page.contains(line), "{page}");
    }
}
