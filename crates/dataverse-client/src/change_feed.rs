//! The change feed of social activities (`odata.track-changes`).

use serde::Deserialize;
use serde_json::Value;
use url::{Url, form_urlencoded};
use uuid::Uuid;

use crate::api::ApiRequest;
use crate::client::Instance;
use crate::error::{Error, ErrorKind, UnexpectedResponse};
use crate::row::{ActivityRow, RawActivity};
use crate::transport::HttpResponse;

/// A position in the change feed. Opaque; Dataverse accepts it for seven days by default.
#[derive(Clone, PartialEq, Eq)]
pub struct DeltaToken {
    /// `$deltatoken` or `$skiptoken`.
    parameter: &'static str,
    /// Percent-encoded, as in the link.
    value: String,
}

impl std::fmt::Debug for DeltaToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.parameter)
    }
}

/// One page of the change feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivityChanges {
    /// Created and updated activities. The first round returns every activity.
    pub changed: Vec<(Uuid, ActivityRow)>,
    /// Ids of deleted activities. Confirm with [`Instance::check`], which also verifies the organization.
    pub deleted: Vec<Uuid>,
    /// Position after this page.
    pub token: DeltaToken,
    /// Whether another page is available now.
    pub more: bool,
}

const COLUMNS: &str = "socialactivities?$select=activityid,_regardingobjectid_value,statecode,statuscode";
const PREFER: &str = "odata.track-changes,odata.maxpagesize=5000,\
                      odata.include-annotations=\"Microsoft.Dynamics.CRM.lookuplogicalname\"";

#[derive(Deserialize)]
struct Page {
    value: Vec<Value>,
    #[serde(rename = "@odata.nextLink")]
    next_link: Option<String>,
    #[serde(rename = "@odata.deltaLink")]
    delta_link: Option<String>,
}

#[derive(Deserialize)]
struct Removed {
    #[serde(rename = "@odata.context")]
    context: String,
    id: Uuid,
    reason: String,
}

impl Instance {
    /// The next page of changes since a position; `None` starts with every activity.
    ///
    /// Needs change tracking on the `socialactivity` table and organization-wide read access to it. An error of class
    /// [`ErrorClass::RequestRefused`](crate::ErrorClass::RequestRefused) means that the token has expired or the table
    /// does not track changes: start over, or use [`Instance::check`].
    pub async fn changes(&self, since: Option<&DeltaToken>) -> Result<ActivityChanges, Error> {
        let path = match since {
            None => COLUMNS.to_owned(),
            Some(token) => format!("{COLUMNS}&{}={}", token.parameter, token.value),
        };
        let response = self.api.request(ApiRequest::get(&path).prefer(PREFER).bulk()).await?;
        page(&response).map_err(|kind| self.api.error(kind))
    }
}

fn page(response: &HttpResponse) -> Result<ActivityChanges, ErrorKind> {
    let Page { value, next_link, delta_link } = response.json()?;
    let undecodable = || ErrorKind::UnexpectedResponse {
        status: response.status.as_u16(),
        reason: UnexpectedResponse::Undecodable,
    };
    let (token, more) = match (next_link, delta_link) {
        (Some(link), _) => (token(&link, "$skiptoken"), true),
        (None, Some(link)) => (token(&link, "$deltatoken"), false),
        (None, None) => (None, false),
    };
    let mut changes = ActivityChanges {
        changed: Vec::new(),
        deleted: Vec::new(),
        token: token.ok_or_else(undecodable)?,
        more,
    };
    for item in value {
        if item.get("reason").is_some() {
            let removed: Removed = serde_json::from_value(item).map_err(|_| undecodable())?;
            if removed.reason != "deleted" || !removed.context.ends_with("/$deletedEntity") {
                return Err(undecodable());
            }
            changes.deleted.push(removed.id);
        } else {
            let raw: RawActivity = serde_json::from_value(item).map_err(|_| undecodable())?;
            let id = raw.activityid;
            changes.changed.push((id, raw.row().ok_or_else(undecodable)?));
        }
    }
    Ok(changes)
}

/// Extracts the token from a link. The link itself is never followed, since it could name any host.
fn token(link: &str, parameter: &'static str) -> Option<DeltaToken> {
    let url = Url::parse(link).ok()?;
    let value = url.query()?.split('&').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let (name, _) = form_urlencoded::parse(name.as_bytes()).next()?;
        (name == parameter).then_some(value)
    })?;
    let safe = (1..=8192).contains(&value.len())
        && value.bytes().all(|b| b.is_ascii_alphanumeric() || b"%-._~!*'()+:,;=@/".contains(&b));
    safe.then(|| DeltaToken { parameter, value: value.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_of_a_link_is_used() {
        let link = "https://evil.example/api?%24select=x&%24deltatoken=919042%2108%2f22%2f2017%2008%3a10";
        assert_eq!(token(link, "$deltatoken").unwrap().value, "919042%2108%2f22%2f2017%2008%3a10");
        assert!(token(link, "$skiptoken").is_none());
        assert!(token("https://x.example/?$deltatoken=", "$deltatoken").is_none());
        assert!(token("https://x.example/?$deltatoken=a{b}", "$deltatoken").is_none());
    }
}
