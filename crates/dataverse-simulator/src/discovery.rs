//! The global discovery service: the only place that tells an expired instance from a disabled one.

use http::{HeaderMap, Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use super::answer::{Answer, Refusal, json_answer};
use super::clouds::cloud_of;
use super::data::web_time;
use super::document::InstanceState;
use super::filter::{Filter, Type};
use super::organization::{environment_id, tenant_id, url_name};
use super::query::Query;
use super::sign_in::Verdict;
use super::world::{Instance, State};

const ROOT: &str = "/api/discovery/v2.0/";

/// Answers a request to the discovery host.
pub(super) fn answer(
    state: &State,
    now: Timestamp,
    host: &str,
    method: &Method,
    uri: &http::Uri,
    headers: &HeaderMap,
) -> Answer {
    if state.tokens.judge(headers, host, now) != Verdict::Valid {
        return super::gate::unauthorized(host);
    }
    instances(state, host, method, uri).unwrap_or_else(Answer::from)
}

/// Those of the host's own cloud.
fn instances(state: &State, host: &str, method: &Method, uri: &http::Uri) -> Result<Answer, Refusal> {
    if method != Method::GET {
        return Err(Refusal::method_not_allowed("GET"));
    }
    let path = percent_decode_str(uri.path()).decode_utf8_lossy();
    let Some(rest) = path.strip_prefix(ROOT) else { return Err(Refusal::no_segment(path.as_ref())) };
    let key = rest.strip_prefix("Instances").ok_or_else(|| Refusal::no_segment(rest))?;
    let query = Query::parse(uri.query().unwrap_or_default())?;
    query.allow_only(&["$select", "$filter", "$top"])?;
    let mut filters = Vec::new();
    if let Some(key) = key.strip_prefix('(').and_then(|key| key.strip_suffix(')')) {
        // A key filters the list: discovery always answers with an array.
        let condition = key.split_once('=').map_or_else(|| ("Id", key), |(name, value)| (name, value));
        filters.push(format!("{} eq {}", condition.0, condition.1));
    } else if !key.is_empty() {
        return Err(Refusal::no_segment(rest));
    }
    filters.extend(query.get("$filter").map(str::to_owned));
    let filters =
        filters.iter().map(|text| Filter::parse(text, &type_of, false)).collect::<Result<Vec<_>, _>>()?;
    let select = query.select()?;
    for name in select.iter().flatten() {
        if type_of(name).is_none() {
            return Err(Refusal::bad_query(format!(
                "Could not find a property named '{name}' on type 'Instance'."
            )));
        }
    }
    let top = query.number("$top")?.unwrap_or(usize::MAX);
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
        .take(top)
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
    Ok(json_answer(StatusCode::OK, &body))
}

fn type_of(name: &str) -> Option<Type> {
    Some(match name {
        "Id" | "TenantId" => Type::Guid,
        "State" | "StatusMessage" | "OrganizationType" => Type::Number,
        "IsUserSysAdmin" => Type::Flag,
        "TrialExpirationDate" | "LastUpdated" => Type::Time,
        "ApiUrl" | "Url" | "UrlName" | "UniqueName" | "FriendlyName" | "EnvironmentId" | "Region"
        | "Version" | "Purpose" | "SchemaType" | "DatacenterId" | "DatacenterName" => Type::Text,
        _ => return None,
    })
}

/// Real instances have their Web API under `<name>.api.crm….`; the application URL is the plain host.
fn api_url(host: &str) -> String {
    match host.split_once('.') {
        Some((name, domain)) if domain.starts_with("crm") && domain.contains("dynamics.") => {
            format!("https://{name}.api.{domain}")
        }
        _ => format!("https://{host}"),
    }
}

fn described(state: &State, instance: &Instance) -> Map<String, Value> {
    let spec = &instance.spec;
    let disabled = matches!(spec.state, InstanceState::Disabled | InstanceState::Expired);
    let trial_end = spec.trial_expiration_date.or_else(|| {
        let since = state.expired_since.get(&spec.host).filter(|_| spec.state == InstanceState::Expired)?;
        since.checked_sub(SignedDuration::from_hours(24)).ok()
    });
    let body = json!({
        "Id": spec.organization.id,
        "UniqueName": spec.organization.unique_name,
        "UrlName": url_name(instance),
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
        "EnvironmentId": environment_id(instance).to_string(),
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
