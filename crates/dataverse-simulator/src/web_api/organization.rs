//! The instance itself: `WhoAmI`, `RetrieveCurrentOrganization`, `organizations`.

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::data::{Row, web_time};
use crate::instance::tenant_id;
use crate::odata::preferences::Preferences;
use crate::odata::query::Query;
use crate::response::{HttpResponse, ODataError, json_response};
use crate::tables::Table;
use crate::web_api::representation::{Selection, render};
use crate::web_api::request::Context;

/// `GET WhoAmI`.
pub(crate) fn who_am_i(context: &Context<'_>, method: &Method) -> Result<HttpResponse, ODataError> {
    if method != Method::GET {
        return Err(ODataError::method_not_allowed("GET"));
    }
    Ok(json_response(
        StatusCode::OK,
        &json!({
            "@odata.context": format!("{}$metadata#Microsoft.Dynamics.CRM.WhoAmIResponse", context.root()),
            "BusinessUnitId": context.instance.derived_id("business-unit"),
            "UserId": context.instance.derived_id("application-user"),
            "OrganizationId": context.instance.spec.organization.id,
        }),
    ))
}

/// `GET RetrieveCurrentOrganization(AccessType=@p1)?@p1=Microsoft.Dynamics.CRM.EndpointAccessType'Default'`.
/// `arguments` is the text between the parentheses.
pub(crate) fn retrieve_current_organization(
    context: &Context<'_>,
    method: &Method,
    arguments: &str,
    query: &Query,
) -> Result<HttpResponse, ODataError> {
    if method != Method::GET {
        return Err(ODataError::method_not_allowed("GET"));
    }
    query.allow_only(&[])?;
    let argument = arguments
        .strip_prefix("AccessType=")
        .ok_or_else(|| ODataError::no_segment("RetrieveCurrentOrganization"))?;
    let value = if argument.starts_with('@') {
        query.get(argument).ok_or_else(|| {
            ODataError::bad_query(format!("The parameter alias {argument} has no value in the query."))
        })?
    } else {
        argument
    };
    let member = value
        .strip_prefix("Microsoft.Dynamics.CRM.EndpointAccessType'")
        .and_then(|rest| rest.strip_suffix('\''));
    if !matches!(member, Some("Default" | "Internet" | "Intranet")) {
        return Err(ODataError::bad_query(format!(
            "The value {value} is not a member of the enumeration Microsoft.Dynamics.CRM.EndpointAccessType."
        )));
    }
    let organization = &context.instance.spec.organization;
    let origin = &context.origin;
    Ok(json_response(
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
                "EnvironmentId": context.instance.environment_id(),
                "DatacenterId": context.instance.derived_id("datacenter"),
                "Geo": "NA",
                "TenantId": tenant_id(),
                "UrlName": context.instance.url_name(),
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

/// `GET organizations` and `GET organizations(id)`: one read-only row, derived from the specification.
pub(crate) fn organizations(
    context: &Context<'_>,
    table: &Table,
    method: &Method,
    id: Option<Uuid>,
    query: &Query,
    preferences: &Preferences,
) -> Result<HttpResponse, ODataError> {
    if method != Method::GET {
        return Err(ODataError::new(
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
        return Err(ODataError::no_row("organization", id.unwrap_or_default()));
    }
    let mut object = render(context, table, own, &row, &selection, preferences);
    let described = format!("{}$metadata#{}", context.root(), selection.context(table));
    if id.is_some() {
        object.insert("@odata.context".to_owned(), json!(format!("{described}/$entity")));
        return Ok(json_response(StatusCode::OK, &Value::Object(object)));
    }
    let mut body = Map::new();
    body.insert("@odata.context".to_owned(), json!(described));
    body.insert("value".to_owned(), json!([object]));
    Ok(json_response(StatusCode::OK, &Value::Object(body)))
}
