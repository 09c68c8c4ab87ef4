//! etcd, and direct access to it through its JSON gateway.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use super::StartError;
use super::process::Process;

/// Longest wait for one answer, or for the next chunk of a stream.
const DEADLINE: Duration = Duration::from_secs(60);

/// A running etcd without fsync: tests kill processes, never the machine.
#[derive(Debug)]
pub struct Etcd {
    pub process: Process,
    pub url: String,
}

impl Etcd {
    /// Start on the two free ports given; the caller waits for [`Gateway::healthy`].
    pub fn spawn(program: &Path, folder: &Path, ports: [u16; 2]) -> Result<Self, StartError> {
        let [client, peer] = ports.map(|port| format!("http://127.0.0.1:{port}"));
        let mut command = Command::new(program);
        for (flag, value) in [
            ("name", "test"),
            ("initial-cluster", &format!("test={peer}")),
            ("initial-advertise-peer-urls", &peer),
            ("listen-peer-urls", &peer),
            ("advertise-client-urls", &client),
            ("listen-client-urls", &client),
            ("quota-backend-bytes", "8589934592"),
            ("log-level", "warn"),
        ] {
            command.arg(format!("--{flag}={value}"));
        }
        command.arg("--unsafe-no-fsync").arg("--data-dir").arg(Self::data(folder));
        let process = Process::spawn(folder, "etcd", &mut command)
            .map_err(|source| StartError::Spawn { program: "etcd", source })?;
        Ok(Self { process, url: client })
    }

    /// Where its data is.
    pub fn data(folder: &Path) -> PathBuf {
        folder.join("etcd-data")
    }

    pub fn gateway(&self) -> Gateway {
        Gateway::new(&self.url)
    }
}

/// A client of etcd's JSON gateway. Bound to the runtime it is first used on.
#[derive(Debug, Clone)]
pub struct Gateway {
    base: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    #[error("etcd cannot be reached: {0}")]
    Unreachable(String),
    #[error("etcd did not answer {path} within {DEADLINE:?}")]
    Late { path: String },
    #[error("etcd answered {path} with {status}: {body}")]
    Refused { path: String, status: http::StatusCode, body: String },
    #[error("etcd's answer to {path} cannot be read: {reason}")]
    Unreadable { path: String, reason: String },
}

impl Gateway {
    pub fn new(base: &str) -> Self {
        Self { base: base.to_owned(), client: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// Whether etcd serves.
    pub async fn healthy(&self) -> bool {
        let request = Request::get(format!("{}/health", self.base)).body(Full::default());
        let Ok(request) = request else { return false };
        matches!(self.client.request(request).await, Ok(response) if response.status().is_success())
    }

    /// Writes `value` under `key`, bypassing the API server, and returns the revision. Used to load many objects: a
    /// running API server serves the object as its own, so it must be valid.
    pub async fn put(&self, key: &str, value: &[u8]) -> Result<u64, GatewayError> {
        let path = "/v3/kv/put";
        let body = json!({"key": BASE64.encode(key), "value": BASE64.encode(value)});
        let answer = self.open(path, &body).await?;
        let bytes =
            within(path, answer.collect()).await?.map_err(|error| unreadable(path, error))?.to_bytes();
        let answer: Value = serde_json::from_slice(&bytes).map_err(|error| unreadable(path, error))?;
        answer["header"]["revision"]
            .as_str()
            .and_then(|revision| revision.parse().ok())
            .ok_or_else(|| unreadable(path, "no revision in it"))
    }

    /// Deletes a key, bypassing the API server, whose watches see it.
    pub async fn delete(&self, key: &str) -> Result<(), GatewayError> {
        let path = "/v3/kv/deleterange";
        let answer = self.open(path, &json!({"key": BASE64.encode(key)})).await?;
        within(path, answer.collect()).await?.map(drop).map_err(|error| unreadable(path, error))
    }

    /// Whether any key under `prefix` was last written before `revision`. Cheap enough during a benchmark: no values
    /// are read.
    pub async fn any_older(&self, prefix: &str, revision: u64) -> Result<bool, GatewayError> {
        let older = (revision - 1).to_string();
        let answer = self.range(prefix, json!({"max_mod_revision": older, "limit": "1"})).await?;
        Ok(answer["kvs"].as_array().is_some_and(|kvs| !kvs.is_empty()))
    }

    /// Whether any key under `prefix` was written only once.
    pub async fn any_untouched(&self, prefix: &str) -> Result<bool, GatewayError> {
        let least = json!({"sort_target": "VERSION", "sort_order": "ASCEND", "limit": "1"});
        let answer = self.range(prefix, least).await?;
        Ok(answer["kvs"][0]["version"] == "1")
    }

    /// Compacts all earlier revisions, as API servers do every five minutes.
    pub async fn compact(&self) -> Result<(), GatewayError> {
        let now = self.range("/registry/", json!({"limit": "1"})).await?["header"]["revision"].clone();
        let path = "/v3/kv/compaction";
        let answer = self.open(path, &json!({"revision": now, "physical": true})).await?;
        within(path, answer.collect()).await?.map(drop).map_err(|error| unreadable(path, error))
    }

    /// Keys under `prefix`, without their values.
    async fn range(&self, prefix: &str, mut request: Value) -> Result<Value, GatewayError> {
        let path = "/v3/kv/range";
        // The first key that no longer begins with the prefix.
        let mut end = prefix.as_bytes().to_vec();
        *end.last_mut().expect("a prefix is not empty") += 1;
        request["key"] = BASE64.encode(prefix).into();
        request["range_end"] = BASE64.encode(end).into();
        request["keys_only"] = true.into();
        let answer = self.open(path, &request).await?;
        let bytes =
            within(path, answer.collect()).await?.map_err(|error| unreadable(path, error))?.to_bytes();
        serde_json::from_slice(&bytes).map_err(|error| unreadable(path, error))
    }

    /// POSTs `body` and returns the streamed body of the answer.
    pub(super) async fn open(&self, path: &str, body: &Value) -> Result<Incoming, GatewayError> {
        let request = Request::post(format!("{}{path}", self.base))
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(Full::from(body.to_string()))
            .map_err(|error| GatewayError::Unreachable(error.to_string()))?;
        let response = within(path, self.client.request(request)).await?.map_err(|error| {
            GatewayError::Unreachable(format!("{error}: {:?}", std::error::Error::source(&error)))
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response.into_body());
        }
        let body = within(path, response.into_body().collect()).await?;
        let body =
            body.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned()).unwrap_or_default();
        Err(GatewayError::Refused { path: path.to_owned(), status, body })
    }
}

pub(super) async fn within<T>(path: &str, answer: impl Future<Output = T>) -> Result<T, GatewayError> {
    tokio::time::timeout(DEADLINE, answer).await.map_err(|_| GatewayError::Late { path: path.to_owned() })
}

pub(super) fn unreadable(path: &str, reason: impl std::fmt::Display) -> GatewayError {
    GatewayError::Unreadable { path: path.to_owned(), reason: reason.to_string() }
}
