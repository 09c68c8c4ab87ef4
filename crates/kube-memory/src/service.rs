//! The tower service: HTTP requests in, HTTP responses out, injected faults in between.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use serde_json::json;

use crate::delete::DeleteOptions;
use crate::discovery;
use crate::faults::{Fault, FaultInjector, RequestDecision, RequestInfo};
use crate::list::{self, ListOptions, Shape};
use crate::namespace_controller::publish;
use crate::patch::{self, Change};
use crate::request_options;
use crate::resource::Resource;
use crate::route::{self, Route, Target};
use crate::server::Server;
use crate::status::{ApiResult, StatusError};
use crate::store::to_bytes;
use crate::token;
use crate::transaction::{Transaction, WriteRequest, WriteResponse};
use crate::user_info::UserInfo;
use crate::watch_stream::{self, WatchRequest};

/// A response body: a JSON document, or the stream of a watch.
pub type ApiBody = UnsyncBoxBody<Bytes, io::Error>;

/// The API as a [`tower::Service`], on behalf of one user. Put layers around it, or pass it to
/// [`kube::Client::new`] or to [`serve`](crate::serve).
#[derive(Clone)]
pub struct ApiService {
    server: Arc<Server>,
    user: Arc<UserInfo>,
    faults: Option<FaultInjector>,
}

impl std::fmt::Debug for ApiService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiService")
            .field("user", &self.user)
            .field("faults", &self.faults)
            .finish_non_exhaustive()
    }
}

fn whole(body: Bytes) -> ApiBody {
    Full::new(body).map_err(|never: Infallible| match never {}).boxed_unsync()
}

impl ApiService {
    pub(crate) fn new(server: Arc<Server>, user: UserInfo, faults: Option<FaultInjector>) -> Self {
        Self { server, user: Arc::new(user), faults }
    }

    /// The user of a request: the one its impersonation headers name, if any.
    fn impersonated(&self, headers: &HeaderMap) -> Arc<UserInfo> {
        let text = |name: &HeaderName| headers.get(name).and_then(|v| v.to_str().ok());
        let Some(user) = text(&HeaderName::from_static("impersonate-user")) else {
            return self.user.clone();
        };
        let mut user = UserInfo::new(user);
        for group in headers.get_all("impersonate-group").iter().filter_map(|v| v.to_str().ok()) {
            user.groups.push(group.to_owned());
        }
        Arc::new(user)
    }

    async fn respond(self, request: Request<Bytes>) -> io::Result<Response<ApiBody>> {
        let query = route::query(request.uri().query());
        let target = route::find(&self.server.registry, request.method(), request.uri().path(), &query);
        let info = self.faults.as_ref().map(|faults| describe(faults, &target, &query));
        let decision = match (&self.faults, &info) {
            (Some(faults), Some(info)) => faults.decide_request(info),
            _ => RequestDecision::Proceed,
        };
        let broken = || io::Error::new(io::ErrorKind::ConnectionReset, "connection reset (injected)");
        if let RequestDecision::Before(fault) = decision {
            return match fault {
                Fault::Answer { code, retry_after } => {
                    Ok(error_response(&StatusError::injected(code, retry_after)))
                }
                Fault::Hang => std::future::pending().await,
                _ => Err(broken()),
            };
        }
        let user = self.impersonated(request.headers());
        let response = match target {
            Target::Resource(route) => self.serve(&route, &request, &query, user),
            Target::Document(path) => discovery::answer(&self.server, &path).map_or_else(
                || not_served(&self.server, request.uri().path()),
                |document| json_response(200, to_bytes(&document), &[]),
            ),
            Target::Unknown => not_served(&self.server, request.uri().path()),
        };
        match decision {
            RequestDecision::After(Fault::AnswerAfter { code }) => {
                Ok(error_response(&StatusError::injected(code, None)))
            }
            RequestDecision::After(_) => Err(broken()),
            RequestDecision::ProceedAndDie => {
                if let Some(faults) = &self.faults {
                    faults.kill();
                }
                Ok(response)
            }
            _ => Ok(response),
        }
    }

    fn serve(
        &self,
        route: &Route<'_>,
        request: &Request<Bytes>,
        query: &HashMap<String, String>,
        user: Arc<UserInfo>,
    ) -> Response<ApiBody> {
        if !acceptable(request.headers()) {
            return error_response(&StatusError::not_acceptable());
        }
        let mut warnings = Vec::new();
        let answer = match route.verb {
            "get" | "list" | "watch" => self.read(route, request, query, user),
            _ => self.write(route, request, query, user, &mut warnings),
        };
        answer.unwrap_or_else(|refusal| error_response(&refusal)).with_warnings(&warnings)
    }

    fn read(
        &self,
        route: &Route<'_>,
        request: &Request<Bytes>,
        query: &HashMap<String, String>,
        user: Arc<UserInfo>,
    ) -> ApiResult<Response<ApiBody>> {
        let resource = route.resource;
        let shape = shape(request.headers());
        check_subresource(route)?;
        if route.verb == "get" {
            let key = resource.key(&route.namespace, &route.name);
            let version = query.get("resourceVersion").map(String::as_str).unwrap_or_default();
            let raw = list::get(&self.server, resource, &key, &route.name, version)?;
            return Ok(json_response(200, shape.object(resource, &raw), &[]));
        }
        let options = ListOptions::read(resource, query)?;
        if route.verb == "list" {
            let body = list::list(&self.server, resource, &route.namespace, &options, shape)?;
            return Ok(json_response(200, body, &[]));
        }
        let frames = watch_stream::start(
            &self.server,
            WatchRequest {
                resource,
                namespace: &route.namespace,
                options,
                shape,
                user,
                faults: self.faults.clone(),
            },
        )?;
        Ok(json_response(200, Bytes::new(), &[]).map(|_| StreamBody::new(frames).boxed_unsync()))
    }

    fn write(
        &self,
        route: &Route<'_>,
        request: &Request<Bytes>,
        query: &HashMap<String, String>,
        user: Arc<UserInfo>,
        warnings: &mut Vec<String>,
    ) -> ApiResult<Response<ApiBody>> {
        let resource = route.resource;
        let shape = shape(request.headers());
        let is_token = resource.kind == "ServiceAccount" && route.subresource == "token";
        if is_token && route.verb == "create" {
            let body = token::issue(&self.server, route, request.body())?;
            return Ok(json_response(201, body, &[]));
        }
        check_subresource(route)?;
        let on_status = !route.subresource.is_empty();
        if route.name.is_empty() && ["update", "patch"].contains(&route.verb) {
            return Err(StatusError::bad_request("name must be provided"));
        }
        if route.verb == "deletecollection" && resource.kind == "Namespace" && !resource.custom {
            return Err(StatusError::method_not_allowed());
        }
        if route.verb == "create" && !route.name.is_empty() && !resource.custom {
            return Err(StatusError::method_not_allowed());
        }
        if on_status && ["create", "delete"].contains(&route.verb) {
            return Err(StatusError::not_supported(resource, route.verb));
        }
        let write = request_options::read(route, request.headers(), query, user)?;
        if route.verb == "deletecollection" {
            return self.delete_collection(&write, request, query, shape, warnings);
        }
        // Bodies are parsed before the store is locked: parsing is most of the work.
        let change = patch::read(route, request);
        let delete = match route.verb {
            "delete" => Some(DeleteOptions::read(&request_options::delete_options(request, query)?)?),
            _ => None,
        };
        let mut state = self.server.state();
        let change = match change {
            // A server decodes a patch after it has found the object, and an apply before.
            Err(error) if error.message.starts_with("error decoding patch") => {
                let key = resource.key(&route.namespace, &route.name);
                let missing = state.store.get(resource.store, &key).is_none();
                return Err(if missing { StatusError::not_found(resource, &route.name) } else { error });
            }
            read => read?,
        };
        let mut transaction = Transaction::new(&self.server, &mut state, &write);
        let result = match (change, delete) {
            (None, Some(options)) => transaction.delete(&route.name, &options),
            (Some(Change::Replace(object)), None) if route.verb == "create" => transaction.create(object),
            (Some(change), _) => transaction.update(change),
            (None, None) => Err(StatusError::not_supported(resource, route.verb)),
        };
        warnings.append(&mut transaction.warnings);
        publish(&self.server, state);
        let WriteResponse { code, body } = result?;
        Ok(json_response(code, shape.object(resource, &body), &[]))
    }

    fn delete_collection(
        &self,
        write: &WriteRequest<'_>,
        request: &Request<Bytes>,
        query: &HashMap<String, String>,
        shape: Shape,
        warnings: &mut Vec<String>,
    ) -> ApiResult<Response<ApiBody>> {
        let selection = ListOptions::read(write.resource, query)?.selection;
        let options = DeleteOptions::read(&request_options::delete_options(request, query)?)?;
        let mut state = self.server.state();
        let mut transaction = Transaction::new(&self.server, &mut state, write);
        let deleted = transaction.delete_collection(&selection, &options);
        warnings.append(&mut transaction.warnings);
        let revision = state.store.revision();
        publish(&self.server, state);
        let deleted = deleted?;
        let mut metadata = json!({"resourceVersion": revision.to_string()});
        if write.resource.custom && shape == Shape::Full {
            metadata["continue"] = json!("");
        }
        let body =
            list::write_list(write.resource, shape, &metadata, deleted.iter().map(|stored| &stored.raw));
        Ok(json_response(200, body, &[]))
    }
}

/// Checks that the path names an object, or its status if the kind has one.
fn check_subresource(route: &Route<'_>) -> ApiResult<()> {
    match route.subresource.as_str() {
        "" => Ok(()),
        "status" if route.resource.has_status => Ok(()),
        _ => Err(StatusError::not_found(route.resource, &route.name)),
    }
}

fn describe(faults: &FaultInjector, target: &Target<'_>, query: &HashMap<String, String>) -> RequestInfo {
    let number = faults.next_number();
    let Target::Resource(route) = target else {
        return RequestInfo {
            number,
            verb: "get",
            resource: String::new(),
            namespace: String::new(),
            name: String::new(),
            subresource: String::new(),
            is_write: false,
        };
    };
    let reads = ["get", "list", "watch"].contains(&route.verb) || route.subresource == "token";
    RequestInfo {
        number,
        verb: route.verb,
        resource: route.resource.qualified(),
        namespace: route.namespace.clone(),
        name: route.name.clone(),
        subresource: route.subresource.clone(),
        is_write: !reads && !query.contains_key("dryRun"),
    }
}

fn shape(headers: &HeaderMap) -> Shape {
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    // The first acceptable form wins. Tables are not offered, so clients get the form listed after them.
    let first = accept.split(',').map(str::trim).find(|part| !part.contains("as=Table"));
    if first.is_some_and(|part| part.contains("as=PartialObjectMetadata")) {
        Shape::Metadata
    } else {
        Shape::Full
    }
}

/// Whether a server supports any of the accepted forms. This one answers all of them in JSON.
fn acceptable(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or("*/*");
    let forms =
        ["*/*", "application/*", "application/json", "application/yaml", "application/vnd.kubernetes."];
    accept.split(',').map(str::trim).any(|part| forms.iter().any(|form| part.starts_with(form)))
}

fn json_response(code: u16, body: Bytes, headers: &[(HeaderName, String)]) -> Response<ApiBody> {
    let mut response = Response::new(whole(body));
    *response.status_mut() =
        http::StatusCode::from_u16(code).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    let map = response.headers_mut();
    map.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    map.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            map.append(name, value);
        }
    }
    response
}

/// The 404 of a server's mux for an unknown path: plain text, and a `Status` only below built-in groups.
fn not_served(server: &Server, path: &str) -> Response<ApiBody> {
    let own = |r: &&Resource| !r.custom && path.starts_with(&format!("/apis/{}/", r.api_version()));
    if path.starts_with("/api/") || server.registry.all().iter().any(|r| own(&r)) {
        return error_response(&StatusError::not_served());
    }
    let mut response = Response::new(whole(Bytes::from_static(b"404 page not found\n")));
    *response.status_mut() = http::StatusCode::NOT_FOUND;
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    response
}

fn error_response(error: &StatusError) -> Response<ApiBody> {
    let mut headers = Vec::new();
    if let Some(seconds) = error.retry_after() {
        headers.push((header::RETRY_AFTER, seconds.to_string()));
    }
    json_response(error.code, to_bytes(&error.status()), &headers)
}

trait WithWarnings {
    fn with_warnings(self, warnings: &[String]) -> Self;
}

impl WithWarnings for Response<ApiBody> {
    /// Adds `Warning: 299 - "text"` headers, one for each distinct text.
    fn with_warnings(mut self, warnings: &[String]) -> Self {
        let mut given: Vec<&String> = Vec::new();
        for warning in warnings {
            if given.contains(&warning) {
                continue;
            }
            given.push(warning);
            let text: String = warning.chars().filter(|c| !c.is_control()).collect();
            let text = text.replace('\\', "\\\\").replace('"', "\\\"");
            if let Ok(value) = HeaderValue::from_bytes(format!("299 - \"{text}\"").as_bytes()) {
                self.headers_mut().append(header::WARNING, value);
            }
        }
        self
    }
}

impl<B> tower::Service<Request<B>> for ApiService
where
    B: http_body_util::BodyExt<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Display,
{
    type Response = Response<ApiBody>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Response<ApiBody>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let service = self.clone();
        let in_flight = (request.method() != Method::GET || !is_watch(&request))
            .then(|| self.server.activity.begin_request());
        Box::pin(async move {
            let _in_flight = in_flight;
            let (parts, body) = request.into_parts();
            let body = body.collect().await.map_err(|why| io::Error::other(why.to_string()))?.to_bytes();
            service.respond(Request::from_parts(parts, body)).await
        })
    }
}

fn is_watch<B>(request: &Request<B>) -> bool {
    route::query(request.uri().query()).get("watch").is_some_and(|w| w == "true" || w == "1")
}
