//! The organization of an instance: identity, names, language, state, and whether it accepts social data.

use serde::Deserialize;
use uuid::Uuid;

use crate::api::ApiRequest;
use crate::client::Instance;
use crate::error::{Error, ErrorKind, UnexpectedResponse};
use crate::response::one_line;

/// State of an organization, as in the Web API's `OrganizationState`. The Deployment SDK's enum of the same name has
/// other numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrganizationState {
    /// 0: in use.
    Enabled,
    /// 1, or the column `isdisabled`.
    Disabled,
}

/// The result of [`Instance::health`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The organization at this URL.
    pub organization_id: Uuid,
    /// The application user that is signed in.
    pub user_id: Uuid,
    /// Name of the organization.
    pub name: String,
    /// LCID of its base language, for example 1033.
    pub language: Option<i32>,
    /// Whether it accepts social data.
    pub accepts_social_data: bool,
    /// Whether the organization is enabled.
    pub state: OrganizationState,
}

/// The result of [`Instance::organization`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// Id of the organization, which stays the same when the URL changes.
    pub organization_id: Uuid,
    /// The name that users see.
    pub friendly_name: String,
    /// The unique name, which users do not see.
    pub unique_name: String,
    /// Version of the instance, for example `9.2.24101.00197`.
    pub version: String,
    /// LCID of its base language.
    pub language: Option<i32>,
    /// Whether it accepts social data.
    pub accepts_social_data: bool,
    /// Whether the organization is enabled.
    pub state: OrganizationState,
}

/// The path of [`WhoAmI`].
pub(crate) const WHO_AM_I: &str = "WhoAmI";

/// The signed-in user and the organization.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct WhoAmI {
    user_id: Uuid,
    pub(crate) organization_id: Uuid,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Current {
    detail: Detail,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Detail {
    organization_id: Uuid,
    friendly_name: String,
    unique_name: String,
    organization_version: String,
    state: EnumMember,
}

/// Enum members are sent as names; a number is accepted too.
#[derive(Deserialize, PartialEq)]
#[serde(untagged)]
enum EnumMember {
    Number(i64),
    Name(String),
}

#[derive(Deserialize)]
struct Row {
    organizationid: Uuid,
    name: Option<String>,
    languagecode: Option<i32>,
    isdisabled: Option<bool>,
    disablesocialcare: Option<bool>,
}

impl Row {
    fn state(&self) -> OrganizationState {
        match self.isdisabled {
            Some(true) => OrganizationState::Disabled,
            _ => OrganizationState::Enabled,
        }
    }
}

/// Dataverse's limit for the name of an organization.
const MAX_NAME: usize = 160;

const CURRENT: &str = "RetrieveCurrentOrganization(AccessType=@p1)\
                       ?@p1=Microsoft.Dynamics.CRM.EndpointAccessType'Default'";

impl Instance {
    /// A cheap health probe: `WhoAmI` and one row. Fails if the credentials do not work.
    pub async fn health(&self) -> Result<Health, Error> {
        let response = self.api.request(ApiRequest::get(WHO_AM_I)).await?;
        let who: WhoAmI = response.json().map_err(|k| self.api.error(k))?;
        let row = self.organization_row(who.organization_id).await?;
        Ok(Health {
            organization_id: who.organization_id,
            user_id: who.user_id,
            state: row.state(),
            name: one_line(&row.name.unwrap_or_default(), MAX_NAME),
            language: row.languagecode,
            accepts_social_data: row.disablesocialcare != Some(true),
        })
    }

    /// Reads the organization: two requests.
    pub async fn organization(&self) -> Result<Organization, Error> {
        let response = self.api.request(ApiRequest::get(CURRENT)).await?;
        let Current { detail } = response.json().map_err(|k| self.api.error(k))?;
        let row = self.organization_row(detail.organization_id).await?;
        let disabled = match &detail.state {
            EnumMember::Number(n) => *n == 1,
            EnumMember::Name(name) => name.eq_ignore_ascii_case("disabled"),
        };
        Ok(Organization {
            organization_id: detail.organization_id,
            friendly_name: one_line(&detail.friendly_name, MAX_NAME),
            unique_name: one_line(&detail.unique_name, 128),
            version: one_line(&detail.organization_version, 64),
            language: row.languagecode,
            accepts_social_data: row.disablesocialcare != Some(true),
            state: if disabled { OrganizationState::Disabled } else { row.state() },
        })
    }

    async fn organization_row(&self, id: Uuid) -> Result<Row, Error> {
        let path = format!(
            "organizations({id})?$select=name,languagecode,isdisabled,disabledreason,disablesocialcare"
        );
        let response = self.api.request(ApiRequest::get(&path)).await?;
        let row: Row = response.json().map_err(|k| self.api.error(k))?;
        if row.organizationid == id {
            Ok(row)
        } else {
            Err(self
                .api
                .error(ErrorKind::UnexpectedResponse { status: 200, reason: UnexpectedResponse::OtherRow }))
        }
    }
}
