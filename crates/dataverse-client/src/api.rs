//! One request to an API that takes tokens: signs in, waits for a slot, sends, and honors 401 and throttling, all
//! within one timeout.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode, Uri};
use jiff::Timestamp;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use crate::config::{BodyLimits, Clock, Config, Timeouts};
use crate::credentials::Signer;
use crate::error::{Endpoint, Error, ErrorCode, ErrorKind, Rejection, Unreachable};
use crate::instrument::{ClientEvent, Observer, Operation};
use crate::origin::Origin;
use crate::response::outcome;
use crate::throttle::Throttle;
use crate::token::{Token, TokenKey, Tokens};
use crate::transport::{HttpClient, HttpRequest, HttpResponse};

/// The root of the Web API below the origin.
pub(crate) const WEB_API_ROOT: &str = "/api/data/v9.2";
/// Size limit of token responses.
const MAX_TOKEN_RESPONSE: usize = 64 << 10;

/// What all handles of a client share.
pub(crate) struct Shared {
    http: HttpClient,
    tokens: Tokens,
    pub(crate) timeouts: Timeouts,
    body_limits: BodyLimits,
    clock: Clock,
    observer: Observer,
}

impl Shared {
    pub(crate) fn new(config: &Config, http: HttpClient) -> Self {
        Self {
            http,
            tokens: Tokens::default(),
            timeouts: config.timeouts,
            body_limits: config.body_limits,
            clock: config.clock.clone(),
            observer: config.observer.clone(),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }
}

/// One request to an [`Api`].
pub(crate) struct ApiRequest {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
    /// Uses the timeout and the size limit of a batch.
    bulk: bool,
}

impl ApiRequest {
    /// A read below the root (`WhoAmI`, `leads(…)?$select=…`).
    pub(crate) fn get(path: &str) -> Self {
        let mut headers = odata_headers();
        // Dataverse's documentation asks for it on reads, so that no cache responds instead.
        headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("null"));
        Self { method: Method::GET, path: path.to_owned(), headers, body: Bytes::new(), bulk: false }
    }

    /// A creation under an id chosen by the caller. If the row exists, fails with 412 and changes nothing.
    pub(crate) fn create(path: &str, body: &serde_json::Value) -> Self {
        let mut headers = odata_headers();
        headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("*"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let body = Bytes::from(body.to_string());
        Self { method: Method::PATCH, path: path.to_owned(), headers, body, bulk: false }
    }

    /// A `$batch`.
    pub(crate) fn batch(content_type: HeaderValue, body: Bytes) -> Self {
        let mut headers = odata_headers();
        headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("null"));
        headers.insert(header::CONTENT_TYPE, content_type);
        Self { method: Method::POST, path: "$batch".to_owned(), headers, body, bulk: true }
            // Without it the batch ends at the first missing row.
            .prefer("odata.continue-on-error")
    }

    pub(crate) fn prefer(mut self, preference: &'static str) -> Self {
        self.headers.insert(HeaderName::from_static("prefer"), HeaderValue::from_static(preference));
        self
    }

    pub(crate) fn bulk(mut self) -> Self {
        self.bulk = true;
        self
    }
}

fn odata_headers() -> HeaderMap {
    HeaderMap::from_iter([
        (header::ACCEPT, HeaderValue::from_static("application/json")),
        (HeaderName::from_static("odata-maxversion"), HeaderValue::from_static("4.0")),
        (HeaderName::from_static("odata-version"), HeaderValue::from_static("4.0")),
    ])
}

/// The Web API of an instance, or the discovery service of its cloud.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) shared: Arc<Shared>,
    pub(crate) endpoint: Endpoint,
    pub(crate) origin: Origin,
    /// The sign-in service of its cloud.
    pub(crate) authority: Origin,
    pub(crate) signer: Arc<Signer>,
    pub(crate) throttle: Arc<Throttle>,
}

impl Api {
    /// An error of this API.
    pub(crate) fn error(&self, kind: ErrorKind) -> Error {
        Error { endpoint: self.endpoint, kind }
    }

    /// Sends a request below the Web API root.
    pub(crate) async fn request(&self, request: ApiRequest) -> Result<HttpResponse, Error> {
        self.request_below(WEB_API_ROOT, request).await
    }

    /// Sends a request and returns the response whatever its status, except 401 (repeated once with a new token) and
    /// throttling (which pauses this API). One timeout covers everything.
    pub(crate) async fn request_below(&self, root: &str, request: ApiRequest) -> Result<HttpResponse, Error> {
        let shared = &self.shared;
        let (timeout, limit) = if request.bulk {
            (shared.timeouts.batch, shared.body_limits.batch)
        } else {
            (shared.timeouts.request, shared.body_limits.response)
        };
        let deadline = Instant::now() + timeout;
        let operation = self.operation(&request);
        let uri: Uri = format!("{}{root}/{}", self.origin, request.path)
            .parse()
            .map_err(|_| self.error(ErrorKind::Other { status: 0, code: None }))?;
        let ApiRequest { method, headers, body, .. } = request;
        let mut outgoing = HttpRequest { method, uri, headers, body };
        let mut unauthorized = false;
        loop {
            self.check_throttle()?;
            let token = by(deadline, Endpoint::SignIn, self.token()).await?;
            outgoing.headers.insert(header::AUTHORIZATION, token.header.clone());
            outgoing.headers.insert(HeaderName::from_static("x-ms-client-request-id"), request_id());
            let Ok(slot) = timeout_at(deadline, self.throttle.acquire()).await else {
                return Err(self.error(ErrorKind::Busy));
            };
            // A request that timed out at the same moment may have freed the slot.
            if Instant::now() >= deadline {
                return Err(self.error(ErrorKind::Busy));
            }
            // Another request may have been throttled while this one waited for its slot.
            self.check_throttle()?;
            let sent = async { shared.http.send(&outgoing, limit).await.map_err(|kind| self.error(kind)) };
            let begin = Instant::now();
            let response = by(deadline, self.endpoint, sent).await;
            drop(slot);
            self.observe(operation, begin, &response);
            let response = response?;
            if response.status.is_success() {
                return Ok(response);
            }
            let kind = response.error_kind();
            if response.status == StatusCode::UNAUTHORIZED
                || response.code() == Some(ErrorCode::TOKEN_EXPIRED)
            {
                shared.tokens.forget(&self.token_key(), &token, shared.now()).await;
                if unauthorized {
                    let reason = Rejection::Unauthorized;
                    return Err(self.error(ErrorKind::CredentialsRejected { reason, aadsts: None }));
                }
                unauthorized = true;
            } else if matches!(kind, ErrorKind::Throttled { .. }) {
                return Err(self.throttled(kind));
            } else {
                return Ok(response);
            }
        }
    }

    /// Pauses this API for as long as a throttling response asked, and returns the response as an error.
    pub(crate) fn throttled(&self, kind: ErrorKind) -> Error {
        if let ErrorKind::Throttled { retry_after } = kind {
            (self.shared.observer)(&ClientEvent::Throttled { host: self.origin.host() });
            self.throttle.pause(self.shared.now(), retry_after);
        }
        self.error(kind)
    }

    fn check_throttle(&self) -> Result<(), Error> {
        match self.throttle.paused_for(self.shared.now()) {
            Some(retry_after) => Err(self.error(ErrorKind::Throttled { retry_after })),
            None => Ok(()),
        }
    }

    fn operation(&self, request: &ApiRequest) -> Operation {
        match request.method {
            _ if self.endpoint == Endpoint::Discovery => Operation::Discover,
            Method::PATCH => Operation::Create,
            Method::POST => Operation::Batch,
            _ => Operation::Read,
        }
    }

    fn observe(&self, operation: Operation, begin: Instant, result: &Result<HttpResponse, Error>) {
        let (host, outcome, took) = (self.origin.host(), outcome(result), begin.elapsed());
        (self.shared.observer)(&ClientEvent::RequestFinished { host, operation, outcome, took });
    }

    fn token_key(&self) -> TokenKey {
        (self.origin.clone(), self.signer.fingerprint)
    }

    /// A token for this origin only.
    async fn token(&self) -> Result<Token, Error> {
        let shared = &self.shared;
        shared.tokens.get(&self.token_key(), &shared.clock, || self.request_token()).await
    }

    /// Sends the credential to the sign-in service of this cloud, the only host that ever receives it.
    async fn request_token(&self) -> Result<HttpResponse, ErrorKind> {
        let shared = &self.shared;
        let url = format!("{}/{}/oauth2/v2.0/token", self.authority, self.signer.tenant);
        let scope = format!("{}/.default", self.origin);
        let form = self.signer.form(&scope, &url, shared.now()).map_err(ErrorKind::CredentialsUnusable)?;
        let outgoing = HttpRequest {
            method: Method::POST,
            uri: url.parse().map_err(|_| ErrorKind::Other { status: 0, code: None })?,
            headers: HeaderMap::from_iter([
                (header::ACCEPT, HeaderValue::from_static("application/json")),
                (header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded")),
            ]),
            body: Bytes::from(form),
        };
        let sent = shared.http.send(&outgoing, MAX_TOKEN_RESPONSE);
        let timeout = ErrorKind::Unreachable(Unreachable::Timeout);
        let begin = Instant::now();
        let response = tokio::time::timeout(shared.timeouts.sign_in, sent).await.unwrap_or(Err(timeout));
        let response = response.map_err(|kind| Error { endpoint: Endpoint::SignIn, kind });
        self.observe(Operation::SignIn, begin, &response);
        response.map_err(|error| error.kind)
    }
}

/// Turns a future that is not done at the deadline into a timeout error.
async fn by<T>(
    deadline: Instant,
    endpoint: Endpoint,
    future: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let timeout = Error { endpoint, kind: ErrorKind::Unreachable(Unreachable::Timeout) };
    timeout_at(deadline, future).await.unwrap_or(Err(timeout))
}

/// Lets the instance's administrators find the request in their logs.
fn request_id() -> HeaderValue {
    HeaderValue::from_str(&Uuid::new_v4().to_string()).expect("a UUID is a valid header value")
}
