//! The two servers of a comparison, and one request to each of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use http::Request;
use http_body_util::{BodyExt as _, BodyStream};
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use kube_memory::schema::policies::Policies;
use kube_memory::{MemoryApi, Options, SchemaAdmission, UserInfo};
use postlink::api::crds;
use postlink::local::policies::{Mode, Principals, render};
use serde_json::{Value, json};

use super::steps::{Act, Step};
use crate::harness::ControlPlane;
use crate::harness::users::User;
use crate::harness::waiting::eventually;

/// Longest wait for an answer, or for the next event of a watch.
const DEADLINE: Duration = Duration::from_secs(20);

/// The users in the tables.
const USERS: [User; 6] =
    [User::Admin, User::Alice, User::FluxKustomize, User::FluxHelm, User::Argo, User::TeamDeployer];

/// The first revision of the in-memory API, unlike any other number in a message.
const FIRST_REVISION: u64 = 50_000_000;

pub struct Sides<'a> {
    pub plane: &'a ControlPlane,
    memory: MemoryApi,
    memory_clients: HashMap<User, Client>,
    server_clients: HashMap<User, Client>,
}

impl<'a> Sides<'a> {
    /// `plane`, which has our CRDs and policies, and an in-memory API with the same ones. The clients are bound
    /// to the calling runtime.
    pub async fn new(plane: &'a ControlPlane, mode: Mode) -> Self {
        let definitions = crds::all();
        let policies = Policies::from_values(&render(mode, &Principals::default())).unwrap();
        let admission = Arc::new(SchemaAdmission::new(&definitions, policies).unwrap());
        let options = Options { admission, ..Options::default() };
        let mut begin = MemoryApi::new(&definitions, options.clone()).unwrap().save();
        begin.revision = FIRST_REVISION;
        let memory = MemoryApi::restore(&definitions, options, &begin).unwrap();
        let mut sides =
            Self { plane, memory, memory_clients: HashMap::new(), server_clients: HashMap::new() };
        for user in USERS {
            let actor = if user == User::Admin { UserInfo::admin() } else { UserInfo::new(user.name()) };
            sides.memory_clients.insert(user, sides.memory.client(actor));
            sides.server_clients.insert(user, server_client(plane, user).await);
        }
        sides
    }

    /// A user's clients for the in-memory API and the real one.
    pub fn clients(&self, user: User) -> [&Client; 2] {
        [&self.memory_clients[&user], &self.server_clients[&user]]
    }

    /// Runs a step on both; returns the answers of the in-memory API and of the real one.
    pub async fn take(&self, step: &Step, namespace: &str, answers: [&[Value]; 2]) -> [Value; 2] {
        if step.act == Act::Compact {
            self.memory.compact(self.memory.revision());
            self.plane.etcd().gateway().compact().await.unwrap();
            return [Value::Null, Value::Null];
        }
        let memory = step.request(namespace, answers[0]);
        let memory = answer(&self.memory_clients[&step.who], memory, step).await;
        let server = eventually("the API server to have its storage ready", DEADLINE, async || {
            let request = step.request(namespace, answers[1]);
            let server = answer(&self.server_clients[&step.who], request, step).await;
            // After a compaction it reloads the kind and answers with a retry.
            let busy = server["body"].to_string().contains("storage is (re)initializing");
            (!busy).then_some(server)
        });
        [memory, server.await]
    }
}

/// kube's client without its retries: 429, 503 and 504 are answers to compare, too.
pub async fn server_client(plane: &ControlPlane, user: User) -> Client {
    let kubeconfig = Kubeconfig::read_from(plane.kubeconfig(user)).unwrap();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

/// Sends a request; returns everything in the answer that a client could act on.
async fn answer(client: &Client, request: Request<Vec<u8>>, step: &Step) -> Value {
    let late = format!("no answer within {DEADLINE:?} to {}", step.line);
    let sent = tokio::time::timeout(DEADLINE, client.send(request.map(Body::from))).await;
    let response = sent.expect(&late).unwrap_or_else(|error| panic!("{}: {error}", step.line));
    let (parts, body) = response.into_parts();
    let header = |name: http::HeaderName| {
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        parts.headers.get_all(name).iter().map(text).collect::<Vec<_>>()
    };
    let mut seen = json!({
        "code": parts.status.as_u16(),
        "warnings": header(http::header::WARNING),
        "retry-after": header(http::header::RETRY_AFTER),
        "content-type": header(http::header::CONTENT_TYPE),
    });
    if let (Act::Watch(count), true) = (step.act, parts.status.is_success()) {
        seen["body"] = json!({"events": events(body, count).await});
        return seen;
    }
    let body = tokio::time::timeout(DEADLINE, body.collect()).await;
    let body = body.expect(&late).unwrap().to_bytes();
    seen["body"] = serde_json::from_slice(&body).unwrap_or_else(|_| json!(String::from_utf8_lossy(&body)));
    seen
}

/// The first events of a watch; fewer if it ends or times out.
async fn events(body: Body, count: usize) -> Vec<Value> {
    let mut pieces = BodyStream::new(body);
    let (mut events, mut rest) = (Vec::new(), Vec::new());
    while events.len() < count {
        let Ok(Some(piece)) = tokio::time::timeout(DEADLINE, pieces.next()).await else { break };
        rest.extend_from_slice(&piece.unwrap().into_data().unwrap_or_else(|_| Bytes::new()));
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            events.push(serde_json::from_slice(&line).expect("a watch sends a JSON object a line"));
        }
    }
    events.truncate(count);
    events
}
