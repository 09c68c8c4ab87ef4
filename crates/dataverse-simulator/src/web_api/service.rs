//! The entrance to the Web API of one instance: its state, the required headers, then one operation or a batch.

use http::{HeaderMap, Method, StatusCode, Uri};
use jiff::Timestamp;

use crate::data::OrganizationData;
use crate::instance::Instance;
use crate::response::{HttpResponse, ODataError, text_response};
use crate::spec::InstanceState;
use crate::web_api::request::{Context, Operation, below_service_root};
use crate::web_api::{batch, routes};

/// The web server refuses longer URLs before Dataverse sees them.
const MAX_URL: usize = 32_768;

/// The error that answers every request in the instance's state, if any.
pub(crate) fn refused_by_state(instance: &Instance) -> Option<ODataError> {
    let spec = &instance.spec;
    match spec.state {
        InstanceState::Disabled | InstanceState::Expired => Some(ODataError::new(
            StatusCode::FORBIDDEN,
            "0x8004A104",
            "The organization is currently disabled. Please contact your system administrator.",
        )),
        InstanceState::Maintenance => Some(ODataError::new(
            StatusCode::FORBIDDEN,
            "",
            "User does not have required privileges (or role membership) to access the org when it is in Admin Only mode.",
        )),
        InstanceState::Enabled | InstanceState::Unreachable if !spec.has_application_user => {
            Some(ODataError::new(
                StatusCode::FORBIDDEN,
                "0x80072560",
                "The user is not a member of the organization.",
            ))
        }
        InstanceState::Enabled | InstanceState::Unreachable => None,
    }
}

/// The headers that every OData 4.0 request needs.
fn check_headers(headers: &HeaderMap, is_batch: bool) -> Result<(), ODataError> {
    for name in ["odata-version", "odata-maxversion"] {
        if headers.get(name).is_none_or(|value| value != "4.0") {
            return Err(ODataError::bad_query(format!("The header {name} must be 4.0.")));
        }
    }
    let accepts = |media_type: &str| {
        headers
            .get_all("accept")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|text| text.split(','))
            .filter_map(|item| item.split(';').next())
            .any(|item| item.trim().eq_ignore_ascii_case(media_type))
    };
    if accepts("application/json") || (is_batch && accepts("multipart/mixed")) {
        return Ok(());
    }
    Err(ODataError::bad_query("The header Accept must name application/json."))
}

/// Answers a request that has passed authentication and throttling.
pub(crate) fn answer(
    instance: &Instance,
    data: &mut OrganizationData,
    now: Timestamp,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: &[u8],
) -> HttpResponse {
    let mut respond = || -> Result<HttpResponse, ODataError> {
        if uri.path_and_query().is_some_and(|path| path.as_str().len() > MAX_URL) {
            return Ok(text_response(StatusCode::URI_TOO_LONG, "text/html", "Request URL Too Long"));
        }
        let Some((minor, path)) = below_service_root(uri.path()) else {
            return Ok(text_response(StatusCode::NOT_FOUND, "text/html", "<h1>404 Not Found</h1>"));
        };
        let origin = format!("https://{}", instance.spec.host);
        let is_batch = path == "$batch";
        check_headers(headers, is_batch)?;
        let mut context = Context { instance, data, now, origin, minor };
        if is_batch {
            return batch::answer(&mut context, method, headers, body);
        }
        let operation = Operation { method, path, query: uri.query().unwrap_or_default(), headers, body };
        Ok(routes::answer(&mut context, &operation))
    };
    respond().unwrap_or_else(HttpResponse::from)
}
