//! What an instance says about itself: `WhoAmI`, `RetrieveCurrentOrganization`, `organizations`.

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::answer::{Answer, Refusal, json_answer};
use super::data::{Row, web_time};
use super::query::{Preferences, Query};
use super::rows::{Selection, render};
use super::tables::Table;
use super::web_api::Context;
use super::world::Instance;

/// `GET WhoAmI`.
pub(super) fn who_am_i(context: &Context<'_>, method: &Method) -> Result<Answer, Refusal> {
    if method != Method::GET {
        return Err(Refusal::method_not_allowed("GET"));
    }
    let id = context.instance.spec.organization.id;
    Ok(json_answer(
        StatusCode::OK,
        &json!({
            "@odata.context": format!("{}$metadata#Microsoft.Dynamics.CRM.WhoAmIResponse", context.root()),
            "BusinessUnitId": derived(id, "business-unit"),
            "UserId": derived(id, "application-user"),
            "OrganizationId": id,
        }),
    ))
}

fn derived(id: Uuid, name: &str) -> Uuid {
    Uuid::new_v5(&id, name.as_bytes())
}

/// Id of the environment around an organisation.
pub(super) fn environment_id(instance: &Instance) -> Uuid {
    derived(instance.spec.organization.id, "environment")
}

/// Id of the tenant; all simulated instances belong to one.
pub(super) fn tenant_id() -> Uuid {
    derived(Uuid::NAMESPACE_DNS, "simulated-tenant")
}

/// First label of the host.
pub(super) fn url_name(instance: &Instance) -> &str {
    instance.spec.host.split('.').next().unwrap_or_default()
}

/// `GET RetrieveCurrentOrganization(AccessType=@p1)?@p1=Microsoft.Dynamics.CRM.EndpointAccessType'Default'`.
/// `arguments` is what stands between the parentheses.
pub(super) fn retrieve_current_organization(
    context: &Context<'_>,
    method: &Method,
    arguments: &str,
    query: &Query,
) -> Result<Answer, Refusal> {
    if method != Method::GET {
        return Err(Refusal::method_not_allowed("GET"));
    }
    query.allow_only(&[])?;
    let argument = arguments
        .strip_prefix("AccessType=")
        .ok_or_else(|| Refusal::no_segment("RetrieveCurrentOrganization"))?;
    let value = if argument.starts_with('@') {
        query.get(argument).ok_or_else(|| {
            Refusal::bad_query(format!("The parameter alias {argument} has no value in the query."))
        })?
    } else {
        argument
    };
    let member = value
        .strip_prefix("Microsoft.Dynamics.CRM.EndpointAccessType'")
        .and_then(|rest| rest.strip_suffix('\''));
    if !matches!(member, Some("Default" | "Internet" | "Intranet")) {
        return Err(Refusal::bad_query(format!(
            "The value {value} is not a member of the enumeration Microsoft.Dynamics.CRM.EndpointAccessType."
        )));
    }
    let organization = &context.instance.spec.organization;
    let origin = &context.origin;
    Ok(json_answer(
        StatusCode::OK,
        &json!({
            "@odata.context": format!(
                "{}$metadata#Microsoft.Dynamics.CRM.RetrieveCurrentOrganizationResponse",
                context.root()
            ),
            "Detail": {
                "OrganizationId": organization.id,
                "FriendlyName": organization.name,
                "OrganizationVersion": organization.version,
                "EnvironmentId": environment_id(context.instance),
                "DatacenterId": derived(organization.id, "datacenter"),
                "Geo": "NA",
                "TenantId": tenant_id(),
                "UrlName": url_name(context.instance),
                "UniqueName": organization.unique_name,
                "State": "Enabled",
                "SchemaType": "Full",
                "OrganizationType": "Customer",
                "Endpoints": {
                    "Count": 3,
                    "IsReadOnly": false,
                    "Keys": ["WebApplication", "OrganizationService", "OrganizationDataService"],
                    "Values": [
                        format!("{origin}/"),
                        format!("{origin}/XRMServices/2011/Organization.svc"),
                        format!("{origin}/XRMServices/2011/OrganizationData.svc"),
                    ],
                },
            },
        }),
    ))
}

/// `GET organizations` and `GET organizations(id)`: one row, made from the document, and read-only.
pub(super) fn organizations(
    context: &Context<'_>,
    table: &Table,
    method: &Method,
    id: Option<Uuid>,
    query: &Query,
    preferences: &Preferences,
) -> Result<Answer, Refusal> {
    if method != Method::GET {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "0x80048306",
            "The application user may not write organizations.",
        ));
    }
    query.allow_only(&["$select"])?;
    let spec = &context.instance.spec;
    let selection = Selection::of(context, table, query)?;
    let mut row = Row { version: 1, ..Row::default() };
    let language = spec.organization.language_code;
    for (name, value) in [
        ("name", json!(spec.organization.name)),
        ("languagecode", json!(language)),
        ("localeid", json!(language)),
        ("isdisabled", json!(false)),
        ("disablesocialcare", json!(!spec.accepts_social_data)),
        ("organizationstate", json!(3)),
        ("createdon", json!(web_time(jiff::Timestamp::UNIX_EPOCH))),
        ("modifiedon", json!(web_time(jiff::Timestamp::UNIX_EPOCH))),
    ] {
        row.values.insert(name.to_owned(), value);
    }
    let own = spec.organization.id;
    if id.is_some_and(|id| id != own) {
        return Err(Refusal::no_row("organization", id.unwrap_or_default()));
    }
    let mut object = render(context, table, own, &row, &selection, preferences);
    let described = format!("{}$metadata#{}", context.root(), selection.context(table));
    if id.is_some() {
        object.insert("@odata.context".to_owned(), json!(format!("{described}/$entity")));
        return Ok(json_answer(StatusCode::OK, &Value::Object(object)));
    }
    let mut body = Map::new();
    body.insert("@odata.context".to_owned(), json!(described));
    body.insert("value".to_owned(), json!([object]));
    Ok(json_answer(StatusCode::OK, &Value::Object(body)))
}
