//! `$batch`: multipart/mixed requests and responses, and change sets. A batch stops at the first error unless
//! `odata.continue-on-error` is preferred.

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode};

use crate::odata::preferences::Preferences;
use crate::response::{HttpResponse, ODataError, text_response};
use crate::web_api::request::{Context, Operation, below_service_root};
use crate::web_api::routes;

/// The limit on requests in one batch, including those in change sets.
const MAX_OPERATIONS: usize = 1000;
/// A URL inside a batch may be longer than outside a batch.
const MAX_INNER_URL: usize = 65_536;

/// One part of a multipart body.
struct Part<'a> {
    headers: HeaderMap,
    body: &'a [u8],
}

enum Item<'a> {
    Single(BatchedOperation<'a>),
    ChangeSet(Vec<BatchedOperation<'a>>),
}

struct BatchedOperation<'a> {
    method: Method,
    path: String,
    query: String,
    headers: HeaderMap,
    body: &'a [u8],
    content_id: Option<String>,
}

fn malformed(message: impl Into<String>) -> ODataError {
    ODataError::new(StatusCode::BAD_REQUEST, "0x80060888", message)
}

/// Method and path of each operation in a batch, for the request log. Empty if the batch is malformed.
pub(crate) fn outline(headers: &HeaderMap, body: &[u8], host: &str) -> Vec<String> {
    let Ok(items) = parse(headers, body, host) else { return Vec::new() };
    let operations = items.into_iter().flat_map(|item| match item {
        Item::Single(operation) => vec![operation],
        Item::ChangeSet(operations) => operations,
    });
    operations.map(|operation| format!("{} {}", operation.method, operation.path)).collect()
}

/// Answers `POST $batch`.
pub(crate) fn answer(
    context: &mut Context<'_>,
    method: &Method,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<HttpResponse, ODataError> {
    if method != Method::POST {
        return Err(ODataError::method_not_allowed("POST"));
    }
    let items = parse(headers, body, &context.instance.spec.host)?;
    let continue_on_error = Preferences::of(headers)?.continue_on_error;
    let boundary = format!("batchresponse_{}", context.data.version());
    let mut written = Vec::new();
    let mut status = StatusCode::OK;
    for item in items {
        written.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
        let failed = match item {
            Item::Single(operation) => {
                let response = run(context, &operation);
                write_part(&mut written, &response, operation.content_id.as_deref());
                Some(response.status()).filter(|status| is_error(*status))
            }
            Item::ChangeSet(operations) => run_change_set(context, &operations, &mut written),
        };
        if let Some(failure) = failed.filter(|_| !continue_on_error) {
            // The batch has the status of the first failure, and the operations after it are not carried out.
            status = failure;
            break;
        }
    }
    written.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    let mut response = text_response(status, &format!("multipart/mixed; boundary={boundary}"), written);
    response.headers_mut().insert("odata-version", HeaderValue::from_static("4.0"));
    Ok(response)
}

fn is_error(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}

fn run(context: &mut Context<'_>, batched: &BatchedOperation<'_>) -> HttpResponse {
    let operation = Operation {
        method: &batched.method,
        path: batched.path.clone(),
        query: &batched.query,
        headers: &batched.headers,
        body: batched.body,
    };
    routes::answer(context, &operation)
}

/// All or nothing: the first failure restores the data and is the only response.
fn run_change_set(
    context: &mut Context<'_>,
    operations: &[BatchedOperation<'_>],
    written: &mut Vec<u8>,
) -> Option<StatusCode> {
    let before = context.data.clone();
    let mut responses = Vec::new();
    for operation in operations {
        let response = run(context, operation);
        if is_error(response.status()) {
            *context.data = before;
            write_part(written, &response, operation.content_id.as_deref());
            return Some(response.status());
        }
        responses.push((response, operation.content_id.as_deref()));
    }
    let boundary = format!("changesetresponse_{}", context.data.version());
    written
        .extend_from_slice(format!("Content-Type: multipart/mixed; boundary={boundary}\r\n\r\n").as_bytes());
    for (response, content_id) in responses {
        written.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
        write_part(written, &response, content_id);
    }
    written.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    None
}

fn write_part(written: &mut Vec<u8>, response: &HttpResponse, content_id: Option<&str>) {
    written.extend_from_slice(b"Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n");
    if let Some(id) = content_id {
        written.extend_from_slice(format!("Content-ID: {id}\r\n").as_bytes());
    }
    let status = response.status();
    let reason = status.canonical_reason().unwrap_or("Unknown");
    written.extend_from_slice(format!("\r\nHTTP/1.1 {} {reason}\r\n", status.as_u16()).as_bytes());
    for (name, value) in response.headers() {
        written.extend_from_slice(name.as_str().as_bytes());
        written.extend_from_slice(b": ");
        written.extend_from_slice(value.as_bytes());
        written.extend_from_slice(b"\r\n");
    }
    written.extend_from_slice(b"\r\n");
    let body: &Bytes = response.body();
    written.extend_from_slice(body);
    written.extend_from_slice(b"\r\n");
}

fn parse<'a>(headers: &HeaderMap, body: &'a [u8], host: &str) -> Result<Vec<Item<'a>>, ODataError> {
    let boundary = boundary(headers)?
        .ok_or_else(|| malformed("A batch needs Content-Type: multipart/mixed with a boundary."))?;
    let mut items = Vec::new();
    let mut count = 0;
    for part in split(body, &boundary)? {
        if let Some(inner) = self::boundary(&part.headers)? {
            let mut operations = Vec::new();
            for part in split(part.body, &inner)? {
                let operation = read_operation(&part, host)?;
                if operation.method == Method::GET {
                    return Err(malformed("GET requests are not allowed within change sets."));
                }
                if operation.content_id.is_none() {
                    return Err(malformed("Every request of a change set needs a Content-ID."));
                }
                operations.push(operation);
            }
            count += operations.len();
            items.push(Item::ChangeSet(operations));
        } else {
            items.push(Item::Single(read_operation(&part, host)?));
            count += 1;
        }
    }
    if count > MAX_OPERATIONS {
        return Err(malformed(format!(
            "The batch contains {count} requests; at most {MAX_OPERATIONS} are allowed."
        )));
    }
    Ok(items)
}

/// The boundary of a multipart/mixed content type; `None` for another type.
fn boundary(headers: &HeaderMap) -> Result<Option<String>, ODataError> {
    let Some(text) = headers.get("content-type").and_then(|value| value.to_str().ok()) else {
        return Ok(None);
    };
    let mut parameters = text.split(';').map(str::trim);
    if !parameters.next().is_some_and(|media_type| media_type.eq_ignore_ascii_case("multipart/mixed")) {
        return Ok(None);
    }
    let boundary = parameters
        .find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.eq_ignore_ascii_case("boundary").then(|| value.trim_matches('"').to_owned())
        })
        .filter(|boundary| !boundary.is_empty() && boundary.len() <= 70)
        .ok_or_else(|| malformed("multipart/mixed without a boundary of 1 to 70 characters."))?;
    Ok(Some(boundary))
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// Splits a body at its delimiters. Lines must end in CRLF: Dataverse does not accept bare line feeds.
fn split<'a>(body: &'a [u8], boundary: &str) -> Result<Vec<Part<'a>>, ODataError> {
    let delimiter = format!("\r\n--{boundary}");
    let first = &delimiter.as_bytes()[2..];
    let mut rest = if body.starts_with(first) {
        &body[first.len()..]
    } else {
        let at = find(body, delimiter.as_bytes())
            .ok_or_else(|| malformed("The batch does not contain its boundary (lines must end in CRLF)."))?;
        &body[at + delimiter.len()..]
    };
    let mut parts = Vec::new();
    while !rest.starts_with(b"--") {
        rest = rest
            .strip_prefix(b"\r\n")
            .ok_or_else(|| malformed("A boundary must be followed by CRLF or by --."))?;
        let end = find(rest, delimiter.as_bytes())
            .ok_or_else(|| malformed("The batch ends without its closing boundary."))?;
        parts.push(read_part(&rest[..end])?);
        rest = &rest[end + delimiter.len()..];
    }
    if parts.is_empty() {
        return Err(malformed("The batch is empty."));
    }
    Ok(parts)
}

fn read_part(bytes: &[u8]) -> Result<Part<'_>, ODataError> {
    let end =
        find(bytes, b"\r\n\r\n").ok_or_else(|| malformed("A part has no blank line after its headers."))?;
    let headers = read_headers(&bytes[..end])?;
    Ok(Part { headers, body: &bytes[end + 4..] })
}

fn read_headers(bytes: &[u8]) -> Result<HeaderMap, ODataError> {
    let text = std::str::from_utf8(bytes).map_err(|_| malformed("The headers of a part are not text."))?;
    let mut headers = HeaderMap::new();
    for line in text.split("\r\n").filter(|line| !line.is_empty()) {
        let header = line.split_once(':').and_then(|(name, value)| {
            Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(value.trim()).ok()?))
        });
        let (name, value) = header.ok_or_else(|| malformed(format!("'{line}' is not a header.")))?;
        headers.append(name, value);
    }
    Ok(headers)
}

fn read_operation<'a>(part: &Part<'a>, host: &str) -> Result<BatchedOperation<'a>, ODataError> {
    let is = |name: &str, wanted: &str| {
        part.headers.get(name).and_then(|v| v.to_str().ok()).is_some_and(|v| v.eq_ignore_ascii_case(wanted))
    };
    if !is("content-type", "application/http") || !is("content-transfer-encoding", "binary") {
        return Err(malformed(
            "A part needs Content-Type: application/http and Content-Transfer-Encoding: binary.",
        ));
    }
    let line_end = find(part.body, b"\r\n").ok_or_else(|| malformed("A part has no request line."))?;
    let line = std::str::from_utf8(&part.body[..line_end])
        .map_err(|_| malformed("The request line of a part is not text."))?;
    let words: Vec<&str> = line.split(' ').collect();
    let [method, url, "HTTP/1.1"] = words.as_slice() else {
        return Err(malformed(format!("'{line}' is not a request line.")));
    };
    let method: Method = method.parse().map_err(|_| malformed(format!("'{method}' is not a method.")))?;
    if url.len() > MAX_INNER_URL {
        return Err(malformed(format!("A URL in a batch has {} characters.", url.len())));
    }
    // Starts at the CRLF of the request line, so that a request without headers needs only one blank line.
    let after = &part.body[line_end..];
    let (head, body) = match find(after, b"\r\n\r\n") {
        Some(end) => (&after[..end], &after[end + 4..]),
        None => (after, &b""[..]),
    };
    let url = url.strip_prefix("https://").map_or(Ok(*url), |absolute| {
        absolute.strip_prefix(host).ok_or_else(|| malformed(format!("'{url}' is on another host.")))
    })?;
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let path = if path.starts_with('/') {
        below_service_root(path)
            .ok_or_else(|| malformed(format!("'{path}' is not below the service root.")))?
            .1
    } else {
        percent_encoding::percent_decode_str(path)
            .decode_utf8()
            .map_err(|_| malformed("A path in a batch is not UTF-8."))?
            .into_owned()
    };
    if path.starts_with("$batch") {
        return Err(malformed("A batch cannot contain another batch."));
    }
    if path.starts_with('$') {
        return Err(malformed("References to other requests of the batch are not simulated."));
    }
    let content_id = part.headers.get("content-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    Ok(BatchedOperation {
        method,
        path,
        query: query.to_owned(),
        headers: read_headers(head)?,
        body,
        content_id,
    })
}
