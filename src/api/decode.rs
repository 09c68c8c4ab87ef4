//! How fields are decoded whose text has several spellings.

use serde::{Deserialize, Deserializer};

/// An optional text. The empty one is absent, as elsewhere in Kubernetes; templates write it where a value is missing.
pub(super) fn non_empty<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.filter(|text| !text.is_empty()))
}

/// The address of an instance in its normal spelling, so that nothing changes when a person writes it differently.
pub(super) fn instance_url<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(normal_url(&String::deserialize(from)?))
}

/// An address without what does not distinguish it from others: case, a final slash and the default port.
pub fn normal_url(text: &str) -> String {
    let text = text.to_ascii_lowercase();
    let text = text.trim_end_matches('/');
    text.strip_suffix(":443").unwrap_or(text).to_owned()
}
