//! The baseline of the fan-out benchmark: how fast a bare client can write statuses on this server.

use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use http::Request;
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

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

/// The first `count` objects of a collection, as stored. `collection` is its path:
/// `/apis/GROUP/VERSION/namespaces/NS/PLURAL`.
pub async fn first_objects(
    client: &Client,
    collection: &str,
    count: usize,
) -> Result<Vec<Value>, kube::Error> {
    let request = Request::get(format!("{collection}?limit={count}")).body(Vec::new());
    let mut list: Value = client.request(request.map_err(kube::Error::HttpError)?).await?;
    Ok(list["items"].as_array_mut().map(std::mem::take).unwrap_or_default())
}

/// Updates `/status` of each object once, `concurrency` requests at a time, with the requests that the controller sends, and
/// nothing more: no reading of the answer, no bookkeeping. Slower than this is our own doing.
///
/// `status` gives the status of the n-th object. Fails on the first answer that is not a success.
pub async fn bare_update_loop(
    client: &Client,
    collection: &str,
    objects: &[Value],
    concurrency: usize,
    status: impl Fn(usize) -> Value,
) -> Result<Rate, kube::Error> {
    let begin = Instant::now();
    stream::iter(objects.iter().enumerate())
        .map(|(number, object)| update(client, collection, object, status(number)))
        .buffer_unordered(concurrency)
        .try_collect::<()>()
        .await?;
    Ok(Rate { writes: objects.len(), elapsed: begin.elapsed() })
}

/// Watches a collection and drops what it reads. Any controller has a watch, and the API server writes each change to it.
pub async fn drain_watch(client: Client, collection: String) -> Result<(), kube::Error> {
    let request = Request::get(format!("{collection}?watch=true"));
    let response = client.send(request.body(Body::empty()).map_err(kube::Error::HttpError)?).await?;
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        frame?;
    }
    Ok(())
}

async fn update(client: &Client, collection: &str, object: &Value, status: Value) -> Result<(), kube::Error> {
    let metadata = &object["metadata"];
    let name = metadata["name"].as_str().expect("a stored object has a name");
    let body = json!({
        "apiVersion": object["apiVersion"], "kind": object["kind"],
        "metadata": {
            "name": name, "namespace": metadata["namespace"], "resourceVersion": metadata["resourceVersion"],
        },
        "status": status,
    });
    let request = Request::put(format!("{collection}/{name}/status"))
        .header(http::header::CONTENT_TYPE, "application/json")
        .header(http::header::ACCEPT, "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1")
        .body(Body::from(body.to_string().into_bytes()))
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
