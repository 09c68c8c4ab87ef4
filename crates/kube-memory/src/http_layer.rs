//! The thin HTTP layer: headers and bodies in, answers out, faults in between.

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

use super::answer::{Outcome, Refusal};
use super::core::Core;
use super::delete::DeleteOptions;
use super::discovery;
use super::faults::{Fate, Fault, Line, RequestInfo};
use super::list::{self, ListOptions, Shape};
use super::patch::{self, Change};
use super::request_options;
use super::route::{self, Route, Target};
use super::store::Actor;
use super::token;
use super::watching::{self, WatchRequest};
use super::write::{self, Done, Transaction};

/// A response body: one piece, or the stream of a watch.
pub type ApiBody = UnsyncBoxBody<Bytes, io::Error>;

/// The API as one client sees it: a tower service.
#[derive(Clone)]
pub struct ApiService {
    core: Arc<Core>,
    actor: Arc<Actor>,
    line: Option<Line>,
}

impl std::fmt::Debug for ApiService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiService")
            .field("actor", &self.actor)
            .field("line", &self.line)
            .finish_non_exhaustive()
    }
}

fn whole(body: Bytes) -> ApiBody {
    Full::new(body).map_err(|never: Infallible| match never {}).boxed_unsync()
}

impl ApiService {
    pub(crate) fn new(core: Arc<Core>, actor: Actor, line: Option<Line>) -> Self {
        Self { core, actor: Arc::new(actor), line }
    }

    /// The same API for whoever the request's impersonation headers name, if they name anybody.
    fn impersonated(&self, headers: &HeaderMap) -> Arc<Actor> {
        let text = |name: &HeaderName| headers.get(name).and_then(|v| v.to_str().ok());
        let Some(user) = text(&HeaderName::from_static("impersonate-user")) else {
            return self.actor.clone();
        };
        let mut actor = Actor::user(user);
        for group in headers.get_all("impersonate-group").iter().filter_map(|v| v.to_str().ok()) {
            actor.groups.push(group.to_owned());
        }
        Arc::new(actor)
    }

    async fn respond(self, request: Request<Bytes>) -> io::Result<Response<ApiBody>> {
        let query = route::query(request.uri().query());
        let target = route::find(&self.core.catalogue, request.method(), request.uri().path(), &query);
        let info = self.line.as_ref().map(|line| describe(line, &target, &query));
        let fate = match (&self.line, &info) {
            (Some(line), Some(info)) => line.fate(info),
            _ => Fate::Proceed,
        };
        let broken = || io::Error::new(io::ErrorKind::ConnectionReset, "connection reset (injected)");
        if let Fate::Refuse(fault) = fate {
            return match fault {
                Fault::Answer { code, retry_after } => Ok(refused(&Refusal::injected(code, retry_after))),
                Fault::Hang => std::future::pending().await,
                _ => Err(broken()),
            };
        }
        let actor = self.impersonated(request.headers());
        let response = match target {
            Target::Resource(route) => self.serve(&route, &request, &query, actor),
            Target::Document(path) => discovery::answer(&self.core, &path).map_or_else(
                || not_served(&self.core, request.uri().path()),
                |document| json_response(200, write::bytes(&document), &[]),
            ),
            Target::Unknown => not_served(&self.core, request.uri().path()),
        };
        match fate {
            Fate::After(Fault::AnswerAfter { code }) => Ok(refused(&Refusal::injected(code, None))),
            Fate::After(_) => Err(broken()),
            Fate::ProceedAndDie => {
                if let Some(line) = &self.line {
                    line.kill();
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
        query: &std::collections::HashMap<String, String>,
        actor: Arc<Actor>,
    ) -> Response<ApiBody> {
        if !acceptable(request.headers()) {
            return refused(&Refusal::not_acceptable());
        }
        let mut warnings = Vec::new();
        let answer = match route.verb {
            "get" | "list" | "watch" => self.read(route, request, query, actor),
            _ => self.write(route, request, query, actor, &mut warnings),
        };
        answer.unwrap_or_else(|refusal| refused(&refusal)).with_warnings(&warnings)
    }

    fn read(
        &self,
        route: &Route<'_>,
        request: &Request<Bytes>,
        query: &std::collections::HashMap<String, String>,
        actor: Arc<Actor>,
    ) -> Outcome<Response<ApiBody>> {
        let resource = route.resource;
        let shape = shape(request.headers());
        served(route)?;
        if route.verb == "get" {
            let key = write::key(resource, &route.namespace, &route.name);
            let version = query.get("resourceVersion").map(String::as_str).unwrap_or_default();
            let raw = list::get(&self.core, resource, &key, &route.name, version)?;
            return Ok(json_response(200, shape.object(resource, &raw), &[]));
        }
        let options = ListOptions::read(resource, query)?;
        if route.verb == "list" {
            let body = list::list(&self.core, resource, &route.namespace, &options, shape)?;
            return Ok(json_response(200, body, &[]));
        }
        let frames = watching::start(
            &self.core,
            WatchRequest {
                resource,
                namespace: &route.namespace,
                options,
                shape,
                actor,
                line: self.line.clone(),
            },
        )?;
        Ok(json_response(200, Bytes::new(), &[]).map(|_| StreamBody::new(frames).boxed_unsync()))
    }

    fn write(
        &self,
        route: &Route<'_>,
        request: &Request<Bytes>,
        query: &std::collections::HashMap<String, String>,
        actor: Arc<Actor>,
        warnings: &mut Vec<String>,
    ) -> Outcome<Response<ApiBody>> {
        let resource = route.resource;
        let shape = shape(request.headers());
        let is_token = resource.kind == "ServiceAccount" && route.subresource == "token";
        if is_token && route.verb == "create" {
            let body = token::issue(&self.core, route, request.body(), &actor)?;
            return Ok(json_response(201, body, &[]));
        }
        served(route)?;
        let on_status = !route.subresource.is_empty();
        if route.name.is_empty() && ["update", "patch"].contains(&route.verb) {
            return Err(Refusal::bad_request("name must be provided"));
        }
        if route.verb == "deletecollection" && resource.kind == "Namespace" && !resource.custom {
            return Err(Refusal::method_not_allowed());
        }
        if route.verb == "create" && !route.name.is_empty() && !resource.custom {
            return Err(Refusal::method_not_allowed());
        }
        if on_status && ["create", "delete"].contains(&route.verb) {
            return Err(Refusal::not_supported(resource, route.verb));
        }
        let call = request_options::read(route, request.headers(), query, actor)?;
        if route.verb == "deletecollection" {
            return self.delete_collection(&call, request, query, shape, warnings);
        }
        // Bodies are read before the store is locked: parsing is most of the work.
        let change = patch::read(route, request);
        let delete = match route.verb {
            "delete" => Some(DeleteOptions::read(&request_options::delete_options(request, query)?)?),
            _ => None,
        };
        let mut state = self.core.state();
        let change = match change {
            // A server reads a patch when it has the object to be patched; what is applied it reads before.
            Err(refusal) if refusal.message.starts_with("error decoding patch") => {
                let key = write::key(resource, &route.namespace, &route.name);
                let missing = state.store.get(resource.store, &key).is_none();
                return Err(if missing { Refusal::not_found(resource, &route.name) } else { refusal });
            }
            read => read?,
        };
        let mut transaction = Transaction::new(&self.core, &mut state, &call);
        let done = match (change, delete) {
            (None, Some(options)) => transaction.delete(&route.name, &options),
            (Some(Change::Replace(object)), None) if route.verb == "create" => transaction.create(object),
            (Some(change), _) => transaction.update(change),
            (None, None) => Err(Refusal::not_supported(resource, route.verb)),
        };
        warnings.append(&mut transaction.warnings);
        self.core.publish(state);
        let Done { code, body } = done?;
        Ok(json_response(code, shape.object(resource, &body), &[]))
    }

    fn delete_collection(
        &self,
        call: &write::Call<'_>,
        request: &Request<Bytes>,
        query: &std::collections::HashMap<String, String>,
        shape: Shape,
        warnings: &mut Vec<String>,
    ) -> Outcome<Response<ApiBody>> {
        let selection = ListOptions::read(call.resource, query)?.selection;
        let options = DeleteOptions::read(&request_options::delete_options(request, query)?)?;
        let mut state = self.core.state();
        let mut transaction = Transaction::new(&self.core, &mut state, call);
        let gone = transaction.delete_collection(&selection, &options);
        warnings.append(&mut transaction.warnings);
        let revision = state.store.revision();
        self.core.publish(state);
        let gone = gone?;
        let mut metadata = json!({"resourceVersion": revision.to_string()});
        if call.resource.custom && shape == Shape::Full {
            metadata["continue"] = json!("");
        }
        let body = list::write_list(call.resource, shape, &metadata, gone.iter().map(|stored| &stored.raw));
        Ok(json_response(200, body, &[]))
    }
}

/// Only objects and, where there is one, their status.
fn served(route: &Route<'_>) -> Outcome<()> {
    match route.subresource.as_str() {
        "" => Ok(()),
        "status" if route.resource.has_status => Ok(()),
        _ => Err(Refusal::not_found(route.resource, &route.name)),
    }
}

fn describe(
    line: &Line,
    target: &Target<'_>,
    query: &std::collections::HashMap<String, String>,
) -> RequestInfo {
    let number = line.next_number();
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
    // The first acceptable form wins; a Table is not offered, so clients fall to what follows it.
    let first = accept.split(',').map(str::trim).find(|part| !part.contains("as=Table"));
    if first.is_some_and(|part| part.contains("as=PartialObjectMetadata")) {
        Shape::Metadata
    } else {
        Shape::Full
    }
}

/// Whether any of the forms asked for is one a server speaks; here all of them are answered in JSON.
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

/// What a real server's mux answers for a path it does not know: not a `Status`, except below its own groups.
fn not_served(core: &Core, path: &str) -> Response<ApiBody> {
    let own = |r: &&super::Resource| !r.custom && path.starts_with(&format!("/apis/{}/", r.api_version()));
    if path.starts_with("/api/") || core.catalogue.all().iter().any(|r| own(&r)) {
        return refused(&Refusal::not_served());
    }
    let mut response = Response::new(whole(Bytes::from_static(b"404 page not found\n")));
    *response.status_mut() = http::StatusCode::NOT_FOUND;
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    response
}

fn refused(refusal: &Refusal) -> Response<ApiBody> {
    let mut headers = Vec::new();
    if let Some(seconds) = refusal.retry_after() {
        headers.push((header::RETRY_AFTER, seconds.to_string()));
    }
    json_response(refusal.code, write::bytes(&refusal.status()), &headers)
}

trait WithWarnings {
    fn with_warnings(self, warnings: &[String]) -> Self;
}

impl WithWarnings for Response<ApiBody> {
    /// `Warning: 299 - "text"`, each text once.
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
        let in_flight =
            (request.method() != Method::GET || !is_watch(&request)).then(|| self.core.begin_request());
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
