//! The Lease as JSON. Anyone who may write it chooses its content, and the API server admits times that no type here can
//! represent: a Lease that cannot be decoded would have no leader, since nobody could tell when it expires.

use super::{
    index::entry::version,
    patch::{ApiError, within},
};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Client, Resource,
    api::{GetParams, ListParams, ObjectList, PostParams, Request},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// The longest lease, in seconds: the upper bound of `--lease-duration`. A Lease with a longer duration was not written by
/// Postlink. Its holder may not exist, and must not block every candidate for ever.
pub const MAX_LEASE_SECONDS: u16 = 300;

/// The shortest lease, in seconds: the lower bound of `--lease-duration`. With a shorter duration in the Lease, a candidate
/// would take it from a leader that renews it in time.
pub const MIN_LEASE_SECONDS: u16 = 5;

/// A Lease as stored, or as it is to be stored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StoredLease {
    #[serde(default)]
    pub metadata: Map<String, Value>,
    #[serde(default)]
    pub spec: Value,
}

impl StoredLease {
    /// The resourceVersion.
    pub fn version(&self) -> u64 {
        version(self.metadata.get("resourceVersion").and_then(Value::as_str))
    }

    pub fn namespace(&self) -> Option<&str> {
        self.metadata.get("namespace")?.as_str()
    }

    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.metadata.get("annotations")?.get(name)?.as_str()
    }

    pub fn annotate(&mut self, name: &str, value: &str) {
        let annotations = self.metadata.entry("annotations").or_insert_with(|| json!({}));
        if let Some(annotations) = annotations.as_object_mut() {
            annotations.insert(name.to_owned(), json!(value));
        }
    }

    /// `None` if it was released.
    pub fn holder(&self) -> Option<&str> {
        self.spec["holderIdentity"].as_str().filter(|holder| !holder.is_empty())
    }

    pub fn seconds(&self) -> Option<i64> {
        self.spec["leaseDurationSeconds"].as_i64()
    }

    pub fn transitions(&self) -> i32 {
        self.spec["leaseTransitions"].as_i64().and_then(|count| i32::try_from(count).ok()).unwrap_or(0)
    }

    /// When it was renewed, as text. The clocks of two machines may differ, so it says only that it changed.
    pub fn renewed(&self) -> Option<&str> {
        self.spec["renewTime"].as_str()
    }

    /// When the holder acquired it, if that is a time.
    pub fn acquired(&self) -> Option<Timestamp> {
        self.spec["acquireTime"].as_str()?.parse().ok()
    }

    /// How long it lasts after its last change. The holder's own duration counts: it may have been started with a different
    /// one. `default`: for a duration that no process of Postlink has.
    pub fn lasts(&self, default: Duration) -> Duration {
        match self.seconds().map(u64::try_from) {
            Some(Ok(seconds)) if seconds >= MIN_LEASE_SECONDS.into() => {
                Duration::from_secs(seconds.min(MAX_LEASE_SECONDS.into()))
            }
            _ => default,
        }
    }

    /// What Postlink does not write, for the log.
    pub fn foreign(&self) -> Option<String> {
        let ours = i64::from(MIN_LEASE_SECONDS)..=i64::from(MAX_LEASE_SECONDS);
        if let Some(seconds) = self.seconds().filter(|seconds| !ours.contains(seconds)) {
            return Some(format!("a duration of {seconds} s"));
        }
        ["renewTime", "acquireTime"].iter().find_map(|field| {
            let text = self.spec[field].as_str()?;
            text.parse::<Timestamp>().is_err().then(|| format!("the {field} {}", shown(text)))
        })
    }
}

/// Longest text of the Lease in the log.
const MAX_SHOWN: usize = 300;

/// A text of the Lease as the log shows it.
pub fn shown(text: &str) -> String {
    text.chars().take(MAX_SHOWN).flat_map(char::escape_debug).collect()
}

/// The Lease of one name.
pub struct Leases {
    client: Client,
    request: Request,
    name: &'static str,
}

impl Leases {
    pub fn new(client: Client, namespace: &str, name: &'static str) -> Self {
        Self { client, request: Request::new(Lease::url_path(&(), Some(namespace))), name }
    }

    pub async fn get(&self) -> Result<Option<StoredLease>, ApiError> {
        match send(&self.client, self.request.get(self.name, &GetParams::default())).await {
            Ok(lease) => Ok(Some(lease)),
            Err(ApiError::Gone) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub async fn create(&self, params: &PostParams, lease: &StoredLease) -> Result<StoredLease, ApiError> {
        let mut body = body(lease);
        body["metadata"]["name"] = json!(self.name);
        send(&self.client, self.request.create(params, body.to_string().into_bytes())).await
    }

    /// Stores it if nobody has changed it since it was read.
    pub async fn replace(&self, params: &PostParams, lease: &StoredLease) -> Result<StoredLease, ApiError> {
        let body = body(lease).to_string().into_bytes();
        send(&self.client, self.request.replace(self.name, params, body)).await
    }
}

/// Without the managed fields: the API server keeps its own.
fn body(lease: &StoredLease) -> Value {
    let mut metadata = lease.metadata.clone();
    metadata.remove("managedFields");
    json!({
        "apiVersion": Lease::api_version(&()), "kind": Lease::kind(&()), "metadata": metadata, "spec": lease.spec,
    })
}

/// The Leases of all namespaces.
pub async fn list(client: &Client, params: &ListParams) -> Result<Vec<StoredLease>, ApiError> {
    let leases: ObjectList<StoredLease> =
        send(client, Request::new(Lease::url_path(&(), None)).list(params)).await?;
    Ok(leases.items)
}

async fn send<T: serde::de::DeserializeOwned>(
    client: &Client,
    request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
) -> Result<T, ApiError> {
    within(async { client.request(request.map_err(kube::Error::BuildRequest)?).await }).await
}
