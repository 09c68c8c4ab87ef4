//! The Global Discovery Service, the only source that tells an expired instance from one that is down.

use jiff::Timestamp;
use serde::Deserialize;
use url::Url;
use uuid::Uuid;

use crate::api::ApiRequest;
use crate::client::Instance;
use crate::error::Error;

/// An instance as listed by the discovery service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiscoveredInstance {
    /// Id of its organization.
    pub organization_id: Uuid,
    /// Whether it is enabled.
    pub state: DiscoveredState,
    /// The service's `StatusMessage`, from 0 (`InstanceLocked`) to 6 (`InstancePickerReady`).
    pub status_message: Option<i64>,
    /// End of its trial; `None` if it is no trial.
    pub trial_expires: Option<Timestamp>,
}

/// The service's `State`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiscoveredState {
    /// 0: in use.
    Enabled,
    /// 1: disabled.
    Disabled,
    /// Any other number.
    Unknown,
}

impl DiscoveredInstance {
    /// Whether the instance has expired: it is disabled and its trial is over.
    pub fn expired(&self, now: Timestamp) -> bool {
        self.state == DiscoveredState::Disabled && self.trial_expires.is_some_and(|at| at <= now)
    }
}

#[derive(Deserialize)]
struct InstanceList {
    value: Vec<ListedInstance>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedInstance {
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

impl ListedInstance {
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
    /// Looks this instance up by organization id or, without one, by host. `None` if the service does not list it for
    /// this application, which says nothing about the instance: the list omits environments the user is disabled in or
    /// filtered from.
    pub async fn discover(&self, organization: Option<Uuid>) -> Result<Option<DiscoveredInstance>, Error> {
        let response = self.discovery.request_below(ROOT, ApiRequest::get(LIST).bulk()).await?;
        let InstanceList { value } = response.json().map_err(|k| self.discovery.error(k))?;
        let host = self.origin().host();
        let entry = value.into_iter().find(|entry| match organization {
            Some(id) => entry.id == id,
            None => entry.is_at(host),
        });
        Ok(entry.map(|entry| DiscoveredInstance {
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

/// A date; the year 1 means none.
fn date(text: &str) -> Option<Timestamp> {
    let at: Timestamp = text.parse().ok()?;
    (at > Timestamp::UNIX_EPOCH).then_some(at)
}
