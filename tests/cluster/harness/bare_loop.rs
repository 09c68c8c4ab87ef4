//! The baseline of the fan-out benchmark: how fast a bare client can patch statuses on this server.

use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use http::Request;
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde_json::Value;

/// The result of a loop.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    pub writes: usize,
    pub elapsed: Duration,
}

impl Rate {
    pub fn per_second(&self) -> f64 {
        let writes = u32::try_from(self.writes).expect("a benchmark of fewer than 4 billion writes");
        f64::from(writes) / self.elapsed.as_secs_f64()
    }
}

/// Merge-patch `/status` of each object once, `concurrency` requests at a time, and nothing more: no
/// resourceVersion, no decoding of the answer, no bookkeeping. Slower than this is our own doing.
///
/// `paths` are the objects' paths (`/apis/GROUP/VERSION/namespaces/NS/PLURAL/NAME`), `status` gives the patch
/// of the n-th. Fails on the first answer that is not a success.
pub async fn bare_patch_loop(
    client: &Client,
    paths: &[String],
    concurrency: usize,
    status: impl Fn(usize) -> Value,
) -> Result<Rate, kube::Error> {
    let begin = Instant::now();
    stream::iter(paths.iter().enumerate())
        .map(|(number, path)| patch(client, path, status(number)))
        .buffer_unordered(concurrency)
        .try_collect::<()>()
        .await?;
    Ok(Rate { writes: paths.len(), elapsed: begin.elapsed() })
}

async fn patch(client: &Client, path: &str, status: Value) -> Result<(), kube::Error> {
    let body = serde_json::json!({"status": status}).to_string();
    let request = Request::patch(format!("{path}/status"))
        .header(http::header::CONTENT_TYPE, "application/merge-patch+json")
        .header(http::header::ACCEPT, "application/json")
        .body(Body::from(body.into_bytes()))
        .map_err(kube::Error::HttpError)?;
    let response = client.send(request).await?;
    let code = response.status();
    // Read to the end, so that the connection can be reused.
    let answer = response.into_body().collect().await?.to_bytes();
    if code.is_success() {
        return Ok(());
    }
    let status = serde_json::from_slice(&answer).map_err(kube::Error::SerdeError)?;
    Err(kube::Error::Api(Box::new(status)))
}
