//! What the Global Discovery Service says about an instance: the only source of positive evidence for `Expired`.

use jiff::Timestamp;
use serde::Deserialize;
use url::Url;
use uuid::Uuid;

use super::client::{Ask, Instance};
use super::error::Error;

/// What the service says about one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovered {
    /// The organisation.
    pub organization_id: Uuid,
    /// Whether it is enabled.
    pub state: DiscoveredState,
    /// Why it is not (`InstanceLocked` 0 … `InstancePickerReady` 6), as the service's own number.
    pub status_message: Option<i64>,
    /// When its trial ends or ended; absent if it is no trial.
    pub trial_expires: Option<Timestamp>,
}

/// `State`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiscoveredState {
    /// 0.
    Enabled,
    /// 1.
    Disabled,
    /// Any other number.
    Unknown,
}

impl Discovered {
    /// Positive evidence that the instance has expired: disabled, and its trial is over.
    pub fn expired(&self, now: Timestamp) -> bool {
        self.state == DiscoveredState::Disabled && self.trial_expires.is_some_and(|at| at <= now)
    }
}

#[derive(Deserialize)]
struct List {
    value: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    id: Uuid,
    #[serde(default)]
    api_url: Option<String>,
    #[serde(default)]
    url: Option<String>,
    state: i64,
    #[serde(default)]
    status_message: Option<i64>,
    #[serde(default)]
    trial_expiration_date: Option<String>,
}

impl Entry {
    fn is_at(&self, host: &str) -> bool {
        [&self.api_url, &self.url]
            .into_iter()
            .flatten()
            .filter_map(|u| Url::parse(u).ok())
            .any(|u| u.host_str() == Some(host))
    }
}

const ROOT: &str = "/api/discovery/v2.0";
const LIST: &str = "Instances?$select=Id,ApiUrl,Url,State,StatusMessage,TrialExpirationDate";

impl Instance {
    /// Looks this instance up: by organisation id if that is known, else by host. `None`: the service does not list it
    /// for this application, which is evidence of nothing (it omits disabled users and filtered environments).
    pub async fn discover(&self, organization: Option<Uuid>) -> Result<Option<Discovered>, Error> {
        let answer = self.directory.send(Ask::get(LIST).bulk(), ROOT).await?;
        let List { value } = answer.json().map_err(|k| self.directory.error(k))?;
        let host = self.origin().host();
        let entry = value.into_iter().find(|entry| match organization {
            Some(id) => entry.id == id,
            None => entry.is_at(host),
        });
        Ok(entry.map(|entry| Discovered {
            organization_id: entry.id,
            state: match entry.state {
                0 => DiscoveredState::Enabled,
                1 => DiscoveredState::Disabled,
                _ => DiscoveredState::Unknown,
            },
            status_message: entry.status_message,
            trial_expires: entry.trial_expiration_date.as_deref().and_then(date),
        }))
    }
}

/// A date; the year 1 stands for "none".
fn date(text: &str) -> Option<Timestamp> {
    let at: Timestamp = text.parse().ok()?;
    (at > Timestamp::UNIX_EPOCH).then_some(at)
}
