//! Every revision in etcd, in order: the input of the history oracle.
//!
//! Compaction is off, each write of the API server is one key at one revision, and custom resources are
//! plain JSON in the store; so a rule over all states a user could have seen is a loop over this list.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::{Value, json};

use super::etcd::{Gateway, GatewayError, unreadable, within};

/// Written outside of the API server's keys, to mark the current end of the history.
const END_MARKER: &str = "/postlink-tests/end-of-history";

const WATCH: &str = "/v3/watch";

/// One write to the store.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::struct_field_names, reason = "the number is what etcd and the documents call the revision")]
pub struct Revision {
    /// etcd's revision, the `resourceVersion` of the object it wrote.
    pub revision: u64,
    /// `/registry/<group>/<resource>/<namespace>/<name>` for a custom resource; built-in ones lack the group.
    pub key: String,
    /// The stored bytes. None: the key was deleted.
    pub bytes: Option<Vec<u8>>,
    /// The object. None: deleted, or stored as protobuf, as built-in kinds are.
    pub value: Option<Value>,
}

impl Revision {
    /// Whether this write removed the object from the store.
    pub fn is_deletion(&self) -> bool {
        self.bytes.is_none()
    }

    /// Resource, namespace and name of a namespaced custom resource, from its key.
    pub fn object(&self) -> Option<(&str, &str, &str)> {
        let mut parts = self.key.strip_prefix("/registry/")?.split('/').skip(1);
        let found = (parts.next()?, parts.next()?, parts.next()?);
        parts.next().is_none().then_some(found)
    }
}

impl Gateway {
    /// Every revision from `first` (1 = the beginning) up to now whose key begins with `prefix`, in order,
    /// handed to `each` one at a time: a long run's history need not fit in memory.
    pub async fn each_revision(
        &self,
        first: u64,
        prefix: &str,
        mut each: impl FnMut(Revision),
    ) -> Result<(), GatewayError> {
        // A watch never ends. The marker is the last write before it begins, one watcher's events come in the
        // order of revisions, so once the marker is seen everything before it has been.
        let end = self.put(END_MARKER, b"").await?;
        let every_key = BASE64.encode([0]);
        let request = json!({"create_request": {
            "key": every_key, "range_end": every_key, "start_revision": first.to_string(), "fragment": true,
        }});
        let mut body = self.open(WATCH, &request).await?;
        let mut pending = Vec::new();
        while let Some(frame) = within(WATCH, body.frame()).await? {
            let frame = frame.map_err(|error| unreadable(WATCH, error))?;
            let Ok(data) = frame.into_data() else { continue };
            // Only the new chunk can contain the end of a line; searching a long line repeatedly would be quadratic.
            let searched = pending.len();
            pending.extend_from_slice(&data);
            let mut begin = 0;
            let mut from = searched;
            while let Some(length) = pending[from..].iter().position(|byte| *byte == b'\n') {
                let line = &pending[begin..from + length];
                if read_line(line, prefix, end, &mut each)? {
                    return Ok(());
                }
                begin = from + length + 1;
                from = begin;
            }
            pending.drain(..begin);
        }
        Err(unreadable(WATCH, format!("the watch ended before revision {end}")))
    }
}

/// Passes on the events of one line of the answer; true when they include the end marker.
fn read_line(
    line: &[u8],
    prefix: &str,
    end: u64,
    each: &mut impl FnMut(Revision),
) -> Result<bool, GatewayError> {
    if line.is_empty() {
        return Ok(false);
    }
    let line: Line = serde_json::from_slice(line).map_err(|error| unreadable(WATCH, error))?;
    let result = line.result.ok_or_else(|| unreadable(WATCH, format!("{:?}", line.error)))?;
    if result.canceled {
        let reason = format!("canceled ({}), compacted at {}", result.cancel_reason, result.compact_revision);
        return Err(unreadable(WATCH, reason));
    }
    for event in result.events {
        let kv = event.kv;
        let revision: u64 = kv.mod_revision.parse().map_err(|error| unreadable(WATCH, error))?;
        if revision > end {
            return Ok(true);
        }
        let key = BASE64.decode(&kv.key).map_err(|error| unreadable(WATCH, error))?;
        let key = String::from_utf8(key).map_err(|error| unreadable(WATCH, error))?;
        if key == END_MARKER {
            if revision == end {
                return Ok(true);
            }
            continue;
        }
        if !key.starts_with(prefix) {
            continue;
        }
        let bytes = match event.kind.as_str() {
            "DELETE" => None,
            _ => Some(BASE64.decode(&kv.value).map_err(|error| unreadable(WATCH, error))?),
        };
        let value = match &bytes {
            Some(bytes) if bytes.first() == Some(&b'{') => {
                Some(serde_json::from_slice(bytes).map_err(|error| unreadable(&key, error))?)
            }
            _ => None,
        };
        each(Revision { revision, key, bytes, value });
    }
    Ok(false)
}

/// One line of the gateway's streamed answer. It leaves out fields that hold their default.
#[derive(Deserialize)]
struct Line {
    result: Option<Watched>,
    error: Option<Value>,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Watched {
    canceled: bool,
    cancel_reason: String,
    compact_revision: String,
    events: Vec<Event>,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type", default)]
    kind: String,
    kv: KeyValue,
}

#[derive(Deserialize)]
struct KeyValue {
    key: String,
    #[serde(default)]
    value: String,
    mod_revision: String,
}
