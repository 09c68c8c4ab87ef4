//! The organisation behind an instance: who it is, what it speaks, whether it is up and takes social data (R2).

use serde::Deserialize;
use uuid::Uuid;

use super::answer::one_line;
use super::client::{Ask, Instance};
use super::error::{Error, Kind, Rubbish};

/// What the organisation says about its own state. (The Web API's enum; the Deployment SDK has another of the same
/// name with other numbers.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrganizationState {
    /// 0.
    Enabled,
    /// 1, or `isdisabled`.
    Disabled,
}

/// The answer of the cheap probe: two requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Which organisation answers at this URL.
    pub organization_id: Uuid,
    /// The application user we are there.
    pub user_id: Uuid,
    /// The organisation's name.
    pub name: String,
    /// LCID of its language, for example 1033.
    pub language: Option<i32>,
    /// Whether it lets social data in.
    pub accepts_social_data: bool,
    /// As it says itself.
    pub state: OrganizationState,
}

/// All that is shown of an organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// Its id: what links and tombstones remember.
    pub organization_id: Uuid,
    /// The name people see.
    pub friendly_name: String,
    /// The name machines see.
    pub unique_name: String,
    /// Version of the instance, for example `9.2.24101.00197`.
    pub version: String,
    /// LCID of its language.
    pub language: Option<i32>,
    /// Whether it lets social data in.
    pub accepts_social_data: bool,
    /// As it says itself.
    pub state: OrganizationState,
}

/// Asks for [`WhoAmI`].
pub(super) const WHO_AM_I: &str = "WhoAmI";

/// Who asks, and which organisation answers.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WhoAmI {
    user_id: Uuid,
    pub(super) organization_id: Uuid,
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
    state: State,
}

/// Enum members come as names; a number is accepted too.
#[derive(Deserialize, PartialEq)]
#[serde(untagged)]
enum State {
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

/// As long as an organisation's name can be in Dataverse, and in a status.
const LONGEST_NAME: usize = 160;

const CURRENT: &str = "RetrieveCurrentOrganization(AccessType=@p1)\
                       ?@p1=Microsoft.Dynamics.CRM.EndpointAccessType'Default'";

impl Instance {
    /// The cheap probe: `WhoAmI` and one row. Also tells whether the credentials work.
    pub async fn health(&self) -> Result<Health, Error> {
        let answer = self.api.ask(Ask::get(WHO_AM_I)).await?;
        let who: WhoAmI = answer.json().map_err(|k| self.api.error(k))?;
        let row = self.organization_row(who.organization_id).await?;
        Ok(Health {
            organization_id: who.organization_id,
            user_id: who.user_id,
            state: row.state(),
            name: one_line(&row.name.unwrap_or_default(), LONGEST_NAME),
            language: row.languagecode,
            accepts_social_data: row.disablesocialcare != Some(true),
        })
    }

    /// The organisation in full: two requests.
    pub async fn organization(&self) -> Result<Organization, Error> {
        let answer = self.api.ask(Ask::get(CURRENT)).await?;
        let Current { detail } = answer.json().map_err(|k| self.api.error(k))?;
        let row = self.organization_row(detail.organization_id).await?;
        let disabled = match &detail.state {
            State::Number(n) => *n == 1,
            State::Name(name) => name.eq_ignore_ascii_case("disabled"),
        };
        Ok(Organization {
            organization_id: detail.organization_id,
            friendly_name: one_line(&detail.friendly_name, LONGEST_NAME),
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
        let answer = self.api.ask(Ask::get(&path)).await?;
        let row: Row = answer.json().map_err(|k| self.api.error(k))?;
        if row.organizationid == id {
            Ok(row)
        } else {
            Err(self.api.error(Kind::Rubbish { status: 200, why: Rubbish::OtherRow }))
        }
    }
}
