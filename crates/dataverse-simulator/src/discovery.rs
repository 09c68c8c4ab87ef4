//! The global discovery service. Only here does an expired instance differ from a disabled one.

use http::{HeaderMap, Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use crate::access_tokens::TokenStatus;
use crate::clouds::cloud_of;
use crate::data::web_time;
use crate::instance::{Instance, tenant_id};
use crate::odata::filter::{Filter, PropertyType};
use crate::odata::query::Query;
use crate::response::{HttpResponse, ODataError, json_response, unauthorized};
use crate::spec::InstanceState;
use crate::state::SimulatorState;

const ROOT: &str = "/api/discovery/v2.0/";

/// Answers a request to the discovery host.
pub(crate) fn answer(
    state: &SimulatorState,
    now: Timestamp,
    host: &str,
    method: &Method,
    uri: &http::Uri,
    headers: &HeaderMap,
) -> HttpResponse {
    if state.access_tokens.check(headers, host, now) != TokenStatus::Valid {
        return unauthorized(host);
    }
    instances(state, host, method, uri).unwrap_or_else(HttpResponse::from)
}

/// Lists the instances of the host's cloud.
fn instances(
    state: &SimulatorState,
    host: &str,
    method: &Method,
    uri: &http::Uri,
) -> Result<HttpResponse, ODataError> {
    if method != Method::GET {
        return Err(ODataError::method_not_allowed("GET"));
    }
    let path = percent_decode_str(uri.path()).decode_utf8_lossy();
    let Some(rest) = path.strip_prefix(ROOT) else { return Err(ODataError::no_segment(path.as_ref())) };
    let key = rest.strip_prefix("Instances").ok_or_else(|| ODataError::no_segment(rest))?;
    let query = Query::parse(uri.query().unwrap_or_default())?;
    query.allow_only(&["$select", "$filter"])?;
    let mut filters = Vec::new();
    if let Some(key) = key.strip_prefix('(').and_then(|key| key.strip_suffix(')')) {
        // A key only filters the list: the response is an array even then.
        let condition = key.split_once('=').map_or_else(|| ("Id", key), |(name, value)| (name, value));
        filters.push(format!("{} eq {}", condition.0, condition.1));
    } else if !key.is_empty() {
        return Err(ODataError::no_segment(rest));
    }
    filters.extend(query.get("$filter").map(str::to_owned));
    let filters =
        filters.iter().map(|text| Filter::parse(text, &type_of, false)).collect::<Result<Vec<_>, _>>()?;
    let select = query.select()?;
    for name in select.iter().flatten() {
        if type_of(name).is_none() {
            return Err(ODataError::bad_query(format!(
                "Could not find a property named '{name}' on type 'Instance'."
            )));
        }
    }
    let values: Vec<Value> = state
        .instances
        .values()
        .filter(|instance| cloud_of(&instance.spec.host).discovery == host)
        .filter(|instance| instance.spec.has_application_user)
        .map(|instance| described(state, instance))
        .filter(|object| {
            let value = |name: &str| object.get(name).cloned().unwrap_or(Value::Null);
            filters.iter().all(|filter| filter.matches(&value))
        })
        .map(|object| match &select {
            None => Value::Object(object),
            Some(names) => {
                names.iter().map(|name| (name.clone(), object[name].clone())).collect::<Map<_, _>>().into()
            }
        })
        .collect();
    let columns = select.map(|names| format!("({})", names.join(","))).unwrap_or_default();
    let body = json!({
        "@odata.context": format!("https://{host}{ROOT}$metadata#Instances{columns}"),
        "value": values,
    });
    Ok(json_response(StatusCode::OK, &body))
}

fn type_of(name: &str) -> Option<PropertyType> {
    Some(match name {
        "Id" | "TenantId" => PropertyType::Guid,
        "State" | "StatusMessage" | "OrganizationType" => PropertyType::Number,
        "IsUserSysAdmin" => PropertyType::Flag,
        "TrialExpirationDate" | "LastUpdated" => PropertyType::Time,
        "ApiUrl" | "Url" | "UrlName" | "UniqueName" | "FriendlyName" | "EnvironmentId" | "Region"
        | "Version" | "Purpose" | "SchemaType" | "DatacenterId" | "DatacenterName" => PropertyType::Text,
        _ => return None,
    })
}

/// The Web API of a real instance has the host `<name>.api.crm….`; the application has the host itself.
fn api_url(host: &str) -> String {
    match host.split_once('.') {
        Some((name, domain)) if domain.starts_with("crm") && domain.contains("dynamics.") => {
            format!("https://{name}.api.{domain}")
        }
        _ => format!("https://{host}"),
    }
}

fn described(state: &SimulatorState, instance: &Instance) -> Map<String, Value> {
    let spec = &instance.spec;
    let disabled = matches!(spec.state, InstanceState::Disabled | InstanceState::Expired);
    let trial_end = spec.trial_expiration_date.or_else(|| {
        let since = state.expired_since.get(&spec.host).filter(|_| spec.state == InstanceState::Expired)?;
        since.checked_sub(SignedDuration::from_hours(24)).ok()
    });
    let body = json!({
        "Id": spec.organization.id,
        "UniqueName": spec.organization.unique_name,
        "UrlName": instance.url_name(),
        "FriendlyName": spec.organization.name,
        "State": i32::from(disabled),
        "StatusMessage": if disabled { 4 } else { 6 },
        "Version": spec.organization.version,
        "Url": format!("https://{}", spec.host),
        "ApiUrl": api_url(&spec.host),
        "LastUpdated": web_time(Timestamp::UNIX_EPOCH),
        "SchemaType": "Full",
        "OrganizationType": 0,
        "TenantId": tenant_id(),
        "EnvironmentId": instance.environment_id().to_string(),
        "DatacenterId": Value::Null,
        "DatacenterName": Value::Null,
        "Region": "NA",
        "Purpose": Value::Null,
        "IsUserSysAdmin": false,
        "TrialExpirationDate": trial_end.map(web_time),
    });
    match body {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}
