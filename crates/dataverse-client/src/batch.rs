//! Many reads in one `$batch`: multipart out, multipart in, all or nothing.

use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use uuid::Uuid;

use super::client::{API, Ask, Remote};
use super::error::{Error, Kind, Rubbish};
use super::exchange::{Answer, retry_after};

/// What Dataverse takes in one batch.
pub(super) const MOST: usize = 1000;

/// One read inside a batch.
pub(super) struct Read {
    /// Below the API root.
    pub(super) path: String,
    pub(super) prefer: Option<&'static str>,
}

impl Remote {
    /// Sends at most [`MOST`] reads and returns as many answers in the same order, or an error. A batch answer that is
    /// cut short or does not fit is an error as a whole: a missing answer must not shift the others (R27).
    pub(super) async fn batch(&self, reads: &[Read]) -> Result<Vec<Answer>, Error> {
        let boundary = format!("batch_{}", Uuid::new_v4());
        let content_type = HeaderValue::from_str(&format!("multipart/mixed; boundary={boundary}"))
            .expect("a UUID is a valid header value");
        let answer = self.ask(Ask::batch(content_type, encode(reads, &boundary))).await?;
        if answer.status != StatusCode::OK {
            return Err(self.error(match answer.refusal() {
                // The batch endpoint is no row: whatever is missing, it is not what was asked about.
                Kind::RecordNotFound => Kind::Other { status: answer.status.as_u16(), code: answer.code() },
                kind => kind,
            }));
        }
        let answers = answer
            .boundary()
            .and_then(|boundary| {
                decode(&answer.body, boundary, reads.len(), self.now())
                    .ok_or(Kind::Rubbish { status: answer.status.as_u16(), why: Rubbish::Batch })
            })
            .map_err(|kind| self.error(kind))?;
        // A part can be told to wait while the batch as a whole is answered.
        for part in answers.iter().filter(|a| !a.status.is_success()) {
            let kind = part.refusal();
            if matches!(kind, Kind::Throttled { .. }) {
                self.throttled(kind);
            }
        }
        Ok(answers)
    }
}

fn encode(reads: &[Read], boundary: &str) -> Bytes {
    let mut body = String::with_capacity(reads.len() * 320);
    for read in reads {
        body.push_str("--");
        body.push_str(boundary);
        body.push_str("\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\nGET ");
        body.push_str(API);
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

/// Exactly `expected` answers, each complete, and the closing delimiter; anything else is `None`.
fn decode(body: &Bytes, boundary: &str, expected: usize, now: SystemTime) -> Option<Vec<Answer>> {
    let delimiter = format!("--{boundary}");
    let mut answers = Vec::with_capacity(expected);
    let mut at = find_delimiter(body, 0, delimiter.as_bytes())?;
    loop {
        let after = at + delimiter.len();
        if body[after..].starts_with(b"--") {
            return (answers.len() == expected).then_some(answers);
        }
        if answers.len() == expected {
            return None;
        }
        let start = after + line_end(&body[after..])?;
        let next = find_delimiter(body, start, delimiter.as_bytes())?;
        answers.push(part(&body.slice(start..next), now)?);
        at = next;
    }
}

/// The next delimiter at the beginning of a line.
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

/// Length of a line that may only hold blanks, with its end.
fn line_end(bytes: &[u8]) -> Option<usize> {
    let end = bytes.iter().position(|b| *b == b'\n')?;
    bytes[..end].iter().all(u8::is_ascii_whitespace).then_some(end + 1)
}

/// One part: its own headers, then a whole HTTP answer.
fn part(bytes: &Bytes, now: SystemTime) -> Option<Answer> {
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
    // The line break before the next delimiter belongs to the delimiter; JSON does not mind blanks.
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
    Some(Answer { status, headers: map, body, retry_after })
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
        let answers =
            decode(&Bytes::copy_from_slice(text.as_bytes()), "b", expected, SystemTime::UNIX_EPOCH)?;
        Some(answers.iter().map(|a| a.status.as_u16()).collect())
    }

    #[test]
    fn answers_come_back_in_order() {
        assert_eq!(decoded(TWO, 2), Some(vec![200, 404]));
        let answers = decode(&Bytes::from_static(TWO.as_bytes()), "b", 2, SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(answers[1].body.as_ref(), b"{}");
    }

    #[test]
    fn r27_a_batch_cut_anywhere_is_no_answer() {
        for end in 0..TWO.len() - 4 {
            assert_eq!(decoded(&TWO[..end], 2), None, "cut at {end}");
        }
        for wrong in [0, 1, 3] {
            assert_eq!(decoded(TWO, wrong), None, "{wrong} expected");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), n in 0usize..4) {
            let _ = decode(&Bytes::from(bytes), "b", n, SystemTime::UNIX_EPOCH);
        }

        #[test]
        fn a_damaged_batch_is_read_without_panic(at in 0..TWO.len(), byte in any::<u8>()) {
            let mut damaged = TWO.as_bytes().to_vec();
            damaged[at] = byte;
            let _ = decode(&Bytes::from(damaged), "b", 2, SystemTime::UNIX_EPOCH);
        }
    }
}
