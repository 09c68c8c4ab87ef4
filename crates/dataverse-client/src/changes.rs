//! The change feed of social activities: what changed since last time, in one request whatever the number of links.

use serde::Deserialize;
use serde_json::Value;
use url::{Url, form_urlencoded};
use uuid::Uuid;

use super::client::{Ask, Instance};
use super::error::{Error, Kind, Rubbish};
use super::exchange::Answer;
use super::row::{ActivityRow, RawActivity};

/// Where the feed was left: opaque, good for about a week, kept in memory only.
#[derive(Clone, PartialEq, Eq)]
pub struct DeltaToken {
    /// `$deltatoken` or `$skiptoken`.
    parameter: &'static str,
    /// As it stood in the link, still percent-encoded.
    value: String,
}

impl std::fmt::Debug for DeltaToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.parameter)
    }
}

/// One page of the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivityChanges {
    /// Activities that are new or different (in the first round: all there are).
    pub changed: Vec<(Uuid, ActivityRow)>,
    /// Activities that are gone. A hint to look with [`Instance::check`], which alone is proof (R27).
    pub deleted: Vec<Uuid>,
    /// Where to go on.
    pub token: DeltaToken,
    /// Whether another page is waiting: call again at once.
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
    /// The next page of changes; `None` starts with everything there is.
    ///
    /// An error that means [`super::Meaning::RequestRefused`] says that the token is too old or that the table does
    /// not track changes: start over, or fall back on [`Instance::check`].
    pub async fn changes(&self, since: Option<&DeltaToken>) -> Result<ActivityChanges, Error> {
        let path = match since {
            None => COLUMNS.to_owned(),
            Some(token) => format!("{COLUMNS}&{}={}", token.parameter, token.value),
        };
        let answer = self.api.ask(Ask::get(&path).prefer(PREFER).bulk()).await?;
        page(&answer).map_err(|kind| self.api.error(kind))
    }
}

fn page(answer: &Answer) -> Result<ActivityChanges, Kind> {
    let Page { value, next_link, delta_link } = answer.json()?;
    let unreadable = || Kind::Rubbish { status: answer.status.as_u16(), why: Rubbish::Unreadable };
    let (token, more) = match (next_link, delta_link) {
        (Some(link), _) => (token(&link, "$skiptoken"), true),
        (None, Some(link)) => (token(&link, "$deltatoken"), false),
        (None, None) => (None, false),
    };
    let mut changes = ActivityChanges {
        changed: Vec::new(),
        deleted: Vec::new(),
        token: token.ok_or_else(unreadable)?,
        more,
    };
    for item in value {
        if item.get("reason").is_some() {
            let removed: Removed = serde_json::from_value(item).map_err(|_| unreadable())?;
            if removed.reason != "deleted" || !removed.context.ends_with("/$deletedEntity") {
                return Err(unreadable());
            }
            changes.deleted.push(removed.id);
        } else {
            let raw: RawActivity = serde_json::from_value(item).map_err(|_| unreadable())?;
            let id = raw.activityid;
            changes.changed.push((id, raw.row().ok_or_else(unreadable)?));
        }
    }
    Ok(changes)
}

/// Only the token is taken from the link, never the link: it could lead anywhere.
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
    fn only_the_token_is_taken_from_a_link() {
        let link = "https://evil.example/api?%24select=x&%24deltatoken=919042%2108%2f22%2f2017%2008%3a10";
        assert_eq!(token(link, "$deltatoken").unwrap().value, "919042%2108%2f22%2f2017%2008%3a10");
        assert!(token(link, "$skiptoken").is_none());
        assert!(token("https://x.example/?$deltatoken=", "$deltatoken").is_none());
        assert!(token("https://x.example/?$deltatoken=a{b}", "$deltatoken").is_none());
    }
}
