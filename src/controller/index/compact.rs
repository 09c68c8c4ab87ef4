//! Compact forms of an object's strings and times.

use crate::api::PostLinkStatus;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use std::hash::{DefaultHasher, Hash, Hasher};
use uuid::Uuid;

/// Seconds since 1970, until 2106; times that the API server or Postlink sets have no fractions.
pub(super) type Seconds = u32;

/// An earlier or later time is the first or the last one.
pub(super) fn seconds(time: Timestamp) -> Seconds {
    let last = Seconds::MAX;
    Seconds::try_from(time.as_second().clamp(0, i64::from(last))).unwrap_or(last)
}

pub(super) fn time(seconds: Seconds) -> Timestamp {
    Timestamp::from_second(i64::from(seconds)).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// A UID as 16 bytes. The API server's UIDs are UUIDs; any other string is hashed to one.
pub fn uid(text: &str) -> Uuid {
    Uuid::parse_str(text).unwrap_or_else(|_| Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes()))
}

/// Equal statuses have equal hashes.
pub fn hash(status: &PostLinkStatus) -> u64 {
    let mut hasher = DefaultHasher::new();
    // A status is plain data and always serializes.
    serde_json::to_vec(status).unwrap_or_default().hash(&mut hasher);
    hasher.finish()
}

/// The hash of `spec.link` for `status.intent.hash`.
pub fn link_spec_hash(spec: &crate::api::LinkRequest) -> [u8; 16] {
    let digest = Sha256::digest(serde_json::to_vec(spec).unwrap_or_default());
    let mut hash = [0; 16];
    hash.copy_from_slice(&digest[..16]);
    hash
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A resourceVersion as a number (comparable since KEP-5504).
pub fn version(text: Option<&str>) -> u64 {
    text.and_then(|t| t.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn far_times_keep_their_order() {
        let kept = |text: &str| time(seconds(text.parse().unwrap())).to_string();
        assert_eq!(kept("1969-12-31T23:59:59Z"), "1970-01-01T00:00:00Z");
        assert_eq!(kept("2026-01-01T00:00:00.9Z"), "2026-01-01T00:00:00Z");
        assert_eq!(kept("2106-02-07T06:28:15Z"), "2106-02-07T06:28:15Z");
        assert_eq!(kept("2107-01-01T00:00:00Z"), "2106-02-07T06:28:15Z");
    }
}
