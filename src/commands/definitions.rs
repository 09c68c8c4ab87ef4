//! Compares the installed CRDs with those of this version.

use crate::api::{
    crds,
    difference::differences,
    names::{GROUP, VERSION},
};
use crate::controller::patch::with_causes;
use serde_json::Value;
use std::time::{Duration, Instant};
use tracing::warn;

/// How long the API server may take to send its schemas.
const TIMEOUT: Duration = Duration::from_secs(30);

const RETRY_INTERVAL: Duration = Duration::from_secs(2);

/// The API server does not serve new CRDs at once; a process without leader election waits this long for them.
const SERVED_WITHIN: Duration = Duration::from_secs(10);

/// Why the CRDs could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    #[error(
        "the API server does not serve {0}; install the CRDs: postlink crds | kubectl apply --server-side -f -"
    )]
    NotServed(String),
    #[error("the API server responded {code} to GET {path}: {message}")]
    Answered { code: u16, path: String, message: String },
    /// `why` holds the error and its causes.
    #[error("the API server at {server} cannot be reached: {why}")]
    Unreachable { server: String, why: String },
    #[error("the API server at {server} did not respond within {} s", TIMEOUT.as_secs())]
    Silent { server: String },
    #[error("the CRDs cannot be compared; this is a bug in Postlink: {0}")]
    Bug(String),
}

impl CheckError {
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Answered { .. } | Self::Unreachable { .. } | Self::Silent { .. })
    }
}

/// The number of differences between the installed CRDs and ours, each logged as a warning.
///
/// With leader election (`elect`), waits for an unreachable cluster and for missing CRDs: the process is meant to
/// stay, and if it ended, the kubelet would restart it with growing backoff. Otherwise the error is worth more, after
/// the time that CRDs applied a moment ago take to be served.
pub async fn wait(client: &kube::Client, server: &http::Uri, elect: bool) -> Result<usize, CheckError> {
    let (mut logged, begin) = (String::new(), Instant::now());
    loop {
        let error = match check(client, server).await {
            Ok(differences) => return Ok(differences),
            Err(error) => error,
        };
        if !elect && (error.is_unreachable() || begin.elapsed() >= SERVED_WITHIN) {
            return Err(error);
        }
        let message = error.to_string();
        if message != logged {
            warn!("{message}; retrying");
            logged = message;
        }
        tokio::time::sleep(RETRY_INTERVAL).await;
    }
}

/// Compares through `/openapi/v3`: reading it needs no permissions on CustomResourceDefinitions.
async fn check(client: &kube::Client, server: &http::Uri) -> Result<usize, CheckError> {
    let path = format!("/openapi/v3/apis/{GROUP}/{VERSION}");
    let request = http::Request::get(&path).body(Vec::new()).map_err(|e| CheckError::Bug(e.to_string()))?;
    let server = server.to_string();
    let document = match tokio::time::timeout(TIMEOUT, client.request::<Value>(request)).await {
        Ok(Ok(document)) => document,
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => {
            return Err(CheckError::NotServed(format!("{GROUP}/{VERSION}")));
        }
        Ok(Err(kube::Error::Api(status))) => {
            return Err(CheckError::Answered { code: status.code, path, message: status.message.clone() });
        }
        Ok(Err(error)) => return Err(CheckError::Unreachable { server, why: with_causes(&error) }),
        Err(_) => return Err(CheckError::Silent { server }),
    };
    let schemas = &document["components"]["schemas"];
    let mut count = 0;
    for crd in crds::all() {
        let kind = &crd.spec.names.kind;
        let name = format!("dev.postlink.{VERSION}.{kind}");
        if schemas[&name].is_null() {
            return Err(CheckError::NotServed(format!("{kind} of {GROUP}/{VERSION}")));
        }
        let ours = crd.spec.versions.first().and_then(|v| v.schema.as_ref());
        let ours = ours.and_then(|s| s.open_api_v3_schema.as_ref());
        let ours = serde_json::to_value(ours).map_err(|e| CheckError::Bug(e.to_string()))?;
        for difference in differences(&ours, &schemas[&name]) {
            count += 1;
            warn!(kind, "the installed CRD differs from that of this version: {difference}");
        }
    }
    Ok(count)
}
