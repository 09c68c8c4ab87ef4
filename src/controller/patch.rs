//! Reads and writes of single objects. A write names the resourceVersion that the decision was made on. Each call has a
//! deadline. A conflict is not a failure: the object is reconciled again.

use super::{key::Key, received::Received};
use crate::api::names::{CONTROLLER, FINALIZER};
use http::{HeaderValue, header};
use json_patch::{PatchOperation, RemoveOperation, TestOperation, jsonptr::PointerBuf};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams, PostParams, Request},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;
use std::time::Duration;

/// Timeout of one call to the API server.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Asks for an answer without spec and status.
const METADATA_ONLY: HeaderValue =
    HeaderValue::from_static("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1");

/// Why a call to the API server failed. After `Unanswered` the write may have been stored.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Another writer was faster.
    #[error("the object has been modified")]
    Conflict,
    #[error("the object no longer exists")]
    Gone,
    #[error("the API server rejected the request: {0}")]
    Refused(String),
    /// No response, or one that does not tell the outcome.
    #[error("no usable response from the API server: {0}")]
    Unanswered(String),
}

impl ApiError {
    fn of(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if status.code == 404 => Self::Gone,
            kube::Error::Api(status) if status.code == 409 => Self::Conflict,
            // A JSON patch whose `test` fails is a 422 that names no field.
            kube::Error::Api(status)
                if status.code == 422 && status.details.as_ref().is_none_or(|d| d.causes.is_empty()) =>
            {
                Self::Conflict
            }
            kube::Error::Api(status) if (400..500).contains(&status.code) && status.code != 429 => {
                Self::Refused(status.message.clone())
            }
            // serde's own message contains the value, which may be a post's text and must not be logged.
            kube::Error::SerdeError(error) => Self::Unanswered(format!(
                "it cannot be decoded at line {} column {}",
                error.line(),
                error.column()
            )),
            other => Self::Unanswered(with_causes(&other)),
        }
    }
}

/// An error with its causes, without the outermost ones, which say only that something failed.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    let text = text.trim_start_matches("ServiceError: ").trim_start_matches("client error (Connect): ");
    text.to_owned()
}

fn pointer(path: &[&str]) -> PointerBuf {
    PointerBuf::from_tokens(path.iter().copied())
}

/// Whether two statuses are the same when stored: `1.0` and `1` are one number to the API server.
pub fn is_same<S: PartialEq + Serialize>(old: &S, new: &S) -> bool {
    old == new || serde_json::to_value(old).ok() == serde_json::to_value(new).ok()
}

/// Replaces the whole status of the version it was decided on. Returns the object as stored.
pub async fn write_status<K>(
    client: &Client,
    key: &Key,
    version: &str,
    status: &impl Serialize,
) -> Result<Received<K>, ApiError>
where
    K: Resource<DynamicType = ()> + Clone,
{
    within(client.request(replace_status::<K>(key, version, status)?)).await
}

/// The same, and returns only the metadata as stored: the API server does not encode the rest, and nobody decodes it.
pub async fn write_status_only<K>(
    client: &Client,
    key: &Key,
    version: &str,
    status: &impl Serialize,
) -> Result<Received<K>, ApiError>
where
    K: Resource<DynamicType = ()>,
{
    let mut request = replace_status::<K>(key, version, status)?;
    request.headers_mut().insert(header::ACCEPT, METADATA_ONLY);
    within(client.request(request)).await
}

/// An update of `/status` ignores everything but the status and the resourceVersion, so the rest of the object is not sent.
/// For a patch, the API server would encode the stored object, change the text and decode it again.
fn replace_status<K: Resource<DynamicType = ()>>(
    key: &Key,
    version: &str,
    status: &impl Serialize,
) -> Result<http::Request<Vec<u8>>, ApiError> {
    let Key { namespace, name, .. } = key;
    let object = StatusOfObject {
        api_version: &K::api_version(&()),
        kind: &K::kind(&()),
        metadata: Identity { name, namespace, resource_version: version },
        status,
    };
    let body = serde_json::to_vec(&object).map_err(|error| ApiError::Refused(error.to_string()))?;
    let params = PostParams { field_manager: Some(CONTROLLER.into()), ..PostParams::default() };
    Request::new(K::url_path(&(), Some(namespace)))
        .replace_subresource("status", name, &params, body)
        .map_err(|error| ApiError::Refused(error.to_string()))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusOfObject<'a, S> {
    api_version: &'a str,
    kind: &'a str,
    metadata: Identity<'a>,
    status: &'a S,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Identity<'a> {
    name: &'a str,
    namespace: &'a str,
    resource_version: &'a str,
}

/// Server-side apply of the finalizer alone: Postlink owns it even if a manifest in git has it as well, so that a tool whose
/// manifest no longer has it does not remove it.
pub async fn add_finalizer<K>(api: &Api<Received<K>>, object: &K) -> Result<K, ApiError>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned,
{
    let patch = json!({
        "apiVersion": K::api_version(&()), "kind": K::kind(&()),
        "metadata": {
            "name": object.name_any(), "uid": object.uid(), "resourceVersion": object.resource_version(),
            "finalizers": [FINALIZER],
        },
    });
    let params = PatchParams::apply(CONTROLLER).force();
    within(api.patch(&object.name_any(), &params, &Patch::Apply(patch))).await?.decoded()
}

/// `Ok(None)`: the object no longer exists.
pub async fn remove_finalizer<K>(api: &Api<Received<K>>, object: &K) -> Result<Option<K>, ApiError>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned,
{
    let Some(index) = object.finalizers().iter().position(|f| f == FINALIZER) else { return Ok(None) };
    let path = pointer(&["metadata", "finalizers", &index.to_string()]);
    let version = object.resource_version().unwrap_or_default();
    let remove = PatchOperation::Remove(RemoveOperation { path });
    let test = PatchOperation::Test(TestOperation {
        path: pointer(&["metadata", "resourceVersion"]),
        value: json!(version),
    });
    let operations: Patch<()> = Patch::Json(json_patch::Patch(vec![test, remove]));
    let params = PatchParams { field_manager: Some(CONTROLLER.into()), ..PatchParams::default() };
    match within(api.patch(&object.name_any(), &params, &operations)).await {
        Ok(object) => object.decoded().map(Some),
        Err(ApiError::Gone) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads one object live; `None` if it does not exist.
pub async fn read<K: Clone>(api: &Api<Received<K>>, name: &str) -> Result<Option<Received<K>>, ApiError> {
    within(api.get_opt(name)).await
}

/// Adds the deadline to a call: the client itself waits forever for a server that accepts and does not respond.
pub async fn within<T>(call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, ApiError> {
    match tokio::time::timeout(DEADLINE, call).await {
        Ok(answer) => answer.map_err(ApiError::of),
        Err(_) => Err(ApiError::Unanswered(format!("timed out after {} s", DEADLINE.as_secs()))),
    }
}
