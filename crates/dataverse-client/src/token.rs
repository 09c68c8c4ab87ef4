//! Access tokens: one request at a time per origin and credential, kept until shortly before they run out.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::answer::TokenRefusal;
use super::config::Clock;
use super::credentials::Fingerprint;
use super::error::{Error, Kind, Meaning, Peer, Rubbish};
use super::exchange::{Answer, sensitive};
use super::origin::Origin;

/// Renewed this long before it runs out, so that no request sets out with a token that dies on the way.
const MARGIN: SignedDuration = SignedDuration::from_mins(5);
/// How long a token that is still good is used when it cannot be renewed, before renewing is tried again.
const PAUSE: SignedDuration = SignedDuration::from_secs(30);

/// An access token. No `Debug`.
#[derive(Clone)]
pub(super) struct Token {
    /// `Bearer …`, marked sensitive.
    pub(super) header: HeaderValue,
    /// Tells a refused token from the one that has replaced it meanwhile.
    serial: u64,
    renew_at: Timestamp,
    runs_out_at: Timestamp,
}

/// Whose token, for what. The credential is part of it: who knows only the ids of an application must not get a
/// token that somebody else's secret has earned.
pub(super) type Key = (Origin, Fingerprint);

#[derive(Default)]
pub(super) struct Tokens {
    slots: Mutex<HashMap<Key, Arc<Slot>>>,
    serials: AtomicU64,
}

#[derive(Default)]
struct Slot {
    state: tokio::sync::Mutex<State>,
    /// Requests that have ended.
    ended: AtomicU64,
}

#[derive(Default)]
struct State {
    token: Option<Token>,
    failed: Option<Failed>,
}

struct Failed {
    error: Error,
    number: u64,
    until: Timestamp,
}

impl State {
    fn still_good(&self, now: Timestamp) -> Option<Token> {
        self.token.clone().filter(|t| now < t.runs_out_at)
    }
}

impl Tokens {
    /// The token, cached or fetched. Callers that wait for the same fetch share its result, failure included:
    /// a hundred links with a wrong secret must not become a hundred attempts to sign in.
    pub(super) async fn get<F>(
        &self,
        key: &Key,
        clock: &Clock,
        fetch: impl FnOnce() -> F,
    ) -> Result<Token, Error>
    where
        F: Future<Output = Result<Answer, Kind>>,
    {
        let slot = self.slot(key, clock());
        let ended_before = slot.ended.load(Ordering::Acquire);
        let mut state = slot.state.lock().await;
        let now = clock();
        if let Some(token) = state.token.as_ref().filter(|t| now < t.renew_at) {
            return Ok(token.clone());
        }
        if let Some(failed) = &state.failed
            && (failed.number > ended_before || now < failed.until)
        {
            return state.still_good(now).ok_or_else(|| failed.error_at(now));
        }
        let fetched = match fetch().await {
            Ok(answer) => self.read(&answer, clock()),
            Err(kind) => Err(kind),
        };
        let number = slot.ended.fetch_add(1, Ordering::AcqRel) + 1;
        match fetched {
            Ok(token) => {
                *state = State { token: Some(token.clone()), failed: None };
                Ok(token)
            }
            Err(kind) => {
                let error = Error { peer: Peer::SignIn, kind };
                let still_good = state
                    .still_good(now)
                    .filter(|_| matches!(error.meaning(), Meaning::SignInUnavailable | Meaning::Wait));
                let pause = match (&error.kind, &still_good) {
                    (Kind::Throttled { retry_after }, _) => {
                        SignedDuration::try_from(*retry_after).unwrap_or(PAUSE)
                    }
                    (_, Some(_)) => PAUSE,
                    // Without a token each caller's own backoff decides when to try again.
                    (_, None) => SignedDuration::ZERO,
                };
                let until = now.saturating_add(pause).unwrap_or(now);
                state.failed = Some(Failed { error: error.clone(), number, until });
                if still_good.is_none() {
                    state.token = None;
                }
                still_good.ok_or(error)
            }
        }
    }

    /// Drops a token its host has refused, unless another has replaced it already.
    pub(super) async fn forget(&self, key: &Key, token: &Token, now: Timestamp) {
        let slot = self.slot(key, now);
        let mut state = slot.state.lock().await;
        if state.token.as_ref().is_some_and(|t| t.serial == token.serial) {
            state.token = None;
        }
    }

    fn slot(&self, key: &Key, now: Timestamp) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(key) {
            return slot.clone();
        }
        // Federated tokens rotate, and each is a new key: drop what can no longer be of use.
        slots.retain(|_, slot| {
            Arc::strong_count(slot) > 1
                || slot.state.try_lock().map_or(true, |s| {
                    s.still_good(now).is_some() || s.failed.as_ref().is_some_and(|f| now < f.until)
                })
        });
        slots.entry(key.clone()).or_default().clone()
    }

    fn read(&self, answer: &Answer, now: Timestamp) -> Result<Token, Kind> {
        if !answer.status.is_success() {
            return Err(TokenRefusal::of(answer));
        }
        let granted: Granted = answer.json()?;
        let unreadable = || Kind::Rubbish { status: answer.status.as_u16(), why: Rubbish::Unreadable };
        let bearer = granted.token_type.eq_ignore_ascii_case("bearer");
        let token = &granted.access_token;
        // Exactly what RFC 6750 allows in the header; anything else would be somebody else's text in our request.
        let plain = !token.is_empty()
            && token.len() <= 32 << 10
            && token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b));
        if !bearer || !plain {
            return Err(unreadable());
        }
        let header = sensitive(&format!("Bearer {token}")).ok_or_else(unreadable)?;
        let life = SignedDuration::from_secs(granted.expires_in.seconds().clamp(0, 86_400));
        // A token that lives shorter than twice the margin is renewed at half its life.
        let renew_after = if life > MARGIN * 2 { life - MARGIN } else { life / 2 };
        let after = |d| now.saturating_add(d).unwrap_or(now);
        Ok(Token {
            header,
            serial: self.serials.fetch_add(1, Ordering::Relaxed),
            renew_at: after(renew_after),
            runs_out_at: after(life),
        })
    }
}

impl Failed {
    /// The failure, with the wait that is left of it.
    fn error_at(&self, now: Timestamp) -> Error {
        let mut error = self.error.clone();
        if let Kind::Throttled { retry_after } = &mut error.kind {
            let left = Duration::try_from(self.until.duration_since(now)).unwrap_or_default();
            *retry_after = left.max(Duration::from_secs(1));
        }
        error
    }
}

#[derive(Deserialize)]
struct Granted {
    token_type: String,
    access_token: String,
    expires_in: Seconds,
}

/// Some authorities send the number as a string.
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
