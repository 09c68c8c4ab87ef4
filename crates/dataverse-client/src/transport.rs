//! HTTP transport: sends one request, reads a size-limited response, classifies failures. No redirects, proxies or
//! compression.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::config::{Clock, Config, ConfigError};
use crate::connector::{ConnectError, Connector, Used};
use crate::error::{ErrorKind, UnexpectedResponse, Unreachable};
use crate::guard::Guard;
use crate::origin::OriginError;

/// Upper bound for `Retry-After`, so that a hostile value (`1000000000`) cannot stop requests for years.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);
/// Limit on response heads, enforced by hyper while reading.
const MAX_HEAD: usize = 64 << 10;
/// Idle time of pooled connections. Shorter than that of common servers and load balancers, so that this side closes.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// A request that can be sent more than once. No `Debug`, since it may hold a credential.
#[derive(Clone)]
pub(crate) struct HttpRequest {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// A complete response. No `Debug`, so that no body reaches a log.
pub(crate) struct HttpResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// `Retry-After`, bounded, relative to the time of reading.
    pub(crate) retry_after: Option<Duration>,
}

/// The connection pool, behind the guard.
pub(crate) struct HttpClient {
    client: legacy::Client<Connector, Full<Bytes>>,
    user_agent: HeaderValue,
    clock: Clock,
}

impl HttpClient {
    pub(crate) fn new(config: &Config, guard: Arc<Guard>) -> Result<Self, ConfigError> {
        let user_agent = HeaderValue::from_str(&config.user_agent).map_err(|_| ConfigError::UserAgent)?;
        let client = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(config.concurrency)
            .http1_max_buf_size(MAX_HEAD)
            .build(Connector::new(config, guard)?);
        Ok(Self { client, user_agent, clock: config.clock.clone() })
    }

    /// Sends the request and reads the whole response. Has no timeout of its own; dropping the future cancels it.
    pub(crate) async fn send(&self, outgoing: &HttpRequest, limit: usize) -> Result<HttpResponse, ErrorKind> {
        match self.send_once(outgoing, limit).await {
            // Every request of this client is idempotent: reads, token requests, and creations with
            // `If-None-Match: *` under an id chosen by the caller.
            Err(Failure::StaleConnection) => self.send_once(outgoing, limit).await.map_err(Failure::kind),
            other => other.map_err(Failure::kind),
        }
    }

    async fn send_once(&self, outgoing: &HttpRequest, limit: usize) -> Result<HttpResponse, Failure> {
        let mut request = Request::new(Full::new(outgoing.body.clone()));
        *request.method_mut() = outgoing.method.clone();
        *request.uri_mut() = outgoing.uri.clone();
        *request.headers_mut() = outgoing.headers.clone();
        request.headers_mut().insert(header::USER_AGENT, self.user_agent.clone());
        let response = self.client.request(request).await.map_err(|e| Failure::of_request(&e))?;
        if let Some(used) = response.extensions().get::<Used>() {
            used.mark();
        }
        let (head, body) = response.into_parts();
        let status = head.status.as_u16();
        let unexpected = |reason| Failure::Is(ErrorKind::UnexpectedResponse { status, reason });
        if head.headers.get(header::CONTENT_ENCODING).is_some_and(|e| e != "identity") {
            return Err(unexpected(UnexpectedResponse::Encoding));
        }
        let announced =
            head.headers.get(header::CONTENT_LENGTH).and_then(|l| l.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|l| l > limit as u64) {
            return Err(unexpected(UnexpectedResponse::TooLarge));
        }
        let body = match Limited::new(body, limit).collect().await {
            Ok(body) => body.to_bytes(),
            Err(e) if e.is::<LengthLimitError>() => return Err(unexpected(UnexpectedResponse::TooLarge)),
            Err(_) => return Err(Failure::Is(ErrorKind::Unreachable(Unreachable::Reset))),
        };
        let retry_after = retry_after(&head.headers, (self.clock)().into());
        Ok(HttpResponse { status: head.status, headers: head.headers, body, retry_after })
    }
}

enum Failure {
    /// A pooled connection failed before the response, most likely because the server closed it while idle.
    StaleConnection,
    Is(ErrorKind),
}

impl Failure {
    fn kind(self) -> ErrorKind {
        match self {
            Self::StaleConnection => ErrorKind::Unreachable(Unreachable::Reset),
            Self::Is(kind) => kind,
        }
    }

    /// Classifies hyper's errors by type; their texts are dropped.
    fn of_request(error: &legacy::Error) -> Self {
        let mut source: Option<&(dyn StdError + 'static)> = error.source();
        while let Some(cause) = source {
            if let Some(error) = cause.downcast_ref::<ConnectError>() {
                return Self::Is(match error {
                    ConnectError::HostNotAllowed => ErrorKind::HostNotAllowed(OriginError::HostNotAllowed),
                    ConnectError::AddressNotAllowed => ErrorKind::AddressNotAllowed,
                    ConnectError::Dns => ErrorKind::Unreachable(Unreachable::Dns),
                    ConnectError::Connect => ErrorKind::Unreachable(Unreachable::Connect),
                    ConnectError::Tls => ErrorKind::Unreachable(Unreachable::Tls),
                    ConnectError::Timeout => ErrorKind::Unreachable(Unreachable::Timeout),
                });
            }
            if cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse) {
                return Self::Is(ErrorKind::UnexpectedResponse {
                    status: 0,
                    reason: UnexpectedResponse::InvalidHead,
                });
            }
            source = cause.source();
        }
        let mut extensions = http::Extensions::new();
        if let Some(connection) = error.connect_info() {
            connection.get_extras(&mut extensions);
        }
        if extensions.get::<Used>().is_some_and(Used::is_used) {
            Self::StaleConnection
        } else {
            Self::Is(ErrorKind::Unreachable(Unreachable::Reset))
        }
    }
}

/// `Retry-After` as seconds or as a date, between a second and an hour; unreadable counts as absent. A date is taken
/// relative to the sender's own `Date`, so that clock skew does not matter.
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // A number that overflows is a very long wait, not an absent one.
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        let at = httpdate::parse_http_date(text).ok()?;
        let base = headers.get(header::DATE).and_then(|d| httpdate::parse_http_date(d.to_str().ok()?).ok());
        at.duration_since(base.unwrap_or(now)).unwrap_or_default()
    };
    Some(wait.clamp(Duration::from_secs(1), MAX_RETRY_AFTER))
}

/// A header value whose `Debug` output is redacted.
pub(crate) fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(value: &str, date: Option<&str>) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, value.parse().unwrap());
        if let Some(date) = date {
            headers.insert(header::DATE, date.parse().unwrap());
        }
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        retry_after(&headers, now).map(|d| d.as_secs())
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(parsed("17", None), Some(17));
        assert_eq!(parsed("0", None), Some(1));
        assert_eq!(parsed("1000000000", None), Some(3600));
        assert_eq!(parsed("99999999999999999999999999", None), Some(3600));
        assert_eq!(parsed("-5", None), None);
        assert_eq!(parsed("soon", None), None);
        // 30 seconds after `now`; 7 seconds after the sender's own `Date`.
        assert_eq!(parsed("Sun, 06 Nov 1994 08:50:07 GMT", None), Some(30));
        assert_eq!(parsed("Sun, 06 Nov 1994 08:50:07 GMT", Some("Sun, 06 Nov 1994 08:50:00 GMT")), Some(7));
        assert_eq!(parsed("Thu, 31 Dec 2099 23:59:59 GMT", None), Some(3600));
        assert_eq!(parsed("Sun, 06 Nov 1994 08:00:00 GMT", None), Some(1));
    }
}
