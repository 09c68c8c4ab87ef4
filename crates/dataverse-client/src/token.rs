//! Cache of access tokens: one token request at a time per origin and credential, renewal shortly before expiry.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use crate::config::Clock;
use crate::credentials::Fingerprint;
use crate::error::{Endpoint, Error, ErrorClass, ErrorKind, UnexpectedResponse};
use crate::origin::Origin;
use crate::response::TokenError;
use crate::transport::{HttpResponse, sensitive};

/// Tokens are renewed this long before they expire, so that none expires during a request.
const RENEWAL_MARGIN: SignedDuration = SignedDuration::from_mins(5);
/// Time between attempts to renew a token that is still valid.
const RENEWAL_RETRY: SignedDuration = SignedDuration::from_secs(30);

/// An access token. No `Debug`.
#[derive(Clone)]
pub(crate) struct Token {
    /// `Bearer …`, marked sensitive.
    pub(crate) header: HeaderValue,
    /// Tells a rejected token from the one that has replaced it.
    serial: u64,
    renew_at: Timestamp,
    expires_at: Timestamp,
}

/// Origin and credential of a token. With the ids of an application alone in the key, a caller without its secret would
/// get the token of one that has it.
pub(crate) type TokenKey = (Origin, Fingerprint);

#[derive(Default)]
pub(crate) struct Tokens {
    entries: Mutex<HashMap<TokenKey, Arc<Entry>>>,
    serials: AtomicU64,
}

#[derive(Default)]
struct Entry {
    state: tokio::sync::Mutex<TokenState>,
    /// Number of token requests that have finished.
    finished: AtomicU64,
}

#[derive(Default)]
struct TokenState {
    token: Option<Token>,
    failed: Option<FailedSignIn>,
}

struct FailedSignIn {
    error: Error,
    number: u64,
    until: Timestamp,
}

impl TokenState {
    fn valid_token(&self, now: Timestamp) -> Option<Token> {
        self.token.clone().filter(|t| now < t.expires_at)
    }
}

impl Tokens {
    /// The cached token, or a new one. Concurrent callers share one token request and its result, errors included:
    /// a wrong secret must not cause one sign-in attempt per caller.
    pub(crate) async fn get<F>(
        &self,
        key: &TokenKey,
        clock: &Clock,
        fetch: impl FnOnce() -> F,
    ) -> Result<Token, Error>
    where
        F: Future<Output = Result<HttpResponse, ErrorKind>>,
    {
        let entry = self.entry(key, clock());
        let finished_before = entry.finished.load(Ordering::Acquire);
        let mut state = entry.state.lock().await;
        let now = clock();
        if let Some(token) = state.token.as_ref().filter(|t| now < t.renew_at) {
            return Ok(token.clone());
        }
        if let Some(failed) = &state.failed
            && (failed.number > finished_before || now < failed.until)
        {
            return state.valid_token(now).ok_or_else(|| failed.error_at(now));
        }
        let fetched = match fetch().await {
            Ok(response) => self.parse(&response, clock()),
            Err(kind) => Err(kind),
        };
        let number = entry.finished.fetch_add(1, Ordering::AcqRel) + 1;
        match fetched {
            Ok(token) => {
                *state = TokenState { token: Some(token.clone()), failed: None };
                Ok(token)
            }
            Err(kind) => {
                let error = Error { endpoint: Endpoint::SignIn, kind };
                let valid_token = state.valid_token(now).filter(|_| {
                    matches!(error.class(), ErrorClass::SignInUnavailable | ErrorClass::RetryLater)
                });
                let pause = match (&error.kind, &valid_token) {
                    (ErrorKind::Throttled { retry_after }, _) => {
                        SignedDuration::try_from(*retry_after).unwrap_or(RENEWAL_RETRY)
                    }
                    (_, Some(_)) => RENEWAL_RETRY,
                    // Without a valid token, callers decide when to retry.
                    (_, None) => SignedDuration::ZERO,
                };
                let until = now.saturating_add(pause).unwrap_or(now);
                state.failed = Some(FailedSignIn { error: error.clone(), number, until });
                if valid_token.is_none() {
                    state.token = None;
                }
                valid_token.ok_or(error)
            }
        }
    }

    /// Drops a rejected token, unless it has been replaced already.
    pub(crate) async fn forget(&self, key: &TokenKey, token: &Token, now: Timestamp) {
        let entry = self.entry(key, now);
        let mut state = entry.state.lock().await;
        if state.token.as_ref().is_some_and(|t| t.serial == token.serial) {
            state.token = None;
        }
    }

    fn entry(&self, key: &TokenKey, now: Timestamp) -> Arc<Entry> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get(key) {
            return entry.clone();
        }
        // Federated tokens rotate, and each is a new key: drop expired entries.
        entries.retain(|_, entry| {
            Arc::strong_count(entry) > 1
                || entry.state.try_lock().map_or(true, |s| {
                    s.valid_token(now).is_some() || s.failed.as_ref().is_some_and(|f| now < f.until)
                })
        });
        entries.entry(key.clone()).or_default().clone()
    }

    fn parse(&self, response: &HttpResponse, now: Timestamp) -> Result<Token, ErrorKind> {
        if !response.status.is_success() {
            return Err(TokenError::kind_of(response));
        }
        let granted: TokenResponse = response.json()?;
        let undecodable = || ErrorKind::UnexpectedResponse {
            status: response.status.as_u16(),
            reason: UnexpectedResponse::Undecodable,
        };
        let bearer = granted.token_type.eq_ignore_ascii_case("bearer");
        let token = &granted.access_token;
        // The characters RFC 6750 allows; anything else could inject a header.
        let plain = !token.is_empty()
            && token.len() <= 32 << 10
            && token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b));
        if !bearer || !plain {
            return Err(undecodable());
        }
        let header = sensitive(&format!("Bearer {token}")).ok_or_else(undecodable)?;
        let life = SignedDuration::from_secs(granted.expires_in.seconds().clamp(0, 86_400));
        // A token that is valid for less than twice the margin is renewed after half that time.
        let renew_after = if life > RENEWAL_MARGIN * 2 { life - RENEWAL_MARGIN } else { life / 2 };
        let after = |d| now.saturating_add(d).unwrap_or(now);
        Ok(Token {
            header,
            serial: self.serials.fetch_add(1, Ordering::Relaxed),
            renew_at: after(renew_after),
            expires_at: after(life),
        })
    }
}

impl FailedSignIn {
    /// The error, with the remaining wait.
    fn error_at(&self, now: Timestamp) -> Error {
        let mut error = self.error.clone();
        if let ErrorKind::Throttled { retry_after } = &mut error.kind {
            let left = Duration::try_from(self.until.duration_since(now)).unwrap_or_default();
            *retry_after = left.max(Duration::from_secs(1));
        }
        error
    }
}

#[derive(Deserialize)]
struct TokenResponse {
    token_type: String,
    access_token: String,
    expires_in: Seconds,
}

/// A number, which some authorities send as a string.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(i64),
    Text(String),
}

impl Seconds {
    fn seconds(&self) -> i64 {
        match self {
            Self::Number(n) => *n,
            Self::Text(t) => t.parse().unwrap_or(0),
        }
    }
}
