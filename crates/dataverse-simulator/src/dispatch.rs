//! From a request to its response: host, broken instance, token, throttling, state, Web API.

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Uri};
use jiff::Timestamp;

use crate::access_tokens::TokenStatus;
use crate::clouds::{CloudService, service_at};
use crate::response::{
    HttpResponse, ODATA_JSON, ODataError, malformed_json, set_header, text_response, unauthorized,
};
use crate::spec::AnswersWith;
use crate::state::SimulatorState;
use crate::web_api::service;
use crate::{discovery, record_creation_rules, sign_in::token_endpoint};

/// A request with its complete body.
pub(crate) struct ReceivedRequest {
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// What the connection does.
pub(crate) enum Reply {
    Respond(HttpResponse),
    /// Send a body that never ends.
    RespondEndlessly,
    /// Close the connection without a response.
    Close,
}

/// Answers a request on a connection to `host`.
pub(crate) fn dispatch(
    state: &mut SimulatorState,
    host: &str,
    request: &ReceivedRequest,
    now: Timestamp,
) -> Reply {
    // A client that reuses a connection for another host would send its token to the wrong host.
    if !host_matches(request, host) {
        return Reply::Respond(text_response(
            StatusCode::MISDIRECTED_REQUEST,
            "text/html",
            "The Host header names another host than the one that was connected to.",
        ));
    }
    let ReceivedRequest { method, uri, headers, body } = request;
    match service_at(host) {
        Some(CloudService::SignIn) => {
            let path = uri.path();
            return Reply::Respond(token_endpoint::answer(state, now, host, method, path, headers, body));
        }
        Some(CloudService::Discovery) => {
            return Reply::Respond(discovery::answer(state, now, host, method, uri, headers));
        }
        None => {}
    }
    let Some(instance) = state.instances.get(host).filter(|instance| instance.is_reachable()).cloned() else {
        return Reply::Close;
    };
    if let Some(broken) = instance.spec.answers_with {
        return broken_reply(broken);
    }
    match state.access_tokens.check(headers, host, now) {
        TokenStatus::Valid => {}
        TokenStatus::Expired => {
            let error =
                ODataError::new(StatusCode::UNAUTHORIZED, "0x8005F101", "The access token has expired.");
            return Reply::Respond(error.into());
        }
        TokenStatus::Invalid => return Reply::Respond(unauthorized(host)),
    }
    let mut remaining = None;
    if let Some(limits) = instance.spec.throttle {
        let in_flight = state.in_flight.get(host).copied().unwrap_or(0);
        match state.request_windows.entry(host.to_owned()).or_default().admit(limits, in_flight, now) {
            Ok(left) => remaining = Some(left),
            Err(error) => return Reply::Respond(error.into()),
        }
    }
    if let Some(error) = service::refused_by_state(&instance) {
        return Reply::Respond(error.into());
    }
    let data = state.organization(instance.spec.organization.id);
    record_creation_rules::run_due(data, now);
    let mut response = service::answer(&instance, data, now, method, uri, headers, body);
    if let Some(left) = remaining {
        set_header(&mut response, "x-ms-ratelimit-burst-remaining-xrm-requests", &left.to_string());
    }
    set_header(&mut response, "x-ms-dop-hint", "4");
    Reply::Respond(response)
}

fn host_matches(request: &ReceivedRequest, host: &str) -> bool {
    let header = request.headers.get("host").and_then(|value| value.to_str().ok());
    let named = header.map(|text| text.split_once(':').map_or(text, |(name, _)| name));
    let in_uri = request.uri.host();
    named.is_some_and(|named| named.eq_ignore_ascii_case(host))
        && in_uri.is_none_or(|named| named.eq_ignore_ascii_case(host))
}

fn broken_reply(broken: AnswersWith) -> Reply {
    match broken {
        AnswersWith::HtmlPage => Reply::Respond(text_response(
            StatusCode::OK,
            "text/html; charset=utf-8",
            "<!DOCTYPE html><html><head><title>Sign in to your account</title></head><body></body></html>",
        )),
        AnswersWith::Empty => Reply::Respond(text_response(StatusCode::OK, ODATA_JSON, "")),
        AnswersWith::MalformedJson => Reply::Respond(malformed_json()),
        AnswersWith::Endless => Reply::RespondEndlessly,
        AnswersWith::Redirect => {
            let mut response = text_response(StatusCode::FOUND, "text/html", "");
            set_header(&mut response, "location", "https://elsewhere.example/api/data/v9.2/WhoAmI");
            Reply::Respond(response)
        }
    }
}
