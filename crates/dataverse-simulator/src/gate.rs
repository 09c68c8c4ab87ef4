//! From a request to its answer: host, faults, authorisation, throttling, state, Web API.

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Uri};
use jiff::Timestamp;

use super::answer::{Answer, Refusal, set_header, text_answer};
use super::clouds::{Service, cloud_of, service_at};
use super::conversion;
use super::discovery;
use super::document::AnswersWith;
use super::sign_in::{self, Verdict};
use super::web_api;
use super::world::State;

/// A request with its body read.
pub(super) struct Received {
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// What the connection is to do.
pub(super) enum Reply {
    Answer(Answer),
    /// Start of a body that goes on for ever.
    Endless,
    /// Close the connection.
    Nothing,
}

/// 401 as the web server in front of Dataverse gives it: not `OData`.
pub(super) fn unauthorized(host: &str) -> Answer {
    let mut answer =
        text_answer(StatusCode::UNAUTHORIZED, "text/html", "HTTP Error 401 - Unauthorized: Access is denied");
    set_header(
        &mut answer,
        "www-authenticate",
        &format!(
            "Bearer authorization_uri=https://{}/common/oauth2/authorize, resource_id=https://{host}/",
            cloud_of(host).sign_in
        ),
    );
    answer
}

/// Answers a request on a connection to `host`.
pub(super) fn reply(state: &mut State, host: &str, request: &Received, now: Timestamp) -> Reply {
    // A URL for one host sent down the connection of another would carry credentials astray.
    if !host_fits(request, host) {
        return Reply::Answer(text_answer(
            StatusCode::MISDIRECTED_REQUEST,
            "text/html",
            "The Host header names another host than the one that was connected to.",
        ));
    }
    let path = request.uri.path();
    let Received { method, headers, body, uri, .. } = request;
    match service_at(host) {
        Some(Service::SignIn) => {
            return Reply::Answer(sign_in::answer(state, now, host, method, path, headers, body));
        }
        Some(Service::Discovery) => {
            return Reply::Answer(discovery::answer(state, now, host, method, uri, headers));
        }
        None => {}
    }
    let Some(instance) = state.instances.get(host).filter(|instance| instance.is_reachable()).cloned() else {
        return Reply::Nothing;
    };
    if let Some(broken) = instance.spec.answers_with {
        return broken_answer(broken);
    }
    match state.tokens.judge(&request.headers, host, now) {
        Verdict::Valid => {}
        Verdict::Expired => {
            return Reply::Answer(
                Refusal::new(StatusCode::UNAUTHORIZED, "0x8005F101", "The access token has expired.").into(),
            );
        }
        Verdict::Invalid => return Reply::Answer(unauthorized(host)),
    }
    let mut remaining = None;
    if let Some(limits) = instance.spec.throttle {
        let running = state.in_flight.get(host).copied().unwrap_or(0);
        match state.windows.entry(host.to_owned()).or_default().admit(limits, running, now) {
            Ok(left) => remaining = Some(left),
            Err(refusal) => return Reply::Answer(refusal.into()),
        }
    }
    if let Some(refusal) = web_api::refused_by_state(&instance) {
        return Reply::Answer(refusal.into());
    }
    let data = state.organisation(instance.spec.organization.id);
    conversion::settle(data, now);
    let Received { method, uri, headers, body } = request;
    let mut answer = web_api::answer(&instance, data, now, method, uri, headers, body);
    if let Some(left) = remaining {
        set_header(&mut answer, "x-ms-ratelimit-burst-remaining-xrm-requests", &left.to_string());
    }
    set_header(&mut answer, "x-ms-dop-hint", "4");
    Reply::Answer(answer)
}

fn host_fits(request: &Received, host: &str) -> bool {
    let header = request.headers.get("host").and_then(|value| value.to_str().ok());
    let named = header.map(|text| text.split_once(':').map_or(text, |(name, _)| name));
    let in_uri = request.uri.host();
    named.is_some_and(|named| named.eq_ignore_ascii_case(host))
        && in_uri.is_none_or(|named| named.eq_ignore_ascii_case(host))
}

fn broken_answer(broken: AnswersWith) -> Reply {
    let json = "application/json; odata.metadata=minimal";
    match broken {
        AnswersWith::HtmlPage => Reply::Answer(text_answer(
            StatusCode::OK,
            "text/html; charset=utf-8",
            "<!DOCTYPE html><html><head><title>Sign in to your account</title></head><body></body></html>",
        )),
        AnswersWith::Empty => Reply::Answer(text_answer(StatusCode::OK, json, "")),
        AnswersWith::Rubbish => Reply::Answer(rubbish()),
        AnswersWith::Endless => Reply::Endless,
        AnswersWith::Redirect => {
            let mut answer = text_answer(StatusCode::FOUND, "text/html", "");
            set_header(&mut answer, "location", "https://elsewhere.example/api/data/v9.2/WhoAmI");
            Reply::Answer(answer)
        }
    }
}

/// 200, `application/json`, and bytes that are neither UTF-8 nor JSON.
pub(super) fn rubbish() -> Answer {
    let bytes: &'static [u8] = b"{\"value\": [\xff\xfe\x00 not json";
    text_answer(StatusCode::OK, "application/json; odata.metadata=minimal", bytes)
}
