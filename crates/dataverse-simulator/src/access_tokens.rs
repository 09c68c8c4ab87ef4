//! Access tokens: issued for one host, valid for one hour.

use std::collections::BTreeMap;

use http::HeaderMap;
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

/// How long a token is valid.
pub(crate) const LIFETIME: SignedDuration = SignedDuration::from_secs(3600);

/// The tokens issued so far; expired ones are kept for a day, to tell them from invented ones.
#[derive(Debug, Default)]
pub(crate) struct AccessTokens {
    issued: u64,
    tokens: BTreeMap<String, AccessToken>,
}

#[derive(Debug)]
struct AccessToken {
    host: String,
    expires: Timestamp,
}

/// Whether a request to a host is authenticated.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TokenStatus {
    Valid,
    Expired,
    /// Absent, unknown, or issued for another host.
    Invalid,
}

impl AccessTokens {
    pub fn issue(&mut self, host: &str, now: Timestamp) -> String {
        self.tokens.retain(|_, token| now.duration_since(token.expires) < SignedDuration::from_hours(24));
        self.issued += 1;
        let id = Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("{host}/{}", self.issued).as_bytes());
        let text = format!("simulated.{}", id.simple());
        let expires = now.saturating_add(LIFETIME).unwrap_or(Timestamp::MAX);
        self.tokens.insert(text.clone(), AccessToken { host: host.to_owned(), expires });
        text
    }

    /// Checks the `Authorization` header of a request to `host`.
    pub fn check(&self, headers: &HeaderMap, host: &str, now: Timestamp) -> TokenStatus {
        let text = headers.get("authorization").and_then(|value| value.to_str().ok());
        let token = text.and_then(|text| text.strip_prefix("Bearer ")).and_then(|text| self.tokens.get(text));
        match token {
            Some(token) if token.host == host && now < token.expires => TokenStatus::Valid,
            Some(token) if token.host == host => TokenStatus::Expired,
            _ => TokenStatus::Invalid,
        }
    }

    /// Invalidates every token, as when the permissions of the application are revoked.
    pub fn revoke_all(&mut self) {
        self.tokens.clear();
    }
}
