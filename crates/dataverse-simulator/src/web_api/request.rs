//! What an operation of the Web API gets: the instance, the data, and its part of the request.

use http::{HeaderMap, Method};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;

use crate::data::OrganizationData;
use crate::instance::Instance;

const SERVICE: &str = "/api/data/v9.";

/// The instance and its data, during one request.
pub(crate) struct Context<'a> {
    pub instance: &'a Instance,
    pub data: &'a mut OrganizationData,
    pub now: Timestamp,
    /// `https://host`.
    pub origin: String,
    /// The minor version of the service in the request.
    pub minor: String,
}

impl Context<'_> {
    /// The service root, with a trailing slash.
    pub fn root(&self) -> String {
        format!("{}{SERVICE}{}/", self.origin, self.minor)
    }
}

/// One operation: a whole request, or a part of a batch.
pub(crate) struct Operation<'a> {
    pub method: &'a Method,
    /// The path below the service root, decoded.
    pub path: String,
    /// The query string, not decoded.
    pub query: &'a str,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
}

/// Splits `/api/data/v9.2/rest` into `2` and the decoded rest.
pub(crate) fn below_service_root(path: &str) -> Option<(String, String)> {
    let (minor, rest) = path.strip_prefix(SERVICE)?.split_once('/')?;
    if !matches!(minor, "0" | "1" | "2") {
        return None;
    }
    let rest = percent_decode_str(rest).decode_utf8().ok()?;
    Some((minor.to_owned(), rest.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_existing_versions_are_served() {
        assert_eq!(below_service_root("/api/data/v9.2/WhoAmI()"), Some(("2".into(), "WhoAmI()".into())));
        assert_eq!(below_service_root("/api/data/v9.2/a%28b%29"), Some(("2".into(), "a(b)".into())));
        assert_eq!(below_service_root("/api/data/v10.0/WhoAmI"), None);
        assert_eq!(below_service_root("/"), None);
    }
}
