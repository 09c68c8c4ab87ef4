//! The installed definitions against those this version was built for.
use crate::api::{
    crds,
    names::{GROUP, VERSION},
};

use crate::api::difference::differences;
use serde_json::Value;
use std::time::Duration;
use tracing::warn;

/// How long the API server may take to hand them out.
const DEADLINE: Duration = Duration::from_secs(30);

/// Why they could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// They are not installed, or one of them is not: nothing can be decided without it.
    #[error(
        "the cluster does not serve {0}; install the definitions first: postlink crds | kubectl apply -f -"
    )]
    NotServed(String),
    /// The API server answers something else.
    #[error("the cluster answers {code} to {path}: {message}")]
    Answered {
        /// The HTTP status.
        code: u16,
        /// What was asked for.
        path: String,
        /// In the API server's words.
        message: String,
    },
    /// There is no API server.
    #[error("the cluster at {server} cannot be reached: {why}")]
    Unreachable {
        /// Where it should be.
        server: String,
        /// The outermost error and its causes.
        why: String,
    },
    /// It says nothing.
    #[error("the cluster at {server} did not answer within {} s", DEADLINE.as_secs())]
    Silent {
        /// Where it is.
        server: String,
    },
    /// A program error, told as one.
    #[error("the definitions cannot be compared: {0}")]
    Own(String),
}

impl CheckError {
    /// Whether the cluster is what is missing.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Answered { .. } | Self::Unreachable { .. } | Self::Silent { .. })
    }
}

/// Compares them, through `/openapi/v3`, which everybody who may use them may read, and says how they differ. The number
/// of differences.
///
/// # Errors
/// When there is nothing to compare with.
pub async fn check(client: &kube::Client, server: &http::Uri) -> Result<usize, CheckError> {
    let path = format!("/openapi/v3/apis/{GROUP}/{VERSION}");
    let request = http::Request::get(&path).body(Vec::new()).map_err(|e| CheckError::Own(e.to_string()))?;
    let server = server.to_string();
    let document = match tokio::time::timeout(DEADLINE, client.request::<Value>(request)).await {
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
        let ours = serde_json::to_value(ours).map_err(|e| CheckError::Own(e.to_string()))?;
        for difference in differences(&ours, &schemas[&name]) {
            count += 1;
            warn!(kind, "the installed definition is not the one this version was built for: {difference}");
        }
    }
    Ok(count)
}

/// An error's own words and those of what caused it: the outermost says only that something failed.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words = inner.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = inner.source();
    }
    text
}
