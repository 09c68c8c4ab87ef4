//! The handles: [`Client`] for all instances, [`Instance`] for one; and how one request gets its token, its slot and
//! its deadline.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode, Uri};
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::cloud::{Cloud, Service};
use super::config::{BodyLimits, Clock, Config, ConfigError, Deadlines};
use super::credentials::{Credentials, Signer};
use super::error::{Error, ErrorCode, Kind, Peer, Rejection, Unreachable};
use super::exchange::{Answer, Exchange, Outgoing};
use super::guard::Guard;
use super::lane::Lane;
use super::observed::{Observe, Observed, Operation, Outcome};
use super::origin::{Origin, OriginError};
use super::token::{Token, Tokens};

/// Where the Web API lives below the origin.
pub(super) const API: &str = "/api/data/v9.2";
/// A token answer beyond this is not one.
const LARGEST_TOKEN_ANSWER: usize = 64 << 10;

/// The Web API client, shared by all instances: connections, tokens and manners are kept here.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    guard: Arc<Guard>,
    exchange: Exchange,
    tokens: Tokens,
    lanes: Mutex<HashMap<LaneKey, Arc<Lane>>>,
    deadlines: Deadlines,
    body_limits: BodyLimits,
    concurrency: usize,
    clock: Clock,
    observe: Observe,
}

/// Origin, tenant and client id: what Dataverse counts its limits by.
type LaneKey = (Origin, String, String);

impl Client {
    /// Reads the trust store and checks the configuration; connects to nothing.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        let guard = Guard::new(&config.allow_hosts, &config.connect_to)
            .map_err(|(entry, why)| ConfigError::Host { entry, why })?;
        let guard = Arc::new(guard);
        let exchange = Exchange::new(config, guard.clone())?;
        let shared = Shared {
            guard,
            exchange,
            tokens: Tokens::default(),
            lanes: Mutex::default(),
            deadlines: config.deadlines,
            body_limits: config.body_limits,
            concurrency: config.concurrency,
            clock: config.clock.clone(),
            observe: config.observe.clone(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Parses a URL and checks it against the operator's allow-list. Touches no network.
    pub fn admit(&self, url: &str) -> Result<Origin, OriginError> {
        let origin = Origin::parse(url)?;
        // A service of a cloud is no instance, whatever the allow-list says: a token for it must not go astray.
        if Service::at(origin.host()).is_some() {
            return Err(OriginError::HostNotAllowed);
        }
        self.shared.guard.admit(&origin)?;
        Ok(origin)
    }

    /// The handle of one instance with one credential. Cheap; handles of the same instance and identity share gate
    /// and slots, and those with equal credentials share their token. Touches no network.
    ///
    /// Fails with [`Kind::HostNotAllowed`] or [`Kind::CredentialsUnusable`].
    pub fn instance(&self, origin: &Origin, credentials: &Credentials) -> Result<Instance, Error> {
        let origin = self.admit(&origin.to_string()).map_err(|e| Error::instance(Kind::HostNotAllowed(e)))?;
        let signer = Signer::new(credentials)
            .map_err(|fault| Error { peer: Peer::SignIn, kind: Kind::CredentialsUnusable(fault) })?;
        let signer = Arc::new(signer);
        let cloud = Cloud::of(origin.host());
        let remote = |peer, origin: Origin| Remote {
            lane: self.shared.lane(&origin, &signer),
            shared: self.shared.clone(),
            signer: signer.clone(),
            authority: cloud.sign_in_origin(),
            origin,
            peer,
        };
        Ok(Instance {
            api: remote(Peer::Instance, origin),
            directory: remote(Peer::Discovery, cloud.discovery_origin()),
        })
    }

    /// The longest a single request to an instance can take, everything included: after this long without a new
    /// call, nothing that was under way is under way any more.
    pub fn longest_request(&self) -> Duration {
        self.shared.deadlines.request
    }

    /// The hosts that asked to be left alone, and for how much longer; the longest wait of each.
    pub fn waits(&self) -> Vec<(String, Duration)> {
        let lanes = self.shared.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let now = (self.shared.clock)();
        let mut waits = BTreeMap::new();
        for ((origin, ..), lane) in lanes.iter() {
            if let Some(left) = lane.closed_for(now) {
                let longest = waits.entry(origin.host().to_owned()).or_insert(left);
                *longest = left.max(*longest);
            }
        }
        waits.into_iter().collect()
    }
}

impl Shared {
    fn lane(&self, origin: &Origin, signer: &Signer) -> Arc<Lane> {
        let key = (origin.clone(), signer.tenant.clone(), signer.client.clone());
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = lanes.get(&key) {
            return lane.clone();
        }
        let now = (self.clock)();
        // A lane nobody holds is dropped, but not while its gate is closed: the wait outlives the handle.
        lanes.retain(|_, lane| Arc::strong_count(lane) > 1 || lane.closed_for(now).is_some());
        lanes.entry(key).or_insert_with(|| Arc::new(Lane::new(self.concurrency))).clone()
    }
}

/// One instance, one credential.
#[derive(Clone)]
pub struct Instance {
    pub(super) api: Remote,
    pub(super) directory: Remote,
}

impl Instance {
    /// For how much longer the instance wants to be left alone, if it does.
    pub fn asks_to_wait(&self) -> Option<Duration> {
        self.api.lane.closed_for((self.api.shared.clock)())
    }

    /// The origin this handle is bound to.
    pub fn origin(&self) -> &Origin {
        &self.api.origin
    }
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Instance").field(&self.api.origin.to_string()).finish()
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

/// One question to a [`Remote`].
pub(super) struct Ask {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
    /// Uses the deadline and the cap of a batch.
    bulk: bool,
}

impl Ask {
    /// A read below the API root (`WhoAmI`, `leads(…)?$select=…`).
    pub(super) fn get(path: &str) -> Self {
        let mut headers = odata_headers();
        // Without it some gateways answer reads out of a cache (5.1).
        headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("null"));
        Self { method: Method::GET, path: path.to_owned(), headers, body: Bytes::new(), bulk: false }
    }

    /// A creation under an id of our own: fails with 412 if the row exists, changes nothing then.
    pub(super) fn create(path: &str, body: &serde_json::Value) -> Self {
        let mut headers = odata_headers();
        headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("*"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let body = Bytes::from(body.to_string());
        Self { method: Method::PATCH, path: path.to_owned(), headers, body, bulk: false }
    }

    /// A `$batch`.
    pub(super) fn batch(content_type: HeaderValue, body: Bytes) -> Self {
        let mut headers = odata_headers();
        headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("null"));
        headers.insert(header::CONTENT_TYPE, content_type);
        Self { method: Method::POST, path: "$batch".to_owned(), headers, body, bulk: true }
            // Without it the first missing row ends the batch and the rest goes unanswered.
            .prefer("odata.continue-on-error")
    }

    pub(super) fn prefer(mut self, preference: &'static str) -> Self {
        self.headers.insert(HeaderName::from_static("prefer"), HeaderValue::from_static(preference));
        self
    }

    pub(super) fn bulk(mut self) -> Self {
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

/// A host that takes our tokens: the instance, or the discovery service.
#[derive(Clone)]
pub(super) struct Remote {
    shared: Arc<Shared>,
    peer: Peer,
    pub(super) origin: Origin,
    /// The sign-in service of its cloud.
    authority: Origin,
    signer: Arc<Signer>,
    lane: Arc<Lane>,
}

impl Remote {
    /// The time, by the one clock.
    pub(super) fn now(&self) -> SystemTime {
        (self.shared.clock)().into()
    }

    /// An error of this remote.
    pub(super) fn error(&self, kind: Kind) -> Error {
        Error { peer: self.peer, kind }
    }

    /// Sends below the Web API root.
    pub(super) async fn ask(&self, ask: Ask) -> Result<Answer, Error> {
        self.send(ask, API).await
    }

    /// Sends one request and returns the answer whatever its status, except 401 (repeated once with a new token) and
    /// throttling (which closes the gate). One deadline covers everything.
    pub(super) async fn send(&self, ask: Ask, root: &str) -> Result<Answer, Error> {
        let shared = &self.shared;
        let (limit, cap) = if ask.bulk {
            (shared.deadlines.batch, shared.body_limits.batch)
        } else {
            (shared.deadlines.request, shared.body_limits.answer)
        };
        let deadline = Instant::now() + limit;
        let operation = self.operation(&ask);
        let uri: Uri = format!("{}{root}/{}", self.origin, ask.path)
            .parse()
            .map_err(|_| self.error(Kind::Other { status: 0, code: None }))?;
        let mut outgoing = Outgoing { method: ask.method, uri, headers: ask.headers, body: ask.body };
        let mut refused = false;
        loop {
            self.gate()?;
            let token = by(deadline, Peer::SignIn, self.token()).await?;
            outgoing.headers.insert(header::AUTHORIZATION, token.header.clone());
            outgoing.headers.insert(HeaderName::from_static("x-ms-client-request-id"), request_id());
            let Ok(slot) = timeout_at(deadline, self.lane.slot()).await else {
                return Err(self.error(Kind::Busy));
            };
            // A slot freed by the very deadline that ends this request too is no use any more.
            if Instant::now() >= deadline {
                return Err(self.error(Kind::Busy));
            }
            // While this one waited for its slot, another may have been told to stay away.
            self.gate()?;
            let sent = async { shared.exchange.send(&outgoing, cap).await.map_err(|kind| self.error(kind)) };
            let begin = Instant::now();
            let answer = by(deadline, self.peer, sent).await;
            drop(slot);
            self.observe(operation, begin, &answer);
            let answer = answer?;
            if answer.status.is_success() {
                return Ok(answer);
            }
            let kind = answer.refusal();
            if answer.status == StatusCode::UNAUTHORIZED || answer.code() == Some(ErrorCode::TOKEN_EXPIRED) {
                shared.tokens.forget(&self.token_key(), &token, (shared.clock)()).await;
                if refused {
                    let reason = Rejection::Unauthorized;
                    return Err(self.error(Kind::CredentialsRejected { reason, aadsts: None }));
                }
                refused = true;
            } else if matches!(kind, Kind::Throttled { .. }) {
                return Err(self.throttled(kind));
            } else {
                return Ok(answer);
            }
        }
    }

    /// Closes the gate for as long as the other side asked.
    pub(super) fn throttled(&self, kind: Kind) -> Error {
        if let Kind::Throttled { retry_after } = kind {
            (self.shared.observe)(&Observed::Throttled { host: self.origin.host() });
            self.lane.close((self.shared.clock)(), retry_after);
        }
        self.error(kind)
    }

    fn operation(&self, ask: &Ask) -> Operation {
        match ask.method {
            _ if self.peer == Peer::Discovery => Operation::Discover,
            Method::PATCH => Operation::Create,
            Method::POST => Operation::Batch,
            _ => Operation::Read,
        }
    }

    fn observe(&self, operation: Operation, begin: Instant, answer: &Result<Answer, Error>) {
        let (host, outcome, took) = (self.origin.host(), Outcome::of(answer), begin.elapsed());
        (self.shared.observe)(&Observed::Exchanged { host, operation, outcome, took });
    }

    fn gate(&self) -> Result<(), Error> {
        match self.lane.closed_for((self.shared.clock)()) {
            Some(retry_after) => Err(self.error(Kind::Throttled { retry_after })),
            None => Ok(()),
        }
    }

    fn token_key(&self) -> super::token::Key {
        (self.origin.clone(), self.signer.fingerprint)
    }

    /// A token for this origin and no other. The credential goes to its cloud's sign-in service and nowhere else.
    async fn token(&self) -> Result<Token, Error> {
        let shared = &self.shared;
        shared.tokens.get(&self.token_key(), &shared.clock, || self.request_token()).await
    }

    async fn request_token(&self) -> Result<Answer, Kind> {
        let shared = &self.shared;
        let url = format!("{}/{}/oauth2/v2.0/token", self.authority, self.signer.tenant);
        let scope = format!("{}/.default", self.origin);
        let form = self.signer.form(&scope, &url, (shared.clock)()).map_err(Kind::CredentialsUnusable)?;
        let outgoing = Outgoing {
            method: Method::POST,
            uri: url.parse().map_err(|_| Kind::Other { status: 0, code: None })?,
            headers: HeaderMap::from_iter([
                (header::ACCEPT, HeaderValue::from_static("application/json")),
                (header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded")),
            ]),
            body: Bytes::from(form),
        };
        let sent = shared.exchange.send(&outgoing, LARGEST_TOKEN_ANSWER);
        let timeout = Kind::Unreachable(Unreachable::Timeout);
        let begin = Instant::now();
        let answer = tokio::time::timeout(shared.deadlines.sign_in, sent).await.unwrap_or(Err(timeout));
        let answer = answer.map_err(|kind| Error { peer: Peer::SignIn, kind });
        self.observe(Operation::SignIn, begin, &answer);
        answer.map_err(|error| error.kind)
    }
}

/// Ends what is still waiting at the deadline.
async fn by<T>(
    deadline: Instant,
    peer: Peer,
    future: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let timeout = Error { peer, kind: Kind::Unreachable(Unreachable::Timeout) };
    timeout_at(deadline, future).await.unwrap_or(Err(timeout))
}

/// Lets the instance's administrators find our request in their logs.
fn request_id() -> HeaderValue {
    HeaderValue::from_str(&Uuid::new_v4().to_string()).expect("a UUID is a valid header value")
}
