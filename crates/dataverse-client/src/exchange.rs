//! One HTTP exchange: request out, capped answer in, failures sorted. No redirects, no proxies, no compression.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::config::{Clock, Config, ConfigError};
use super::connector::{ConnectFault, Connector, Served};
use super::error::{Kind, Rubbish, Unreachable};
use super::guard::Guard;
use super::origin::OriginError;

/// The longest wait anybody can talk us into (T6: `Retry-After: 1000000000`).
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);
/// Answer heads beyond this are not those of a Web API. Enforced by hyper while reading.
const LARGEST_HEAD: usize = 64 << 10;
/// Shorter than what servers and load balancers usually grant, so that we close first.
const IDLE: Duration = Duration::from_secs(30);

/// A request that can be sent more than once. No `Debug`: it may hold a credential.
#[derive(Clone)]
pub(super) struct Outgoing {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// A complete answer. No `Debug`: bodies must not reach a log.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// `Retry-After`, capped, relative to the moment it was read.
    pub(super) retry_after: Option<Duration>,
}

/// The connection pool and what guards it.
pub(super) struct Exchange {
    client: legacy::Client<Connector, Full<Bytes>>,
    user_agent: HeaderValue,
    clock: Clock,
}

impl Exchange {
    pub(super) fn new(config: &Config, guard: Arc<Guard>) -> Result<Self, ConfigError> {
        let user_agent = HeaderValue::from_str(&config.user_agent).map_err(|_| ConfigError::UserAgent)?;
        let client = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(config.concurrency)
            .http1_max_buf_size(LARGEST_HEAD)
            .build(Connector::new(config, guard)?);
        Ok(Self { client, user_agent, clock: config.clock.clone() })
    }

    /// Sends and reads to the end, or says why not. Dropping the future ends the exchange. Callers set deadlines.
    pub(super) async fn send(&self, outgoing: &Outgoing, cap: usize) -> Result<Answer, Kind> {
        match self.send_once(outgoing, cap).await {
            // Every request of this client may be repeated: reads, tokens, and creations that say
            // `If-None-Match: *` for an id of our own choosing.
            Err(Failure::StaleConnection) => self.send_once(outgoing, cap).await.map_err(Failure::kind),
            other => other.map_err(Failure::kind),
        }
    }

    async fn send_once(&self, outgoing: &Outgoing, cap: usize) -> Result<Answer, Failure> {
        let mut request = Request::new(Full::new(outgoing.body.clone()));
        *request.method_mut() = outgoing.method.clone();
        *request.uri_mut() = outgoing.uri.clone();
        *request.headers_mut() = outgoing.headers.clone();
        request.headers_mut().insert(header::USER_AGENT, self.user_agent.clone());
        let response = self.client.request(request).await.map_err(|e| Failure::of_request(&e))?;
        if let Some(served) = response.extensions().get::<Served>() {
            served.mark();
        }
        let (head, body) = response.into_parts();
        let status = head.status.as_u16();
        let rubbish = |why| Failure::Is(Kind::Rubbish { status, why });
        if head.headers.get(header::CONTENT_ENCODING).is_some_and(|e| e != "identity") {
            return Err(rubbish(Rubbish::Encoding));
        }
        let announced =
            head.headers.get(header::CONTENT_LENGTH).and_then(|l| l.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|l| l > cap as u64) {
            return Err(rubbish(Rubbish::TooLarge));
        }
        let body = match Limited::new(body, cap).collect().await {
            Ok(body) => body.to_bytes(),
            Err(e) if e.is::<LengthLimitError>() => return Err(rubbish(Rubbish::TooLarge)),
            Err(_) => return Err(Failure::Is(Kind::Unreachable(Unreachable::Reset))),
        };
        let retry_after = retry_after(&head.headers, (self.clock)().into());
        Ok(Answer { status: head.status, headers: head.headers, body, retry_after })
    }
}

enum Failure {
    /// A pooled connection had been closed by the other side before it answered this request.
    StaleConnection,
    Is(Kind),
}

impl Failure {
    fn kind(self) -> Kind {
        match self {
            Self::StaleConnection => Kind::Unreachable(Unreachable::Reset),
            Self::Is(kind) => kind,
        }
    }

    /// Sorts hyper's errors by type; their texts are dropped.
    fn of_request(error: &legacy::Error) -> Self {
        let mut source: Option<&(dyn StdError + 'static)> = error.source();
        while let Some(cause) = source {
            if let Some(fault) = cause.downcast_ref::<ConnectFault>() {
                return Self::Is(match fault {
                    ConnectFault::HostNotAllowed => Kind::HostNotAllowed(OriginError::HostNotAllowed),
                    ConnectFault::AddressNotAllowed => Kind::AddressNotAllowed,
                    ConnectFault::Dns => Kind::Unreachable(Unreachable::Dns),
                    ConnectFault::Connect => Kind::Unreachable(Unreachable::Connect),
                    ConnectFault::Tls => Kind::Unreachable(Unreachable::Tls),
                    ConnectFault::Timeout => Kind::Unreachable(Unreachable::Timeout),
                });
            }
            if cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse) {
                return Self::Is(Kind::Rubbish { status: 0, why: Rubbish::Head });
            }
            source = cause.source();
        }
        let mut extensions = http::Extensions::new();
        if let Some(connection) = error.connect_info() {
            connection.get_extras(&mut extensions);
        }
        if extensions.get::<Served>().is_some_and(Served::before) {
            Self::StaleConnection
        } else {
            Self::Is(Kind::Unreachable(Unreachable::Reset))
        }
    }
}

/// `Retry-After` in either form. A date is taken relative to the sender's own `Date`, so that clocks that disagree
/// do no harm; at least a second, at most an hour; unreadable counts as absent.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit are a very long wait, not an absent one.
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        let at = httpdate::parse_http_date(text).ok()?;
        let base = headers.get(header::DATE).and_then(|d| httpdate::parse_http_date(d.to_str().ok()?).ok());
        at.duration_since(base.unwrap_or(now)).unwrap_or_default()
    };
    Some(wait.clamp(Duration::from_secs(1), LONGEST_RETRY_AFTER))
}

/// A header value that hyper and HTTP/2 tables never print.
pub(super) fn sensitive(text: &str) -> Option<HeaderValue> {
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
    fn retry_after_is_read_in_both_forms_and_capped() {
        assert_eq!(parsed("17", None), Some(17));
        assert_eq!(parsed("0", None), Some(1));
        assert_eq!(parsed("1000000000", None), Some(3600));
        assert_eq!(parsed("99999999999999999999999999", None), Some(3600));
        assert_eq!(parsed("-5", None), None);
        assert_eq!(parsed("soon", None), None);
        // 30 seconds after `now`, and after the sender's own clock when that is ahead of ours.
        assert_eq!(parsed("Sun, 06 Nov 1994 08:50:07 GMT", None), Some(30));
        assert_eq!(parsed("Sun, 06 Nov 1994 08:50:07 GMT", Some("Sun, 06 Nov 1994 08:50:00 GMT")), Some(7));
        assert_eq!(parsed("Thu, 31 Dec 2099 23:59:59 GMT", None), Some(3600));
        assert_eq!(parsed("Sun, 06 Nov 1994 08:00:00 GMT", None), Some(1));
    }
}
