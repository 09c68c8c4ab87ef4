//! Many reads in one `$batch`: encodes and decodes multipart bodies, all or nothing.

use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use uuid::Uuid;

use crate::api::{Api, ApiRequest, WEB_API_ROOT};
use crate::error::{Error, ErrorKind, UnexpectedResponse};
use crate::transport::{HttpResponse, retry_after};

/// Dataverse's limit per batch.
pub(crate) const MAX_READS: usize = 1000;

/// One read in a batch.
pub(crate) struct Read {
    /// Path below the Web API root.
    pub(crate) path: String,
    pub(crate) prefer: Option<&'static str>,
}

impl Api {
    /// Sends at most [`MAX_READS`] reads and returns their responses in the same order. A batch response that is
    /// truncated or has another number of parts is an error as a whole: otherwise a missing part would assign the
    /// others to the wrong rows.
    pub(crate) async fn batch(&self, reads: &[Read]) -> Result<Vec<HttpResponse>, Error> {
        let boundary = format!("batch_{}", Uuid::new_v4());
        let content_type = HeaderValue::from_str(&format!("multipart/mixed; boundary={boundary}"))
            .expect("a UUID is a valid header value");
        let response = self.request(ApiRequest::batch(content_type, encode(reads, &boundary))).await?;
        if response.status != StatusCode::OK {
            return Err(self.error(match response.error_kind() {
                // Says that `$batch` was not found, not one of the rows.
                ErrorKind::RecordNotFound => {
                    ErrorKind::Other { status: response.status.as_u16(), code: response.code() }
                }
                kind => kind,
            }));
        }
        let responses = response
            .boundary()
            .and_then(|boundary| {
                decode(&response.body, boundary, reads.len(), self.shared.now().into()).ok_or(
                    ErrorKind::UnexpectedResponse {
                        status: response.status.as_u16(),
                        reason: UnexpectedResponse::IncompleteBatch,
                    },
                )
            })
            .map_err(|kind| self.error(kind))?;
        // A part can be throttled although the batch as a whole succeeds.
        for part in responses.iter().filter(|a| !a.status.is_success()) {
            let kind = part.error_kind();
            if matches!(kind, ErrorKind::Throttled { .. }) {
                self.throttled(kind);
            }
        }
        Ok(responses)
    }
}

fn encode(reads: &[Read], boundary: &str) -> Bytes {
    let mut body = String::with_capacity(reads.len() * 320);
    for read in reads {
        body.push_str("--");
        body.push_str(boundary);
        body.push_str("\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\nGET ");
        body.push_str(WEB_API_ROOT);
        body.push('/');
        body.push_str(&read.path);
        body.push_str(
            " HTTP/1.1\r\nAccept: application/json\r\nOData-MaxVersion: 4.0\r\nOData-Version: 4.0\r\n",
        );
        if let Some(prefer) = read.prefer {
            body.push_str("Prefer: ");
            body.push_str(prefer);
            body.push_str("\r\n");
        }
        body.push_str("\r\n");
    }
    body.push_str("--");
    body.push_str(boundary);
    body.push_str("--\r\n");
    Bytes::from(body)
}

/// Exactly `expected` complete responses and the closing delimiter; otherwise `None`.
fn decode(body: &Bytes, boundary: &str, expected: usize, now: SystemTime) -> Option<Vec<HttpResponse>> {
    let delimiter = format!("--{boundary}");
    let mut responses = Vec::with_capacity(expected);
    let mut at = find_delimiter(body, 0, delimiter.as_bytes())?;
    loop {
        let after = at + delimiter.len();
        if body[after..].starts_with(b"--") {
            return (responses.len() == expected).then_some(responses);
        }
        if responses.len() == expected {
            return None;
        }
        let start = after + line_end(&body[after..])?;
        let next = find_delimiter(body, start, delimiter.as_bytes())?;
        responses.push(part(&body.slice(start..next), now)?);
        at = next;
    }
}

/// Position of the next delimiter at the beginning of a line.
fn find_delimiter(body: &[u8], from: usize, delimiter: &[u8]) -> Option<usize> {
    let mut at = from;
    loop {
        at += body.get(at..)?.windows(delimiter.len()).position(|w| w == delimiter)?;
        if at == 0 || body[at - 1] == b'\n' {
            return Some(at);
        }
        at += 1;
    }
}

/// Length of the rest of the delimiter line, which may only hold whitespace.
fn line_end(bytes: &[u8]) -> Option<usize> {
    let end = bytes.iter().position(|b| *b == b'\n')?;
    bytes[..end].iter().all(u8::is_ascii_whitespace).then_some(end + 1)
}

/// Decodes one part: its own headers, then an HTTP response.
fn part(bytes: &Bytes, now: SystemTime) -> Option<HttpResponse> {
    let mut slots = [httparse::EMPTY_HEADER; 16];
    let httparse::Status::Complete((outer, headers)) = httparse::parse_headers(bytes, &mut slots).ok()?
    else {
        return None;
    };
    let http = headers.iter().any(|h| {
        h.name.eq_ignore_ascii_case("content-type")
            && h.value.to_ascii_lowercase().starts_with(b"application/http")
    });
    if !http {
        return None;
    }
    let inner = bytes.slice(outer..);
    let mut slots = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut slots);
    let httparse::Status::Complete(head) = response.parse(&inner).ok()? else { return None };
    let status = StatusCode::from_u16(response.code?).ok()?;
    let mut map = HeaderMap::new();
    for header in response.headers.iter() {
        let name = HeaderName::from_bytes(header.name.as_bytes()).ok()?;
        map.append(name, HeaderValue::from_bytes(header.value).ok()?);
    }
    // The body may end in the line break that belongs to the next delimiter, which JSON ignores.
    let body = inner.slice(head..);
    let announced = map.get(http::header::CONTENT_LENGTH).map(|l| l.to_str().ok()?.parse::<usize>().ok());
    let body = match announced {
        Some(length) => {
            let length = length?;
            if length > body.len() {
                return None;
            }
            body.slice(..length)
        }
        None => body,
    };
    let retry_after = retry_after(&map, now);
    Some(HttpResponse { status, headers: map, body, retry_after })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TWO: &str = "--b\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n\
        HTTP/1.1 200 OK\r\nContent-Type: application/json; odata.metadata=minimal\r\nOData-Version: 4.0\r\n\r\n\
        {\"a\":\"--b\"}\r\n\
        --b\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n\
        HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n\
        {}\r\n--b--\r\n";

    fn decoded(text: &str, expected: usize) -> Option<Vec<u16>> {
        let responses =
            decode(&Bytes::copy_from_slice(text.as_bytes()), "b", expected, SystemTime::UNIX_EPOCH)?;
        Some(responses.iter().map(|a| a.status.as_u16()).collect())
    }

    #[test]
    fn parts_keep_their_order() {
        assert_eq!(decoded(TWO, 2), Some(vec![200, 404]));
        let responses = decode(&Bytes::from_static(TWO.as_bytes()), "b", 2, SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(responses[1].body.as_ref(), b"{}");
    }

    #[test]
    fn truncated_batch_is_an_error() {
        for end in 0..TWO.len() - 4 {
            assert_eq!(decoded(&TWO[..end], 2), None, "cut at {end}");
        }
        for wrong in [0, 1, 3] {
            assert_eq!(decoded(TWO, wrong), None, "{wrong} expected");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_decode_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), n in 0usize..4) {
            let _ = decode(&Bytes::from(bytes), "b", n, SystemTime::UNIX_EPOCH);
        }

        #[test]
        fn damaged_batch_decodes_without_panic(at in 0..TWO.len(), byte in any::<u8>()) {
            let mut damaged = TWO.as_bytes().to_vec();
            damaged[at] = byte;
            let _ = decode(&Bytes::from(damaged), "b", 2, SystemTime::UNIX_EPOCH);
        }
    }
}
