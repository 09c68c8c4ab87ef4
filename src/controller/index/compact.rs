//! Texts and times of objects as numbers: small to keep, quick to compare.

use crate::api::PostLinkStatus;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use std::hash::{DefaultHasher, Hash, Hasher};
use uuid::Uuid;

/// Seconds since the epoch; the API's times have no more.
pub(super) type Seconds = u32;

pub(super) fn seconds(time: Timestamp) -> Seconds {
    Seconds::try_from(time.as_second()).unwrap_or(0)
}

pub(super) fn time(seconds: Seconds) -> Timestamp {
    Timestamp::from_second(i64::from(seconds)).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// A UID as 16 bytes. The API server's are UUIDs; anything else gets one of its own.
pub fn uid(text: &str) -> Uuid {
    Uuid::parse_str(text).unwrap_or_else(|_| Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes()))
}

/// What a status says, as one number: equal statuses have equal numbers.
pub fn hash(status: &PostLinkStatus) -> u64 {
    let mut hasher = DefaultHasher::new();
    // A status is plain data and always serialises; were it not, it would differ from all others and be written.
    serde_json::to_vec(status).unwrap_or_default().hash(&mut hasher);
    hasher.finish()
}

/// `spec.link` as one short text: what `status.intent.hash` keeps.
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

/// A resourceVersion as the number it is (comparable since KEP-5504).
pub fn version(text: Option<&str>) -> u64 {
    text.and_then(|t| t.parse().ok()).unwrap_or(0)
}
